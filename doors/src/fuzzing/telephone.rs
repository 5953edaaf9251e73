//! What comes from telephone exchanges: AudioSocket, FreeSWITCH, SIP, RTP and captures of it.

use std::io::{Seek, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use freeswitch_esl_tokio::{EslClient, EslEvent};
use rsipstack::sip::{Request, SipMessage};
use tokio::io::BufReader;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{headed, pieces, told};
use crate::dialects::audiosocket as socket;
use crate::exchange::Phase;
use crate::freeswitch::link::Happening;
use crate::freeswitch::{channel, energy, growing, layout, link, recording as recorded, seam};
use crate::tap::codec::{CodecOption, Formats};
use crate::tap::dtmf::{Keys, Report};
use crate::tap::leg::{Count, Leg};
use crate::tap::sip::{Answer, Body, Parties, dialog};
use crate::tap::stream::{Arrived, Stream};
use crate::tap::{capture, sdp as description};

/// Waits are not waited for here: all there is to read is there.
const PATIENCE: Duration = Duration::from_secs(60);

thread_local! {
    static RUNTIME: Option<Runtime> = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok();
}

fn wait<T>(work: impl Future<Output = T>) -> Option<T> {
    RUNTIME.with(|runtime| Some(runtime.as_ref()?.block_on(work)))
}

/// Frames to the end, as a connection brings them.
pub fn audiosocket(bytes: &[u8]) -> String {
    let (_open, phase) = watch::channel(Phase::Open);
    let mut frames = socket::Frames {
        from: BufReader::new(bytes),
        phase,
    };
    let read = wait(async {
        let mut said = Vec::new();
        while let Some((kind, payload)) = frames.next(PATIENCE).await? {
            said.push(match (kind, socket::rate_of(kind)) {
                (_, Some(rate)) => format!("{rate}"),
                (0xff, _) => socket::reported(&payload).to_string(),
                (kind, None) => format!("{}", kind.min(4)),
            });
            if said.len() > 64 {
                break;
            }
        }
        said.dedup();
        Ok::<_, socket::Fault>(said.join(" "))
    });
    read.map_or_else(String::new, told)
}

/// An event as the library hands it over: lines of headers, a body behind an empty one.
pub fn esl(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut event = EslEvent::new();
    for (name, value) in head.lines().take(64).filter_map(|it| it.split_once(':')) {
        event.set_header(name.trim(), value.trim());
    }
    event.set_body(body);
    match link::happening(&event) {
        None => "nothing".into(),
        Some(Happening::Answered(party)) => format!("answered {}", party.direction.len().min(9)),
        Some(Happening::HungUp(_)) => "hung up".into(),
        Some(Happening::Recorded { path, .. }) => format!("recorded {}", path.is_empty()),
        Some(Happening::Job { .. }) => "job".into(),
        Some(Happening::Up | Happening::Refused(_)) => "up".into(),
    }
}

/// A connection of FreeSWITCH's: its bytes as they come, read by the library, and the events in them by us.
pub fn esl_wire(bytes: &[u8]) -> String {
    let read = wait(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (ours, _) = listener.accept().await?;
        let (_client, mut events) = EslClient::accept_outbound_stream(ours);
        theirs.write_all(bytes)?;
        drop(theirs);
        let mut said = Vec::new();
        while let Some(event) = events.recv().await {
            said.push(match event {
                Ok(event) => format!("{}", link::happening(&event).is_some()),
                Err(err) => err.to_string(),
            });
        }
        said.dedup();
        Ok::<_, std::io::Error>(said.join(" "))
    });
    read.map_or_else(String::new, told)
}

/// What `show channels as json` answers.
pub fn esl_channels(bytes: &[u8]) -> String {
    match channel::parties(&String::from_utf8_lossy(bytes)) {
        Some(parties) => format!("{} parties", parties.len().min(9)),
        None => "no table".into(),
    }
}

