//! Writes Hugging Face Whisper directories with random weights in any shape: small ones for tests of what
//! loading refuses, the released shapes for benchmarks.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

#[derive(Clone, Copy)]
pub struct Shape {
    pub mel_bins: usize,
    pub d_model: usize,
    pub heads: usize,
    pub encoder_layers: usize,
    pub decoder_layers: usize,
    pub vocab: usize,
}

#[allow(dead_code)]
impl Shape {
    pub const MICRO: Shape = Shape::new(16, 1, 1, 2000);
    pub const NANO: Shape = Shape::new(192, 3, 2, 51865).encoder(4);
    pub const TINY: Shape = Shape::new(384, 6, 4, 51865);
    pub const BASE: Shape = Shape::new(512, 8, 6, 51865);
    pub const SMALL: Shape = Shape::new(768, 12, 12, 51865);

    const fn new(d_model: usize, heads: usize, layers: usize, vocab: usize) -> Shape {
        Shape {
            mel_bins: 80,
            d_model,
            heads,
            encoder_layers: layers,
            decoder_layers: layers,
            vocab,
        }
    }

    const fn encoder(self, encoder_layers: usize) -> Shape {
        Shape {
            encoder_layers,
            ..self
        }
    }

    /// Every tensor's name and shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let d = self.d_model;
        let mut all = vec![
            ("encoder.conv1.weight".into(), vec![d, self.mel_bins, 3]),
            ("encoder.conv1.bias".into(), vec![d]),
            ("encoder.conv2.weight".into(), vec![d, d, 3]),
            ("encoder.conv2.bias".into(), vec![d]),
            ("encoder.embed_positions.weight".into(), vec![1500, d]),
            ("decoder.embed_positions.weight".into(), vec![448, d]),
            ("decoder.embed_tokens.weight".into(), vec![self.vocab, d]),
        ];
        let sides = [
            ("encoder", self.encoder_layers, &["self_attn"][..]),
            (
                "decoder",
                self.decoder_layers,
                &["self_attn", "encoder_attn"],
            ),
        ];
        for (side, layers, attentions) in sides {
            let mut norm = |name: String| {
                all.push((format!("{name}.weight"), vec![d]));
                all.push((format!("{name}.bias"), vec![d]));
            };
            norm(format!("{side}.layer_norm"));
            for layer in 0..layers {
                let layer = format!("{side}.layers.{layer}");
                norm(format!("{layer}.final_layer_norm"));
                for attention in attentions {
                    norm(format!("{layer}.{attention}_layer_norm"));
                }
            }
            for layer in 0..layers {
                let layer = format!("{side}.layers.{layer}");
                for attention in attentions {
                    for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                        let name = format!("{layer}.{attention}.{name}");
                        all.push((format!("{name}.weight"), vec![d, d]));
                        if !name.ends_with("k_proj") {
                            all.push((format!("{name}.bias"), vec![d]));
                        }
                    }
                }
                all.push((format!("{layer}.fc1.weight"), vec![4 * d, d]));
                all.push((format!("{layer}.fc1.bias"), vec![4 * d]));
                all.push((format!("{layer}.fc2.weight"), vec![d, 4 * d]));
                all.push((format!("{layer}.fc2.bias"), vec![d]));
            }
        }
        for (name, _) in &mut all {
            name.insert_str(0, "model.");
        }
        all
    }

    pub fn config(&self) -> serde_json::Value {
        serde_json::json!({
            "model_type": "whisper",
            "activation_function": "gelu",
            "num_mel_bins": self.mel_bins,
            "d_model": self.d_model,
            "encoder_layers": self.encoder_layers,
            "encoder_attention_heads": self.heads,
            "encoder_ffn_dim": 4 * self.d_model,
            "decoder_layers": self.decoder_layers,
            "decoder_attention_heads": self.heads,
            "decoder_ffn_dim": 4 * self.d_model,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "vocab_size": self.vocab,
            "decoder_start_token_id": self.vocab - TIMESTAMPS - SPECIALS.len() + 1,
        })
    }
}

const TIMESTAMPS: usize = 1501;
const SPECIALS: [&str; 10] = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|fr|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
];

/// How the values are stored.
#[derive(Clone, Copy)]
#[allow(dead_code)]
pub enum Stored {
    F32,
    F16,
    Bf16,
}

