//! What a stream's policy can be told, checked once.

/// Whether the reference is reproduced decision for decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    #[default]
    None,
    SimulStreaming,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    #[default]
    Transcribe,
    Translate,
}

/// All of the policy's settings, in the units of the element's properties.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySettings {
    pub compat: Compat,
    /// Language code, name or BCP-47 tag, or `auto`.
    pub language: String,
    pub task: Task,
    pub min_chunk_ms: u32,
    pub audio_min_len_ms: u32,
    pub audio_max_len_ms: u32,
    pub frame_threshold: u32,
    pub rewind_threshold: u32,
    pub init_prompt: Option<String>,
    pub static_init_prompt: Option<String>,
    pub max_context_tokens: u32,
    pub truncate_last_word: bool,
    /// Decode on for the unstable tail.
    pub interim: bool,
}

impl Default for PolicySettings {
    fn default() -> Self {
        PolicySettings {
            compat: Compat::None,
            language: "auto".into(),
            task: Task::Transcribe,
            min_chunk_ms: 500,
            audio_min_len_ms: 0,
            audio_max_len_ms: 30_000,
            frame_threshold: 25,
            rewind_threshold: 200,
            init_prompt: None,
            static_init_prompt: None,
            max_context_tokens: 448,
            truncate_last_word: false,
            interim: false,
        }
    }
}

/// A setting that makes no sense: a whole sentence with value, reason and remedy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "unknown language {0:?}; give a Whisper code such as \"fr\", a name such as \"french\", a BCP-47 tag such as \"fr-FR\", or \"auto\""
    )]
    UnknownLanguage(String),
    // further variants: owner of this room
}

impl PolicySettings {
    /// Checks every value and pair of values; the first fault found is returned.
    pub fn check(&self) -> Result<(), SettingsError> {
        todo!()
    }

    /// `min_chunk_ms` in samples.
    pub fn chunk_samples(&self) -> usize {
        self.min_chunk_ms as usize * 16
    }
}
