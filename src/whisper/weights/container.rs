//! What kind of file weights are in, told by how it begins. A name proves nothing.

use super::entry::Entry;
use super::flaw::Flaw;
use super::shard::Shard;
use super::{ggml, gguf, safetensors, torch};
use crate::whisper::WhisperError;

/// Bytes that tell what a file is.
const TOLD_BY: usize = 64;

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    Safetensors,
    /// What `torch.save` writes.
    Torch,
    /// whisper.cpp's.
    Ggml,
    Gguf,
}

/// What a file holds.
#[derive(Debug)]
pub struct Contents {
    /// Tensors by the names they have there.
    pub tensors: Vec<(String, Entry)>,
    /// Attention heads of encoder and decoder, where the file says.
    pub heads: Option<(usize, usize)>,
}

impl Container {
    /// Tells what a file is.
    ///
    /// # Errors
    /// A sentence that lists what is read.
    pub fn of(file: &Shard) -> Result<Container, WhisperError> {
        let path = file.path.as_path();
        let bytes = file.beginning(TOLD_BY).map_err(|flaw| flaw.of(path))?;
        let unknown = |hint| WhisperError::UnknownFormat {
            path: path.to_owned(),
            hint,
        };
        let begins = |with: &[u8]| bytes.starts_with(with);
        if begins(b"PK\x03\x04") {
            Ok(Container::Torch)
        } else if begins(&gguf::MAGIC) {
            Ok(Container::Gguf)
        } else if begins(&ggml::MAGIC) {
            Ok(Container::Ggml)
        } else if is_safetensors(&bytes) {
            Ok(Container::Safetensors)
        } else if begins(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") {
            let reason = "it is in the format that PyTorch wrote before 1.6; load it with a newer one, and save it again";
            Err(Flaw::Unread(reason.to_owned()).of(path))
        } else if begins(b"version https://git-lfs") {
            Err(unknown(
                ", but a pointer to one: `git lfs pull` fetches the file itself",
            ))
        } else if bytes.is_empty() {
            Err(unknown(", since it is empty: download it again"))
        } else if begins(b"<") {
            Err(unknown(", but a page of the web: download the file itself"))
        } else {
            Err(unknown(""))
        }
    }

    /// Reads the index of such a file; the values stay where they are.
    pub fn contents(self, file: &Shard) -> Result<Contents, Flaw> {
        let only = |tensors| Contents {
            tensors,
            heads: None,
        };
        match self {
            Container::Safetensors => safetensors::read(file).map(only),
            Container::Gguf => gguf::read(file).map(only),
            Container::Ggml => ggml::read(file).map(|model| Contents {
                tensors: model.tensors,
                heads: Some((model.audio_heads, model.text_heads)),
            }),
            Container::Torch => torch::read(file).map(|saved| {
                let dim = |name: &str| saved.dims.get(name).copied();
                Contents {
                    heads: dim("n_audio_head").zip(dim("n_text_head")),
                    tensors: saved.tensors,
                }
            }),
        }
    }
}

/// A length, then JSON of that length.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) < 1 << 32
}
