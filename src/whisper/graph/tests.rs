//! The graph on candle's CPU device beside the kernels, which the golden tests hold to openai-whisper.

use candle_core::{DType, Device};

use crate::whisper::load::{Runner, Target};
use crate::whisper::{
    Arithmetic, Backend, Cancel, Decoder, Encoded, LogMel, ModelSource, Step, Turn, WINDOW_FRAMES,
    Whisper, Window,
};

fn kernels() -> Whisper {
    let backend = Backend::default();
    Whisper::load(&ModelSource::Demo, backend, &Cancel::default(), &mut |_| {}).unwrap()
}

fn graph(dtype: DType) -> Whisper {
    let target = Target {
        arithmetic: Arithmetic::F32,
        runner: Runner::Graph(Device::Cpu, dtype),
    };
    Whisper::load_for(&ModelSource::Demo, target, &Cancel::default(), &mut |_| {}).unwrap()
}

/// The log-mel of a bundled recording, and its frames that hold audio.
fn mel(whisper: &Whisper, name: &str) -> (Vec<f32>, usize) {
    let path = format!("{}/tests/audio/{name}.wav", env!("CARGO_MANIFEST_DIR"));
    let mut wav = hound::WavReader::open(path).unwrap();
    let samples = wav
        .samples::<i16>()
        .map(|s| f32::from(s.unwrap()) / 32768.0);
    let mut mel = LogMel::new(whisper.mel_filters().clone());
    mel.push(&samples.collect::<Vec<_>>());
    (mel.window(), mel.content_frames())
}

fn prompt(whisper: &Whisper, context: usize) -> Vec<u32> {
    let specials = whisper.tokenizer().specials();
    let french = specials.languages.iter().find(|(code, _)| *code == "fr");
    let context = (0..context).map(|i| 500 + 7 * i as u32);
    let fixed = [
        specials.sot,
        french.unwrap().1,
        specials.transcribe,
        specials.no_timestamps,
    ];
    context.chain(fixed).collect()
}

fn decoder(whisper: &Whisper, encoded: &Encoded) -> Decoder {
    let heads = &whisper.config().alignment_heads;
    whisper.decoder(encoded, heads).unwrap()
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as u32
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, |worst, x| {
        assert!(!x.is_nan());
        worst.max(x)
    })
}

fn close(what: &str, ours: &Step, theirs: &Step, most: f32) {
    let logits = worst(&ours.logits, &theirs.logits);
    let rows = worst(&ours.alignment.data, &theirs.alignment.data);
    let probe = worst(
        ours.probe_logits.as_deref().unwrap_or_default(),
        theirs.probe_logits.as_deref().unwrap_or_default(),
    );
    println!("{what}: logits {logits:e}, probe {probe:e}, alignment {rows:e}");
    assert!(logits.max(probe) <= most && rows <= most, "{what}");
}

/// Tokens decoded greedily, and the steps they came from.
fn greedy(whisper: &Whisper, encoded: &Encoded, count: usize) -> (Vec<u32>, Vec<Step>) {
    let mut decoder = decoder(whisper, encoded);
    let mut next = prompt(whisper, 3);
    let mut probe_row = Some(3);
    let (mut tokens, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let step = decoder.step(whisper, &next, probe_row.take()).unwrap();
        next = vec![argmax(&step.logits)];
        tokens.extend(&next);
        steps.push(step);
    }
    (tokens, steps)
}

#[test]
fn the_graph_computes_what_the_kernels_compute() {
    let (kernels, graph) = (kernels(), graph(DType::F32));
    assert_eq!(
        kernels.config().trained_positions,
        graph.config().trained_positions
    );
    let (mel, content) = mel(&kernels, "fr-accueil");
    for frames in [WINDOW_FRAMES, content + 130] {
        let window = Window { mel: &mel, frames };
        let ours = graph.encode(window, &Cancel::default()).unwrap();
        let theirs = kernels.encode(window, &Cancel::default()).unwrap();
        assert_eq!(ours.frames(), frames);
        let states = worst(&ours.to_vec().unwrap(), &theirs.to_vec().unwrap());
        println!("{frames} frames: states {states:e}");
        assert!(states < 1e-3);
        let (our_tokens, our_steps) = greedy(&graph, &ours, 12);
        let (their_tokens, their_steps) = greedy(&kernels, &theirs, 12);
        assert_eq!(our_tokens, their_tokens);
        for (at, (ours, theirs)) in our_steps.iter().zip(&their_steps).enumerate() {
            close(&format!("{frames} frames, step {at}"), ours, theirs, 1e-3);
        }
    }
}

#[test]
fn half_precision_comes_to_the_same_words() {
    let (kernels, graph) = (kernels(), graph(DType::F16));
    let (mel, _) = mel(&kernels, "fr-accueil");
    let window = Window::whole(&mel);
    let ours = graph.encode(window, &Cancel::default()).unwrap();
    let theirs = kernels.encode(window, &Cancel::default()).unwrap();
    let (our_tokens, our_steps) = greedy(&graph, &ours, 12);
    let (their_tokens, their_steps) = greedy(&kernels, &theirs, 12);
    assert_eq!(our_tokens, their_tokens);
    for (ours, theirs) in our_steps.iter().zip(&their_steps) {
        let rows = worst(&ours.alignment.data, &theirs.alignment.data);
        assert!(rows < 0.05, "{rows}");
    }
}

