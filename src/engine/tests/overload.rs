//! What a session does when the machine cannot keep up, and when it can again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fake::*;
use crate::engine::scheduler::{Due, Level, Strain};
use crate::engine::{Pace, Session, lock};
use crate::policy::{AudioCtx, PolicySettings};

fn strain(fake: &Fake, level: Level) {
    *lock(&fake.strings.strain) = Strain {
        level,
        late: 0.6,
        busy: 0.9,
    };
}

/// A live session on settings of the test's own, loaded.
fn live(fake: &Fake, settings: PolicySettings) -> (Arc<Session>, Ears) {
    let ears = Ears::default();
    let session =
        Session::start(fake.clone(), Pace::Live, None, settings, ears.listener()).unwrap();
    ears.wait_for("loaded");
    ears.forget();
    (Arc::new(session), ears)
}

#[test]
fn live_chunks_grow_with_the_level_and_are_as_before_when_it_is_over() {
    let fake = Fake::default();
    let (session, ears) = live(&fake, settings());
    let next_chunk = |level, said: &str| {
        strain(&fake, level);
        // The pass that notices is still cut as before.
        session.drain().unwrap();
        session.push_silence(100).unwrap();
        session.drain().unwrap();
        assert_eq!(ears.wait_for("degraded"), said);
        ears.forget();
    };
    let too_few = |samples: u64| {
        let passes = session.stats().passes;
        session.push_silence(samples - 1).unwrap();
        assert_eq!(
            session.stats().passes,
            passes,
            "{samples} are not there yet"
        );
        session.push_silence(1).unwrap();
        eventually("a pass", || session.stats().passes > passes);
    };
    next_chunk(Level::Double, "degraded 1 chunk=1s shortened=false");
    too_few(16_000);
    next_chunk(Level::Quadruple, "degraded 2 chunk=2s shortened=false");
    too_few(32_000);
    next_chunk(Level::None, "degraded 0 chunk=500ms shortened=false");
    too_few(8_000);
    let stats = session.stats();
    assert_eq!((stats.degradation, stats.degradations), (0, 2));
}

#[test]
fn a_chunk_never_grows_beyond_half_of_what_a_pass_hears() {
    let fake = Fake::default();
    let long = PolicySettings {
        min_chunk_ms: 1_500,
        audio_max_len_ms: 4_000,
        ..settings()
    };
    let (session, ears) = live(&fake, long);
    strain(&fake, Level::Quadruple);
    session.push_silence(100).unwrap();
    session.drain().unwrap();
    ears.wait_for("degraded 2 chunk=2s");
}

#[test]
fn windows_are_shortened_only_where_the_settings_allow_it() {
    for (audio_ctx, shortened) in [(AudioCtx::Exact, false), (AudioCtx::Overload, true)] {
        let fake = Fake::default();
        let policy = PolicySettings {
            audio_ctx,
            ..settings()
        };
        let (session, ears) = live(&fake, policy);
        strain(&fake, Level::Shortened);
        session.push_silence(100).unwrap();
        session.drain().unwrap();
        ears.wait_for(&format!("degraded 3 chunk=2s shortened={shortened}"));
        assert!(fake.strings.calls().contains(&Call::Shorten(shortened)));
        let due = lock(&fake.strings.dues)[0];
        assert!(matches!(due, Due::By { shortenable, .. } if shortenable == shortened));
    }
}

#[test]
fn an_exact_stream_has_no_deadline_and_takes_no_notice() {
    let fake = Fake::default();
    let (session, ears) = opened(&fake, Pace::Exact);
    strain(&fake, Level::Quadruple);
    session.push_silence(24_001).unwrap();
    session.drain().unwrap();
    assert_eq!(fake.strings.inserted(), [8_000, 8_000, 8_000, 1]);
    assert_eq!(ears.only(&["degraded"]), [""; 0]);
    let dues = lock(&fake.strings.dues).clone();
    assert_eq!(dues, [Due::Whenever; 4]);
}

#[test]
fn a_live_pass_is_due_when_the_next_chunk_is_there() {
    let fake = Fake::default();
    let (session, ears) = live(&fake, settings());
    let before = Instant::now();
    session.push_silence(8_000).unwrap();
    let after = Instant::now();
    ears.wait_for("progress");
    let Due::By { deadline, .. } = lock(&fake.strings.dues)[0] else {
        panic!("no deadline");
    };
    let chunk = Duration::from_millis(500);
    assert!((before + chunk..=after + chunk).contains(&deadline));
}
