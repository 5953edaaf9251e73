//! Small good inputs of what telephone exchanges send, and of the targets whose input is no format.

use std::error::Error;
use std::path::Path;

pub fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let put = |target: &str, name: &str, bytes: &[u8]| super::put(folder, target, name, bytes);
    let call = [
        frame(0x01, &[7; 16]),
        frame(0x10, &[1; 320]),
        frame(0x03, b"5"),
        frame(0x10, &[2; 320]),
        frame(0x00, b""),
    ];
    put("audiosocket", "call", &call.concat())?;
    put(
        "audiosocket",
        "error",
        &[frame(0x01, &[7; 16]), frame(0xff, &[4])].concat(),
    )?;

    let speech: Vec<u8> = (0..3)
        .flat_map(|n| timed(4, &rtp(n, n.into(), 0, &[0xd5; 160])))
        .collect();
    let keys: Vec<u8> = [(0, 160), (0, 320), (0x80, 480), (0x80, 480)]
        .iter()
        .zip(10..)
        .flat_map(|((end, length), n): (&(u8, u16), u16)| {
            let [high, low] = length.to_be_bytes();
            timed(4, &rtp(n, 10, 101, &[5, *end, high, low]))
        })
        .collect();
    // Overtaken, lost, late, of another source.
    let order = [4_u16, 3, 3, 9, 5, 60_000, 60_001];
    let disorder: Vec<u8> = order
        .iter()
        .flat_map(|n| timed(30, &rtp(*n, u32::from(*n), 8, &[*n as u8; 80])))
        .collect();
    for (name, bytes) in [
        ("speech", &speech),
        ("keys", &keys),
        ("disorder", &disorder),
    ] {
        put("rtp", name, bytes)?;
        put(
            "rtp-leg",
            name,
            &[b"opus=111 l16/16000=96\n", bytes.as_slice()].concat(),
        )?;
    }
    // An Opus packet of 20 ms of silence.
    let opus: Vec<u8> = (0..3)
        .flat_map(|n| timed(4, &rtp(n, u32::from(n) * 6, 111, &[0xf8, 0xff, 0xfe])))
        .collect();
    put(
        "rtp-leg",
        "opus",
        &[b"opus=111\n", opus.as_slice()].concat(),
    )?;
    let wide: Vec<u8> = (0..3)
        .flat_map(|n| timed(4, &rtp(n, n.into(), 9, &[0x55; 160])))
        .collect();
    put("rtp-leg", "g722", &[b"\n", wide.as_slice()].concat())?;

    let datagrams: Vec<_> = (0..6)
        .map(|n| ethernet(&rtp(n, n.into(), 0, &[0xff; 20])))
        .collect();
    put("pcap", "legacy", &legacy(&datagrams))?;
    put("pcap", "new", &new(&datagrams))?;
    let offer = "INVITE sip:a@b SIP/2.0\r\n\r\nv=0\r\no=- 0 0 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0 111\r\na=rtpmap:111 opus/48000/2\r\n";
    let told: Vec<_> = std::iter::once(ethernet(offer.as_bytes()))
        .chain(datagrams)
        .collect();
    put("pcap", "told", &legacy(&told))?;

    let grows = [piece(&[3; 600]), piece(&[2, 1, 2, 3]), piece(&[7; 900])].concat();
    let is_cut = [
        piece(&[3; 600]),
        piece(&[0, 9, 9, 9, 9]),
        piece(&[1, 8, 8, 8, 8]),
        piece(&[6; 500]),
    ]
    .concat();
    put("recording", "grows", &grows)?;
    put("recording", "is-cut", &is_cut)?;

    // Those are read as decisions: see src/bytes.rs.
    let plain = [0, 0, 0, 0, 0, 0, 0, 0, 1].into_iter();
    let pushed = [0, 3, 0x80, 0x25, 2, 0, 0, 1, 7, 2, 0, 1].repeat(6);
    put(
        "element",
        "plain",
        &plain.chain(pushed).collect::<Vec<u8>>(),
    )?;
    let events: Vec<u8> = (0..24)
        .flat_map(|kind| [kind, 3, 0x80, 0x3e, 2, 9, 1, 1, 7, 3])
        .collect();
    put(
        "element",
        "events",
        &[[1, 20, 0, 1, 1, 0, 1, 0, 1].as_slice(), &events].concat(),
    )?;
    put(
        "call-raw",
        "mono",
        &[
            [0, 0, 0, 0, 1, 2, 0, 0].as_slice(),
            &[3, 0x80, 0x25, 2, 0, 0].repeat(8),
        ]
        .concat(),
    )?;
    put(
        "call-raw",
        "stereo",
        &[
            [2, 1, 2, 1, 1, 2, 9, 0].as_slice(),
            &[3, 0x81, 0x12, 2, 0, 0, 0, 1, 2, 200, 3].repeat(6),
        ]
        .concat(),
    )?;
    Ok(())
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[kind], length.as_slice(), payload].concat()
}

fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
}

/// A datagram that comes `wait` times 5 ms behind the one before.
fn timed(wait: u8, datagram: &[u8]) -> Vec<u8> {
    piece(&[&[wait], datagram].concat())
}

/// Packet `number`, of the 20 ms that are counted by `time`.
fn rtp(number: u16, time: u32, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(number.to_be_bytes());
    packet.extend((time * 160).to_be_bytes());
    packet.extend([0, 0, 0, 9]);
    packet.extend(payload);
    packet
}

/// UDP from 10.0.0.1:5000 to 10.0.0.2:7000.
fn ethernet(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![2; 12];
    packet.extend([0x08, 0x00, 0x45, 0]);
    packet.extend((28 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(5_000_u16.to_be_bytes());
    packet.extend(7_000_u16.to_be_bytes());
    packet.extend((8 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

fn legacy(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (n, packet) in (0_u32..).zip(packets) {
        let length = packet.len() as u32;
        for word in [1_700_000_000, n * 20_000, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// pcapng: a section, an interface that counts from an offset, packets.
fn new(packets: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let length = (12 + padded as u32).to_le_bytes();
        let mut block = [kind.to_le_bytes().as_slice(), &length, body].concat();
        block.resize(8 + padded, 0);
        block.extend(length);
        block
    };
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let mut file = block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX]));
    // if_tsresol is a millisecond, if_tsoffset a minute.
    let options = words(&[1, 65_535, 0x0001_0009, 3, 0x0008_000e, 60, 0, 0]);
    file.extend(block(1, &options));
    for (n, packet) in (0_u32..).zip(packets) {
        let length = packet.len() as u32;
        let mut body = words(&[0, 0, 1_000 + n * 20, length, length]);
        body.extend(packet);
        file.extend(block(6, &body));
    }
    file
}
