//! `whisperstream-tap rtp`: a conversation that comes as plain RTP, on ports or in a capture.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::capture::{self, BadCapture, Flow};
use super::codec::{CodecOption, Formats, Payload};
use super::conversation::{self, Conversation, Following, WAITING, Whose};
use super::leg::Leg;
use super::print::Printer;
use super::sdp::{self, BadSdp};
use crate::exchange::{Caller, Exchange, Refusal};

/// Where the RTP is, and what it is
#[derive(Args, Clone, Debug, Default)]
pub struct RtpOptions {
    /// UDP port on which a leg of the call arrives; repeat it for the other leg
    #[arg(long, value_name = "PORT")]
    pub port: Vec<u16>,
    /// Address to listen on [default: the one the SDP file names if it is this machine's, else all]
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<IpAddr>,
    /// Name of a leg, in the order of ports (or flows); two names on one port: by who sends
    #[arg(long, value_name = "NAME")]
    pub leg: Vec<String>,
    /// What arrives: pcmu, pcma, g722, opus, l16/16000; with =TYPE for one payload type, as in opus=111
    #[arg(long, value_name = "CODEC")]
    pub codec: Vec<CodecOption>,
    /// What arrives, as GStreamer writes it: application/x-rtp,encoding-name=OPUS,clock-rate=48000,payload=111
    #[arg(long, value_name = "CAPS")]
    pub caps: Vec<CapsOption>,
    /// A session description: ports, codecs and names of the legs
    #[arg(long, value_name = "FILE")]
    pub sdp: Option<PathBuf>,
    /// A capture (pcap, pcapng) instead of ports
    #[arg(long, value_name = "FILE", conflicts_with_all = ["port", "host"])]
    pub pcap: Option<PathBuf>,
    /// Shows the RTP flows of the capture and ends
    #[arg(long, requires = "pcap")]
    pub list: bool,
    /// A flow of the capture: its number in the list, an address, a port, or an SSRC as 0x...; repeat it for the other leg
    #[arg(long, value_name = "WHICH", requires = "pcap")]
    pub flow: Vec<String>,
    /// How long a packet may be late or out of order and still be heard, in milliseconds
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub latency: u64,
    /// The call is over when nothing came for so many seconds; 0: it stays until it is interrupted
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub timeout: f64,
}

