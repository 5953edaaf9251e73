//! The scheduler over a made-up network that stops where a test tells it to.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use super::network::Turn;
use super::*;
use crate::whisper::AlignmentRows;

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);
const STAGES: usize = 3;

const LIMITS: Limits = Limits {
    lanes: 1,
    crowd: 1,
    seats: 4,
    decoders: 16,
    rows: 128,
    patience: PATIENCE,
};

/// Keeps what it did, and halts before anything it does until the test lets it go on.
struct Fake {
    log: Mutex<Vec<String>>,
    /// Says what it is about to do, then waits for leave; neither once the test has let go.
    gate: Mutex<Option<(Sender<String>, Receiver<()>)>>,
    encoded: Arc<AtomicUsize>,
    most_encoded: AtomicUsize,
}

impl Fake {
    fn about_to(&self, what: String) {
        let mut gate = lock(&self.gate);
        let waits = gate
            .as_ref()
            .is_some_and(|(tell, leave)| tell.send(what.clone()).is_ok() && leave.recv().is_ok());
        if !waits {
            *gate = None;
        }
        drop(gate);
        lock(&self.log).push(what);
    }
}

struct FakeWindow {
    name: &'static str,
    stages: usize,
}

/// Counts those in memory.
struct FakeEncoded {
    name: &'static str,
    count: Arc<AtomicUsize>,
}

impl Drop for FakeEncoded {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

struct FakeDecoder {
    name: &'static str,
    tokens: u32,
}

impl Network for Fake {
    type Window = FakeWindow;
    type Encoded = FakeEncoded;
    type Decoder = FakeDecoder;

    fn advance(&self, windows: &mut [&mut FakeWindow]) -> Result<(), WhisperError> {
        let names: Vec<_> = windows.iter().map(|window| window.name).collect();
        self.about_to(format!("encode {}", names.join("+")));
        for window in windows {
            window.stages += 1;
            match window.name {
                "panics" => panic!("a fault in the encoder"),
                "fails" => return Err(WhisperError::NoSuchPath("gone".into())),
                _ => {}
            }
        }
        Ok(())
    }

    fn encoded(&self, window: &mut FakeWindow) -> Option<FakeEncoded> {
        (window.stages == STAGES).then(|| {
            let now = self.encoded.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_encoded.fetch_max(now, Ordering::SeqCst);
            FakeEncoded {
                name: window.name,
                count: Arc::clone(&self.encoded),
            }
        })
    }

    fn decoder(&self, encoded: &FakeEncoded, _: &Watched) -> Result<FakeDecoder, WhisperError> {
        Ok(FakeDecoder {
            name: encoded.name,
            tokens: 0,
        })
    }

    /// Logits: how many tokens the decoder has had.
    fn step(&self, turns: &mut [Turn<'_, FakeDecoder>]) -> Vec<Result<Step, WhisperError>> {
        let names: Vec<_> = turns.iter().map(|turn| turn.decoder.name).collect();
        self.about_to(format!("step {}", names.join("+")));
        let steps = turns.iter_mut().map(|turn| {
            turn.decoder.tokens += turn.asked.tokens.len() as u32;
            match turn.decoder.name {
                "step panics" => panic!("a fault in the decoder"),
                "step fails" => Err(WhisperError::NoSuchPath("gone".into())),
                _ => Ok(Step {
                    logits: vec![turn.decoder.tokens as f32],
                    probe_logits: None,
                    alignment: AlignmentRows {
                        heads: 0,
                        rows: 0,
                        frames: 0,
                        data: Vec::new(),
                    },
                    word_weights: None,
                }),
            }
        });
        steps.collect()
    }
}

struct Bench {
    told: Receiver<String>,
    leave: Sender<()>,
    /// Dropped when the network halts no more.
    scheduler: Arc<Scheduler<Fake>>,
    origin: Instant,
}

impl Bench {
    /// A network that halts before everything it does.
    fn halting() -> Bench {
        let (tell, told) = mpsc::channel();
        let (leave, wait) = mpsc::channel();
        let network = Fake {
            log: Mutex::default(),
            gate: Mutex::new(Some((tell, wait))),
            encoded: Arc::default(),
            most_encoded: AtomicUsize::new(0),
        };
        Bench {
            scheduler: Arc::new(Scheduler::new(Arc::new(network), LIMITS)),
            told,
            leave,
            origin: Instant::now(),
        }
    }

    fn network(&self) -> &Fake {
        &self.scheduler.network
    }

    /// Due so many seconds from the start.
    fn live(&self, name: &'static str, due: u64) -> Sequence<Fake> {
        let due = Due::By {
            deadline: self.origin + Duration::from_secs(due),
            grace: Duration::ZERO,
            shortenable: false,
        };
        self.enter(name, due)
    }

    fn exact(&self, name: &'static str) -> Sequence<Fake> {
        self.enter(name, Due::Whenever)
    }

    fn enter(&self, name: &'static str, due: Due) -> Sequence<Fake> {
        let window = FakeWindow { name, stages: 0 };
        self.scheduler.enter(window, Arc::default(), due).unwrap()
    }