/// A file that grows, is cut off and written anew: a piece's first byte says which. What was read is looked at as a recording.
pub fn recording(bytes: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("whisperstream-fuzz-{}", std::process::id()));
    let Ok(mut file) = std::fs::File::create(&path) else {
        return "no file".into();
    };
    let mut read = Vec::new();
    let mut growth = layout::Growth::since(Instant::now());
    let outcome = wait(async {
        let mut growing = growing::Growing::new(path.clone(), String::new());
        for piece in pieces(bytes).take(16) {
            let Some((how, piece)) = piece.split_first() else {
                continue;
            };
            let written = match how % 4 {
                0 => file.set_len(u64::from(*how) * 16),
                1 => file.rewind(),
                _ => Ok(()),
            };
            if written.and_then(|()| file.write_all(piece)).is_err() {
                break;
            }
            let length = growing.length().await?;
            growth.note(
                Instant::now() + Duration::from_millis(read.len() as u64),
                length,
            );
            // A look reads some, and the last one reads to the end.
            for _ in 0..64 {
                let before = read.len();
                let count = growing.read(&mut read).await?;
                assert_eq!(read.len(), before + count);
                if count == 0 {
                    break;
                }
            }
        }
        Ok::<_, recorded::Unheard>(())
    });
    drop(file);
    let _ = std::fs::remove_file(&path);
    if let Some(Err(unheard)) = outcome {
        return unheard.to_string();
    }
    let channels = u32::from(bytes.first().copied().unwrap_or_default() % 3);
    let possible = layout::possible(channels, bytes.len().is_multiple_of(2), Some(8_000));
    let format = layout::decide(&possible, growth.rate().or(growth.guess()), &read);
    let (head, tail) = read.split_at(read.len() / 2);
    let about = bytes.len() * 7;
    let same = seam::overlap(head, tail, about, format);
    assert!(
        same <= tail.len() + format.frame(),
        "{same} of {}",
        tail.len()
    );
    let levels = energy::Meter::new(format).push(&read);
    // In words: it is by them that the fuzzer tells what is new.
    let rate = match format.rate {
        ..=8_000 => "narrow",
        8_001..=16_000 => "wide",
        _ => "full",
    };
    let channels = if format.channels == 1 {
        "mono"
    } else {
        "stereo"
    };
    let (seam, levels) = (same > 0, !levels.is_empty());
    format!("{rate} {channels} {seam} {levels}")
}

/// An offer, and what is answered: as many streams, which can be read again.
pub fn sdp(bytes: &[u8]) -> String {
    if let Ok(session) = description::parse(bytes) {
        for audio in description::audio(&session) {
            assert!(audio.port > 0 && !(audio.is_audible() && audio.formats().is_empty()));
        }
    }
    told(Answer::to(bytes).map(|answer| {
        let ports: Vec<u16> = (0..answer.streams.len() as u16)
            .map(|n| 16_384 + 2 * n)
            .collect();
        let text = answer.describe(IpAddr::V4(Ipv4Addr::LOCALHOST), &ports, 1, 2);
        let back = description::parse(&text).map(|session| session.medias.len());
        let offered = description::parse(bytes).map(|session| session.medias.len());
        assert_eq!(
            back.ok(),
            offered.ok(),
            "{}",
            String::from_utf8_lossy(&text)
        );
        format!("{} streams", answer.streams.len())
    }))
}

/// The first line is a `Content-Type`, then the body of an INVITE.
pub fn siprec(bytes: &[u8]) -> String {
    let (kind, rest) = headed(bytes);
    let body = Body::read(&kind, rest);
    let metadata = body.metadata.as_deref().map(|metadata| {
        told(Parties::read(metadata).map(|parties| format!("{}", parties.of("96").is_some())))
    });
    format!("{} {}", body.sdp.is_some(), metadata.unwrap_or_default())
}

/// A message of SIP, as it comes in a datagram.
pub fn sip(bytes: &[u8]) -> String {
    let message = match SipMessage::try_from(bytes) {
        Ok(message) => message,
        Err(err) => return err.to_string(),
    };
    let Ok(request) = Request::try_from(message) else {
        return "a response".into();
    };
    let body = dialog::body(&request);
    let body = body.map_or_else(
        |no| no.headers().len(),
        |body| usize::from(body.sdp.is_some()),
    );
    let caller = dialog::caller(&request);
    assert!(caller.chars().count() <= 64);
    format!(
        "{} {body} {} {} {}",
        request.method,
        dialog::required(&request).len().min(9),
        dialog::info_digit(&request).is_some(),
        caller.is_empty(),
    )
}

