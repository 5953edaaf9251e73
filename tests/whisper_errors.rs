//! What loading says of models it cannot take: each mistake gets its own sentence, and none a panic.

#[path = "common/synthetic.rs"]
mod synthetic;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gstwhisperstream::whisper::{
    AlignmentHead, AlignmentSource, Backend, Cancel, Loading, ModelSource, Whisper, WhisperError,
    Window,
};
use serde_json::json;
use synthetic::{Shape, Stored};
use tempfile::TempDir;

fn model(shape: &Shape) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    synthetic::write(dir.path(), shape, Stored::F16, 1);
    dir
}

fn load(path: &Path) -> Result<Whisper, WhisperError> {
    let source = ModelSource::Path(path.to_owned());
    Whisper::load(&source, Backend::default(), &Cancel::default(), &mut |_| {})
}

/// The sentence this model is refused with; it must hold each of `parts`.
#[track_caller]
fn refused(path: &Path, parts: &[&str]) {
    let message = match load(path) {
        Ok(_) => panic!("{path:?} was taken"),
        Err(e) => e.to_string(),
    };
    println!("{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    // What is wrong, then what to do.
    assert!(message.contains(';'), "no remedy in: {message}");
}

/// A micro model with this change to its `config.json`.
fn with_config(key: &str, value: serde_json::Value) -> TempDir {
    let dir = model(&Shape::MICRO);
    let mut config = Shape::MICRO.config();
    config[key] = value;
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

#[test]
fn a_good_model_loads_in_every_storage_and_sharded() {
    let mut encoded = Vec::new();
    for (stored, shards) in [
        (Stored::F32, 1),
        (Stored::F16, 1),
        (Stored::Bf16, 1),
        (Stored::F16, 3),
    ] {
        let dir = tempfile::tempdir().unwrap();
        synthetic::write(dir.path(), &Shape::MICRO, stored, shards);
        let whisper = load(dir.path()).unwrap();
        assert_eq!(whisper.alignment_source(), AlignmentSource::LastHalf);
        let mel: Vec<f32> = (0..80 * 3000).map(|i| (i as f32 * 0.1).sin()).collect();
        let states = whisper
            .encode(Window::whole(&mel), &Cancel::default())
            .unwrap();
        encoded.push(states.to_vec().unwrap());
    }
    assert!(encoded[1] == encoded[3], "shards change the values");
    let far = |a: &[f32], b: &[f32]| {
        let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        differences.fold(0f32, f32::max)
    };
    assert!(far(&encoded[0], &encoded[1]) < 0.05);
    assert!(far(&encoded[0], &encoded[2]) < 0.4);
}

#[test]
fn progress_rises_to_a_hundred() {
    let dir = model(&Shape::MICRO);
    let source = ModelSource::Path(dir.path().to_owned());
    let mut seen = Vec::new();
    let mut note = |loading: Loading| seen.push(loading.percent);
    Whisper::load(&source, Backend::default(), &Cancel::default(), &mut note).unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!((seen[0], seen[seen.len() - 1]), (0, 100));
    assert!(seen.len() > 10, "{seen:?}");
}

#[test]
fn a_path_that_does_not_exist_is_named() {
    refused(
        Path::new("/no/such/model"),
        &["/no/such/model", "path that exists", "hub"],
    );
}

#[test]
fn a_file_of_no_known_kind_is_told_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tiny.pt");
    for (bytes, hint) in [
        (&b"PK"[..], "kind"),
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "page of the web"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "git lfs pull",
        ),
        (b"tjgg\x01\x00\x00\x00", "kind"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        refused(
            &file,
            &["tiny.pt", hint, ".safetensors", ".pt", "ggml", ".gguf"],
        );
    }
}

#[test]
fn each_missing_file_is_named_with_its_directory() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let dir = model(&Shape::MICRO);
        std::fs::remove_file(dir.path().join(name)).unwrap();
        refused(dir.path(), &[name, &format!("{:?}", dir.path())]);
    }
    let dir = tempfile::tempdir().unwrap();
    synthetic::write(dir.path(), &Shape::MICRO, Stored::F16, 2);
    let shard = "model-00002-of-00002.safetensors";
    std::fs::remove_file(dir.path().join(shard)).unwrap();
    refused(dir.path(), &[shard]);
}

