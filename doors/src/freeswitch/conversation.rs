//! One call: its audio goes in, what is said is printed, kept and acted upon.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::actions::{self, Actions};
use super::channel::Channel;
use super::energy::{Level, Meter};
use super::link::Party;
use super::presence::Presence;
use super::recording::{LOOK, Recording, Unheard};
use super::transcript::Transcript;
use super::{Bridge, Record};
use crate::call::{Event, Feed, Format, Source, Wanted, Words};
use crate::exchange::{Call, Caller, Events};

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Heard {
    pub audio: Duration,
    pub format: Format,
    pub words: usize,
    /// dB below full scale: the loudest half second.
    pub loudest: f64,
}

/// Without anything new for so long FreeSWITCH is asked whether the call is still there.
const STILL: Duration = Duration::from_secs(10);
/// After so long it is tried again to go over to the next recording.
const AGAIN: Duration = Duration::from_secs(5);
/// Behind a hang-up the rest of the audio may be written so much later.
const REST: Duration = Duration::from_secs(1);

/// Hears a call to its end.
pub async fn hear(bridge: &Bridge, party: &Party) -> Result<Heard, Unheard> {
    let channel = Channel::new(bridge.link.clone(), &party.uuid);
    let mut presence = Presence::of(channel.clone(), bridge.exchange.phase());
    let mut recording = Recording::start(channel.clone(), &bridge.options).await?;
    let heard = follow(bridge, party, &mut presence, &mut recording).await;
    recording.end(presence.is_there()).await;
    heard
}

async fn follow(
    bridge: &Bridge,
    party: &Party,
    presence: &mut Presence,
    recording: &mut Recording,
) -> Result<Heard, Unheard> {
    let mut heard = Heard {
        audio: Duration::ZERO,
        format: Format::default(),
        words: 0,
        loudest: -96.0,
    };
    let Some(format) = recording.format(presence).await? else {
        tracing::info!(call = %party.uuid, "the call ended before any audio came");
        return Ok(heard);
    };
    heard.format = format;
    let legs = match (bridge.options.record, recording.is_mixed()) {
        (Record::Stereo, false) => vec!["remote".to_owned(), "local".to_owned()],
        (Record::Read, false) => vec!["remote".to_owned()],
        _ => Vec::new(),
    };
    let interrupts = bridge.options.interrupts() && !legs.is_empty();
    if bridge.options.interrupts() && !interrupts {
        tracing::warn!(call = %party.uuid, "both directions are in one recording, so nobody's speech stops the prompt: it might be the prompt's own");
    }
    let wanted = Wanted {
        source: Source::Raw(format),
        legs,
        answer: bridge.options.amd.then(|| bridge.options.amd_set.clone()),
        ..Wanted::default()
    };
    let Call {
        feed,
        events,
        control,
        ..
    } = admitted(bridge, party, wanted, presence).await?;
    let transcript = Transcript::open(bridge.options.transcripts.as_deref(), party);
    let transcript = Arc::new(Mutex::new(transcript));
    let (actions, acting) = actions::start(Channel::new(bridge.link.clone(), &party.uuid));
    let teller = Teller {
        bridge,
        who: who(party),
        transcript: &transcript,
        actions,
        interrupts,
    };
    let (fed, words) = tokio::join!(
        pour(
            feed,
            presence,
            recording,
            |level| {
                heard.loudest = level.db.iter().copied().fold(heard.loudest, f64::max);
                teller.level(&level);
            },
            format
        ),
        teller.tell(events),
    );
    heard.words = words;
    heard.audio = control.received();
    drop(teller);
    acting.ended().await;
    lock(&transcript).write(serde_json::json!({
        "type": "ended",
        "audio": (heard.audio.as_secs_f64() * 1000.0).round() / 1000.0,
        "words": heard.words,
    }));
    fed.map(|()| heard)
}

