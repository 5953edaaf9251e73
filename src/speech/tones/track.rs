//! Follows the line in frames of 10 ms and cuts out bursts: stretches whose power lies at one or two frequencies.

use super::examine::{self, Look, Made};
use super::line::{Line, ms};
use super::spectrum::Spectrum;

/// From one frame to the next.
pub const HOP: u64 = ms(10);
/// What a frame looks at: 64 ms.
const WINDOW: u64 = 512;
/// Two tones this close are one in a frame.
const REACH: f64 = 62.5;
/// Share of the power in one peak, or in two, that begins a burst; and in its peaks that continues it.
const ONE: f64 = 0.68;
const TWO: f64 = 0.75;
const STILL: f64 = 0.6;
/// Below this share of its power (-9 dB) a burst is over, above the other (+6 dB) another has begun on top of it.
const FALLEN: f64 = 0.12;
const RISEN: f64 = 4.0;
/// Frames of 10 ms: without the burst before it is over (a lost packet or two are bridged), of another tone, of a rise.
const MISSES: u32 = 5;
const FOREIGN: u32 = 2;
const RISES: u32 = 3;
/// Frames after which the window is full of the burst.
const FULL: u32 = 8;
/// Frames after which one tone can be told from two, and the onset be looked for.
const SETTLED: u32 = 10;
/// A burst is looked at after this long, then every 40 ms to 600 ms, then every 200 ms.
const FIRST_LOOK: u64 = ms(100);
const LOOKS: u64 = ms(40);
const LATER_LOOKS: u64 = ms(200);
/// What a look takes in, from the start of the burst on; later looks take in the last 400 ms.
const EARLY: u64 = ms(600);
const LATER: u64 = ms(400);
/// The edges of a burst are left out of looks; and while it goes on, its latest part.
const EDGE: u64 = ms(10);
const TAIL: u64 = ms(40);

/// Where tones may be, in Hz.
const LOWEST: f64 = 320.0;
const HIGHEST: f64 = 2_300.0;

/// A stretch of one or two tones. Positions are samples at 8 kHz.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    pub start: u64,
    /// If it goes on: so far.
    pub end: u64,
    /// The frequency of most power, from frames; [`Look::hz`] is more exact.
    pub hz: f64,
    /// The first look that took in 600 ms, or the latest before.
    pub look: Option<Look>,
}

impl Burst {
    pub fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug)]
struct Frame {
    total: f64,
    tonal: Option<Peaks>,
}

/// Frequencies of one or two tones, the stronger first.
#[derive(Clone, Copy, Debug)]
struct Peaks {
    hz: [f64; 2],
    count: usize,
}

impl Peaks {
    fn as_slice(&self) -> &[f64] {
        self.hz.get(..self.count).unwrap_or_default()
    }

    fn first(&self) -> f64 {
        self.hz[0]
    }

    fn has(&self, hz: f64) -> bool {
        self.as_slice()
            .iter()
            .any(|own| (own - hz).abs() <= REACH.max(0.06 * own))
    }
}

#[derive(Clone, Copy, Debug)]
struct Run {
    peaks: Peaks,
    begun: u64,
    frames: u32,
    misses: u32,
    foreign: u32,
    rises: u32,
    lone: u32,
    power: f64,
    /// The last frame that was of it.
    good: u64,
    start: Option<u64>,
    looked: u64,
    look: Option<Look>,
}

impl Run {
    fn begin(peaks: Peaks, now: u64, power: f64) -> Run {
        Run {
            peaks,
            begun: now,
            frames: 1,
            misses: 0,
            foreign: 0,
            rises: 0,
            lone: 0,
            power,
            good: now,
            start: None,
            looked: 0,
            look: None,
        }
    }
}

/// Cuts bursts out of the line.
pub struct Tracker {
    frame: Spectrum,
    long: Spectrum,
    floor: f64,
    run: Option<Run>,
    /// The end of the last burst: the next does not start before it.
    last_end: u64,
}

impl Tracker {
    /// Nothing below `floor` (squared amplitude) is followed.
    pub fn new(floor: f64) -> Tracker {
        Tracker {
            frame: Spectrum::new(WINDOW as usize),
            long: Spectrum::new(examine::LONGEST as usize),
            floor,
            run: None,
            last_end: 0,
        }
    }

    /// The burst that is heard now, if it has lasted long enough to be looked at.
    pub fn running(&self) -> Option<Burst> {
        let run = self.run.as_ref()?;
        Some(Burst {
            start: run.start?,
            end: run.good,
            hz: run.look.map_or(run.peaks.first(), |look| look.hz),
            look: run.look,
        })
    }

