//! Recording sessions (SIPREC): the body of several parts, and RFC 7865's metadata, which say who is on which stream.

use std::collections::HashMap;

use roxmltree::{Document, Node, ParsingOptions};

/// What an INVITE carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub sdp: Option<Vec<u8>>,
    pub metadata: Option<Vec<u8>>,
}

/// Parts of a body at most.
const PARTS: usize = 16;

impl Body {
    /// Takes a body apart, by its `Content-Type`.
    pub fn read(content_type: &str, body: &[u8]) -> Body {
        if body.is_empty() {
            return Body::default();
        }
        let mut read = Body::default();
        match boundary(content_type) {
            Some(boundary) => {
                for part in parts(body, &boundary) {
                    read.keep(part);
                }
            }
            None => read.put(content_type, body),
        }
        read
    }

    fn keep(&mut self, part: &[u8]) {
        let (head, body) = match find(part, b"\r\n\r\n") {
            Some(end) => (part.get(..end), part.get(end + 4..)),
            None => match find(part, b"\n\n") {
                Some(end) => (part.get(..end), part.get(end + 2..)),
                None => return,
            },
        };
        let (Some(head), Some(body)) = (head, body) else {
            return;
        };
        let head = String::from_utf8_lossy(head);
        let content_type = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim();
            (name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("c"))
                .then(|| value.trim().to_owned())
        });
        self.put(&content_type.unwrap_or_default(), body);
    }

    fn put(&mut self, content_type: &str, body: &[u8]) {
        let kind = content_type.split(';').next().unwrap_or_default();
        match kind.trim().to_ascii_lowercase().as_str() {
            "application/sdp" => self.sdp = Some(body.to_vec()),
            // Before RFC 7865 the second was usual.
            "application/rs-metadata+xml" | "application/rs-metadata" => {
                self.metadata = Some(body.to_vec());
            }
            _ => {}
        }
    }
}

fn boundary(content_type: &str) -> Option<String> {
    let mut fields = content_type.split(';');
    let kind = fields.next()?.trim().to_ascii_lowercase();
    if !kind.starts_with("multipart/") {
        return None;
    }
    let boundary = fields.find_map(|field| {
        let (name, value) = field.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"').to_owned())
    })?;
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let mark = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let Some(first) = find(body, &mark) else {
        return parts;
    };
    let mut rest = body.get(first + mark.len()..).unwrap_or_default();
    while parts.len() < PARTS && !rest.starts_with(b"--") {
        let begin = find(rest, b"\n").map_or(rest.len(), |end| end + 1);
        let begin = rest.get(begin..).unwrap_or_default();
        let Some(end) = find(begin, &mark) else {
            // The last mark is missing: what is there is a part.
            parts.push(begin);
            break;
        };
        // The line end before a mark belongs to the mark.
        let part = begin.get(..end).unwrap_or_default();
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        parts.push(part.strip_suffix(b"\r").unwrap_or(part));
        rest = begin.get(end + mark.len()..).unwrap_or_default();
    }
    parts
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Who is heard on which stream, by the label that the session description gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    names: HashMap<String, String>,
}

/// Why metadata are of no use; the call is heard all the same.
#[derive(Debug, thiserror::Error)]
pub enum BadMetadata {
    #[error("the recording metadata are no XML: {0}")]
    Xml(String),
}

/// Elements of metadata at most.
const NODES: u32 = 20_000;
/// Characters of a name at most.
const NAME: usize = 64;

impl Parties {
    pub fn read(metadata: &[u8]) -> Result<Parties, BadMetadata> {
        let text = String::from_utf8_lossy(metadata);
        let options = ParsingOptions {
            nodes_limit: NODES,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text.trim(), options)
            .map_err(|err| BadMetadata::Xml(err.to_string()))?;
        let elements = |name: &'static str| {
            document
                .descendants()
                .filter(move |node| node.is_element() && node.tag_name().name() == name)
        };
        let mut people: HashMap<&str, String> = HashMap::new();
        for participant in elements("participant") {
            let id = attribute(&participant, &["participant_id", "id"]);
            if let (Some(id), Some(name)) = (id, name(&participant)) {
                people.insert(id, name);
            }
        }
        let mut senders: HashMap<String, &str> = HashMap::new();
        for association in elements("participantstreamassoc") {
            let Some(person) = attribute(&association, &["participant_id", "participant"]) else {
                continue;
            };
            for stream in association
                .children()
                .filter(|node| node.tag_name().name() == "send")
            {
                if let Some(stream) = stream.text() {
                    senders.insert(stream.trim().to_owned(), person);
                }
            }
        }
        let mut names = HashMap::new();
        for stream in elements("stream") {
            let label = stream
                .children()
                .find(|node| node.tag_name().name() == "label");
            let label = label.and_then(|label| label.text()).map(str::trim);
            let id = attribute(&stream, &["stream_id", "id"]);
            let name = id
                .and_then(|id| senders.get(id))
                .and_then(|person| people.get(person));
            if let (Some(label), Some(name)) = (label, name) {
                names.insert(label.to_owned(), name.clone());
            }
        }
        Ok(Parties { names })
    }

    /// Who is heard on the stream with this label.
    pub fn of(&self, label: &str) -> Option<&str> {
        self.names.get(label).map(String::as_str)
    }
}

