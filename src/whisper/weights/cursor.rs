//! Little-endian numbers off something that may end anywhere: a slice, or a file.

use super::flaw::Flaw;
use super::shard::Shard;

/// Bytes of a file that are read at a time.
const BLOCK: usize = 1 << 16;

/// What numbers are read from.
pub trait Numbers {
    /// The next `N` bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw>;

    fn u8(&mut self) -> Result<u8, Flaw> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Flaw> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Flaw> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Flaw> {
        self.array().map(u64::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, Flaw> {
        self.array().map(i32::from_le_bytes)
    }

    /// A count that is written as `i32` and must not be negative.
    fn count(&mut self, what: &str) -> Result<usize, Flaw> {
        let value = self.i32()?;
        usize::try_from(value).map_err(|_| format!("{what} is {value}").into())
    }
}

/// A place within a slice.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let end = end(self.at, count, self.bytes.len())?;
        let taken = self.bytes.get(self.at..end).unwrap_or_default();
        self.at = end;
        Ok(taken)
    }

    /// The bytes before the next line feed, which is passed over.
    pub fn line(&mut self) -> Result<&'a [u8], Flaw> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or("it ends within a line")?)?;
        self.at += 1;
        Ok(line)
    }
}

impl Numbers for Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "it ends early".into())
    }
}

/// A place within a file. What is passed over is not read.
pub struct Scan<'a> {
    file: &'a Shard,
    at: usize,
    /// What was read of the file last, and where that begins.
    block: Vec<u8>,
    start: usize,
}

impl<'a> Scan<'a> {
    pub fn new(file: &'a Shard) -> Scan<'a> {
        Scan {
            file,
            at: 0,
            block: Vec::new(),
            start: 0,
        }
    }

    /// Bytes read or passed over so far.
    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.file.len().saturating_sub(self.at)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&[u8], Flaw> {
        let end = end(self.at, count, self.file.len())?;
        let held = self.start..self.start + self.block.len();
        if self.at < held.start || end > held.end {
            let block = count.max(BLOCK).min(self.left());
            self.block = self.file.read(self.at..self.at + block)?;
            self.start = self.at;
        }
        let from = self.at - self.start;
        self.at = end;
        Ok(self.block.get(from..from + count).unwrap_or_default())
    }

    /// Passes over the next `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), Flaw> {
        self.at = end(self.at, count, self.file.len())?;
        Ok(())
    }
}

impl Numbers for Scan<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "it ends early".into())
    }
}

/// Behind the next `count` of `length` bytes.
fn end(at: usize, count: usize, length: usize) -> Result<usize, Flaw> {
    let end = at.checked_add(count).filter(|&end| end <= length);
    end.ok_or_else(|| {
        let left = length.saturating_sub(at);
        format!("it ends early: {count} bytes are due at {at}, {left} are left").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_scanned_across_blocks_and_gaps() {
        let bytes: Vec<u8> = (0..3 * BLOCK).map(|i| (i * 7 % 251) as u8).collect();
        let file = Shard::in_memory("".into(), bytes.clone());
        let mut scan = Scan::new(&file);
        for (skipped, taken) in [(0, 9), (BLOCK - 12, 7), (3, 2), (0, BLOCK + 5), (100, 1)] {
            scan.skip(skipped).unwrap();
            let at = scan.at();
            assert_eq!(scan.take(taken).unwrap(), &bytes[at..at + taken]);
        }
        let left = scan.left();
        let at = scan.at();
        assert!(scan.take(left + 1).is_err() && scan.skip(usize::MAX).is_err());
        assert_eq!(scan.at(), at);
        assert_eq!(scan.take(left).unwrap(), &bytes[at..]);
    }
}
