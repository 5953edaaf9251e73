//! Models of the released shapes with random weights.

use std::sync::Arc;

use gstwhisperstream::engine::ModelKey;
use gstwhisperstream::engine::models::{self, Lease, Model};
use gstwhisperstream::whisper::{
    self, Backend, Cancel, Device, ModelSource, Whisper, WhisperError,
};
use tempfile::TempDir;

use super::precision::Precision;
use super::synthetic::{self, Shape, Stored};

pub const SHAPES: [(&str, Shape); 4] = [
    ("nano", Shape::NANO),
    ("tiny", Shape::TINY),
    ("base", Shape::BASE),
    ("small", Shape::SMALL),
];

/// Writes the files, which go with the answer.
pub fn write(shape: &Shape) -> TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the model");
    synthetic::write(folder.path(), shape, Stored::F16, 1);
    folder
}

/// On the CPU.
pub fn backend(precision: Precision) -> Backend {
    Backend {
        device: Device::Cpu,
        precision: match precision {
            Precision::F32 => whisper::Precision::F32,
            Precision::Bf16 => whisper::Precision::Bf16,
            Precision::Int8 => whisper::Precision::Int8,
        },
    }
}

/// The reason, where this precision is not to be had.
pub fn load(source: &ModelSource, precision: Precision) -> Result<Arc<Whisper>, WhisperError> {
    let whisper = Whisper::load(source, backend(precision), &Cancel::default(), &mut |_| {})?;
    Ok(Arc::new(whisper))
}

/// The bundled model as elements share it: in memory as long as the answer is held.
pub fn demo(precision: Precision) -> Option<Lease<Model>> {
    let key = ModelKey {
        source: ModelSource::Demo,
        backend: backend(precision),
    };
    models::acquire(&key).ok()?.wait(&mut |_| {}).ok()
}
