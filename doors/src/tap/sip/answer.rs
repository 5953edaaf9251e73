//! What is answered to an offer (RFC 3264): we hear, and send nothing.

use std::net::IpAddr;

use sdp_types::{
    Attribute, Connection, Direction, Media, MediaType, Origin, Session, TransportProto,
};

use crate::tap::codec::{Coding, Formats, Payload};
use crate::tap::sdp::{self, Audio, BadSdp};

/// A stream that is taken: one leg.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Which `m=` line of the offer.
    pub index: usize,
    pub label: Option<String>,
    pub formats: Formats,
    /// The peer means to send nothing of its own: on hold.
    pub is_quiet: bool,
    /// The peer sends what nobody says into the phone: music on hold, in a call.
    pub is_one_way: bool,
}

/// An offer that was understood.
#[derive(Clone, Debug)]
pub struct Answer {
    pub streams: Vec<Stream>,
    offer: Option<(Session, Vec<Audio>)>,
}

/// Why an offer is refused: as SIP says it, with a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// 400
    #[error(transparent)]
    Form(BadSdp),
    /// 488
    #[error("none of the codecs offered can be heard here: PCMU, PCMA, G722, opus and L16 can")]
    Codecs,
    /// 488
    #[error("the offer has no audio as plain RTP (RTP/AVP)")]
    NoAudio,
}

/// More are no conversation.
pub const MOST_STREAMS: usize = 8;
/// A description is some hundred bytes.
const LONGEST: usize = 64 * 1024;

impl Answer {
    /// Reads the offer of a new call. Streams beyond [`MOST_STREAMS`] are refused.
    pub fn to(offer: &[u8]) -> Result<Answer, Refused> {
        Self::among(offer, |_| true)
    }

    /// Reads an offer in a call whose legs are these `m=` lines: others are refused.
    pub fn again(offer: &[u8], lines: &[usize]) -> Result<Answer, Refused> {
        Self::among(offer, |index| lines.contains(&index))
    }

    fn among(offer: &[u8], is_wanted: impl Fn(usize) -> bool) -> Result<Answer, Refused> {
        if offer.len() > LONGEST {
            return Err(Refused::Form(BadSdp::Form("it is too long".into())));
        }
        let session = sdp::parse(offer).map_err(Refused::Form)?;
        let all = sdp::audio(&session);
        if all.is_empty() {
            return Err(Refused::NoAudio);
        }
        let taken: Vec<Audio> = all
            .into_iter()
            .filter(|audio| audio.is_audible() && is_wanted(audio.index))
            .take(MOST_STREAMS)
            .collect();
        if taken.is_empty() {
            return Err(Refused::Codecs);
        }
        let streams = taken.iter().map(|audio| Stream {
            index: audio.index,
            label: audio.label.clone(),
            formats: audio.formats(),
            is_quiet: matches!(audio.direction, Direction::Inactive | Direction::RecvOnly)
                || audio
                    .address
                    .is_some_and(|address| address.is_unspecified()),
            is_one_way: audio.direction == Direction::SendOnly,
        });
        Ok(Answer {
            streams: streams.collect(),
            offer: Some((session, taken)),
        })
    }

    /// Our own offer, where the caller sent none: what can be heard, on one stream.
    pub fn without_offer() -> Answer {
        let mut formats = Formats::default();
        for (payload_type, _, payload) in OFFERED {
            formats.insert(payload_type, payload);
        }
        Answer {
            streams: vec![Stream {
                index: 0,
                label: None,
                formats,
                is_quiet: false,
                is_one_way: false,
            }],
            offer: None,
        }
    }

    /// The description that goes back. `ports`: of the streams, in their order. `version`: one more each time in a call.
    pub fn describe(&self, address: IpAddr, ports: &[u16], session: u64, version: u64) -> Vec<u8> {
        let origin = Origin::with_ip_addr(session, version, address);
        let mut answer = Session::new(origin, "whisperstream");
        answer.connection = Some(Connection::from_ip_addr(address));
        match &self.offer {
            Some((offer, taken)) => {
                for (index, media) in offer.medias.iter().enumerate() {
                    let place = taken.iter().position(|audio| audio.index == index);
                    let ours =
                        place.and_then(|place| Some((taken.get(place)?, *ports.get(place)?)));
                    answer.medias.push(match ours {
                        Some((audio, port)) => accepted(media, audio, port),
                        None => refused(media),
                    });
                }
            }
            None => {
                let port = ports.first().copied().unwrap_or(0);
                let types = OFFERED.map(|(payload_type, _, _)| payload_type.to_string());
                let mut media = Media::new(
                    MediaType::Audio,
                    port,
                    TransportProto::RtpAvp,
                    types.join(" "),
                );
                for (payload_type, map, _) in OFFERED {
                    media.attributes.push(mapped(payload_type, map));
                }
                media.attributes.push(Attribute::new("recvonly"));
                answer.medias.push(media);
            }
        }
        let mut text = Vec::new();
        // Writing into memory does not fail.
        let _ = answer.write(&mut text);
        text
    }
}

