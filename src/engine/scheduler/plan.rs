//! What the network does next. A pure function of who waits; no threads, no clock of its own.
//!
//! All work is ordered by when its pass is due. An encoder window is the long part of a pass: it goes a stage (about
//! one layer) at a time, and this decision is made anew between two stages, so that nobody waits longer than a stage
//! for something less urgent. Decoder steps are short and bound by reading the weights: one step of eight decoders
//! costs about two of one. So whoever waits for a step goes along with the most urgent.
//!
//! How many decoders come together is a trade of promptness for throughput. A call that need not hurry others is
//! decoded as soon as its window is encoded. When calls fill the machine (`Rules::collect`), and always among passes
//! without a deadline, windows go first until [`Rules::gather`] decoders are there; then each that ends makes room for
//! one more window. That bounds what a decoder waits for the others to `gather` windows.

use std::time::{Duration, Instant};

/// Number of a sequence; grows with time.
pub type Id = u64;

/// What may be under way together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Windows that go through the encoder together where nobody need hurry others: as many as are as fast together as
    /// alone.
    pub lanes: usize,
    /// Windows that go through the encoder together where decoders are gathered: more get through, each takes longer.
    pub crowd: usize,
    /// Windows in memory: in the encoder, or encoded and being decoded. Others wait as log-mel.
    pub seats: usize,
    /// Decoders in one step.
    pub decoders: usize,
    /// Tokens in one step, unless the first decoder alone has more.
    pub rows: usize,
    /// How long a step waits for a decoder whose next tokens are being chosen, which takes far less.
    pub patience: Duration,
}

impl Limits {
    /// Seats for passes without a deadline, and decoders worth waiting for: what is left stays free for an urgent
    /// window.
    pub fn gather(&self) -> usize {
        (self.seats - (self.seats / 4).max(1).min(self.seats)).max(1)
    }
}

/// What holds at present.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub limits: Limits,
    /// Calls fill the machine: gather decoders.
    pub collect: bool,
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// So many stages of its window are through.
    Window(usize),
    /// It waits for a step of so many tokens.
    Step(usize),
    /// Its worker chooses the next tokens, since then.
    Thinking(Instant),
}

/// A sequence as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub id: Id,
    pub due: Instant,
    /// `due` is a deadline, not a place in the queue.
    pub live: bool,
    pub stand: Stand,
}

impl Seen {
    fn order(&self) -> (Instant, Id) {
        (self.due, self.id)
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take these windows a stage further.
    Encode(Vec<Id>),
    /// Step these decoders.
    Step(Vec<Id>),
    /// Look again when somebody comes, or after this time.
    Await(Duration),
    /// Look again when somebody comes.
    Rest,
}

/// Decides. `all` is in no order.
pub fn next(all: &[Seen], rules: &Rules, now: Instant) -> Next {
    let mut all: Vec<&Seen> = all.iter().collect();
    all.sort_unstable_by_key(|seen| seen.order());
    let windows = encodable(&all, &rules.limits);
    let decoding: Vec<&Seen> = all
        .into_iter()
        .filter(|seen| match seen.stand {
            Stand::Window(_) => false,
            Stand::Step(_) => true,
            Stand::Thinking(since) => now.saturating_duration_since(since) < rules.limits.patience,
        })
        .collect();
    match (windows.first(), decoding.first()) {
        (None, None) => Next::Rest,
        (Some(window), Some(decoder)) if !decodes_first(window, decoder, decoding.len(), rules) => {
            encode(&windows, rules)
        }
        (Some(_), None) => encode(&windows, rules),
        (_, Some(_)) => step(&decoding, &rules.limits, now),
    }
}

/// Windows that may go on, the most urgent first: those begun, and others as far as there are seats.
fn encodable<'a>(all: &[&'a Seen], limits: &Limits) -> Vec<&'a Seen> {
    let is_seated = |seen: &Seen| seen.stand != Stand::Window(0);
    let mut seated = all.iter().filter(|seen| is_seated(seen)).count();
    let windows = all.iter().filter(|seen| match seen.stand {
        Stand::Window(0) => {
            let seats = match seen.live {
                true => limits.seats,
                false => limits.gather(),
            };
            let fits = seated < seats;
            seated += usize::from(fits);
            fits
        }
        Stand::Window(_) => true,
        Stand::Step(_) | Stand::Thinking(_) => false,
    });
    windows.copied().collect()
}

fn decodes_first(window: &Seen, decoder: &Seen, decoders: usize, rules: &Rules) -> bool {
    let gathers = match (window.live, decoder.live) {
        (true, true) => rules.collect,
        (false, false) => true,
        _ => false,
    };
    match gathers {
        true => decoders >= rules.limits.gather(),
        false => decoder.order() <= window.order(),
    }
}

/// The most urgent windows.
fn encode(windows: &[&Seen], rules: &Rules) -> Next {
    let gathers = rules.collect || windows.first().is_some_and(|window| !window.live);
    let lanes = match gathers {
        true => rules.limits.crowd,
        false => rules.limits.lanes,
    };
    let batch = windows.iter().take(lanes.max(1));
    Next::Encode(batch.map(|window| window.id).collect())
}

/// A step of all that wait for one, once nobody is about to.
fn step(decoding: &[&Seen], limits: &Limits, now: Instant) -> Next {
    let thinking = decoding.iter().filter_map(|seen| match seen.stand {
        Stand::Thinking(since) => Some((since + limits.patience).saturating_duration_since(now)),
        _ => None,
    });
    if let Some(patience) = thinking.min() {
        return Next::Await(patience);
    }
    let mut batch = Vec::new();
    let mut sum = 0;
    for seen in decoding {
        let Stand::Step(rows) = seen.stand else {
            continue;
        };
        if batch.len() >= limits.decoders.max(1) {
            break;
        }
        if batch.is_empty() || sum + rows <= limits.rows {
            sum += rows;
            batch.push(seen.id);
        }
    }
    Next::Step(batch)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
