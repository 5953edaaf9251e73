//! One pass: a state machine that asks the network for rows and decides token by token (docs/policy.md).

use std::sync::Arc;

use serde::Serialize;

use super::alignment::{Alignment, Mass, argmax};
use super::beam::{Beam, Belief, Hypothesis};
use super::context::Context;
use super::guards;
use super::logits::{Choice, choose, probability, sample};
use super::shared::Shared;
use super::word_end::ends_with_word;
use super::{AudioCtx, Detected, Guards, Samples};
use crate::whisper::{FRAME, Step, WINDOW_FRAMES, Window};

/// Threshold, in frames, of a last pass: nothing more comes, so nearly all is believed.
const LAST_THRESHOLD: i32 = 4;
/// Positions kept free for what this pass will say.
pub(super) const HEADROOM: usize = 20;
/// Added to the deviation so that a constant column gives 0.
const EPSILON: f64 = 1e-8;
/// Temperature between two attempts at a last pass.
const TEMPERATURE_STEP: f32 = 0.2;
/// Most tokens of the unstable tail.
const TAIL_TOKENS: usize = 24;

/// Frames of silence behind the audio that are encoded with it under `audio-ctx=auto`, and the fewest in all: less than
/// that, and networks trained on whole windows loop.
const MARGIN: usize = 128;
const FEWEST_FRAMES: usize = 256;
/// Encoded windows are a multiple of this many frames long.
const STEP_FRAMES: usize = 16;

/// What a running pass wants next from the network.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Run these tokens on a decoder of their own (language detection), then answer with [`Pass::answer`].
    Alone { tokens: Vec<u32> },
    /// Run these tokens on the pass's decoder; `probe_row` as in [`crate::whisper::Decoder::step`].
    Step {
        tokens: Vec<u32>,
        probe_row: Option<usize>,
    },
    /// Run one token on each lane of the pass's decoder, as [`crate::whisper::Turn`] has it.
    Beam {
        parents: Vec<usize>,
        tokens: Vec<u32>,
    },
    /// Encode [`Pass::window`] anew (it has grown), with a new decoder; then ask for [`Pass::first`].
    Encode,
    /// Take a new decoder on the same window; then ask for [`Pass::first`].
    Again,
    /// Nothing more: give the pass to [`super::Policy::commit`].
    Done,
}

/// Replaces choices that rounding could have made otherwise: for comparing with a recorded trace, step by step.
pub trait Referee: Send {
    /// The frame to go on with; `row` is the filtered row whose argmax is `ours`.
    fn frame(&mut self, step: usize, ours: usize, row: &[f64]) -> usize;
    /// The token to go on with; `gap` is how far the runner-up lies behind.
    fn token(&mut self, step: usize, ours: u32, gap: f32) -> u32;
}

/// Why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// The network said that the text ends.
    EndOfText,
    /// The attention reached the end of the audio: the newest token is not believed.
    AudioEnd,
    /// The attention jumped back: the pass is discarded.
    Rewind,
    /// No text position is left.
    Full,
    /// No speech, by the network's own probability.
    NoSpeech,
    /// More tokens than anyone can say in the time.
    TooFast,
    /// The text runs in a loop.
    Loop,
    /// The language is not known well enough yet.
    LanguageUnsure,
}

/// One decoded token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    pub id: u32,
    /// Attended frame of the window.
    pub frame: i32,
    pub mass: Mass,
    pub logprob: f32,
}

enum Stage {
    Language,
    Prompt,
    Decode,
    Tail,
    Done,
}

