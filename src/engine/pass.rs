//! The one loop that steps the decoder: the policy asks, the network answers, alone or among others.

use std::sync::Arc;

use super::EngineError;
use super::models::Model;
use super::scheduler::{Asked, Due, Effort};
use crate::policy::{Ask, Pass};
use crate::whisper::{AlignmentHead, Cancel, Decoder, Step, Whisper, WhisperError};

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
    let step = |(encoded, decoder): &mut (_, Option<Decoder>), asked: Asked| {
        cancel.check()?;
        if asked.alone {
            let mut decoder = model.decoder(encoded, heads)?;
            return decoder.step(model, &asked.tokens, asked.probe_row);
        }
        let decoder = match decoder {
            Some(decoder) => decoder,
            none => none.insert(model.decoder(encoded, heads)?),
        };
        decoder.step(model, &asked.tokens, asked.probe_row)
    };
    answer(pass, encode, step)?;
    Ok(())
}

/// Has the model's scheduler run a pass. An error (cancellation too) leaves the pass half-way: drop it.
pub(super) fn schedule(
    model: &Model,
    heads: &Arc<[AlignmentHead]>,
    pass: &mut Pass,
    due: Due,
    cancel: &Cancel,
) -> Result<Effort, EngineError> {
    let enter = |pass: &Pass| {
        let window = model.encoding(pass.window())?;
        model.scheduler().enter(window, Arc::clone(heads), due)
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
    loop {
        let asked = match ask {
            Ask::Done => return Ok(window),
            Ask::Encode => {
                window = encode(pass)?;
                ask = pass.first();
                continue;
            }
            Ask::Alone { tokens } => Asked {
                tokens,
                probe_row: None,
                alone: true,
            },
            Ask::Step { tokens, probe_row } => Asked {
                tokens,
                probe_row,
                alone: false,
            },
        };
        ask = pass.answer(step(&mut window, asked)?);
    }
}
