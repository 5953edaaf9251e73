//! The readers of foreign files, each as a function of bytes. For `fuzz/` alone.

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::container::{Container, Contents};
use super::entry::elements;
use super::flaw::Flaw;
use super::shard::Shard;
use super::{hf, torch};
use crate::whisper::config::{File, ModelConfig};
use crate::whisper::{Tokenizer, WhisperError};

/// Tensors of more values are left alone: a reader takes memory only for shapes that it wants.
const MOST: usize = 1 << 16;

/// A reader: what it says of these bytes, in one line.
pub type Target = fn(&[u8]) -> String;

/// Every reader by its name.
pub const TARGETS: [(&str, Target); 8] = [
    ("safetensors", safetensors),
    ("index", index),
    ("pt", pt),
    ("pickle", pickle),
    ("ggml", ggml),
    ("gguf", gguf),
    ("tokenizer", tokenizer),
    ("config", config),
];

pub fn safetensors(bytes: &[u8]) -> String {
    model(Container::Safetensors, bytes)
}

pub fn index(bytes: &[u8]) -> String {
    told(hf::shard_names(bytes).map(|names| format!("{} files", names.len().min(9))))
}

pub fn pt(bytes: &[u8]) -> String {
    model(Container::Torch, bytes)
}

/// A pickle without its archive; its storages are the pickle itself.
pub fn pickle(bytes: &[u8]) -> String {
    let saved = torch::saved(bytes, |_| Some(0..bytes.len()));
    let contents = saved.map(|saved| Contents {
        tensors: saved.tensors,
        heads: None,
    });
    let shard = Shard::in_memory(PathBuf::new(), bytes.to_vec());
    values(contents, &shard)
}

pub fn ggml(bytes: &[u8]) -> String {
    model(Container::Ggml, bytes)
}

pub fn gguf(bytes: &[u8]) -> String {
    model(Container::Gguf, bytes)
}

pub fn tokenizer(bytes: &[u8]) -> String {
    told(Tokenizer::from_json(bytes, Path::new("")).map(|tokenizer| {
        let text = " Hello, l'été\u{0} 日本 <|fr|> 42";
        let mut tokens = tokenizer.encode(text);
        tokens.extend([0, 1, 255, tokenizer.len() as u32, u32::MAX]);
        let words = tokenizer.split_to_words(&tokens, None).len();
        let pieces = tokenizer.split_to_words(&tokens, Some("ja")).len();
        let quiet = tokenizer.non_speech().len();
        format!("{} {words} {pieces} {quiet}", tokenizer.decode(&tokens))
    }))
}

/// As each of the three files of a configuration, the other two being sane.
pub fn config(bytes: &[u8]) -> String {
    let file = |bytes: &[u8]| File {
        path: PathBuf::new(),
        bytes: bytes.to_vec(),
    };
    let sane = file(
        br#"{"num_mel_bins": 80, "d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 1, "decoder_layers": 2,
        "decoder_attention_heads": 1, "max_target_positions": 448, "vocab_size": 51865}"#,
    );
    let fuzzed = file(bytes);
    let read = |config: &File, generation: Option<&File>, preprocessor: Option<&File>| {
        let read = ModelConfig::read(config, generation, preprocessor);
        told(read.map(|config| format!("{:?}", config.alignment_source)))
    };
    [
        read(&fuzzed, None, None),
        read(&sane, Some(&fuzzed), None),
        read(&sane, None, Some(&fuzzed)),
    ]
    .join(" | ")
}

/// The index, then what a model's loader asks of it.
fn model(container: Container, bytes: &[u8]) -> String {
    // What is told by content first, as for a user's file.
    let shard = Shard::in_memory(PathBuf::new(), bytes.to_vec());
    let derived = Checkpoint::open(vec![shard])
        .and_then(|checkpoint| ModelConfig::derived(&checkpoint.dims()?, &checkpoint.path()));
    let derived = told(derived.map(|config| format!("{:?}", config.alignment_source)));
    let shard = Shard::in_memory(PathBuf::new(), bytes.to_vec());
    let values = values(container.contents(&shard), &shard);
    format!("{derived} | {values}")
}

fn values(contents: Result<Contents, Flaw>, file: &Shard) -> String {
    let contents = match contents {
        Ok(contents) => contents,
        Err(flaw) => return flaw.of(Path::new("")).to_string(),
    };
    let small = |shape: &[usize]| elements(shape).is_some_and(|count| count <= MOST);
    let wanted = contents.tensors.iter();
    let wanted = wanted.filter(|(_, entry)| small(&entry.shape)).take(64);
    let read = wanted.map(|(_, entry)| entry.values(file).map_err(|flaw| flaw.of(Path::new(""))));
    let all: Result<Vec<_>, WhisperError> = read.collect();
    told(all.map(|tensors| format!("{} tensors", tensors.len().min(9))))
}

fn told(result: Result<String, impl std::fmt::Display>) -> String {
    result.unwrap_or_else(|error| error.to_string())
}
