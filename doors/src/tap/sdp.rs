//! Session descriptions (SDP): which audio comes where, as what.

use std::net::IpAddr;

use sdp_types::{Direction, Media, MediaType, RtpMap, Session};

use super::codec::{Formats, Payload};

/// An audio stream that a description offers.
#[derive(Clone, Debug)]
pub struct Audio {
    /// Which of the `m=` lines.
    pub index: usize,
    pub port: u16,
    pub address: Option<IpAddr>,
    pub direction: Direction,
    /// `a=label` (RFC 4574).
    pub label: Option<String>,
    /// `i=` of the stream.
    pub title: Option<String>,
    /// Payload types that can be decoded here, in the order of preference, by the name the description gives them.
    pub offered: Vec<Offered>,
}

/// A payload type of an offer.
#[derive(Clone, Debug)]
pub struct Offered {
    pub payload_type: u8,
    pub payload: Payload,
    /// What stands behind `a=rtpmap:`.
    pub map: Option<String>,
}

impl Audio {
    pub fn formats(&self) -> Formats {
        let mut formats = Formats::default();
        for offered in &self.offered {
            formats.insert(offered.payload_type, offered.payload);
        }
        formats
    }

    /// Whether any of it is audio that can be decoded.
    pub fn is_audible(&self) -> bool {
        self.offered
            .iter()
            .any(|offered| offered.payload.is_audio())
    }
}

/// Why a description is of no use, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum BadSdp {
    #[error("this is no session description: {0}")]
    Form(String),
    #[error("the session description has no audio (no line m=audio with a port and RTP/AVP)")]
    NoAudio,
}

pub fn parse(text: &[u8]) -> Result<Session, BadSdp> {
    Session::parse(text).map_err(|err| BadSdp::Form(err.to_string()))
}

/// The audio streams of plain RTP, also those whose codecs are unknown; those refused (port 0) are not among them.
pub fn audio(session: &Session) -> Vec<Audio> {
    let medias = session.medias.iter().enumerate();
    medias
        .filter(|(_, media)| is_audio(media) && media.port > 0)
        .map(|(index, media)| read(session, index, media))
        .collect()
}

fn is_audio(media: &Media) -> bool {
    MediaType::Audio
        .to_string()
        .eq_ignore_ascii_case(&media.media)
        && ["RTP/AVP", "RTP/AVPF"]
            .iter()
            .any(|proto| media.proto.eq_ignore_ascii_case(proto))
}

fn read(session: &Session, index: usize, media: &Media) -> Audio {
    let connection = media.connections.first().or(session.connection.as_ref());
    let text = |name| {
        let value: Option<Option<&str>> = media.get_first_attribute_value(name);
        value.flatten().map(|value| value.trim().to_owned())
    };
    let maps: Vec<RtpMap> = media.attributes_typed().filter_map(Result::ok).collect();
    let types = media.fmt.split_ascii_whitespace();
    let types = types.filter_map(|number| number.parse::<u8>().ok().filter(|n| *n < 128));
    let offered = types.filter_map(|payload_type| {
        let map = maps.iter().find(|map| map.payload_type == payload_type);
        let payload = match map {
            Some(map) => {
                let channels = map.encoding_params.as_deref().unwrap_or("1");
                Payload::named(&map.encoding_name, map.clock_rate, channels.parse().ok()?)?
            }
            None => Formats::fixed(payload_type)?,
        };
        let map = map.map(|map| {
            let channels = map.encoding_params.as_ref();
            let channels = channels
                .map(|count| format!("/{count}"))
                .unwrap_or_default();
            format!("{}/{}{channels}", map.encoding_name, map.clock_rate)
        });
        Some(Offered {
            payload_type,
            payload,
            map,
        })
    });
    Audio {
        index,
        port: media.port,
        address: connection
            .and_then(|connection| connection.try_address().ok())
            .map(|address| address.ip),
        direction: direction(session, media),
        label: text("label"),
        title: media.media_title.clone(),
        offered: offered.collect(),
    }
}

/// Of the stream, else of the session, else both ways.
fn direction(session: &Session, media: &Media) -> Direction {
    let known = [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ];
    let of = |attributes: &[sdp_types::Attribute]| {
        let names = attributes
            .iter()
            .map(|attribute| attribute.attribute.as_str());
        names
            .filter_map(|name| known.into_iter().find(|way| way.as_str() == name))
            .next()
    };
    of(&media.attributes)
        .or_else(|| of(&session.attributes))
        .unwrap_or_default()
}
