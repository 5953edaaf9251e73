//! The cache with made-up models: who loads, who waits, when it ends.

use std::sync::mpsc;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn key(name: &str) -> ModelKey {
    ModelKey {
        source: ModelSource::Path(name.into()),
        backend: Backend::default(),
    }
}

fn no_such() -> WhisperError {
    WhisperError::NoSuchPath("nowhere".into())
}

/// A load that waits for a word on `gate` before it brings its number, or fails as told there.
fn gated(
    gate: mpsc::Receiver<Result<(), WhisperError>>,
    number: u32,
) -> impl FnOnce(&Cancel, &mut dyn FnMut(Loading)) -> Result<u32, WhisperError> + Send + 'static {
    move |cancel, progress| {
        progress(50.into());
        loop {
            cancel.check()?;
            match gate.recv_timeout(Duration::from_millis(2)) {
                Ok(word) => break word.map(|()| number),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(number),
            }
        }
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn ten_askers_share_one_load_and_all_hear_its_progress() {
    let cache = Arc::new(Cache::<u32>::default());
    let (open, gate) = mpsc::channel();
    let mut requests = vec![cache.acquire(&key("a"), gated(gate, 7)).unwrap()];
    for _ in 1..10 {
        requests.push(
            cache
                .acquire(&key("a"), |_, _| panic!("a second load"))
                .unwrap(),
        );
    }
    assert_eq!(requests.iter().filter(|r| r.is_shared()).count(), 9);
    let heard = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                let mut last = 0;
                let lease = request.wait(&mut |Loading { percent, .. }| {
                    assert!(percent >= last, "progress ran backwards");
                    last = percent;
                    if percent == 50 {
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                });
                lease.map_err(|_| "no model").unwrap()
            })
        })
        .collect();
    eventually("all ten hear 50 %", || heard.load(Ordering::Relaxed) == 10);
    open.send(Ok(())).unwrap();
    let leases: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert!(leases.iter().all(|lease| Arc::ptr_eq(lease, &leases[0])));
    assert_eq!(leases[0].users().load(Ordering::Relaxed), 10);
    assert_eq!(cache.loads(), 1);
}

#[test]
fn the_memory_goes_with_the_last_user() {
    let cache = Cache::<u32>::default();
    let ask = |n| {
        let request = cache.acquire(&key("a"), move |_, _| Ok(n)).unwrap();
        request.wait(&mut |_| {}).map_err(|_| "no model").unwrap()
    };
    let (first, second) = (ask(1), ask(2));
    assert_eq!((**first, **second), (1, 1));
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_some(), "freed under its second user");
    drop(second);
    assert!(weak.upgrade().is_none(), "outlives its users");
    assert_eq!(**ask(3), 3, "a dead model must be loaded afresh");
    assert_eq!(cache.loads(), 2);
}

#[test]
fn a_model_that_was_there_is_handed_over_without_progress() {
    let cache = Cache::<u32>::default();
    let held = cache.acquire(&key("a"), |_, _| Ok(1)).unwrap();
    let held = held.wait(&mut |_| {}).map_err(|_| "no model").unwrap();
    let again = cache.acquire(&key("a"), |_, _| Ok(2)).unwrap();
    let lease = again.wait(&mut |_| panic!("progress of no load"));
    assert!(lease.is_ok_and(|lease| Arc::ptr_eq(&lease, &held)));
}

#[test]
fn a_failed_load_reaches_every_waiter_and_the_next_asker_tries_afresh() {
    let cache = Cache::<u32>::default();
    let (open, gate) = mpsc::channel();
    let requests = [
        cache.acquire(&key("a"), gated(gate, 7)).unwrap(),
        cache.acquire(&key("a"), |_, _| Ok(9)).unwrap(),
    ];
    open.send(Err(no_such())).unwrap();
    for request in &requests {
        let failed = request.wait(&mut |_| {}).err();
        assert!(
            matches!(&failed, Some(NoModel::Failed(e)) if matches!(**e, WhisperError::NoSuchPath(_))),
            "{failed:?}"
        );
    }
    // The failed requests still stand; they must not keep the failure alive.
    let retry = cache.acquire(&key("a"), |_, _| Ok(5)).unwrap();
    assert!(retry.wait(&mut |_| {}).is_ok_and(|lease| **lease == 5));
}

#[test]
fn a_load_that_panics_is_an_error_and_no_hang() {
    let cache = Cache::<u32>::default();
    let request = cache.acquire(&key("a"), |_, _| panic!("boom")).unwrap();
    match request.wait(&mut |_| {}).err() {
        Some(NoModel::Failed(error)) => assert!(error.to_string().contains("boom"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_load_is_cancelled_when_the_last_asker_leaves_and_not_before() {
    let cache = Cache::<u32>::default();
    let (ended, end) = mpsc::channel();
    let request = cache
        .acquire(&key("a"), move |cancel, _| {
            while !cancel.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            ended.send(()).unwrap();
            Err(WhisperError::Cancelled)
        })
        .unwrap();
    let second = cache.acquire(&key("a"), |_, _| Ok(2)).unwrap();
    drop(request);
    assert!(
        end.recv_timeout(Duration::from_millis(50)).is_err(),
        "cancelled under an asker"
    );
    second.give_up();
    end.recv_timeout(PATIENCE).expect("cancelled");
    let third = cache.acquire(&key("a"), |_, _| Ok(3)).unwrap();
    assert!(!third.is_shared(), "joined a cancelled load");
    assert!(third.wait(&mut |_| {}).is_ok_and(|lease| **lease == 3));
}

#[test]
fn giving_up_ends_a_wait_under_way() {
    let cache = Cache::<u32>::default();
    let (_open, gate) = mpsc::channel();
    let request = Arc::new(cache.acquire(&key("a"), gated(gate, 7)).unwrap());
    let waiter = Arc::clone(&request);
    let waiter = thread::spawn(move || matches!(waiter.wait(&mut |_| {}), Err(NoModel::GivenUp)));
    thread::sleep(Duration::from_millis(20));
    request.give_up();
    assert!(waiter.join().unwrap());
}

#[test]
fn other_keys_load_by_themselves() {
    let cache = Cache::<u32>::default();
    let a = cache.acquire(&key("a"), |_, _| Ok(1)).unwrap();
    let b = cache.acquire(&key("b"), |_, _| Ok(2)).unwrap();
    let (a, b) = (a.wait(&mut |_| {}), b.wait(&mut |_| {}));
    assert!(a.is_ok_and(|m| **m == 1) && b.is_ok_and(|m| **m == 2));
}

#[test]
fn one_directory_is_one_key_however_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let plain = key(dir.path().to_str().unwrap());
    let detour = key(dir.path().join(".").to_str().unwrap());
    assert_eq!(plain.canonical(), detour.canonical());
}
