//! Small checkpoints of a few tensors.

use std::collections::BTreeMap;
use std::path::Path;

use super::container::Container;
use super::entry::elements;
use super::shard::Shard;
use crate::whisper::WhisperError;

/// Most values of a checkpoint that is read as a whole.
const MOST: usize = 1 << 26;

/// A tensor in memory, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// Reads all tensors of a small checkpoint (`.pt`, `.ckpt`, `.safetensors`, at most 64 million values), under the names they have
/// there.
///
/// # Errors
/// A sentence for whatever is wrong with the path or the file; values that are no numbers are wrong, too.
pub fn read_state_dict(path: &Path) -> Result<BTreeMap<String, StateTensor>, WhisperError> {
    if !path.exists() {
        return Err(WhisperError::Unreadable {
            path: path.to_owned(),
            reason: "it does not exist".to_owned(),
        });
    }
    let shard = Shard::open(path.to_owned())?;
    let container = Container::of(&shard)?;
    let contents = container.contents(&shard);
    let contents = contents.map_err(|flaw| flaw.of(path))?;
    let bad = |reason: String| WhisperError::BadWeights {
        path: path.to_owned(),
        reason,
    };
    let mut left = MOST;
    let mut state = BTreeMap::new();
    for (name, entry) in contents.tensors {
        let after = elements(&entry.shape).and_then(|count| left.checked_sub(count));
        left = after.ok_or_else(|| bad(format!("it holds more than {MOST} values")))?;
        let values = entry.values(&shard);
        let values = values.map_err(|flaw| flaw.of(path))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(bad(format!("{name} holds values that are no numbers")));
        }
        let shape = entry.shape;
        state.insert(name, StateTensor { shape, values });
    }
    shard.unchanged().map_err(|flaw| flaw.of(path))?;
    Ok(state)
}
