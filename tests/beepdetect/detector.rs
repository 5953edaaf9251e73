//! What is told of tones, when, and how exactly.

use gstwhisperstream::speech::tones::{Kind, Settings, SettingsError};

use super::rig::*;
use super::sounds::*;
use super::voices;

const RATES: [u32; 2] = [8_000, 16_000];

#[test]
fn every_signal_is_told_on_every_line_at_either_rate() {
    for rate in RATES {
        for signal in SIGNALS {
            let kind = Kind::named(signal.kind).unwrap();
            let sound = framed(&signal.play(-20.0, 3.5, rate), rate);
            for line in LINES {
                let told = listen(&line.carry(&sound, rate), rate);
                let what = format!("{signal:?} at {rate} Hz, {line:?}: {told:#?}");
                assert!(!told.is_empty(), "{what}");
                assert!(told.iter().all(|told| told.tone.kind == kind), "{what}");
                let first = told[0].tone;
                assert!((seconds(first.start, rate) - 1.0).abs() < 0.02, "{what}");
                assert!(
                    !first.is_final && told.last().unwrap().tone.is_final,
                    "{what}"
                );
                let level = match line {
                    Line::Clear => -20.0,
                    Line::Soft => -40.0,
                    // Noise adds to it, and what clips is at full scale.
                    Line::Noisy(_) => -20.0,
                    Line::Clipped => continue,
                };
                // Of two tones it is the level of both.
                let apart = first.level - level;
                assert!((-0.6..3.6).contains(&apart), "{what}");
            }
        }
    }
}

#[test]
fn a_cadence_is_one_tone_from_its_first_burst_to_the_end_of_its_last() {
    let rate = 8_000;
    for (kind, country, played, length) in [
        ("ring-back", "fr", 6.5, 6.5),
        ("ring-back", "uk", 6.5, 6.4),
        ("ring-back", "us", 7.0, 7.0),
        ("busy", "de", 6.0, 5.28),
        ("busy", "us", 6.0, 5.5),
        ("congestion", "fr", 6.0, 5.75),
        ("dial", "it", 6.0, 5.0),
        ("fax-cng", "itu", 8.0, 7.5),
    ] {
        let sound = framed(&Signal::of(kind, country).play(-20.0, played, rate), rate);
        let told = listen(&sound, rate);
        let what = format!("{kind} of {country}: {told:#?}");
        assert_eq!(kinds(&told), [Kind::named(kind).unwrap()], "{what}");
        assert_eq!(told.len(), 2, "{what}");
        let last = told[1].tone;
        assert!((seconds(last.length, rate) - length).abs() < 0.03, "{what}");
    }
}

/// Beyond its minimum of 150 ms a beep is told within so many ms.
fn latest(hz: f64) -> u64 {
    match hz {
        // What networks and faxes use as well is waited out.
        _ if [913.8, 950.0, 985.2]
            .iter()
            .any(|own| (hz - own).abs() < 10.0) =>
        {
            300
        }
        _ if (1_062.0..=1_138.0).contains(&hz) => 480,
        _ => 200,
    }
}

