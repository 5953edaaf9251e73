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

    pub fn tokenizer() -> Result<Vec<u8>, WhisperError> {
        unpack(bundled!("tokenizer.json.zst"))
    }

    pub fn weights() -> Result<Vec<u8>, WhisperError> {
        unpack(bundled!("model.safetensors.zst"))
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

    pub fn tokenizer() -> Result<Vec<u8>, WhisperError> {
        Err(WhisperError::NoDemoModel)
    }

    pub fn weights() -> Result<Vec<u8>, WhisperError> {
        Err(WhisperError::NoDemoModel)
    }
}

pub use bundled::{CONFIG, GENERATION_CONFIG, tokenizer, weights};
