//! Writes models in every format that is read, as the programs that made those formats do.

use std::io::Write;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use half::f16;

/// A tensor by its Hugging Face name, without `model.`.
#[derive(Clone)]
pub struct Named {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A model's tensors, and what formats say besides.
#[derive(Clone)]
pub struct Model {
    pub tensors: Vec<Named>,
    pub heads: usize,
}

impl Model {
    /// The demo model.
    pub fn nano() -> Model {
        let packed =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("models/whisper-nano/model.safetensors.zst");
        let packed = std::fs::read(packed).unwrap();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            assert_eq!(view.dtype(), safetensors::Dtype::F16);
            let halves = view.data().as_chunks::<2>().0.iter();
            Named {
                name: name.strip_prefix("model.").unwrap_or(&name).to_owned(),
                shape: view.shape().to_vec(),
                values: halves.map(|&b| f16::from_le_bytes(b).to_f32()).collect(),
            }
        });
        let mut tensors: Vec<_> = tensors.filter(|t| t.name != "proj_out.weight").collect();
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Model { tensors, heads: 3 }
    }

    /// A small one with OpenAI's vocabulary of `vocab` tokens: 64 wide, one layer, one head, noise.
    pub fn small(mel_bins: usize, vocab: usize) -> Model {
        let d = 64;
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            let mut seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            });
            let noise = std::iter::repeat_with(|| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                f16::from_f32(f32::from(seed as i16) / f32::from(i16::MAX) * 0.04).to_f32()
            });
            let count = shape.iter().product();
            let values = match name.as_str() {
                name if name.ends_with("layer_norm.weight") => vec![1.0; count],
                name if name.ends_with("layer_norm.bias") => vec![0.0; count],
                _ => noise.take(count).collect(),
            };
            tensors.push(Named {
                name,
                shape: shape.to_vec(),
                values,
            });
        };
        add("encoder.conv1.weight".into(), &[d, mel_bins, 3]);
        add("encoder.conv1.bias".into(), &[d]);
        add("encoder.conv2.weight".into(), &[d, d, 3]);
        add("encoder.conv2.bias".into(), &[d]);
        add("encoder.embed_positions.weight".into(), &[1500, d]);
        add("decoder.embed_positions.weight".into(), &[448, d]);
        add("decoder.embed_tokens.weight".into(), &[vocab, d]);
        for (side, attentions) in [
            ("encoder", &["self_attn"][..]),
            ("decoder", &["self_attn", "encoder_attn"]),
        ] {
            let layer = format!("{side}.layers.0");
            for attention in attentions {
                for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    add(format!("{layer}.{attention}.{projection}.weight"), &[d, d]);
                    if projection != "k_proj" {
                        add(format!("{layer}.{attention}.{projection}.bias"), &[d]);
                    }
                }
            }
            let norms = attentions
                .iter()
                .map(|attention| format!("{layer}.{attention}_layer_norm"));
            let norms = norms.chain([
                format!("{layer}.final_layer_norm"),
                format!("{side}.layer_norm"),
            ]);
            for norm in norms.collect::<Vec<_>>() {
                add(format!("{norm}.weight"), &[d]);
                add(format!("{norm}.bias"), &[d]);
            }
            add(format!("{layer}.fc1.weight"), &[4 * d, d]);
            add(format!("{layer}.fc1.bias"), &[4 * d]);
            add(format!("{layer}.fc2.weight"), &[d, 4 * d]);
            add(format!("{layer}.fc2.bias"), &[d]);
        }
        Model { tensors, heads: 1 }
    }

    pub fn get(&self, name: &str) -> &Named {
        self.tensors.iter().find(|t| t.name == name).unwrap()
    }

    fn layers(&self, side: &str) -> usize {
        let has = |i: &usize| {
            self.tensors
                .iter()
                .any(|t| t.name == format!("{side}.layers.{i}.fc1.bias"))
        };
        (0..).take_while(has).count()
    }

    /// The numbers that OpenAI and whisper.cpp write, by OpenAI's names.
    fn dims(&self) -> [(&'static str, usize); 10] {
        let conv = &self.get("encoder.conv1.weight").shape;
        [
            ("n_vocab", self.get("decoder.embed_tokens.weight").shape[0]),
            ("n_audio_ctx", 1500),
            ("n_audio_state", conv[0]),
            ("n_audio_head", self.heads),
            ("n_audio_layer", self.layers("encoder")),
            (
                "n_text_ctx",
                self.get("decoder.embed_positions.weight").shape[0],
            ),
            ("n_text_state", conv[0]),
            ("n_text_head", self.heads),
            ("n_text_layer", self.layers("decoder")),
            ("n_mels", conv[1]),
        ]
    }
}

