//! The layout of Hugging Face weight files: a JSON header, then the values.

use ::safetensors::{Dtype as Stored, SafeTensors};

use super::entry::{Dtype, Entry};
use super::flaw::Flaw;

/// Bytes before the header, which say its length.
const LENGTH: usize = 8;

/// Every tensor of a file, by the name it has there.
///
/// # Errors
/// A header that is none, or ranges that do not fill the file.
pub fn read(bytes: &[u8]) -> Result<Vec<(String, Entry)>, Flaw> {
    let damaged = |e: ::safetensors::SafeTensorError| Flaw::Damaged(e.to_string());
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let start = header.checked_add(LENGTH).ok_or("its header is endless")?;
    let entries = metadata.tensors().into_iter().map(|(name, info)| {
        let (first, end) = info.data_offsets;
        let range = start.checked_add(first).zip(start.checked_add(end));
        let range = range.filter(|&(first, end)| first <= end && end <= bytes.len());
        let (first, end) = range.ok_or_else(|| format!("{name} reaches behind its end"))?;
        let entry = Entry {
            dtype: match info.dtype {
                Stored::F64 => Dtype::F64,
                Stored::F32 => Dtype::F32,
                Stored::F16 => Dtype::F16,
                Stored::BF16 => Dtype::Bf16,
                other => Dtype::Other(format!("{other:?}")),
            },
            shape: info.shape.clone(),
            range: first..end,
            strides: None,
        };
        Ok((name, entry))
    });
    entries.collect()
}
