//! Where there is no tone none is told: minutes of speech, music and noise. `cargo bench --bench beeps` plays hours.

use super::music::{self, Instrument, Style};
use super::rig::*;
use super::sounds::*;
use super::voices::{self, Voice};

const TEXTS: [&str; 2] = [
    "Hello? Yes, hm-hm. Oooh, who knew that you would do so! Well, eight nine zero, two two six. You may leave a message \
     with your name and number after the tone, thank you so much.",
    "Allô ? Oui, mmm. Bonjour, vous êtes bien chez Louis, je suis absent pour le moment. Ouuh, où ça ? Zéro six, douze, \
     trente-deux. Merci de laisser un message après le signal sonore.",
];

fn assert_quiet(what: &str, sound: &[i16]) {
    for (line, sound) in [("", sound), (" by telephone", &telephone(sound))] {
        let told = listen(sound, RATE);
        assert!(told.is_empty(), "{what}{line}: {told:#?}");
    }
}

#[test]
fn nobody_who_speaks_beeps() {
    for (i, voice) in voices::ENGLISH.iter().chain(&voices::FRENCH).enumerate() {
        let text = TEXTS[usize::from(i >= voices::ENGLISH.len())];
        assert_quiet(&format!("{voice:?}"), &voices::say(text, voice));
        // Vowels and hums that are held, at the highest and lowest pitch of the voice.
        for pitch in [0, 99] {
            let voice = Voice { pitch, ..*voice };
            let held = voices::say("[[a::::::]] [[i::::::]] [[u::::::]] [[m::::::]]", &voice);
            assert_quiet(&format!("{voice:?}, held"), &held);
        }
    }
}

#[test]
fn no_music_beeps() {
    for style in music::STYLES {
        assert_quiet(&format!("{style:?}"), &music::play(style, 3, 15.0));
    }
    for instrument in Instrument::ALL {
        let style = Style::Solo(instrument);
        assert_quiet(&format!("{style:?}"), &music::play(style, 4, 10.0));
    }
}

#[test]
fn no_noise_beeps() {
    for (what, sound) in [
        ("silence", silence(20.0, RATE)),
        ("white noise", white(-15.0, 20.0, RATE, 1)),
        ("pink noise", pink(-15.0, 20.0, RATE, 2)),
        ("a line", line_noise(-25.0, 20.0, RATE, 3)),
        ("breath", breath(-10.0, 20.0, RATE, 4)),
        ("a keyboard", keyboard(-6.0, 20.0, RATE, 5)),
        ("full scale", vec![i16::MIN; 100_000]),
    ] {
        assert_quiet(what, &sound);
    }
}
