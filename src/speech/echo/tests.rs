use super::bands::STEP;
use super::*;

const SECOND: usize = 16_000;
const MS: usize = 16;

fn recording(name: &str) -> Vec<f32> {
    let path = format!("{}/tests/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut reader = hound::WavReader::open(path).unwrap();
    let samples = reader.samples::<i16>();
    samples.map(|s| f32::from(s.unwrap())).collect()
}

fn noise(n: usize, amplitude: f32, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        amplitude * ((state >> 40) as f32 / 8_388_608.0 - 1.0)
    };
    (0..n).map(|_| random()).collect()
}

/// What comes back of `prompt`: late, softer, dulled, with reverberation of some 100 ms.
fn echo(prompt: &[f32], delay_ms: usize, gain_db: f32) -> Vec<f32> {
    let gain = 10f32.powf(gain_db / 20.0);
    let taps = [
        (0, 0.8),
        (37, 0.35),
        (131, -0.25),
        (409, 0.15),
        (907, -0.1),
        (1_511, 0.06),
    ];
    let mut heard = vec![0.0; prompt.len()];
    for (late, level) in taps {
        let late = late + delay_ms * MS;
        for (h, p) in heard.iter_mut().skip(late).zip(prompt) {
            *h += gain * level * p;
        }
    }
    // A pole at about 2 kHz.
    let mut last = 0.0;
    for h in &mut heard {
        last += 0.55 * (*h - last);
        *h = last;
    }
    heard
}

