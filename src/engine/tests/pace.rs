//! When passes run, who waits, what is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::fake::*;
use crate::engine::Pace;

/// 3.3 s that no two pieces have in common.
fn noise() -> Vec<i16> {
    (0..52_801u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as i16)
        .collect()
}

#[test]
fn exact_pace_does_the_same_whatever_the_push_sizes() {
    let mut first = None;
    for size in [1, 7, 160, 320, 7_999, 8_000, 8_001, 30_000, 100_000] {
        let fake = Fake::default();
        let (session, ears) = opened(&fake, Pace::Exact);
        for piece in noise().chunks(size) {
            session.push(piece).unwrap();
        }
        session.drain().unwrap();
        let done = (ears.all(), fake.strings.calls());
        assert_eq!(
            fake.strings.inserted(),
            [8_000, 8_000, 8_000, 8_000, 8_000, 8_000, 4_801]
        );
        assert_eq!(first.get_or_insert(done.clone()), &done, "pushes of {size}");
    }
}

#[test]
fn exact_pace_does_the_same_whether_audio_came_before_the_model_or_after() {
    let fake = Fake::default();
    let (after, late) = opened(&fake, Pace::Exact);
    after.push(&noise()).unwrap();
    after.drain().unwrap();

    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    let early = Ears::default();
    let before = open(&fake, Pace::Exact, &early);
    let pusher = Caller::new({
        let before = Arc::clone(&before);
        move || before.push(&noise()).and_then(|_| before.drain())
    });
    assert!(pusher.waits(), "a push of 3.3 s fits into 1 s");
    assert!(before.backlog() <= Duration::from_secs(1));
    fake.strings.hold_loads.store(false, Relaxed);
    pusher.result().unwrap();
    let of_text = ["words", "end", "progress"];
    assert_eq!(early.only(&of_text), late.only(&of_text));
}

#[test]
fn an_exact_pusher_waits_while_the_backlog_is_full_and_nothing_is_lost() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    fake.strings.hold_passes.store(true, Relaxed);
    let pusher = Caller::new({
        let session = Arc::clone(&session);
        move || session.push_silence(16_000 * 10)
    });
    assert!(pusher.waits());
    assert_eq!(session.backlog(), Duration::from_secs(1));
    fake.strings.hold_passes.store(false, Relaxed);
    assert_eq!(pusher.result(), Ok(160_000));
    session.drain().unwrap();
    assert_eq!(fake.strings.inserted(), [8_000; 20]);
    assert_eq!(ears.only(&["dropped"]), [""; 0]);
}

#[test]
fn a_push_of_ten_minutes_goes_in_piece_by_piece() {
    let fake = Fake::default();
    let (session, _) = opened(&fake, Pace::Exact);
    let pusher = Caller::new({
        let session = Arc::clone(&session);
        let audio = vec![0; 16_000 * 600];
        move || session.push(&audio)
    });
    let mut most = Duration::ZERO;
    eventually("all is taken", || {
        most = most.max(session.backlog());
        session.position() == 16_000 * 600
    });
    pusher.result().unwrap();
    assert!(most <= Duration::from_secs(1), "{most:?} waited");
    session.drain().unwrap();
    assert_eq!(session.stats().passes, 1200);
}

#[test]
fn a_live_pass_runs_as_soon_as_its_chunk_is_there() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    session.push_silence(8_000).unwrap();
    assert_eq!(ears.wait_for("words"), "words 0 0-8000:0");
}

#[test]
fn live_chunks_grow_while_a_pass_is_slow() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    fake.strings.hold_passes.store(true, Relaxed);
    session.push_silence(8_000).unwrap();
    eventually("the pass runs", || !fake.strings.calls().is_empty());
    for _ in 0..250 {
        session.push_silence(320).unwrap();
    }
    fake.strings.hold_passes.store(false, Relaxed);
    ears.wait_for("words 0 8000-88000");
    assert_eq!(fake.strings.inserted(), [8_000, 80_000]);
}