#[test]
fn models_without_the_optional_files_load() {
    let dir = model(&Shape::MICRO);
    for name in ["generation_config.json", "preprocessor_config.json"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert!(load(dir.path()).unwrap().config().multilingual);
}

#[test]
fn json_that_is_none_is_named() {
    for name in [
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "tokenizer.json",
    ] {
        for text in [
            "",
            "{",
            "[]",
            "\u{0}\u{1}",
            "{\"d_model\": \"wide\"}garbage",
        ] {
            let dir = model(&Shape::MICRO);
            std::fs::write(dir.path().join(name), text).unwrap();
            refused(dir.path(), &[name]);
        }
    }
}

#[test]
fn an_index_cannot_lead_out_of_its_directory() {
    for file in ["../model.safetensors", "/etc/passwd", "a/b", ".", ""] {
        let dir = model(&Shape::MICRO);
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        let index = json!({"weight_map": {"x": file}}).to_string();
        std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
        refused(dir.path(), &["is no file name"]);
    }
}

#[test]
fn weights_cut_short_at_any_place_are_refused() {
    let dir = model(&Shape::MICRO);
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for len in [0, 7, 8, 100, 5000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        refused(dir.path(), &["model.safetensors"]);
    }
    let mut huge_header = whole.clone();
    huge_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&path, huge_header).unwrap();
    refused(dir.path(), &["model.safetensors"]);
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    let dir = model(&Shape::MICRO);
    let path = dir.path().join("model.safetensors");
    let name = "model.decoder.layers.0.encoder_attn.v_proj.bias";
    let all = Shape::MICRO.tensors();
    let mut fewer = all.clone();
    fewer.retain(|(n, _)| n != name);
    synthetic::write_weights(&path, &fewer, Stored::F16);
    refused(
        dir.path(),
        &["lack", "decoder.layers.0.encoder_attn.v_proj.bias"],
    );

    let mut other = all;
    other.iter_mut().find(|(n, _)| n == name).unwrap().1 = vec![15];
    synthetic::write_weights(&path, &other, Stored::F16);
    refused(dir.path(), &["encoder_attn.v_proj.bias", "[15]", "[16]"]);
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let dir = model(&Shape::MICRO);
    let path = dir.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[len - 2..].copy_from_slice(&half::f16::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    refused(dir.path(), &["no numbers"]);
}

#[test]
fn integer_weights_are_refused() {
    let dir = model(&Shape::MICRO);
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    // Same length, so that the header stays where it is.
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).unwrap();
    let header = header.replace("\"F16\"", "\"I16\"");
    let mut changed = bytes[..8].to_vec();
    changed.extend(header.bytes());
    changed.extend(&bytes[8 + length..]);
    std::fs::write(&path, changed).unwrap();
    refused(dir.path(), &["I16", "BF16"]);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    for tokens in [1999, 2001, 3000] {
        let dir = model(&Shape::MICRO);
        synthetic::write_tokenizer(dir.path(), tokens);
        refused(dir.path(), &["tokenizer.json", &tokens.to_string(), "2000"]);
    }
    // As many tokens, other places: only the start token tells.
    let dir = with_config("decoder_start_token_id", json!(7));
    refused(dir.path(), &["<|startoftranscript|>", "7"]);
}

#[test]
fn a_tokenizer_without_whispers_tokens_is_refused() {
    for name in [
        "<|endoftext|>",
        "<|notimestamps|>",
        "<|nospeech|>",
        "<|transcribe|>",
    ] {
        let dir = model(&Shape::MICRO);
        let path = dir.path().join("tokenizer.json");
        let json = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, json.replace(name, "<|other|>")).unwrap();
        refused(dir.path(), &["tokenizer.json"]);
    }
}

