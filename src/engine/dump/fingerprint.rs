//! Tells one model from another without reading all of it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Files that decide what a model says.
const KINDS: [&str; 6] = ["json", "safetensors", "bin", "pt", "gguf", "index"];
/// A file is read in this many places, evenly, its first and last bytes among them.
const PLACES: u64 = 256;
/// Bytes read in each place.
const PIECE: u64 = 4_096;

/// Of the model in a file or a directory: names, lengths and samples of all its files. Two that differ in a tensor of
/// any size have, as good as surely, two fingerprints.
pub fn of_path(path: &Path) -> io::Result<String> {
    let mut hash = Fnv::default();
    if path.is_dir() {
        let mut files: Vec<_> = fs::read_dir(path)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| {
                let kind = file.extension().and_then(|kind| kind.to_str());
                kind.is_some_and(|kind| KINDS.contains(&kind)) && file.is_file()
            })
            .collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap_or_default();
            hash.add(name.as_encoded_bytes());
            sample(&file, &mut hash)?;
        }
    } else {
        sample(path, &mut hash)?;
    }
    Ok(hash.text())
}

/// Of a model held in memory.
pub fn of_bytes(parts: &[&[u8]]) -> String {
    let mut hash = Fnv::default();
    for part in parts {
        hash.add(&(part.len() as u64).to_le_bytes());
        hash.add(part);
    }
    hash.text()
}

fn sample(path: &Path, hash: &mut Fnv) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    hash.add(&length.to_le_bytes());
    if length <= PLACES * PIECE {
        let mut all = Vec::new();
        file.read_to_end(&mut all)?;
        hash.add(&all);
        return Ok(());
    }
    let mut piece = Vec::new();
    for place in 0..PLACES {
        let at = u128::from(length - PIECE) * u128::from(place) / u128::from(PLACES - 1);
        file.seek(SeekFrom::Start(at as u64))?;
        piece.clear();
        (&mut file).take(PIECE).read_to_end(&mut piece)?;
        hash.add(&piece);
    }
    Ok(())
}

/// Fowler, Noll and Vo's hash (FNV-1a), 128 bits.
struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }

    fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv::default();
        hash.add(b"foobar");
        assert_eq!(hash.text(), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn other_weights_of_the_same_shape_have_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut weights = vec![7u8; 5 << 20];
        let write = |weights: &[u8]| {
            fs::write(dir.path().join("config.json"), "{}").unwrap();
            fs::write(dir.path().join("model.safetensors"), weights).unwrap();
            of_path(dir.path()).unwrap()
        };
        let before = write(&weights);
        assert_eq!(before, write(&weights));
        // A tensor of 100 kB.
        weights[3_000_000..3_100_000].fill(8);
        assert_ne!(before, write(&weights));
        // What is no part of the model does not count.
        weights[3_000_000..3_100_000].fill(7);
        fs::write(dir.path().join("README.md"), "about it").unwrap();
        assert_eq!(before, write(&weights));
    }
}