    /// What the network halts before.
    fn halted(&self) -> String {
        self.told.recv_timeout(PATIENCE).expect("the network rests")
    }

    fn go(&self) {
        self.leave.send(()).unwrap();
    }

    /// Lets the network do as it likes from now on.
    fn release(self) -> Arc<Scheduler<Fake>> {
        self.scheduler
    }

    /// Waits until so many passes wait for an answer.
    fn asked(&self, count: usize) {
        let start = Instant::now();
        while lock(&self.scheduler.shared.board).asked() < count {
            assert!(start.elapsed() < PATIENCE, "nobody asks");
            thread::yield_now();
        }
    }
}

fn token(on: On) -> Asked {
    Asked {
        tokens: vec![7],
        on,
        ..Asked::default()
    }
}

/// A worker that asks so many times; brings the logits.
fn worker(mut sequence: Sequence<Fake>, steps: usize, cancel: &Cancel) -> Worker {
    let cancel = cancel.clone();
    thread::spawn(move || {
        let steps = (0..steps).map(|_| sequence.step(token(On::Kept), &cancel));
        let logits = steps
            .map(|step| step.map(|step| step.logits[0]))
            .collect::<Result<Vec<f32>, _>>();
        logits.map(|logits| (logits, sequence.end()))
    })
}

type Worker = JoinHandle<Result<(Vec<f32>, Effort), EngineError>>;

#[test]
fn windows_go_by_their_deadlines_and_an_urgent_one_comes_in_between_two_stages() {
    let bench = Bench::halting();
    let none = Cancel::default();
    let late = worker(bench.live("late", 300), 1, &none);
    assert_eq!(bench.halted(), "encode late");
    let later = worker(bench.live("later", 400), 1, &none);
    let early = worker(bench.live("early", 100), 1, &none);
    bench.asked(3);
    let then = [
        "encode early",
        "encode early",
        "encode early",
        "step early",
        "encode late",
        "encode late",
        "step late",
        "encode later",
    ];
    for next in then {
        bench.go();
        assert_eq!(bench.halted(), next);
    }
    let _scheduler = bench.release();
    for worker in [late, later, early] {
        worker.join().unwrap().unwrap();
    }
}

#[test]
fn waiting_steps_go_before_a_window_that_is_due_later() {
    let bench = Bench::halting();
    let none = Cancel::default();
    let first = bench.live("first", 100);
    let worker = worker(first, 2, &none);
    for _ in 0..STAGES {
        assert_eq!(bench.halted(), "encode first");
        bench.go();
    }
    assert_eq!(bench.halted(), "step first");
    let _second = bench.live("second", 200);
    bench.go();
    assert_eq!(bench.halted(), "step first");
    bench.go();
    assert_eq!(bench.halted(), "encode second");
    let (logits, effort) = worker.join().unwrap().unwrap();
    assert_eq!(logits, [1.0, 2.0], "one decoder for the whole pass");
    assert_eq!((effort.steps, effort.decoders, effort.late), (2, 2, false));
    drop(bench.release());
}

#[test]
fn those_who_wait_are_stepped_together_and_each_has_its_own_decoder() {
    let bench = Bench::halting();
    let none = Cancel::default();
    let names = ["a", "b", "c"];
    let workers: Vec<Worker> = names
        .into_iter()
        .map(|name| worker(bench.exact(name), 1, &none))
        .collect();
    bench.asked(3);
    for name in names {
        for _ in 0..STAGES {
            assert_eq!(bench.halted(), format!("encode {name}"));
            bench.go();
        }
    }
    assert_eq!(bench.halted(), "step a+b+c");
    bench.go();
    for worker in workers {
        let (logits, effort) = worker.join().unwrap().unwrap();
        assert_eq!(logits, [1.0]);
        assert_eq!((effort.steps, effort.decoders), (1, 3));
    }
}

#[test]
fn a_decoder_of_its_own_leaves_the_pass_s_decoder_as_it_was() {
    let bench = Bench::halting();
    let mut sequence = bench.exact("a");
    let scheduler = bench.release();
    let none = Cancel::default();
    let steps = [
        token(On::Kept),
        token(On::Alone),
        token(On::Alone),
        token(On::Kept),
    ];
    let logits = steps.map(|asked| sequence.step(asked, &none).unwrap().logits[0]);
    assert_eq!(logits, [1.0, 1.0, 1.0, 2.0]);
    drop(scheduler);
}

#[test]
fn given_up_in_the_queue_a_pass_is_never_begun_and_returns_while_another_runs() {
    let bench = Bench::halting();
    let (cancel, none) = (Cancel::default(), Cancel::default());
    let other = worker(bench.live("other", 100), 1, &none);
    assert_eq!(bench.halted(), "encode other");
    let queued = worker(bench.live("queued", 200), 1, &cancel);
    bench.asked(2);
    cancel.cancel();
    queued.thread().unpark();
    // The network has not moved.
    assert!(is_cancelled(queued));
    let scheduler = bench.release();
    other.join().unwrap().unwrap();
    assert!(!log(&scheduler).iter().any(|done| done.contains("queued")));
}

#[test]
fn given_up_at_the_network_a_pass_returns_at_once_and_what_comes_back_is_dropped() {
    let bench = Bench::halting();
    let (cancel, none) = (Cancel::default(), Cancel::default());
    let given_up = worker(bench.live("a", 100), 1, &cancel);
    let other = worker(bench.live("b", 200), 1, &none);
    bench.asked(2);
    for _ in 1..STAGES {
        assert_eq!(bench.halted(), "encode a");
        bench.go();
    }
    assert_eq!(bench.halted(), "encode a");
    cancel.cancel();
    given_up.thread().unpark();
    assert!(is_cancelled(given_up));
    let scheduler = bench.release();
    other.join().unwrap().unwrap();
    assert_eq!(scheduler.network.encoded.load(Ordering::SeqCst), 0);
    assert!(!log(&scheduler).contains(&"step a".to_owned()));
}

#[test]
fn a_panic_or_an_error_harms_only_those_whose_work_it_was() {
    let bench = Bench::halting();
    let none = Cancel::default();
    let names = ["panics", "fails", "well", "step fails"];
    let workers = names.map(|name| worker(bench.exact(name), 1, &none));
    bench.asked(4);
    let scheduler = bench.release();
    let said = workers.map(|worker| match worker.join().unwrap() {
        Ok((logits, _)) => format!("{logits:?}"),
        Err(error) => error.to_string(),
    });
    assert!(said[0].contains("a fault in the encoder"), "{said:?}");
    assert!(said[1].contains("gone"), "{said:?}");
    assert_eq!(said[2], "[1.0]", "{said:?}");
    assert!(said[3].contains("gone"), "{said:?}");
    assert!(log(&scheduler).contains(&"step well+step fails".to_owned()));
}

#[test]
fn a_panic_in_a_step_is_told_to_the_batch_and_the_next_pass_runs() {
    let bench = Bench::halting();
    let none = Cancel::default();
    let names = ["step panics", "beside it"];
    let workers = names.map(|name| worker(bench.exact(name), 1, &none));
    bench.asked(2);
    let scheduler = bench.release();
    for worker in workers {
        let said = worker.join().unwrap().unwrap_err();
        assert!(matches!(&said, EngineError::Fault(fault) if fault.contains("decoder")));
    }
    let window = FakeWindow {
        name: "next",
        stages: 0,
    };
    let next = scheduler
        .enter(window, Arc::default(), Due::Whenever)
        .unwrap();
    worker(next, 1, &none).join().unwrap().unwrap();
}

#[test]
fn of_many_windows_only_so_many_are_in_memory_and_all_are_heard() {
    let bench = Bench::halting();
    let none = Cancel::default();
    let workers: Vec<Worker> = (0..40)
        .map(|n| match n % 2 {
            0 => worker(bench.exact("exact"), 3, &none),
            _ => worker(bench.live("live", n), 3, &none),
        })
        .collect();
    bench.asked(40);
    let scheduler = bench.release();
    for worker in workers {
        assert_eq!(worker.join().unwrap().unwrap().0, [1.0, 2.0, 3.0]);
    }
    let most = scheduler.network.most_encoded.load(Ordering::SeqCst);
    assert!((2..=LIMITS.seats).contains(&most), "{most}");
    assert_eq!(scheduler.network.encoded.load(Ordering::SeqCst), 0);
}

#[test]
fn a_late_pass_is_counted_as_late() {
    let bench = Bench::halting();
    let late = bench.live("late", 0);
    let scheduler = bench.release();
    let (_, effort) = worker(late, 1, &Cancel::default()).join().unwrap().unwrap();
    assert!(effort.late);
    drop(scheduler);
}

#[test]
fn dropped_it_ends_its_thread_and_lets_the_network_go() {
    let bench = Bench::halting();
    let orphan = worker(bench.exact("a"), 1, &Cancel::default());
    assert_eq!(bench.halted(), "encode a");
    let network = Arc::downgrade(&bench.scheduler.network);
    drop(bench);
    assert!(network.upgrade().is_none());
    assert!(is_cancelled(orphan), "nobody waits for what will not come");
}

#[test]
fn without_a_pass_there_is_no_thread() {
    let bench = Bench::halting();
    assert!(lock(&bench.scheduler.thread).is_none());
    let _sequence = bench.exact("a");
    assert!(lock(&bench.scheduler.thread).is_some());
    assert_eq!(bench.halted(), "encode a");
    assert_eq!(bench.network().log.lock().unwrap().len(), 0);
    drop(bench.release());
}

fn is_cancelled(worker: Worker) -> bool {
    let end = worker.join().unwrap();
    matches!(end, Err(EngineError::Model(error)) if matches!(*error, WhisperError::Cancelled))
}

fn log(scheduler: &Scheduler<Fake>) -> Vec<String> {
    lock(&scheduler.network.log).clone()
}
