//! One stream under AlignAtt: audio in, passes out, words back.

mod ours;
mod reference;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::policy::pass::{LanguageState, Pass, Start};
use crate::policy::saved::{NotResumed, SavedPolicy, SavedRule};
use crate::policy::stream::Stream;
use crate::policy::words::{Fragments, TimedToken, WholeWords};
use crate::policy::{Outcome, Policy, PolicySettings, Samples, SettingsError};
use crate::speech::Boundary;
use crate::whisper::{FRAME, MelFilters, SAMPLE_RATE, Tokenizer, WhisperConfig};

/// One stream's policy state.
pub struct AlignAtt {
    stream: Stream,
    /// Stream position of the window's first sample, as word times see it. Under compat it drifts as the reference's does.
    base: Samples,
    /// One hypothesis per pass that reached decoding, oldest first, as long as its audio is held.
    committed: Vec<Vec<TimedToken>>,
    last_frame: i32,
    fragments: Fragments,
    words: WholeWords,
}

/// What a stream under it is besides what all streams are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::policy) struct SavedAlignAtt {
    base: Samples,
    committed: Vec<Vec<TimedToken>>,
    last_frame: i32,
    fragments: Fragments,
    words: WholeWords,
}

impl AlignAtt {
    /// A fresh stream. What depends on the model (a language other than English on an `.en` model, a prompt that does
    /// not fit) is checked here, beside [`PolicySettings::check`].
    pub fn new(
        settings: PolicySettings,
        config: &WhisperConfig,
        tokenizer: Arc<Tokenizer>,
        filters: Arc<MelFilters>,
    ) -> Result<AlignAtt, SettingsError> {
        let mut policy = AlignAtt {
            stream: Stream::new(settings, config, tokenizer, filters)?,
            base: 0,
            committed: Vec::new(),
            last_frame: 0,
            fragments: Fragments::default(),
            words: WholeWords::default(),
        };
        policy.refresh_own();
        Ok(policy)
    }

    fn pass(
        &mut self,
        last: bool,
        stream_ends: bool,
        language: LanguageState,
        new_audio: Samples,
    ) -> Pass {
        let detects_anew = language.detect && self.stream.shared.settings.is_compat();
        Pass::new(Start {
            forced: if detects_anew {
                Vec::new()
            } else {
                self.committed.iter().flatten().map(|t| t.id).collect()
            },
            new_frames: usize::try_from(new_audio).unwrap_or(usize::MAX) / FRAME,
            last_frame: self.last_frame,
            base: self.base,
            ..self.stream.start(last, stream_ends, language)
        })
    }

    /// Everything of a running utterance, back to its start.
    fn fresh_utterance(&mut self) {
        let audio = &self.stream.audio;
        self.base = audio.start();
        self.committed.clear();
        self.last_frame = -(self.stream.shared.settings.rewind_threshold as i32);
        let told_until = self.stream.utterance.told_until;
        self.words
            .reset(audio.start().max(told_until.min(audio.end())));
    }

    /// What is ours, after the stream was refreshed.
    fn refresh_own(&mut self) {
        self.fragments = Fragments::default();
        self.fresh_utterance();
    }
}

impl Policy for AlignAtt {
    fn update(&mut self, settings: PolicySettings) -> Result<(), SettingsError> {
        let idle = self.stream.is_idle() && self.committed.is_empty();
        if self.stream.update(settings, idle)? {
            self.refresh_own();
        }
        Ok(())
    }

    fn shorten(&mut self, shorten: bool) {
        self.stream.shorten = shorten;
    }

    fn insert(&mut self, chunk: &[f32]) {
        let compat = self.stream.shared.settings.is_compat();
        self.stream.audio.push(chunk);
        if !compat {
            self.stream.hear(chunk);
        }
        let mut dropped = None;
        let most = self.stream.shared.settings.window_samples();
        while let Some(samples) = self.stream.audio.pop_beyond(most) {
            // The reference's own arithmetic, truncated as it does.
            self.last_frame -= (50.0 * (samples as f64 / SAMPLE_RATE as f64)) as i32;
            dropped = Some(samples);
            if compat && !self.committed.is_empty() {
                let oldest = self.committed.remove(0);
                self.stream.context.push(&self.stream.text(&oldest));
            }
        }
        if let Some(last) = dropped {
            if compat {
                // Only the last length counts there, so times drift when several chunks leave at once.
                self.base += last as Samples;
            } else {
                self.base = self.stream.audio.start();
                self.scroll_tokens();
            }
        }
        if !compat {
            self.shorten_window();
        }
    }

    fn speech(&mut self, boundary: &Boundary) {
        self.stream.speech(boundary);
    }

    fn begin(&mut self, is_last: bool) -> Result<Pass, Outcome> {
        if self.stream.shared.settings.is_compat() {
            self.begin_compat(is_last)
        } else {
            self.begin_ours(is_last)
        }
    }

    fn commit(&mut self, pass: Pass) -> Outcome {
        self.last_frame = pass.last_frame;
        self.stream.take_over(&pass);
        if self.stream.shared.settings.is_compat() {
            self.commit_compat(pass)
        } else {
            self.commit_ours(pass)
        }
    }

    fn reset(&mut self, position: Samples) {
        self.stream.reset(position);
        self.refresh_own();
    }

    fn save(&self) -> SavedPolicy {
        SavedPolicy {
            stream: self.stream.save(),
            rule: SavedRule::AlignAtt(SavedAlignAtt {
                base: self.base,
                committed: self.committed.clone(),
                last_frame: self.last_frame,
                fragments: self.fragments.clone(),
                words: self.words.clone(),
            }),
        }
    }

    fn resume(&mut self, saved: SavedPolicy) -> Result<(), NotResumed> {
        let SavedRule::AlignAtt(own) = saved.rule else {
            return Err(NotResumed::Rule);
        };
        self.stream.resume(saved.stream)?;
        self.base = own.base;
        self.committed = own.committed;
        self.last_frame = own.last_frame;
        self.fragments = own.fragments;
        self.words = own.words;
        Ok(())
    }

    fn bytes(&self) -> usize {
        let tokens: usize = self.committed.iter().map(Vec::capacity).sum();
        self.stream.bytes() + tokens * size_of::<TimedToken>()
    }
}