#[test]
fn windows_and_decoders_of_unlike_lengths_go_together() {
    let graph = graph(DType::F32);
    let names = ["fr-accueil", "fr-court", "fr-bruit"];
    let lengths = [WINDOW_FRAMES, 640, 640];
    let mels = names.map(|name| mel(&graph, name).0);
    let windows: Vec<Window> = mels
        .iter()
        .zip(lengths)
        .map(|(mel, frames)| Window { mel, frames })
        .collect();
    let mut encodings: Vec<_> = windows
        .iter()
        .map(|&window| graph.encoding(window).unwrap())
        .collect();
    graph
        .advance(&mut encodings.iter_mut().collect::<Vec<_>>())
        .unwrap();
    let together: Vec<Encoded> = encodings.iter_mut().map(|e| e.take().unwrap()).collect();
    let alone: Vec<Encoded> = windows
        .iter()
        .map(|&window| graph.encode(window, &Cancel::default()).unwrap())
        .collect();
    for (together, alone) in together.iter().zip(&alone) {
        let states = worst(&together.to_vec().unwrap(), &alone.to_vec().unwrap());
        assert!(states < 1e-4, "{states:e}");
    }

    // Prompts of unlike lengths, then one with several tokens among ones with one.
    let prompts = [0, 5, 17].map(|context| prompt(&graph, context));
    let fed: [[&[u32]; 3]; 3] = [
        [&prompts[0], &prompts[1], &prompts[2]],
        [&[900], &[901, 902, 903], &[904]],
        [&[905], &[906], &[907]],
    ];
    let mut batch: Vec<Decoder> = together.iter().map(|e| decoder(&graph, e)).collect();
    let mut singles: Vec<Decoder> = alone.iter().map(|e| decoder(&graph, e)).collect();
    for (round, tokens) in fed.iter().enumerate() {
        let probe_row = (round == 0).then_some(1);
        let mut turns: Vec<Turn> = batch
            .iter_mut()
            .zip(tokens)
            .map(|(decoder, tokens)| Turn {
                decoder,
                tokens,
                parents: &[],
                probe_row,
            })
            .collect();
        let steps = graph.step(&mut turns);
        for (at, (step, single)) in steps.into_iter().zip(&mut singles).enumerate() {
            let alone = single.step(&graph, tokens[at], probe_row).unwrap();
            close(
                &format!("round {round}, {at}"),
                &step.unwrap(),
                &alone,
                1e-4,
            );
        }
    }
}

#[test]
fn a_lane_of_a_beam_decodes_as_a_decoder_of_its_own() {
    let graph = graph(DType::F32);
    let (mel, _) = mel(&graph, "fr-accueil");
    let encoded = graph
        .encode(Window::whole(&mel), &Cancel::default())
        .unwrap();
    let prompt = prompt(&graph, 0);
    let mut beam = decoder(&graph, &encoded);
    beam.step(&graph, &prompt, None).unwrap();
    let forks: [(&[usize], &[u32]); 3] = [
        (&[0, 0, 0], &[900, 901, 902]),
        (&[2, 0, 2], &[903, 904, 905]),
        (&[1, 0], &[906, 907]),
    ];
    let mut texts: Vec<Vec<u32>> = vec![Vec::new()];
    for (parents, tokens) in forks {
        let children = parents.iter().zip(tokens);
        texts = children
            .map(|(&parent, &token)| [&texts[parent][..], &[token]].concat())
            .collect();
        let turn = Turn {
            decoder: &mut beam,
            tokens,
            parents,
            probe_row: None,
        };
        let step = graph.step_one(turn).unwrap();
        let vocabulary = graph.config().vocab_size;
        for (lane, text) in texts.iter().enumerate() {
            let mut own = decoder(&graph, &encoded);
            let mut alone = own.step(&graph, &prompt, None).unwrap();
            for &token in text {
                alone = own.step(&graph, &[token], None).unwrap();
            }
            let logits = &step.logits[lane * vocabulary..(lane + 1) * vocabulary];
            let far = worst(logits, &alone.logits);
            assert!(far < 1e-3, "lane {lane} of {texts:?}: {far:e}");
            for head in 0..step.alignment.heads {
                let far = worst(step.alignment.row(head, lane), alone.alignment.row(head, 0));
                assert!(far < 1e-4, "lane {lane} of {texts:?}: {far:e}");
            }
        }
    }
}

#[test]
fn what_another_network_encoded_is_refused() {
    let (kernels, graph) = (kernels(), graph(DType::F32));
    let silence = vec![0.0; 80 * 3000];
    let encoded = kernels
        .encode(Window::whole(&silence), &Cancel::default())
        .unwrap();
    let refused = graph.decoder(&encoded, &[]);
    assert!(refused.is_err());
}
