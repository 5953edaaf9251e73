//! The one loop that steps the decoder: the policy asks, the network answers, alone or among others.

use std::sync::Arc;

use super::EngineError;
use super::models::Model;
use super::scheduler::{Asked, Due, Effort, On};
use crate::policy::{Ask, Pass};
use crate::whisper::{AlignmentHead, Cancel, Decoder, Step, Turn, Watched, Whisper, WhisperError};

/// Runs a pass on this thread, without a scheduler. An error (cancellation too) leaves the pass half-way: drop it.
pub fn run(
    model: &Whisper,
    heads: &[AlignmentHead],
    pass: &mut Pass,
    cancel: &Cancel,
) -> Result<(), WhisperError> {
    let encode = |pass: &Pass| {
        let encoded = model.encode(pass.window(), cancel)?;
        Ok((encoded, None::<Decoder>))
    };
    let step = |(encoded, kept): &mut (_, Option<Decoder>), asked: Asked| {
        cancel.check()?;
        let mut alone = None;
        let decoder = match (asked.on, kept) {
            (On::Kept, Some(decoder)) => decoder,
            (On::Alone, _) => alone.insert(model.decoder(encoded, heads)?),
            (_, kept) => kept.insert(model.decoder(encoded, heads)?),
        };
        let turn = Turn {
            decoder,
            tokens: &asked.tokens,
            parents: &asked.parents,
            probe_row: asked.probe_row,
        };
        model.step_one(turn)
    };
    answer(pass, encode, step)?;
    Ok(())
}

/// Has the model's scheduler run a pass. An error (cancellation too) leaves the pass half-way: drop it.
pub(super) fn schedule(
    model: &Model,
    watched: &Arc<Watched>,
    pass: &mut Pass,
    due: Due,
    cancel: &Cancel,
) -> Result<Effort, EngineError> {
    let enter = |pass: &Pass| {
        let window = model.encoding(pass.window())?;
        model.scheduler().enter(window, Arc::clone(watched), due)
    };
    let sequence = answer(pass, enter, |sequence, asked| sequence.step(asked, cancel))?;
    Ok(sequence.end())
}

/// Answers what `pass` asks for until it is done; returns what its window has become.
fn answer<W, E>(
    pass: &mut Pass,
    mut encode: impl FnMut(&Pass) -> Result<W, E>,
    mut step: impl FnMut(&mut W, Asked) -> Result<Step, E>,
) -> Result<W, E> {
    let mut window = encode(pass)?;
    let mut ask = pass.first();
    let mut on = On::Kept;
    loop {
        let asked = match ask {
            Ask::Done => return Ok(window),
            Ask::Encode => {
                window = encode(pass)?;
                ask = pass.first();
                continue;
            }
            Ask::Again => {
                on = On::Fresh;
                ask = pass.first();
                continue;
            }
            Ask::Alone { tokens } => Asked {
                tokens,
                on: On::Alone,
                ..Asked::default()
            },
            Ask::Step { tokens, probe_row } => Asked {
                tokens,
                probe_row,
                on: std::mem::take(&mut on),
                ..Asked::default()
            },
            Ask::Beam { parents, tokens } => Asked {
                tokens,
                parents,
                ..Asked::default()
            },
        };
        ask = pass.answer(step(&mut window, asked)?);
    }
}
