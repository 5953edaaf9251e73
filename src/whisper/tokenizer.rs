//! Whisper's byte-level BPE with its special tokens, and openai/whisper's word splitting.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::WhisperError;
use super::languages::LANGUAGES;

mod bundled;
mod file;
mod quiet;
mod words;

/// Timestamp tokens of every model: 0.00 to 30.00 s in steps of 20 ms.
const TIMESTAMPS: usize = 1501;
/// The id of `<|endoftext|>` in the vocabulary of the English-only models (GPT-2's own).
const ENGLISH_EOT: u32 = 50256;
/// Tokens of the multilingual vocabulary before `large-v3`.
const MULTILINGUAL: usize = 51865;

/// The ids of the tokens that steer the network.
#[derive(Clone, Debug)]
pub struct Specials {
    pub eot: u32,
    pub sot: u32,
    /// (code, id), in id order; empty for `.en` models... their tokenizers hold them, but they mean nothing.
    pub languages: Vec<(&'static str, u32)>,
    pub translate: u32,
    pub transcribe: u32,
    pub sot_lm: u32,
    pub sot_prev: u32,
    pub no_speech: u32,
    pub no_timestamps: u32,
    /// First timestamp token; every id from here on is one.
    pub timestamp_begin: u32,
}

/// One word of a token sequence: its text (with the leading space, if any) and its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordTokens {
    pub text: String,
    pub tokens: Vec<u32>,
}

/// The vocabulary, by id and by text.
pub struct Tokenizer {
    specials: Specials,
    bytes: ByteTable,
    bpe: tokenizers::Tokenizer,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("tokens", &self.len())
            .field("specials", &self.specials)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads a Hugging Face `tokenizer.json`; `path` only names it in errors.
    /// Special tokens are found by name, so both multilingual vocabularies (51865 and 51866 tokens) and
    /// the English one are taken as they are. Files without timestamp tokens get them.
    pub fn from_json(json: &[u8], path: &Path) -> Result<Tokenizer, WhisperError> {
        let file = file::parse(json).map_err(|e| WhisperError::BadJson {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
        Tokenizer::new(file, path)
    }

    /// OpenAI's own tokenizer of the vocabularies with 51864 (English), 51865 and 51866 tokens, which is bundled;
    /// `None` for any other.
    pub fn bundled(vocab_size: usize) -> Result<Option<Tokenizer>, WhisperError> {
        let file = bundled::file(vocab_size)?;
        let tokenizer = file.map(|file| Tokenizer::new(file, Path::new("the bundled vocabulary")));
        tokenizer.transpose()
    }

    fn new(file: file::TokenizerFile, path: &Path) -> Result<Tokenizer, WhisperError> {
        let bad = |reason: String| WhisperError::BadTokenizer {
            path: path.to_owned(),
            reason,
        };
        let id = |name: &str| {
            let id = file.id(name);
            id.ok_or_else(|| bad(format!("it has no token {name}")))
        };
        let eot = id("<|endoftext|>")?;
        let no_timestamps = id("<|notimestamps|>")?;
        let mut languages: Vec<_> = LANGUAGES
            .iter()
            .filter_map(|l| Some((l.code, file.id(&format!("<|{}|>", l.code))?)))
            .collect();
        languages.sort_by_key(|&(_, id)| id);
        if eot == ENGLISH_EOT {
            languages.clear();
        }
        let specials = Specials {
            eot,
            sot: id("<|startoftranscript|>")?,
            languages,
            translate: id("<|translate|>")?,
            transcribe: id("<|transcribe|>")?,
            sot_lm: id("<|startoflm|>")?,
            sot_prev: id("<|startofprev|>")?,
            // Renamed when v3 came; the published files have either.
            no_speech: id("<|nocaptions|>").or_else(|_| id("<|nospeech|>"))?,
            no_timestamps,
            timestamp_begin: file
                .id("<|0.00|>")
                .unwrap_or(no_timestamps.saturating_add(1)),
        };
        let bytes = ByteTable::new(&file, specials.timestamp_begin).map_err(bad)?;
        let bpe = BPE::builder()
            .vocab_and_merges(file.model.vocab, file.model.merges)
            .build()
            .map_err(|e| bad(e.to_string()))?;
        // The added tokens are left out of the encoder on purpose: text is only ever text.
        let mut bpe = tokenizers::Tokenizer::new(bpe);
        bpe.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        Ok(Tokenizer {
            specials,
            bytes,
            bpe,
        })
    }

    /// The demo model's tokenizer, which is the multilingual one.
    pub fn demo() -> Result<Tokenizer, WhisperError> {
        let tokenizer = Tokenizer::bundled(MULTILINGUAL)?;
        tokenizer.ok_or_else(|| WhisperError::BadBundle("it has no vocabulary".to_owned()))
    }

    /// Tokens of what is not speech (music, brackets) and those that steer the network, in order: those that
    /// openai/whisper suppresses by default.
    pub fn non_speech(&self) -> Vec<u32> {
        quiet::suppressed(self)
    }

    pub fn specials(&self) -> &Specials {
        &self.specials
    }

    /// Tokens known, special ones and timestamps included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Encodes plain text: text that looks like a special token is text, no special token comes out, none is added.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self.bpe.encode(text, false) {
            Ok(encoding) => {
                let ids = encoding.get_ids().iter().copied();
                ids.filter(|&id| id < self.specials.eot).collect()
            }
            // Byte-level BPE takes every text; were it ever to refuse one, an empty prompt is the answer.
            Err(_) => Vec::new(),
        }
    }

