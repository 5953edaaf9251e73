//! The one loop that steps the decoder.

use crate::policy::{Ask, Pass};
use crate::whisper::{AlignmentHead, Cancel, Decoder, Whisper, WhisperError};

/// Answers what `pass` asks for until it is done. An error (cancellation too) leaves the pass half-way: drop it.
pub fn run(
    model: &Whisper,
    heads: &[AlignmentHead],
    pass: &mut Pass,
    cancel: &Cancel,
) -> Result<(), WhisperError> {
    let mut encoded = model.encode(pass.window(), cancel)?;
    let mut decoder: Option<Decoder> = None;
    let mut ask = pass.first();
    loop {
        cancel.check()?;
        ask = match ask {
            Ask::Done => return Ok(()),
            Ask::Encode => {
                encoded = model.encode(pass.window(), cancel)?;
                decoder = None;
                pass.first()
            }
            Ask::Alone { tokens } => {
                let step = model.decoder(&encoded, heads)?.step(model, &tokens, None)?;
                pass.answer(step)
            }
            Ask::Step { tokens, probe_row } => {
                let decoder = match &mut decoder {
                    Some(decoder) => decoder,
                    none => none.insert(model.decoder(&encoded, heads)?),
                };
                pass.answer(decoder.step(model, &tokens, probe_row)?)
            }
        };
    }
}
