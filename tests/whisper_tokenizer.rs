//! The tokenizer against facts of openai-whisper 20250625.

use std::path::Path;

use gstwhisperstream::whisper::Tokenizer;

fn demo() -> Tokenizer {
    Tokenizer::demo().unwrap()
}

fn shared(model: &str) -> Option<Tokenizer> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/models")
        .join(model)
        .join("tokenizer.json");
    match std::fs::read(&path) {
        Ok(json) => Some(Tokenizer::from_json(&json, &path).unwrap()),
        Err(e) => {
            eprintln!("SKIPPED: {}: {e}", path.display());
            None
        }
    }
}

fn words(tokenizer: &Tokenizer, tokens: &[u32], language: Option<&str>) -> Vec<String> {
    let words = tokenizer.split_to_words(tokens, language);
    let rejoined: Vec<u32> = words.iter().flat_map(|w| w.tokens.clone()).collect();
    assert_eq!(rejoined, tokens, "no token may be lost or moved");
    words.into_iter().map(|w| w.text).collect()
}

#[test]
fn special_tokens_have_the_ids_of_the_multilingual_vocabulary() {
    let t = demo();
    let s = t.specials();
    assert_eq!(t.len(), 51865);
    assert_eq!((s.eot, s.sot), (50257, 50258));
    assert_eq!((s.translate, s.transcribe), (50358, 50359));
    assert_eq!((s.sot_lm, s.sot_prev, s.no_speech), (50360, 50361, 50362));
    assert_eq!((s.no_timestamps, s.timestamp_begin), (50363, 50364));
    assert_eq!(s.languages.len(), 99);
    assert_eq!(s.languages[0], ("en", 50259));
    assert_eq!(s.languages[6], ("fr", 50265));
    assert_eq!(s.languages[98], ("su", 50357));
}

#[test]
fn the_vocabulary_of_v3_is_one_language_longer() {
    let Some(t) = shared("random-v3") else { return };
    let s = t.specials();
    assert_eq!(t.len(), 51866);
    assert_eq!(s.languages.last(), Some(&("yue", 50358)));
    assert_eq!((s.no_timestamps, s.timestamp_begin), (50364, 50365));
}

#[test]
fn english_models_have_no_languages() {
    let Some(t) = shared("random-en") else { return };
    let s = t.specials();
    assert_eq!(t.len(), 51864);
    assert_eq!((s.eot, s.sot, s.no_speech), (50256, 50257, 50361));
    assert_eq!(s.timestamp_begin, 50363);
    assert!(s.languages.is_empty());
}

#[test]
fn text_goes_there_and_back() {
    let t = demo();
    for text in [
        "",
        " bonjour",
        "Ça va? L'été, 42 €, naïve façade",
        "日本語 テスト",
        "a\tb\r\n  c",
        "\u{0} 🎉 e\u{301}",
        "<|endoftext|> <|fr|> <|0.00|>",
    ] {
        let tokens = t.encode(text);
        assert!(
            tokens.iter().all(|&id| id < t.specials().eot),
            "{text:?}: {tokens:?}"
        );
        assert_eq!(t.decode(&tokens), text);
    }
    // The ids openai's tokenizer gives.
    assert_eq!(t.encode(" Hello world"), [2425, 1002]);
}

#[test]
fn decode_leaves_timestamps_out_and_keeps_other_specials() {
    let t = demo();
    let mut tokens = vec![t.specials().timestamp_begin];
    tokens.extend(t.encode(" oui"));
    tokens.push(t.specials().eot);
    tokens.push(t.specials().timestamp_begin + 1500);
    assert_eq!(t.decode(&tokens), " oui<|endoftext|>");
    assert_eq!(t.token_bytes(t.specials().timestamp_begin + 1), b"<|0.02|>");
    assert_eq!(t.token_bytes(51864), b"<|30.00|>");
    assert_eq!(t.token_bytes(51865), b"");
    assert_eq!(t.decode(&[u32::MAX, 51865]), "");
}

#[test]
fn half_a_character_is_a_replacement_character() {
    let t = demo();
    // 🎉 takes several tokens.
    let tokens = t.encode("🎉");
    assert!(tokens.len() > 1);
    assert_eq!(t.decode(&tokens[..1]), "\u{fffd}");
}

#[test]
fn words_split_on_spaces_and_punctuation() {
    let t = demo();
    let split = |text: &str| words(&t, &t.encode(text), Some("fr"));
    assert_eq!(
        split(" vous êtes sur la messagerie"),
        [" vous", " êtes", " sur", " la", " messagerie"]
    );
    assert_eq!(split(" Hello, world!"), [" Hello", ",", " world", "!"]);
    // Python's `in` is a substring test: "()" is in the list, ")(" is not a part of it.
    assert_eq!(split("a()"), ["a", "()"]);
    assert!(words(&t, &[], None).is_empty());
}

#[test]
fn special_tokens_and_timestamps_are_words_of_their_own() {
    let t = demo();
    let mut tokens = t.encode(" oui");
    tokens.push(t.specials().timestamp_begin + 1);
    tokens.push(t.specials().eot);
    assert_eq!(
        words(&t, &tokens, Some("fr")),
        [" oui", "<|0.02|>", "<|endoftext|>"]
    );
}

#[test]
fn languages_without_spaces_split_by_code_point() {
    let t = demo();
    let text = "日本語テスト";
    let pieces = words(&t, &t.encode(text), Some("ja"));
    assert_eq!(pieces.concat(), text);
    assert!(pieces.len() > 2, "{pieces:?}");
    assert!(!pieces.iter().any(|p| p.contains('\u{fffd}')));
    // The same text is one word where spaces count.
    assert_eq!(words(&t, &t.encode(text), Some("fr")), [text]);
}

#[test]
fn broken_utf8_never_loses_a_token() {
    let t = demo();
    let of = |byte: u8| (0..50257).find(|&id| t.token_bytes(id) == [byte]).unwrap();
    let (lead, tail, a) = (of(0xf0), of(0x9f), of(b'a'));
    for tokens in [
        vec![lead],
        vec![tail, tail],
        vec![lead, a],
        vec![lead, tail, a, lead],
        vec![tail, lead, tail, tail, a, a, lead, tail],
        vec![u32::MAX, lead, u32::MAX],
    ] {
        words(&t, &tokens, Some("fr"));
        words(&t, &tokens, Some("zh"));
    }
}
