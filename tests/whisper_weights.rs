//! Weights of every format: the same model says the same words whatever file it comes from.

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

use candle_core::quantized::GgmlDType;
use formats::{Model, Stored};
#[cfg(feature = "demo-model")]
use gstwhisperstream::engine::Pace;
use gstwhisperstream::transcribe::{Options, transcribe_buffer};
use gstwhisperstream::whisper::{
    AlignmentHead, AlignmentSource, Backend, Cancel, ModelSource, Tokenizer, Whisper, WhisperError,
    read_state_dict,
};
use tempfile::TempDir;

/// What a recording says: words and where they lie.
type Said = Vec<(String, u64, u64)>;

const SHORT: [(&str, &str); 1] = [("fr-accueil.wav", "fr")];
#[cfg(feature = "demo-model")]
const SEVERAL: [(&str, &str); 3] = [
    ("fr-accueil.wav", "fr"),
    ("en-greeting.wav", "en"),
    ("fr-numero.wav", "fr"),
];

/// Recordings through a model. Only the demo model's own directory names its heads, so they are given.
fn said(model: ModelSource, recordings: &[(&str, &str)]) -> Vec<Said> {
    let mut options = Options {
        model,
        alignment_heads: Some(vec![
            AlignmentHead { layer: 1, head: 0 },
            AlignmentHead { layer: 1, head: 1 },
        ]),
        ..Options::default()
    };
    let recordings = recordings.iter().map(|(name, language)| {
        options.policy.language = (*language).to_owned();
        let transcript = transcribe_buffer(&audio::samples(name), &options).unwrap();
        let words = transcript.words();
        words
            .map(|word| (word.text.clone(), word.start, word.end))
            .collect()
    });
    recordings.collect()
}

fn words(said: &[Said]) -> Vec<String> {
    let words = said.iter().flatten();
    words.map(|(text, _, _)| text.trim().to_owned()).collect()
}

