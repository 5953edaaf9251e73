//! What the scheduler drives: the network, or what a test puts in its place.

use std::time::Duration;

use super::plan::Limits;
use crate::whisper::{
    self, Decoder, Device, Encoded, Encoding, Step, WINDOW_FRAMES, Watched, Whisper, WhisperConfig,
    WhisperError,
};

/// To choose the next tokens takes some hundred microseconds, unless the machine has other things to do.
const PATIENCE: Duration = Duration::from_millis(5);

/// Tokens for a decoder, as a pass asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub tokens: Vec<u32>,
    /// As in [`whisper::Turn`].
    pub parents: Vec<usize>,
    pub probe_row: Option<usize>,
    pub on: On,
}

/// Which decoder is to have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum On {
    /// The pass's own, which starts with the first of them.
    #[default]
    Kept,
    /// A new one, which the pass goes on with.
    Fresh,
    /// One that is forgotten afterwards.
    Alone,
}

/// A decoder and its tokens.
pub struct Turn<'a, D> {
    pub decoder: &'a mut D,
    pub asked: &'a Asked,
}

pub trait Network: Send + Sync + 'static {
    type Window: Send;
    type Encoded: Send;
    type Decoder: Send;

    /// Takes each window a stage further.
    fn advance(&self, windows: &mut [&mut Self::Window]) -> Result<(), WhisperError>;

    /// What became of a window that is through, once.
    fn encoded(&self, window: &mut Self::Window) -> Option<Self::Encoded>;

    fn decoder(
        &self,
        encoded: &Self::Encoded,
        watched: &Watched,
    ) -> Result<Self::Decoder, WhisperError>;

    /// One step of each, in their order.
    fn step(&self, turns: &mut [Turn<'_, Self::Decoder>]) -> Vec<Result<Step, WhisperError>>;
}

impl Network for Whisper {
    type Window = Encoding;
    type Encoded = Encoded;
    type Decoder = Decoder;

    fn advance(&self, windows: &mut [&mut Encoding]) -> Result<(), WhisperError> {
        Whisper::advance(self, windows)
    }

    fn encoded(&self, window: &mut Encoding) -> Option<Encoded> {
        window.take()
    }

    fn decoder(&self, encoded: &Encoded, watched: &Watched) -> Result<Decoder, WhisperError> {
        Whisper::decoder_of(self, encoded, watched)
    }

    fn step(&self, turns: &mut [Turn<'_, Decoder>]) -> Vec<Result<Step, WhisperError>> {
        let turns = turns.iter_mut().map(|turn| whisper::Turn {
            decoder: turn.decoder,
            tokens: &turn.asked.tokens,
            parents: &turn.asked.parents,
            probe_row: turn.asked.probe_row,
        });
        let mut turns: Vec<_> = turns.collect();
        Whisper::step(self, &mut turns)
    }
}

impl Limits {
    /// For a model on a device. On a CPU one window keeps about four cores busy; a second one fills the gaps that are
    /// left. The cross keys and values of those in memory (18 MB for tiny, 110 for small) are to stay within half a
    /// gigabyte. A GPU wants many at once and has room.
    pub fn of(config: &WhisperConfig, device: Device) -> Limits {
        let window = config.decoder_layers * 2 * WINDOW_FRAMES * config.d_model * size_of::<f32>();
        let fit = |gigabytes: f64, most: usize| {
            ((gigabytes * 1e9) as usize / window.max(1)).clamp(2, most)
        };
        let lanes = (rayon::current_num_threads() / 4).clamp(1, 4);
        match device {
            Device::Cpu => Limits {
                lanes,
                crowd: 2 * lanes,
                seats: fit(0.5, 8),
                decoders: 16,
                rows: 128,
                patience: PATIENCE,
            },
            Device::Cuda(_) => Limits {
                lanes: 8,
                crowd: 8,
                seats: fit(8.0, 32),
                decoders: 32,
                rows: 1024,
                patience: PATIENCE,
            },
        }
    }
}
