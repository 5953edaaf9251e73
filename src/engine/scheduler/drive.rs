//! The thread that drives the network: asks the plan, runs what it says, puts back what came of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::Shared;
use super::board::{Decoding, Window};
use super::network::{Network, On, Turn};
use super::plan::{Id, Next};
use crate::engine::{EngineError, fault_text, lock};
use crate::whisper::{Step, WhisperError};

/// Body of the thread. Whatever happens, nobody is left waiting.
pub fn run<N: Network>(network: &N, shared: &Shared<N>) {
    let end = catch_unwind(AssertUnwindSafe(|| serve(network, shared)));
    let fault = end.err().map(|panic| fault_text(&*panic));
    lock(&shared.board).shut(fault);
}

fn serve<N: Network>(network: &N, shared: &Shared<N>) {
    let mut board = lock(&shared.board);
    while !board.closed {
        let now = Instant::now();
        match board.plan(now) {
            Next::Rest => {
                board = shared
                    .work
                    .wait(board)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            Next::Await(patience) => {
                board = shared
                    .work
                    .wait_timeout(board, patience)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            Next::Encode(ids) => {
                let windows = board.take_windows(&ids, now);
                drop(board);
                encode(network, shared, windows);
                board = lock(&shared.board);
            }
            Next::Step(ids) => {
                let decodings = board.take_decoders(&ids, now);
                drop(board);
                step(network, shared, decodings);
                board = lock(&shared.board);
            }
        }
    }
}

fn encode<N: Network>(network: &N, shared: &Shared<N>, mut windows: Vec<Window<N>>) {
    let ids: Vec<Id> = windows.iter().map(|window| window.id).collect();
    let live = share(windows.iter().map(|window| window.live));
    let begun = Instant::now();
    let ran = contained(|| {
        let mut batch: Vec<_> = windows
            .iter_mut()
            .map(|window| &mut window.window)
            .collect();
        network.advance(&mut batch)?;
        let through = windows.into_iter().map(|mut window| {
            let encoded = network.encoded(&mut window.window);
            (window, encoded)
        });
        Ok(through.collect::<Vec<_>>())
    });
    let now = Instant::now();
    let mut remains = Vec::new();
    let mut board = lock(&shared.board);
    board.ran((now - begun).mul_f64(live), now);
    match ran {
        Ok(windows) => {
            for (window, encoded) in windows {
                remains.push(match encoded {
                    Some(encoded) => board.put_encoded(window.id, encoded, now),
                    None => board.put_window(window, now),
                });
            }
        }
        Err(trouble) => ids.iter().for_each(|&id| board.fail(id, trouble.tell())),
    }
    drop(board);
    drop(remains);
}

fn step<N: Network>(network: &N, shared: &Shared<N>, decodings: Vec<Decoding<N>>) {
    let ids: Vec<Id> = decodings.iter().map(|decoding| decoding.id).collect();
    let live = share(decodings.iter().map(|decoding| decoding.live));
    let begun = Instant::now();
    let ran = contained(|| Ok(together(network, decodings)));
    let now = Instant::now();
    let mut remains = Vec::new();
    let mut board = lock(&shared.board);
    board.ran((now - begun).mul_f64(live), now);
    match ran {
        Ok(answers) => {
            for (decoding, answer) in answers {
                match answer {
                    Ok(step) => remains.push(board.put_decoder(decoding, step, ids.len(), now)),
                    Err(error) => board.fail(decoding.id, error.into()),
                }
            }
        }
        Err(trouble) => ids.iter().for_each(|&id| board.fail(id, trouble.tell())),
    }
    drop(board);
    drop(remains);
}

type Answered<N> = (Decoding<N>, Result<Step, WhisperError>);

/// One step of all; those that want a decoder get one first.
fn together<N: Network>(network: &N, decodings: Vec<Decoding<N>>) -> Vec<Answered<N>> {
    let mut ready = Vec::new();
    let mut answers = Vec::new();
    for mut decoding in decodings {
        let kept = match decoding.asked.on {
            On::Kept => decoding.decoder.take(),
            On::Fresh => {
                decoding.decoder = None;
                None
            }
            On::Alone => None,
        };
        let decoder = match kept {
            Some(decoder) => Ok(decoder),
            None => network.decoder(&decoding.encoded, &decoding.watched),
        };
        match decoder {
            Ok(decoder) => ready.push((decoding, decoder)),
            Err(error) => answers.push((decoding, Err(error))),
        }
    }
    let turns = ready.iter_mut().map(|(decoding, decoder)| Turn {
        decoder,
        asked: &decoding.asked,
    });
    let mut turns: Vec<_> = turns.collect();
    let mut steps = network.step(&mut turns).into_iter();
    drop(turns);
    let missing = || Err(candle_core::Error::Msg("a step gave no answer".into()).into());
    for (mut decoding, decoder) in ready {
        if decoding.asked.on != On::Alone {
            decoding.decoder = Some(decoder);
        }
        answers.push((decoding, steps.next().unwrap_or_else(missing)));
    }
    answers
}

/// The part of a batch that is live.
fn share(live: impl ExactSizeIterator<Item = bool>) -> f64 {
    let all = live.len().max(1);
    live.filter(|&live| live).count() as f64 / all as f64
}

/// What befell a batch; every pass in it is told.
enum Trouble {
    Failed(Arc<WhisperError>),
    Fault(String),
}

impl Trouble {
    fn tell(&self) -> EngineError {
        match self {
            Trouble::Failed(error) => EngineError::Model(Arc::clone(error)),
            Trouble::Fault(fault) => EngineError::Fault(fault.clone()),
        }
    }
}

/// Runs the network; a panic there is an answer, too.
fn contained<T>(run: impl FnOnce() -> Result<T, WhisperError>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Trouble::Failed(Arc::new(error))),
        Err(panic) => Err(Trouble::Fault(fault_text(&*panic))),
    }
}
