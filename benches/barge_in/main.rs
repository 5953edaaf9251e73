//! How soon somebody who speaks is noticed, and somebody who interrupts is told, on the clock: calls in real time.
//!
//!     cargo bench --bench barge_in [-- --after 300 --model DIR]
//!
//! Each call is half a second of a quiet line, something said, and a second and a half of the line again, pushed in
//! 20 ms buffers as a telephone brings them. Delays are from the instant at which the sample in question was pushed to the message on
//! the bus. What is said is a sentence (it must interrupt) or a backchannel (it must not).

#[path = "../../tests/common/sounds.rs"]
mod sounds;
#[path = "../../tests/common/voices.rs"]
mod voices;

use std::time::{Duration, Instant};

use gst::prelude::*;
use voices::{ENGLISH, FRENCH, Voice, say};

const RATE: usize = 16_000;
const BUFFER: usize = RATE / 50;

const SENTENCES: [(&str, &str); 8] = [
    ("fr", "non attendez je voudrais parler à quelqu'un"),
    ("fr", "bonjour je vous appelle au sujet de votre contrat"),
    ("fr", "je n'ai pas le temps rappelez demain"),
    ("fr", "combien ça coûte par mois"),
    ("en", "no wait I would like to speak to somebody"),
    ("en", "hello I am calling about your contract"),
    ("en", "please call me back tomorrow morning"),
    ("en", "how much is it every month"),
];
const BACKCHANNELS: [(&str, &str); 8] = [
    ("fr", "oui"),
    ("fr", "d'accord"),
    ("fr", "ok"),
    ("fr", "très bien"),
    ("en", "yes"),
    ("en", "okay"),
    ("en", "all right"),
    ("en", "I see"),
];

/// What came of a call, in ms.
#[derive(Default)]
struct Call {
    /// From the voice's first sample to `speech-start`, from its last to `speech-end`, from its first to `barge-in`.
    start: Option<f64>,
    end: Option<f64>,
    barge_in: Option<f64>,
}

struct Args {
    after: u32,
    model: Option<String>,
}

fn main() {
    let args = args();
    gst::init().unwrap();
    gstwhisperstream::plugin_register_static().unwrap();
    println!(
        "barge-in-after={} ms, model {}",
        args.after,
        args.model.as_deref().unwrap_or("whisper-nano (bundled)")
    );
    let mut starts = Vec::new();
    let mut ends = Vec::new();
    let mut interruptions = Vec::new();
    let (mut missed, mut false_alarms) = (Vec::new(), Vec::new());
    let mut calls = 0usize;
    for (texts, must) in [(&SENTENCES, true), (&BACKCHANNELS, false)] {
        for (n, &(language, text)) in texts.iter().enumerate() {
            let voices: &[Voice] = match language {
                "fr" => &FRENCH,
                _ => &ENGLISH,
            };
            for voice in voices.iter().skip(n % 7).step_by(7) {
                for over_line in [false, true] {
                    let call = hear(&args, language, &say(text, voice), over_line, calls as u64);
                    calls += 1;
                    starts.extend(call.start);
                    ends.extend(call.end);
                    let what = format!("{text:?} by {}", voice.name);
                    match (call.barge_in, must) {
                        (Some(delay), true) => interruptions.push(delay),
                        (None, true) => missed.push(what),
                        (Some(_), false) => false_alarms.push(what),
                        (None, false) => {}
                    }
                }
            }
        }
    }
    let sentences = interruptions.len() + missed.len();
    println!("{calls} calls, half of them over G.711 with noise at 20 dB\n");
    println!("| | p50 ms | p95 ms | |");
    println!("|---|---|---|---|");
    row("voice begins to `speech-start`", &mut starts, calls);
    row(
        "voice ends to `speech-end` (500 ms of silence among it)",
        &mut ends,
        calls,
    );
    row("voice begins to `barge-in`", &mut interruptions, sentences);
    println!(
        "\nbackchannels that interrupted: {} of {}: {false_alarms:?}",
        false_alarms.len(),
        calls - sentences
    );
    println!(
        "sentences that did not: {} of {sentences}: {missed:?}",
        missed.len()
    );
}

fn row(what: &str, delays: &mut [f64], of: usize) {
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (delays.len() as f64 * share).ceil().max(1.0) as usize - 1;
        delays.get(rank).copied().unwrap_or(f64::NAN)
    };
    println!(
        "| {what} | {:.0} | {:.0} | {} of {of} |",
        at(0.5),
        at(0.95),
        delays.len()
    );
}

