//! The languages Whisper knows, by code, English name and BCP-47 tag.

/// A language of Whisper's list: its code (`fr`) and English name (`french`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Language {
    pub code: &'static str,
    pub name: &'static str,
}

impl Language {
    /// Finds a language by Whisper code, English name or BCP-47 tag (`fr`, `French`, `fr-FR`, `fr_CA`); case does not matter.
    pub fn parse(text: &str) -> Option<Language> {
        let text = text.trim().to_lowercase();
        by_code(&text).or_else(|| by_name(&text)).or_else(|| {
            let primary = text.split(['-', '_']).next()?;
            by_code(primary).or_else(|| by_code(lookup(&TAGS, primary)?))
        })
    }
}

/// Every language, in the order of the tokens of `large-v3` (older models lack the last one).
pub const LANGUAGES: [Language; 100] = {
    const fn l(code: &'static str, name: &'static str) -> Language {
        Language { code, name }
    }
    [
        l("en", "english"),
        l("zh", "chinese"),
        l("de", "german"),
        l("es", "spanish"),
        l("ru", "russian"),
        l("ko", "korean"),
        l("fr", "french"),
        l("ja", "japanese"),
        l("pt", "portuguese"),
        l("tr", "turkish"),
        l("pl", "polish"),
        l("ca", "catalan"),
        l("nl", "dutch"),
        l("ar", "arabic"),
        l("sv", "swedish"),
        l("it", "italian"),
        l("id", "indonesian"),
        l("hi", "hindi"),
        l("fi", "finnish"),
        l("vi", "vietnamese"),
        l("he", "hebrew"),
        l("uk", "ukrainian"),
        l("el", "greek"),
        l("ms", "malay"),
        l("cs", "czech"),
        l("ro", "romanian"),
        l("da", "danish"),
        l("hu", "hungarian"),
        l("ta", "tamil"),
        l("no", "norwegian"),
        l("th", "thai"),
        l("ur", "urdu"),
        l("hr", "croatian"),
        l("bg", "bulgarian"),
        l("lt", "lithuanian"),
        l("la", "latin"),
        l("mi", "maori"),
        l("ml", "malayalam"),
        l("cy", "welsh"),
        l("sk", "slovak"),
        l("te", "telugu"),
        l("fa", "persian"),
        l("lv", "latvian"),
        l("bn", "bengali"),
        l("sr", "serbian"),
        l("az", "azerbaijani"),
        l("sl", "slovenian"),
        l("kn", "kannada"),
        l("et", "estonian"),
        l("mk", "macedonian"),
        l("br", "breton"),
        l("eu", "basque"),
        l("is", "icelandic"),
        l("hy", "armenian"),
        l("ne", "nepali"),
        l("mn", "mongolian"),
        l("bs", "bosnian"),
        l("kk", "kazakh"),
        l("sq", "albanian"),
        l("sw", "swahili"),
        l("gl", "galician"),
        l("mr", "marathi"),
        l("pa", "punjabi"),
        l("si", "sinhala"),
        l("km", "khmer"),
        l("sn", "shona"),
        l("yo", "yoruba"),
        l("so", "somali"),
        l("af", "afrikaans"),
        l("oc", "occitan"),
        l("ka", "georgian"),
        l("be", "belarusian"),
        l("tg", "tajik"),
        l("sd", "sindhi"),
        l("gu", "gujarati"),
        l("am", "amharic"),
        l("yi", "yiddish"),
        l("lo", "lao"),
        l("uz", "uzbek"),
        l("fo", "faroese"),
        l("ht", "haitian creole"),
        l("ps", "pashto"),
        l("tk", "turkmen"),
        l("nn", "nynorsk"),
        l("mt", "maltese"),
        l("sa", "sanskrit"),
        l("lb", "luxembourgish"),
        l("my", "myanmar"),
        l("bo", "tibetan"),
        l("tl", "tagalog"),
        l("mg", "malagasy"),
        l("as", "assamese"),
        l("tt", "tatar"),
        l("haw", "hawaiian"),
        l("ln", "lingala"),
        l("ha", "hausa"),
        l("ba", "bashkir"),
        l("jw", "javanese"),
        l("su", "sundanese"),
        l("yue", "cantonese"),
    ]
};

/// Further English names (those openai/whisper takes too).
const ALIASES: [(&str, &str); 12] = [
    ("burmese", "my"),
    ("castilian", "es"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("letzeburgesch", "lb"),
    ("mandarin", "zh"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("panjabi", "pa"),
    ("pushto", "ps"),
    ("sinhalese", "si"),
    ("valencian", "ca"),
];

/// Primary BCP-47 subtags that Whisper writes otherwise: newer, older and macro-language codes.
const TAGS: [(&str, &str); 8] = [
    ("cmn", "zh"),
    ("fil", "tl"),
    ("in", "id"),
    ("iw", "he"),
    ("ji", "yi"),
    ("jv", "jw"),
    ("mo", "ro"),
    ("nb", "no"),
];

fn lookup(table: &[(&'static str, &'static str)], key: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(from, _)| *from == key)
        .map(|&(_, to)| to)
}

fn by_code(code: &str) -> Option<Language> {
    LANGUAGES.iter().find(|l| l.code == code).copied()
}

fn by_name(name: &str) -> Option<Language> {
    let language = LANGUAGES.iter().find(|l| l.name == name).copied();
    language.or_else(|| by_code(lookup(&ALIASES, name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        Language::parse(text).map(|l| l.code)
    }

    #[test]
    fn codes_names_and_tags_find_their_language() {
        for (text, expected) in [
            ("fr", "fr"),
            ("FR", "fr"),
            (" French ", "fr"),
            ("fr-FR", "fr"),
            ("fr_CA", "fr"),
            ("zh-Hant-TW", "zh"),
            ("cmn-Hans", "zh"),
            ("nb-NO", "no"),
            ("nn", "nn"),
            ("fil", "tl"),
            ("iw", "he"),
            ("in-ID", "id"),
            ("ji", "yi"),
            ("jv", "jw"),
            ("haw-US", "haw"),
            ("yue-HK", "yue"),
            ("Castilian", "es"),
            ("haitian creole", "ht"),
            ("Haitian", "ht"),
        ] {
            assert_eq!(code(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_language_is_refused() {
        for text in ["", "auto", "-", "_fr", "frr", "klingon", "f", "fr FR"] {
            assert_eq!(code(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_alias_leads_to_a_language() {
        for (from, to) in ALIASES.iter().chain(&TAGS) {
            assert!(by_code(to).is_some(), "{from} -> {to}");
            assert_eq!(code(from), Some(*to));
        }
    }
}
