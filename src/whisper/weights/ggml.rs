//! whisper.cpp's files: a header of numbers, its mel filters and vocabulary (neither is used), then the tensors.

use super::cursor::{Numbers, Scan};
use super::entry::{Dtype, Entry};
use super::flaw::Flaw;
use super::shard::Shard;

/// The first four bytes.
pub const MAGIC: [u8; 4] = 0x6767_6d6c_u32.to_le_bytes();
/// Version of the blocks' layout since May 2023, which the header counts in thousands.
const BLOCKS_VERSION: usize = 2;
/// Longest name of a tensor.
const LONGEST_NAME: usize = 256;

/// What a file holds.
#[derive(Debug)]
pub struct Model {
    pub audio_heads: usize,
    pub text_heads: usize,
    /// Tensors by the names they have in the file.
    pub tensors: Vec<(String, Entry)>,
}

/// Reads the index of a file, which lies between its tensors.
///
/// # Errors
/// What is wrong with it.
pub fn read(file: &Shard) -> Result<Model, Flaw> {
    let mut input = Scan::new(file);
    if input.take(MAGIC.len())? != MAGIC {
        return Err("it does not begin as a ggml file".into());
    }
    let mut header = [0usize; 11];
    for number in &mut header {
        *number = input.count("a number of its header")?;
    }
    let [_, _, _, audio_heads, _, _, _, text_heads, _, _, kind] = header;

    let (mels, bins) = (input.count("n_mel")?, input.count("n_fft")?);
    let filters = mels
        .checked_mul(bins)
        .and_then(|count| count.checked_mul(4));
    input.skip(filters.ok_or("its mel filters are endless")?)?;
    for _ in 0..input.count("the size of its vocabulary")? {
        let length = input.u32()? as usize;
        input.skip(length)?;
    }

    let mut tensors = Vec::new();
    while input.left() > 0 {
        let (name, entry) = tensor(&mut input)?;
        if matches!(entry.dtype, Dtype::Quantised(_)) && kind / 1000 != BLOCKS_VERSION {
            return Err(Flaw::Unread(
                "it was quantised by a whisper.cpp of before May 2023, which laid out its blocks in another way; quantise the model again"
                    .to_owned(),
            ));
        }
        tensors.push((name, entry));
    }
    Ok(Model {
        audio_heads,
        text_heads,
        tensors,
    })
}

fn tensor(input: &mut Scan) -> Result<(String, Entry), Flaw> {
    let axes = input.count("the number of a tensor's axes")?;
    let length = input.count("the length of a tensor's name")?;
    let number = input.u32()?;
    if !(1..=4).contains(&axes) || length > LONGEST_NAME {
        return Err(format!("a tensor has {axes} axes and a name of {length} bytes").into());
    }
    let mut shape = Vec::with_capacity(axes);
    for _ in 0..axes {
        shape.push(input.count("the size of a tensor")?);
    }
    // The axis that lies together comes first here, last with us.
    shape.reverse();
    let name = String::from_utf8_lossy(input.take(length)?).into_owned();
    let dtype = Dtype::ggml(number);
    let dtype = dtype.ok_or_else(|| format!("{name} has the unknown type {number}"))?;
    let size = dtype.bytes(&shape)?;
    let start = input.at();
    input.skip(size)?;
    // The convolutions' biases are columns, so that ggml can add them.
    if let [_, 1] = shape.as_slice()
        && name.ends_with(".bias")
    {
        shape.pop();
    }
    let entry = Entry {
        dtype,
        shape,
        range: start..start + size,
        strides: None,
    };
    Ok((name, entry))
}