/// Datagrams of one leg; a piece's first byte is how long after the one before it comes, in units of 5 ms.
pub fn rtp(bytes: &[u8]) -> String {
    let (mut streams, mut keys) = (Vec::<Stream>::new(), Keys::default());
    let formats = Formats::default();
    let mut now = Duration::ZERO;
    let mut said = String::new();
    for piece in pieces(bytes).take(256) {
        let Some((wait, datagram)) = piece.split_first() else {
            continue;
        };
        now += Duration::from_millis(5) * u32::from(*wait);
        let Some(packet) = capture::rtp(datagram) else {
            said.push('x');
            continue;
        };
        let Some(payload) = formats.get(packet.payload_type()) else {
            said.push('u');
            continue;
        };
        let report = Report::read(packet.payload(), payload.clock);
        let arrived = Arrived {
            sequence: packet.sequence_number(),
            timestamp: packet.timestamp(),
            payload,
            bytes: packet.payload(),
            at: now,
            behind: report.map_or(Duration::ZERO, |report| report.length),
        };
        let known = streams.iter_mut().find(|it| it.ssrc == packet.ssrc());
        let kept = match known {
            Some(stream) => stream.push(arrived),
            None => {
                let mut stream = Stream::new(packet.ssrc(), packet.sequence_number(), now);
                let kept = stream.push(arrived);
                streams.push(stream);
                kept
            }
        };
        if let (crate::tap::stream::Kept::At(start), Some(report)) = (kept, report) {
            let digit = keys.report(packet.timestamp(), report, start, now);
            said.extend(digit.map(|digit| digit.digit));
        }
        said.extend(keys.abandoned(now).map(|_| 'd'));
        for stream in &mut streams {
            while let Some((placed, missing)) =
                stream.take(now.saturating_sub(Duration::from_millis(200)))
            {
                assert!(placed.time < now);
                said.push(if missing > 0 { 'm' } else { 'a' });
            }
        }
    }
    said.extend(keys.finish().map(|_| 'f'));
    said
}

/// As [`rtp`], with GStreamer's decoders behind it, to samples on the call's clock.
pub fn rtp_leg(bytes: &[u8]) -> String {
    if let Err(err) = crate::init() {
        return err.to_string();
    }
    let (formats, datagrams) = headed(bytes);
    let formats = formats
        .split(' ')
        .filter_map(|codec| codec.parse::<CodecOption>().ok());
    let mut leg = Leg::new("leg", formats.collect());
    let (mut now, mut heard, mut digits) = (Duration::ZERO, Vec::new(), 0);
    for piece in pieces(datagrams).take(64) {
        let Some((wait, datagram)) = piece.split_first() else {
            continue;
        };
        now += Duration::from_millis(5) * u32::from(*wait);
        leg.push(datagram, now);
        heard.clear();
        leg.take(now.saturating_sub(Duration::from_millis(200)), &mut heard);
        digits += leg.digits(now).len();
    }
    leg.take(now + Duration::from_millis(200), &mut heard);
    digits += leg.last_digits().len();
    let Count {
        packets,
        lost,
        late,
        undecodable,
        ..
    } = leg.count;
    let some = |count: u64| count > 0;
    format!(
        "{} {} {} {} {digits}",
        some(packets),
        some(lost),
        some(late),
        some(undecodable)
    )
}

/// A capture: what `--list` shows of it, and who is heard.
pub fn pcap(bytes: &[u8]) -> String {
    let flows = capture::flows_from(bytes, "the capture");
    told(flows.map(|flows| {
        let shown: usize = flows.iter().map(|flow| flow.to_string().len()).sum();
        let heard = capture::conversation(&flows);
        format!(
            "{} flows {} heard {}",
            flows.len().min(9),
            heard.len(),
            shown > 0
        )
    }))
}
