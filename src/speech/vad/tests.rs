use std::f32::consts::TAU;

use super::*;

const RATE: f32 = SECOND as f32;
const SECOND: usize = 16_000;

/// Share of the frames that would start or carry on speech.
fn voiced(samples: &[f32], threshold: f32) -> f32 {
    let mut detector = Voice::default();
    let samples: Vec<i16> = samples.iter().map(|x| (x * 32_767.0) as i16).collect();
    let heard: Vec<bool> = samples
        .chunks_exact(FRAME)
        .map(|frame| detector.probability(frame) >= threshold)
        .collect();
    heard.iter().filter(|h| **h).count() as f32 / heard.len() as f32
}

fn noise(seconds: usize, amplitude: f32) -> Vec<f32> {
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        amplitude * ((state >> 40) as f32 / 8_388_608.0 - 1.0)
    };
    (0..seconds * SECOND).map(|_| random()).collect()
}

/// Nothing above 3.5 kHz, as behind a telephone line: a windowed sinc.
fn narrow(samples: &[f32]) -> Vec<f32> {
    let half = 40i32;
    let taps: Vec<f32> = (-half..=half)
        .map(|n| {
            let x = TAU * 3_500.0 / RATE * n as f32;
            let sinc = if n == 0 { 1.0 } else { x.sin() / x };
            sinc * (0.5 + 0.5 * (TAU * n as f32 / (2 * half + 2) as f32).cos())
        })
        .collect();
    let sum: f32 = taps.iter().sum();
    samples
        .windows(taps.len())
        .map(|w| w.iter().zip(&taps).map(|(x, h)| x * h).sum::<f32>() / sum)
        .collect()
}

fn tone(hz: &[f32], on: f32, off: f32, seconds: usize) -> Vec<f32> {
    let sample = |i: usize| {
        let t = i as f32 / RATE;
        let sum: f32 = hz.iter().map(|hz| (TAU * hz * t).sin()).sum();
        if t % (on + off) < on { 0.3 * sum } else { 0.0 }
    };
    (0..seconds * SECOND).map(sample).collect()
}

/// Chords of eight harmonics a note, a new one every 300 ms, its loudness falling.
fn chords(seconds: usize) -> Vec<f32> {
    let notes = [
        [220.0, 277.2, 329.6],
        [196.0, 246.9, 293.7],
        [174.6, 220.0, 261.6],
    ];
    let sample = |i: usize| {
        let t = i as f32 / RATE;
        let chord = notes[(t / 0.3) as usize % notes.len()];
        let note = |hz: f32| {
            (1..9)
                .map(|k| (TAU * hz * k as f32 * t).sin() / k as f32)
                .sum::<f32>()
        };
        0.1 * (1.0 - 0.7 * (t % 0.3) / 0.3) * chord.map(note).iter().sum::<f32>()
    };
    (0..seconds * SECOND).map(sample).collect()
}

fn recording() -> Vec<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/audio/fr-accueil.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    let samples = reader.samples::<i16>();
    samples.map(|s| f32::from(s.unwrap()) / 32_768.0).collect()
}

#[test]
fn noise_is_no_voice_however_loud_or_narrow() {
    for amplitude in [0.001, 0.02, 0.3, 1.0] {
        let wide = noise(20, amplitude);
        assert!(voiced(&wide, 0.5) < 0.01, "{amplitude}");
        assert!(voiced(&narrow(&wide), 0.5) < 0.01, "narrow, {amplitude}");
    }
}

#[test]
fn tones_are_no_voice() {
    for (hz, on, off) in [
        (&[440.0][..], 1.5, 3.5),
        (&[425.0], 0.5, 0.5),
        (&[480.0, 620.0], 0.25, 0.25),
        (&[425.0], 0.17, 0.17),
        (&[400.0, 450.0], 0.4, 0.2),
        (&[350.0, 440.0], 100.0, 0.0),
        (&[480.0, 620.0], 0.5, 0.5),
        (&[1_000.0], 0.4, 1.0),
        (&[770.0, 1_336.0], 0.12, 0.13),
    ] {
        let voiced = voiced(&tone(hz, on, off, 20), 0.5);
        assert!(voiced < 0.2, "{hz:?}: {voiced}");
    }
}

