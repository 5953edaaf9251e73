//! Reads the recordings in `tests/audio`.

use std::path::PathBuf;

/// `tests/audio/NAME`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/audio")
        .join(name)
}

/// Samples of a 16 kHz mono S16 recording.
pub fn samples(name: &str) -> Vec<i16> {
    let mut wav = hound::WavReader::open(path(name)).unwrap();
    assert_eq!(
        (wav.spec().sample_rate, wav.spec().channels),
        (16_000, 1),
        "{name}"
    );
    wav.samples::<i16>().map(Result::unwrap).collect()
}

/// The same, as the network hears it.
pub fn floats(name: &str) -> Vec<f32> {
    samples(name)
        .iter()
        .map(|&s| f32::from(s) / 32768.0)
        .collect()
}
