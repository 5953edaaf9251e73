//! Named tensors of a model file, as f32 on the device.

mod hf;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::kernels::Format;
use super::{Cancel, WhisperError};

pub use hf::{Shard, open};

/// Values converted at a time.
const CHUNK: usize = 4096;

/// The tensors of every shard by name, and what is told and asked while they are read.
pub struct Weights<'a> {
    tensors: HashMap<String, (&'a Path, TensorView<'a>)>,
    first: PathBuf,
    format: Format,
    cancel: &'a Cancel,
    progress: &'a mut dyn FnMut(f32),
    bytes_read: usize,
    bytes: usize,
}

impl<'a> Weights<'a> {
    /// `progress` is told the fraction read so far.
    pub fn new(
        shards: &'a [Shard],
        format: Format,
        cancel: &'a Cancel,
        progress: &'a mut dyn FnMut(f32),
    ) -> Result<Weights<'a>, WhisperError> {
        let mut tensors = HashMap::new();
        for shard in shards {
            let parsed =
                SafeTensors::deserialize(shard.bytes()).map_err(|e| WhisperError::BadWeights {
                    path: shard.path.clone(),
                    reason: e.to_string(),
                })?;
            for (name, view) in parsed.tensors() {
                // Saved with or without the head model around it.
                let name = name.strip_prefix("model.").unwrap_or(&name).to_owned();
                tensors.insert(name, (shard.path.as_path(), view));
            }
        }
        let bytes = tensors.values().map(|(_, t)| t.data().len()).sum();
        Ok(Weights {
            tensors,
            first: shards.first().map(|s| s.path.clone()).unwrap_or_default(),
            format,
            cancel,
            progress,
            bytes_read: 0,
            bytes,
        })
    }

    /// How layers keep their weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tensor `name`, which must have this shape, converted to f32.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WhisperError> {
        self.cancel.check()?;
        let Some((path, tensor)) = self.tensors.get(name) else {
            return Err(WhisperError::MissingTensor {
                path: self.first.clone(),
                name: name.to_owned(),
            });
        };
        if tensor.shape() != shape {
            return Err(WhisperError::WrongShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: tensor.shape().to_vec(),
            });
        }
        let data = tensor.data();
        let values = match tensor.dtype() {
            Dtype::F32 => data
                .as_chunks()
                .0
                .iter()
                .map(|&b| f32::from_le_bytes(b))
                .collect(),
            Dtype::F16 => from_half(data, f16::from_le_bytes),
            Dtype::BF16 => from_half(data, bf16::from_le_bytes),
            other => {
                return Err(WhisperError::WrongType {
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        if !values.iter().all(|x| x.is_finite()) {
            return Err(WhisperError::BadWeights {
                path: path.to_path_buf(),
                reason: format!("{name} holds values that are no numbers"),
            });
        }
        self.bytes_read += data.len();
        (self.progress)(self.bytes_read as f32 / self.bytes.max(1) as f32);
        Ok(values)
    }

    /// As [`values`](Self::values), as a tensor of that shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, WhisperError> {
        let values = self.values(name, shape)?;
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

/// Converts 16-bit floats, a chunk at a time (the conversion is vectorised over slices).
fn from_half<T: Copy + Default>(data: &[u8], from: impl Fn([u8; 2]) -> T) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    let (pairs, _) = data.as_chunks::<2>();
    let mut values = vec![0f32; pairs.len()];
    let mut halves = [T::default(); CHUNK];
    for (pairs, values) in pairs.chunks(CHUNK).zip(values.chunks_mut(CHUNK)) {
        for (half, &pair) in halves.iter_mut().zip(pairs) {
            *half = from(pair);
        }
        if let Some(halves) = halves.get(..pairs.len()) {
            halves.convert_to_f32_slice(values);
        }
    }
    values
}
