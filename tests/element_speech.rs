//! Who speaks since when, what is told of it, and who interrupts whom.

#[path = "common/sounds.rs"]
mod sounds;
#[path = "common/voices.rs"]
mod voices;

mod element_support;

use element_support::*;
use gst::ClockTime;
use gst::prelude::*;
use voices::{Voice, say};

const MS: usize = 16;

/// A structure's time in milliseconds.
fn at(structure: &gst::StructureRef, field: &str) -> u64 {
    structure.get::<u64>(field).unwrap() / 1_000_000
}

/// Custom events that left, other than the clock of what is heard.
fn told(bench: &Bench) -> Vec<gst::Structure> {
    let events = bench.record.events();
    let custom = events
        .iter()
        .filter(|event| event.type_() == gst::EventType::CustomDownstream);
    custom
        .filter_map(|event| Some(event.structure()?.to_owned()))
        .collect()
}

fn named(structures: &[gst::Structure], name: &str) -> Vec<gst::Structure> {
    let named = structures.iter().filter(|told| told.name() == name);
    named.cloned().collect()
}

/// All element messages that came since the last look.
fn posted(bench: &Bench) -> Vec<gst::Structure> {
    let messages = bench.messages();
    let structures = messages.iter().filter_map(|message| message.structure());
    structures.map(ToOwned::to_owned).collect()
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * MS]
}

fn quiet_line(ms: usize) -> Vec<i16> {
    sounds::line_noise(-60.0, ms as f64 / 1e3, 16_000, 5)
}

/// `text` in a French voice behind 1.5 s of a quiet line.
fn french(text: &str) -> Vec<i16> {
    let voice = Voice {
        name: "fr-fr+f2",
        ..voices::FRENCH[0]
    };
    let mut audio = quiet_line(1_500);
    let spoken = say(text, &voice);
    audio.extend(sounds::mix(&spoken, &quiet_line(spoken.len() / MS)));
    audio.extend(quiet_line(1_000));
    audio
}

/// Names of the events and texts that left, in order.
fn order(bench: &Bench) -> Vec<String> {
    let items = bench.record.items();
    let names = items.iter().filter_map(|item| match item {
        Item::Buffer(_) => Some("text".to_string()),
        Item::Event(event) if event.type_() == gst::EventType::CustomDownstream => {
            Some(event.structure()?.name().to_string())
        }
        Item::Event(_) => None,
    });
    names.collect()
}

#[test]
fn each_stretch_of_speech_is_told_once_where_it_is() {
    let bench = Bench::new().set("language", "fr").play();
    let end = bench.speak(&samples("fr-pauses"), ClockTime::ZERO);
    bench.eos();
    let messages = posted(&bench);
    let starts = named(&messages, "whisperstream/speech-start");
    let ends = named(&messages, "whisperstream/speech-end");
    // Words with more than half a second between them are apart.
    let mut stretches: Vec<(f64, f64)> = Vec::new();
    for (_, start, end) in spoken("fr-pauses") {
        match stretches.last_mut() {
            Some(last) if start - last.1 < 0.5 => last.1 = end,
            _ => stretches.push((start, end)),
        }
    }
    assert!(stretches.len() > 1);
    assert_eq!(starts.len(), stretches.len(), "{starts:#?}");
    assert_eq!(ends.len(), stretches.len());
    for ((start, end), (from, until)) in starts.iter().zip(&ends).zip(&stretches) {
        let (from, until) = ((from * 1e3) as u64, (until * 1e3) as u64);
        assert!(
            at(start, "timestamp").abs_diff(from) < 300,
            "{start:?}, truly {from}"
        );
        assert_eq!(at(end, "timestamp"), at(start, "timestamp"));
        let stop = at(end, "timestamp") + at(end, "duration");
        assert!(stop.abs_diff(until) < 300, "{end:?}, truly {until}");
        assert!(start.get::<f64>("probability").unwrap() > 0.3);
    }
    // The same as events, and in the same order as their words.
    let events = told(&bench);
    for (name, messages) in [
        ("whisperstream/speech-start", &starts),
        ("whisperstream/speech-end", &ends),
    ] {
        let events = named(&events, name);
        let times = |told: &[gst::Structure]| -> Vec<_> {
            told.iter().map(|told| at(told, "timestamp")).collect()
        };
        assert_eq!(times(&events), times(messages));
    }
    let mut order = order(&bench);
    order.retain(|name| name != "rstranscribe/final-transcript");
    order.dedup();
    let turns = order.chunks(3);
    for turn in turns {
        assert_eq!(
            turn,
            [
                "whisperstream/speech-start",
                "text",
                "whisperstream/speech-end"
            ],
            "{order:?}"
        );
    }
    assert_covers(&bench.record.outs(), ClockTime::ZERO, end);
}

