//! Where passes are cut, and what a full inbox does.

use std::time::Duration;

use super::*;

const CHUNK: usize = 8_000;
const MAX: usize = 480_000;

fn inbox(pace: Pace) -> Inbox {
    Inbox::new(pace, CHUNK, MAX)
}

fn silence(inbox: &mut Inbox, samples: u64) -> u64 {
    let mut audio = Audio::Silence(samples);
    inbox.append(&mut audio, Instant::now());
    audio.len()
}

/// (samples, end, is_last) of the next chunk.
fn chunk(inbox: &mut Inbox) -> Option<(usize, Samples, bool)> {
    match inbox.take()? {
        Take::Chunk {
            samples, end, cut, ..
        } => Some((samples.len(), end, cut == Cut::Last)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_exact_chunk_waits_for_the_first_sample_behind_it() {
    let mut inbox = inbox(Pace::Exact);
    silence(&mut inbox, 8_000);
    assert_eq!(chunk(&mut inbox), None);
    silence(&mut inbox, 1);
    assert_eq!(chunk(&mut inbox), Some((8_000, 8_000, false)));
    assert_eq!(chunk(&mut inbox), None);
}

#[test]
fn a_live_chunk_waits_for_nothing_and_takes_all_there_is_in_whole_frames() {
    let mut inbox = inbox(Pace::Live);
    silence(&mut inbox, 7_999);
    assert_eq!(chunk(&mut inbox), None);
    silence(&mut inbox, 1);
    assert_eq!(chunk(&mut inbox), Some((8_000, 8_000, false)));
    silence(&mut inbox, 100_100);
    assert_eq!(chunk(&mut inbox), Some((99_840, 107_840, false)));
    assert_eq!(inbox.backlog(), 260);
}

#[test]
fn a_live_source_that_is_held_back_loses_nothing_and_fills_no_window_at_once() {
    let mut inbox = inbox(Pace::Live);
    inbox.wait();
    let mut waiting = silence(&mut inbox, 1_000_000);
    assert_eq!(waiting, 1_000_000 - 32_000, "two seconds fit");
    let mut heard = 0;
    while let Some((samples, end, _)) = chunk(&mut inbox) {
        assert!(samples <= 32_000);
        heard += samples as u64;
        assert_eq!(end, heard);
        waiting = silence(&mut inbox, waiting);
    }
    assert_eq!(heard + inbox.backlog(), 1_000_000);
    assert_eq!(inbox.dropped(), 0);
}

#[test]
fn a_drain_makes_a_last_pass_of_the_rest_full_or_not() {
    for (pushed, chunks) in [
        (8_000, vec![(8_000, true)]),
        (8_001, vec![(8_000, false), (1, true)]),
        (16_000, vec![(8_000, false), (8_000, true)]),
        (20, vec![(20, true)]),
        (0, vec![(0, true)]),
    ] {
        let mut inbox = inbox(Pace::Exact);
        silence(&mut inbox, pushed);
        inbox.drain();
        let mut taken = vec![];
        while let Some((samples, _, is_last)) = chunk(&mut inbox) {
            taken.push((samples, is_last));
            if is_last {
                inbox.drained();
            }
        }
        assert_eq!(taken, chunks, "{pushed} samples");
    }
}

#[test]
fn what_comes_after_a_drain_is_not_part_of_it() {
    for pace in [Pace::Exact, Pace::Live] {
        let mut inbox = inbox(pace);
        silence(&mut inbox, 5_000);
        inbox.drain();
        silence(&mut inbox, 9_000);
        assert_eq!(chunk(&mut inbox), Some((5_000, 5_000, true)), "{pace:?}");
        inbox.drained();
        let next = chunk(&mut inbox).map(|(_, _, is_last)| is_last);
        assert_eq!(next, Some(false), "{pace:?}");
    }
}

#[test]
fn a_full_exact_inbox_leaves_the_rest_to_the_pusher() {
    let mut inbox = inbox(Pace::Exact);
    assert_eq!(silence(&mut inbox, 20_000), 4_000);
    assert_eq!((inbox.backlog(), inbox.position()), (16_000, 16_000));
    chunk(&mut inbox);
    assert_eq!(silence(&mut inbox, 9_000), 1_000);
    assert_eq!(inbox.dropped(), 0);
}

#[test]
fn a_full_live_inbox_drops_its_oldest_audio_and_knows_where() {
    let mut inbox = inbox(Pace::Live);
    silence(&mut inbox, 16_000);
    chunk(&mut inbox);
    silence(&mut inbox, MAX as u64);
    assert_eq!(
        inbox.dropped(),
        0,
        "nothing goes before the backlog is full"
    );
    silence(&mut inbox, 1_000);
    assert_eq!(inbox.dropped(), 1_000);
    assert_eq!(inbox.take(), Some(Take::Hole { end: 16_000 }));
    // The hole grows while the utterance before it is ended.
    silence(&mut inbox, 500);
    assert_eq!(inbox.mend(), (16_000, 1_500));
    assert_eq!(chunk(&mut inbox), Some((MAX, 17_500 + MAX as u64, false)));
}

#[test]
fn a_push_longer_than_the_live_backlog_keeps_its_end_only() {
    let mut inbox = inbox(Pace::Live);
    let ten_minutes: Vec<i16> = (0..16_000 * 600).map(|n| (n % 30_000) as i16).collect();
    let mut audio = Audio::Samples(&ten_minutes);
    silence(&mut inbox, 100);
    inbox.append(&mut audio, Instant::now());
    assert!(audio.is_empty());
    assert_eq!(inbox.position(), 100 + 16_000 * 600);
    assert_eq!(inbox.backlog(), MAX as u64);
    assert_eq!(inbox.take(), Some(Take::Hole { end: 0 }));
    assert_eq!(inbox.mend(), (0, 100 + 16_000 * 600 - MAX as u64));
    let Some(Take::Chunk { samples, .. }) = inbox.take() else {
        panic!("no chunk");
    };
    let first = ten_minutes[ten_minutes.len() - MAX];
    assert_eq!(samples[0], f32::from(first) / 32768.0);
}

#[test]
fn absurd_silence_costs_neither_time_nor_memory_nor_overflow() {
    let mut inbox = inbox(Pace::Live);
    silence(&mut inbox, u64::MAX);
    silence(&mut inbox, u64::MAX);
    assert_eq!(inbox.position(), u64::MAX);
    assert!(inbox.queue.capacity() < 4 * MAX);
}

#[test]
fn clearing_forgets_audio_and_drains_and_keeps_the_position() {
    let mut inbox = inbox(Pace::Exact);
    silence(&mut inbox, 12_000);
    inbox.drain();
    inbox.clear();
    assert_eq!(
        (inbox.position(), inbox.taken(), inbox.backlog()),
        (12_000, 12_000, 0)
    );
    assert!(inbox.take().is_none());
    silence(&mut inbox, 8_001);
    assert_eq!(chunk(&mut inbox), Some((8_000, 20_000, false)));
}

#[test]
fn a_chunk_knows_when_its_last_sample_arrived() {
    let mut inbox = inbox(Pace::Exact);
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    for n in 0..60 {
        let mut audio = Audio::Silence(320);
        inbox.append(&mut audio, at(20 * n));
        if audio.is_empty() {
            continue;
        }
        // 16 000 samples are 50 pushes of 20 ms: a chunk of 8 000 ends with the 25th.
        let Some(Take::Chunk { arrived, .. }) = inbox.take() else {
            panic!("no chunk");
        };
        assert_eq!(arrived, Some(at(20 * 24)));
        return;
    }
    panic!("never full");
}

#[test]
fn times_of_arrival_take_no_more_room_than_the_audio_is_long() {
    let mut inbox = inbox(Pace::Live);
    for _ in 0..CHUNK {
        silence(&mut inbox, 1);
    }
    let grains = CHUNK as u64 / ARRIVAL_GRAIN;
    assert!(
        inbox.arrivals.len() as u64 <= grains + 1,
        "{}",
        inbox.arrivals.len()
    );
}

fn start(at: Samples) -> Mark {
    let (onset, probability) = (at - 1_600, 0.9);
    Mark::Speech(Detection {
        at,
        boundary: Boundary::Start { onset, probability },
    })
}

fn end(at: Samples) -> Mark {
    let (onset, end) = (0, at - 8_000);
    Mark::Speech(Detection {
        at,
        boundary: Boundary::End { onset, end },
    })
}

/// Position and kind of all there is to take.
fn all(inbox: &mut Inbox) -> Vec<(Samples, &'static str)> {
    let mut taken = Vec::new();
    while let Some(take) = inbox.take() {
        taken.push(match take {
            Take::Chunk { end, cut, .. } => match cut {
                Cut::Full => (end, "full"),
                Cut::Look => (end, "look"),
                Cut::SpeechEnd(_) => (end, "speech end"),
                Cut::Last => {
                    inbox.drained();
                    (end, "last")
                }
            },
            Take::Mark(mark) => (mark.at(), "mark"),
            Take::Hole { end } => {
                inbox.mend();
                (end, "hole")
            }
        });
    }
    taken
}

#[test]
fn the_end_of_speech_ends_a_chunk_and_moves_no_other() {
    let mut inbox = inbox(Pace::Exact);
    inbox.mark(start(3_000));
    silence(&mut inbox, 3_000);
    assert_eq!(all(&mut inbox), [(3_000, "mark")]);
    inbox.mark(end(11_000));
    inbox.mark(start(15_000));
    silence(&mut inbox, 12_000);
    let taken = [(8_000, "full"), (11_000, "speech end"), (15_000, "mark")];
    assert_eq!(all(&mut inbox), taken);
    silence(&mut inbox, 1_001);
    assert_eq!(all(&mut inbox), [(16_000, "full")]);
}

#[test]
fn what_is_known_of_audio_still_to_come_waits_for_it() {
    for pace in [Pace::Exact, Pace::Live] {
        let mut inbox = inbox(pace);
        inbox.mark(start(3_000));
        silence(&mut inbox, 2_999);
        assert_eq!(all(&mut inbox), [], "{pace:?}");
        silence(&mut inbox, 1);
        assert_eq!(all(&mut inbox), [(3_000, "mark")], "{pace:?}");
    }
}

#[test]
fn at_one_position_the_start_goes_before_the_pass_and_the_end_closes_it() {
    let mut inbox = inbox(Pace::Exact);
    inbox.mark(start(8_000));
    inbox.mark(end(16_000));
    silence(&mut inbox, 16_000);
    inbox.drain();
    let taken = [
        (8_000, "mark"),
        (8_000, "full"),
        (16_000, "speech end"),
        (16_000, "last"),
    ];
    assert_eq!(all(&mut inbox), taken);
}

#[test]
fn live_the_end_of_speech_waits_for_no_full_chunk() {
    let mut inbox = inbox(Pace::Live);
    inbox.mark(end(9_000));
    silence(&mut inbox, 9_100);
    assert_eq!(all(&mut inbox), [(9_000, "speech end")]);
    silence(&mut inbox, 7_900);
    assert_eq!(all(&mut inbox), [(17_000, "full")]);
}

#[test]
fn a_look_comes_between_two_chunks() {
    let mut inbox = inbox(Pace::Exact);
    inbox.mark(Mark::Look(5_000));
    silence(&mut inbox, 8_001);
    assert_eq!(all(&mut inbox), [(5_000, "look"), (8_000, "full")]);
}

#[test]
fn speech_that_starts_in_what_is_dropped_goes_on_behind_it() {
    let mut inbox = inbox(Pace::Live);
    inbox.mark(start(5_000));
    inbox.mark(Mark::Look(6_000));
    silence(&mut inbox, MAX as u64 + 7_000);
    assert_eq!(all(&mut inbox)[..2], [(0, "hole"), (7_000, "mark")]);
}