/// A pass under way. Dropping it undoes it.
pub struct Pass {
    pub(super) shared: Arc<Shared>,
    /// The utterance ends with this pass: nearly all is believed.
    pub(super) is_last: bool,
    /// No more audio follows it.
    pub(super) stream_ends: bool,
    /// Frames of the window that hold audio.
    pub(super) content: i32,
    mel: Arc<Vec<f32>>,
    /// Frames of the window to encode.
    frames: usize,
    /// Where to go back to if so few frames lead the network astray.
    retry: Option<Box<Start>>,
    pub(super) context: Context,
    /// Committed tokens that are still in the window.
    pub(super) forced: Vec<u32>,
    /// Frames of audio behind the last committed token: what the rate cap counts.
    pub(super) new_frames: usize,
    pub(super) language: LanguageState,
    pub(super) last_frame: i32,
    pub(super) steps: Vec<Decoded>,
    /// How many of `steps` are decided.
    pub(super) kept: usize,
    pub(super) stop: Option<Stop>,
    /// The audio ends within a word, by the weights that came with the first step.
    pub(super) cuts_word: bool,
    pub(super) tail: Vec<Decoded>,
    pub(super) guards: Guards,
    pub(super) referee: Option<Box<dyn Referee>>,
    pub(super) gap: f32,
    pub(super) prompt: Vec<u32>,
    pub(super) base: Samples,
    stage: Stage,
    alignment: Alignment,
    beam: Option<Beam>,
    /// The decoder's lane that the best hypothesis goes on with.
    lane: Option<usize>,
    /// At which tokens are sampled; 0: the best is taken.
    temperature: f32,
    /// The best of the attempts that failed.
    failed: Option<Attempt>,
    /// `last_frame` before the pass.
    first_frame: i32,
}

/// A text that failed.
struct Attempt {
    mean: f32,
    braked: bool,
    steps: Vec<Decoded>,
    kept: usize,
    stop: Stop,
    last_frame: i32,
    guards: Guards,
}

impl Attempt {
    fn is_better(&self, other: &Attempt) -> bool {
        (!self.braked, self.mean) > (!other.braked, other.mean)
    }
}

/// What a pass knows of the language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LanguageState {
    /// In force: set, or detected before.
    pub current: Option<&'static str>,
    /// Whether to listen again in this pass.
    pub detect: bool,
    /// Whether enough speech was heard to believe a language other than `current`.
    pub may_lock: bool,
    /// What this pass found out.
    pub found: Option<Heard>,
}

/// A detection: code, token, probability, and whether it was locked in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Heard {
    pub code: &'static str,
    pub probability: f32,
    pub locked: bool,
}

impl From<Heard> for Detected {
    fn from(d: Heard) -> Detected {
        Detected {
            code: d.code,
            probability: d.probability,
        }
    }
}

/// What a pass starts from.
#[derive(Clone)]
pub(super) struct Start {
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

impl Pass {
    pub(super) fn new(start: Start) -> Pass {
        let frames = match start.shared.settings.audio_ctx {
            AudioCtx::Auto => frames_for(start.content),
            AudioCtx::Overload if start.shorten => frames_for(start.content),
            AudioCtx::Exact | AudioCtx::Overload => WINDOW_FRAMES,
        };
        let retry = (frames < WINDOW_FRAMES).then(|| Box::new(start.clone()));
        Pass::over(start, frames, retry)
    }

    fn over(start: Start, frames: usize, retry: Option<Box<Start>>) -> Pass {
        Pass {
            shared: start.shared,
            is_last: start.is_last,
            stream_ends: start.stream_ends,
            content: start.content as i32,
            mel: start.mel,
            frames,
            retry,
            context: start.context,
            forced: start.forced,
            new_frames: start.new_frames,
            language: start.language,
            last_frame: start.last_frame,
            first_frame: start.last_frame,
            base: start.base,
            steps: Vec::new(),
            kept: 0,
            stop: None,
            cuts_word: false,
            tail: Vec::new(),
            guards: Guards::default(),
            referee: None,
            gap: f32::INFINITY,
            prompt: Vec::new(),
            stage: Stage::Prompt,
            alignment: Alignment::default(),
            beam: None,
            lane: None,
            temperature: 0.0,
            failed: None,
        }
    }

    /// The encoder's input.
    pub fn window(&self) -> Window<'_> {
        Window {
            mel: &self.mel,
            frames: self.frames,
        }
    }

    /// Lets `referee` settle ties.
    pub fn with_referee(mut self, referee: Box<dyn Referee>) -> Pass {
        self.referee = Some(referee);
        self
    }

