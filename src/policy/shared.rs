//! What the passes of a stream share and never change: settings, special tokens, what may not be said.

use std::sync::Arc;

use super::logits::Suppressed;
use super::settings::{Compat, LanguageChoice, PolicySettings, SettingsError, Task};
use crate::whisper::{Language, Specials, Tokenizer, WhisperConfig};

/// What the passes of a stream share and never change; replaced when settings change.
#[derive(Debug)]
pub(super) struct Shared {
    pub settings: PolicySettings,
    pub tokenizer: Arc<Tokenizer>,
    pub specials: Specials,
    pub multilingual: bool,
    /// Languages that can be detected, and their tokens.
    pub allowed: Vec<(&'static str, u32)>,
    pub text_positions: usize,
    /// Most tokens of context: what the training reached beyond the half of the positions that the window's own text may
    /// need. For OpenAI's models that is their own limit, half of 448. A model trained without context has none to spare,
    /// and is only led astray by it; a prompt that was asked for is given all the same.
    pub context_room: usize,
    /// Positions that prompt and window may fill. The reference counts all there are.
    pub usable_positions: usize,
    pub suppressed: Suppressed,
    /// Tokens barred from the first place: a lone space, and with it the end of the text.
    pub blank: Vec<u32>,
    pub blank_and_end: Vec<u32>,
}

impl Shared {
    /// The tokens every window starts with.
    pub fn initial_tokens(&self, language: Option<&str>) -> Vec<u32> {
        let mut tokens = vec![self.specials.sot];
        if self.multilingual {
            let wanted = language.unwrap_or("en");
            tokens.extend(
                self.specials
                    .languages
                    .iter()
                    .find(|(code, _)| *code == wanted)
                    .map(|&(_, id)| id),
            );
            tokens.push(match self.settings.task {
                Task::Transcribe => self.specials.transcribe,
                Task::Translate => self.specials.translate,
            });
        }
        tokens.push(self.specials.no_timestamps);
        tokens
    }
}

pub(super) fn share(
    settings: PolicySettings,
    config: &WhisperConfig,
    tokenizer: Arc<Tokenizer>,
) -> Result<Shared, SettingsError> {
    settings.check()?;
    let specials = tokenizer.specials().clone();
    if let LanguageChoice::Fixed(language) = settings.language_choice()? {
        if !config.multilingual && language.code != "en" {
            return Err(SettingsError::EnglishOnly(settings.language));
        }
        if config.multilingual
            && !specials
                .languages
                .iter()
                .any(|(code, _)| *code == language.code)
        {
            return Err(SettingsError::LanguageNotInModel(settings.language));
        }
    }
    let allowed = allowed(&settings, config, &specials)?;
    if !config.multilingual && settings.task == Task::Translate {
        return Err(SettingsError::CannotTranslate);
    }
    let fixed = match settings.fixed_prompt().as_str() {
        "" => 0,
        text => tokenizer.encode(text).len(),
    };
    let most = config.text_positions.saturating_sub(20) / 2;
    if fixed > most {
        return Err(SettingsError::PromptTooLong {
            tokens: fixed,
            most,
        });
    }
    let languages = specials.languages.iter().map(|&(_, id)| id);
    let mut barred = vec![
        specials.transcribe,
        specials.translate,
        specials.sot,
        specials.sot_prev,
        specials.sot_lm,
        specials.no_timestamps,
        specials.no_speech,
    ];
    barred.extend(languages);
    if !settings.is_compat() {
        barred.extend(
            config
                .suppress_tokens
                .iter()
                .copied()
                .filter(|&t| t != specials.eot),
        );
        barred.extend(specials.timestamp_begin..config.vocab_size as u32);
    }
    let usable_positions = match settings.compat {
        Compat::SimulStreaming => config.text_positions,
        Compat::None => config.trained_positions.min(config.text_positions),
    };
    let asked_for = settings
        .init_prompt
        .as_deref()
        .map_or(0, |text| tokenizer.encode(text).len())
        + fixed;
    let context_room = match settings.compat {
        Compat::SimulStreaming => usize::MAX,
        Compat::None => usable_positions
            .saturating_sub(config.text_positions / 2)
            .max(asked_for),
    };
    let blank = tokenizer.encode(" ");
    let blank_and_end = blank.iter().copied().chain([specials.eot]).collect();
    Ok(Shared {
        suppressed: Suppressed::new(config.vocab_size, barred),
        multilingual: config.multilingual,
        allowed,
        text_positions: config.text_positions,
        context_room,
        usable_positions,
        blank,
        blank_and_end,
        specials,
        tokenizer,
        settings,
    })
}

/// The languages that `languages` allows on this model.
fn allowed(
    settings: &PolicySettings,
    config: &WhisperConfig,
    specials: &Specials,
) -> Result<Vec<(&'static str, u32)>, SettingsError> {
    let wanted = settings.allowed_languages()?;
    if wanted.is_empty() {
        return Ok(specials.languages.clone());
    }
    if !config.multilingual {
        return match wanted.iter().any(|language| language.code == "en") {
            true => Ok(Vec::new()),
            false => Err(SettingsError::EnglishNotAllowed(settings.languages.clone())),
        };
    }
    let token = |language: &Language| {
        let found = specials.languages.iter().find(|l| l.0 == language.code);
        found
            .copied()
            .ok_or_else(|| SettingsError::AllowedNotInModel(language.code.to_owned()))
    };
    wanted.iter().map(token).collect()
}