fn samples(x: &[f32]) -> Vec<i16> {
    x.iter()
        .map(|x| x.round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

fn mixed(a: &[f32], b: &[f32]) -> Vec<f32> {
    let longest = a.len().max(b.len());
    let at = |x: &[f32], i: usize| x.get(i).copied().unwrap_or(0.0);
    (0..longest).map(|i| at(a, i) + at(b, i)).collect()
}

/// For each 10 ms of what is heard, whether it sounds and whether it is echo.
fn judge(far: &[f32], near: &[f32]) -> Vec<(bool, bool)> {
    let (far, near) = (samples(far), samples(near));
    let mut echo = Echo::new();
    let mut judged = Vec::new();
    for (n, heard) in near.chunks_exact(STEP).enumerate() {
        let position = (n * STEP) as Samples;
        if let Some(played) = far.get(n * STEP..(n + 1) * STEP) {
            echo.hear_far(position, played);
        }
        let is_echo = echo.hear_near(position + STEP as Samples, heard);
        let power = heard.iter().map(|x| f32::from(*x).powi(2)).sum::<f32>() / STEP as f32;
        judged.push((power.sqrt() > 60.0, is_echo));
    }
    judged
}

/// The longest run without echo, in ms of sound, from `from` ms on.
fn longest_unsuppressed(judged: &[(bool, bool)], from: usize) -> usize {
    let (mut longest, mut run) = (0, 0);
    for (sounds, is_echo) in judged.iter().skip(from / 10) {
        match (sounds, is_echo) {
            (true, false) => run += 10,
            (_, true) => run = 0,
            // Half a second of silence ends it.
            (false, false) => {}
        }
        longest = longest.max(run);
    }
    longest
}

fn share(judged: &[(bool, bool)], ms: std::ops::Range<usize>) -> f32 {
    let sounding: Vec<bool> = judged[ms.start / 10..(ms.end / 10).min(judged.len())]
        .iter()
        .filter(|(sounds, _)| *sounds)
        .map(|(_, is_echo)| *is_echo)
        .collect();
    assert!(sounding.len() > 20);
    sounding.iter().filter(|e| **e).count() as f32 / sounding.len() as f32
}

const PROMPTS: [&str; 4] = ["fr-accueil", "en-voicemail", "fr-messagerie", "en-greeting"];

#[test]
fn the_echo_of_the_prompt_is_echo_at_every_delay_and_level() {
    for prompt in PROMPTS {
        let prompt_audio = recording(prompt);
        for delay_ms in [20, 75, 150, 300] {
            for gain_db in [-10.0, -20.0, -30.0] {
                let mut near = echo(&prompt_audio, delay_ms, gain_db);
                near = mixed(&near, &noise(near.len(), 10.0, 3));
                let judged = judge(&prompt_audio, &near);
                let first = longest_unsuppressed(&judged[..judged.len().min(200)], 0);
                let later = longest_unsuppressed(&judged, 2_000);
                assert!(
                    first <= 290,
                    "{prompt}, {delay_ms} ms, {gain_db} dB: {first}"
                );
                assert!(
                    later <= 150,
                    "{prompt}, {delay_ms} ms, {gain_db} dB: {later}"
                );
            }
        }
    }
}

#[test]
fn a_caller_who_speaks_over_the_prompt_is_heard() {
    for (prompt, caller) in [
        ("fr-accueil", "fr-messagerie"),
        ("en-voicemail", "en-greeting"),
        ("fr-messagerie", "fr-dense"),
        ("en-greeting", "fr-accueil"),
    ] {
        let prompt_audio = recording(prompt);
        // The caller starts after 3 s, as loud as the prompt was or half as loud; the echo comes back, too.
        for level in [1.0, 0.5] {
            for gain_db in [-15.0, -25.0] {
                let mut caller_audio = vec![0.0; 3 * SECOND];
                caller_audio.extend(recording(caller).iter().skip(MS * 400).map(|x| x * level));
                let near = mixed(&echo(&prompt_audio, 120, gain_db), &caller_audio);
                let judged = judge(&prompt_audio, &near);
                let own = judged.iter().skip(300).scan(0, |own, (sounds, is_echo)| {
                    *own += usize::from(*sounds && !is_echo) * 10;
                    Some(*own)
                });
                let heard: Vec<usize> = own.collect();
                let late = heard.iter().position(|own| *own >= 300).map(|n| n * 10);
                assert!(
                    late.is_some_and(|late| late <= 500),
                    "{prompt}, {caller} at {level}, echo {gain_db} dB: 300 ms known after {late:?}"
                );
            }
        }
    }
}

#[test]
fn without_an_echo_nothing_is() {
    for (prompt, caller) in [
        ("fr-accueil", "fr-messagerie"),
        ("en-voicemail", "en-greeting"),
        ("fr-messagerie", "fr-dense"),
        ("fr-long", "fr-dense"),
        ("en-long", "en-digits"),
        ("en-greeting", "fr-long"),
    ] {
        let (prompt_audio, caller_audio) = (recording(prompt), recording(caller));
        // The caller begins when the prompt does, and a little later.
        for late in [0, 130, 350] {
            let mut near = vec![0.0; late * MS];
            near.extend(&caller_audio);
            let judged = judge(&prompt_audio, &near);
            let end = judged.len() * 10;
            let wrong = share(&judged, 0..end);
            assert!(wrong < 0.05, "{prompt}, {caller} {late} ms late: {wrong}");
        }
    }
}

#[test]
fn without_a_prompt_nothing_is_echo() {
    let judged = judge(&[], &recording("fr-dense"));
    assert!(judged.iter().all(|(_, is_echo)| !is_echo));
}

#[test]
fn a_prompt_that_has_ended_is_no_excuse() {
    let mut prompt = recording("fr-accueil");
    prompt.truncate(4 * SECOND);
    let mut near = echo(&prompt, 100, -15.0);
    near.extend(vec![0.0; SECOND / 2]);
    let from = near.len() / MS;
    near.extend(recording("en-greeting"));
    let judged = judge(&prompt, &near);
    assert!(share(&judged, 1_000..4_000) > 0.6);
    assert_eq!(share(&judged, from + 100..from + 5_000), 0.0);
}

#[test]
fn positions_may_jump() {
    let prompt = samples(&recording("fr-accueil"));
    let mut echo = Echo::new();
    let length = prompt.len() as Samples;
    for position in [0, SECOND as Samples, 1_000_000, 500, u64::MAX - length, 7] {
        echo.hear_far(position, &prompt);
        echo.hear_near(position + length, &prompt);
        assert!(echo.far.frames.len() <= KEPT && echo.judged.len() <= JUDGED);
        assert!((0.0..=1.0).contains(&echo.resemblance()));
    }
    echo.reset();
    assert_eq!(echo.resemblance(), 0.0);
}