#[test]
fn a_tokenizer_with_absurd_ids_is_refused() {
    let dir = model(&Shape::MICRO);
    let path = dir.path().join("tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["added_tokens"][9]["id"] = json!(u32::MAX);
    std::fs::write(&path, json.to_string()).unwrap();
    refused(dir.path(), &["tokenizer.json"]);
}

#[test]
fn another_kind_of_model_is_refused() {
    let dir = with_config("model_type", json!("llama"));
    refused(dir.path(), &["llama", "whisper"]);
}

#[test]
fn absurd_shapes_are_refused_before_anything_is_allocated() {
    for (key, value) in [
        ("encoder_attention_heads", json!(0)),
        ("decoder_attention_heads", json!(3)),
        ("decoder_layers", json!(1_000_000_000u64)),
        ("encoder_layers", json!(0)),
        ("d_model", json!(1u64 << 40)),
        ("vocab_size", json!(1u64 << 50)),
        ("max_target_positions", json!(0)),
        ("num_mel_bins", json!(0)),
        ("num_mel_bins", json!(128)),
        ("max_source_positions", json!(3000)),
        ("decoder_ffn_dim", json!(0)),
        ("activation_function", json!("relu")),
        ("d_model", json!(null)),
    ] {
        let dir = with_config(key, value);
        refused(dir.path(), &[key, "config.json"]);
    }
    let dir = with_config("d_model", json!(-16));
    refused(dir.path(), &["config.json"]);
}

#[test]
fn shapes_that_differ_from_the_weights_name_the_tensor() {
    let dir = with_config("d_model", json!(32));
    refused(dir.path(), &["layer_norm", "[16]", "[32]"]);
    let dir = with_config("decoder_layers", json!(2));
    refused(dir.path(), &["lack", "decoder.layers.1"]);
}

#[test]
fn wrong_input_is_an_error_and_the_model_goes_on() {
    let dir = model(&Shape::MICRO);
    let whisper = Arc::new(load(dir.path()).unwrap());
    let cancel = Cancel::default();
    assert!(whisper.encode(Window::whole(&[]), &cancel).is_err());
    let encoded = whisper
        .encode(Window::whole(&vec![0.0; 80 * 3000]), &cancel)
        .unwrap();
    let nowhere = [AlignmentHead { layer: 1, head: 0 }];
    assert!(whisper.decoder(&encoded, &nowhere).is_err());

    let mut decoder = whisper.decoder(&encoded, &[]).unwrap();
    assert!(decoder.step(&whisper, &[], None).is_err());
    assert!(decoder.step(&whisper, &[2000], None).is_err());
    assert!(decoder.step(&whisper, &[1], Some(1)).is_err());
    assert!(decoder.step(&whisper, &[1; 449], None).is_err());
    assert_eq!(decoder.position(), 0);
    decoder.step(&whisper, &[1; 447], None).unwrap();
    let last = decoder.step(&whisper, &[1], None).unwrap();
    assert!(last.logits.iter().all(|x| x.is_finite()));
    assert!(decoder.step(&whisper, &[1], None).is_err());
}

#[test]
fn a_cancelled_pass_returns_within_a_tenth_of_a_second() {
    let dir = model(&Shape::NANO);
    let whisper = Arc::new(load(dir.path()).unwrap());
    let cancel = Cancel::default();
    let late = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(10));
        late.cancel();
    });
    let mel = vec![0.0; 80 * 3000];
    let result = loop {
        if let Err(e) = whisper.encode(Window::whole(&mel), &cancel) {
            break e;
        }
    };
    assert!(matches!(result, WhisperError::Cancelled));
    cancel.reset();
    assert!(whisper.encode(Window::whole(&mel), &cancel).is_ok());
}

