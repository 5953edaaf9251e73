//! Captures of a network (pcap, pcapng): which RTP is in them, and whose.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use rtp_types::RtpPacket;

use super::codec::Formats;
use super::sdp;

/// Why a capture cannot be used, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum BadCapture {
    #[error("{0} cannot be read: {1}")]
    Open(String, std::io::Error),
    #[error("{0} is no capture of a network: pcap and pcapng files are")]
    Form(String),
    #[error("{0} holds no RTP; --list shows what is in a capture")]
    Empty(String),
    #[error("{0} has no flow {1}; --list shows those there are")]
    NoFlow(String, String),
}

/// A UDP datagram of a capture.
pub struct Datagram<'a> {
    /// Since 1970.
    pub time: Duration,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub payload: &'a [u8],
}

/// Largest packet of a capture.
const LARGEST: usize = 512 * 1024;

/// Reads the datagrams of a capture, until `each` returns false. A capture that ends in the middle of a packet ends there.
pub fn read(path: &Path, each: impl FnMut(Datagram) -> bool) -> Result<(), BadCapture> {
    read_from(open(path)?, &path.display().to_string(), each)
}

fn open(path: &Path) -> Result<File, BadCapture> {
    File::open(path).map_err(|err| BadCapture::Open(path.display().to_string(), err))
}

fn read_from(
    from: impl Read + Send,
    name: &str,
    mut each: impl FnMut(Datagram) -> bool,
) -> Result<(), BadCapture> {
    let mut reader = create_reader(LARGEST, from).map_err(|_| BadCapture::Form(name.to_owned()))?;
    let mut links = Links::default();
    loop {
        match reader.next() {
            Ok((length, block)) => {
                let goes_on = match links.packet(&block) {
                    Some((time, link, bytes)) => match datagram(time, link, bytes) {
                        Some(datagram) => each(datagram),
                        None => true,
                    },
                    None => true,
                };
                reader.consume(length);
                if !goes_on {
                    return Ok(());
                }
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                // No progress and nothing more to read: it was cut off.
                if reader.reader_exhausted() || reader.refill().is_err() {
                    tracing::warn!("{name} ends in the middle of a packet");
                    return Ok(());
                }
            }
            Err(err) => {
                tracing::warn!("{name} is damaged from here on: {err:?}");
                return Ok(());
            }
        }
    }
}

/// What packets of a capture are, and their times' unit: for the file, or by interface.
#[derive(Default)]
struct Links {
    legacy: Option<(Linktype, bool)>,
    interfaces: Vec<(Linktype, u64, u64)>,
}

impl Links {
    fn packet<'a>(&mut self, block: &'a PcapBlockOwned) -> Option<(Duration, Linktype, &'a [u8])> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                self.legacy = Some((header.network, header.is_nanosecond_precision()));
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let (link, is_nanos) = self.legacy?;
                let nanos = match is_nanos {
                    true => packet.ts_usec,
                    false => packet.ts_usec.saturating_mul(1000),
                };
                let time =
                    Duration::from_secs(packet.ts_sec.into()) + Duration::from_nanos(nanos.into());
                Some((time, link, packet.data))
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let offset = u64::try_from(interface.ts_offset()).unwrap_or(0);
                let resolution = interface.ts_resolution().unwrap_or(1_000_000).max(1);
                self.interfaces
                    .push((interface.linktype, offset, resolution));
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let index = usize::try_from(packet.if_id).ok()?;
                let (link, offset, resolution) = *self.interfaces.get(index)?;
                let ticks = (u64::from(packet.ts_high) << 32) | u64::from(packet.ts_low);
                let (whole, rest) = (ticks / resolution, ticks % resolution);
                let nanos = u128::from(rest) * 1_000_000_000 / u128::from(resolution);
                let time = Duration::from_secs(whole.saturating_add(offset))
                    + Duration::from_nanos(u64::try_from(nanos).ok()?);
                let length = usize::try_from(packet.caplen).ok()?;
                Some((time, link, packet.data.get(..length).unwrap_or(packet.data)))
            }
            PcapBlockOwned::NG(_) => None,
        }
    }
}

/// The link types without a header of their own, `DLT_RAW` as BSD numbers it among them.
const RAW: [i32; 3] = [12, 14, 101];
const LINUX_SLL2: i32 = 276;

