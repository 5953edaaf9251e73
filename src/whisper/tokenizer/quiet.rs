//! Tokens of what is not speech, as openai/whisper 20250625 lists them (`Tokenizer.non_speech_tokens`).

use super::Tokenizer;

const SYMBOLS: &str = "\"#()*+/:;<=>@[\\]^_`{|}~「」『』";
const GROUPS: [&str; 20] = [
    "<<",
    ">>",
    "<<<",
    ">>>",
    "--",
    "---",
    "-(",
    "-[",
    "('",
    "(\"",
    "((",
    "))",
    "(((",
    ")))",
    "[[",
    "]]",
    "{{",
    "}}",
    "♪♪",
    "♪♪♪",
];
/// Their first bytes begin nothing else that is worth saying.
const MUSIC: &str = "♩♪♫♬♭♮♯";

/// Non-speech tokens and those that steer, in order: what `suppress_tokens="-1"` means.
pub fn suppressed(tokenizer: &Tokenizer) -> Vec<u32> {
    let first = |text: &str| tokenizer.encode(text).first().copied();
    let whole = |text: &str| match tokenizer.encode(text).as_slice() {
        [token] => Some(*token),
        _ => None,
    };
    let single = |symbol: String| [whole(&symbol), whole(&format!(" {symbol}"))];
    let symbols = SYMBOLS.chars().map(String::from);
    let groups = GROUPS.into_iter().map(String::from);
    let music = MUSIC.chars().map(String::from);
    let music = music.flat_map(|symbol| [first(&symbol), first(&format!(" {symbol}"))]);
    // Hyphens and apostrophes within words stay.
    let alone = [first(" -"), first(" '")];

    let specials = &tokenizer.specials;
    let mut tokens: Vec<u32> = symbols
        .chain(groups)
        .flat_map(single)
        .chain(music)
        .chain(alone)
        .flatten()
        .collect();
    tokens.extend([
        specials.sot,
        specials.translate,
        specials.transcribe,
        specials.sot_lm,
        specials.sot_prev,
        specials.no_speech,
    ]);
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}