    /// A burst too young to be looked at: when it began and where its power is.
    pub fn dawning(&self) -> Option<(u64, f64)> {
        let run = self.run.as_ref().filter(|run| run.start.is_none())?;
        Some((run.begun, run.peaks.first()))
    }

    /// Looks at the line up to its end, a frame behind the last time. Gives the burst that has ended, and the total power.
    pub fn step(&mut self, line: &Line) -> (Option<Burst>, f64) {
        let now = line.position();
        let frame = self.frame(line, now);
        let mut ended = None;
        if let Some(mut run) = self.run.take() {
            if self.goes_on(&mut run, &frame, now) {
                self.examine(&mut run, line, now);
                self.run = Some(run);
            } else {
                ended = self.end(&run, line, now);
            }
        }
        if self.run.is_none()
            && let Some(peaks) = frame.tonal
        {
            self.run = Some(Run::begin(
                peaks,
                now,
                self.frame.around(peaks.as_slice(), REACH),
            ));
        }
        (ended, frame.total)
    }

    /// Ends what is heard now.
    pub fn finish(&mut self, line: &Line) -> Option<Burst> {
        let run = self.run.take()?;
        self.end(&run, line, line.position())
    }

    fn frame(&mut self, line: &Line, now: u64) -> Frame {
        let from = now.saturating_sub(WINDOW);
        self.frame.look(line.samples(from, now), WINDOW as usize);
        let total = self.frame.between(203.0, 4_000.0);
        let first = self.frame.highest(203.0, 3_900.0, &[], 0.0).hz;
        let one = self.frame.around(&[first], REACH);
        let second = self.frame.highest(203.0, 3_900.0, &[first], 1.5 * REACH).hz;
        let two = self.frame.around(&[first, second], REACH);
        let within = |hz: f64| (LOWEST..=HIGHEST).contains(&hz);
        let count = if one >= ONE * total && within(first) {
            1
        } else if two >= TWO * total && two >= 1.06 * one && within(first) && within(second) {
            2
        } else {
            0
        };
        let loud = if count == 2 { two } else { one } >= self.floor;
        Frame {
            total,
            tonal: (count > 0 && loud).then_some(Peaks {
                hz: [first, second],
                count,
            }),
        }
    }

    fn goes_on(&mut self, run: &mut Run, frame: &Frame, now: u64) -> bool {
        let own = self.frame.around(run.peaks.as_slice(), REACH);
        let is_good = own >= STILL * frame.total && own >= FALLEN * run.power;
        let count = |is: bool, so_far: u32| if is { so_far + 1 } else { 0 };
        run.misses = count(!is_good, run.misses);
        let other = frame.tonal.filter(|peaks| !run.peaks.has(peaks.first()));
        if run.frames < FULL
            && let Some(peaks) = other
        {
            // The onset of a tone is a click, and the window still full of what was before.
            *run = Run::begin(peaks, now, self.frame.around(peaks.as_slice(), REACH));
            return true;
        }
        run.foreign = count(other.is_some(), run.foreign);
        run.rises = count(run.frames >= FULL && own >= RISEN * run.power, run.rises);
        // Where one of two has stopped, what is left is another burst.
        let lone = run.peaks.count == 2
            && frame.tonal.is_some_and(|peaks| {
                peaks.count == 1 && {
                    let both = self.frame.around(run.peaks.as_slice(), REACH);
                    self.frame.around(&[peaks.first()], REACH) >= 0.97 * both
                }
            });
        run.lone = count(lone, run.lone);
        if run.misses >= MISSES || run.foreign >= FOREIGN || run.rises >= RISES || run.lone >= FULL
        {
            return false;
        }
        if is_good {
            run.frames += 1;
            run.good = now;
            // The window fills up first.
            run.power = if run.frames <= FULL {
                run.power.max(own)
            } else {
                0.9 * run.power + 0.1 * own
            };
            if let Some(peaks) = frame.tonal.filter(|_| run.frames <= FULL) {
                run.peaks = peaks;
            }
        }
        true
    }

    fn examine(&mut self, run: &mut Run, line: &Line, now: u64) {
        if run.misses > 0 {
            return;
        }
        let start = match run.start {
            Some(start) => start,
            None if run.frames >= SETTLED => {
                run.look = Some(self.look(run, line, now.saturating_sub(FIRST_LOOK), now));
                *run.start.insert(self.onset(run, line, now))
            }
            None => return,
        };
        let (age, since) = (now.saturating_sub(start), now.saturating_sub(run.looked));
        let pause = if age <= EARLY { LOOKS } else { LATER_LOOKS };
        if age < FIRST_LOOK || since < pause {
            return;
        }
        run.looked = now;
        // What ends now is not seen to end yet.
        let to = now.saturating_sub(TAIL);
        let from = if age <= EARLY {
            start + EDGE
        } else {
            to.saturating_sub(LATER)
        };
        run.look = Some(self.look(run, line, from, to));
    }