/// OpenAI's name of a tensor.
pub fn openai(name: &str) -> String {
    let pairs = [
        (
            "encoder.embed_positions.weight",
            "encoder.positional_embedding",
        ),
        (
            "decoder.embed_positions.weight",
            "decoder.positional_embedding",
        ),
        ("embed_tokens", "token_embedding"),
        (".layers.", ".blocks."),
        ("self_attn_layer_norm", "attn_ln"),
        ("encoder_attn_layer_norm", "cross_attn_ln"),
        ("final_layer_norm", "mlp_ln"),
        ("encoder.layer_norm", "encoder.ln_post"),
        ("decoder.layer_norm", "decoder.ln"),
        ("self_attn.", "attn."),
        ("encoder_attn.", "cross_attn."),
        ("q_proj", "query"),
        ("k_proj", "key"),
        ("v_proj", "value"),
        ("out_proj", "out"),
        ("fc1", "mlp.0"),
        ("fc2", "mlp.2"),
    ];
    pairs
        .into_iter()
        .fold(name.to_owned(), |name, (theirs, ours)| {
            name.replace(theirs, ours)
        })
}

fn halves(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|&v| f16::from_f32(v).to_le_bytes())
        .collect()
}

fn singles(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// One safetensors file in f16.
pub fn write_safetensors(path: &Path, model: &Model) {
    let data: Vec<_> = model
        .tensors
        .iter()
        .map(|t| (format!("model.{}", t.name), t, halves(&t.values)))
        .collect();
    let views = data.iter().map(|(name, t, bytes)| {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F16, t.shape.clone(), bytes);
        (name, view.unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    std::fs::write(path, file).unwrap();
}

/// How the values of a `.pt` are stored.
#[derive(Clone, Copy, PartialEq)]
pub enum Stored {
    Half,
    Float,
}

/// torch's pickle, opcode by opcode, and its archive.
pub struct Torch {
    pub pickle: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Torch {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Torch {
        Torch {
            pickle: b"\x80\x02".to_vec(),
            storages: Vec::new(),
        }
    }

    pub fn text(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.bytes());
    }

    pub fn number(&mut self, number: usize) {
        self.pickle.push(b'J');
        self.pickle.extend((number as i32).to_le_bytes());
    }

    fn numbers(&mut self, numbers: &[usize]) {
        self.pickle.push(b'(');
        for &number in numbers {
            self.number(number);
        }
        self.pickle.push(b't');
    }

    /// `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    pub fn tensor(&mut self, shape: &[usize], strides: &[usize], values: &[f32], stored: Stored) {
        let key = self.storages.len();
        self.describe(key, shape, strides, stored);
        self.storages.push(match stored {
            Stored::Half => halves(values),
            Stored::Float => singles(values),
        });
    }

    /// The same, of a storage that is written elsewhere.
    pub fn describe(&mut self, key: usize, shape: &[usize], strides: &[usize], stored: Stored) {
        self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.pickle.extend(match stored {
            Stored::Half => &b"ctorch\nHalfStorage\n"[..],
            Stored::Float => b"ctorch\nFloatStorage\n",
        });
        self.text(&key.to_string());
        self.text("cpu");
        self.number(shape.iter().product());
        self.pickle.extend(b"tQ");
        self.number(0);
        self.numbers(shape);
        self.numbers(strides);
        self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }

    /// The archive; `self.pickle` must have ended.
    pub fn archive(&self) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        let mut file = |name: &str, bytes: &[u8]| {
            zip.start_file(format!("archive/{name}"), options).unwrap();
            zip.write_all(bytes).unwrap();
        };
        file("data.pkl", &self.pickle);
        file("byteorder", b"little");
        for (i, storage) in self.storages.iter().enumerate() {
            file(&format!("data/{i}"), storage);
        }
        file("version", b"3\n");
        zip.finish().unwrap().into_inner()
    }
}

/// Values from one to the next along each axis, row by row.
pub fn rows(shape: &[usize]) -> Vec<usize> {
    (0..shape.len())
        .map(|axis| shape[axis + 1..].iter().product())
        .collect()
}

/// OpenAI's `.pt`. Matrices are stored transposed where `transposed` says so, with strides that undo it.
pub fn write_pt(path: &Path, model: &Model, stored: Stored, transposed: bool) {
    let mut torch = Torch::new();
    torch.pickle.extend(b"}(");
    torch.text("dims");
    torch.pickle.extend(b"}(");
    for (name, value) in model.dims() {
        torch.text(name);
        torch.number(value);
    }
    torch.pickle.push(b'u');
    torch.text("model_state_dict");
    torch.pickle.extend(b"}(");
    for Named {
        name,
        shape,
        values,
    } in &model.tensors
    {
        torch.text(&openai(name));
        match shape.as_slice() {
            &[rows, columns] if transposed && rows < 2000 => {
                let mut turned = vec![0.0; values.len()];
                for (i, &value) in values.iter().enumerate() {
                    turned[i % columns * rows + i / columns] = value;
                }
                torch.tensor(shape, &[1, rows], &turned, stored);
            }
            _ => torch.tensor(shape, &rows(shape), values, stored),
        }
    }
    torch.pickle.extend(b"uu.");
    std::fs::write(path, torch.archive()).unwrap();
}

/// A state dict as `torch.save` writes it: `{name: tensor}`.
pub fn state_dict(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let mut torch = Torch::new();
    torch.pickle.extend(b"ccollections\nOrderedDict\n)R(");
    for (name, shape, values) in tensors {
        torch.text(name);
        torch.tensor(shape, &rows(shape), values, Stored::Float);
    }
    torch.pickle.extend(b"u.");
    torch.archive()
}

fn quantised(tensor: &Named, blocks: GgmlDType) -> QTensor {
    let values = Tensor::from_slice(&tensor.values, tensor.shape.as_slice(), &Device::Cpu).unwrap();
    QTensor::quantize(&values, blocks).unwrap()
}

/// The type whisper.cpp gives a tensor in a file of this one: matrices alone are quantised, positions and vectors stay f32.
fn ggml_type(tensor: &Named, matrices: GgmlDType) -> GgmlDType {
    match tensor.shape.len() {
        1 => GgmlDType::F32,
        _ if tensor.name.contains("embed_positions") => GgmlDType::F32,
        2 => matrices,
        _ if matrices == GgmlDType::F32 => GgmlDType::F32,
        _ => GgmlDType::F16,
    }
}

/// ggml's number of a type, and of files whose matrices have it.
pub fn ggml_number(blocks: GgmlDType) -> (u32, u32) {
    match blocks {
        GgmlDType::F32 => (0, 0),
        GgmlDType::F16 => (1, 1),
        GgmlDType::Q4_0 => (2, 2),
        GgmlDType::Q4_1 => (3, 3),
        GgmlDType::Q5_0 => (6, 8),
        GgmlDType::Q5_1 => (7, 9),
        GgmlDType::Q8_0 => (8, 7),
        GgmlDType::Q4K => (12, 12),
        other => panic!("{other:?}"),
    }
}

/// whisper.cpp's file.
pub fn ggml(model: &Model, matrices: GgmlDType) -> Vec<u8> {
    let mut file = 0x6767_6d6c_u32.to_le_bytes().to_vec();
    let number = |file: &mut Vec<u8>, value: usize| file.extend((value as u32).to_le_bytes());
    for (_, value) in model.dims() {
        number(&mut file, value);
    }
    let (_, kind) = ggml_number(matrices);
    let version = if kind > 1 { 2000 } else { 0 };
    number(&mut file, version + kind as usize);
    let mels = model.get("encoder.conv1.weight").shape[1];
    number(&mut file, mels);
    number(&mut file, 201);
    file.extend(vec![0u8; mels * 201 * 4]);
    number(&mut file, 2);
    for token in ["a", "bc"] {
        number(&mut file, token.len());
        file.extend(token.bytes());
    }
    for tensor in &model.tensors {
        let blocks = ggml_type(tensor, matrices);
        let name = openai(&tensor.name);
        let mut shape = tensor.shape.clone();
        if name.starts_with("encoder.conv") && name.ends_with("bias") {
            shape.push(1);
        }
        number(&mut file, shape.len());
        number(&mut file, name.len());
        number(&mut file, ggml_number(blocks).0 as usize);
        for &size in shape.iter().rev() {
            number(&mut file, size);
        }
        file.extend(name.bytes());
        match blocks {
            GgmlDType::F32 => file.extend(singles(&tensor.values)),
            GgmlDType::F16 => file.extend(halves(&tensor.values)),
            _ => file.extend(quantised(tensor, blocks).data().unwrap().iter()),
        }
    }
    file
}

/// GGUF as candle's tools write it.
pub fn gguf(model: &Model, matrices: GgmlDType) -> Vec<u8> {
    let tensors = model.tensors.iter().map(|tensor| {
        let name = format!("model.{}", tensor.name);
        (name, quantised(tensor, ggml_type(tensor, matrices)))
    });
    let tensors: Vec<_> = tensors.collect();
    let named: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let facts = [
        ("general.architecture", &Value::String("whisper".into())),
        (
            "general.tags",
            &Value::Array(vec![
                Value::String("audio".into()),
                Value::String("speech".into()),
            ]),
        ),
        ("general.quantization_version", &Value::U32(2)),
    ];
    let mut file = std::io::Cursor::new(Vec::new());
    gguf_file::write(&mut file, &facts, &named).unwrap();
    file.into_inner()
}
