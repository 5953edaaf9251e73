//! What the plugin carries in it, unpacked.

use std::io::Read;

use super::WhisperError;

/// Bytes of a file that is compressed with Zstandard.
///
/// # Errors
/// A build whose bundled files are damaged.
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>, WhisperError> {
    let bad = |reason: String| WhisperError::BadBundle(reason);
    let mut decoder =
        ruzstd::decoding::StreamingDecoder::new(packed).map_err(|e| bad(e.to_string()))?;
    let mut bytes = Vec::new();
    decoder
        .read_to_end(&mut bytes)
        .map_err(|e| bad(e.to_string()))?;
    Ok(bytes)
}
