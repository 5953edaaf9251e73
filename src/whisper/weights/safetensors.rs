//! The layout of Hugging Face weight files: a JSON header, then the values.

use ::safetensors::Dtype as Stored;
use ::safetensors::tensor::Metadata;

use super::cursor::{Numbers, Scan};
use super::entry::{Dtype, Entry};
use super::flaw::Flaw;
use super::shard::Shard;

/// Longest header; that of `large-v3` has 150 kB.
const LONGEST: usize = 100 << 20;

/// Every tensor of a file, by the name it has there.
///
/// # Errors
/// A header that is none, or ranges that do not fill the file.
pub fn read(file: &Shard) -> Result<Vec<(String, Entry)>, Flaw> {
    let mut input = Scan::new(file);
    let length = usize::try_from(input.u64()?).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(
            format!("its header is {length} bytes long, {LONGEST} at most are read").into(),
        );
    }
    let header = input.take(length)?;
    let metadata = serde_json::from_slice::<Metadata>(header);
    let metadata = metadata.map_err(|error| format!("its header is no index: {error}"))?;
    let start = input.at();
    let mut end = start;
    let mut tensors = Vec::new();
    for name in metadata.offset_keys() {
        let info = metadata
            .info(&name)
            .ok_or("a tensor of its header is not there")?;
        let (first, last) = info.data_offsets;
        let (first, last) = (start.checked_add(first), start.checked_add(last));
        let range = first.zip(last).filter(|&(first, _)| first == end);
        let range = range.filter(|&(first, last)| first <= last && last <= file.len());
        let (first, last) = range.ok_or_else(|| {
            format!("{name} does not lie between the tensor before it and the file's end")
        })?;
        end = last;
        let entry = Entry {
            dtype: match info.dtype {
                Stored::F64 => Dtype::F64,
                Stored::F32 => Dtype::F32,
                Stored::F16 => Dtype::F16,
                Stored::BF16 => Dtype::Bf16,
                other => Dtype::Other(format!("{other:?}")),
            },
            shape: info.shape.clone(),
            range: first..last,
            strides: None,
        };
        if !matches!(entry.dtype, Dtype::Other(_))
            && entry.dtype.bytes(&entry.shape)? != entry.range.len()
        {
            return Err(format!("the bytes of {name} do not fill its shape").into());
        }
        tensors.push((name, entry));
    }
    if end != file.len() {
        let length = file.len();
        return Err(format!("its tensors end at {end}, the file at {length}").into());
    }
    Ok(tensors)
}
