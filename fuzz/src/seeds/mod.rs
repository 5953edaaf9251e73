//! Small good inputs that a program makes; those that are text were written by hand.

mod calls;
mod media;
mod weights;

use std::error::Error;
use std::io;
use std::path::Path;

/// Writes them into a folder for each target.
pub fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    weights::write(folder)?;
    calls::write(folder)?;
    media::write(folder)
}

fn put(folder: &Path, target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}
