//! A peer that sends RTP: packets encoded by GStreamer's own payloaders, written into a capture with times of our choice.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gst::prelude::*;

/// A file of tests/audio, whole.
pub fn audio(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("tests/audio").join(format!("{name}.wav"))
}

/// A datagram and when it is sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Duration,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    pub fn timestamp(&self) -> u32 {
        u32::from_be_bytes(self.bytes[4..8].try_into().unwrap())
    }

    pub fn set_sequence(&mut self, sequence: u16) {
        self.bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
    }

    pub fn set_timestamp(&mut self, timestamp: u32) {
        self.bytes[4..8].copy_from_slice(&timestamp.to_be_bytes());
    }

    pub fn set_ssrc(&mut self, ssrc: u32) {
        self.bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
    }
}

/// The RTP of a file, as a real sender makes it: `encoder` is a piece of a GStreamer pipeline that ends with a payloader
/// named `pay`.
pub fn rtp(file: &str, encoder: &str) -> Vec<Sent> {
    doors::init().unwrap();
    let path = audio(file);
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! {encoder} ! appsink name=out sync=false",
        path.display()
    ))
    .unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let out = pipeline.by_name("out").unwrap();
    let out = out.downcast::<gst_app::AppSink>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let mut sent = Vec::new();
    while let Ok(sample) = out.pull_sample() {
        let mut push = |buffer: &gst::BufferRef| {
            let at = Duration::from_nanos(buffer.pts().unwrap().nseconds());
            let bytes = buffer.map_readable().unwrap().to_vec();
            sent.push(Sent { at, bytes });
        };
        match sample.buffer_list() {
            Some(list) => list.iter().for_each(push),
            None => push(sample.buffer().unwrap()),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    assert!(!sent.is_empty(), "{encoder} made no packets");
    sent
}

pub fn pcmu(file: &str) -> Vec<Sent> {
    rtp(
        file,
        "audio/x-raw,rate=8000,channels=1 ! mulawenc ! \
         rtppcmupay name=pay min-ptime=20000000 max-ptime=20000000 ssrc=4096 seqnum-offset=65500 timestamp-offset=4294960000",
    )
}

/// A flow of a capture: packets from one address to another.
pub struct From<'a> {
    pub from: ([u8; 4], u16),
    pub to: ([u8; 4], u16),
    pub packets: &'a [Sent],
}

/// Writes a capture of raw IP packets (link type 101), in the order of their times.
pub fn capture(path: &Path, flows: &[From]) {
    let mut all: Vec<(Duration, Vec<u8>)> = Vec::new();
    for flow in flows {
        for packet in flow.packets {
            let builder = etherparse::PacketBuilder::ipv4(flow.from.0, flow.to.0, 64)
                .udp(flow.from.1, flow.to.1);
            let mut bytes = Vec::new();
            builder.write(&mut bytes, &packet.bytes).unwrap();
            all.push((packet.at, bytes));
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(101_u32.to_le_bytes());
    for (at, bytes) in all {
        let seconds = 1_700_000_000 + u32::try_from(at.as_secs()).unwrap();
        let length = u32::try_from(bytes.len()).unwrap();
        for field in [seconds, at.subsec_micros(), length, length] {
            file.extend(field.to_le_bytes());
        }
        file.extend(bytes);
    }
    std::fs::write(path, file).unwrap();
}
