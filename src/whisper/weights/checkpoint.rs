//! All tensors of a model, whatever files they lie in, under Hugging Face's names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::container::Container;
use super::entry::{Dtype, Entry, elements};
use super::names::hugging_face;
use super::shard::Shard;
use crate::whisper::WhisperError;
use crate::whisper::kernels::Format;

/// The tensors of every shard. Values are read when they are asked for.
pub struct Checkpoint {
    shards: Vec<Shard>,
    tensors: HashMap<String, (usize, Entry)>,
    heads: Option<(usize, usize)>,
}

/// The shape of a model as its tensors have it.
#[derive(Clone, Copy, Debug)]
pub struct Dims {
    pub mel_bins: usize,
    pub d_model: usize,
    pub audio_positions: usize,
    pub encoder_layers: usize,
    pub encoder_heads: usize,
    pub encoder_ffn: usize,
    pub decoder_layers: usize,
    pub decoder_heads: usize,
    pub decoder_ffn: usize,
    pub vocab_size: usize,
    pub text_positions: usize,
}

/// Width of a head in every released model.
const HEAD: usize = 64;
/// Most layers that are counted.
const MOST_LAYERS: usize = 1000;

impl Checkpoint {
    /// Reads the index of each file.
    ///
    /// # Errors
    /// A file of a kind that is not read, or whose index is wrong.
    pub fn open(shards: Vec<Shard>) -> Result<Checkpoint, WhisperError> {
        let mut tensors = HashMap::new();
        let mut heads = None;
        for (i, shard) in shards.iter().enumerate() {
            let container = Container::of(shard)?;
            let contents = container.contents(shard);
            let contents = contents.map_err(|flaw| flaw.of(&shard.path))?;
            heads = heads.or(contents.heads);
            for (name, entry) in contents.tensors {
                tensors.insert(hugging_face(&name), (i, entry));
            }
        }
        Ok(Checkpoint {
            shards,
            tensors,
            heads,
        })
    }

    /// A tensor, and the file it lies in.
    pub fn get(&self, name: &str) -> Result<(&Shard, &Entry), WhisperError> {
        let found = self.tensors.get(name);
        let found = found.and_then(|(shard, entry)| Some((self.shards.get(*shard)?, entry)));
        found.ok_or_else(|| WhisperError::MissingTensor {
            path: self.path(),
            name: name.to_owned(),
        })
    }

    /// The first file, for errors.
    pub fn path(&self) -> PathBuf {
        let first = self.shards.first();
        first.map_or_else(|| Path::new("").to_owned(), |shard| shard.path.clone())
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> usize {
        let entries = self.tensors.values();
        entries.map(|(_, entry)| entry.range.len()).sum()
    }

    /// Bytes that a network takes which keeps its weights in `format`, and the largest tensor on its way there.
    pub fn memory(&self, format: Format) -> usize {
        let tensors = self.tensors.iter();
        // What Hugging Face writes twice is read once.
        let tensors = tensors.filter(|(name, _)| name.as_str() != "proj_out.weight");
        let entries = tensors.map(|(_, (_, entry))| entry);
        let entries = entries.filter(|entry| !matches!(entry.dtype, Dtype::Other(_)));
        let (mut all, mut largest) = (0usize, 0);
        for count in entries.filter_map(|entry| elements(&entry.shape)) {
            all = all.saturating_add(count);
            largest = largest.max(count);
        }
        let each = size_of::<f32>() / format.per_word();
        all.saturating_mul(each)
            .saturating_add(largest.saturating_mul(size_of::<f32>()))
    }

    /// That no file was written to since it was opened.
    ///
    /// # Errors
    /// The file that was.
    pub fn unchanged(&self) -> Result<(), WhisperError> {
        let mut shards = self.shards.iter();
        shards.try_for_each(|shard| shard.unchanged().map_err(|flaw| flaw.of(&shard.path)))
    }

    /// What the tensors' shapes say. Where a file does not tell the heads, they are 64 wide.
    ///
    /// # Errors
    /// A tensor that every Whisper model has, but this one lacks, or has in another shape.
    pub fn dims(&self) -> Result<Dims, WhisperError> {
        let [d_model, mel_bins, _] = self.sizes("encoder.conv1.weight")?;
        let [vocab_size, _] = self.sizes("decoder.embed_tokens.weight")?;
        let [text_positions, _] = self.sizes("decoder.embed_positions.weight")?;
        let [audio_positions, _] = self.sizes("encoder.embed_positions.weight")?;
        let [encoder_ffn, _] = self.sizes("encoder.layers.0.fc1.weight")?;
        let [decoder_ffn, _] = self.sizes("decoder.layers.0.fc1.weight")?;
        let layers = |side: &str| {
            let there = |i: &usize| {
                self.tensors
                    .contains_key(&format!("{side}.layers.{i}.fc1.weight"))
            };
            (0..MOST_LAYERS).take_while(there).count()
        };
        let (encoder_heads, decoder_heads) = self.heads.unwrap_or((d_model / HEAD, d_model / HEAD));
        Ok(Dims {
            mel_bins,
            d_model,
            audio_positions,
            encoder_layers: layers("encoder"),
            encoder_heads,
            encoder_ffn,
            decoder_layers: layers("decoder"),
            decoder_heads,
            decoder_ffn,
            vocab_size,
            text_positions,
        })
    }

    fn sizes<const N: usize>(&self, name: &str) -> Result<[usize; N], WhisperError> {
        let (shard, entry) = self.get(name)?;
        let sizes = entry.shape.as_slice().try_into();
        sizes.map_err(|_| WhisperError::NoWhisperShape {
            path: shard.path.clone(),
            reason: format!("{name} has the shape {:?}, not {N} axes", entry.shape),
        })
    }
}
