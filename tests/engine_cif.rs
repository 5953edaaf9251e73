//! `cif-model`: the last word of a pass is dropped if the audio ends within it, as a checkpoint tells.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/engine.rs"]
#[allow(dead_code)]
mod engine;
#[path = "common/formats.rs"]
#[allow(dead_code)]
mod formats;

use std::path::{Path, PathBuf};

use engine::*;
use gstwhisperstream::engine::{Pace, SessionSettings};
use gstwhisperstream::whisper::{WhisperConfig, WordEnds};
use tempfile::TempDir;

/// Width of the demo model's encoder.
const D: usize = 192;

/// A checkpoint that gives every frame the same weight.
fn checkpoint(folder: &TempDir, name: &str, d: usize, bias: f32) -> PathBuf {
    let path = folder.path().join(name);
    let tensors: [(&str, &[usize], &[f32]); 2] =
        [("weight", &[1, d], &vec![0.0; d]), ("bias", &[1], &[bias])];
    std::fs::write(&path, formats::state_dict(&tensors)).unwrap();
    path
}

fn told(change: impl FnOnce(&mut SessionSettings)) -> Vec<String> {
    let mut settings = settings(Pace::Exact, "fr");
    change(&mut settings);
    let (session, ears) = open(settings);
    session.push(&audio::samples("fr-accueil.wav")).unwrap();
    session.drain().unwrap();
    ears.said()
}

#[test]
fn a_word_that_the_audio_cuts_is_dropped_as_the_checkpoint_says() {
    keep_model();
    let folder = TempDir::new().unwrap();
    let never = checkpoint(&folder, "never.ckpt", D, -20.0);
    let always = checkpoint(&folder, "always.ckpt", D, 20.0);
    let whole = told(|_| {});
    let cut = told(|settings| settings.policy.truncate_last_word = true);
    assert_ne!(whole, cut);
    assert!(told(|settings| settings.cif_model = Some(never)) == cut);
    assert!(told(|settings| settings.cif_model = Some(always.clone())) == whole);
    // The property that drops all comes first.
    let both = told(|settings| {
        settings.cif_model = Some(always);
        settings.policy.truncate_last_word = true;
    });
    assert!(both == cut);
}

fn config(d_model: usize) -> WhisperConfig {
    WhisperConfig {
        mel_bins: 80,
        d_model,
        encoder_layers: 1,
        encoder_heads: 1,
        decoder_layers: 1,
        decoder_heads: 1,
        vocab_size: 51_865,
        text_positions: 448,
        trained_positions: 448,
        alignment_heads: Vec::new(),
        suppress_tokens: Vec::new(),
        multilingual: true,
    }
}

#[test]
fn checkpoints_of_the_published_shapes_go_with_their_models_alone() {
    let folder = TempDir::new().unwrap();
    for d in [512, 768, 1024, 1280] {
        let path = checkpoint(&folder, "cif.ckpt", d, 0.0);
        WordEnds::load(&path, &config(d)).unwrap();
        let refusal = WordEnds::load(&path, &config(384)).unwrap_err().to_string();
        assert!(
            refusal.contains(&format!("[1, {d}]")) && refusal.contains("384"),
            "{refusal}"
        );
    }
}

#[test]
fn what_is_no_such_checkpoint_ends_the_stream_with_a_sentence() {
    keep_model();
    let folder = TempDir::new().unwrap();
    let write = |name: &str, tensors: &[(&str, &[usize], &[f32])]| {
        let path = folder.path().join(name);
        std::fs::write(&path, formats::state_dict(tensors)).unwrap();
        path
    };
    let zeros = [0.0; D];
    let text = folder.path().join("text");
    std::fs::write(&text, "no checkpoint").unwrap();
    let cases: [(PathBuf, &str); 6] = [
        (write("bare", &[("weight", &[1, D], &zeros)]), "\"bias\""),
        (
            write(
                "wide",
                &[("weight", &[1, 3], &[0.0; 3]), ("bias", &[1], &[0.0])],
            ),
            "[1, 3]",
        ),
        (
            write(
                "two",
                &[("weight", &[1, D], &zeros), ("bias", &[2], &[0.0, 0.0])],
            ),
            "not [1]",
        ),
        (
            write(
                "nan",
                &[("weight", &[1, D], &zeros), ("bias", &[1], &[f32::NAN])],
            ),
            "no numbers",
        ),
        (text, "text"),
        (
            Path::new("/nowhere/cif.ckpt").to_owned(),
            "/nowhere/cif.ckpt",
        ),
    ];
    for (path, part) in cases {
        let mut settings = settings(Pace::Exact, "fr");
        settings.cif_model = Some(path.clone());
        let (_session, ears) = open(settings);
        let sentence = ears.wait_failed();
        assert!(sentence.contains(part), "{}: {sentence}", path.display());
    }
}
