//! Named tensors of a model's files, whatever their format, as f32.

mod checkpoint;
mod container;
mod cursor;
mod entry;
mod flaw;
pub mod fuzzing;
mod ggml;
mod gguf;
mod hf;
pub mod hub;
mod names;
mod pickle;
mod safetensors;
mod shard;
mod state;
mod torch;

use candle_core::{Device, Tensor};

use super::kernels::Format;
use super::{Cancel, WhisperError};

pub use checkpoint::{Checkpoint, Dims};
pub use container::Container;
pub use hf::directory;
pub use shard::{Shard, read};
pub use state::{StateTensor, read_state_dict};

use entry::Dtype;
use flaw::Flaw;

/// The tensors of a model, and what is told and asked while they are read.
pub struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    format: Format,
    cancel: &'a Cancel,
    progress: &'a mut dyn FnMut(f32),
    bytes_read: usize,
    bytes: usize,
}

impl<'a> Weights<'a> {
    /// `progress` is told the fraction read so far.
    pub fn new(
        checkpoint: &'a Checkpoint,
        format: Format,
        cancel: &'a Cancel,
        progress: &'a mut dyn FnMut(f32),
    ) -> Weights<'a> {
        Weights {
            checkpoint,
            format,
            cancel,
            progress,
            bytes_read: 0,
            bytes: checkpoint.bytes(),
        }
    }

    /// How layers keep their weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tensor `name`, which must have this shape, converted to f32.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WhisperError> {
        self.cancel.check()?;
        let (shard, entry) = self.checkpoint.get(name)?;
        if entry.shape != shape {
            return Err(WhisperError::WrongShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: entry.shape.clone(),
            });
        }
        if let Dtype::Other(found) = &entry.dtype {
            return Err(WhisperError::WrongType {
                name: name.to_owned(),
                found: found.clone(),
            });
        }
        let values = entry.values(shard);
        let values = values.map_err(|flaw| flaw.of(&shard.path))?;
        if !values.iter().all(|x| x.is_finite()) {
            let reason = format!("{name} holds values that are no numbers");
            return Err(Flaw::Damaged(reason).of(&shard.path));
        }
        self.bytes_read += entry.range.len();
        (self.progress)(self.bytes_read as f32 / self.bytes.max(1) as f32);
        Ok(values)
    }

    /// As [`values`](Self::values), as a tensor of that shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WhisperError> {
        let values = self.values(name, shape)?;
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}
