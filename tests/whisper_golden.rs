//! Encoder, prompt logits, alignment rows and greedy continuation against openai-whisper 20250625 in f32
//! (`../shared/golden/net`, see its README).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gstwhisperstream::whisper::{AlignmentHead, Backend, Cancel, ModelSource, Whisper, Window};
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-3;

fn shared(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(path)
}

fn load(source: &ModelSource) -> Arc<Whisper> {
    Arc::new(Whisper::load(source, Backend::default(), &Cancel::default(), &mut |_| {}).unwrap())
}

fn floats(tensors: &SafeTensors, name: &str) -> Vec<f32> {
    let (words, _) = tensors.tensor(name).unwrap().data().as_chunks();
    words.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn integers(tensors: &SafeTensors, name: &str) -> Vec<usize> {
    let (words, _) = tensors.tensor(name).unwrap().data().as_chunks();
    words
        .iter()
        .map(|&b| i64::from_le_bytes(b) as usize)
        .collect()
}

fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let pairs = found.iter().zip(expected);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, |worst, x| {
        assert!(!x.is_nan(), "{what}: NaN");
        worst.max(x)
    });
    println!("{what}: worst difference {worst:e}");
    assert!(worst <= TOLERANCE, "{what}: {worst:e}");
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.unwrap().0 as u32
}

fn check(whisper: &Arc<Whisper>, golden: &str) {
    let Ok(file) = std::fs::read(shared(&format!("golden/net/{golden}.safetensors"))) else {
        eprintln!("SKIPPED: golden/net/{golden} is absent");
        return;
    };
    let golden_file = SafeTensors::deserialize(&file).unwrap();
    let expected = |name: &str| floats(&golden_file, name);
    let cancel = Cancel::default();

    let encoded = whisper
        .encode(Window::whole(&expected("mel")), &cancel)
        .unwrap();
    close(
        &format!("{golden} encoder"),
        &encoded.to_vec().unwrap(),
        &expected("encoder"),
    );

    let pairs = integers(&golden_file, "heads");
    let (pairs, _) = pairs.as_chunks();
    let heads: Vec<_> = pairs
        .iter()
        .map(|&[layer, head]| AlignmentHead { layer, head })
        .collect();
    let ids = |name| integers(&golden_file, name).into_iter().map(|id| id as u32);
    let prompt: Vec<u32> = ids("prompt").collect();
    let mut decoder = whisper.decoder(&encoded, &heads).unwrap();
    let mut step = decoder.step(whisper, &prompt, Some(0)).unwrap();
    close(
        &format!("{golden} prompt logits"),
        &step.logits,
        &expected("prompt_logits_last"),
    );
    close(
        &format!("{golden} prompt alignment"),
        &step.alignment.data,
        &expected("prompt_alignment"),
    );

    // Greedy, without suppression; the final row is the one that predicted the last of `tokens`.
    let tokens: Vec<u32> = ids("tokens").collect();
    let (&last, fed) = tokens.split_last().unwrap();
    let continuation = fed.strip_prefix(&prompt[..]).unwrap();
    for &token in continuation {
        assert_eq!(argmax(&step.logits), token, "{golden}: another token");
        step = decoder.step(whisper, &[token], None).unwrap();
    }
    assert_eq!(argmax(&step.logits), last, "{golden}: another last token");
    close(
        &format!("{golden} final logits"),
        &step.logits,
        &expected("final_logits_last"),
    );
    close(
        &format!("{golden} final alignment"),
        &step.alignment.data,
        &expected("final_alignment_last"),
    );

    // The same tokens in one step: the cache changes nothing but rounding.
    let mut decoder = whisper.decoder(&encoded, &heads).unwrap();
    let step = decoder.step(whisper, fed, Some(prompt.len() - 1)).unwrap();
    close(
        &format!("{golden} at once"),
        &step.logits,
        &expected("final_logits_last"),
    );
    close(
        &format!("{golden} probe"),
        step.probe_logits.as_deref().unwrap(),
        &expected("prompt_logits_last"),
    );
    assert_eq!(decoder.position(), fed.len());
}

#[test]
fn the_demo_model_equals_openai_whisper() {
    let whisper = load(&ModelSource::Demo);
    check(&whisper, "whisper-nano.fr-accueil");
    check(&whisper, "whisper-nano.en-greeting");
}

#[test]
fn a_model_of_128_bins_equals_openai_whisper() {
    let model = shared("models/random-v3");
    if !model.is_dir() {
        eprintln!("SKIPPED: {} is absent", model.display());
        return;
    }
    check(&load(&ModelSource::Path(model)), "random-v3.en-digits");
}

#[test]
fn an_english_only_model_equals_openai_whisper() {
    let model = shared("models/random-en");
    if !model.is_dir() {
        eprintln!("SKIPPED: {} is absent", model.display());
        return;
    }
    check(&load(&ModelSource::Path(model)), "random-en.en-digits");
}