/// Writes the whole directory; the weights come in `shards` files.
pub fn write(dir: &Path, shape: &Shape, stored: Stored, shards: usize) {
    std::fs::create_dir_all(dir).unwrap();
    let json = |name: &str, value: serde_json::Value| {
        std::fs::write(dir.join(name), value.to_string()).unwrap();
    };
    json("config.json", shape.config());
    json(
        "generation_config.json",
        serde_json::json!({"is_multilingual": true}),
    );
    json(
        "preprocessor_config.json",
        serde_json::json!({"feature_size": shape.mel_bins, "hop_length": 160, "n_fft": 400}),
    );
    write_tokenizer(dir, shape.vocab);

    let tensors = shape.tensors();
    if shards == 1 {
        write_weights(&dir.join("model.safetensors"), &tensors, stored);
        return;
    }
    let mut map = serde_json::Map::new();
    for (i, part) in tensors.chunks(tensors.len().div_ceil(shards)).enumerate() {
        let file = format!("model-{:05}-of-{shards:05}.safetensors", i + 1);
        write_weights(&dir.join(&file), part, stored);
        for (name, _) in part {
            map.insert(name.clone(), file.clone().into());
        }
    }
    json(
        "model.safetensors.index.json",
        serde_json::json!({"weight_map": map}),
    );
}

/// Single bytes, fillers, specials, timestamps: `vocab` tokens in all, no merges.
pub fn write_tokenizer(dir: &Path, vocab: usize) {
    let text = vocab - TIMESTAMPS - SPECIALS.len();
    let bytes = (0x21u32..0x7f).chain(0xa1..0xad).chain(0xae..0x144);
    let mut names: Vec<String> = bytes.filter_map(char::from_u32).map(String::from).collect();
    names.truncate(256);
    names.extend((names.len()..text).map(|i| format!("filler{i}")));
    let entries = names.into_iter().enumerate();
    let tokens: serde_json::Map<_, _> = entries.map(|(i, name)| (name, i.into())).collect();
    let stamps = (0..TIMESTAMPS).map(|i| format!("<|{:.2}|>", i as f64 * 0.02));
    let added = SPECIALS.iter().map(ToString::to_string).chain(stamps);
    let added: Vec<_> = added
        .enumerate()
        .map(|(i, content)| serde_json::json!({"id": text + i, "content": content}))
        .collect();
    let json = serde_json::json!({
        "added_tokens": added,
        "model": {"type": "BPE", "vocab": tokens, "merges": []},
    });
    std::fs::write(dir.join("tokenizer.json"), json.to_string()).unwrap();
}

/// Norms are ones and zeros, all else is noise of about ±0.02 as in an untrained Whisper.
pub fn write_weights(path: &Path, tensors: &[(String, Vec<usize>)], stored: Stored) {
    let (name, width) = match stored {
        Stored::F32 => ("F32", 4),
        Stored::F16 => ("F16", 2),
        Stored::Bf16 => ("BF16", 2),
    };
    let mut header = String::from("{");
    let mut end = 0;
    for (i, (tensor, shape)) in tensors.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let start = end;
        end += shape.iter().product::<usize>() * width;
        write!(
            header,
            "{comma}\"{tensor}\":{{\"dtype\":\"{name}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
        )
        .unwrap();
    }
    header.push('}');
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(header.as_bytes()).unwrap();

    for (tensor, shape) in tensors {
        // A tensor's noise is its name's, whichever file it lies in.
        let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let mut seed = tensor.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
        let constant = match tensor {
            t if t.ends_with("layer_norm.weight") => Some(1.0f32),
            t if t.ends_with("layer_norm.bias") => Some(0.0),
            _ => None,
        };
        for _ in 0..shape.iter().product::<usize>() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let noise = f32::from(seed as i16) / f32::from(i16::MAX) * 0.04;
            let value = constant.unwrap_or(noise);
            match stored {
                Stored::F32 => file.write_all(&value.to_le_bytes()),
                Stored::F16 => file.write_all(&half::f16::from_f32(value).to_le_bytes()),
                Stored::Bf16 => file.write_all(&half::bf16::from_f32(value).to_le_bytes()),
            }
            .unwrap();
        }
    }
    file.flush().unwrap();
}