fn datagram(time: Duration, link: Linktype, bytes: &[u8]) -> Option<Datagram<'_>> {
    let sliced = match link {
        Linktype::ETHERNET => SlicedPacket::from_ethernet(bytes).ok()?,
        Linktype::LINUX_SLL => SlicedPacket::from_linux_sll(bytes).ok()?,
        Linktype::IPV4 | Linktype::IPV6 => SlicedPacket::from_ip(bytes).ok()?,
        Linktype(LINUX_SLL2) => SlicedPacket::from_ip(bytes.get(20..)?).ok()?,
        Linktype::NULL => SlicedPacket::from_ip(bytes.get(4..)?).ok()?,
        Linktype(raw) if RAW.contains(&raw) => SlicedPacket::from_ip(bytes).ok()?,
        _ => return None,
    };
    let (from, to): (IpAddr, IpAddr) = match sliced.net? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Udp(udp)) = sliced.transport else {
        return None;
    };
    Some(Datagram {
        time,
        from: SocketAddr::new(from, udp.source_port()),
        to: SocketAddr::new(to, udp.destination_port()),
        payload: udp.payload(),
    })
}

/// RTP from one address to another: one or several sources after each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub from: SocketAddr,
    pub to: SocketAddr,
    /// In the order in which they came.
    pub ssrcs: Vec<u32>,
    pub packets: u64,
    pub payload_types: Vec<u8>,
    /// Since 1970.
    pub first: Duration,
    pub last: Duration,
    /// From descriptions in the capture's own SIP.
    pub formats: Formats,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.payload_types.iter().map(|number| {
            let payload = self.formats.get(*number);
            match payload {
                Some(payload) => format!("{number} {}", payload.name()),
                None => format!("{number} unknown"),
            }
        });
        let ssrcs = self.ssrcs.iter().map(|ssrc| format!("{ssrc:08x}"));
        write!(
            f,
            "{} -> {}  SSRC {}  {} packets  {:.2} s  types {}",
            self.from,
            self.to,
            ssrcs.collect::<Vec<_>>().join(" "),
            self.packets,
            (self.last.saturating_sub(self.first)).as_secs_f64(),
            types.collect::<Vec<_>>().join(", "),
        )
    }
}

struct Found {
    flow: Flow,
    sequence: u16,
    /// Packets that came right behind another.
    in_order: u64,
}

/// Sources that a capture is searched for at most: more are noise.
const SOURCES: usize = 4_096;
/// Fewer packets are no conversation, and may be something else than RTP.
const FEWEST: u64 = 5;
/// Sources that overlap for longer than this are two parties.
const OVERLAP: Duration = Duration::from_millis(500);

/// More between two packets is no pause: somebody set the clock of the machine that captured.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// The clock of a call out of the times of its packets.
pub struct Clock {
    /// Of the last packet: as it was captured, and since the call began.
    captured: Duration,
    at: Duration,
}

impl Clock {
    /// Of a call whose first packet was captured at this time.
    pub fn starting(captured: Duration) -> Clock {
        Clock {
            captured,
            at: Duration::ZERO,
        }
    }

    /// When in the call a packet came that was captured at this time.
    pub fn at(&mut self, captured: Duration) -> Duration {
        if captured.abs_diff(self.captured) <= LONGEST_PAUSE {
            self.at += captured.saturating_sub(self.captured);
            self.at = self
                .at
                .saturating_sub(self.captured.saturating_sub(captured));
        }
        self.captured = captured;
        self.at
    }
}

/// The RTP of a capture, in the order in which it begins.
pub fn flows(path: &Path) -> Result<Vec<Flow>, BadCapture> {
    flows_from(open(path)?, &path.display().to_string())
}

