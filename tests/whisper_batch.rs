//! Decoders stepped together: each gets the bits it would get alone.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;

use gstwhisperstream::whisper::{
    Backend, Cancel, Decoder, Encoded, LogMel, ModelSource, Step, Turn, Whisper, Window,
};

fn model() -> Whisper {
    Whisper::load(
        &ModelSource::Demo,
        Backend::default(),
        &Cancel::default(),
        &mut |_| {},
    )
    .unwrap()
}

fn encoded(whisper: &Whisper, recording: &str, frames: usize) -> Encoded {
    let mut mel = LogMel::new(whisper.mel_filters().clone());
    let samples: Vec<f32> = audio::samples(recording)
        .into_iter()
        .map(|sample| f32::from(sample) / 32768.0)
        .collect();
    mel.push(&samples);
    let mel = mel.window();
    let window = Window { mel: &mel, frames };
    whisper.encode(window, &Cancel::default()).unwrap()
}

/// What a decoder is fed, step by step.
struct Script {
    encoded: Encoded,
    steps: Vec<(Vec<u32>, Option<usize>)>,
}

/// Scripts whose steps meet at different positions, prompts beside single tokens, windows whole and short.
fn scripts(whisper: &Whisper) -> Vec<Script> {
    let specials = whisper.tokenizer().specials();
    let tokens = |count: usize, seed: u32| -> Vec<u32> {
        let text = (1..).map(|n: u32| n.wrapping_mul(seed) % 5_000);
        [specials.sot].into_iter().chain(text).take(count).collect()
    };
    let single = |seed: u32| (vec![seed], None);
    let recordings = ["fr-court.wav", "en-short.wav", "fr-accueil.wav"];
    let windows = recordings.map(|name| encoded(whisper, name, 1_500));
    let short = encoded(whisper, "en-digits.wav", 600);
    vec![
        Script {
            encoded: windows[0].clone(),
            steps: vec![(tokens(4, 7), Some(0)), single(11), single(12), single(13)],
        },
        Script {
            encoded: windows[1].clone(),
            steps: vec![(tokens(1, 3), None), (tokens(57, 31), Some(5)), single(9)],
        },
        Script {
            encoded: short,
            steps: vec![
                (tokens(90, 17), Some(89)),
                single(400),
                (tokens(3, 5), None),
            ],
        },
        Script {
            encoded: windows[2].clone(),
            steps: vec![
                single(50),
                single(51),
                (tokens(20, 77), None),
                single(52),
                single(53),
            ],
        },
        // The same window as the first's.
        Script {
            encoded: windows[0].clone(),
            steps: vec![(tokens(4, 7), None), single(99)],
        },
    ]
}

fn bits(step: &Step) -> (Vec<u32>, Option<Vec<u32>>, Vec<u32>) {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    (
        bits(&step.logits),
        step.probe_logits.as_deref().map(bits),
        bits(&step.alignment.data),
    )
}

fn decoder(whisper: &Whisper, script: &Script) -> Decoder {
    let heads = &whisper.config().alignment_heads;
    whisper.decoder(&script.encoded, heads).unwrap()
}

#[test]
fn a_decoder_gets_the_same_bits_alone_and_among_others_at_other_positions() {
    let whisper = model();
    let scripts = scripts(&whisper);
    let alone: Vec<Vec<Step>> = scripts
        .iter()
        .map(|script| {
            let mut decoder = decoder(&whisper, script);
            let steps = script.steps.iter();
            steps
                .map(|(tokens, probe)| decoder.step(&whisper, tokens, *probe).unwrap())
                .collect()
        })
        .collect();
    // Decoder i joins in round i * late: with 0 all start at once, else each meets the others at other positions.
    for late in [0, 1, 2] {
        let mut decoders: Vec<Decoder> = scripts.iter().map(|s| decoder(&whisper, s)).collect();
        for round in 0..20 {
            let at = |i: usize| usize::checked_sub(round, i * late);
            let mut who = Vec::new();
            let mut turns = Vec::new();
            for (i, decoder) in decoders.iter_mut().enumerate() {
                let Some((tokens, probe_row)) = at(i).and_then(|at| scripts[i].steps.get(at))
                else {
                    continue;
                };
                who.push(i);
                turns.push(Turn {
                    decoder,
                    tokens,
                    parents: &[],
                    probe_row: *probe_row,
                });
            }
            let steps = whisper.step(&mut turns);
            assert_eq!(steps.len(), who.len());
            for (i, step) in who.iter().zip(steps) {
                let expected = &alone[*i][at(*i).unwrap()];
                assert!(
                    bits(&step.unwrap()) == bits(expected),
                    "decoder {i} in round {round} of the {who:?}, late by {late}"
                );
            }
        }
    }
}

