//! What a pass starts from.

use std::sync::Arc;

use super::language::LanguageState;
use crate::policy::context::Context;
use crate::policy::shared::Shared;
use crate::policy::{AudioCtx, Samples};
use crate::whisper::WINDOW_FRAMES;

/// Frames of silence behind the audio that are encoded with it under `audio-ctx=auto`, and the fewest in all: less than
/// that, and networks trained on whole windows loop.
const MARGIN: usize = 128;
const FEWEST_FRAMES: usize = 256;
/// Encoded windows are a multiple of this many frames long.
const STEP_FRAMES: usize = 16;

/// What a pass starts from.
#[derive(Clone)]
pub struct Start {
    pub shared: Arc<Shared>,
    pub is_last: bool,
    pub stream_ends: bool,
    /// The machine cannot keep up: see [`AudioCtx::Overload`].
    pub shorten: bool,
    pub content: usize,
    pub mel: Arc<Vec<f32>>,
    pub context: Context,
    pub forced: Vec<u32>,
    pub new_frames: usize,
    pub language: LanguageState,
    pub last_frame: i32,
    pub base: Samples,
}

impl Start {
    /// Frames of the window to encode at first.
    pub fn frames(&self) -> usize {
        match self.shared.settings.audio_ctx {
            AudioCtx::Auto => frames_for(self.content),
            AudioCtx::Overload if self.shorten => frames_for(self.content),
            AudioCtx::Exact | AudioCtx::Overload => WINDOW_FRAMES,
        }
    }
}

/// Frames to encode for a window of which `content` frames hold audio.
fn frames_for(content: usize) -> usize {
    (content + MARGIN)
        .next_multiple_of(STEP_FRAMES)
        .clamp(FEWEST_FRAMES, WINDOW_FRAMES)
}
