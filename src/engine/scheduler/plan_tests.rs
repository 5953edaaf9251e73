//! Who goes next, with time as the tests say it is.

use super::*;

const PATIENCE: Duration = Duration::from_millis(5);

const LIMITS: Limits = Limits {
    lanes: 1,
    crowd: 1,
    seats: 4,
    decoders: 4,
    rows: 10,
    patience: PATIENCE,
};

/// A clock that starts with the test.
struct Clock(Instant);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now())
    }

    fn at(&self, ms: u64) -> Instant {
        self.0 + Duration::from_millis(ms)
    }

    fn live(&self, id: Id, due: u64, stand: Stand) -> Seen {
        Seen {
            id,
            due: self.at(due),
            live: true,
            stand,
        }
    }

    fn exact(&self, id: Id, due: u64, stand: Stand) -> Seen {
        Seen {
            live: false,
            ..self.live(id, due, stand)
        }
    }

    /// What is next at 0.
    fn next(&self, all: &[Seen]) -> Next {
        self.decide(all, LIMITS, false)
    }

    fn decide(&self, all: &[Seen], limits: Limits, collect: bool) -> Next {
        next(all, &Rules { limits, collect }, self.at(0))
    }
}

use Stand::{Step, Thinking, Window};

#[test]
fn with_nobody_there_it_rests() {
    assert_eq!(Clock::start().next(&[]), Next::Rest);
}

#[test]
fn the_window_due_first_goes_first_also_before_one_half_way() {
    let clock = Clock::start();
    let all = [
        clock.live(1, 300, Window(5)),
        clock.live(2, 200, Window(0)),
        clock.live(3, 400, Window(0)),
    ];
    assert_eq!(clock.next(&all), Next::Encode(vec![2]));
}

#[test]
fn a_step_that_is_due_first_goes_before_a_window_and_takes_the_others_along() {
    let clock = Clock::start();
    let all = [
        clock.live(1, 300, Window(5)),
        clock.live(2, 200, Step(1)),
        clock.live(3, 400, Step(3)),
    ];
    assert_eq!(clock.next(&all), Next::Step(vec![2, 3]));
}

#[test]
fn a_window_that_is_due_first_goes_before_a_step() {
    let clock = Clock::start();
    let all = [clock.live(1, 300, Step(1)), clock.live(2, 200, Window(3))];
    assert_eq!(clock.next(&all), Next::Encode(vec![2]));
}

#[test]
fn what_nobody_waits_for_comes_behind_live_calls() {
    let clock = Clock::start();
    let exact = [
        clock.exact(1, 10_000, Step(1)),
        clock.exact(2, 10_000, Step(1)),
    ];
    let window = clock.live(3, 500, Window(0));
    assert_eq!(
        clock.next(&[exact[0], exact[1], window]),
        Next::Encode(vec![3])
    );
    let window = clock.exact(4, 9_000, Window(1));
    let step = clock.live(5, 500, Step(1));
    assert_eq!(clock.next(&[window, step]), Next::Step(vec![5]));
}

#[test]
fn decoders_are_gathered_where_calls_fill_the_machine() {
    let clock = Clock::start();
    let step = |id| clock.live(id, id * 10, Step(1));
    let window = clock.live(9, 500, Window(0));
    let all = [step(1), step(2), window];
    assert_eq!(clock.decide(&all, LIMITS, false), Next::Step(vec![1, 2]));
    assert_eq!(clock.decide(&all, LIMITS, true), Next::Encode(vec![9]));
    assert_eq!(LIMITS.gather(), 3);
    let all = [step(1), step(2), step(3), window];
    assert_eq!(clock.decide(&all, LIMITS, true), Next::Step(vec![1, 2, 3]));
}

#[test]
fn passes_without_a_deadline_are_always_gathered() {
    let clock = Clock::start();
    let all = [clock.exact(1, 1, Step(1)), clock.exact(2, 2, Window(0))];
    assert_eq!(clock.next(&all), Next::Encode(vec![2]));
    assert_eq!(clock.next(&all[..1]), Next::Step(vec![1]));
}

#[test]
fn no_more_windows_are_in_memory_than_there_are_seats() {
    let clock = Clock::start();
    let late = |id| clock.live(id, 1_000 + id, Step(1));
    let urgent = clock.live(9, 100, Window(0));
    let three = [late(1), late(2), late(3), urgent];
    assert_eq!(clock.next(&three), Next::Encode(vec![9]));
    let four = [late(1), late(2), late(3), late(4), urgent];
    assert_eq!(clock.next(&four), Next::Step(vec![1, 2, 3, 4]));
    let begun = clock.live(4, 900, Window(1));
    let four = [late(1), late(2), late(3), begun, urgent];
    assert_eq!(clock.next(&four), Next::Encode(vec![4]));
}

#[test]
fn one_seat_is_kept_for_live_calls() {
    let clock = Clock::start();
    let step = |id| clock.exact(id, id, Step(1));
    let all = [step(1), step(2), step(3), clock.exact(4, 0, Window(0))];
    assert_eq!(clock.next(&all), Next::Step(vec![1, 2, 3]));
    let all = [step(1), step(2), step(3), clock.live(4, 0, Window(0))];
    assert_eq!(clock.next(&all), Next::Encode(vec![4]));
}

