//! Log-mel against openai-whisper 20250625 (`tests/golden/mel`, `../shared/golden/mel`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gstwhisperstream::whisper::{LogMel, MelFilters, WINDOW_MEL_FRAMES};
use safetensors::SafeTensors;

fn samples(wav: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(wav).unwrap();
    let spec = reader.spec();
    assert_eq!((spec.sample_rate, spec.channels), (16_000, 1));
    let samples = reader.samples::<i16>();
    samples.map(|x| f32::from(x.unwrap()) / 32768.0).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.chunks_exact(4);
    words
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

/// Largest difference to the golden frames, fed in chunks of `chunk` samples.
fn worst(golden: &Path, wav: &Path, bins: usize, chunk: usize) -> f32 {
    let file = std::fs::read(golden).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let tensor = tensors.tensor(&format!("mel{bins}")).unwrap();
    let frames = tensor.shape()[1];
    let expected = floats(tensor.data());

    let mut mel = LogMel::new(Arc::new(MelFilters::new(bins)));
    for chunk in samples(wav).chunks(chunk) {
        mel.push(chunk);
        mel.window();
    }
    let window = mel.window();
    let mut worst = 0f32;
    for (expected, row) in expected
        .chunks(frames)
        .zip(window.chunks(WINDOW_MEL_FRAMES))
    {
        for (a, b) in expected.iter().zip(row) {
            worst = worst.max((a - b).abs());
        }
    }
    worst
}

fn check(golden: &Path, wav: &Path) {
    for bins in [80, 128] {
        for chunk in [usize::MAX, 8000, 777] {
            let worst = worst(golden, wav, bins, chunk);
            println!(
                "{}: {bins} bins, worst difference {worst:e}",
                golden.display()
            );
            assert!(worst <= 1e-4, "{} {bins} bins: {worst:e}", golden.display());
        }
    }
}

#[test]
fn log_mel_equals_the_bundled_golden() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mel");
    check(&dir.join("fr-court.safetensors"), &dir.join("fr-court.wav"));
}

#[test]
fn log_mel_equals_every_shared_golden() {
    let shared: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !shared.join("golden/mel").is_dir() {
        eprintln!("SKIPPED: {} is absent", shared.display());
        return;
    }
    for name in ["en-digits", "fr-bruit", "fr-court"] {
        check(
            &shared.join(format!("golden/mel/{name}.safetensors")),
            &shared.join(format!("audio/{name}.wav")),
        );
    }
}