    fn look(&mut self, run: &Run, line: &Line, from: u64, to: u64) -> Look {
        let mirrored = (run.peaks.first() - 2_100.0).abs() < 40.0;
        examine::look(line, &mut self.long, from, to, mirrored)
    }

    fn end(&mut self, run: &Run, line: &Line, now: u64) -> Option<Burst> {
        if run.frames < FULL / 2 {
            return None;
        }
        let start = run.start.unwrap_or_else(|| self.onset(run, line, now));
        let end = self.offset(run, line, start, now);
        // What begins on top of another has begun before that is noticed.
        if run.frames >= FULL && run.rises < RISES && run.lone < FULL {
            self.last_end = end;
        }
        let length = end.saturating_sub(start);
        let mut look = run.look;
        if (examine::SHORTEST + 2 * EDGE..=EARLY).contains(&length) {
            look = Some(self.look(run, line, start + EDGE, end - EDGE));
        }
        Some(Burst {
            start,
            end,
            hz: look.map_or(run.peaks.first(), |look| look.hz),
            look,
        })
    }

    /// What is looked for where an edge is.
    fn edge(run: &Run, line: &Line, inside: u64) -> Edge {
        let hz = run.peaks.as_slice();
        let middle = hz.iter().sum::<f64>() / hz.len().max(1) as f64;
        let blocks = (1..=8).map(|i| {
            let from = inside.saturating_sub(i * BLOCK / 2);
            examine::beat(line, from, from + BLOCK, middle).0
        });
        let loud = blocks.fold(0.0, f64::max);
        let is_one = match run.look.map(|look| look.made) {
            Some(Made::One(_)) => true,
            Some(Made::Two(..)) => false,
            None => hz.len() == 1,
        };
        Edge {
            hz: middle,
            half: 0.5 * loud,
            is_one,
            low: 0,
            sure: 0,
        }
    }

    /// Where it began, to some milliseconds.
    fn onset(&self, run: &Run, line: &Line, now: u64) -> u64 {
        let inside = run.good.min(now).saturating_sub(BLOCK);
        let mut edge = Self::edge(run, line, inside);
        let floor = run.begun.saturating_sub(WINDOW + ms(60)).max(self.last_end);
        let (mut at, mut onset) = (inside, inside);
        while at > floor && !edge.is_passed() {
            if edge.is_inside(line, at) {
                onset = at;
            }
            at = at.saturating_sub(BLOCK / 2);
        }
        (onset + BLOCK / 4).max(self.last_end)
    }

    /// Where it ended, to some milliseconds.
    fn offset(&self, run: &Run, line: &Line, start: u64, now: u64) -> u64 {
        let inside = run.good.saturating_sub(WINDOW).max(start);
        let mut edge = Self::edge(run, line, inside);
        let (mut at, mut offset) = (inside, inside);
        while at + BLOCK <= now && !edge.is_passed() {
            if edge.is_inside(line, at) {
                offset = at;
            }
            at += BLOCK / 2;
        }
        (offset + BLOCK * 3 / 4).min(now)
    }
}

/// The blocks of 10 ms of the search for edges; each next one is half a block on.
const BLOCK: u64 = ms(10);

/// A search for the edge of a burst.
struct Edge {
    hz: f64,
    /// Half the amplitude that it has inside.
    half: f64,
    /// One tone, or two that beat.
    is_one: bool,
    /// Blocks in a row that are below the half; and those that are no silence either.
    low: u32,
    sure: u32,
}

impl Edge {
    fn is_inside(&mut self, line: &Line, at: u64) -> bool {
        let level = examine::beat(line, at, at + BLOCK, self.hz).0;
        let is_inside = level >= self.half;
        // Beats pass through zero, and a lost packet is utter silence: either is bridged for 25 ms.
        let is_sure = self.is_one && level >= 0.1 * self.half;
        self.low = if is_inside { 0 } else { self.low + 1 };
        self.sure = if is_sure && !is_inside {
            self.sure + 1
        } else {
            0
        };
        is_inside
    }

    fn is_passed(&self) -> bool {
        self.low >= 6 || self.sure >= 2
    }
}
