//! Recordings by one call.

use std::path::{Path, PathBuf};

use gstwhisperstream::transcribe::{Options, TranscribeError, transcribe_buffer, transcribe_file};
use gstwhisperstream::whisper::ModelSource;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/audio")
        .join(name)
}

fn french() -> Options {
    let mut options = Options::default();
    options.policy.language = "fr".into();
    options
}

fn samples(name: &str) -> Vec<i16> {
    let mut wav = hound::WavReader::open(recording(name)).unwrap();
    wav.samples::<i16>().map(|sample| sample.unwrap()).collect()
}

#[test]
fn a_file_and_its_samples_say_the_same() {
    let options = french();
    let file = transcribe_file(&recording("fr-pauses.wav"), &options).unwrap();
    let buffer = transcribe_buffer(&samples("fr-pauses.wav"), &options).unwrap();
    assert_eq!(file.utterances, buffer.utterances);
    assert!(file.utterances.len() > 1);
    assert_eq!(file.words().count(), file.utterances.concat().len());
    assert!(
        file.text().contains("bonjour") || file.text().contains("allô"),
        "{}",
        file.text()
    );
    let starts: Vec<_> = file.words().map(|word| word.start).collect();
    assert!(starts.is_sorted() && starts.last() < Some(&(samples("fr-pauses.wav").len() as u64)));
}

#[test]
fn a_language_that_was_detected_is_told() {
    let transcript = transcribe_file(&recording("en-greeting.wav"), &Options::default()).unwrap();
    assert_eq!(
        transcript.language.map(|language| language.code),
        Some("en")
    );
}

#[test]
fn silence_says_nothing() {
    let transcript = transcribe_buffer(&[0; 80_000], &french()).unwrap();
    assert!(transcript.utterances.is_empty() && transcript.text().is_empty());
    assert!(transcribe_buffer(&[], &french()).unwrap().text().is_empty());
}

#[test]
fn what_cannot_be_read_is_named() {
    let gone = Path::new("/nowhere/call.wav");
    let error = transcribe_file(gone, &french()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/call.wav"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("call.wav");
    std::fs::write(&text, "this is no audio").unwrap();
    let error = transcribe_file(&text, &french()).unwrap_err();
    assert!(matches!(error, TranscribeError::Media { .. }), "{error}");

    let mut options = french();
    options.model = ModelSource::Path("/nowhere/model".into());
    let error = transcribe_buffer(&[0; 100], &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/model"), "{error}");

    let mut options = french();
    options.policy.min_chunk_ms = 1;
    let error = transcribe_buffer(&[0; 100], &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("min-chunk-size"), "{error}");
}