fn attribute<'a>(node: &Node<'a, '_>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| node.attribute(*name))
}

/// The name of a participant, or else the address.
fn name(participant: &Node) -> Option<String> {
    let id = participant
        .children()
        .find(|node| node.tag_name().name() == "nameID")?;
    let name = id
        .children()
        .find(|node| node.tag_name().name() == "name")
        .and_then(|name| name.text())
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let address = id.attribute("aor").map(|address| {
        let address = address.split_once(':').map_or(address, |(_, rest)| rest);
        address.split([';', '?']).next().unwrap_or(address)
    });
    let name = name.or(address.filter(|address| !address.is_empty()))?;
    Some(
        name.chars()
            .filter(|c| !c.is_control())
            .take(NAME)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After the example of RFC 7865, 9.1, with the names that matter here.
    const METADATA: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1">
  <datamode>complete</datamode>
  <session session_id="hVpd7YQgRW2nD22h7q60JQ=="/>
  <participant participant_id="bob="><nameID aor="sip:bob@biloxi.example"><name xml:lang="it">Bob B</name></nameID></participant>
  <participant participant_id="paul="><nameID aor="sip:paul@biloxi.example;x=1"/></participant>
  <stream stream_id="s1==" session_id="hVpd7YQgRW2nD22h7q60JQ=="><label>96</label></stream>
  <stream stream_id="s2==" session_id="hVpd7YQgRW2nD22h7q60JQ=="><label>97</label></stream>
  <participantstreamassoc participant_id="bob="><send>s1==</send><recv>s2==</recv></participantstreamassoc>
  <participantstreamassoc participant_id="paul="><send>s2==</send><recv>s1==</recv></participantstreamassoc>
</recording>"#;

    #[test]
    fn labels_have_the_names_of_who_sends() {
        let parties = Parties::read(METADATA.as_bytes()).unwrap();
        assert_eq!(parties.of("96"), Some("Bob B"));
        assert_eq!(parties.of("97"), Some("paul@biloxi.example"));
        assert_eq!(parties.of("98"), None);
    }

    #[test]
    fn metadata_that_are_none_say_so() {
        assert!(Parties::read(b"<recording>").is_err());
        assert!(Parties::read(b"").is_err());
        assert!(Parties::read(b"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>").is_err());
        assert_eq!(Parties::read(b"<recording/>").unwrap(), Parties::default());
    }

    #[test]
    fn a_body_of_parts_is_taken_apart() {
        let body = "preamble\r\n--xyz\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=-\r\n\r\n--xyz\r\n\
                    content-type: application/rs-metadata+xml; charset=utf-8\r\nContent-Disposition: recording-session\r\n\r\n<a/>\r\n--xyz--\r\nend";
        let read = Body::read("multipart/mixed; boundary=\"xyz\"", body.as_bytes());
        assert_eq!(read.sdp.as_deref(), Some(&b"v=0\r\ns=-\r\n"[..]));
        assert_eq!(read.metadata.as_deref(), Some(&b"<a/>"[..]));
        let plain = Body::read("application/sdp", b"v=0");
        assert_eq!(plain.sdp.as_deref(), Some(&b"v=0"[..]));
        for bad in [
            "multipart/mixed",
            "multipart/mixed; boundary=",
            "text/plain",
            "",
        ] {
            assert_eq!(Body::read(bad, body.as_bytes()), Body::default(), "{bad}");
        }
        assert_eq!(
            Body::read("multipart/mixed;boundary=q", b"--q--"),
            Body::default()
        );
        assert_eq!(
            Body::read("multipart/mixed;boundary=q", b"--q"),
            Body::default()
        );
    }
}