    /// Frames attended so far, a step each, dropped steps included.
    pub fn frames(&self) -> impl Iterator<Item = i32> + '_ {
        self.steps.iter().map(|s| s.frame)
    }

    /// Tokens decided so far in this pass.
    pub fn decided(&self) -> Vec<u32> {
        self.steps.iter().take(self.kept).map(|s| s.id).collect()
    }

    /// Why decoding stopped; `None` while it runs.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// What to run first.
    pub fn first(&mut self) -> Ask {
        if self.language.detect {
            self.stage = Stage::Language;
            return Ask::Alone {
                tokens: vec![self.shared.specials.sot],
            };
        }
        self.ask_prompt()
    }

    /// Hands back what the last ask brought; returns the next.
    pub fn answer(&mut self, step: Step) -> Ask {
        match self.stage {
            Stage::Language => {
                self.detect_language(&step.logits);
                if self.stop.is_some() {
                    self.stage = Stage::Done;
                    return Ask::Done;
                }
                self.ask_prompt()
            }
            Stage::Prompt | Stage::Decode => self.decode(step),
            Stage::Tail => self.decode_tail(step),
            Stage::Done => Ask::Done,
        }
    }

    fn detect_language(&mut self, logits: &[f32]) {
        let of = |token: u32| {
            logits
                .get(token as usize)
                .copied()
                .unwrap_or(f32::NEG_INFINITY)
        };
        let languages = &self.shared.specials.languages;
        let Some(&(code, token)) = languages
            .iter()
            .rev()
            .max_by(|a, b| of(a.1).total_cmp(&of(b.1)))
        else {
            return;
        };
        let sum: f32 = languages
            .iter()
            .map(|&(_, t)| (of(t) - of(token)).exp())
            .sum();
        let compat = self.shared.settings.is_compat();
        let agrees = self.language.current == Some(code);
        let locked = compat || self.language.may_lock || self.is_last;
        self.language.found = Some(Heard {
            code,
            probability: 1.0 / sum,
            locked: locked || agrees,
        });
        if locked {
            self.language.current = Some(code);
        } else if !agrees {
            self.stop = Some(Stop::LanguageUnsure);
        }
    }

    fn ask_prompt(&mut self) -> Ask {
        let shared = &self.shared;
        let initial = shared.initial_tokens(self.language.current);
        let window = initial.len() + self.forced.len();
        self.context.trim(
            &shared.tokenizer,
            self.language.current,
            window,
            (shared.settings.max_context_tokens as usize).min(shared.context_room),
            shared.usable_positions.saturating_sub(HEADROOM),
        );
        let context = self.context.tokens(&shared.tokenizer);
        let mut prompt = Vec::with_capacity(1 + context.len() + window);
        if !context.is_empty() {
            prompt.push(shared.specials.sot_prev);
            prompt.extend(context);
        }
        let sot_row = prompt.len();
        prompt.extend(initial);
        prompt.extend(&self.forced);
        if prompt.len() >= shared.text_positions {
            self.stop = Some(Stop::Full);
            self.stage = Stage::Done;
            return Ask::Done;
        }
        self.prompt = prompt.clone();
        self.stage = Stage::Prompt;
        let probe_row = (!shared.settings.is_compat()).then_some(sot_row);
        Ask::Step {
            tokens: prompt,
            probe_row,
        }
    }

    /// Between 0 and 1, the same for the same token of the same pass in every run.
    fn chance(&self) -> f64 {
        let attempt = u64::from(self.guards.resampled) << 32;
        let seed = self.base.rotate_left(40) ^ attempt ^ self.steps.len() as u64;
        // splitmix64
        let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Chooses the next token from a step's last row and looks at where it attends.
    fn next(&mut self, step: &Step, also_suppressed: &[u32]) -> (Choice, Decoded) {
        let compat = self.shared.settings.is_compat();
        let (logits, suppressed) = (&step.logits, &self.shared.suppressed);
        let mut choice = match self.temperature > 0.0 {
            true => sample(
                logits,
                suppressed,
                also_suppressed,
                self.temperature,
                self.chance(),
            ),
            false => choose(logits, suppressed, also_suppressed),
        };
        self.gap = self.gap.min(choice.gap);
        self.alignment.push(&step.alignment);
        let row = self.alignment.filtered(
            self.content.max(0) as usize,
            if compat { 0.0 } else { EPSILON },
        );
        let mut frame = argmax(&row);
        let at = self.steps.len();
        if let Some(referee) = &mut self.referee {
            choice.token = referee.token(at, choice.token, choice.gap);
            frame = referee.frame(at, frame, &row);
        }
        let mass = if compat {
            Mass::default()
        } else {
            self.alignment.mass(self.content.max(0) as usize)
        };
        (
            choice,
            Decoded {
                id: choice.token,
                frame: frame as i32,
                mass,
                logprob: choice.logprob,
            },
        )
    }

    fn decode(&mut self, step: Step) -> Ask {
        let first = matches!(self.stage, Stage::Prompt);
        self.stage = Stage::Decode;
        let shared = Arc::clone(&self.shared);
        let compat = shared.settings.is_compat();
        if let Some(weights) = &step.word_weights {
            let held = weights.get(..self.content.max(0) as usize);
            self.cuts_word = !ends_with_word(held.unwrap_or(weights));
        }
        if first && !compat {
            let silent = step
                .probe_logits
                .as_deref()
                .map_or(0.0, |row| probability(row, shared.specials.no_speech));
            if silent > guards::NO_SPEECH {
                self.guards.no_speech += 1;
                return self.finish(Stop::NoSpeech);
            }
        }
        // Whoever hears the same again and again may find nothing in it.
        let must_speak = compat || (self.forced.is_empty() && shared.settings.attention_decides());
        let also = match (first, must_speak) {
            (true, true) => shared.blank_and_end.as_slice(),
            (true, false) => shared.blank.as_slice(),
            (false, _) => &[],
        };
        if shared.settings.beams > 1 && self.temperature == 0.0 {
            return self.decode_beam(&step, also);
        }
        let (choice, decoded) = self.next(&step, also);
        let before = self
            .steps
            .last()
            .map(|s| s.id)
            .or(self.prompt.last().copied())
            .unwrap_or_default();
        self.steps.push(decoded);
        if choice.token == shared.specials.eot {
            return self.finish(Stop::EndOfText);
        }
        let rewind = shared.settings.rewind_threshold as i32;
        let decides = shared.settings.attention_decides();
        if decides && !self.is_last && self.last_frame - decoded.frame > rewind {
            if before >= FIRST_SPECIAL {
                self.last_frame = decoded.frame;
            } else {
                self.last_frame = -rewind;
                self.kept = 0;
                self.guards.rewind += 1;
                return self.finish(Stop::Rewind);
            }
        } else {
            self.last_frame = decoded.frame;
        }
        if decoded.frame >= self.belief_ends() {
            return self.finish(Stop::AudioEnd);
        }
        self.kept = self.steps.len();
        match self.brake() {
            Some(stop) => self.finish(stop),
            None => Ask::Step {
                tokens: vec![choice.token],
                probe_row: None,
            },
        }
    }

    /// A token that attends at this frame or behind it is not believed.
    fn belief_ends(&self) -> i32 {
        if !self.shared.settings.attention_decides() {
            return i32::MAX;
        }
        self.content
            - match self.is_last {
                true => LAST_THRESHOLD,
                false => self.shared.settings.frame_threshold as i32,
            }
    }

    /// Whether the guards, or the lack of room, stop a text of which all is kept so far; they cut what they do not believe.
    fn brake(&mut self) -> Option<Stop> {
        if !self.shared.settings.is_compat() {
            if guards::too_fast(self.kept, self.new_frames) {
                self.kept -= 1;
                self.guards.rate += 1;
                return Some(Stop::TooFast);
            }
            let told: Vec<u32> = self.forced.iter().copied().chain(self.decided()).collect();
            if let Some(left) = guards::loop_start(&told) {
                let cut = (told.len() - left).min(self.kept);
                self.kept -= cut;
                self.guards.repetition += cut as u32;
                return Some(Stop::Loop);
            }
        }
        let used = self.prompt.len() + self.steps.len();
        (used >= self.shared.text_positions).then_some(Stop::Full)
    }

    /// As [`decode`](Self::decode), of several hypotheses.
    fn decode_beam(&mut self, step: &Step, also: &[u32]) -> Ask {
        let shared = Arc::clone(&self.shared);
        let (settings, compat) = (&shared.settings, shared.settings.is_compat());
        let mut beam = self.beam.take().unwrap_or_else(|| {
            let prompt = step.alignment.rows.saturating_sub(1);
            self.alignment.push_rows(&step.alignment, 0..prompt);
            let alignment = std::mem::take(&mut self.alignment);
            Beam::begin(settings.beams as usize, compat, alignment, self.last_frame)
        });
        let at = beam.best().map_or(0, |best| best.steps.len());
        let referee = &mut self.referee;
        let settle = |ours: usize, row: &[f64]| match referee {
            Some(referee) => referee.frame(at, ours, row),
            None => ours,
        };
        let epsilon = if compat { 0.0 } else { EPSILON };
        let looks = beam.attend(step, self.content.max(0) as usize, epsilon, settle);
        let belief = Belief {
            end: self.belief_ends(),
            rewind: match self.is_last || !settings.attention_decides() {
                true => i32::MAX,
                false => settings.rewind_threshold as i32,
            },
            first_special: FIRST_SPECIAL,
            before: self.prompt.last().copied().unwrap_or_default(),
        };
        let choice = (&shared.suppressed, also, shared.specials.eot);
        let parents = beam.grow(&step.logits, &looks, choice, &belief);
        self.lane = parents.first().copied();
        if compat && beam.is_complete() {
            // What had ended is forgotten: the best that goes on is told, but for its newest token.
            return self.tell(beam.into_best(), Some(Stop::EndOfText));
        }
        if !compat && beam.is_settled() {
            return self.tell(beam.winner(false), None);
        }
        let Some(best) = beam.best() else {
            return self.tell(beam.winner(false), None);
        };
        if best.jumped {
            self.last_frame = -(settings.rewind_threshold as i32);
            self.steps.clone_from(&best.steps);
            self.guards.rewind += 1;
            return self.finish(Stop::Rewind);
        }
        if best.reached.is_some() {
            return match compat {
                true => self.tell(beam.into_best(), Some(Stop::AudioEnd)),
                false => self.tell(beam.winner(true), None),
            };
        }
        self.steps.clone_from(&best.steps);
        self.kept = self.steps.len();
        if let Some(stop) = self.brake() {
            self.last_frame = best.last_frame;
            return self.finish(stop);
        }
        let tokens = beam.tokens();
        self.beam = Some(beam);
        Ask::Beam { parents, tokens }
    }

    /// Makes `winner` the pass's text. Without `stop` it is told by its tokens why it ends.
    fn tell(&mut self, winner: Option<Hypothesis>, stop: Option<Stop>) -> Ask {
        let Some(winner) = winner else {
            return self.finish(Stop::EndOfText);
        };
        self.steps = winner.steps;
        self.alignment = winner.alignment;
        let newest = self.steps.len().saturating_sub(1);
        let (kept, stop) = match (stop, winner.reached) {
            (Some(stop), _) => (newest, stop),
            (None, Some(reached)) => (reached, Stop::AudioEnd),
            (None, None) => (newest, Stop::EndOfText),
        };
        self.kept = kept;
        let attended = match stop {
            Stop::AudioEnd => self.steps.get(kept),
            _ => kept.checked_sub(1).and_then(|last| self.steps.get(last)),
        };
        self.last_frame = attended.map_or(self.last_frame, |step| step.frame);
        self.finish(stop)
    }

    /// A last pass that failed is decoded again, by sampling at a higher temperature; of all that failed the likeliest is
    /// taken. (openai/whisper's fallback.)
    fn fall_back(&mut self, stop: Stop) -> Result<Stop, Ask> {
        let most = self.shared.settings.temperature;
        if !self.is_last || most <= 0.0 || stop == Stop::NoSpeech {
            return Ok(stop);
        }
        let logprobs = || self.steps.iter().take(self.kept).map(|step| step.logprob);
        let braked = matches!(stop, Stop::TooFast | Stop::Loop);
        if !braked && !guards::is_unlikely(logprobs()) {
            return Ok(stop);
        }
        let attempt = Attempt {
            mean: logprobs().sum::<f32>() / self.kept.max(1) as f32,
            braked,
            steps: std::mem::take(&mut self.steps),
            kept: std::mem::take(&mut self.kept),
            stop,
            last_frame: self.last_frame,
            guards: self.guards,
        };
        let best = match self.failed.take() {
            Some(before) if !attempt.is_better(&before) => before,
            _ => attempt,
        };
        let next = self.temperature + TEMPERATURE_STEP;
        if next <= most + f32::EPSILON {
            self.failed = Some(best);
            self.temperature = next;
            self.last_frame = self.first_frame;
            self.guards = Guards {
                resampled: self.guards.resampled + 1,
                repeated: self.guards.repeated,
                ..Guards::default()
            };
            self.alignment = Alignment::default();
            self.beam = None;
            self.language.detect = false;
            return Err(Ask::Again);
        }
        let resampled = self.guards.resampled;
        self.steps = best.steps;
        self.kept = best.kept;
        self.last_frame = best.last_frame;
        self.guards = Guards {
            resampled,
            ..best.guards
        };
        Ok(best.stop)
    }

    fn finish(&mut self, stop: Stop) -> Ask {
        if matches!(stop, Stop::Rewind | Stop::TooFast | Stop::Loop)
            && let Some(start) = self.retry.take()
        {
            let referee = self.referee.take();
            *self = Pass::over(*start, WINDOW_FRAMES, None);
            self.referee = referee;
            self.guards.repeated = 1;
            return Ask::Encode;
        }
        let stop = match self.fall_back(stop) {
            Ok(stop) => stop,
            Err(again) => return again,
        };
        self.stop = Some(stop);
        self.stage = Stage::Done;
        let tail = self.shared.settings.interim && stop == Stop::AudioEnd && !self.is_last;
        if !tail {
            return Ask::Done;
        }
        let undecided = self.steps.get(self.kept..).unwrap_or_default();
        self.tail.extend(undecided);
        let eot = self.shared.specials.eot;
        match self
            .tail
            .pop_if(|newest| newest.id == eot)
            .or(self.tail.last().copied())
        {
            Some(newest) if newest.id != eot => {
                self.stage = Stage::Tail;
                self.ask_tail(newest.id)
            }
            _ => Ask::Done,
        }
    }

    fn ask_tail(&mut self, token: u32) -> Ask {
        let used = self.prompt.len() + self.steps.len() + self.tail.len();
        if self.tail.len() >= TAIL_TOKENS || used >= self.shared.text_positions {
            self.stage = Stage::Done;
            return Ask::Done;
        }
        match self.lane.take() {
            Some(lane) => Ask::Beam {
                parents: vec![lane],
                tokens: vec![token],
            },
            None => Ask::Step {
                tokens: vec![token],
                probe_row: None,
            },
        }
    }

    /// The tail only looks ahead: nothing of it reaches the stream's state.
    fn decode_tail(&mut self, step: Step) -> Ask {
        let choice = choose(&step.logits, &self.shared.suppressed, &[]);
        if choice.token == self.shared.specials.eot {
            self.stage = Stage::Done;
            return Ask::Done;
        }
        self.alignment.push(&step.alignment);
        let mass = self.alignment.mass(self.content.max(0) as usize);
        self.tail.push(Decoded {
            id: choice.token,
            frame: mass.middle as i32,
            mass,
            logprob: choice.logprob,
        });
        let told: Vec<u32> = self.tail.iter().map(|t| t.id).collect();
        if guards::loop_start(&told).is_some() {
            self.stage = Stage::Done;
            return Ask::Done;
        }
        self.ask_tail(choice.token)
    }

    /// What was decoded behind the decided tokens, if anything was.
    pub(super) fn next_decoded(&self) -> Option<&Decoded> {
        self.steps.get(self.kept)
    }

    /// Stream position of a frame of the window.
    pub(super) fn position(&self, frame: f32) -> Samples {
        self.base + (frame.max(0.0) * FRAME as f32) as Samples
    }
}

/// Frames to encode for a window of which `content` frames hold audio.
fn frames_for(content: usize) -> usize {
    (content + MARGIN)
        .next_multiple_of(STEP_FRAMES)
        .clamp(FEWEST_FRAMES, WINDOW_FRAMES)
}

/// The first special token in every multilingual vocabulary. The reference uses this number for every model, `.en` too.
const FIRST_SPECIAL: u32 = 50257;
