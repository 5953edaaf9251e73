//! A stream that is saved in one element and goes on in another: downstream and the bus see what they would have seen of one.

mod element_support;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;

/// 20 ms each, with the time that is stamped on them.
type Buffers = Vec<(Vec<i16>, ClockTime)>;

/// Two recordings with a small hole between them, which is filled, and behind them one that is jumped.
fn with_holes(first: &str, second: &str) -> Buffers {
    let mut at = ms(1_000);
    let mut buffers = Vec::new();
    for (name, hole) in [(first, ms(260)), (second, ms(7_000)), (first, ms(0))] {
        for chunk in samples(name).chunks(320) {
            buffers.push((chunk.to_vec(), at));
            at += ClockTime::from_nseconds(chunk.len() as u64 * 62_500);
        }
        at += hole;
    }
    buffers
}

struct Stream {
    caps: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

const STREAMS: [Stream; 3] = [
    Stream {
        caps: "text/x-raw,format=utf8",
        settings: &[("unit", "word"), ("language", "fr")],
    },
    Stream {
        caps: "text/x-raw,format=utf8",
        settings: &[
            ("unit", "utterance"),
            ("language", "fr"),
            ("fillers", "remove"),
        ],
    },
    Stream {
        caps: "application/x-json",
        settings: &[
            ("redact", "digits"),
            ("language", "auto"),
            ("leg", "caller"),
        ],
    },
];

impl Stream {
    fn bench(&self) -> Bench {
        let bench = Bench::with_caps(self.caps)
            .set_str("pace", "exact")
            .set_str("audio-ctx", "auto");
        let settings = self.settings.iter();
        settings.fold(bench, |bench, (name, value)| bench.set_str(name, value))
    }

    /// What left, and what was told of it in order.
    fn hear(&self, buffers: &Buffers, cuts: &[usize]) -> (Vec<Out>, Vec<String>) {
        let (mut outs, mut told) = (Vec::new(), Vec::new());
        let mut bench = self.bench().play();
        for (number, (samples, at)) in buffers.iter().enumerate() {
            if cuts.contains(&number) {
                let state = saved(&bench, &mut told);
                outs.extend(bench.record.outs());
                bench = self.bench().set("resume", state).play();
            }
            bench.push(samples, *at).unwrap();
        }
        bench.eos();
        outs.extend(bench.record.outs());
        tell(&bench, &mut told);
        (outs, told)
    }
}

/// Saves the stream, and keeps what was told till then.
fn saved(bench: &Bench, told: &mut Vec<String>) -> glib::Bytes {
    let save = gst::Structure::builder("whisperstream/save")
        .field("marker", "here")
        .build();
    assert!(bench.event(gst::event::CustomDownstream::new(save)));
    let messages = tell(bench, told);
    let saved = messages
        .iter()
        .find(|told| told.name() == "whisperstream/saved")
        .unwrap();
    assert_eq!(saved.get::<String>("marker").unwrap(), "here");
    saved.get::<glib::Bytes>("state").unwrap()
}

fn tell(bench: &Bench, told: &mut Vec<String>) -> Vec<gst::Structure> {
    let messages = bench.messages();
    let structures: Vec<gst::Structure> = messages
        .iter()
        .filter_map(|message| message.structure().map(ToOwned::to_owned))
        .collect();
    let of_words = [
        "whisperstream/words",
        "whisperstream/final",
        "whisperstream/redact",
    ];
    let words = structures
        .iter()
        .filter(|it| of_words.contains(&it.name().as_str()));
    told.extend(words.map(|it| it.to_string()));
    structures
}

#[test]
fn what_it_tells_is_what_one_element_tells() {
    let buffers = with_holes("fr-numero", "fr-court");
    for (number, stream) in STREAMS.iter().enumerate() {
        let (outs, told) = stream.hear(&buffers, &[]);
        let texts = outs.iter().filter(|out| matches!(out, Out::Text(..)));
        assert!(texts.count() > 3 && !told.is_empty(), "{outs:?}");
        let last = buffers.len() - 1;
        for cuts in [
            vec![0],
            vec![137],
            (1..last).step_by(97).collect(),
            vec![last / 3, last / 3 + 1, last],
        ] {
            let (resumed, retold) = stream.hear(&buffers, &cuts);
            assert_eq!(resumed, outs, "stream {number}, cut at {cuts:?}");
            assert_eq!(retold, told, "stream {number}, cut at {cuts:?}");
        }
    }
}

#[test]
fn what_is_no_stream_is_refused_in_a_sentence() {
    let bench = STREAMS[0].bench().play();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    let state = saved(&bench, &mut Vec::new()).to_vec();
    let mut damaged = state.clone();
    damaged[state.len() / 2] ^= 1;
    for (bytes, says) in [
        (Vec::new(), "this is no saved stream"),
        (
            b"a text that somebody has set".to_vec(),
            "this is no saved stream",
        ),
        (damaged, "checksum"),
        (state[..state.len() - 1].to_vec(), "checksum"),
    ] {
        let bench = STREAMS[0]
            .bench()
            .set("resume", glib::Bytes::from_owned(bytes));
        assert!(bench.element.set_state(gst::State::Playing).is_err());
        let told = sentence(&bench.wait_for(gst::MessageType::Error));
        assert!(
            told.contains(says) && told.contains("whisperstream/saved"),
            "{told}"
        );
    }
    // Nothing is broken by it.
    let bench = STREAMS[0]
        .bench()
        .set("resume", glib::Bytes::from_owned(state))
        .play();
    bench.eos();
    assert!(
        bench
            .messages()
            .iter()
            .all(|message| message.type_() != gst::MessageType::Error)
    );
}

#[test]
fn a_flush_forgets_the_stream_that_was_to_be_gone_on_with() {
    let bench = STREAMS[0].bench().play();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    let state = saved(&bench, &mut Vec::new());
    let bench = STREAMS[0].bench().set("resume", state);
    bench.element.set_state(gst::State::Playing).unwrap();
    bench.event(gst::event::StreamStart::new("test"));
    bench.event(gst::event::FlushStart::new());
    bench.event(gst::event::FlushStop::new(true));
    bench.begin();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    bench.eos();
    let fresh = STREAMS[0].bench().play();
    fresh.speak(&samples("fr-court"), ClockTime::ZERO);
    fresh.eos();
    assert_eq!(bench.record.text(), fresh.record.text());
}
