//! Audio that comes in numbered, timed chunks, a track each side of a call, and not always in order: put together as one stream.
//!
//! Twilio and its like send each side's chunks by themselves. Chunks that overtook others are put back, a hole is silence if
//! it is short and a jump of the clock if it is long, and a side from which nothing comes is silent.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Chunks that may wait for one that was overtaken.
const WINDOW: usize = 5;
/// Timestamps wander that much against the count of samples. ms
const SLACK: u64 = 60;
/// A longer hole is skipped. ms
const HOLE: u64 = 1_000;
/// One side may be that far behind the other before it is taken to be silent. ms
const LAG: u64 = 400;
/// A clock that is that far back has been started anew. ms
const RESTART: u64 = 10_000;
/// No stream is that long: ten days. ms
const LATEST: u64 = 10 * 24 * 3_600_000;

/// Samples of one byte (mu-law, A-law) of one or more tracks at 8 kHz.
pub struct Tracks {
    tracks: Vec<Track>,
    /// What silence is.
    silence: u8,
    /// Where what goes out next begins, in samples. `None`: nothing came yet.
    next: Option<u64>,
}

#[derive(Default)]
struct Track {
    waiting: BTreeMap<u64, Chunk>,
    /// The number of the chunk that is next.
    expected: Option<u64>,
    ready: VecDeque<u8>,
}

/// A piece of one track.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Where it begins, in ms. `None`: behind the one before.
    pub timestamp: Option<u64>,
    pub samples: Vec<u8>,
}

/// What is to be done for the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// The stream goes on there.
    Jump(Duration),
    /// Interleaved.
    Audio(Vec<u8>),
}

/// A timestamp beyond all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the timestamp {0} ms is beyond ten days, which no call lasts")]
pub struct TooLate(u64);

/// Samples of a ms.
const MS: u64 = 8;

impl Tracks {
    pub fn new(tracks: usize, silence: u8) -> Tracks {
        Tracks {
            tracks: (0..tracks.max(1)).map(|_| Track::default()).collect(),
            silence,
            next: None,
        }
    }

    /// Takes chunk `number` of a track; gives what is complete by it.
    pub fn take(
        &mut self,
        track: usize,
        number: Option<u64>,
        chunk: Chunk,
    ) -> Result<Vec<Out>, TooLate> {
        if let Some(late) = chunk.timestamp.filter(|ms| *ms > LATEST) {
            return Err(TooLate(late));
        }
        let mut out = Vec::new();
        let Some(number) = number else {
            self.place(track, chunk, &mut out);
            self.emit(&mut out);
            return Ok(out);
        };
        let Some(it) = self.tracks.get_mut(track) else {
            return Ok(out);
        };
        // They count from one; who begins elsewhere is waited for as for one that was overtaken.
        if number < it.expected.unwrap_or(0) {
            return Ok(out);
        }
        it.waiting.insert(number, chunk);
        while let Some(chunk) = self.in_order(track) {
            self.place(track, chunk, &mut out);
        }
        self.emit(&mut out);
        Ok(out)
    }

    /// All that still waits, at the end.
    pub fn rest(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        for track in 0..self.tracks.len() {
            let waiting = self.tracks.get_mut(track);
            let waiting = waiting.map(|it| std::mem::take(&mut it.waiting));
            for chunk in waiting.unwrap_or_default().into_values() {
                self.place(track, chunk, &mut out);
            }
        }
        self.even_out(0);
        self.emit(&mut out);
        out
    }

    fn in_order(&mut self, track: usize) -> Option<Chunk> {
        let it = self.tracks.get_mut(track)?;
        let first = it.waiting.first_entry()?;
        let number = *first.key();
        let is_next = number <= it.expected.unwrap_or(1);
        if !is_next && it.waiting.len() <= WINDOW {
            return None;
        }
        it.expected = Some(number.saturating_add(1));
        it.waiting.pop_first().map(|(_, chunk)| chunk)
    }

