//! What the policy does on a recording, pass by pass, fed in exact pace and with nothing else to do.

use std::time::Instant;

use gstwhisperstream::policy::{AlignAtt, Ask, AudioCtx, Compat, Pass, Policy, PolicySettings};
use gstwhisperstream::whisper::{Cancel, Decoder, Whisper};

use super::score::Said;
use super::telephone::{Leg, RATE};

/// One chunk.
#[derive(Default)]
pub struct Chunk {
    /// End of the audio fed, in seconds.
    pub end: f64,
    /// The pass that it brought, if any.
    pub pass: Option<Ran>,
    /// What was released then; `heard` is `end`.
    pub said: Vec<Said>,
}

/// A pass that ran.
#[derive(Clone, Copy, Default)]
pub struct Ran {
    /// Seconds of audio held: since the utterance before ended, 30 s at most.
    pub held: f64,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens stepped behind it.
    pub steps: usize,
    /// Seconds it took.
    pub took: f64,
}

/// Whose decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decisions {
    /// The reference's: a pass at every chunk.
    Reference,
    /// Ours: only where there may be speech.
    Ours(AudioCtx),
}

/// Runs the whole leg in chunks.
pub fn trace(model: &Whisper, leg: &Leg, chunk_ms: u32, decisions: Decisions) -> Vec<Chunk> {
    let (compat, audio_ctx) = match decisions {
        Decisions::Reference => (Compat::SimulStreaming, AudioCtx::Exact),
        Decisions::Ours(audio_ctx) => (Compat::None, audio_ctx),
    };
    let settings = PolicySettings {
        language: leg.language.into(),
        min_chunk_ms: chunk_ms,
        compat,
        audio_ctx,
        ..PolicySettings::default()
    };
    let size = settings.chunk_samples();
    let (tokenizer, filters) = (model.tokenizer().clone(), model.mel_filters().clone());
    let stream = AlignAtt::new(settings, model.config(), tokenizer, filters);
    let mut stream = stream.expect("these settings");
    let (mut fed, mut since) = (0, 0.0);
    let mut chunks = leg.samples.chunks(size).peekable();
    let mut all = Vec::new();
    while let Some(samples) = chunks.next() {
        let samples: Vec<f32> = samples.iter().map(|s| f32::from(*s) / 32768.0).collect();
        fed += samples.len();
        let end = fed as f64 / RATE as f64;
        let begun = Instant::now();
        stream.insert(&samples);
        let (outcome, pass) = match stream.begin(chunks.peek().is_none()) {
            Err(outcome) => (outcome, None),
            Ok(mut pass) => {
                let (prompt, steps) = run(model, &mut pass);
                let ran = Ran {
                    held: (end - since).min(30.0),
                    prompt,
                    steps,
                    took: 0.0,
                };
                (stream.commit(pass), Some(ran))
            }
        };
        let took = begun.elapsed().as_secs_f64();
        if outcome.utterance_end {
            since = end;
        }
        let words = outcome.release.into_iter().flat_map(|r| r.words);
        let seconds = |samples: u64| samples as f64 / RATE as f64;
        all.push(Chunk {
            end,
            pass: pass.map(|ran| Ran { took, ..ran }),
            said: words
                .map(|word| Said {
                    text: word.text,
                    start: seconds(word.start),
                    end: seconds(word.end),
                    heard: end,
                })
                .collect(),
        });
    }
    all
}

/// Answers what the pass asks for; returns the tokens of its prompt and the steps behind it.
fn run(model: &Whisper, pass: &mut Pass) -> (usize, usize) {
    let cancel = Cancel::default();
    let heads = &model.config().alignment_heads;
    let mut encoded = model.encode(pass.window(), &cancel).expect("encode");
    let mut decoder: Option<Decoder> = None;
    let (mut prompt, mut steps) = (0, 0);
    let mut ask = pass.first();
    loop {
        let (own, tokens, probe_row) = match ask {
            Ask::Done => return (prompt, steps),
            Ask::Encode => {
                encoded = model.encode(pass.window(), &cancel).expect("encode");
                decoder = None;
                ask = pass.first();
                continue;
            }
            Ask::Again => {
                decoder = None;
                ask = pass.first();
                continue;
            }
            Ask::Beam { .. } => unreachable!("one hypothesis is followed here"),
            // Only to detect the language, which here is known.
            Ask::Alone { tokens } => (false, tokens, None),
            Ask::Step { tokens, probe_row } => (true, tokens, probe_row),
        };
        let mut alone = None;
        let place = if own { &mut decoder } else { &mut alone };
        match place {
            Some(_) => steps += tokens.len(),
            None if own => prompt = tokens.len(),
            None => {}
        }
        let decoder = place.get_or_insert_with(|| model.decoder(&encoded, heads).expect("heads"));
        let step = decoder.step(model, &tokens, probe_row).expect("a step");
        ask = pass.answer(step);
    }
}
