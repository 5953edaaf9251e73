//! Inputs from which others are made: `seeds/TARGET/*`, written by hand or by `seeds`, and `corpus/TARGET`, found by the fuzzer
//! and kept because together they reach what was reached. A corpus is one file: of each input its length (four bytes,
//! little-endian) and its bytes.

use std::io;

use crate::folder;

/// Bytes of a corpus at most.
const MOST: usize = 24 << 10;

/// The seeds of a target.
pub fn seeds(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    for file in std::fs::read_dir(folder("seeds").join(target))? {
        inputs.push(std::fs::read(file?.path())?);
    }
    inputs.sort();
    Ok(inputs)
}

/// All there is for a target, seeds first.
pub fn load(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut inputs = seeds(target)?;
    let packed = match std::fs::read(folder("corpus").join(target)) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Vec::new(),
        packed => packed?,
    };
    let mut rest = packed.as_slice();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((input, behind)) = behind.split_at_checked(length) else {
            break;
        };
        inputs.push(input.to_vec());
        rest = behind;
    }
    Ok(inputs)
}

/// Keeps inputs, the first ones where there are too many.
pub fn store(target: &str, inputs: &[Vec<u8>]) -> io::Result<usize> {
    let mut packed = Vec::new();
    let mut count = 0;
    for input in inputs {
        if packed.len() + input.len() + 4 <= MOST {
            packed.extend((input.len() as u32).to_le_bytes());
            packed.extend(input);
            count += 1;
        }
    }
    std::fs::create_dir_all(folder("corpus"))?;
    std::fs::write(folder("corpus").join(target), packed)?;
    Ok(count)
}
