//! Where words end, by a small layer on the encoder (the CIF models of Simul-Whisper).
//!
//! One linear layer, `[1, d_model]` and a bias, gives each frame of the encoder a weight; a word is over where the weights
//! have summed up to one. There is a published one for each of base, small, medium and large-v2 (d_model 512, 768, 1024,
//! 1280): a PyTorch checkpoint of the tensors `weight` and `bias`.

use std::path::{Path, PathBuf};

use super::encoding::Encoded;
use super::{StateTensor, WhisperConfig, WhisperError, read_state_dict};

/// The layer.
#[derive(Debug)]
pub struct WordEnds {
    weight: Vec<f32>,
    bias: f32,
}

impl WordEnds {
    /// Reads the checkpoint at `path`, for a model of this shape.
    ///
    /// # Errors
    /// A sentence for what is wrong with the file, or with it for this model.
    pub fn load(path: &Path, config: &WhisperConfig) -> Result<WordEnds, WhisperError> {
        let bad = |reason: String| WhisperError::BadWordEnds {
            path: PathBuf::from(path),
            reason,
        };
        let mut tensors = read_state_dict(path)?;
        let mut named = |name: &str| {
            let tensor = tensors.remove(name);
            tensor.ok_or_else(|| bad(format!("it has no tensor {name:?}")))
        };
        let StateTensor { shape, values } = named("weight")?;
        let d = config.d_model;
        if shape != [1, d] {
            return Err(bad(format!(
                "its weight has the shape {shape:?}, but this model's encoder gives {d} values a frame"
            )));
        }
        let weight = values;
        let StateTensor { shape, values } = named("bias")?;
        match values.as_slice() {
            &[bias] => Ok(WordEnds { weight, bias }),
            _ => Err(bad(format!("its bias has the shape {shape:?}, not [1]"))),
        }
    }

    /// The weight of each frame, 0 to 1.
    pub(super) fn of(&self, encoded: &Encoded) -> Result<Vec<f32>, WhisperError> {
        let states = encoded.to_vec()?;
        let frames = states.chunks_exact(self.weight.len().max(1));
        let weight = |frame: &[f32]| {
            let products = frame.iter().zip(&self.weight).map(|(x, w)| x * w);
            1.0 / (1.0 + (-(products.sum::<f32>() + self.bias)).exp())
        };
        Ok(frames.map(weight).collect())
    }
}