    /// Bytes of one token; a special token's are its name, those of an id beyond the vocabulary none.
    pub fn token_bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token)
    }

    /// Decodes as openai/whisper's `decode`: timestamp tokens are left out, invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let begin = self.specials.timestamp_begin;
        self.text(tokens.iter().copied().filter(|&token| token < begin))
    }

    /// As openai/whisper's `split_to_word_tokens`; `language` decides between spaces and code points
    /// (zh, ja, th, lo, my, yue).
    pub fn split_to_words(&self, tokens: &[u32], language: Option<&str>) -> Vec<WordTokens> {
        match language {
            Some("zh" | "ja" | "th" | "lo" | "my" | "yue") => words::on_unicode(self, tokens),
            _ => words::on_spaces(self, tokens),
        }
    }

    /// Text of these tokens, timestamps by name.
    fn text(&self, tokens: impl Iterator<Item = u32>) -> String {
        let bytes: Vec<u8> = tokens.fold(Vec::new(), |mut bytes, token| {
            bytes.extend_from_slice(self.token_bytes(token));
            bytes
        });
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The bytes of every token, in one allocation.
struct ByteTable {
    bytes: Vec<u8>,
    /// End of each token's bytes.
    ends: Vec<usize>,
}

impl ByteTable {
    fn new(file: &file::TokenizerFile, timestamp_begin: u32) -> Result<ByteTable, String> {
        let mut names: Vec<Option<Vec<u8>>> = Vec::new();
        let limit = 4 * (file.model.vocab.len() + file.added_tokens.len() + TIMESTAMPS);
        let mut put = |id: u32, bytes: Vec<u8>| {
            let id = id as usize;
            if id >= limit {
                return Err(format!("the token id {id} is absurdly high"));
            }
            if names.len() <= id {
                names.resize(id + 1, None);
            }
            if let Some(slot) = names.get_mut(id) {
                *slot = Some(bytes);
            }
            Ok(())
        };
        for (i, id) in (timestamp_begin..).take(TIMESTAMPS).enumerate() {
            put(id, format!("<|{:.2}|>", i as f64 * 0.02).into_bytes())?;
        }
        for (name, &id) in &file.model.vocab {
            put(id, file::byte_level(name))?;
        }
        for token in &file.added_tokens {
            put(token.id, token.content.clone().into_bytes())?;
        }
        let mut table = ByteTable {
            bytes: Vec::new(),
            ends: Vec::with_capacity(names.len()),
        };
        for (id, name) in names.into_iter().enumerate() {
            let name = name.ok_or_else(|| format!("no token has the id {id}"))?;
            table.bytes.extend(name);
            table.ends.push(table.bytes.len());
        }
        Ok(table)
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, token: u32) -> &[u8] {
        let token = token as usize;
        let Some(&end) = self.ends.get(token) else {
            return &[];
        };
        let before = token.checked_sub(1).and_then(|t| self.ends.get(t));
        self.bytes
            .get(before.copied().unwrap_or(0)..end)
            .unwrap_or(&[])
    }
}
