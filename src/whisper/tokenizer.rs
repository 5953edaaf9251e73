//! Whisper's byte-level BPE with its special tokens, and openai/whisper's word splitting.

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

#[derive(Debug)]
pub struct Tokenizer {}

impl Tokenizer {
    pub fn specials(&self) -> &Specials {
        todo!()
    }

    /// Encodes plain text: text that looks like a special token is text, no special token comes out, none is added.
    pub fn encode(&self, _text: &str) -> Vec<u32> {
        todo!()
    }

    /// Bytes of one token; a special token's are its name.
    pub fn token_bytes(&self, _token: u32) -> &[u8] {
        todo!()
    }

    /// Decodes as openai/whisper's `decode`: timestamp tokens are left out, invalid UTF-8 becomes U+FFFD.
    pub fn decode(&self, _tokens: &[u32]) -> String {
        todo!()
    }

    /// As openai/whisper's `split_to_word_tokens`; `language` decides between spaces and code points
    /// (zh, ja, th, lo, my, yue).
    pub fn split_to_words(&self, _tokens: &[u32], _language: Option<&str>) -> Vec<WordTokens> {
        todo!()
    }
}
