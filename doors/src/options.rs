//! Options that all programs have: the element's settings, under the names of the systems replaced, too.

use clap::Args;

use crate::call::Setting;

/// What is passed on to the element.
#[derive(Args, Clone, Debug, Default)]
pub struct ElementOptions {
    /// A Whisper model: directory, file, or id on the hub [default: the bundled demo model]
    #[arg(long, alias = "model-path", env = "STREAM_MODEL", value_name = "MODEL")]
    pub model: Option<String>,
    /// Spoken language: a code, a name, a tag, or auto
    #[arg(long, alias = "lan", env = "STREAM_LANG", value_name = "LANGUAGE")]
    pub language: Option<String>,
    /// Any property of the element; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<Setting>,
}

impl ElementOptions {
    /// In the order in which they are applied: `--set` has the last word.
    pub fn settings(&self) -> Vec<Setting> {
        let named = [("model", &self.model), ("language", &self.language)];
        let named = named
            .into_iter()
            .filter_map(|(name, value)| Some(Setting::new(name, value.clone()?)));
        named.chain(self.set.iter().cloned()).collect()
    }
}
