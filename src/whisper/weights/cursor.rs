//! Little-endian numbers off a slice that may end anywhere.

use super::flaw::Flaw;

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

    pub fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| {
            let (at, left) = (self.at, self.left());
            format!("it ends early: {count} bytes are due at {at}, {left} are left")
        })?;
        self.at += count;
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

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "it ends early".into())
    }

    pub fn u8(&mut self) -> Result<u8, Flaw> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Result<u16, Flaw> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Flaw> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Flaw> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Flaw> {
        self.array().map(i32::from_le_bytes)
    }

    /// A count that is written as `i32` and must not be negative.
    pub fn count(&mut self, what: &str) -> Result<usize, Flaw> {
        let value = self.i32()?;
        usize::try_from(value).map_err(|_| format!("{what} is {value}").into())
    }
}
