//! The parts of one pass, each timed.

use std::sync::Arc;
use std::time::Instant;

use gstwhisperstream::whisper::{
    Decoder, Encoded, LogMel, SAMPLE_RATE, Turn, WINDOW_FRAMES, Whisper, Window,
};

/// Milliseconds of one window.
#[derive(Clone, Copy)]
pub struct Round {
    /// Log-mel of the held audio, when a chunk of it is new.
    pub mel: f64,
    pub encoder: f64,
    /// Cross keys and values, and the prompt.
    pub prefill: f64,
    /// One token.
    pub step: f64,
    /// One token of each lane of a beam of [`BEAMS`].
    pub beam: f64,
}

/// Texts of the beam that is timed.
pub const BEAMS: usize = 5;

impl Round {
    /// All that a pass costs.
    pub fn pass(&self, steps: f64) -> f64 {
        self.mel + self.encoder + self.prefill + steps * self.step
    }
}

/// What a pass has to do.
#[derive(Clone, Copy)]
pub struct Task {
    /// Samples held, and how many of them are new.
    pub held: usize,
    pub new: usize,
    /// Encoder frames that are computed.
    pub frames: usize,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens stepped in a measurement.
    pub steps: usize,
}

impl Task {
    /// Ten seconds held, a prompt of 40 tokens: a stream in its stride.
    pub const fn new(chunk_ms: usize) -> Task {
        Task {
            held: 10 * SAMPLE_RATE,
            new: SAMPLE_RATE / 1000 * chunk_ms,
            frames: WINDOW_FRAMES,
            prompt: 40,
            steps: 16,
        }
    }
}

/// Runs it once.
pub fn run(whisper: &Arc<Whisper>, task: &Task) -> Round {
    let audio: Vec<f32> = (0..task.held).map(|i| (i as f32 * 0.37).sin()).collect();
    let (held, new) = audio.split_at(task.held - task.new);
    let mut log_mel = LogMel::new(Arc::clone(whisper.mel_filters()));
    log_mel.push(held);
    log_mel.window();
    let start = Instant::now();
    log_mel.push(new);
    let window = log_mel.window();
    let mel = ms(start);

    let (encoded, encoder, cross) = encode(whisper, &window, task.frames);

    let heads = &whisper.config().alignment_heads;
    let prompt: Vec<u32> = (100..).take(task.prompt).collect();
    let start = Instant::now();
    let mut decoder = whisper.decoder(&encoded, heads).expect("start");
    decoder.step(whisper, &prompt, None).expect("prefill");
    let prefill = cross + ms(start);

    let start = Instant::now();
    for token in (200..).take(task.steps) {
        decoder.step(whisper, &[token], None).expect("step");
    }
    let step = ms(start) / task.steps as f64;

    let fork = |decoder: &mut Decoder, parents: &[usize]| {
        let turn = Turn {
            decoder,
            tokens: &[300; BEAMS],
            parents,
            probe_row: None,
        };
        whisper.step_one(turn).expect("a beam's step");
    };
    fork(&mut decoder, &[0; BEAMS]);
    let start = Instant::now();
    for _ in 0..task.steps {
        // As they fall in practice: the best has two children, the worst none.
        fork(&mut decoder, &[0, 0, 1, 2, 3]);
    }
    let beam = ms(start) / task.steps as f64;
    Round {
        mel,
        encoder,
        prefill,
        step,
        beam,
    }
}

/// Also the milliseconds of the encoder itself, and of the decoder's cross keys and values: the last stages, one a layer.
fn encode(whisper: &Whisper, mel: &[f32], frames: usize) -> (Encoded, f64, f64) {
    let mut stages = Vec::new();
    let start = Instant::now();
    let mut encoding = whisper.encoding(Window { mel, frames }).expect("a window");
    let begun = ms(start);
    let encoded = loop {
        let start = Instant::now();
        whisper.advance(&mut [&mut encoding]).expect("a stage");
        stages.push(ms(start));
        if let Some(encoded) = encoding.take() {
            break encoded;
        }
    };
    let (encoder, cross) =
        stages.split_at(stages.len().saturating_sub(whisper.config().decoder_layers));
    (
        encoded,
        begun + encoder.iter().sum::<f64>(),
        cross.iter().sum(),
    )
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