const fn heard(coding: Coding, clock: u32) -> Payload {
    Payload { coding, clock }
}

/// What is offered by us: those with a decoder in every installation.
const OFFERED: [(u8, &str, Payload); 4] = [
    (96, "opus/48000/2", heard(Coding::Opus, 48_000)),
    (0, "PCMU/8000", heard(Coding::Pcmu, 8_000)),
    (8, "PCMA/8000", heard(Coding::Pcma, 8_000)),
    (101, "telephone-event/8000", heard(Coding::Event, 8_000)),
];

fn mapped(payload_type: u8, map: &str) -> Attribute {
    Attribute::with_value("rtpmap", format!("{payload_type} {map}"))
}

fn accepted(media: &Media, audio: &Audio, port: u16) -> Media {
    let types: Vec<_> = audio
        .offered
        .iter()
        .map(|offered| offered.payload_type.to_string())
        .collect();
    let mut answer = media.clone();
    answer.port = port;
    answer.num_ports = None;
    answer.fmt = types.join(" ");
    answer.media_title = None;
    answer.connections.clear();
    answer.bandwidths.clear();
    answer.key = None;
    answer.attributes.clear();
    for offered in &audio.offered {
        let map = match &offered.map {
            Some(map) => map.clone(),
            None => format!("{}/{}", offered.payload.name(), offered.payload.clock),
        };
        answer.attributes.push(mapped(offered.payload_type, &map));
        if offered.payload.coding == Coding::Event {
            let events = format!("{} 0-16", offered.payload_type);
            answer
                .attributes
                .push(Attribute::with_value("fmtp", events));
        }
    }
    if let Some(label) = &audio.label {
        answer
            .attributes
            .push(Attribute::with_value("label", label));
    }
    let way = match audio.direction {
        Direction::SendRecv | Direction::SendOnly => "recvonly",
        Direction::RecvOnly | Direction::Inactive => "inactive",
    };
    answer.attributes.push(Attribute::new(way));
    answer
}

fn refused(media: &Media) -> Media {
    let mut answer = media.clone();
    answer.port = 0;
    answer.num_ports = None;
    answer.media_title = None;
    answer.connections.clear();
    answer.bandwidths.clear();
    answer.key = None;
    answer.attributes.clear();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

    fn answer(rest: &str) -> Result<(Answer, String), Refused> {
        let answer = Answer::to(format!("{OFFER}{rest}").as_bytes())?;
        let text = answer.describe([192, 0, 2, 9].into(), &[7000, 7002], 5, 1);
        Ok((answer, String::from_utf8(text).unwrap()))
    }

    #[test]
    fn what_can_be_heard_is_taken_and_the_rest_refused_in_its_place() {
        let (answer, text) = answer(
            "m=audio 4000 RTP/AVP 18 0 111 101\r\na=rtpmap:18 G729/8000\r\na=rtpmap:111 opus/48000/2\r\n\
             a=rtpmap:101 telephone-event/8000\r\nm=video 4002 RTP/AVP 99\r\na=rtpmap:99 VP8/90000\r\n",
        )
        .unwrap();
        assert!(
            text.contains("m=audio 7000 RTP/AVP 0 111 101\r\n"),
            "{text}"
        );
        assert!(text.contains("a=rtpmap:111 opus/48000/2\r\n"), "{text}");
        assert!(text.contains("m=video 0 RTP/AVP 99\r\n"), "{text}");
        assert!(text.contains("a=recvonly\r\n"), "{text}");
        assert!(!text.contains("G729"), "{text}");
        assert_eq!(answer.streams.len(), 1);
    }

    #[test]
    fn a_recording_has_a_stream_for_each_label() {
        let (answer, text) = answer(
            "m=audio 4000 RTP/AVP 8\r\na=label:A\r\na=sendonly\r\nm=audio 4002 RTP/AVP 8\r\na=label:B\r\na=inactive\r\n",
        )
        .unwrap();
        let labels: Vec<_> = answer
            .streams
            .iter()
            .map(|stream| stream.label.clone())
            .collect();
        assert_eq!(labels, [Some("A".into()), Some("B".into())]);
        assert!(text.contains("m=audio 7002 RTP/AVP 8\r\n"), "{text}");
        assert!(text.contains("a=inactive\r\n"), "{text}");
        assert!(answer.streams[1].is_quiet);
    }

    #[test]
    fn what_cannot_be_heard_is_refused() {
        let codecs = answer("m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n");
        assert!(matches!(codecs, Err(Refused::Codecs)));
        let secret = answer("m=audio 4000 RTP/SAVP 0\r\n");
        assert!(matches!(secret, Err(Refused::NoAudio)));
        let none = answer("m=audio 0 RTP/AVP 0\r\n");
        assert!(matches!(none, Err(Refused::NoAudio)));
        assert!(matches!(Answer::to(b"nonsense"), Err(Refused::Form(_))));
        assert!(matches!(
            Answer::to(&[b'v'; 100_000]),
            Err(Refused::Form(_))
        ));
    }
}
