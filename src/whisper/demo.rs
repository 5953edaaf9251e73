//! The demo model, bundled into the plugin (feature `demo-model`) and unpacked in memory.

/// Name of the model that runs when none is chosen.
pub const DEMO_MODEL_NAME: &str = "whisper-nano";

#[cfg(feature = "demo-model")]
mod bundled {
    use crate::whisper::WhisperError;
    use crate::whisper::unpack::unpack;

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

    const WEIGHTS: &[u8] = bundled!("model.safetensors.zst");

    /// All of the model, as it is bundled: what tells it from an older or a newer one.
    pub fn demo_files() -> Vec<&'static [u8]> {
        vec![CONFIG, GENERATION_CONFIG, WEIGHTS]
    }

    pub fn weights() -> Result<Vec<u8>, WhisperError> {
        unpack(WEIGHTS)
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

    pub fn weights() -> Result<Vec<u8>, WhisperError> {
        Err(WhisperError::NoDemoModel)
    }
}

pub use bundled::{CONFIG, GENERATION_CONFIG, demo_files, weights};