#[test]
fn a_beep_is_told_within_200_ms_of_its_shortest_on_every_line() {
    for rate in RATES {
        for (i, hz) in [
            446.5, 500.0, 613.0, 700.0, 853.0, 913.8, 950.0, 1_000.0, 1_100.0, 1_204.0, 1_400.0,
            1_633.0, 1_900.0, 2_000.0,
        ]
        .into_iter()
        .enumerate()
        {
            for length in [0.15, 0.22, 0.4, 0.9] {
                let sound = join(&[
                    &silence(1.0, rate),
                    &tone(&[hz], -20.0, length, rate),
                    &silence(0.5, rate),
                ]);
                for line in [
                    Line::Clear,
                    Line::Noisy(i as u64),
                    Line::Clipped,
                    Line::Soft,
                ] {
                    let told = listen(&line.carry(&sound, rate), rate);
                    let what = format!("{hz} Hz for {length} s at {rate} Hz, {line:?}: {told:#?}");
                    assert_eq!(kinds(&told), [Kind::Beep], "{what}");
                    let (first, last) = (told[0], told.last().unwrap().tone);
                    let delay = first.by as i64 - i64::from(rate) - i64::from(rate) * 150 / 1_000;
                    assert!(
                        delay * 1_000 / i64::from(rate) <= latest(hz) as i64,
                        "{what}"
                    );
                    assert!((seconds(last.start, rate) - 1.0).abs() < 0.01, "{what}");
                    assert!((seconds(last.length, rate) - length).abs() < 0.02, "{what}");
                    assert!((last.frequency - hz).abs() < 0.003 * hz, "{what}");
                    assert!(last.is_final, "{what}");
                    assert_eq!(told.len() == 1, first.tone.is_final, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_beep_of_440_hz_waits_for_the_cadence_that_it_might_be() {
    let rate = 8_000;
    for (length, latest) in [(0.2, 0.6), (0.35, 0.2), (0.5, 0.85), (0.8, 0.2)] {
        for line in LINES {
            let sound = framed(&tone(&[440.0], -20.0, length, rate), rate);
            let told = listen(&line.carry(&sound, rate), rate);
            let what = format!("{length} s, {line:?}: {told:#?}");
            assert_eq!(kinds(&told), [Kind::Beep], "{what}");
            assert!(
                seconds(told[0].by as u64, rate) <= 1.0 + length + latest,
                "{what}"
            );
        }
    }
}

#[test]
fn a_beep_right_behind_speech_is_told() {
    for (i, voice) in voices::ENGLISH.iter().chain(&voices::FRENCH).enumerate() {
        let speech = voices::say("Leave a message after the tone. Laissez un message.", voice);
        for gap in [0.05, 0.3, 0.8] {
            let hz = 600.0 + 35.0 * i as f64;
            let beep = tone(&[hz], -15.0, 0.4, RATE);
            let sound = join(&[&speech, &silence(gap, RATE), &beep, &silence(1.0, RATE)]);
            for sound in [sound.clone(), telephone(&sound)] {
                let told = listen(&sound, RATE);
                let what = format!("{hz} Hz {gap} s behind {voice:?}: {told:#?}");
                assert!(
                    !told.is_empty() && told.iter().all(|told| told.tone.kind == Kind::Beep),
                    "{what}"
                );
                let start = speech.len() as f64 / f64::from(RATE) + gap;
                assert!(
                    (seconds(told[0].tone.start, RATE) - start).abs() < 0.02,
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn an_answer_tone_is_told_with_reversals_and_with_sway() {
    for rate in RATES {
        for swayed in [false, true] {
            let sound = framed(&answer_tone(swayed, -20.0, 3.3, rate), rate);
            for line in LINES {
                let told = listen(&line.carry(&sound, rate), rate);
                let what = format!("swayed {swayed}, {line:?}: {told:#?}");
                assert_eq!(kinds(&told), [Kind::FaxCed], "{what}");
                assert!(told[0].by < 17 * rate as usize / 10, "{what}");
            }
        }
    }
}

#[test]
fn half_a_second_of_1100_hz_behind_speech_is_a_beep_and_out_of_quiet_a_fax() {
    let speech = voices::say("Please leave a message.", &voices::ENGLISH[0]);
    let burst = tone(&[1_100.0], -15.0, 0.5, RATE);
    let pause = silence(0.3, RATE);
    let told = listen(&join(&[&speech, &pause, &burst, &silence(1.0, RATE)]), RATE);
    assert_eq!(kinds(&told), [Kind::Beep], "{told:#?}");
    let told = listen(&framed(&burst, RATE), RATE);
    assert_eq!(kinds(&told), [Kind::FaxCng], "{told:#?}");
}

#[test]
fn what_is_not_a_beep_is_not_told() {
    let rate = 16_000;
    let glide: Vec<i16> = (0..8_000)
        .map(|i| {
            let t = f64::from(i) / 16_000.0;
            // From 900 to 1000 Hz.
            (8_000.0 * (std::f64::consts::TAU * (900.0 * t + 100.0 * t * t)).sin()) as i16
        })
        .collect();
    let dying: Vec<i16> = tone(&[880.0], -10.0, 0.6, rate)
        .iter()
        .enumerate()
        .map(|(i, s)| (f64::from(*s) * (-(i as f64) / 8_000.0).exp()) as i16)
        .collect();
    let melody: Vec<i16> = [660.0, 880.0, 990.0, 880.0, 660.0]
        .iter()
        .flat_map(|hz| tone(&[*hz], -10.0, 0.25, rate))
        .collect();
    for (what, sound) in [
        ("too short", tone(&[1_000.0], -10.0, 0.12, rate)),
        ("keys", dtmf("0123456789*#ABCD", 0.3, 0.2, -10.0, rate)),
        ("a glide", glide),
        ("a note that dies away", dying),
        ("a melody", melody),
        (
            "two tones at once",
            tone(&[800.0, 1_100.0], -10.0, 0.6, rate),
        ),
        ("too low", tone(&[425.0], -10.0, 0.4, rate)),
        ("too high", tone(&[2_300.0], -10.0, 0.4, rate)),
        ("too soft", tone(&[1_000.0], -50.0, 0.4, rate)),
        (
            "a vowel",
            vowel(220.0, [700.0, 1_200.0, 2_600.0], 0.0, -6.0, 1.0, rate),
        ),
        (
            "a high vowel",
            vowel(520.0, [500.0, 900.0, 2_500.0], 0.01, -6.0, 1.0, rate),
        ),
    ] {
        let told = listen(&framed(&sound, rate), rate);
        assert_eq!(told, [], "{what}");
    }
}

#[test]
fn how_the_audio_is_cut_changes_nothing() {
    let mut random = Random::new(7);
    for rate in RATES {
        let parts: Vec<Vec<i16>> = vec![
            silence(0.777, rate),
            Signal::of("ring-back", "us").play(-25.0, 6.4, rate),
            silence(1.0, rate),
            tone(&[1_000.0], -12.0, 0.3, rate),
            silence(0.6, rate),
            Signal::of("sit", "itu").play(-20.0, 1.5, rate),
            silence(1.2, rate),
            tone(&[440.0], -12.0, 0.5, rate),
            silence(1.2, rate),
            Signal::of("busy", "fr").play(-20.0, 3.0, rate),
        ];
        let sound = mix(&parts.concat(), &white(-40.0, 20.0, rate, 3));
        let whole = |cut: &mut dyn FnMut() -> usize| {
            let mut detector = detector(rate);
            let mut told = Vec::new();
            let mut rest = sound.as_slice();
            while !rest.is_empty() {
                let (packet, later) = rest.split_at(cut().min(rest.len()));
                detector.push(packet, |tone| told.push(tone));
                rest = later;
            }
            detector.finish(|tone| told.push(tone));
            told
        };
        let expected = whole(&mut || usize::MAX);
        let kinds: Vec<_> = expected
            .iter()
            .filter(|tone| tone.is_final)
            .map(|tone| tone.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                Kind::RingBack,
                Kind::Beep,
                Kind::Sit,
                Kind::Beep,
                Kind::Busy
            ],
            "{expected:#?}"
        );
        assert_eq!(whole(&mut || 1), expected);
        for _ in 0..10 {
            assert_eq!(whole(&mut || 1 + random.below(1_000)), expected);
        }
    }
}

#[test]
fn a_lost_packet_or_two_do_not_split_a_beep() {
    let rate = 8_000;
    for at in [0.06, 0.1, 0.3] {
        let mut beep = tone(&[1_000.0], -15.0, 0.8, rate);
        let from = (at * f64::from(rate)) as usize;
        beep[from..from + 160].fill(0);
        let told = listen(&framed(&beep, rate), rate);
        assert_eq!(kinds(&told), [Kind::Beep], "lost at {at}: {told:#?}");
        assert!(
            (seconds(told.last().unwrap().tone.length, rate) - 0.8).abs() < 0.03,
            "{told:#?}"
        );
    }
}

#[test]
fn the_end_of_the_audio_ends_what_goes_on() {
    let rate = 8_000;
    let sound = join(&[&silence(0.5, rate), &tone(&[1_000.0], -15.0, 0.25, rate)]);
    let told = listen(&sound, rate);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].tone.is_final);

    let mut detector = detector(rate);
    let mut told = Vec::new();
    detector.push(&sound, |tone| told.push(tone));
    detector.reset();
    detector.push(&silence(1.0, rate), |tone| told.push(tone));
    detector.finish(|tone| told.push(tone));
    assert_eq!(told, [], "a reset forgets");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let good = Settings::default();
    let error = |settings: Settings| settings.check().unwrap_err();
    assert_eq!(
        error(Settings {
            rate: 44_100,
            ..good
        }),
        SettingsError::Rate(44_100)
    );
    assert_eq!(
        error(Settings {
            min_duration_ms: 20,
            ..good
        }),
        SettingsError::Duration(20)
    );
    let crossed = error(Settings {
        min_frequency: 1_500,
        max_frequency: 600,
        ..good
    });
    assert_eq!(
        crossed,
        SettingsError::Frequencies {
            min: 1_500,
            max: 600
        }
    );
    let text = crossed.to_string();
    assert!(text.contains("1500") && text.contains("600"), "{text}");
    assert!(
        error(Settings {
            max_frequency: 9_000,
            ..good
        })
        .to_string()
        .contains("9000")
    );
    assert!(
        Settings {
            min_level: f64::NAN,
            ..good
        }
        .check()
        .is_err()
    );
    assert!(
        Settings {
            min_level: 3.0,
            ..good
        }
        .check()
        .is_err()
    );
}
