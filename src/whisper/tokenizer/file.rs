//! What is read of a `tokenizer.json`.

use serde::Deserialize;
use tokenizers::models::bpe::{Merges, Vocab};

#[derive(Deserialize)]
pub struct TokenizerFile {
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    pub model: Model,
}

#[derive(Deserialize)]
pub struct AddedToken {
    pub id: u32,
    pub content: String,
}

#[derive(Deserialize)]
pub struct Model {
    pub vocab: Vocab,
    #[serde(deserialize_with = "merges")]
    pub merges: Merges,
}

impl TokenizerFile {
    /// The id of a token by its name in the file.
    pub fn id(&self, name: &str) -> Option<u32> {
        let added = self.added_tokens.iter().find(|t| t.content == name);
        added
            .map(|t| t.id)
            .or_else(|| self.model.vocab.get(name).copied())
    }
}

pub fn parse(json: &[u8]) -> Result<TokenizerFile, serde_json::Error> {
    serde_json::from_slice(json)
}

/// Merges come as pairs since tokenizers 0.20, as "left right" before.
fn merges<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Merges, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Merge {
        Pair((String, String)),
        Line(String),
    }
    let merges = Vec::<Merge>::deserialize(deserializer)?;
    let pairs = merges.into_iter().map(|merge| match merge {
        Merge::Pair(pair) => Ok(pair),
        Merge::Line(line) => match line.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(serde::de::Error::custom(format!(
                "the merge {line:?} is no pair"
            ))),
        },
    });
    pairs.collect()
}

/// Bytes of a vocabulary entry: GPT-2 writes printable bytes as themselves and the others, in order,
/// as the code points from U+0100 on.
pub fn byte_level(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    for c in name.chars() {
        match byte_of(c) {
            Some(byte) => bytes.push(byte),
            // Not of the alphabet (a special name in the vocabulary): as it stands.
            None => bytes.extend(c.to_string().bytes()),
        }
    }
    bytes
}

/// The code points that stand for the 256 bytes, in the order of their tokens: the printable ones first.
pub fn alphabet() -> impl Iterator<Item = char> {
    let printable = (0x21..=0x7e).chain(0xa1..=0xac).chain(0xae..=0xff);
    printable.chain(0x100..=0x143).filter_map(char::from_u32)
}

fn byte_of(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        // The unprintable ones: 0 to 0x20, 0x7f to 0xa0, and 0xad.
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_covers_every_byte_once() {
        let mut bytes: Vec<u8> = (0..0x200)
            .filter_map(char::from_u32)
            .filter_map(byte_of)
            .collect();
        bytes.sort_unstable();
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
        let mut listed: Vec<u8> = alphabet().filter_map(byte_of).collect();
        listed.sort_unstable();
        assert_eq!(listed, bytes);
        assert_eq!(byte_level("Ġcafé"), b" caf\xe9");
        assert_eq!(byte_level("Ċ"), b"\n");
    }
}