#[test]
fn a_decoder_that_is_asked_for_nonsense_does_not_harm_the_others() {
    let whisper = model();
    let scripts = scripts(&whisper);
    let sane = |script: &Script| {
        let (tokens, probe) = &script.steps[0];
        bits(
            &decoder(&whisper, script)
                .step(&whisper, tokens, *probe)
                .unwrap(),
        )
    };
    let mut decoders: Vec<Decoder> = scripts.iter().map(|s| decoder(&whisper, s)).collect();
    let nonsense: [&[u32]; 2] = [&[], &[u32::MAX]];
    let mut turns: Vec<Turn> = decoders
        .iter_mut()
        .zip(&scripts)
        .enumerate()
        .map(|(i, (decoder, script))| match nonsense.get(i) {
            Some(tokens) => Turn {
                decoder,
                tokens,
                parents: &[],
                probe_row: None,
            },
            None => Turn {
                decoder,
                tokens: &script.steps[0].0,
                parents: &[],
                probe_row: script.steps[0].1,
            },
        })
        .collect();
    let steps = whisper.step(&mut turns);
    for (i, step) in steps.iter().enumerate() {
        match step {
            Err(_) => assert!(i < nonsense.len()),
            Ok(step) => assert!(bits(step) == sane(&scripts[i]), "decoder {i}"),
        }
    }
    assert_eq!(steps.iter().filter(|step| step.is_err()).count(), 2);
}

#[test]
fn a_lane_of_a_beam_gets_the_bits_of_a_decoder_of_its_own() {
    let whisper = model();
    let scripts = scripts(&whisper);
    let prompt = &scripts[0].steps[0].0;
    // A child each, two of one, all of the last, one alone again, many at once.
    let forks: [(&[usize], &[u32]); 6] = [
        (&[0, 0, 0], &[11, 12, 13]),
        (&[1, 0, 2], &[21, 22, 23]),
        (&[2, 2, 0], &[31, 32, 33]),
        (&[1], &[41]),
        (&[0, 0, 0, 0, 0], &[51, 52, 53, 54, 55]),
        (&[4, 0, 4, 1], &[61, 62, 63, 64]),
    ];
    let mut beam = decoder(&whisper, &scripts[0]);
    beam.step(&whisper, prompt, None).unwrap();
    let mut other = decoder(&whisper, &scripts[3]);
    let mut texts: Vec<Vec<u32>> = vec![Vec::new()];
    for (round, (parents, tokens)) in forks.into_iter().enumerate() {
        texts = parents
            .iter()
            .zip(tokens)
            .map(|(&parent, &token)| [&texts[parent][..], &[token]].concat())
            .collect();
        let mut turns = [
            Turn {
                decoder: &mut other,
                tokens: &[50],
                parents: &[],
                probe_row: None,
            },
            Turn {
                decoder: &mut beam,
                tokens,
                parents,
                probe_row: None,
            },
        ];
        let step = whisper.step(&mut turns).pop().unwrap().unwrap();
        let (vocabulary, heads) = (whisper.config().vocab_size, step.alignment.heads);
        assert_eq!(step.logits.len(), texts.len() * vocabulary);
        assert_eq!(step.alignment.rows, texts.len());
        for (lane, text) in texts.iter().enumerate() {
            let mut own = decoder(&whisper, &scripts[0]);
            let mut alone = own.step(&whisper, prompt, None).unwrap();
            for &token in text {
                alone = own.step(&whisper, &[token], None).unwrap();
            }
            let logits = &step.logits[lane * vocabulary..(lane + 1) * vocabulary];
            assert!(logits == alone.logits, "lane {lane} in round {round}");
            for head in 0..heads {
                assert!(step.alignment.row(head, lane) == alone.alignment.row(head, 0));
            }
        }
    }
    for (parents, tokens) in [(&[4usize][..], &[1u32][..]), (&[0, 1], &[1]), (&[], &[1])] {
        let turn = Turn {
            decoder: &mut beam,
            tokens,
            parents,
            probe_row: None,
        };
        assert!(whisper.step(&mut [turn]).pop().unwrap().is_err());
    }
}
