//! A call's legs on one clock, fed into one [`crate::call`]: as they arrive, or as a capture has them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::codec::Formats;
use super::dtmf::Digit;
use super::leg::Leg;
use super::print::Printer;
use super::{RATE, samples, time};
use crate::call::{Encoding, Format, Source, Wanted};
use crate::exchange::{Call, Events, Phase};

/// How a call is followed.
#[derive(Clone, Copy, Debug)]
pub struct Following {
    /// How long a packet may be late (or out of order) and still be heard.
    pub latency: Duration,
    /// A call without any packet for so long is over; zero: it stays.
    pub timeout: Duration,
}

impl Default for Following {
    fn default() -> Self {
        Following {
            latency: Duration::from_millis(200),
            timeout: Duration::ZERO,
        }
    }
}

/// What happens to a call from outside.
#[derive(Debug)]
pub enum Input {
    /// A datagram for a leg.
    Packet {
        leg: usize,
        at: Instant,
        bytes: Box<[u8]>,
    },
    /// From now on a leg's payload types mean this.
    Formats { leg: usize, formats: Formats },
    /// The call's clock starts, if it has not: it was answered.
    Answered { at: Instant },
    /// A leg is on hold or not any more, on purpose.
    Held { leg: usize, held: bool },
    /// A key that was told beside the audio.
    Digit { leg: usize, digit: char },
}

/// Datagrams that wait for a call at most: a minute of two legs.
pub const WAITING: usize = 6_000;
/// Audio goes on in steps of this at most.
const STEP: Duration = Duration::from_millis(100);
/// How often it goes on, while packets arrive.
const TICK: Duration = Duration::from_millis(40);
/// A leg that sends nothing for so long is said to have stopped.
const STOPPED: Duration = Duration::from_secs(2);

/// The legs of a call and how far they were heard.
pub struct Conversation {
    pub legs: Vec<Leg>,
    position: Duration,
    /// Which of them stopped.
    stopped: Vec<bool>,
    held: Vec<bool>,
    /// Since when silence counts: a hold does not.
    awake: Duration,
}

impl Conversation {
    pub fn new(legs: Vec<Leg>) -> Conversation {
        let count = legs.len();
        Conversation {
            legs,
            position: Duration::ZERO,
            stopped: vec![false; count],
            held: vec![false; count],
            awake: Duration::ZERO,
        }
    }

    /// The call that is wanted for it.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            source: Source::Raw(Format {
                encoding: Encoding::S16le,
                rate: RATE,
                channels: u32::try_from(self.legs.len()).unwrap_or(1),
            }),
            legs: self.legs.iter().map(|leg| leg.name.clone()).collect(),
            ..Wanted::default()
        }
    }

    pub fn push(&mut self, leg: usize, datagram: &[u8], at: Duration) {
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.push(datagram, at);
        }
    }

    /// The next samples of all legs, interleaved, at most to `until`. `None`: all is taken up to there.
    pub fn take(&mut self, until: Duration) -> Option<Vec<u8>> {
        let end = until.min(self.position + STEP);
        let count = samples(end).checked_sub(samples(self.position))?;
        if count == 0 {
            return None;
        }
        let legs = self.legs.len().max(1);
        let count = usize::try_from(count).ok()?;
        let mut bytes = vec![0; count * legs * 2];
        let mut heard = Vec::with_capacity(count);
        for (number, leg) in self.legs.iter_mut().enumerate() {
            heard.clear();
            leg.take(end, &mut heard);
            let places = bytes.chunks_exact_mut(2).skip(number).step_by(legs);
            for (place, sample) in places.zip(&heard) {
                place.copy_from_slice(&sample.to_le_bytes());
            }
        }
        self.position = time(samples(end));
        Some(bytes)
    }

    /// How long nothing came, holds apart.
    fn silence(&self, now: Duration) -> Duration {
        if !self.held.is_empty() && self.held.iter().all(|held| *held) {
            return Duration::ZERO;
        }
        let heard = self.legs.iter().filter_map(|leg| leg.heard).max();
        now.saturating_sub(heard.unwrap_or_default().max(self.awake))
    }

    fn hold(&mut self, leg: usize, held: bool, now: Duration, printer: &Printer) {
        let Some((state, leg)) = self.held.get_mut(leg).zip(self.legs.get(leg)) else {
            return;
        };
        if *state != held {
            *state = held;
            self.awake = now;
            printer.held(&leg.name, held, now);
        }
    }

    /// Tells keys, and legs that stop and go on.
    fn tell(&mut self, now: Duration, printer: &Printer) {
        let states = self.stopped.iter_mut().zip(&self.held);
        for (leg, (stopped, held)) in self.legs.iter_mut().zip(states) {
            for digit in leg.digits(now) {
                printer.digit(&leg.name, &digit);
            }
            let Some(heard) = leg.heard else { continue };
            let silent = now.saturating_sub(heard);
            if silent > STOPPED && !*stopped && !held {
                *stopped = true;
                printer.stopped(&leg.name, heard);
            } else if silent <= STOPPED && *stopped {
                *stopped = false;
                printer.resumed(&leg.name, heard);
            }
        }
    }

    fn over(&mut self, printer: &Printer) {
        for leg in &mut self.legs {
            for digit in leg.last_digits() {
                printer.digit(&leg.name, &digit);
            }
            printer.count(&leg.name, &leg.count);
        }
    }
}

/// Tells a call's events, to the end.
async fn told(mut events: Events, printer: Printer) {
    while let Some(event) = events.next().await {
        printer.event(&event);
    }
}