#[test]
fn a_start_is_known_within_200_ms_and_an_end_when_the_pause_is_long_enough() {
    let bench = Bench::new().set("language", "fr").play();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    bench.speak(&quiet_line(1_000), ms(1_490));
    let messages = posted(&bench);
    let [start] = &named(&messages, "whisperstream/speech-start")[..] else {
        panic!("{messages:#?}");
    };
    // Paced exactly, a delay is of the stream's own time.
    assert!(at(start, "delay") <= 200, "{start:?}");
    let [end] = &named(&messages, "whisperstream/speech-end")[..] else {
        panic!("{messages:#?}");
    };
    assert!((500..=540).contains(&at(end, "delay")), "{end:?}");
    bench.stop();
}

#[test]
fn boundaries_and_words_do_not_depend_on_how_the_audio_is_cut() {
    let run = |length: usize| {
        let bench = Bench::new().set("language", "fr").play();
        let mut pts = ClockTime::ZERO;
        for chunk in samples("fr-pauses").chunks(length) {
            bench.push(chunk, pts).unwrap();
            pts += ClockTime::from_nseconds(chunk.len() as u64 * 62_500);
        }
        bench.eos();
        let stretches: Vec<_> = told(&bench)
            .iter()
            .filter_map(|told| {
                let duration = told.get::<u64>("duration").ok()?;
                Some((
                    told.name().to_string(),
                    told.get::<u64>("timestamp").ok()?,
                    duration,
                ))
            })
            .collect();
        (stretches, bench.record.outs())
    };
    let whole = run(1 << 30);
    for length in [1_000, 333, 4_801] {
        assert!(run(length) == whole, "cut every {length} samples");
    }
}

#[test]
fn passes_run_only_while_there_is_speech_to_decode() {
    let bench = Bench::new().set("language", "fr").play();
    let end = bench.speak(&quiet_line(10_000), ClockTime::ZERO);
    let passes = |bench: &Bench| {
        let stats = bench.element.property::<gst::Structure>("stats");
        stats.get::<u64>("passes").unwrap()
    };
    assert_eq!(passes(&bench), 0);
    let end = bench.speak(&samples("fr-court"), end);
    let end = bench.speak(&quiet_line(1_000), end);
    // All that was pushed is heard.
    let flush = gst::Structure::builder("whisperstream/flush").field("marker", "");
    bench.event(gst::event::CustomDownstream::new(flush.build()));
    let after_speech = passes(&bench);
    assert!((1..=4).contains(&after_speech), "{after_speech}");
    bench.speak(&quiet_line(10_000), end);
    bench.eos();
    assert_eq!(passes(&bench), after_speech);
    assert_eq!(words(&bench.record.text()), ["allô"]);
}

#[test]
fn the_clock_of_what_is_heard_covers_all_audio_and_knows_who_speaks() {
    let bench = Bench::new().set("language", "fr").play();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let ticks = heard.clone();
    bench
        .sink
        .add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(event) = info.event()
                && event.type_() == gst::EventType::CustomDownstreamOob
            {
                ticks
                    .lock()
                    .unwrap()
                    .push(event.structure().unwrap().to_owned());
            }
            gst::PadProbeReturn::Ok
        });
    let audio = samples("fr-court");
    let end = bench.speak(&audio, ClockTime::ZERO);
    bench.eos();
    let heard = heard.lock().unwrap();
    let mut until = 0;
    for tick in heard.iter() {
        assert_eq!(tick.name(), "whisperstream/heard");
        assert_eq!(tick.get::<u64>("timestamp").unwrap(), until);
        let duration = tick.get::<u64>("duration").unwrap();
        assert!(duration <= 100_000_000);
        until += duration;
    }
    assert_eq!(until, end.nseconds());
    let speaking = |tick: &gst::Structure| tick.get::<bool>("speaking").unwrap();
    assert!(!speaking(&heard[2]), "{heard:#?}");
    let (start, stop) = (spoken("fr-court")[0].1, spoken("fr-court")[0].2);
    let middle = ((start + stop) / 2.0 * 10.0 + 1.0) as usize;
    assert!(speaking(&heard[middle]), "{heard:#?}");
    assert!(heard[middle].get::<u64>("speech").unwrap() > 90_000_000);
}

