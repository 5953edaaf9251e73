//! The tier that the operator asks for, by an environment variable: for tests, and for when the choice by measurement goes wrong.

use std::sync::OnceLock;

use super::simd::Tier;

/// Names the richest tier that may be used.
const VARIABLE: &str = "WHISPERSTREAM_CPU";

const NAMES: [(&str, Tier); 7] = [
    ("amx", Tier::Amx),
    ("avx512-bf16", Tier::Avx512Bf16),
    ("avx512-vnni", Tier::Avx512Vnni),
    ("avx512", Tier::Avx512),
    ("avx-vnni", Tier::AvxVnni),
    ("avx2", Tier::Avx2),
    ("portable", Tier::Portable),
];

/// The tier that was asked for, if there is one of that name and this processor has it.
pub fn forced() -> Option<Tier> {
    asked().as_ref().ok().copied().flatten()
}

/// What is wrong with what was asked for, in a sentence.
pub fn complaint() -> Option<&'static str> {
    asked().as_ref().err().map(String::as_str)
}

fn asked() -> &'static Result<Option<Tier>, String> {
    static ASKED: OnceLock<Result<Option<Tier>, String>> = OnceLock::new();
    ASKED.get_or_init(|| match std::env::var_os(VARIABLE) {
        None => Ok(None),
        Some(name) => named(&name.to_string_lossy()).map(Some),
    })
}

fn named(name: &str) -> Result<Tier, String> {
    let lower = name.to_ascii_lowercase();
    let known = NAMES.into_iter().find(|(known, _)| *known == lower);
    let why = match known {
        Some((_, tier)) if tier.available() => return Ok(tier),
        Some(_) => "this processor lacks it",
        None => "there is no such set of instructions",
    };
    let there = NAMES.into_iter().filter(|(_, tier)| tier.available());
    let there: Vec<&str> = there.map(|(name, _)| name).collect();
    Err(format!(
        "{VARIABLE} is {name:?}, but {why}; the fastest is used. Unset it, or set it to one of {}",
        there.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_complained_of_and_what_could_be_is_named() {
        assert_eq!(named("portable"), Ok(Tier::Portable));
        assert_eq!(named("PORTABLE"), Ok(Tier::Portable));
        for name in ["sse9", ""] {
            let sentence = named(name).unwrap_err();
            assert!(sentence.contains(&format!("{name:?}")), "{sentence}");
            assert!(sentence.ends_with("portable"), "{sentence}");
        }
    }

    #[test]
    fn every_tier_has_a_name() {
        for tier in Tier::ALL {
            assert!(NAMES.iter().any(|(_, named)| *named == tier), "{tier:?}");
        }
    }
}