/// Follows a call as it happens, until `end` is cancelled, the senders of `inputs` are gone, or nothing comes for too long.
pub async fn live(
    call: Call,
    mut conversation: Conversation,
    mut inputs: mpsc::Receiver<Input>,
    following: Following,
    printer: Printer,
    end: CancellationToken,
) {
    let Call {
        mut feed,
        events,
        mut phase,
        ..
    } = call;
    let tell = told(events, printer.clone());
    let hear = async {
        let mut zero: Option<Instant> = None;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let is_tick = tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => {
                        take_in(&mut conversation, &mut zero, input, &printer);
                        false
                    }
                    None => break,
                },
                _ = ticks.tick(), if zero.is_some() => true,
                () = end.cancelled() => break,
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
            };
            let Some(start) = zero.filter(|_| is_tick) else {
                continue;
            };
            // The audio may have been held back meanwhile: what arrived in time is to be there in time.
            let now = start.elapsed();
            while let Ok(input) = inputs.try_recv() {
                take_in(&mut conversation, &mut zero, input, &printer);
            }
            conversation.tell(now, &printer);
            let until = now.saturating_sub(following.latency);
            while let Some(audio) = conversation.take(until) {
                if feed.push(&audio).await.is_err() {
                    return conversation.over(&printer);
                }
            }
            if !following.timeout.is_zero() && conversation.silence(now) > following.timeout {
                printer.note(&format!(
                    "nothing came for {} s: the call is over",
                    following.timeout.as_secs_f64()
                ));
                break;
            }
        }
        while let Ok(input) = inputs.try_recv() {
            take_in(&mut conversation, &mut zero, input, &printer);
        }
        if let Some(start) = zero {
            while let Some(audio) = conversation.take(start.elapsed()) {
                if feed.push(&audio).await.is_err() {
                    break;
                }
            }
        }
        conversation.over(&printer);
        feed.end();
    };
    tokio::join!(hear, tell);
}

fn take_in(
    conversation: &mut Conversation,
    zero: &mut Option<Instant>,
    input: Input,
    printer: &Printer,
) {
    match input {
        Input::Packet { leg, at, bytes } => {
            let zero = *zero.get_or_insert(at);
            conversation.push(leg, &bytes, at.saturating_duration_since(zero));
        }
        Input::Formats { leg, formats } => {
            if let Some(leg) = conversation.legs.get_mut(leg) {
                leg.formats = formats;
            }
        }
        Input::Answered { at } => {
            zero.get_or_insert(at);
        }
        Input::Held { leg, held } => {
            let now = zero.map(|zero| zero.elapsed()).unwrap_or_default();
            conversation.hold(leg, held, now, printer);
        }
        Input::Digit { leg, digit } => {
            let now = zero.map(|zero| zero.elapsed()).unwrap_or_default();
            if let Some(leg) = conversation.legs.get(leg) {
                let digit = Digit {
                    digit,
                    start: now,
                    end: now,
                };
                printer.digit(&leg.name, &digit);
            }
        }
    }
}

/// Follows a call that was captured, as fast as it can be heard. Packets come with their time from the capture's beginning.
pub async fn replay(
    call: Call,
    mut conversation: Conversation,
    mut packets: mpsc::Receiver<(usize, Duration, Box<[u8]>)>,
    following: Following,
    printer: Printer,
) {
    let Call {
        mut feed,
        events,
        mut phase,
        ..
    } = call;
    let tell = told(events, printer.clone());
    let hear = async {
        let mut end = Duration::ZERO;
        loop {
            let packet = tokio::select! {
                packet = packets.recv() => packet,
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => None,
            };
            let Some((leg, at, bytes)) = packet else {
                break;
            };
            // Captures of several interfaces may be a little out of order.
            end = end.max(at);
            conversation.tell(end, &printer);
            let until = end.saturating_sub(following.latency);
            while let Some(audio) = conversation.take(until) {
                if feed.push(&audio).await.is_err() {
                    return conversation.over(&printer);
                }
            }
            conversation.push(leg, &bytes, at);
        }
        let end = end + following.latency;
        conversation.tell(end, &printer);
        while let Some(audio) = conversation.take(end) {
            if feed.push(&audio).await.is_err() {
                break;
            }
        }
        conversation.over(&printer);
        feed.end();
    };
    tokio::join!(hear, tell);
}

/// To which leg of a call a datagram belongs, by where it came from. `None`: to none.
pub type Whose = Box<dyn FnMut(SocketAddr) -> Option<usize> + Send>;

/// Passes what arrives on a socket on, until the call is gone or `end` is cancelled.
pub async fn receive(
    socket: Arc<UdpSocket>,
    mut whose: Whose,
    to: mpsc::Sender<Input>,
    end: CancellationToken,
) {
    // A datagram of RTP fits an Ethernet frame; a larger one is cut and will not parse.
    let mut bytes = vec![0; 4 * 1024];
    let mut dropped = 0u64;
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut bytes) => received,
            () = end.cancelled() => return,
            () = to.closed() => return,
        };
        let (length, peer) = match received {
            Ok(received) => received,
            // An earlier answer that found nobody: no fault of who sends.
            Err(err) => {
                tracing::debug!("a socket for RTP reports: {err}");
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        let at = Instant::now();
        let (Some(leg), Some(datagram)) = (whose(peer), bytes.get(..length)) else {
            continue;
        };
        let bytes = datagram.into();
        if to.try_send(Input::Packet { leg, at, bytes }).is_err() {
            dropped += 1;
            if dropped.is_power_of_two() {
                tracing::warn!(%peer, "more arrives than can be heard: {dropped} packets were dropped");
            }
        }
    }
}