#[test]
fn a_bot_can_ask_who_speaks_at_any_time() {
    let bench = Bench::new().set("language", "fr").play();
    let notified = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = notified.clone();
    bench.element.connect_notify(Some("speaking"), move |_, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let state = || {
        let speaking = bench.element.property::<bool>("speaking");
        (speaking, bench.element.property::<u32>("speech-duration"))
    };
    let audio = samples("fr-accueil");
    let first = spoken("fr-accueil")[0].1;
    let before = ((first - 0.2) * 16e3) as usize;
    assert_eq!(state(), (false, 0));
    let end = bench.speak(&audio[..before], ClockTime::ZERO);
    assert_eq!(state(), (false, 0));
    bench.speak(&audio[before..before + 16_000], end);
    let (speaking, duration) = state();
    assert!(
        speaking && (300..1_000).contains(&duration),
        "{duration} ms"
    );
    assert_eq!(notified.load(std::sync::atomic::Ordering::SeqCst), 1);
    bench.eos();
    assert_eq!(state(), (false, 0));
    assert_eq!(notified.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[test]
fn a_flush_can_be_asked_for_from_downstream_and_is_answered_in_order() {
    let bench = Bench::new().set("language", "fr").play();
    let audio = samples("fr-accueil");
    let end = bench.speak(&audio[..48_000], ClockTime::ZERO);
    let flush = gst::Structure::builder("whisperstream/flush")
        .field("marker", "so far")
        .build();
    assert!(
        bench
            .sink
            .push_event(gst::event::CustomUpstream::new(flush))
    );
    bench.speak(&audio[48_000..], end);
    bench.eos();
    let items = bench.record.items();
    let answer = items
        .iter()
        .position(|item| match item {
            Item::Event(event) => event
                .structure()
                .is_some_and(|told| told.name() == "whisperstream/flushed"),
            Item::Buffer(_) => false,
        })
        .expect("no answer");
    let three = ms(3_000);
    for (n, item) in items.iter().enumerate() {
        if let Item::Buffer(buffer) = item {
            // What was said before it is out before it, and nothing else.
            assert_eq!(n < answer, buffer.pts().unwrap() < three, "{buffer:?}");
        }
    }
    let Item::Event(event) = &items[answer] else {
        unreachable!()
    };
    let told = event.structure().unwrap();
    assert_eq!(told.get::<&str>("marker"), Ok("so far"));
    assert_eq!(at(told, "timestamp"), 3_000);
    assert_eq!(bench.element_messages("whisperstream/flushed").len(), 1);
}

#[test]
fn a_tone_has_its_place_among_the_words() {
    let bench = Bench::new().set("language", "fr").play();
    let audio = samples("fr-accueil");
    let tone = |at: u64| {
        let tone = gst::Structure::builder("beepdetect/tone")
            .field("kind", "beep")
            .field("timestamp", at * 1_000_000)
            .build();
        gst::event::CustomDownstream::new(tone)
    };
    // Before anybody speaks nothing holds it up.
    bench.speak(&audio[..1_600], ClockTime::ZERO);
    bench.event(tone(50));
    assert_eq!(order(&bench), ["beepdetect/tone"]);
    // In the middle of speech it waits for the words before it.
    bench.speak(&audio[1_600..40_000], ms(100));
    bench.event(tone(2_400));
    bench.speak(&audio[40_000..], ms(2_500));
    bench.eos();
    let items = bench.record.items();
    let at = items
        .iter()
        .rposition(|item| match item {
            Item::Event(event) => event
                .structure()
                .is_some_and(|told| told.name() == "beepdetect/tone"),
            Item::Buffer(_) => false,
        })
        .unwrap();
    for (n, item) in items.iter().enumerate() {
        if let Item::Buffer(buffer) = item {
            assert_eq!(n < at, buffer.pts().unwrap() < ms(2_400), "{buffer:?}");
        }
    }
}

#[test]
fn a_leg_is_named_in_all_that_is_told() {
    let bench = Bench::with_caps("application/x-json")
        .set("language", "fr")
        .set("leg", "customer")
        .set("interim", true)
        .play();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    bench.eos();
    let messages = posted(&bench);
    let ours = messages
        .iter()
        .filter(|told| told.name().starts_with("whisperstream/"));
    let mut names: Vec<_> = ours
        .map(|told| {
            assert_eq!(told.get::<&str>("leg"), Ok("customer"), "{told:?}");
            told.name().to_string()
        })
        .collect();
    names.sort();
    names.dedup();
    assert!(names.len() >= 5, "{names:?}");
    for told in told(&bench) {
        if told.name().starts_with("whisperstream/") {
            assert_eq!(told.get::<&str>("leg"), Ok("customer"), "{told:?}");
        }
    }
    let line: serde_json::Value = serde_json::from_str(&bench.record.text()).unwrap();
    assert_eq!(line["leg"], "customer");
}

#[test]
fn somebody_who_goes_on_speaking_interrupts_once() {
    let bench = Bench::new()
        .set("language", "fr")
        .set("barge-in-after", 400u32)
        .play();
    let end = bench.speak(
        &french("bonjour je vous appelle au sujet de votre contrat"),
        ClockTime::ZERO,
    );
    bench.speak(&french("avez-vous deux minutes"), end);
    bench.eos();
    let messages = posted(&bench);
    let barged = named(&messages, "whisperstream/barge-in");
    let starts = named(&messages, "whisperstream/speech-start");
    // Armed again when the speaker has stopped.
    assert_eq!(barged.len(), 2, "{messages:#?}");
    for (barged, start) in barged.iter().zip(&starts) {
        assert_eq!(barged.get::<&str>("cause"), Ok("speech"));
        assert_eq!(at(barged, "timestamp"), at(start, "timestamp"));
        assert!((400..=700).contains(&at(barged, "speech")), "{barged:?}");
    }
    assert_eq!(named(&told(&bench), "whisperstream/barge-in").len(), 2);
}

#[test]
fn a_backchannel_interrupts_nobody() {
    for text in ["oui", "d'accord", "oui d'accord"] {
        let bench = Bench::new()
            .set("language", "fr")
            .set("barge-in-after", 300u32)
            .play();
        bench.speak(&french(text), ClockTime::ZERO);
        bench.eos();
        let messages = posted(&bench);
        assert_eq!(
            named(&messages, "whisperstream/speech-start").len(),
            1,
            "{text}"
        );
        let barged = named(&messages, "whisperstream/barge-in");
        assert!(barged.is_empty(), "{text}: {barged:?}");
    }
}

/// A pipeline with a prompt on its far end: whether somebody interrupts whose leg carries `near`.
fn interrupts_over(prompt: &[i16], near: &[i16]) -> bool {
    init();
    let element = gst::ElementFactory::make("whisperstream").build().unwrap();
    element.set_property("language", "fr");
    element.set_property("barge-in-after", 400u32);
    element.set_property_from_str("pace", "exact");
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let sink = element.static_pad("sink").unwrap();
    let far = element.request_pad_simple("far_end").unwrap();
    // By its template: to ask for a name that is taken is a fault of the caller's to GStreamer, which is loud about it.
    let template = element.pad_template("far_end").unwrap();
    let second = element.request_pad(&template, None, None);
    assert!(second.is_none(), "there is one at most");
    element.set_state(gst::State::Playing).unwrap();
    for pad in [&sink, &far] {
        pad.send_event(gst::event::StreamStart::new("leg"));
        pad.send_event(gst::event::Caps::new(&CAPS.parse().unwrap()));
        let segment = gst::FormattedSegment::<ClockTime>::new();
        pad.send_event(gst::event::Segment::new(&segment));
    }
    let mut pts = ClockTime::ZERO;
    for (prompt, near) in prompt.chunks(320).zip(near.chunks(320)) {
        far.chain(buffer(prompt, Some(pts))).unwrap();
        // Nobody takes the text.
        let _ = sink.chain(buffer(near, Some(pts)));
        pts += ms(20);
    }
    sink.send_event(gst::event::Eos::new());
    element.set_state(gst::State::Null).unwrap();
    element.release_request_pad(&far);
    element.set_bus(None);
    std::iter::from_fn(|| bus.pop()).any(|message| {
        message
            .structure()
            .is_some_and(|told| told.name() == "whisperstream/barge-in")
    })
}

#[test]
fn the_echo_of_the_prompt_interrupts_nobody_and_a_caller_does() {
    let prompt = sounds::join(&[&samples("fr-accueil"), &samples("fr-messagerie")]);
    let echo = |ms: usize| -> Vec<i16> {
        let mut late = quiet_line(ms);
        late.extend(sounds::gain(&prompt, -14.0));
        sounds::mix(&late, &quiet_line(prompt.len() / MS))[..prompt.len()].to_vec()
    };
    for delay in [60, 220] {
        assert!(!interrupts_over(&prompt, &echo(delay)), "{delay} ms");
    }
    // Somebody speaks over it, five seconds into the prompt.
    let mut caller = quiet_line(5_000);
    caller.extend(french("non attendez je voudrais parler à quelqu'un"));
    assert!(interrupts_over(&prompt, &sounds::mix(&echo(60), &caller)));
    // Without its prompt, the echo is somebody.
    assert!(interrupts_over(&vec![0; prompt.len()], &echo(60)));
}

#[test]
fn words_enough_interrupt_too() {
    let bench = Bench::new()
        .set("language", "fr")
        .set("barge-in-min-words", 2u32)
        .play();
    bench.speak(
        &french("bonjour je vous appelle au sujet de votre contrat"),
        ClockTime::ZERO,
    );
    bench.eos();
    let messages = posted(&bench);
    let barged = named(&messages, "whisperstream/barge-in");
    let [barged] = &barged[..] else {
        panic!("{messages:#?}");
    };
    assert_eq!(barged.get::<&str>("cause"), Ok("words"));
    assert!(barged.get::<u64>("words").unwrap() >= 2);
}

#[test]
fn what_needs_a_voice_detector_is_refused_without_one() {
    let bench = Bench::new()
        .set_str("vad", "none")
        .set("barge-in-after", 300u32);
    assert!(bench.element.set_state(gst::State::Paused).is_err());
    let refusal = sentence(&bench.wait_for(gst::MessageType::Error));
    for part in ["300 ms", "vad=none", "set vad to auto"] {
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn thresholds_that_contradict_each_other_are_refused_with_both() {
    let bench = Bench::new()
        .set("vad-min-speech", 400u32)
        .set("barge-in-after", 300u32);
    assert!(bench.element.set_state(gst::State::Paused).is_err());
    let refusal = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(
        refusal.contains("300 ms") && refusal.contains("400 ms"),
        "{refusal}"
    );

    let bench = Bench::new().set("vad-threshold", 0.1f64);
    assert!(bench.element.set_state(gst::State::Paused).is_err());
    let refusal = sentence(&bench.wait_for(gst::MessageType::Error));
    assert!(refusal.contains("vad-threshold is 0.1"), "{refusal}");

    // While playing the value before stays.
    let bench = Bench::new().play();
    bench.element.set_property("barge-in-after", 50u32);
    let refused = || sentence(&bench.wait_for(gst::MessageType::Warning));
    // That the demo model runs was told before.
    let refusals = [refused(), refused()];
    assert!(
        refusals[1].contains("barge-in-after is 50 ms"),
        "{refusals:?}"
    );
    assert_eq!(bench.element.property::<u32>("barge-in-after"), 0);
}

#[test]
fn without_a_voice_detector_nobody_is_told_and_the_words_come_all_the_same() {
    let bench = Bench::new()
        .set("language", "fr")
        .set_str("vad", "none")
        .play();
    bench.speak(&samples("fr-court"), ClockTime::ZERO);
    bench.eos();
    assert_eq!(words(&bench.record.text()), ["allô"]);
    let told: Vec<_> = posted(&bench)
        .into_iter()
        .filter(|told| told.name().contains("speech"))
        .collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn full_scale_tones_and_offsets_do_not_blind_the_detector() {
    let clipped: Vec<i16> = sounds::tone(&[1_000.0], 6.0, 2.0, 16_000);
    let shifted: Vec<i16> = sounds::offset(&samples("fr-court"), 8_000);
    let bench = Bench::new().set("language", "fr").play();
    let mut end = bench.speak(&silence(500), ClockTime::ZERO);
    for audio in [&clipped, &vec![i16::MIN; 16_000], &silence(1_000), &shifted] {
        end = bench.speak(audio, end);
    }
    bench.eos();
    let spoken = 4_500 + (spoken("fr-court")[0].1 * 1e3) as u64;
    let starts = named(&posted(&bench), "whisperstream/speech-start");
    let near = |start: &gst::Structure| at(start, "timestamp").abs_diff(spoken) < 300;
    assert!(starts.iter().any(near), "{starts:?}, truly {spoken}");
}
