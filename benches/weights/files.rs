//! Writes files of any size, a tensor at a time, with random values of a trained network's size.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::f16;

use super::common::synthetic::{self, Shape};

#[path = "../../tests/common/formats.rs"]
#[allow(dead_code)]
mod formats;

use formats::{Stored, Torch, openai, rows};

#[derive(Clone, Copy, PartialEq)]
pub enum Format {
    Safetensors,
    Torch,
    GgmlF16,
    GgmlQ8,
    GgmlQ5,
    GgufF16,
    GgufQ8,
}

impl Format {
    pub const ALL: [Format; 7] = [
        Format::Safetensors,
        Format::Torch,
        Format::GgmlF16,
        Format::GgmlQ8,
        Format::GgmlQ5,
        Format::GgufF16,
        Format::GgufQ8,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors f16",
            Format::Torch => ".pt f16",
            Format::GgmlF16 => "ggml f16",
            Format::GgmlQ8 => "ggml Q8_0",
            Format::GgmlQ5 => "ggml Q5_0",
            Format::GgufF16 => "gguf f16",
            Format::GgufQ8 => "gguf Q8_0",
        }
    }

    /// ggml's number of the type of matrices, and of files that have it.
    fn matrices(self) -> (u32, u32) {
        match self {
            Format::GgmlQ8 | Format::GgufQ8 => (8, 2007),
            Format::GgmlQ5 => (6, 2008),
            _ => (1, 1),
        }
    }
}

pub fn write(path: &Path, shape: &Shape, format: Format) -> std::io::Result<()> {
    let tensors = shape.tensors();
    match format {
        Format::Safetensors => {
            synthetic::write_weights(path, &tensors, synthetic::Stored::F16);
            Ok(())
        }
        Format::Torch => torch(path, &tensors, shape),
        Format::GgmlF16 | Format::GgmlQ8 | Format::GgmlQ5 => ggml(path, &tensors, shape, format),
        Format::GgufF16 | Format::GgufQ8 => gguf(path, &tensors, format),
    }
}

type Tensors = [(String, Vec<usize>)];

fn bare(name: &str) -> &str {
    name.strip_prefix("model.").unwrap_or(name)
}

/// Values of one type; what they are depends on their number alone.
fn values(out: &mut impl Write, name: &str, kind: u32, count: usize) -> std::io::Result<()> {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let constant = match name {
        name if name.ends_with("layer_norm.weight") => Some(1.0),
        name if name.ends_with("layer_norm.bias") => Some(0.0),
        _ => None,
    };
    let mut value =
        || constant.unwrap_or_else(|| f32::from(noise() as i16) / f32::from(i16::MAX) * 0.04);
    match kind {
        0 => (0..count).try_for_each(|_| out.write_all(&value().to_le_bytes())),
        1 => (0..count).try_for_each(|_| out.write_all(&f16::from_f32(value()).to_le_bytes())),
        // Blocks of 32: a scale, then 4 bytes of high bits and 16 of low ones, or 32 bytes.
        _ => (0..count / 32).try_for_each(|_| {
            out.write_all(&f16::from_f32(if kind == 8 { 0.0003 } else { 0.0025 }).to_le_bytes())?;
            for _ in 0..if kind == 8 { 4 } else { 2 } {
                out.write_all(&noise().to_le_bytes())?;
            }
            if kind == 6 {
                out.write_all(&(noise() as u32).to_le_bytes())
            } else {
                Ok(())
            }
        }),
    }
}

/// The type of a tensor, as whisper.cpp chooses it.
fn kind(name: &str, shape: &[usize], format: Format) -> u32 {
    match shape.len() {
        1 => 0,
        2 if name.contains("embed_positions") => 0,
        2 => format.matrices().0,
        _ => 1,
    }
}

fn bytes(kind: u32, count: usize) -> usize {
    match kind {
        0 => 4 * count,
        1 => 2 * count,
        6 => count / 32 * 22,
        _ => count / 32 * 34,
    }
}

fn numbers(out: &mut impl Write, numbers: &[usize]) -> std::io::Result<()> {
    numbers
        .iter()
        .try_for_each(|&n| out.write_all(&(n as u32).to_le_bytes()))
}

fn ggml(path: &Path, tensors: &Tensors, shape: &Shape, format: Format) -> std::io::Result<()> {
    let out = &mut BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (d, heads) = (shape.d_model, shape.heads);
    numbers(
        out,
        &[
            0x6767_6d6c,
            shape.vocab,
            1500,
            d,
            heads,
            shape.encoder_layers,
            448,
            d,
            heads,
        ],
    )?;
    numbers(
        out,
        &[
            shape.decoder_layers,
            shape.mel_bins,
            format.matrices().1 as usize,
            0,
            0,
            0,
        ],
    )?;
    for (name, shape) in tensors {
        let (name, kind) = (bare(name), kind(name, shape, format));
        let theirs = openai(name);
        let mut axes = shape.clone();
        if theirs.starts_with("encoder.conv") && theirs.ends_with("bias") {
            axes.push(1);
        }
        numbers(out, &[axes.len(), theirs.len(), kind as usize])?;
        axes.reverse();
        numbers(out, &axes)?;
        out.write_all(theirs.as_bytes())?;
        values(out, name, kind, shape.iter().product())?;
    }
    out.flush()
}

fn gguf(path: &Path, tensors: &Tensors, format: Format) -> std::io::Result<()> {
    const ALIGNMENT: usize = 32;
    let out = &mut BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut header = b"GGUF".to_vec();
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend(0u64.to_le_bytes());
    let mut offset = 0usize;
    for (name, shape) in tensors {
        let kind = kind(name, shape, format);
        header.extend((name.len() as u64).to_le_bytes());
        header.extend(name.bytes());
        header.extend((shape.len() as u32).to_le_bytes());
        header.extend(
            shape
                .iter()
                .rev()
                .flat_map(|&size| (size as u64).to_le_bytes()),
        );
        header.extend(kind.to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset = (offset + bytes(kind, shape.iter().product())).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&header)?;
    for (name, shape) in tensors {
        let (kind, count) = (kind(name, shape, format), shape.iter().product());
        values(out, name, kind, count)?;
        let size = bytes(kind, count);
        out.write_all(&vec![0; size.next_multiple_of(ALIGNMENT) - size])?;
    }
    out.flush()
}

fn torch(path: &Path, tensors: &Tensors, shape: &Shape) -> std::io::Result<()> {
    let mut torch = Torch::new();
    torch.pickle.extend(b"}(");
    torch.text("dims");
    torch.pickle.extend(b"}(");
    for name in ["n_audio_head", "n_text_head"] {
        torch.text(name);
        torch.number(shape.heads);
    }
    torch.pickle.push(b'u');
    torch.text("model_state_dict");
    torch.pickle.extend(b"}(");
    for (key, (name, shape)) in tensors.iter().enumerate() {
        torch.text(&openai(bare(name)));
        torch.describe(key, shape, &rows(shape), Stored::Half);
    }
    torch.pickle.extend(b"uu.");

    let mut zip = zip::ZipWriter::new(BufWriter::with_capacity(1 << 20, File::create(path)?));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", options)?;
    zip.write_all(&torch.pickle)?;
    for (key, (name, shape)) in tensors.iter().enumerate() {
        zip.start_file(format!("archive/data/{key}"), options)?;
        values(&mut zip, name, 1, shape.iter().product())?;
    }
    zip.finish()?.flush()
}
