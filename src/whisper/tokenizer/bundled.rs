//! OpenAI's own vocabularies, for weights that come without a `tokenizer.json`. What is bundled is the list of merges: it
//! is the vocabulary, too, since each merge makes the next token.

use super::TIMESTAMPS;
use super::file::{AddedToken, Model, TokenizerFile, alphabet};
use crate::whisper::WhisperError;
use crate::whisper::languages::LANGUAGES;
use crate::whisper::unpack::unpack;

macro_rules! merges {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/models/vocabularies/",
            $name,
            ".merges.zst"
        ))
    };
}

/// The tokenizer of the released models whose vocabulary has this size, none for any other.
pub fn file(vocab_size: usize) -> Result<Option<TokenizerFile>, WhisperError> {
    let (packed, multilingual, languages): (&[u8], bool, usize) = match vocab_size {
        51864 => (merges!("english"), false, 99),
        51865 => (merges!("multilingual"), true, 99),
        // large-v3 and its kin: Cantonese came last.
        51866 => (merges!("multilingual"), true, 100),
        _ => return Ok(None),
    };
    let bad = |_| WhisperError::BadBundle("its vocabulary is no text".to_owned());
    let text = String::from_utf8(unpack(packed)?).map_err(bad)?;
    let merges: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(left, right)| (left.to_owned(), right.to_owned()))
        .collect();

    let mut names: Vec<String> = alphabet().map(String::from).collect();
    names.extend(merges.iter().map(|(left, right)| format!("{left}{right}")));
    if multilingual {
        // tiktoken's file of it ends with an empty token.
        names.push(String::new());
    }
    let first_added = names.len();
    let named = |name: &str| format!("<|{name}|>");
    let languages = LANGUAGES.iter().take(languages).map(|l| named(l.code));
    let added = ["endoftext", "startoftranscript"].map(named).into_iter();
    let tasks = ["translate", "transcribe", "startoflm", "startofprev"].map(named);
    let rest = ["nospeech", "notimestamps"].map(named);
    let stamps = (0..TIMESTAMPS).map(|i| named(&format!("{:.2}", i as f64 * 0.02)));
    let added = added
        .chain(languages)
        .chain(tasks)
        .chain(rest)
        .chain(stamps);

    let ids = |first: usize| first as u32..;
    Ok(Some(TokenizerFile {
        added_tokens: ids(first_added)
            .zip(added)
            .map(|(id, content)| AddedToken { id, content })
            .collect(),
        model: Model {
            vocab: names.into_iter().zip(ids(0)).collect(),
            merges,
        },
    }))
}
