//! What one stream of tiny takes beside the model: while it waits for speech, with a full window of it, and while a pass
//! runs. Random weights; memory is the process's resident set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::live::{self, Line, Settings};
use crate::common::model;
use crate::common::synthetic::Shape;
use crate::common::telephone::{Leg, RATE, legs};
use crate::common::usage::own_memory;

/// Streams that a difference is taken over, and that run before, so that what passes share is there.
const STREAMS: usize = 12;
/// Seconds of speech that fill a window without spilling.
const WINDOW: f64 = 28.0;

pub fn report() {
    live::init();
    let folder = model::write(&Shape::TINY);
    let settings: Settings = vec![("model".into(), folder.path().to_string_lossy().into_owned())];
    let speech = &legs(1, WINDOW)[0];
    let quiet = Leg {
        language: "fr",
        samples: vec![0; RATE],
        truth: Vec::new(),
    };
    let mut lines = Vec::new();
    let full = |lines: &mut Vec<Line>| {
        let first = lines.len();
        more(lines, speech, &settings);
        hear(&lines[first..], speech)
    };
    let (_, warm) = full(&mut lines);
    more(&mut lines, &quiet, &settings);
    let (_, with_idle) = hear(&lines[STREAMS..], &quiet);
    let (most, with_full) = full(&mut lines);
    println!(
        "\ntiny: a stream that hears no speech {:.1} MB, one that holds {WINDOW} s of it {:.1} MB; all passes that run at one time \
         together {:.1} MB more; {} streams and the model {with_full:.0} MB",
        (with_idle - warm) / STREAMS as f64,
        (with_full - with_idle) / STREAMS as f64,
        most - with_full,
        lines.len(),
    );
    for line in lines {
        line.stop();
    }
}

fn more(lines: &mut Vec<Line>, leg: &Leg, settings: &Settings) {
    let first = lines.len();
    lines.extend((first..first + STREAMS).map(|n| Line::open(n, leg, settings)));
    lines[first..].iter().for_each(Line::wait_loaded);
}

/// Gives all lines the whole leg at once and waits until it is heard. Memory at most, and after.
fn hear(lines: &[Line], leg: &Leg) -> (f64, f64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0f64;
            while !over.load(Ordering::Relaxed) {
                most = most.max(own_memory());
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        for line in lines {
            line.push_all(leg);
        }
        for line in lines {
            line.wait_heard();
        }
        over.store(true, Ordering::Relaxed);
        let most = watch.join().unwrap_or(f64::NAN);
        std::thread::sleep(Duration::from_millis(200));
        (most, own_memory())
    })
}