/// A place in the exchange. Where there is none at the moment the recording runs on, and is heard later.
async fn admitted(
    bridge: &Bridge,
    party: &Party,
    wanted: Wanted,
    presence: &mut Presence,
) -> Result<Call, Unheard> {
    loop {
        let caller = Caller {
            door: "freeswitch",
            peer: None,
            id: Some(party.uuid.clone()),
        };
        match bridge.exchange.open(caller, wanted.clone()).await {
            Ok(call) => return Ok(call),
            Err(refusal) if refusal.is_passing() && !presence.is_over() => {
                presence.wait(Duration::from_secs(2)).await;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
}

/// Pushes what is recorded until the call is over.
async fn pour(
    mut feed: Feed,
    presence: &mut Presence,
    recording: &mut Recording,
    mut level: impl FnMut(Level),
    format: Format,
) -> Result<(), Unheard> {
    let mut meter = Meter::new(format);
    let mut grew = Instant::now();
    let mut asked = Instant::now();
    let mut succession = Succession::default();
    loop {
        let bytes = recording.read().await?;
        meter.push(&bytes).into_iter().for_each(&mut level);
        if !bytes.is_empty() {
            grew = Instant::now();
            // It may wait for a busy machine; the recording's limit does not.
            let push = feed.push(&bytes);
            tokio::pin!(push);
            loop {
                tokio::select! {
                    pushed = &mut push => match pushed {
                        Ok(()) => break,
                        Err(_) => return Ok(()),
                    },
                    () = sleep(LOOK) => succession.look(presence, recording).await,
                }
            }
        }
        if presence.is_over() {
            let is_all = !presence.is_there() && grew.elapsed() >= REST;
            if is_all || (bytes.is_empty() && presence.is_there()) {
                break;
            }
        } else if grew.elapsed() > STILL && asked.elapsed() > STILL {
            asked = Instant::now();
            presence.ask().await;
            presence.give_up_alone();
        }
        succession.look(presence, recording).await;
        if bytes.is_empty() {
            presence.wait(LOOK).await;
        }
    }
    feed.end();
    Ok(())
}

/// When the next recording is to be begun.
#[derive(Default)]
struct Succession {
    /// Somebody else stopped the current one.
    stopped: bool,
    /// Not before, because it failed a moment ago.
    retry: Option<Instant>,
}

impl Succession {
    async fn look(&mut self, presence: &mut Presence, recording: &mut Recording) {
        if presence.is_over() {
            return;
        }
        if presence
            .take_stopped()
            .is_some_and(|path| recording.is(&path))
        {
            // Mostly the call's end, which is told a moment later.
            presence.wait(Duration::from_secs(1)).await;
            presence.ask().await;
            self.stopped = !presence.is_over();
            if self.stopped {
                tracing::warn!("the recording of a call was stopped; it is begun again");
            }
        }
        let is_time = self.retry.is_none_or(|retry| Instant::now() >= retry);
        if !is_time || !(self.stopped || recording.is_due()) {
            return;
        }
        let running = !self.stopped && !recording.is_past();
        match recording.succeed(running).await {
            Ok(()) => *self = Succession::default(),
            Err(err) => {
                // A call that ends at this moment, mostly.
                presence.ask().await;
                if !presence.is_over() {
                    tracing::warn!("{err}; it is tried again");
                }
                self.retry = Some(Instant::now() + AGAIN);
            }
        }
    }
}

struct Teller<'a> {
    bridge: &'a Bridge,
    who: String,
    transcript: &'a Mutex<Transcript>,
    actions: Actions,
    interrupts: bool,
}

impl Teller<'_> {
    /// Tells everything to the end; how many words it was.
    async fn tell(&self, mut events: Events) -> usize {
        let mut count = 0;
        while let Some(event) = events.next().await {
            lock(self.transcript).event(&event);
            match &event {
                Event::Words(words) => {
                    count += words.words.len();
                    self.words(words);
                }
                Event::BargeIn { span, .. } if self.interrupts && is_remote(&span.leg) => {
                    self.line(span.leg.as_deref(), span.start, "interrupts");
                    self.actions.stop_prompts();
                }
                Event::Verdict(verdict) => {
                    let text = format!(
                        "answered by: {} ({}, {:.0} % sure, {:.1} s of audio)",
                        verdict.result,
                        verdict.cause,
                        verdict.confidence * 100.0,
                        verdict.took.as_secs_f64()
                    );
                    self.line(verdict.leg.as_deref(), verdict.took, &text);
                    self.actions.verdict(verdict);
                }
                Event::GreetingEnd { span, cause } => {
                    self.line(span.leg.as_deref(), span.start, "the greeting has ended");
                    self.actions.set("whisperstream_greeting_end", cause);
                }
                Event::Beep { span, frequency } => {
                    let text = format!("a beep of {frequency:.0} Hz");
                    self.line(span.leg.as_deref(), span.start, &text);
                    self.actions
                        .set("whisperstream_beep", format!("{frequency:.0}"));
                }
                _ => {}
            }
        }
        count
    }

    fn words(&self, words: &Words) {
        self.line(
            words.span.leg.as_deref(),
            words.span.start,
            words.text.trim(),
        );
    }

    fn level(&self, level: &Level) {
        if self.bridge.options.energy {
            let db: Vec<_> = level.db.iter().map(|db| format!("{db:.1} dB")).collect();
            let at = Duration::from_secs_f64(level.start);
            self.line(None, at, &db.join("  "));
            let db = &level.db;
            let line = serde_json::json!({"type": "energy", "start": level.start, "db": db});
            lock(self.transcript).write(line);
        }
    }

    /// Who, when, what.
    fn line(&self, leg: Option<&str>, at: Duration, what: &str) {
        let (minutes, seconds) = (at.as_secs() / 60, at.as_secs_f64() % 60.0);
        let leg = leg.map(|leg| format!(" {leg}")).unwrap_or_default();
        let line = format!("[{}{leg} {minutes}:{seconds:05.2}] {what}", self.who);
        self.bridge.paper.line(line);
    }
}

fn is_remote(leg: &Option<String>) -> bool {
    leg.as_deref() == Some("remote")
}

/// The far end's number, as far as there is one.
fn who(party: &Party) -> String {
    let number = match party.direction.as_str() {
        "outbound" => &party.callee,
        _ => &party.caller,
    };
    let plain: String = number
        .chars()
        .filter(|c| !c.is_control())
        .take(40)
        .collect();
    match plain.is_empty() {
        true => party.uuid.chars().take(8).collect(),
        false => plain,
    }
}

fn lock(transcript: &Mutex<Transcript>) -> std::sync::MutexGuard<'_, Transcript> {
    transcript.lock().unwrap_or_else(PoisonError::into_inner)
}
