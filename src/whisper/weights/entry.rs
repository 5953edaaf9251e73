//! Where a tensor lies in its file, and its values.

use std::ops::Range;

use candle_core::quantized::GgmlDType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::flaw::Flaw;
use super::shard::{Shard, room};

/// Values read and converted at a time: a multiple of every block.
const CHUNK: usize = 1 << 16;
/// 16-bit floats converted at a time.
const HALVES: usize = 4096;

/// How a tensor's values are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    /// Blocks of small integers with a scale, as ggml has them.
    Quantised(GgmlDType),
    /// Known by name only.
    Other(String),
}

impl Dtype {
    /// ggml's numbers for types, as its files and GGUF write them.
    pub fn ggml(number: u32) -> Option<Dtype> {
        let blocks = match number {
            0 => return Some(Dtype::F32),
            1 => return Some(Dtype::F16),
            30 => return Some(Dtype::Bf16),
            2 => GgmlDType::Q4_0,
            3 => GgmlDType::Q4_1,
            6 => GgmlDType::Q5_0,
            7 => GgmlDType::Q5_1,
            8 => GgmlDType::Q8_0,
            10 => GgmlDType::Q2K,
            11 => GgmlDType::Q3K,
            12 => GgmlDType::Q4K,
            13 => GgmlDType::Q5K,
            14 => GgmlDType::Q6K,
            _ => return None,
        };
        Some(Dtype::Quantised(blocks))
    }

    /// Values and bytes of what is stored together.
    fn block(&self) -> Option<(usize, usize)> {
        match self {
            Dtype::F64 => Some((1, 8)),
            Dtype::F32 => Some((1, 4)),
            Dtype::F16 | Dtype::Bf16 => Some((1, 2)),
            Dtype::Quantised(blocks) => Some((blocks.block_size(), blocks.type_size())),
            Dtype::Other(_) => None,
        }
    }

    /// Bytes of a tensor whose values lie row by row.
    ///
    /// # Errors
    /// A shape that fills no whole blocks, or more bytes than there are addresses.
    pub fn bytes(&self, shape: &[usize]) -> Result<usize, Flaw> {
        let (values, bytes) = self.block().ok_or("its values have no known size")?;
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(values) {
            return Err(format!("rows of {row} values make no blocks of {values}").into());
        }
        let size = elements(shape).and_then(|count| (count / values).checked_mul(bytes));
        size.ok_or_else(|| format!("the shape {shape:?} is beyond all memory").into())
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dtype::F64 => f.write_str("F64"),
            Dtype::F32 => f.write_str("F32"),
            Dtype::F16 => f.write_str("F16"),
            Dtype::Bf16 => f.write_str("BF16"),
            Dtype::Quantised(blocks) => write!(f, "{blocks:?}"),
            Dtype::Other(name) => f.write_str(name),
        }
    }
}

/// Values of a shape, if they can be counted.
pub fn elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size))
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Its bytes within the file, from the first value to the last.
    pub range: Range<usize>,
    /// Values from one to the next along each axis, where they do not lie row by row.
    pub strides: Option<Vec<usize>>,
}

impl Entry {
    /// Its values, row by row. Call this only for a shape that is wanted: it is what gets allocated.
    ///
    /// # Errors
    /// A range or a type that the file does not bear out, a file that is not what it was, or no memory for the values.
    pub fn values(&self, file: &Shard) -> Result<Vec<f32>, Flaw> {
        let length = self.range.len();
        if self.range.end > file.len() {
            return Err("it ends early".into());
        }
        if self.strides.is_none() && self.dtype.bytes(&self.shape)? != length {
            return Err("a tensor's bytes do not fill its shape".into());
        }
        let block = self.dtype.block();
        let (values, size) = block.ok_or_else(|| format!("{} values are not read", self.dtype))?;
        let mut stored = room(length / size * values)?;
        let step = CHUNK / values * size;
        let mut bytes = Aligned::of(step.min(length));
        for start in self.range.clone().step_by(step) {
            let bytes = bytes.first(step.min(self.range.end - start))?;
            file.fill(start, bytes)?;
            self.convert(bytes, &mut stored)?;
        }
        match &self.strides {
            None => Ok(stored),
            Some(strides) => gathered(&stored, &self.shape, strides),
        }
    }

    /// Appends the values of whole blocks.
    fn convert(&self, bytes: &[u8], to: &mut Vec<f32>) -> Result<(), Flaw> {
        match &self.dtype {
            Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32, to),
            Dtype::F32 => each(bytes, f32::from_le_bytes, to),
            Dtype::F16 => from_half(bytes, f16::from_le_bytes, to),
            Dtype::Bf16 => from_half(bytes, bf16::from_le_bytes, to),
            Dtype::Quantised(blocks) => dequantised(bytes, *blocks, to)?,
            Dtype::Other(name) => return Err(format!("{name} values are not read").into()),
        }
        Ok(())
    }
}

/// Bytes that begin where candle's blocks may.
struct Aligned {
    room: Vec<u8>,
    start: usize,
}

impl Aligned {
    const ALIGNMENT: usize = 16;

    fn of(length: usize) -> Aligned {
        let room = vec![0u8; length + Self::ALIGNMENT];
        let start = room.as_ptr().align_offset(Self::ALIGNMENT);
        Aligned { room, start }
    }

    fn first(&mut self, count: usize) -> Result<&mut [u8], Flaw> {
        let aligned = self.room.get_mut(self.start..);
        let first = aligned.and_then(|aligned| aligned.get_mut(..count));
        first.ok_or_else(|| "its blocks cannot be aligned".into())
    }
}