#[test]
fn a_step_waits_for_those_whose_tokens_are_being_chosen_but_not_for_long() {
    let clock = Clock::start();
    let step = clock.live(1, 100, Step(1));
    let chooses = |since: Instant| clock.live(2, 200, Thinking(since));
    let all = [step, chooses(clock.at(0))];
    assert_eq!(clock.next(&all), Next::Await(PATIENCE));
    assert_eq!(clock.next(&all[1..]), Next::Await(PATIENCE));
    let later = clock.at(0) + PATIENCE;
    let rules = Rules {
        limits: LIMITS,
        collect: false,
    };
    assert_eq!(next(&all, &rules, later), Next::Step(vec![1]));
    assert_eq!(next(&all[1..], &rules, later), Next::Rest);
}

#[test]
fn a_batch_has_a_bound_in_decoders_and_in_rows_but_the_first_goes_whole() {
    let clock = Clock::start();
    let steps = |rows: [usize; 6]| -> Vec<Seen> {
        let numbered = rows.iter().zip(1..);
        numbered
            .map(|(&rows, id)| clock.live(id, id, Step(rows)))
            .collect()
    };
    assert_eq!(
        clock.next(&steps([1; 6])),
        Next::Step(vec![1, 2, 3, 4]),
        "decoders"
    );
    assert_eq!(
        clock.next(&steps([6, 5, 4, 1, 1, 1])),
        Next::Step(vec![1, 3]),
        "rows"
    );
    assert_eq!(
        clock.next(&steps([100, 1, 1, 1, 1, 1])),
        Next::Step(vec![1]),
        "the first"
    );
}

#[test]
fn as_many_windows_go_together_as_there_are_lanes_and_more_where_decoders_are_gathered() {
    let clock = Clock::start();
    let limits = Limits {
        lanes: 2,
        crowd: 3,
        ..LIMITS
    };
    let live = |id| clock.live(id, id, Window(id as usize % 2));
    let all = [live(4), live(2), live(1), live(3)];
    assert_eq!(clock.decide(&all, limits, false), Next::Encode(vec![1, 2]));
    assert_eq!(
        clock.decide(&all, limits, true),
        Next::Encode(vec![1, 2, 3])
    );
    let exact = |id| clock.exact(id, id, Window(0));
    let all = [exact(1), exact(2), exact(3)];
    assert_eq!(
        clock.decide(&all, limits, false),
        Next::Encode(vec![1, 2, 3])
    );
}

/// A machine on paper: a stage takes 10 ms, a step 5, a pass four of each; passes of a stream follow one another.
struct Paper {
    clock: Clock,
    now: u64,
    all: Vec<Seen>,
    steps: Vec<usize>,
    next: Id,
}

impl Paper {
    fn new() -> Paper {
        Paper {
            clock: Clock::start(),
            now: 0,
            all: Vec::new(),
            steps: Vec::new(),
            next: 0,
        }
    }

    fn enter(&mut self, due: u64, live: bool) -> Id {
        self.next += 1;
        let seen = self.clock.live(self.next, due, Window(0));
        self.all.push(Seen { live, ..seen });
        self.steps.push(0);
        self.next
    }

    /// Does what is next; returns who is through.
    fn go(&mut self) -> Vec<Seen> {
        let rules = Rules {
            limits: LIMITS,
            collect: true,
        };
        let ids = match next(&self.all, &rules, self.clock.at(self.now)) {
            Next::Encode(ids) => {
                self.now += 10;
                ids
            }
            Next::Step(ids) => {
                self.now += 5;
                ids
            }
            other => panic!("{other:?} with {:?}", self.all),
        };
        let mut through = Vec::new();
        for id in ids {
            let at = self.all.iter().position(|seen| seen.id == id).unwrap();
            self.all[at].stand = match self.all[at].stand {
                Window(3) => Step(1),
                Window(stage) => Window(stage + 1),
                stand => stand,
            };
            if self.all[at].stand == Step(1) {
                self.steps[at] += 1;
            }
            if self.steps[at] > 4 {
                self.steps.remove(at);
                through.push(self.all.remove(at));
            }
        }
        through
    }
}

#[test]
fn among_live_calls_that_leave_no_room_an_exact_pass_still_has_its_turn() {
    let mut paper = Paper::new();
    let exact = paper.enter(10_000, false);
    for _ in 0..8 {
        paper.enter(100, true);
    }
    let mut ended = None;
    while ended.is_none() && paper.now < 20_000 {
        for seen in paper.go() {
            match seen.id == exact {
                true => ended = Some(paper.now),
                // The stream's next pass is there at once: it never catches up.
                false => {
                    paper.enter(paper.now + 100, true);
                }
            }
        }
    }
    let ended = ended.expect("starved");
    assert!((9_000..12_000).contains(&ended), "{ended}");
}

#[test]
fn however_full_the_machine_every_call_has_its_passes() {
    let mut paper = Paper::new();
    for _ in 0..12 {
        paper.enter(100, true);
    }
    let mut longest = 0;
    for _ in 0..5_000 {
        for seen in paper.go() {
            let entered = seen.due - Duration::from_millis(100);
            let took = paper.clock.at(paper.now) - entered;
            longest = longest.max(took.as_millis());
            paper.enter(paper.now + 100, true);
        }
    }
    // Twelve windows of 40 ms each, and their steps; some of which wait for each other.
    assert!(longest < 1_200, "{longest}");
}