/// Why there is no conversation, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum RtpError {
    #[error("say where the RTP is: --port, --sdp or --pcap")]
    NoSource,
    #[error("{0} legs are named, but there are {1}")]
    Names(usize, usize),
    #[error("a call has at most {MOST_LEGS} legs; {0} are too many")]
    TooMany(usize),
    #[error("{0} cannot be read: {1}")]
    SdpFile(String, io::Error),
    #[error("{0}: {1}")]
    Sdp(String, BadSdp),
    #[error("{0} cannot be listened on: {1}; choose another --port or --host")]
    Bind(SocketAddr, io::Error),
    #[error(transparent)]
    Capture(#[from] BadCapture),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// More are no conversation.
const MOST_LEGS: usize = 8;

/// `--caps`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapsOption(CodecOption);

impl FromStr for CapsOption {
    type Err = String;

    fn from_str(text: &str) -> Result<CapsOption, String> {
        let read = || {
            let mut parts = text.split(',').map(str::trim);
            if parts.next() != Some("application/x-rtp") {
                return None;
            }
            let field = |part: &str| {
                let (name, value) = part.split_once('=')?;
                let value = value.trim();
                // As `gst-launch-1.0 -v` prints them: payload=(int)96.
                let value = match value
                    .strip_prefix('(')
                    .and_then(|value| value.split_once(')'))
                {
                    Some((_, value)) => value,
                    None => value,
                };
                Some((
                    name.trim().to_owned(),
                    value.trim_matches(['"', '\\']).to_owned(),
                ))
            };
            let fields: HashMap<_, _> = parts.filter_map(field).collect();
            let payload_type: Option<u8> = match fields.get("payload") {
                Some(number) => Some(number.parse().ok().filter(|number| *number < 128)?),
                None => None,
            };
            let clock = match fields.get("clock-rate") {
                Some(clock) => clock.parse().ok()?,
                None => 8_000,
            };
            let channels = fields
                .get("encoding-params")
                .or_else(|| fields.get("channels"));
            let channels = match channels {
                Some(channels) => channels.parse().ok()?,
                None => 1,
            };
            let payload = match fields.get("encoding-name") {
                Some(name) => Payload::named(name, clock, channels)?,
                None => Formats::fixed(payload_type?)?,
            };
            Some(CapsOption(CodecOption {
                payload_type,
                payload,
            }))
        };
        read().ok_or_else(|| {
            format!(
                "{text:?} is no RTP that can be heard here: write application/x-rtp,encoding-name=PCMU,clock-rate=8000,payload=0"
            )
        })
    }
}

impl RtpOptions {
    pub fn following(&self) -> Following {
        let timeout = Duration::try_from_secs_f64(self.timeout).unwrap_or_default();
        Following {
            latency: Duration::from_millis(self.latency.min(10_000)),
            timeout,
        }
    }

    /// What `--codec` and `--caps` say.
    fn formats(&self) -> Formats {
        let caps = self.caps.iter().map(|caps| caps.0.clone());
        self.codec.iter().cloned().chain(caps).collect()
    }

    /// Names as they were given, else as they come by themselves.
    fn name(&self, number: usize, otherwise: String) -> String {
        self.leg.get(number).cloned().unwrap_or(otherwise)
    }
}

/// Follows one conversation to its end.
pub async fn run(
    options: &RtpOptions,
    exchange: &Exchange,
    printer: Printer,
    end: CancellationToken,
) -> Result<(), RtpError> {
    match &options.pcap {
        Some(path) => replay(path, options, exchange, printer, end).await,
        None => listen(options, exchange, printer, end).await,
    }
}

/// Where a leg arrives.
struct Arrival {
    address: SocketAddr,
    legs: Vec<Leg>,
}

async fn listen(
    options: &RtpOptions,
    exchange: &Exchange,
    printer: Printer,
    end: CancellationToken,
) -> Result<(), RtpError> {
    let arrivals = arrivals(options)?;
    let mut sockets = Vec::new();
    for arrival in &arrivals {
        let socket = bind(arrival.address).map_err(|err| RtpError::Bind(arrival.address, err))?;
        let bound = socket.local_addr().unwrap_or(arrival.address);
        let names: Vec<_> = arrival.legs.iter().map(|leg| leg.name.as_str()).collect();
        tracing::info!("listening for RTP of {} on {bound}", names.join(" and "));
        printer.fact(
            serde_json::json!({"type": "listening", "address": bound.to_string(), "legs": names}),
        );
        sockets.push(Arc::new(socket));
    }
    let (to, inputs) = mpsc::channel(WAITING);
    let mut first = 0;
    let mut receivers = Vec::new();
    for (arrival, socket) in arrivals.iter().zip(sockets) {
        let whose = whose(first, arrival.legs.len());
        first += arrival.legs.len();
        receivers.push(conversation::receive(
            socket,
            whose,
            to.clone(),
            end.clone(),
        ));
    }
    drop(to);
    let legs = arrivals.into_iter().flat_map(|arrival| arrival.legs);
    let conversation = Conversation::new(legs.collect());
    let caller = Caller {
        door: "rtp",
        peer: None,
        id: None,
    };
    let call = exchange.open(caller, conversation.wanted()).await?;
    for receiver in receivers {
        tokio::spawn(receiver);
    }
    conversation::live(
        call,
        conversation,
        inputs,
        options.following(),
        printer,
        end,
    )
    .await;
    Ok(())
}

/// All on one port belongs to its leg; of two legs on one port, who sends first is the first.
fn whose(first: usize, legs: usize) -> Whose {
    let mut senders: Vec<SocketAddr> = Vec::new();
    Box::new(move |peer| {
        if legs == 1 {
            return Some(first);
        }
        let known = senders.iter().position(|sender| *sender == peer);
        let number = known.or_else(|| {
            (senders.len() < legs).then(|| {
                senders.push(peer);
                senders.len() - 1
            })
        });
        if number.is_none() {
            tracing::debug!(%peer, "a third party sends; nobody listens to it");
        }
        number.map(|number| first + number)
    })
}

fn arrivals(options: &RtpOptions) -> Result<Vec<Arrival>, RtpError> {
    let given = options.formats();
    let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let mut arrivals = Vec::new();
    if let Some(path) = &options.sdp {
        let name = path.display().to_string();
        let text = std::fs::read(path).map_err(|err| RtpError::SdpFile(name.clone(), err))?;
        let session = sdp::parse(&text).map_err(|err| RtpError::Sdp(name.clone(), err))?;
        let audio = sdp::audio(&session);
        if audio.is_empty() {
            return Err(RtpError::Sdp(name, BadSdp::NoAudio));
        }
        for (number, audio) in audio.into_iter().enumerate() {
            let port = options.port.get(number).copied().unwrap_or(audio.port);
            let told = audio.address.filter(|address| is_ours(*address));
            let address = SocketAddr::new(options.host.or(told).unwrap_or(all), port);
            let mut formats = audio.formats();
            formats.extend(&given);
            let name = audio.title.or(audio.label);
            let name = options.name(number, name.unwrap_or_else(|| port.to_string()));
            arrivals.push(Arrival {
                address,
                legs: vec![Leg::new(name, formats)],
            });
        }
    } else {
        // Several legs on the only port are told apart by who sends.
        let legs_each = match options.port.as_slice() {
            [_] => options.leg.len().max(1),
            _ => 1,
        };
        for (number, port) in options.port.iter().enumerate() {
            let address = SocketAddr::new(options.host.unwrap_or(all), *port);
            let legs = (0..legs_each).map(|leg| {
                let name = options.name(number + leg, port.to_string());
                Leg::new(name, given.clone())
            });
            arrivals.push(Arrival {
                address,
                legs: legs.collect(),
            });
        }
    }
    let legs = arrivals.iter().map(|arrival| arrival.legs.len()).sum();
    match legs {
        0 => Err(RtpError::NoSource),
        legs if legs > MOST_LEGS => Err(RtpError::TooMany(legs)),
        legs if options.leg.len() > legs => Err(RtpError::Names(options.leg.len(), legs)),
        _ => Ok(arrivals),
    }
}

/// An address on which this machine can be sent to: one of its own, or a group.
fn is_ours(address: IpAddr) -> bool {
    address.is_multicast() || std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// A socket for RTP, in the group if the address is one.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    match address.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
        }
        IpAddr::V6(group) if group.is_multicast() => {
            let _: Ipv6Addr = group;
            socket.join_multicast_v6(&group, 0)?;
        }
        _ => {}
    }
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn replay(
    path: &Path,
    options: &RtpOptions,
    exchange: &Exchange,
    printer: Printer,
    end: CancellationToken,
) -> Result<(), RtpError> {
    let name = || path.display().to_string();
    let flows = capture::flows(path)?;
    if options.list {
        for (number, flow) in flows.iter().enumerate() {
            println!("{:3}  {flow}", number + 1);
        }
        return Ok(());
    }
    let chosen = chosen(path, &flows, &options.flow)?;
    let Some(zero) = chosen.iter().map(|flow| flow.first).min() else {
        return Err(BadCapture::Empty(name()).into());
    };
    if chosen.len() > MOST_LEGS {
        return Err(RtpError::TooMany(chosen.len()));
    }
    if options.leg.len() > chosen.len() {
        return Err(RtpError::Names(options.leg.len(), chosen.len()));
    }
    let given = options.formats();
    let mut legs = Vec::new();
    for (number, flow) in chosen.iter().enumerate() {
        let mut formats = flow.formats.clone();
        formats.extend(&given);
        let leg = options.name(number, flow.from.to_string());
        tracing::info!("{leg}: {flow}");
        legs.push(Leg::new(leg, formats));
    }
    let conversation = Conversation::new(legs);
    let caller = Caller {
        door: "rtp",
        peer: None,
        id: None,
    };
    let call = exchange.open(caller, conversation.wanted()).await?;
    let (to, packets) = mpsc::channel(1024);
    let file = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let whose = |datagram: &capture::Datagram| {
            let ssrc = capture::rtp(datagram.payload)?.ssrc();
            chosen.iter().position(|flow| {
                (flow.from, flow.to) == (datagram.from, datagram.to) && flow.ssrcs.contains(&ssrc)
            })
        };
        let mut clock = capture::Clock::starting(zero);
        let read = capture::read(&file, |datagram| {
            let Some(leg) = whose(&datagram) else {
                return !end.is_cancelled();
            };
            let at = clock.at(datagram.time);
            to.blocking_send((leg, at, datagram.payload.into())).is_ok() && !end.is_cancelled()
        });
        if let Err(err) = read {
            tracing::error!("{err}");
        }
    });
    conversation::replay(call, conversation, packets, options.following(), printer).await;
    Ok(())
}

fn chosen(path: &Path, flows: &[Flow], wanted: &[String]) -> Result<Vec<Flow>, BadCapture> {
    if wanted.is_empty() {
        return Ok(capture::conversation(flows));
    }
    let name = || path.display().to_string();
    let mut chosen: Vec<Flow> = Vec::new();
    for which in wanted {
        let flow = flows
            .iter()
            .enumerate()
            .filter(|(_, flow)| !chosen.contains(flow))
            .find(|(number, flow)| capture::is_meant(flow, number + 1, which));
        match flow {
            Some((_, flow)) => chosen.push(flow.clone()),
            None => return Err(BadCapture::NoFlow(name(), which.clone())),
        }
    }
    Ok(chosen)
}
