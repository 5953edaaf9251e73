//! Models by the names that other Whispers have for them.

use std::path::Path;

/// Sizes, and who keeps them on the hub.
const SIZES: [(&str, &str); 22] = [
    ("tiny", "openai/whisper-tiny"),
    ("tiny.en", "openai/whisper-tiny.en"),
    ("base", "openai/whisper-base"),
    ("base.en", "openai/whisper-base.en"),
    ("small", "openai/whisper-small"),
    ("small.en", "openai/whisper-small.en"),
    ("medium", "openai/whisper-medium"),
    ("medium.en", "openai/whisper-medium.en"),
    ("large-v1", "openai/whisper-large"),
    ("large-v2", "openai/whisper-large-v2"),
    ("large-v3", "openai/whisper-large-v3"),
    // In the programs, though not on the hub, "large" is the newest.
    ("large", "openai/whisper-large-v3"),
    ("large-v3-turbo", "openai/whisper-large-v3-turbo"),
    ("turbo", "openai/whisper-large-v3-turbo"),
    ("distil-small.en", "distil-whisper/distil-small.en"),
    ("distil-medium.en", "distil-whisper/distil-medium.en"),
    ("distil-large-v2", "distil-whisper/distil-large-v2"),
    ("distil-large-v3", "distil-whisper/distil-large-v3"),
    ("faster-whisper-large-v2", "openai/whisper-large-v2"),
    ("faster-whisper-large-v3", "openai/whisper-large-v3"),
    ("faster-whisper-medium", "openai/whisper-medium"),
    ("faster-whisper-small", "openai/whisper-small"),
];

/// The id on the hub of `large-v3` or `./large-v3.pt`, if nothing of that name lies here.
pub fn known(name: &str) -> Option<String> {
    if Path::new(name).exists() {
        return None;
    }
    let size = match name.strip_suffix(".pt") {
        Some(path) => path.rsplit('/').next()?,
        None => name,
    };
    let (_, id) = SIZES.iter().find(|(known, _)| *known == size)?;
    Some((*id).to_owned())
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn sizes_are_found_on_the_hub_but_files_stay_files() {
        let v3 = Some("openai/whisper-large-v3".to_owned());
        assert_eq!(known("large-v3"), v3);
        assert_eq!(known("large"), v3);
        assert_eq!(known("./large-v3.pt"), v3);
        assert_eq!(known("/models/none/large-v3.pt"), v3);
        assert_eq!(known("openai/whisper-tiny"), None);
        assert_eq!(known("large-v9"), None);
        let here = tempfile::Builder::new()
            .suffix("tiny.pt")
            .tempfile()
            .unwrap();
        assert_eq!(known(here.path().to_str().unwrap()), None);
    }
}
