//! What can go wrong between a model directory and a row of logits.

use std::path::PathBuf;

use super::model::Device;
use super::weights::hub::HubError;

/// Each variant is one whole sentence that says what was wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum WhisperError {
    #[error("the pass was cancelled")]
    Cancelled,
    #[error(
        "the model {0:?} is neither a path that exists nor the id of a repository on the Hugging Face hub \
         (such as openai/whisper-small, or openai/whisper-small@main); give the directory of a Hugging Face Whisper model, \
         a file of weights (.safetensors, .pt, ggml .bin, .gguf), or such an id"
    )]
    NoSuchPath(PathBuf),
    #[error(
        "the model file {path:?} is not of a kind that is read{hint}; give a Hugging Face model directory, or one file: .safetensors, \
         OpenAI's .pt, whisper.cpp's ggml .bin, or .gguf with the tensors of a Hugging Face model"
    )]
    UnknownFormat { path: PathBuf, hint: &'static str },
    #[error(
        "the model directory {dir:?} has no {file}; download the complete Hugging Face repository of the model"
    )]
    MissingFile { dir: PathBuf, file: String },
    #[error("{path:?} cannot be read: {reason}; check the file and its permissions")]
    Unreadable { path: PathBuf, reason: String },
    #[error("{path:?} is no regular file but a pipe, a device or a folder; give a file on a disk")]
    NotAFile { path: PathBuf },
    #[error("{path:?} is not the JSON it should be: {reason}; download the file again")]
    BadJson { path: PathBuf, reason: String },
    #[error(
        "{path:?} describes a model of type {found:?}, not \"whisper\"; give the directory of a Whisper model"
    )]
    NotWhisper { path: PathBuf, found: String },
    #[error("{path:?} cannot be a Whisper model's: {reason}; use the model's original config.json")]
    BadConfig { path: PathBuf, reason: String },
    #[error("the weights in {path:?} are damaged or incomplete: {reason}; download the file again")]
    BadWeights { path: PathBuf, reason: String },
    #[error(
        "the model file {path:?} was changed while it was read; start again once it is complete, and replace a model by renaming a finished \
         file into its place"
    )]
    ChangedWeights { path: PathBuf },
    #[error(
        "there is not enough memory for the model {path:?}: it takes {} MB{}; choose a smaller model or precision int8 or bf16, or give the \
         process more memory", megabytes(*needed), free.map_or_else(String::new, |free| format!(", {} MB are free", free >> 20))
    )]
    NoMemory {
        path: PathBuf,
        /// In bytes.
        needed: usize,
        /// As far as it is known.
        free: Option<u64>,
    },
    #[error(
        "the weights in {path:?} lack the tensor {name}; download the model again, or give one in the Hugging Face layout"
    )]
    MissingTensor { path: PathBuf, name: String },
    #[error("the weights in {path:?} are not read: {reason}")]
    UnreadWeights { path: PathBuf, reason: String },
    #[error(
        "the weights in {path:?} are refused: they name {what}, which weights do not need and which could run a program in other \
         readers; use a file from a source that you trust"
    )]
    ForbiddenWeights { path: PathBuf, what: String },
    #[error("the tensors in {path:?} make no Whisper model: {reason}; give the weights of one")]
    NoWhisperShape { path: PathBuf, reason: String },
    #[error(
        "the model {path:?} has a vocabulary of {vocab_size} tokens, which is none of OpenAI's (51864, 51865, 51866), and no tokenizer.json; \
         give it as a Hugging Face directory with its own tokenizer.json"
    )]
    NoTokenizer { path: PathBuf, vocab_size: usize },
    #[error(
        "the tensor {name} has the shape {found:?}, but config.json asks for {expected:?}; \
         config.json and weights must come from the same model"
    )]
    WrongShape {
        name: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    #[error(
        "the tensor {name} is stored as {found}, but only F32, F16, BF16, F64 and ggml's blocks (Q4_0 to Q8_0, Q2K to Q6K) are read; \
         convert the model to one of them"
    )]
    WrongType { name: String, found: String },
    #[error("the tokenizer {path:?} cannot be used: {reason}; use the model's own tokenizer.json")]
    BadTokenizer { path: PathBuf, reason: String },
    #[error(
        "the tokenizer {path:?} has {tokens} tokens, but the model's vocabulary has {vocab_size}; \
         use the tokenizer.json that belongs to this model"
    )]
    TokenizerMismatch {
        path: PathBuf,
        tokens: usize,
        vocab_size: usize,
    },
    #[error(
        "the demo model is not part of this build; set a model directory, or build with the feature `demo-model`"
    )]
    NoDemoModel,
    #[error("what is bundled into the plugin cannot be unpacked: {0}; build the plugin again")]
    BadBundle(String),
    #[error(
        "the alignment heads {text:?} cannot be used: {reason}; write layer:head pairs separated by commas, like 2:2,3:0"
    )]
    BadAlignmentHeads { text: String, reason: String },
    #[error(
        "device \"{0}\" asks for CUDA, which this build of the plugin is without; build it with `cargo build --release --features cuda` \
         (the CUDA toolkit must be installed for that, and NVIDIA's driver to run it), or set device to \"cpu\""
    )]
    NoCuda(Device),
    #[error(
        "device \"{device}\" cannot be used: {reason}; install NVIDIA's driver (`nvidia-smi` lists the GPUs that it finds, from 0), \
         choose a GPU that is there, or set device to \"cpu\""
    )]
    NoGpu { device: Device, reason: String },
    #[error(
        "precision int8 is for the CPU, but device is \"{0}\"; set precision to \"auto\" (f16 there), \"bf16\" or \"f32\", or device to \"cpu\""
    )]
    NoInt8(Device),
    #[error(
        "the CIF model {path:?} cannot be used: {reason}; give the checkpoint that was made for this Whisper model, or unset cif-model"
    )]
    BadWordEnds { path: PathBuf, reason: String },
    #[error("the network was given {what}: {reason}")]
    BadInput { what: String, reason: String },
    #[error(transparent)]
    Hub(HubError),
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Rounded up.
fn megabytes(bytes: usize) -> usize {
    bytes.div_ceil(1 << 20)
}

impl From<HubError> for WhisperError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Cancelled => WhisperError::Cancelled,
            error => WhisperError::Hub(error),
        }
    }
}