fn each<const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> f32, to: &mut Vec<f32>) {
    let (values, _) = bytes.as_chunks::<N>();
    to.extend(values.iter().map(|&value| from(value)));
}

/// Converts 16-bit floats, some at a time (the conversion is vectorised over slices).
fn from_half<T: Copy + Default>(bytes: &[u8], from: impl Fn([u8; 2]) -> T, to: &mut Vec<f32>)
where
    [T]: HalfFloatSliceExt,
{
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut halves = [T::default(); HALVES];
    let mut values = [0f32; HALVES];
    for pairs in pairs.chunks(HALVES) {
        for (half, &pair) in halves.iter_mut().zip(pairs) {
            *half = from(pair);
        }
        halves.convert_to_f32_slice(&mut values);
        to.extend(values.iter().take(pairs.len()));
    }
}

/// candle's blocks to floats.
fn dequantised(bytes: &[u8], blocks: GgmlDType, to: &mut Vec<f32>) -> Result<(), Flaw> {
    let values = bytes.len() / blocks.type_size() * blocks.block_size();
    let part = blocks.from_data(std::borrow::Cow::Borrowed(bytes));
    let part = part.dequantize(values);
    let part = part.map_err(|e| Flaw::Damaged(e.to_string()))?;
    let candle_core::CpuStorage::F32(part) = part else {
        return Err("its blocks are no numbers".into());
    };
    to.extend(part);
    Ok(())
}

/// Values that lie in another order, row by row.
fn gathered(stored: &[f32], shape: &[usize], strides: &[usize]) -> Result<Vec<f32>, Flaw> {
    let count = elements(shape).filter(|&count| count <= stored.len());
    let count = count.ok_or("a tensor uses stored values more than once")?;
    let mut values = room(count)?;
    let mut place = vec![0usize; shape.len()];
    for _ in 0..count {
        let at: usize = place.iter().zip(strides).map(|(i, s)| i * s).sum();
        values.push(
            *stored
                .get(at)
                .ok_or("a tensor reaches behind its storage")?,
        );
        for (i, &size) in place.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dtype: Dtype, shape: &[usize], range: Range<usize>) -> Entry {
        Entry {
            dtype,
            shape: shape.to_vec(),
            range,
            strides: None,
        }
    }

    fn file(bytes: &[u8]) -> Shard {
        Shard::in_memory("".into(), bytes.to_vec())
    }

    fn floats(values: &[f32]) -> Shard {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        file(&bytes)
    }

    #[test]
    fn a_transposed_tensor_comes_row_by_row() {
        let bytes = floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut transposed = entry(Dtype::F32, &[3, 2], 0..24);
        transposed.strides = Some(vec![1, 3]);
        assert_eq!(
            transposed.values(&bytes).unwrap(),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }

    #[test]
    fn a_tensor_that_repeats_its_storage_is_refused() {
        let mut expanded = entry(Dtype::F32, &[1 << 40, 2], 0..8);
        expanded.strides = Some(vec![0, 1]);
        assert!(expanded.values(&floats(&[1.0, 2.0])).is_err());
    }

    #[test]
    fn blocks_are_read_at_any_place_in_a_file() {
        // Q8_0: a scale in f16, 32 signed bytes.
        let mut block = f16::from_f32(0.5).to_le_bytes().to_vec();
        block.extend((0..32).map(|i| (i - 16) as i8 as u8));
        for offset in 0..4 {
            let mut bytes = vec![0u8; offset];
            bytes.extend(&block);
            let range = offset..bytes.len();
            let quantised = entry(Dtype::Quantised(GgmlDType::Q8_0), &[1, 32], range);
            let values = quantised.values(&file(&bytes)).unwrap();
            let expected: Vec<f32> = (0..32).map(|i| (i - 16) as f32 * 0.5).collect();
            assert_eq!(values, expected);
        }
    }

    #[test]
    fn every_kind_of_block_comes_back_as_it_was_written() {
        use candle_core::quantized::QTensor;
        let wave: Vec<f32> = (0..3 * 512).map(|i| (i as f32 * 0.37).sin()).collect();
        let tensor = candle_core::Tensor::from_slice(&wave, (3, 512), &candle_core::Device::Cpu);
        let tensor = tensor.unwrap();
        for (number, error) in [
            (2, 0.15),
            (3, 0.1),
            (6, 0.08),
            (7, 0.05),
            (8, 0.01),
            (10, 0.5),
            (11, 0.3),
            (12, 0.15),
            (13, 0.08),
            (14, 0.05),
        ] {
            let Some(Dtype::Quantised(blocks)) = Dtype::ggml(number) else {
                panic!("{number} is no type");
            };
            let stored = QTensor::quantize(&tensor, blocks).unwrap();
            let stored = stored.data().unwrap();
            let quantised = entry(Dtype::Quantised(blocks), &[3, 512], 0..stored.len());
            let values = quantised.values(&file(&stored)).unwrap();
            assert_eq!(values.len(), wave.len());
            let far = |(a, b): (&f32, &f32)| (a - b).abs();
            let worst = values.iter().zip(&wave).map(far).fold(0.0, f32::max);
            assert!(worst < error, "{blocks:?}: {worst}");
        }
    }

    #[test]
    fn a_shape_that_its_bytes_do_not_fill_is_refused() {
        let bytes = floats(&[1.0, 2.0]);
        for (shape, range) in [(&[3][..], 0..8), (&[2], 0..12), (&[usize::MAX, 4], 0..8)] {
            assert!(entry(Dtype::F32, shape, range).values(&bytes).is_err());
        }
        assert!(Dtype::Quantised(GgmlDType::Q5_0).bytes(&[2, 33]).is_err());
    }
}