#[test]
fn chords_are_no_voice() {
    let audio = chords(20);
    let mut bare = Earshot::default();
    let misled = audio.chunks_exact(FRAME).filter(|frame| {
        let frame: Vec<i16> = frame.iter().map(|x| (x * 32_767.0) as i16).collect();
        bare.probability(&frame) >= 0.5
    });
    let (misled, frames) = (misled.count() as f32, (audio.len() / FRAME) as f32);
    assert!(
        misled / frames > 0.3,
        "they no longer test anything: {misled}"
    );
    let voiced = voiced(&audio, 0.5);
    assert!(voiced < 0.05, "{voiced}");
}

#[test]
fn speech_is_a_voice_soft_loud_noisy_narrow_and_off_centre() {
    let speech = recording();
    let plain = voiced(&speech, 0.5);
    assert!(plain > 0.4, "{plain}");
    let noisy: Vec<f32> = speech
        .iter()
        .zip(noise(60, 0.02))
        .map(|(a, b)| a + b)
        .collect();
    let changed = |change: fn(f32) -> f32| speech.iter().map(|x| change(*x)).collect();
    let cases: [(&str, Vec<f32>); 6] = [
        ("soft", changed(|x| x * 0.05)),
        ("clipped", changed(|x| (x * 20.0).clamp(-1.0, 1.0))),
        ("off centre", changed(|x| (x * 0.5 + 0.4).clamp(-1.0, 1.0))),
        ("narrow", narrow(&speech)),
        ("narrow and noisy", narrow(&noisy)),
        ("noisy", noisy),
    ];
    for (case, samples) in cases {
        let voiced = voiced(&samples, 0.5);
        assert!(voiced > 0.8 * plain, "{case}: {voiced} of {plain}");
        assert!(voiced < 1.2 * plain, "{case}: {voiced} of {plain}");
    }
}

#[test]
fn speech_right_after_music_is_heard() {
    let mut audio = chords(10);
    let music = audio.len();
    audio.extend(recording());
    let mut detector = Voice::default();
    let samples: Vec<i16> = audio.iter().map(|x| (x * 32_767.0) as i16).collect();
    let frames = samples.chunks_exact(FRAME);
    let first = frames
        .map(|f| detector.probability(f))
        .enumerate()
        .find(|(i, p)| i * FRAME > music && *p >= 0.5);
    let late = first.map(|(i, _)| i * FRAME - music).unwrap();
    // The recording's first word starts after 0.4 s.
    assert!(late < 14_000, "{late} samples late");
}

#[test]
fn hearing_is_the_same_in_every_run_and_after_a_reset() {
    let samples: Vec<i16> = recording().iter().map(|x| (x * 32_767.0) as i16).collect();
    let mut detector = Voice::default();
    let hear = |detector: &mut Voice| -> Vec<f32> {
        samples
            .chunks_exact(FRAME)
            .map(|f| detector.probability(f))
            .collect()
    };
    let first = hear(&mut detector);
    assert_ne!(hear(&mut detector), first);
    detector.reset();
    assert_eq!(hear(&mut detector), first);
}

#[test]
fn no_input_blinds_it() {
    let mut detector = Voice::default();
    for frame in [
        [i16::MAX; FRAME],
        [i16::MIN; FRAME],
        [0; FRAME],
        [1_000; FRAME],
    ] {
        for _ in 0..100 {
            assert!((0.0..=0.5).contains(&detector.probability(&frame)));
        }
    }
    assert_eq!(detector.probability(&[0; 7]), 0.0);
    let speech: Vec<i16> = recording().iter().map(|x| (x * 32_767.0) as i16).collect();
    let heard = speech
        .chunks_exact(FRAME)
        .filter(|f| detector.probability(f) >= 0.5);
    assert!(heard.count() > 100);
}