/// Words to change, take or add to make one of the other.
fn differences(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let changed = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A file of our own making, under a name that tells nothing.
fn file(dir: &TempDir, bytes: &[u8]) -> ModelSource {
    let path = dir.path().join("weights");
    std::fs::write(&path, bytes).unwrap();
    ModelSource::Path(path)
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/models")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}

fn load(source: &ModelSource) -> Result<Whisper, WhisperError> {
    Whisper::load(source, Backend::default(), &Cancel::default(), &mut |_| {})
}

#[cfg(feature = "demo-model")]
#[test]
fn the_same_values_say_the_same_words_at_the_same_times_in_every_format() {
    let nano = Model::nano();
    let expected = said(ModelSource::Demo, &SHORT);
    assert!(words(&expected).len() > 15, "{expected:?}");
    let dir = folder();
    let path = dir.path().join("weights");
    let source = ModelSource::Path(path.clone());

    formats::write_safetensors(&path, &nano);
    assert_eq!(said(source.clone(), &SHORT), expected, "safetensors");
    for (stored, transposed) in [(Stored::Half, false), (Stored::Float, true)] {
        formats::write_pt(&path, &nano, stored, transposed);
        assert_eq!(said(source.clone(), &SHORT), expected, "pt");
    }
    for (format, bytes) in [
        ("ggml f16", formats::ggml(&nano, GgmlDType::F16)),
        ("ggml f32", formats::ggml(&nano, GgmlDType::F32)),
        ("gguf f16", formats::gguf(&nano, GgmlDType::F16)),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(said(source.clone(), &SHORT), expected, "{format}");
    }
}

/// Eight bits change no word of these recordings. Nor did five when this was written; one may.
#[cfg(feature = "demo-model")]
#[test]
fn quantised_weights_say_the_same_words_but_for_one_at_five_bits() {
    let nano = Model::nano();
    let several = words(&said(ModelSource::Demo, &SEVERAL));
    let short = words(&said(ModelSource::Demo, &SHORT));
    let dir = folder();
    let check = |what: &str, bytes: Vec<u8>, recordings: &[(&str, &str)], most: usize| {
        let expected = if recordings.len() == 1 {
            &short
        } else {
            &several
        };
        let heard = words(&said(file(&dir, &bytes), recordings));
        let differ = differences(&heard, expected);
        println!("{what}: {differ} of {} words differ", expected.len());
        assert!(differ <= most, "{what}: {heard:?}\n{expected:?}");
    };
    for (matrices, most) in [
        (GgmlDType::Q8_0, 0),
        (GgmlDType::Q5_1, 1),
        (GgmlDType::Q5_0, 1),
    ] {
        let ggml = formats::ggml(&nano, matrices);
        check(&format!("ggml {matrices:?}"), ggml, &SEVERAL, most);
        // The same blocks in another container.
        let gguf = formats::gguf(&nano, matrices);
        check(&format!("gguf {matrices:?}"), gguf, &SHORT, most);
    }
}

/// Files that openai/whisper's, whisper.cpp's and transformers' own code wrote.
#[test]
fn the_files_of_the_programs_themselves_say_the_same_words() {
    let Some(nano) = shared("whisper-nano") else {
        return;
    };
    let expected = said(ModelSource::Path(nano.clone()), &SHORT);
    for (name, same_times) in [
        ("model.safetensors", true),
        ("nano.pt", true),
        ("ggml-nano-f16.bin", true),
        ("ggml-nano-q8_0.bin", false),
    ] {
        let heard = said(ModelSource::Path(nano.join(name)), &SHORT);
        assert_eq!(words(&heard), words(&expected), "{name}");
        assert!(
            !same_times || heard == expected,
            "{name}: {heard:?}\n{expected:?}"
        );
    }
}

#[test]
fn a_single_file_takes_its_vocabulary_from_its_size_and_its_heads_from_its_shape() {
    for (mel_bins, vocab, multilingual) in
        [(80, 51864, false), (80, 51865, true), (128, 51866, true)]
    {
        let model = Model::small(mel_bins, vocab);
        let dir = folder();
        let path = dir.path().join("weights");
        let source = ModelSource::Path(path.clone());
        let check = |what: &str| {
            let whisper = load(&source).unwrap_or_else(|e| panic!("{what}: {e}"));
            let config = whisper.config();
            assert_eq!(whisper.tokenizer().len(), vocab, "{what}");
            assert_eq!(
                (config.mel_bins, config.vocab_size),
                (mel_bins, vocab),
                "{what}"
            );
            assert_eq!(config.multilingual, multilingual, "{what}");
            assert_eq!(
                (config.decoder_layers, config.decoder_heads),
                (1, 1),
                "{what}"
            );
            assert_eq!(
                whisper.alignment_source(),
                AlignmentSource::LastHalf,
                "{what}"
            );
            assert!(config.suppress_tokens.len() > 80, "{what}");
        };
        formats::write_safetensors(&path, &model);
        check("safetensors");
        formats::write_pt(&path, &model, Stored::Half, false);
        check("pt");
        std::fs::write(&path, formats::ggml(&model, GgmlDType::Q4_0)).unwrap();
        check("ggml");
        std::fs::write(&path, formats::gguf(&model, GgmlDType::Q4_1)).unwrap();
        check("gguf");
    }
}

#[test]
fn openai_files_of_every_vocabulary_load() {
    for name in ["random-v3", "random-en"] {
        let Some(dir) = shared(name) else { return };
        let of_dir = load(&ModelSource::Path(dir.clone())).unwrap();
        let of_file = load(&ModelSource::Path(dir.join("random.pt"))).unwrap();
        assert_eq!(of_file.config().vocab_size, of_dir.config().vocab_size);
        assert_eq!(
            of_file.config().decoder_heads,
            of_dir.config().decoder_heads
        );
        assert_eq!(of_file.config().multilingual, of_dir.config().multilingual);
        assert_eq!(
            of_file.config().suppress_tokens,
            of_dir.config().suppress_tokens
        );
    }
}

#[test]
fn the_bundled_vocabularies_are_those_of_the_models() {
    for (name, size) in [
        ("whisper-nano", 51865),
        ("random-v3", 51866),
        ("random-en", 51864),
    ] {
        let Some(dir) = shared(name) else { return };
        let path = dir.join("tokenizer.json");
        let own = Tokenizer::from_json(&std::fs::read(&path).unwrap(), &path).unwrap();
        let bundled = Tokenizer::bundled(size).unwrap().unwrap();
        assert_eq!((bundled.len(), own.len()), (size, size));
        for id in 0..size as u32 {
            // One of OpenAI's names for it, the other is in the English file.
            let renamed =
                (own.token_bytes(id) == b"<|nocaptions|>").then_some(&b"<|nospeech|>"[..]);
            assert_eq!(
                bundled.token_bytes(id),
                renamed.unwrap_or(own.token_bytes(id)),
                "{name} {id}"
            );
        }
        assert_eq!(
            format!("{:?}", bundled.specials()),
            format!("{:?}", own.specials())
        );
        let text =
            " L'été dernier, I said 42 times: \"日本語\" naïve-ish (don't)… 🎉\n\tDr. O'Neill's";
        assert_eq!(bundled.encode(text), own.encode(text), "{name}");

        let generation = std::fs::read(dir.join("generation_config.json")).unwrap();
        let generation: serde_json::Value = serde_json::from_slice(&generation).unwrap();
        let listed = generation["suppress_tokens"].as_array().unwrap().iter();
        let listed: Vec<u32> = listed.map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(bundled.non_speech(), listed, "{name}");
    }
    assert!(Tokenizer::bundled(2000).unwrap().is_none());
}

#[test]
fn a_directory_without_tokenizer_or_with_torch_weights_loads() {
    let model = Model::small(80, 51865);
    let dir = folder();
    let config = serde_json::json!({
        "model_type": "whisper", "num_mel_bins": 80, "d_model": 64, "encoder_layers": 1, "encoder_attention_heads": 1,
        "decoder_layers": 1, "decoder_attention_heads": 1, "max_target_positions": 448, "vocab_size": 51865,
    });
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    formats::write_pt(
        &dir.path().join("pytorch_model.bin"),
        &model,
        Stored::Half,
        false,
    );
    let whisper = load(&ModelSource::Path(dir.path().to_owned())).unwrap();
    assert_eq!(whisper.tokenizer().len(), 51865);
}

/// A distilled model: fewer layers in the decoder than the model whose shape it has otherwise.
#[test]
fn a_model_with_another_depth_loads_and_its_guessed_heads_are_told() {
    let mut nano = Model::nano();
    nano.tensors
        .retain(|t| !t.name.starts_with("decoder.layers.1."));
    let dir = folder();
    let path = dir.path().join("weights");
    formats::write_pt(&path, &nano, Stored::Half, false);
    let whisper = load(&ModelSource::Path(path)).unwrap();
    assert_eq!(
        (
            whisper.config().encoder_layers,
            whisper.config().decoder_layers
        ),
        (4, 1)
    );
    assert_eq!(whisper.alignment_source(), AlignmentSource::LastHalf);
    assert_eq!(whisper.config().alignment_heads.len(), 3);
}

#[test]
fn a_state_dict_comes_as_named_tensors() {
    let dir = folder();
    let path = dir.path().join("cif.ckpt");
    let weight: Vec<f32> = (0..8).map(|i| i as f32 / 4.0).collect();
    let bytes = formats::state_dict(&[("weight", &[1, 8], &weight), ("bias", &[1], &[-0.5])]);
    std::fs::write(&path, &bytes).unwrap();
    let state = read_state_dict(&path).unwrap();
    assert_eq!(state.keys().collect::<Vec<_>>(), ["bias", "weight"]);
    assert_eq!(
        (&state["weight"].shape, &state["weight"].values),
        (&vec![1, 8], &weight)
    );
    assert_eq!(
        (&state["bias"].shape, &state["bias"].values),
        (&vec![1], &vec![-0.5])
    );

    for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let message = read_state_dict(&path).unwrap_err().to_string();
        assert!(
            message.contains("cif.ckpt") && message.contains(';'),
            "{message}"
        );
    }
    let message = read_state_dict(&dir.path().join("gone"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("does not exist"), "{message}");
}

/// What a stream says with this CIF checkpoint, or the sentence it failed with.
#[cfg(feature = "demo-model")]
fn with_cif(bytes: Option<&[u8]>, truncate: bool) -> Result<String, String> {
    let dir = folder();
    let path = dir.path().join("cif.ckpt");
    let mut settings = engine::settings(Pace::Exact, "fr");
    if let Some(bytes) = bytes {
        std::fs::write(&path, bytes).unwrap();
        settings.cif_model = Some(path);
    }
    settings.policy.truncate_last_word = truncate;
    let (session, ears) = engine::open(settings);
    for piece in audio::samples("fr-accueil.wav").chunks(8000) {
        if session.push(piece).is_err() {
            return Err(ears.wait_failed());
        }
    }
    match session.drain() {
        Ok(()) => Ok(ears.text()),
        Err(_) => Err(ears.wait_failed()),
    }
}

#[cfg(feature = "demo-model")]
#[test]
fn a_cif_model_that_never_sees_a_word_end_cuts_the_last_of_every_pass() {
    let checkpoint =
        formats::state_dict(&[("weight", &[1, 192], &[0.0; 192]), ("bias", &[1], &[-20.0])]);
    let cut = with_cif(Some(&checkpoint), false).unwrap();
    assert!(cut.split_whitespace().count() > 10, "{cut:?}");
    assert_eq!(Ok(cut), with_cif(None, true));
}

#[cfg(feature = "demo-model")]
#[test]
fn a_cif_model_for_another_network_is_refused_by_a_sentence() {
    for (checkpoint, said) in [
        (
            formats::state_dict(&[("weight", &[1, 192], &[0.0; 192])]),
            "no tensor \"bias\"",
        ),
        (
            formats::state_dict(&[("bias", &[1], &[0.0])]),
            "no tensor \"weight\"",
        ),
        (
            formats::state_dict(&[("weight", &[1, 512], &[0.0; 512]), ("bias", &[1], &[0.0])]),
            "[1, 512]",
        ),
        (
            formats::state_dict(&[
                ("weight", &[1, 192], &[0.0; 192]),
                ("bias", &[2], &[0.0; 2]),
            ]),
            "[2]",
        ),
        (
            formats::state_dict(&[
                ("weight", &[1, 192], &[f32::NAN; 192]),
                ("bias", &[1], &[0.0]),
            ]),
            "no numbers",
        ),
    ] {
        let refused = with_cif(Some(&checkpoint), false).unwrap_err();
        assert!(refused.contains(said) && refused.contains(';'), "{refused}");
    }
}
