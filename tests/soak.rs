//! The soak of `benches/soak`, for as long as a test may take: what would be a leak in a day is growth in minutes.

#[path = "common/audio.rs"]
#[allow(dead_code)]
mod audio;
#[path = "common/music.rs"]
mod music;
#[path = "common/sounds.rs"]
mod sounds;
#[path = "../benches/soak/stream.rs"]
#[allow(dead_code)]
mod stream;
#[path = "../benches/soak/tape.rs"]
#[allow(dead_code)]
mod tape;
#[path = "../benches/common/usage.rs"]
#[allow(dead_code)]
mod usage;
#[path = "../benches/soak/verdict.rs"]
#[allow(dead_code)]
mod verdict;

use stream::Stream;
use tape::Round;

fn soak(pace: &str) {
    gst::init().unwrap();
    gstwhisperstream::plugin_register_static().unwrap();
    let round = Round::new(100.0, &tape::recordings()[..5]);
    let settings = [
        ("pace", pace),
        ("precision", "int8"),
        ("audio-ctx", "auto"),
        ("min-chunk-size", "1000"),
    ];
    let mut stream = Stream::open(&round, &settings);
    let mut rounds = Vec::new();
    for _ in 0..8 {
        rounds.push(stream.hear(&round).unwrap());
    }
    // The first three warm up: buffers grow to what the longest window takes.
    let told = verdict::summary(&rounds);
    println!("{told}");
    verdict::of(&rounds[3..], pace == "exact").unwrap();
}

#[test]
fn a_stream_that_lives_long_keeps_its_memory_and_its_words() {
    soak("exact");
}

#[test]
fn so_does_a_stream_in_live_pace() {
    soak("live");
}
