//! Small good files of weights.

#[path = "../../../tests/common/formats.rs"]
#[allow(dead_code)]
mod formats;

use std::error::Error;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use formats::{Model, Named, Stored, Torch};

/// Writes the seeds of every reader into its folder.
pub fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let put = |target: &str, name: &str, bytes: &[u8]| super::put(folder, target, name, bytes);
    let model = tiny();
    let path = std::env::temp_dir().join(format!("whisperstream-seed-{}", std::process::id()));
    formats::write_safetensors(&path, &model);
    put("safetensors", "f16", &std::fs::read(&path)?)?;
    for (name, stored, transposed) in [
        ("half", Stored::Half, false),
        ("float", Stored::Float, true),
    ] {
        formats::write_pt(&path, &model, stored, transposed);
        put("pt", name, &std::fs::read(&path)?)?;
    }
    std::fs::remove_file(&path)?;
    put(
        "pt",
        "state-dict",
        &formats::state_dict(&[("weight", &[1, 4], &[0.5; 4]), ("bias", &[1], &[1.0])]),
    )?;
    put("pickle", "state-dict", &pickled())?;
    put("pickle", "other", OTHER)?;
    put("index", "two", br#"{"metadata":{"total_size":12},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#)?;
    for (name, matrices) in [
        ("f32", GgmlDType::F32),
        ("f16", GgmlDType::F16),
        ("q5_0", GgmlDType::Q5_0),
        ("q5_1", GgmlDType::Q5_1),
        ("q8_0", GgmlDType::Q8_0),
        ("q4_0", GgmlDType::Q4_0),
    ] {
        put("ggml", name, &formats::ggml(&model, matrices))?;
        put("gguf", name, &formats::gguf(&model, matrices))?;
    }
    put("tokenizer", "small", tokenizer().to_string().as_bytes())?;
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/whisper-nano");
    for name in [
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
    ] {
        put("config", name, &std::fs::read(models.join(name))?)?;
    }
    Ok(())
}

/// A few tensors, 32 wide.
fn tiny() -> Model {
    let tensors = [
        ("encoder.conv1.weight", &[32, 2, 3][..]),
        ("encoder.conv1.bias", &[32]),
        ("encoder.embed_positions.weight", &[2, 32]),
        ("encoder.layers.0.fc1.weight", &[4, 32]),
        ("encoder.layers.0.fc1.bias", &[4]),
        ("decoder.embed_tokens.weight", &[3, 32]),
        ("decoder.embed_positions.weight", &[2, 32]),
        ("decoder.layers.0.fc1.weight", &[4, 32]),
        ("decoder.layers.0.fc1.bias", &[4]),
    ];
    let tensors = tensors.map(|(name, shape)| Named {
        name: name.to_owned(),
        shape: shape.to_vec(),
        values: (0..shape.iter().product())
            .map(|i: usize| i as f32 / 64.0)
            .collect(),
    });
    Model {
        tensors: tensors.into(),
        heads: 1,
    }
}

/// A state dict's pickle: dictionaries, tuples, names, numbers.
fn pickled() -> Vec<u8> {
    let mut torch = Torch::new();
    torch.pickle.extend(b"}q\x00(");
    torch.text("state_dict");
    torch.pickle.extend(b"}q\x01(");
    torch.text("weight");
    torch.tensor(&[2, 3], &[3, 1], &[0.0; 6], Stored::Float);
    torch.text("turned");
    torch.tensor(&[2, 3], &[1, 2], &[0.0; 6], Stored::Half);
    torch.pickle.extend(b"u");
    torch.text("epoch");
    torch.number(3);
    torch.pickle.extend(b"u.");
    torch.pickle
}

/// Operations that a state dict seldom has.
const OTHER: &[u8] = b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a]\x94(K\x01M\x02\x00J\x03\x00\x00\x00\x8a\x02\xff\x00G?\xf0\x00\x00\x00\x00\x00\x00e\x8c\x01b\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R\x94}b\x8c\x01cctorch\nSize\n(K\x02K\x03t\x85Rh\x01h\x02\x85N\x86\x88\x89\x87u.";

fn tokenizer() -> serde_json::Value {
    let bytes = (0x21u32..0x7f).chain(0xa1..0xad).chain(0xae..0x144);
    let mut names: Vec<String> = bytes.filter_map(char::from_u32).map(String::from).collect();
    names.extend(["He", "ll", "llo"].map(String::from));
    let first = names.len();
    let specials = [
        "endoftext",
        "startoftranscript",
        "en",
        "fr",
        "translate",
        "transcribe",
        "startoflm",
        "startofprev",
        "nospeech",
        "notimestamps",
        "0.00",
    ];
    let added = specials.iter().enumerate();
    let added: Vec<_> = added
        .map(|(i, name)| serde_json::json!({"id": first + i, "content": format!("<|{name}|>")}))
        .collect();
    let vocab = names
        .into_iter()
        .enumerate()
        .map(|(i, name)| (name, i.into()));
    let vocab: serde_json::Map<_, _> = vocab.collect();
    let merges = serde_json::json!([["H", "e"], "l l", ["ll", "o"]]);
    serde_json::json!({"added_tokens": added, "model": {"type": "BPE", "vocab": vocab, "merges": merges}})
}