pub(crate) fn flows_from(from: impl Read + Send, name: &str) -> Result<Vec<Flow>, BadCapture> {
    let mut found: BTreeMap<(SocketAddr, SocketAddr, u32), Found> = BTreeMap::new();
    let mut told: BTreeMap<SocketAddr, Formats> = BTreeMap::new();
    read_from(from, name, |datagram| {
        if let Some(description) = description(datagram.payload) {
            for audio in description {
                if let Some(address) = audio.address {
                    let at = SocketAddr::new(address, audio.port);
                    told.entry(at).or_default().extend(&audio.formats());
                }
            }
            return true;
        }
        let Some(packet) = rtp(datagram.payload) else {
            return true;
        };
        let key = (datagram.from, datagram.to, packet.ssrc());
        if !found.contains_key(&key) && found.len() >= SOURCES {
            return true;
        }
        let sequence = packet.sequence_number();
        let source = found.entry(key).or_insert_with(|| Found {
            flow: Flow {
                from: datagram.from,
                to: datagram.to,
                ssrcs: vec![packet.ssrc()],
                packets: 0,
                payload_types: Vec::new(),
                first: datagram.time,
                last: datagram.time,
                formats: Formats::default(),
            },
            sequence,
            in_order: 0,
        });
        let step = sequence.wrapping_sub(source.sequence);
        source.in_order += u64::from((1..10).contains(&step));
        source.sequence = sequence;
        source.flow.packets += 1;
        source.flow.last = source.flow.last.max(datagram.time);
        let payload_type = packet.payload_type();
        if !source.flow.payload_types.contains(&payload_type) {
            source.flow.payload_types.push(payload_type);
        }
        true
    })?;
    let mut sources: Vec<_> = found
        .into_values()
        .filter(|source| {
            source.flow.packets >= FEWEST && source.in_order * 2 >= source.flow.packets
        })
        .map(|source| source.flow)
        .collect();
    sources.sort_by_key(|flow| flow.first);
    let mut flows: Vec<Flow> = Vec::new();
    for source in sources {
        // The same party goes on under another SSRC, unless both speak at once.
        let before = flows.iter_mut().find(|flow| {
            (flow.from, flow.to) == (source.from, source.to) && flow.last <= source.first + OVERLAP
        });
        match before {
            Some(flow) => {
                flow.ssrcs.extend(source.ssrcs);
                flow.packets += source.packets;
                flow.last = flow.last.max(source.last);
                flow.payload_types.extend(source.payload_types);
                flow.payload_types.sort_unstable();
                flow.payload_types.dedup();
            }
            None => flows.push(source),
        }
    }
    for flow in &mut flows {
        if let Some(formats) = told.get(&flow.to) {
            flow.formats = formats.clone();
        }
    }
    Ok(flows)
}

/// RTP, and not the RTCP beside it.
pub fn rtp(payload: &[u8]) -> Option<RtpPacket<'_>> {
    let packet = RtpPacket::parse(payload).ok()?;
    (!(64..96).contains(&packet.payload_type())).then_some(packet)
}

/// The audio that a SIP message describes.
fn description(payload: &[u8]) -> Option<Vec<sdp::Audio>> {
    let begins = |word: &[u8]| payload.starts_with(word);
    if !begins(b"INVITE ") && !begins(b"SIP/2.0 ") && !begins(b"ACK ") && !begins(b"UPDATE ") {
        return None;
    }
    let body = payload.windows(4).position(|end| end == b"\r\n\r\n")?;
    let session = sdp::parse(payload.get(body + 4..)?).ok()?;
    Some(sdp::audio(&session))
}

/// The conversation of a capture: its longest flow, and what comes the other way, or else the next longest beside it.
pub fn conversation(flows: &[Flow]) -> Vec<Flow> {
    let Some(most) = flows.iter().max_by_key(|flow| flow.packets) else {
        return Vec::new();
    };
    let others = flows.iter().filter(|flow| *flow != most);
    let other = others
        .filter(|flow| flow.first <= most.last && most.first <= flow.last)
        .max_by_key(|flow| {
            let is_back = (flow.from, flow.to) == (most.to, most.from);
            let same_hosts = (flow.from.ip(), flow.to.ip()) == (most.to.ip(), most.from.ip());
            (is_back, same_hosts, flow.packets)
        });
    let mut chosen: Vec<Flow> = std::iter::once(most).chain(other).cloned().collect();
    chosen.sort_by_key(|flow| flow.first);
    chosen
}

/// Whether `--flow` means this one: by its number in the list (from 1), an address, a port or an SSRC.
pub fn is_meant(flow: &Flow, number: usize, which: &str) -> bool {
    let ssrc = which
        .strip_prefix("0x")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let small = which.parse::<usize>().ok();
    let port = which.parse::<u16>().ok();
    ssrc.is_some_and(|ssrc| flow.ssrcs.contains(&ssrc))
        || small == Some(number)
        || port
            .is_some_and(|port| port >= 1024 && [flow.from.port(), flow.to.port()].contains(&port))
        || [flow.from, flow.to]
            .iter()
            .any(|address| address.to_string() == which)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_within_a_capture_is_no_pause() {
        let mut clock = Clock::starting(Duration::from_secs(100));
        let mut at = |seconds| clock.at(Duration::from_secs(seconds)).as_secs();
        assert_eq!([at(100), at(101), at(103), at(102)], [0, 1, 3, 2]);
        // From 1970 to 2026, and back.
        assert_eq!([at(1_770_000_000), at(1_770_000_001)], [2, 3]);
        assert_eq!([at(u64::MAX), at(105), at(106)], [3, 3, 4]);
    }
}