    /// Puts a chunk where its timestamp says.
    fn place(&mut self, track: usize, chunk: Chunk, out: &mut Vec<Out>) {
        let silence = self.silence;
        let given = chunk.timestamp.map(|ms| ms * MS);
        let next = *self.next.get_or_insert_with(|| {
            let start = given.unwrap_or(0);
            out.push(Out::Jump(time(start)));
            start
        });
        let Some(it) = self.tracks.get_mut(track) else {
            return;
        };
        let end = next + it.ready.len() as u64;
        let position = given.unwrap_or(end);
        let behind = end.saturating_sub(position);
        if position > end + HOLE * MS {
            self.even_out(0);
            self.emit(out);
            self.next = Some(position);
            out.push(Out::Jump(time(position)));
            if let Some(it) = self.tracks.get_mut(track) {
                it.ready.extend(chunk.samples);
            }
        } else if position > end + SLACK * MS {
            let hole = (position - end) as usize;
            it.ready.extend(std::iter::repeat_n(silence, hole));
            it.ready.extend(chunk.samples);
        } else if behind > SLACK * MS && behind < RESTART * MS {
            // It was given up for silence.
            it.ready
                .extend(chunk.samples.into_iter().skip(behind as usize));
        } else {
            it.ready.extend(chunk.samples);
        }
    }

    /// Sides that are more than `lag` samples behind are silent up to there.
    fn even_out(&mut self, lag: usize) {
        let longest = self.tracks.iter().map(|it| it.ready.len()).max();
        let least = longest.unwrap_or_default().saturating_sub(lag);
        for it in &mut self.tracks {
            let missing = least.saturating_sub(it.ready.len());
            it.ready.extend(std::iter::repeat_n(self.silence, missing));
        }
    }

    /// Gives out what all sides have.
    fn emit(&mut self, out: &mut Vec<Out>) {
        self.even_out((LAG * MS) as usize);
        let frames = self
            .tracks
            .iter()
            .map(|it| it.ready.len())
            .min()
            .unwrap_or(0);
        if frames == 0 {
            return;
        }
        let mut audio = Vec::with_capacity(frames * self.tracks.len());
        for _ in 0..frames {
            audio.extend(self.tracks.iter_mut().filter_map(|it| it.ready.pop_front()));
        }
        self.next = self.next.map(|next| next + frames as u64);
        out.push(Out::Audio(audio));
    }
}