/// One call, in real time.
fn hear(args: &Args, language: &str, spoken: &[i16], over_line: bool, seed: u64) -> Call {
    let lead = RATE / 2;
    let (first, last) = extent(spoken);
    let mut audio = vec![0; lead];
    audio.extend_from_slice(spoken);
    audio.extend(std::iter::repeat_n(0, RATE * 3 / 2));
    let seconds = audio.len() as f64 / RATE as f64;
    audio = match over_line {
        true => {
            let noise = sounds::pink(-20.0, seconds, RATE as u32, seed);
            sounds::telephone(&sounds::mix_at_snr(&audio, &noise, 20.0))
        }
        false => sounds::mix(
            &audio,
            &sounds::line_noise(-65.0, seconds, RATE as u32, seed),
        ),
    };
    let element = gst::ElementFactory::make("whisperstream").build().unwrap();
    element.set_property("language", language);
    element.set_property("barge-in-after", args.after);
    element.set_property("model", &args.model);
    element.set_property_from_str("pace", "live");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let sink = element.static_pad("sink").unwrap();
    element.set_state(gst::State::Playing).unwrap();
    let caps = "audio/x-raw,format=S16LE,rate=16000,channels=1,layout=interleaved";
    sink.send_event(gst::event::StreamStart::new("call"));
    sink.send_event(gst::event::Caps::new(&caps.parse().unwrap()));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    sink.send_event(gst::event::Segment::new(&segment));
    wait_loaded(&element, &sink);

    let begun = Instant::now();
    let mut call = Call::default();
    let offset = gst::ClockTime::from_seconds(1);
    for (n, chunk) in audio.chunks(BUFFER).enumerate() {
        // A buffer comes when its last sample is spoken.
        let due = Duration::from_millis(20 * (n as u64 + 1));
        look(
            &bus,
            due.saturating_sub(begun.elapsed()),
            begun,
            lead,
            (first, last),
            &mut call,
        );
        let bytes: Vec<u8> = chunk
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        let mut buffer = gst::Buffer::from_mut_slice(bytes);
        let pts = offset + gst::ClockTime::from_mseconds(20 * n as u64);
        buffer.get_mut().unwrap().set_pts(pts);
        let _ = sink.chain(buffer);
    }
    sink.send_event(gst::event::Eos::new());
    look(
        &bus,
        Duration::from_millis(1),
        begun,
        lead,
        (first, last),
        &mut call,
    );
    element.set_state(gst::State::Null).unwrap();
    element.set_bus(None);
    call
}

/// The model is there before the call is.
fn wait_loaded(element: &gst::Element, sink: &gst::Pad) {
    let mut buffer = gst::Buffer::from_mut_slice(vec![0u8; BUFFER * 2]);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::ZERO);
    let _ = sink.chain(buffer);
    loop {
        let stats = element.property::<gst::Structure>("stats");
        if stats.get::<bool>("loaded") == Ok(true) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads the bus for so long.
fn look(
    bus: &gst::Bus,
    time: Duration,
    begun: Instant,
    lead: usize,
    voice: (usize, usize),
    call: &mut Call,
) {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let patience = gst::ClockTime::from_nseconds(left.as_nanos() as u64);
        let Some(message) = bus.timed_pop(patience) else {
            return;
        };
        let since = |sample: usize| {
            let spoken = (lead + sample) as f64 / RATE as f64;
            Some((begun.elapsed().as_secs_f64() - spoken) * 1e3)
        };
        let Some(told) = message.structure() else {
            continue;
        };
        match told.name().as_str() {
            "whisperstream/speech-start" if call.start.is_none() => call.start = since(voice.0),
            "whisperstream/speech-end" => call.end = since(voice.1),
            "whisperstream/barge-in" => call.barge_in = since(voice.0),
            _ => {}
        }
    }
}

/// Where the voice begins and ends: 10 ms of more than -45 dB of its loudest.
fn extent(spoken: &[i16]) -> (usize, usize) {
    let energy = |frame: &[i16]| frame.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let energies: Vec<f64> = spoken.chunks(RATE / 100).map(energy).collect();
    let least = energies.iter().copied().fold(0.0, f64::max) * 10f64.powf(-4.5);
    let first = energies.iter().position(|e| *e > least).unwrap_or(0);
    let last = energies.iter().rposition(|e| *e > least).unwrap_or(0);
    (first * RATE / 100, (last + 1) * RATE / 100)
}

fn args() -> Args {
    let mut args = Args {
        after: 300,
        model: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        match name.as_str() {
            "--after" => {
                args.after = given
                    .next()
                    .and_then(|ms| ms.parse().ok())
                    .expect("--after MS")
            }
            "--model" => args.model = Some(given.next().expect("--model DIR")),
            // cargo's own.
            "--bench" => {}
            other => panic!("{other} is unknown; there are --after MS and --model DIR"),
        }
    }
    args
}
