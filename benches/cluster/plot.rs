//! Where the simulation's figures go: a CSV, and a plot of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Failure;

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Paths are the repository's. A plot's figures lie beside it, unless they have a place of their own.
pub fn write(csv: &str, to: Option<&Path>, plot: Option<&Path>) -> Result<(), Failure> {
    let beside = plot.map(|plot| plot.with_extension("csv"));
    let Some(to) = to.map(Path::to_path_buf).or(beside) else {
        return Ok(());
    };
    let to = root().join(to);
    std::fs::write(&to, csv).map_err(|err| format!("{} cannot be written: {err}", to.display()))?;
    println!("\n{} written", to.display());
    let Some(plot) = plot else { return Ok(()) };
    let python = root().join("target/peers/venv/bin/python");
    if !python.exists() {
        println!("no plot: run benches/peers.sh to have what draws it");
        return Ok(());
    }
    let script = root().join("benches/cluster/plot.py");
    let plot = root().join(plot);
    let drawn = Command::new(python)
        .arg(script)
        .arg(to)
        .arg(&plot)
        .status()?;
    if !drawn.success() {
        return Err(format!("the plot was not drawn: {drawn}").into());
    }
    println!("{} drawn", plot.display());
    Ok(())
}