#[test]
fn a_chunk_that_nearly_fills_the_window_goes_in_by_pieces() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    session.push_silence(16_000 * 20).unwrap();
    ears.wait_for("words 0 0-320000");
    assert_eq!(fake.strings.inserted(), [120_000, 120_000, 80_000]);
}

#[test]
fn live_pace_never_blocks_the_pusher_and_drops_the_oldest_counted_and_announced() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    fake.strings.hold_passes.store(true, Relaxed);
    session.push_silence(8_000).unwrap();
    eventually("the pass runs", || !fake.strings.calls().is_empty());
    let minute = time(|| {
        for _ in 0..3_000 {
            session.push_silence(320).unwrap();
        }
    });
    assert!(minute < Duration::from_secs(1), "pushing took {minute:?}");
    assert_eq!(session.backlog(), Duration::from_secs(30));
    assert_eq!(session.stats().dropped, Duration::from_secs(30));
    assert_eq!(ears.only(&["dropped"]), [""; 0], "announced in its place");

    fake.strings.hold_passes.store(false, Relaxed);
    ears.wait_for("words 1 488000-968000");
    // What came before the hole is decided first, what comes behind it has its true time.
    assert_eq!(
        ears.all()[..6],
        [
            "words 0 0-8000:0",
            "progress 8000 8000",
            "end 0",
            "progress 8000 8000",
            "dropped 8000+480000",
            "progress 488000 488000",
        ]
    );
    let calls = fake.strings.calls();
    assert_eq!(
        calls[1..4],
        [
            Call::Pass { is_last: false },
            Call::Pass { is_last: true },
            Call::Reset(488_000)
        ]
    );
}

#[test]
fn live_audio_waits_for_the_model_up_to_the_longest_backlog() {
    let fake = Fake::default();
    fake.strings.hold_loads.store(true, Relaxed);
    let ears = Ears::default();
    let session = open(&fake, Pace::Live, &ears);
    let took = time(|| assert_eq!(session.push_silence(16_000 * 31), Ok(496_000)));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(session.backlog(), Duration::from_secs(30));
    fake.strings.hold_loads.store(false, Relaxed);
    ears.wait_for("words 0 16000-496000");
    assert_eq!(ears.only(&["dropped"]), ["dropped 0+16000"]);
}

#[test]
fn a_drain_delivers_all_and_the_next_sample_starts_afresh() {
    for pace in [Pace::Exact, Pace::Live] {
        let fake = Fake::default();
        let (session, ears) = opened(&fake, pace);
        session.push_silence(5_000).unwrap();
        session.drain().unwrap();
        assert_eq!(ears.only(&["words"]), ["words 0 0-5000:0 final"]);
        session.push_silence(1_000).unwrap();
        session.drain().unwrap();
        assert_eq!(ears.only(&["words"])[1..], ["words 1 5000-6000:0 final"]);
    }
}

#[test]
fn a_drain_of_nothing_is_no_pass_and_no_event() {
    for pace in [Pace::Exact, Pace::Live] {
        let fake = Fake::default();
        let (session, ears) = opened(&fake, pace);
        session.drain().unwrap();
        assert_eq!(ears.all(), ["drained 1"]);
        assert_eq!(fake.strings.calls(), []);
        session.push(&[1; 100]).unwrap();
        session.drain().unwrap();
        let done = fake.strings.calls();
        session.drain().unwrap();
        session.push(&[]).unwrap();
        session.drain().unwrap();
        assert_eq!(fake.strings.calls(), done, "{pace:?}");
    }
}

#[test]
fn a_live_drain_ends_the_utterance_even_if_no_audio_is_left_over() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Live);
    session.push_silence(8_000).unwrap();
    ears.wait_for("progress");
    session.drain().unwrap();
    assert_eq!(ears.wait_for("end"), "end 0");
}

#[test]
fn two_threads_may_drain_at_once() {
    let fake = Fake::default();
    let (session, _) = opened(&fake, Pace::Exact);
    session.push_silence(12_000).unwrap();
    let drains: Vec<_> = (0..2)
        .map(|_| Arc::clone(&session))
        .map(|session| Caller::new(move || session.drain()))
        .collect();
    for drain in drains {
        assert_eq!(drain.result(), Ok(()));
    }
}
