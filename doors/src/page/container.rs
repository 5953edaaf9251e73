//! What a stream is, by its first bytes. Said before anything is decoded, so that a mistake gets its sentence at once.

/// How a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    WebM,
    Mp4,
    Ogg,
    Wav,
    Flac,
    /// MPEG audio or AAC, with or without tags.
    Mpeg,
}

/// Bytes that are enough to know.
pub const ENOUGH: usize = 12;

impl Kind {
    /// `None`: nothing that can be read.
    pub fn of(first: &[u8]) -> Option<Kind> {
        let at = |from: usize, magic: &[u8]| {
            first
                .get(from..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) {
            Some(Kind::WebM)
        } else if at(4, b"ftyp") {
            Some(Kind::Mp4)
        } else if at(0, b"OggS") {
            Some(Kind::Ogg)
        } else if at(0, b"RIFF") && at(8, b"WAVE") {
            Some(Kind::Wav)
        } else if at(0, b"fLaC") {
            Some(Kind::Flac)
        } else if at(0, b"ID3")
            || matches!(first, [0xff, second, ..] if second & 0xe0 == 0xe0 && *second != 0xff)
        {
            Some(Kind::Mpeg)
        } else {
            None
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::WebM => "WebM",
            Kind::Mp4 => "MP4",
            Kind::Ogg => "Ogg",
            Kind::Wav => "WAV",
            Kind::Flac => "FLAC",
            Kind::Mpeg => "MPEG audio",
        }
    }
}

/// What arrived instead of a container, in a sentence.
pub fn unknown(first: &[u8]) -> String {
    let first = first.get(..ENOUGH.min(first.len())).unwrap_or_default();
    if first.iter().all(|byte| *byte == 0) {
        return "what arrived begins with zeros and is no container: raw samples need ?pcm=RATE (S16LE, mono), a recorder's \
             stream is sent from its first chunk on"
            .into();
    }
    let is_text = first
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    let seen = match is_text {
        true => format!("the text {:?}", String::from_utf8_lossy(first)),
        false => {
            let bytes: Vec<_> = first.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("the bytes {}", bytes.join(" "))
        }
    };
    format!(
        "what arrived begins with {seen} and is no container: send WebM, MP4 or Ogg as MediaRecorder makes it, from its first \
         chunk on, or raw samples with ?pcm=RATE (S16LE, mono)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_known_by_their_first_bytes() {
        for (first, kind) in [
            (
                &b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81"[..],
                Some(Kind::WebM),
            ),
            (b"\0\0\0\x1cftypiso5\0\0\0\0", Some(Kind::Mp4)),
            (b"OggS\0\x02\0\0\0\0\0\0", Some(Kind::Ogg)),
            (b"RIFF\xff\xff\xff\xffWAVE", Some(Kind::Wav)),
            (b"RIFF\xff\xff\xff\xffAVI ", None),
            (b"\xff\xf1\x50\x80\0\0\0\0\0\0\0\0", Some(Kind::Mpeg)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"#EXTM3U\nhttp", None),
            (b"", None),
            (b"\xff", None),
        ] {
            assert_eq!(Kind::of(first), kind, "{first:x?}");
        }
    }

    #[test]
    fn what_is_no_container_is_named() {
        assert!(unknown(b"#EXTM3U\nhttp://x").contains(r##"the text "#EXTM3U\nhttp""##));
        assert!(unknown(b"\x80\x01\x02").contains("the bytes 80 01 02 "));
        assert!(unknown(&[0; 40]).contains("begins with zeros"));
    }
}
