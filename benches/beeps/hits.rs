//! How many tones are told, and how soon.

use gstwhisperstream::speech::tones::Kind;

use super::Options;
use super::listen;
use super::sounds::*;

/// Takes samples, their rate and a seed.
type Carry = fn(&[i16], u32, u64) -> Vec<i16>;

/// What a line does to what it carries; levels are the tone's.
const LINES: [(&str, Carry); 9] = [
    ("clear, -20 dBFS", |x, _, _| x.to_vec()),
    ("white noise, 20 dB below", |x, rate, seed| {
        noisy(x, &white(-10.0, 3.0, rate, seed), 20.0)
    }),
    ("white noise, 10 dB below", |x, rate, seed| {
        noisy(x, &white(-10.0, 3.0, rate, seed), 10.0)
    }),
    ("white noise, 5 dB below", |x, rate, seed| {
        noisy(x, &white(-10.0, 3.0, rate, seed), 5.0)
    }),
    ("pink noise, 10 dB below", |x, rate, seed| {
        noisy(x, &pink(-10.0, 3.0, rate, seed), 10.0)
    }),
    ("hum and hiss, 10 dB below", |x, rate, seed| {
        noisy(x, &line_noise(-10.0, 3.0, rate, seed), 10.0)
    }),
    ("0 dBFS", |x, _, _| gain(x, 20.0)),
    ("clipped, 30 dB too loud", |x, _, _| gain(x, 30.0)),
    ("-40 dBFS, mu-law, on DC of -20 dBFS", |x, _, _| {
        offset(&mulaw(&gain(x, -20.0)), 3_277)
    }),
];

/// Noise, then mu-law.
fn noisy(x: &[i16], noise: &[i16], snr: f64) -> Vec<i16> {
    mulaw(&mix_at_snr(x, noise, snr))
}

/// A tone of a kind, at -20 dBFS.
fn sound(kind: Kind, trial: u64, random: &mut Random, rate: u32) -> Vec<i16> {
    if kind == Kind::Beep {
        let length = *random.pick(&[0.15, 0.2, 0.3, 0.5, 0.8, 1.2]);
        return tone(&[beep_hz(random)], -20.0, length, rate);
    }
    if kind == Kind::FaxCed && !trial.is_multiple_of(3) {
        return answer_tone(trial % 3 == 1, -20.0, 3.3, rate);
    }
    let signals: Vec<&Signal> = SIGNALS
        .iter()
        .filter(|signal| signal.kind == kind.name())
        .collect();
    signals[trial as usize % signals.len()].play(-20.0, 4.0, rate)
}

/// Any that no network or fax uses.
fn beep_hz(random: &mut Random) -> f64 {
    loop {
        let hz = random.between(447.0, 2_000.0);
        let shared = [913.8, 950.0, 985.2]
            .iter()
            .any(|own| (hz - own).abs() < 10.0);
        if !shared && !(1_060.0..1_140.0).contains(&hz) {
            return hz;
        }
    }
}

fn percentile(sorted: &[f64], share: f64) -> String {
    match sorted.get(((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1))) {
        Some(value) => format!("{value:.0}"),
        None => "-".to_owned(),
    }
}

pub fn run(options: &Options) {
    println!(
        "Delays are ms of audio from the tone's start (beeps: from their first 150 ms on) to the buffer of 20 ms with which it is told."
    );
    println!();
    println!("| kind | line | tones | told | as another kind | delay p50 | p95 | worst |");
    println!("|---|---|---|---|---|---|---|---|");
    for kind in Kind::ALL {
        for (line, (what, carry)) in LINES.iter().enumerate() {
            let (mut told, mut wrong) = (0, 0);
            let mut delays = Vec::new();
            for trial in 0..options.trials {
                let seed = options.seed * 1_000_000 + line as u64 * 1_000 + trial;
                let mut random = Random::new(seed);
                let rate = if trial.is_multiple_of(2) {
                    8_000
                } else {
                    16_000
                };
                let sound = sound(kind, trial / 2, &mut random, rate);
                let before = silence(random.between(0.8, 1.2), rate);
                let carried = carry(&join(&[&before, &sound, &silence(1.5, rate)]), rate, seed);
                let heard = listen(&carried, rate);
                wrong += usize::from(heard.iter().any(|told| told.tone.kind != kind));
                if let Some(first) = heard.iter().find(|told| told.tone.kind == kind) {
                    told += 1;
                    let from = before.len()
                        + if kind == Kind::Beep {
                            rate as usize * 150 / 1_000
                        } else {
                            0
                        };
                    let late = first.by as f64 - from as f64;
                    delays.push(late * 1_000.0 / f64::from(rate));
                }
            }
            delays.sort_by(f64::total_cmp);
            println!(
                "| {} | {what} | {} | {:.1} % | {wrong} | {} | {} | {} |",
                kind.name(),
                options.trials,
                100.0 * f64::from(told) / options.trials as f64,
                percentile(&delays, 0.5),
                percentile(&delays, 0.95),
                percentile(&delays, 1.0)
            );
        }
    }
    println!();
}
