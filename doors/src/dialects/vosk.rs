//! Vosk's server: audio in binary messages, and for each exactly one reply.
//!
//! A client may wait for the reply before it sends on, so no reply waits for speech: it has what is decided by then.

use axum::Router;
use axum::extract::ws::{WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::link::{self, Ear, Heard, Mouth, PING_EVERY, Stuck};
use super::settings_of;
use super::text::{bare, joined, seconds};
use crate::call::{Control, Encoding, Event, Feed, Format, Setting, Source, Wanted, Word};
use crate::exchange::{Call, Caller, Events, Exchange};
use crate::http::Peer;

/// Longest message of a client, bytes.
const LONGEST: usize = 1 << 20;
/// Hz, where a client names none.
const RATE: f64 = 8_000.0;

/// On the port of all HTTP doors.
pub fn routes() -> Router<Exchange> {
    Router::new().route("/vosk", get(open))
}

/// On a port of its own, where clients expect it.
pub fn root(exchange: Exchange) -> Router {
    Router::new().route("/", get(open)).with_state(exchange)
}

async fn open(
    State(exchange): State<Exchange>,
    Peer(peer): Peer,
    Query(pairs): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.max_message_size(LONGEST).max_frame_size(LONGEST);
    upgrade.on_upgrade(move |socket| async move {
        let (mut ear, mut mouth) = link::ends(socket, exchange.phase());
        let mut given = pairs.iter().rev();
        let punctuate = given.find(|(name, _)| name == "punctuate");
        let session = Session {
            exchange,
            caller: Caller {
                door: "vosk",
                peer,
                id: None,
            },
            settings: settings_of(&pairs, &["punctuate"]),
            rate: RATE,
            manner: Manner {
                words: true,
                alternatives: 0,
                punctuate: punctuate.is_some_and(|(_, value)| value == "true"),
            },
            call: None,
            ended: None,
            said: Said::default(),
        };
        let (code, reason) = match session.talk(&mut ear, &mut mouth).await {
            Ok(()) => (close_code::NORMAL, String::new()),
            Err(Fault::Stuck(stuck)) => {
                tracing::info!(
                    door = "vosk",
                    peer = peer.map(tracing::field::display),
                    "a client is let go: {stuck}"
                );
                return;
            }
            Err(Fault::Says(code, says)) => {
                tracing::info!(
                    door = "vosk",
                    peer = peer.map(tracing::field::display),
                    "a client is sent away: {says}"
                );
                (code, says)
            }
        };
        if mouth.close_for(code, &reason).await.is_ok() {
            let _ = timeout(link::LINGER, ear.ignore()).await;
        }
    })
}

/// Why a client is sent away.
pub(crate) enum Fault {
    Stuck(Stuck),
    /// A close code and a sentence: the protocol has no message for it.
    Says(u16, String),
}

impl From<Stuck> for Fault {
    fn from(stuck: Stuck) -> Fault {
        Fault::Stuck(stuck)
    }
}

/// How results are worded.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// Whether times and confidence of each word are told.
    words: bool,
    /// 0: one text; more: a list of texts, of which this server has one.
    alternatives: u32,
    /// Capitals and punctuation, which Vosk's own models do not have.
    punctuate: bool,
}

struct Session {
    exchange: Exchange,
    caller: Caller,
    settings: Vec<Setting>,
    /// Hz
    rate: f64,
    manner: Manner,
    /// From the first audio on: until then the client may say what it sends.
    call: Option<(Feed, Events, Control)>,
    ended: Option<Events>,
    said: Said,
}

#[derive(Deserialize)]
pub(crate) struct Order {
    pub(crate) config: Option<Config>,
    eof: Option<Value>,
    reset: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Config {
    sample_rate: Option<f64>,
    words: Option<bool>,
    max_alternatives: Option<u32>,
    phrase_list: Option<Vec<String>>,
    /// Ours.
    language: Option<String>,
    /// Ours.
    punctuate: Option<bool>,
}

impl Session {
    async fn talk(mut self, ear: &mut Ear, mouth: &mut Mouth) -> Result<(), Fault> {
        let mut ping = interval(PING_EVERY);
        loop {
            let heard = tokio::select! {
                heard = ear.next() => heard,
                event = next(&mut self.call) => {
                    self.said.note(event)?;
                    continue;
                }
                _ = ping.tick() => {
                    mouth.ping().await?;
                    continue;
                }
            };
            let reply = match heard {
                Some(Heard::Bytes(audio)) => {
                    self.audio(&audio).await?;
                    self.said.reply(self.manner)
                }
                Some(Heard::Text(text)) => match order(&text)? {
                    Order {
                        config: Some(config),
                        ..
                    } => {
                        self.configure(config)?;
                        continue;
                    }
                    Order { eof: Some(_), .. } => {
                        self.end().await?;
                        mouth.say(self.said.result(self.manner).to_string()).await?;
                        return Ok(());
                    }
                    Order { reset: Some(_), .. } => {
                        self.flush().await?;
                        self.said.result(self.manner)
                    }
                    _ => return Err(no_order("it has none of the keys config, eof and reset")),
                },
                None => return self.end().await,
            };
            mouth.say(reply.to_string()).await?;
        }
    }