fn time(samples: u64) -> Duration {
    Duration::from_micros(samples * 1_000 / MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of one value.
    fn chunk(ms: u64, value: u8) -> Chunk {
        Chunk {
            timestamp: Some(ms),
            samples: vec![value; 160],
        }
    }

    /// Everything that went out: audio by the value of each 20 ms, jumps as their ms.
    fn told(out: &[Out]) -> Vec<String> {
        let mut told = Vec::new();
        for out in out {
            match out {
                Out::Jump(to) => told.push(format!("at {}", to.as_millis())),
                Out::Audio(audio) => {
                    let pieces = audio.chunks(160).map(|piece| piece[0].to_string());
                    told.extend(pieces);
                }
            }
        }
        told
    }

    fn run(tracks: &mut Tracks, chunks: &[(usize, u64, u64, u8)]) -> Vec<String> {
        let mut out = Vec::new();
        for (track, number, ms, value) in chunks {
            out.extend(
                tracks
                    .take(*track, Some(*number), chunk(*ms, *value))
                    .unwrap(),
            );
        }
        out.extend(tracks.rest());
        told(&out)
    }

    #[test]
    fn overtaken_chunks_are_put_back() {
        let mut tracks = Tracks::new(1, 0xff);
        let chunks = [(0, 2, 20, 2), (0, 1, 0, 1), (0, 4, 60, 4), (0, 3, 40, 3)];
        assert_eq!(run(&mut tracks, &chunks), ["at 0", "1", "2", "3", "4"]);
    }

    #[test]
    fn a_chunk_that_never_comes_is_a_hole_of_its_length() {
        let mut tracks = Tracks::new(1, 0xff);
        let mut chunks = vec![(0, 1, 0, 1)];
        chunks.extend((6..14).map(|n| (0, n, (n - 1) * 20, n as u8)));
        let told = run(&mut tracks, &chunks);
        assert_eq!(told[..7], ["at 0", "1", "255", "255", "255", "255", "6"]);
        assert_eq!(told.len(), 14);
        // Twice, or much too late: it is not heard again.
        assert!(tracks.take(0, Some(3), chunk(40, 9)).unwrap().is_empty());
    }

    #[test]
    fn a_long_hole_is_a_jump_and_a_late_start_too() {
        let mut tracks = Tracks::new(1, 0xff);
        let told = run(&mut tracks, &[(0, 1, 5_000, 1), (0, 2, 9_000, 2)]);
        assert_eq!(told, ["at 5000", "1", "at 9000", "2"]);
    }

    #[test]
    fn timestamps_that_wander_shift_nothing() {
        let mut tracks = Tracks::new(1, 0xff);
        let told = run(
            &mut tracks,
            &[(0, 1, 3, 1), (0, 2, 45, 2), (0, 3, 39, 3), (0, 4, 66, 4)],
        );
        assert_eq!(told, ["at 3", "1", "2", "3", "4"]);
    }

    #[test]
    fn two_sides_are_interleaved_and_a_side_that_sends_nothing_is_silent() {
        let mut tracks = Tracks::new(2, 0xff);
        let mut out = tracks.take(0, Some(1), chunk(0, 1)).unwrap();
        assert_eq!(out, [Out::Jump(Duration::ZERO)]);
        out = tracks.take(1, Some(1), chunk(0, 2)).unwrap();
        assert_eq!(out, [Out::Audio([1, 2].repeat(160))]);
        let mut frames = 0;
        for n in 2..=51 {
            for out in tracks.take(0, Some(n), chunk((n - 1) * 20, 1)).unwrap() {
                let Out::Audio(audio) = out else {
                    panic!("a jump")
                };
                assert!(audio.chunks(2).all(|pair| pair == [1, 255]));
                frames += audio.len() / 2;
            }
        }
        // All but the lag that the other side is allowed.
        assert_eq!(frames, 50 * 160 - 3_200);
        // What comes of it after all is heard from where it is not too late.
        let late = tracks.take(1, Some(2), chunk(500, 2)).unwrap();
        assert!(late.is_empty(), "given up: {late:?}");
        assert_eq!(told(&tracks.rest()).len(), 40);
    }

    #[test]
    fn a_clock_started_anew_goes_on() {
        let mut tracks = Tracks::new(1, 0xff);
        let told = run(
            &mut tracks,
            &[(0, 1, 20_000, 1), (0, 2, 0, 2), (0, 3, 20, 3)],
        );
        assert_eq!(told, ["at 20000", "1", "2", "3"]);
    }

    #[test]
    fn hostile_numbers_are_refused_or_harmless() {
        let mut tracks = Tracks::new(2, 0xff);
        assert!(tracks.take(0, Some(1), chunk(u64::MAX, 1)).is_err());
        assert!(tracks.take(7, Some(1), chunk(0, 1)).unwrap().is_empty());
        assert!(
            tracks
                .take(0, Some(u64::MAX), chunk(LATEST, 1))
                .unwrap()
                .is_empty()
        );
        for n in (0..200).rev() {
            tracks.take(0, Some(n * 1_000), chunk(n * 999, 1)).unwrap();
            assert!(tracks.tracks[0].waiting.len() <= WINDOW + 1);
            assert!(tracks.tracks[1].ready.len() <= 16_000);
        }
        tracks.rest();
    }
}
