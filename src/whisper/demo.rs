//! The demo model, bundled into the plugin (feature `demo-model`) and unpacked in memory.

/// Name of the model that runs when none is chosen.
pub const DEMO_MODEL_NAME: &str = "whisper-nano";

#[cfg(feature = "demo-model")]
mod bundled {
    use std::io::Read;

    use crate::whisper::WhisperError;

    macro_rules! bundled {
        ($name:literal) => {
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/models/whisper-nano/",
                $name
            ))
        };
    }

    pub const CONFIG: &[u8] = bundled!("config.json");
    pub const GENERATION_CONFIG: &[u8] = bundled!("generation_config.json");

    const TOKENIZER: &[u8] = bundled!("tokenizer.json.zst");
    const WEIGHTS: &[u8] = bundled!("model.safetensors.zst");

    /// All of the model, as it is bundled: what tells it from an older or a newer one.
    pub fn demo_files() -> Vec<&'static [u8]> {
        vec![CONFIG, GENERATION_CONFIG, TOKENIZER, WEIGHTS]
    }

    pub fn tokenizer() -> Result<Vec<u8>, WhisperError> {
        unpack(TOKENIZER)
    }

    pub fn weights() -> Result<Vec<u8>, WhisperError> {
        unpack(WEIGHTS)
    }

    fn unpack(packed: &[u8]) -> Result<Vec<u8>, WhisperError> {
        let bad = |reason: String| WhisperError::BadDemoModel(reason);
        let mut decoder =
            ruzstd::decoding::StreamingDecoder::new(packed).map_err(|e| bad(e.to_string()))?;
        let mut bytes = Vec::new();
        decoder
            .read_to_end(&mut bytes)
            .map_err(|e| bad(e.to_string()))?;
        Ok(bytes)
    }
}

/// A build without the model.
#[cfg(not(feature = "demo-model"))]
mod bundled {
    use crate::whisper::WhisperError;

    pub const CONFIG: &[u8] = &[];
    pub const GENERATION_CONFIG: &[u8] = &[];

    pub fn demo_files() -> Vec<&'static [u8]> {
        Vec::new()
    }

    pub fn tokenizer() -> Result<Vec<u8>, WhisperError> {
        Err(WhisperError::NoDemoModel)
    }

    pub fn weights() -> Result<Vec<u8>, WhisperError> {
        Err(WhisperError::NoDemoModel)
    }
}

pub use bundled::{CONFIG, GENERATION_CONFIG, demo_files, tokenizer, weights};
