//! The reference's way: one PyTorch model, whole windows, a pass at a time (benches/peers/reference_server.py). It is given
//! the passes, prompts and steps of our policy on the same legs, and its words are therefore the policy's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use gstwhisperstream::policy::AudioCtx;
use gstwhisperstream::whisper::{ModelSource, Whisper};
use serde_json::{Value, json};

use crate::Row;
use crate::common::model;
use crate::common::peer::{Peer, root};
use crate::common::precision::Precision;
use crate::common::score::{Said, Score};
use crate::common::telephone;
use crate::common::trace::{Chunk, Decisions, trace};
use crate::common::trial::Trial;

pub struct Reference {
    peer: Peer,
    model: Arc<Whisper>,
    /// By number of the leg, and whether gated.
    traces: HashMap<(usize, bool), Vec<Chunk>>,
    seconds: f64,
    chunk: u32,
}

impl Reference {
    /// With a pass at every chunk, and only where there may be speech. None where `benches/peers.sh` was not run.
    pub fn rows(seconds: f64, chunk: u32) -> Vec<Row> {
        let threads = rayon::current_num_threads();
        let Some(mut peer) = Peer::start("reference_server.py", threads) else {
            println!("no reference: run benches/peers.sh to have it beside");
            return Vec::new();
        };
        if !peer.load(&root().join("models/whisper-nano"), Precision::F32) {
            return Vec::new();
        }
        println!("reference: {}", peer.name);
        let model = model::load(&ModelSource::Demo, Precision::F32).expect("the demo model");
        let reference = Rc::new(RefCell::new(Reference {
            peer,
            model,
            traces: HashMap::new(),
            seconds,
            chunk,
        }));
        let row = |name: &str, gated: bool| {
            let reference = Rc::clone(&reference);
            Row {
                name: name.into(),
                gated,
                run: Box::new(move |legs| reference.borrow_mut().serve(legs, gated)),
            }
        };
        vec![
            row("reference, every chunk", false),
            row("reference, gated as ours", true),
        ]
    }

    fn serve(&mut self, count: usize, gated: bool) -> Option<Trial> {
        let legs = telephone::legs(count, self.seconds);
        let decisions = match gated {
            true => Decisions::Ours(AudioCtx::Exact),
            false => Decisions::Reference,
        };
        for (number, leg) in legs.iter().enumerate() {
            let (model, chunk) = (&self.model, self.chunk);
            self.traces
                .entry((number, gated))
                .or_insert_with(|| trace(model, leg, chunk, decisions));
        }
        let traces: Vec<&Vec<Chunk>> = (0..count).map(|n| &self.traces[&(n, gated)]).collect();
        let question = json!({"serve": {
            "legs": traces.iter().enumerate().map(|(n, t)| passes(n, t)).collect::<Vec<_>>(),
            "limit": 3.0 * self.seconds + 30.0,
        }});
        let answer = self.peer.ask(question)?;
        let number = |name: &str| answer.get(name).and_then(Value::as_f64);
        let mut whole = true;
        let mut score = Score::default();
        for (leg, (trace, finished)) in legs
            .iter()
            .zip(traces.iter().zip(answer.get("finished")?.as_array()?))
        {
            let said = delivered(trace, finished.as_array()?, &mut whole);
            score.add(&leg.truth, &said);
        }
        let memory = number("memory")?;
        Some(Trial {
            legs: count,
            words: score.words,
            errors: score.word_errors(),
            lag: score.lag(),
            cores: number("cpu")? / number("wall")?,
            memory,
            grown: f64::NAN,
            dropped: 0.0,
            degradations: 0,
            whole,
        })
    }
}

fn passes(number: usize, chunks: &[Chunk]) -> Value {
    let passes = chunks.iter().filter_map(|chunk| {
        let ran = chunk.pass?;
        Some(json!({"due": chunk.end, "held": ran.held, "prompt": ran.prompt, "steps": ran.steps}))
    });
    json!({
        "start": crate::common::live::start_of(number),
        "passes": passes.collect::<Vec<_>>(),
    })
}

/// The policy's words, each when the pass was finished that brought it.
fn delivered(chunks: &[Chunk], finished: &[Value], whole: &mut bool) -> Vec<Said> {
    let mut finished = finished.iter();
    let mut said = Vec::new();
    for chunk in chunks {
        let at = match chunk.pass {
            Some(_) => finished.next().and_then(Value::as_f64),
            None => Some(chunk.end),
        };
        let Some(at) = at else {
            *whole = false;
            continue;
        };
        said.extend(chunk.said.iter().map(|word| Said {
            heard: at,
            ..word.clone()
        }));
    }
    said
}