    /// Pushes audio, reads what is told meanwhile, and what is there already behind it.
    async fn audio(&mut self, audio: &[u8]) -> Result<(), Fault> {
        if self.call.is_none() {
            self.call = Some(self.open().await?);
        }
        let Some((feed, events, _)) = &mut self.call else {
            return Ok(());
        };
        let mut push = std::pin::pin!(feed.push(audio));
        loop {
            tokio::select! {
                // A call that is over tells why.
                pushed = &mut push => match pushed {
                    Ok(()) => break,
                    Err(_) => return self.said.read_to(events, |event| *event == Event::Ended).await,
                },
                event = events.next() => self.said.note(event)?,
            }
        }
        while let Some(event) = events.next().now_or_never() {
            self.said.note(event)?;
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(Feed, Events, Control), Fault> {
        let wanted = Wanted {
            source: Source::Raw(Format {
                encoding: Encoding::S16le,
                rate: self.rate as u32,
                channels: 1,
            }),
            settings: std::iter::once(Setting::new("interim", "true"))
                .chain(std::mem::take(&mut self.settings))
                .collect(),
            ..Wanted::default()
        };
        match self.exchange.open(self.caller.clone(), wanted).await {
            Ok(Call {
                feed,
                events,
                control,
                ..
            }) => Ok((feed, events, control)),
            Err(refusal) if refusal.is_passing() => {
                Err(Fault::Says(close_code::AGAIN, refusal.to_string()))
            }
            Err(refusal) => Err(Fault::Says(close_code::POLICY, refusal.to_string())),
        }
    }

    /// Takes what is new for good; the rate only before there is audio, as the original does.
    fn configure(&mut self, config: Config) -> Result<(), Fault> {
        if let Some(rate) = config.rate()? {
            match self.call {
                None => self.rate = rate,
                Some(_) if rate == self.rate => {}
                Some(_) => tracing::info!(
                    door = "vosk",
                    "sample_rate stays {}: it can only be set before the first audio",
                    self.rate
                ),
            }
        }
        self.manner.words = config.words.unwrap_or(self.manner.words);
        self.manner.alternatives = config.max_alternatives.unwrap_or(self.manner.alternatives);
        self.manner.punctuate = config.punctuate.unwrap_or(self.manner.punctuate);
        for setting in config.settings()? {
            match &self.call {
                None => self.settings.push(setting),
                Some((_, _, control)) => {
                    control
                        .set(&setting)
                        .map_err(|err| refused(err.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// Hears all so far.
    async fn flush(&mut self) -> Result<(), Fault> {
        let Some((feed, events, _)) = &mut self.call else {
            return Ok(());
        };
        // A call that is over has nothing left to say.
        let _ = feed.flush("reset");
        let is_end = |event: &Event| matches!(event, Event::Flushed { .. } | Event::Ended);
        self.said.read_to(events, is_end).await
    }

    /// Hears all there is.
    async fn end(&mut self) -> Result<(), Fault> {
        let Some((feed, events, _)) = self.call.take() else {
            return Ok(());
        };
        feed.end();
        // The call is there until its client has all.
        let events = self.ended.insert(events);
        let is_end = |event: &Event| *event == Event::Ended;
        self.said.read_to(events, is_end).await
    }
}

impl Config {
    /// Hz, if it names a rate.
    pub(crate) fn rate(&self) -> Result<Option<f64>, Fault> {
        match self.sample_rate {
            Some(rate) if !(4_000.0..=192_000.0).contains(&rate) => Err(refused(format!(
                "sample_rate cannot be {rate}: it takes 4000 to 192000 hertz"
            ))),
            rate => Ok(rate),
        }
    }

    /// What is the element's own business.
    pub(crate) fn settings(self) -> Result<Vec<Setting>, Fault> {
        let terms = self.phrase_list.map(|phrases| {
            // Marks of Vosk's own grammar (`[unk]`) are no words.
            let phrases = phrases.iter().filter(|phrase| !phrase.starts_with('['));
            let list: Vec<_> = phrases.map(|phrase| phrase.replace(',', " ")).collect();
            Setting::new("keyterms", list.join(", "))
        });
        let language = self
            .language
            .map(|language| Setting::new("language", language));
        let settings: Vec<_> = terms.into_iter().chain(language).collect();
        match settings.iter().any(|setting| setting.value.len() > 2_000) {
            true => Err(refused(
                "phrase_list is too long: at most 2000 bytes together".into(),
            )),
            false => Ok(settings),
        }
    }
}

fn refused(says: String) -> Fault {
    Fault::Says(close_code::POLICY, says)
}

/// Of a call that is not there, none ever.
async fn next(call: &mut Option<(Feed, Events, Control)>) -> Option<Event> {
    match call {
        Some((_, events, _)) => events.next().await,
        None => std::future::pending().await,
    }
}

pub(crate) fn order(text: &str) -> Result<Order, Fault> {
    serde_json::from_str(text).map_err(|err| no_order(&err.to_string()))
}

fn no_order(why: &str) -> Fault {
    let says = format!("the message is no config, eof or reset: {why}");
    Fault::Says(close_code::POLICY, says)
}

/// What was said and not replied yet.
#[derive(Default)]
struct Said {
    /// Of utterances that are over.
    done: Vec<Word>,
    /// Of the one that is not: decided, and what may change behind it.
    committed: Vec<Word>,
    tail: Vec<Word>,
}

impl Said {
    async fn read_to(
        &mut self,
        events: &mut Events,
        is_last: impl Fn(&Event) -> bool,
    ) -> Result<(), Fault> {
        while let Some(event) = events.next().await {
            let last = is_last(&event);
            self.note(Some(event))?;
            if last {
                break;
            }
        }
        Ok(())
    }

    fn note(&mut self, event: Option<Event>) -> Result<(), Fault> {
        match event {
            Some(Event::Words(words)) => {
                self.committed.extend(words.words);
                self.tail.clear();
            }
            Some(Event::Partial(partial)) => self.tail = partial.words,
            Some(Event::Final(_)) => {
                // Not the utterance's own words: a reset may have told some of them already.
                self.done.append(&mut self.committed);
                self.tail.clear();
            }
            Some(Event::Failed { reason }) => return Err(Fault::Says(close_code::ERROR, reason)),
            Some(_) => {}
            None => return Err(Fault::Says(close_code::ERROR, "the call is over".into())),
        }
        Ok(())
    }

    /// To a piece of audio: what is over, or else what is being said.
    fn reply(&mut self, manner: Manner) -> Value {
        if !self.done.is_empty() {
            let words = std::mem::take(&mut self.done);
            return manner.result(&words);
        }
        let words = self.committed.iter().chain(&self.tail);
        let texts: Vec<_> = words.map(|word| manner.word(word)).collect();
        json!({"partial": joined(texts.iter().map(String::as_str))})
    }

    /// All there is.
    fn result(&mut self, manner: Manner) -> Value {
        self.done.append(&mut self.committed);
        self.tail.clear();
        let words = std::mem::take(&mut self.done);
        manner.result(&words)
    }
}

impl Manner {
    fn word(&self, word: &Word) -> String {
        match self.punctuate {
            true => word.text.trim().to_owned(),
            false => bare(&word.text),
        }
    }

    fn result(&self, words: &[Word]) -> Value {
        let texts: Vec<_> = words.iter().map(|word| self.word(word)).collect();
        let text = joined(texts.iter().map(String::as_str));
        let pairs = words
            .iter()
            .zip(&texts)
            .filter(|(_, text)| !text.is_empty());
        let list: Vec<_> = pairs
            .map(|(word, text)| {
                json!({"conf": word.confidence, "start": seconds(word.start), "end": seconds(word.end), "word": text})
            })
            .collect();
        let mut result = json!({"text": text});
        let is_listed = self.words && !list.is_empty();
        if let Some(fields) = result.as_object_mut().filter(|_| is_listed) {
            fields.insert("result".into(), list.into());
        }
        if self.alternatives == 0 {
            return result;
        }
        let sum: f64 = words.iter().map(|word| word.confidence).sum();
        if let Some(fields) = result.as_object_mut() {
            let confidence = sum / words.len().max(1) as f64;
            fields.insert("confidence".into(), confidence.into());
        }
        json!({"alternatives": [result]})
    }
}