#[test]
fn a_cancelled_load_says_so() {
    let dir = model(&Shape::MICRO);
    let source = ModelSource::Path(dir.path().to_owned());
    let cancel = Cancel::default();
    let from_within = cancel.clone();
    let mut progress = |loading: Loading| {
        if loading.percent >= 50 {
            from_within.cancel();
        }
    };
    let result = Whisper::load(&source, Backend::default(), &cancel, &mut progress);
    assert!(matches!(result, Err(WhisperError::Cancelled)));
}

#[cfg(not(feature = "demo-model"))]
#[test]
fn a_build_without_the_demo_model_says_so() {
    let result = Whisper::load(
        &ModelSource::Demo,
        Backend::default(),
        &Cancel::default(),
        &mut |_| {},
    );
    let message = result.err().unwrap().to_string();
    assert!(message.contains("demo-model"), "{message}");
}

/// Loads a model from `dir`, and does this to its weights when half of them are read.
fn load_while(dir: &TempDir, disturb: impl FnOnce(&Path)) -> Result<Whisper, WhisperError> {
    let weights = dir.path().join("model.safetensors");
    let before = std::fs::File::options()
        .append(true)
        .open(&weights)
        .unwrap();
    // Clocks of file systems are coarse: what is written now must not look as old as what was written before.
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(60);
    before.set_modified(long_ago).unwrap();
    let mut disturb = Some(disturb);
    let mut note = |loading: Loading| {
        if loading.percent >= 50
            && let Some(disturb) = disturb.take()
        {
            disturb(&weights);
        }
    };
    let source = ModelSource::Path(dir.path().to_owned());
    let loaded = Whisper::load(&source, Backend::default(), &Cancel::default(), &mut note);
    assert!(disturb.is_none(), "nothing was disturbed");
    loaded
}

/// What the network makes of a made-up window.
fn heard_by(whisper: &Whisper) -> Vec<f32> {
    let mel: Vec<f32> = (0..80 * 3000).map(|i| (i as f32 * 0.1).sin()).collect();
    let encoded = whisper.encode(Window::whole(&mel), &Cancel::default());
    encoded.unwrap().to_vec().unwrap()
}

#[test]
fn a_file_that_is_cut_short_while_it_is_read_is_told() {
    let dir = model(&Shape::MICRO);
    let loaded = load_while(&dir, |weights| {
        let file = std::fs::File::options().write(true).open(weights).unwrap();
        file.set_len(1_000).unwrap();
    });
    let error = loaded.err().unwrap();
    assert!(
        matches!(&error, WhisperError::ChangedWeights { path } if path.ends_with("model.safetensors")),
        "{error}"
    );
}

#[test]
fn a_file_that_is_written_over_while_it_is_read_makes_no_model() {
    let dir = model(&Shape::MICRO);
    let loaded = load_while(&dir, |weights| {
        let mut bytes = std::fs::read(weights).unwrap();
        let values = bytes.len() - 1_000;
        bytes[values..].fill(0);
        std::fs::write(weights, bytes).unwrap();
    });
    let error = loaded.err().unwrap();
    assert!(
        matches!(error, WhisperError::ChangedWeights { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("renaming"), "{error}");
}

#[test]
fn a_file_that_is_replaced_or_removed_while_it_is_read_is_read_as_it_was() {
    let calm = model(&Shape::MICRO);
    let expected = heard_by(&load(calm.path()).unwrap());
    let replaced = model(&Shape::MICRO);
    let loaded = load_while(&replaced, |weights| {
        let next = weights.with_extension("part");
        std::fs::write(&next, "another model").unwrap();
        std::fs::rename(next, weights).unwrap();
    });
    assert!(heard_by(&loaded.unwrap()) == expected);
    let removed = model(&Shape::MICRO);
    let loaded = load_while(&removed, |weights| std::fs::remove_file(weights).unwrap());
    let whisper = loaded.unwrap();
    assert!(heard_by(&whisper) == expected);
    // A model that runs has no use for its files.
    removed.close().unwrap();
    assert!(heard_by(&whisper) == expected);
}
