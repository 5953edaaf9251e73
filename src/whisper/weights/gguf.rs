//! GGUF, as candle's tools write a quantised Whisper: Hugging Face's tensors, in ggml's types. Its own facts are passed over:
//! those of a Whisper say nothing that the shapes do not.

use super::cursor::{Numbers, Scan};
use super::entry::{Dtype, Entry};
use super::flaw::Flaw;
use super::shard::Shard;

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// Where tensors begin, if the file does not say otherwise: at multiples of this.
const ALIGNMENT: usize = 32;
/// Longest name of a tensor or a fact.
const LONGEST_NAME: usize = 1 << 16;
/// Deepest list within lists.
const DEEPEST: usize = 4;
const LIST: u32 = 9;
const U32: u32 = 4;

/// Every tensor of a file, by the name it has there.
///
/// # Errors
/// What is wrong with it.
pub fn read(file: &Shard) -> Result<Vec<(String, Entry)>, Flaw> {
    let mut input = Scan::new(file);
    if input.take(MAGIC.len())? != MAGIC {
        return Err("it does not begin as a GGUF file".into());
    }
    match input.u32()? {
        2 | 3 => {}
        version if version.swap_bytes() <= 3 => {
            return Err(Flaw::Unread(
                "it is a big-endian GGUF file; convert the model on a little-endian machine"
                    .to_owned(),
            ));
        }
        version => {
            return Err(Flaw::Unread(format!(
                "its GGUF version is {version}, 2 and 3 are read; convert the model again"
            )));
        }
    }
    let (tensors, facts) = (input.u64()?, input.u64()?);
    let mut alignment = ALIGNMENT;
    for _ in 0..facts {
        let name = text(&mut input)?;
        let kind = input.u32()?;
        if name == b"general.alignment" && kind == U32 {
            alignment = input.u32()? as usize;
        } else {
            skip(&mut input, kind, 0)?;
        }
    }
    if !alignment.is_power_of_two() {
        return Err(format!("its alignment is {alignment}").into());
    }

    let mut infos = Vec::new();
    for _ in 0..tensors {
        infos.push(info(&mut input)?);
    }
    let start = input.at().checked_next_multiple_of(alignment);
    let start = start.ok_or("its alignment is beyond all memory")?;
    let entries = infos.into_iter().map(|info| {
        let Info {
            name,
            dtype,
            shape,
            offset,
        } = info;
        let size = dtype.bytes(&shape)?;
        let first = usize::try_from(offset)
            .ok()
            .and_then(|offset| start.checked_add(offset));
        let range = first.and_then(|first| Some(first..first.checked_add(size)?));
        let range = range.filter(|range| range.end <= file.len());
        let range = range.ok_or_else(|| format!("it ends before the end of {name}"))?;
        let entry = Entry {
            dtype,
            shape,
            range,
            strides: None,
        };
        Ok((name, entry))
    });
    entries.collect()
}

/// What is said of a tensor.
struct Info {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Bytes from where the tensors begin.
    offset: u64,
}

fn info(input: &mut Scan) -> Result<Info, Flaw> {
    let name = String::from_utf8_lossy(&text(input)?).into_owned();
    let axes = input.u32()?;
    if axes > 4 {
        return Err(format!("{name} has {axes} axes").into());
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let size = usize::try_from(input.u64()?);
        shape.push(size.map_err(|_| format!("{name} is beyond all memory"))?);
    }
    // The axis that lies together comes first here, last with us.
    shape.reverse();
    let number = input.u32()?;
    let dtype = Dtype::ggml(number);
    let dtype = dtype.ok_or_else(|| format!("{name} has the unknown type {number}"))?;
    let offset = input.u64()?;
    Ok(Info {
        name,
        dtype,
        shape,
        offset,
    })
}

fn text(input: &mut Scan) -> Result<Vec<u8>, Flaw> {
    let length = usize::try_from(input.u64()?).unwrap_or(usize::MAX);
    if length > LONGEST_NAME {
        return Err(format!("a name in it is {length} bytes long").into());
    }
    input.take(length).map(<[u8]>::to_vec)
}

/// Passes over a fact of this kind.
fn skip(input: &mut Scan, kind: u32, depth: usize) -> Result<(), Flaw> {
    let size = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        U32..=6 => 4,
        10..=12 => 8,
        8 => usize::try_from(input.u64()?).unwrap_or(usize::MAX),
        LIST if depth < DEEPEST => {
            let (kind, count) = (input.u32()?, input.u64()?);
            for _ in 0..count {
                skip(input, kind, depth + 1)?;
            }
            0
        }
        _ => return Err(format!("a fact in it has the unknown type {kind}").into()),
    };
    input.skip(size)
}
