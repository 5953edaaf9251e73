//! Beam search and the fallback to sampling, on a network whose every answer is written down.

#[path = "common/scripted.rs"]
#[allow(dead_code)]
mod scripted;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use gstwhisperstream::policy::{
    AlignAtt, Ask, Compat, Outcome, Pass, Policy, PolicySettings, Stop,
};
use gstwhisperstream::whisper::{AlignmentRows, MelFilters, Step, Tokenizer};
use scripted::{VOCAB, config, speech};

const SECOND: usize = 16_000;

/// What the network thinks behind a text of a pass: how likely which words are, and the frame it attends.
type Thoughts = HashMap<&'static str, (&'static [(&'static str, f32)], usize)>;

struct Network {
    policy: AlignAtt,
    tokenizer: Arc<Tokenizer>,
    thoughts: Thoughts,
    /// Most lanes that a step had, and how often a pass began again.
    widest: usize,
    again: usize,
}

impl Network {
    fn new(settings: PolicySettings, thoughts: Thoughts) -> Network {
        let tokenizer = Arc::new(Tokenizer::demo().unwrap());
        let filters = Arc::new(MelFilters::new(80));
        Network {
            policy: AlignAtt::new(settings, &config(), Arc::clone(&tokenizer), filters).unwrap(),
            tokenizer,
            thoughts,
            widest: 0,
            again: 0,
        }
    }

    /// Logits and the attended frame behind `text`; `<|endoftext|>` is `.`.
    fn think(&self, text: &[u32]) -> (Vec<f32>, usize) {
        let said = self.tokenizer.decode(text);
        // Of what nobody thought of anything may follow.
        let (likely, frame) = *self.thoughts.get(said.as_str()).unwrap_or(&(&[], 50));
        let rest = 1.0
            - likely
                .iter()
                .map(|&(_, probability)| probability)
                .sum::<f32>();
        let mut logits = vec![(rest.max(1e-3) / VOCAB as f32).ln(); VOCAB];
        for &(word, probability) in likely {
            let token = match word {
                "." => self.tokenizer.specials().eot,
                word => self.tokenizer.encode(word)[0],
            };
            logits[token as usize] = probability.ln();
        }
        (logits, frame)
    }

    /// Runs one pass over `seconds` more of speech.
    fn pass(&mut self, seconds: usize, is_last: bool) -> (Outcome, Option<Stop>) {
        self.policy.insert(&speech(seconds * SECOND));
        let mut pass: Pass = self.policy.begin(is_last).unwrap();
        let mut lanes: Vec<Vec<u32>> = Vec::new();
        let mut ask = pass.first();
        loop {
            let rows = match ask {
                Ask::Done => break,
                Ask::Again => {
                    self.again += 1;
                    lanes.clear();
                    ask = pass.first();
                    continue;
                }
                Ask::Step { tokens, .. } => {
                    match lanes.first_mut() {
                        Some(text) => text.extend(&tokens),
                        None => lanes = vec![Vec::new()],
                    }
                    tokens.len()
                }
                Ask::Beam { parents, tokens } => {
                    let children = parents.iter().zip(&tokens);
                    lanes = children
                        .map(|(&parent, &token)| [&lanes[parent][..], &[token]].concat())
                        .collect();
                    self.widest = self.widest.max(lanes.len());
                    lanes.len()
                }
                other => panic!("{other:?}"),
            };
            let mut logits = Vec::new();
            let mut data = vec![1.0 / 1500.0; rows * 1500];
            for (lane, text) in lanes.iter().enumerate() {
                let (of_lane, frame) = self.think(text);
                logits.extend(of_lane);
                let row = &mut data[(rows - lanes.len() + lane) * 1500..][..1500];
                row.fill(1e-5);
                for (at, x) in row.iter_mut().enumerate() {
                    *x += 8usize.saturating_sub(at.abs_diff(frame)) as f32 / 64.0;
                }
            }
            ask = pass.answer(Step {
                logits,
                probe_logits: None,
                alignment: AlignmentRows {
                    heads: 1,
                    rows,
                    frames: 1500,
                    data,
                },
                word_weights: None,
            });
        }
        let stop = pass.stop();
        (self.policy.commit(pass), stop)
    }
}

fn beams(beams: u32) -> PolicySettings {
    PolicySettings {
        language: "fr".into(),
        beams,
        ..PolicySettings::default()
    }
}

/// Text in greedy order would be " je", which leads nowhere; " tu" is likelier on the whole.
fn garden_path() -> Thoughts {
    [
        ("", (&[(" je", 0.6), (" tu", 0.4)][..], 20)),
        (" je", (&[(" non", 0.2), (" oui", 0.2), (".", 0.01)], 30)),
        (" tu", (&[(" vas", 0.98), (".", 0.01)], 30)),
        (" tu vas", (&[(" bien", 0.98), (".", 0.02)], 40)),
        (" tu vas bien", (&[(" merci", 0.9), (".", 0.1)], 95)),
        (" je non", (&[(" non", 0.2), (".", 0.1)], 40)),
        (" je oui", (&[(" non", 0.2), (".", 0.1)], 40)),
        (" je non non", (&[(" non", 0.2), (".", 0.1)], 95)),
        (" je oui non", (&[(" non", 0.2), (".", 0.1)], 95)),
    ]
    .into()
}

fn told(outcome: &Outcome) -> String {
    let release = outcome.release.as_ref();
    release.map(|r| r.text.clone()).unwrap_or_default()
}

#[test]
fn a_beam_finds_the_likelier_text_behind_an_unlikely_start() {
    for (count, text) in [(1, " je non non"), (2, " tu vas bien"), (5, " tu vas bien")] {
        let mut network = Network::new(beams(count), garden_path());
        let (outcome, stop) = network.pass(2, false);
        assert_eq!(told(&outcome), text, "{count} beams");
        assert_eq!(stop, Some(Stop::AudioEnd));
        assert!(network.widest <= count as usize);
    }
}

#[test]
fn a_frame_is_that_of_the_text_it_belongs_to() {
    // The best at first attends the middle, the one that overtakes it attends the end.
    let thoughts = || -> Thoughts {
        [
            ("", (&[(" je", 0.6), (" tu", 0.4)][..], 20)),
            (" je", (&[(" non", 0.3), (".", 0.01)], 30)),
            (" tu", (&[(" vas", 0.98), (".", 0.01)], 99)),
            (" je non", (&[(" non", 0.3), (".", 0.01)], 40)),
            (" tu vas", (&[(" bien", 0.98), (".", 0.01)], 40)),
            (" je non non", (&[(" non", 0.3), (".", 0.01)], 99)),
            (" tu vas bien", (&[(" merci", 0.98), (".", 0.01)], 99)),
        ]
        .into()
    };
    let mut ours = Network::new(beams(2), thoughts());
    assert_eq!(told(&ours.pass(2, false).0), " tu");
    // The reference reads the attention of " je" for it.
    let settings = PolicySettings {
        compat: Compat::SimulStreaming,
        ..beams(2)
    };
    let mut reference = Network::new(settings, thoughts());
    assert_ne!(told(&reference.pass(2, false).0), " tu");
}

#[test]
fn a_text_that_has_ended_wins_if_it_is_the_likelier() {
    let thoughts: Thoughts = [
        ("", (&[(" oui", 0.9), (" non", 0.1)][..], 20)),
        (" oui", (&[(".", 0.55), (" merci", 0.45)], 30)),
        (" non", (&[(".", 0.5), (" merci", 0.5)], 30)),
        (" oui merci", (&[(" tu", 0.1), (" je", 0.1)], 40)),
        (" non merci", (&[(" tu", 0.1), (" je", 0.1)], 40)),
        (" oui merci tu", (&[(" va", 0.1)], 99)),
        (" oui merci je", (&[(" va", 0.1)], 99)),
    ]
    .into();
    let mut network = Network::new(beams(2), thoughts);
    let (outcome, stop) = network.pass(2, true);
    assert_eq!(told(&outcome), " oui");
    assert_eq!(stop, Some(Stop::EndOfText));
}

#[test]
fn a_jump_back_of_the_best_text_discards_the_pass_and_that_of_another_only_the_text() {
    let thoughts = |best: usize, other: usize| -> Thoughts {
        [
            ("", (&[(" oui", 0.6), (" non", 0.4)][..], 300)),
            (" oui", (&[(" je", 0.9)], best)),
            (" non", (&[(" tu", 0.9)], other)),
            (" oui je", (&[(" vas", 0.9)], 480)),
            (" non tu", (&[(" vas", 0.9)], 480)),
        ]
        .into()
    };
    let mut network = Network::new(beams(2), thoughts(20, 320));
    let (outcome, stop) = network.pass(10, false);
    assert_eq!((told(&outcome).as_str(), stop), ("", Some(Stop::Rewind)));
    assert_eq!(outcome.guards.rewind, 1);
    let mut network = Network::new(beams(2), thoughts(320, 20));
    let (outcome, stop) = network.pass(10, false);
    assert_eq!(told(&outcome), " oui je");
    assert_eq!(stop, Some(Stop::AudioEnd));
    assert_eq!(outcome.guards.rewind, 0);
}

#[test]
fn the_unstable_tail_goes_on_where_the_winner_is() {
    let mut thoughts = garden_path();
    thoughts.insert(" tu vas bien merci", (&[(" oui", 0.9)], 97));
    thoughts.insert(" tu vas bien merci oui", (&[(".", 0.9)], 98));
    let settings = PolicySettings {
        interim: true,
        ..beams(3)
    };
    let mut network = Network::new(settings, thoughts);
    let (outcome, _) = network.pass(2, false);
    assert_eq!(told(&outcome), " tu vas bien");
    let tail: String = outcome
        .partial
        .iter()
        .map(|p| p.word.text.as_str())
        .collect();
    assert_eq!(tail, " merci oui");
}

/// All that can be said with two words, up to eleven of them, by their number.
static SAID: LazyLock<Vec<(usize, String)>> = LazyLock::new(|| {
    let of = |length: usize| {
        (0..1 << length).map(move |bits| {
            let words = (0..length).map(|at| if bits >> at & 1 == 1 { " oui" } else { " non" });
            (length, words.collect())
        })
    };
    (0..12).flat_map(of).collect()
});

/// Turns in a loop if the best is taken; the second best leads out of it.
fn loops() -> Thoughts {
    let mut thoughts = Thoughts::new();
    for (length, text) in SAID.iter() {
        let likely: &[(&str, f32)] = match length {
            0..4 => &[(" non", 0.55), (" oui", 0.45)],
            _ if text.contains("oui") => &[(".", 0.99)],
            _ => &[(" non", 0.9), (" oui", 0.1)],
        };
        thoughts.insert(text, (likely, 10 + length));
    }
    thoughts
}

#[test]
fn a_last_pass_that_loops_is_decoded_again_by_sampling() {
    let settings = |temperature| PolicySettings {
        temperature,
        ..beams(1)
    };
    let mut never = Network::new(settings(0.0), loops());
    let (outcome, stop) = never.pass(2, true);
    assert_eq!((stop, never.again), (Some(Stop::Loop), 0));
    assert_eq!(outcome.guards.resampled, 0);

    let mut network = Network::new(settings(1.0), loops());
    let (outcome, stop) = network.pass(2, true);
    assert_eq!(stop, Some(Stop::EndOfText));
    assert!((1..=5).contains(&network.again), "{}", network.again);
    assert_eq!(outcome.guards.resampled as usize, network.again);
    assert!(told(&outcome).contains(" oui"), "{}", told(&outcome));

    let mut twin = Network::new(settings(1.0), loops());
    assert_eq!(told(&twin.pass(2, true).0), told(&outcome), "by chance");
}

#[test]
fn only_a_last_pass_is_decoded_again_and_only_to_the_temperature_allowed() {
    let settings = |temperature| PolicySettings {
        temperature,
        ..beams(1)
    };
    let mut running = Network::new(settings(1.0), loops());
    let (_, stop) = running.pass(2, false);
    assert_eq!((stop, running.again), (Some(Stop::Loop), 0));

    // Nothing but the loop is possible: all attempts fail, and the first is as good as any.
    let mut thoughts = Thoughts::new();
    for (length, text) in SAID.iter().filter(|(_, text)| !text.contains("oui")) {
        thoughts.insert(text, (&[(" non", 0.9)], 10 + length));
    }
    let mut network = Network::new(settings(0.4), thoughts);
    let (outcome, stop) = network.pass(2, true);
    assert_eq!((stop, network.again), (Some(Stop::Loop), 2));
    assert_eq!(told(&outcome), " non");
}

#[test]
fn values_that_make_no_sense_are_refused_with_a_sentence() {
    let refused = |settings: PolicySettings| settings.check().unwrap_err().to_string();
    assert!(refused(beams(0)).contains("beams is 0"));
    assert!(refused(beams(17)).contains("beams is 17"));
    let hot = |temperature, compat| PolicySettings {
        temperature,
        compat,
        ..beams(1)
    };
    assert!(refused(hot(1.5, Compat::None)).contains("temperature is 1.5"));
    assert!(refused(hot(f32::NAN, Compat::None)).contains("temperature is NaN"));
    assert!(refused(hot(0.4, Compat::SimulStreaming)).contains("never samples"));
}
