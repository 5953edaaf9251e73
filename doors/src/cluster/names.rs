//! What things are called on NATS: subjects, streams, keys.

use std::fmt::Write;

/// One leg of a call, heard from its beginning to its end by one worker after another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leg {
    /// The gateway to which its client talks.
    pub gateway: String,
    /// The call's id, as its client knows it.
    pub call: String,
    /// Grows when the call begins anew, and when its id is used again.
    pub generation: u64,
    pub number: u32,
}

impl Leg {
    /// `GATEWAY.CALL.GENERATION.NUMBER`: what stands for it in subjects and keys.
    pub fn path(&self) -> String {
        let call = token(&self.call);
        format!(
            "{}.{call}.{}.{}",
            self.gateway, self.generation, self.number
        )
    }

    pub fn of(path: &str) -> Option<Leg> {
        let mut tokens = path.split('.');
        let leg = Leg {
            gateway: tokens.next().filter(|it| !it.is_empty())?.into(),
            call: text(tokens.next()?)?,
            generation: tokens.next()?.parse().ok()?,
            number: tokens.next()?.parse().ok()?,
        };
        tokens.next().is_none().then_some(leg)
    }

    /// What a worker calls it among its own calls.
    pub fn id(&self) -> String {
        // An id has 128 characters, and theirs may have as many.
        let call: String = self.call.chars().take(80).collect();
        let Leg {
            gateway,
            generation,
            number,
            ..
        } = self;
        format!("{call}:{gateway}.{generation}.{number}")
    }
}

/// Names under a prefix, so that several clusters share one NATS.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// `None`: that is no prefix (letters, digits, `-`, `_`).
    pub fn new(prefix: &str) -> Option<Names> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_prefix = (1..=32).contains(&prefix.len()) && prefix.chars().all(fits);
        is_prefix.then(|| Names {
            prefix: prefix.into(),
        })
    }

    /// A stream's name: `PREFIX-KIND`.
    pub fn stream(&self, kind: &str) -> String {
        format!("{}-{kind}", self.prefix)
    }

    /// All subjects of a kind.
    pub fn all(&self, kind: &str) -> String {
        format!("{}.{kind}.>", self.prefix)
    }

    /// Those of a gateway's calls.
    pub fn all_of(&self, kind: &str, gateway: &str) -> String {
        format!("{}.{kind}.{gateway}.>", self.prefix)
    }

    /// That of one leg.
    pub fn of(&self, kind: &str, leg: &Leg) -> String {
        format!("{}.{kind}.{}", self.prefix, leg.path())
    }

    /// Which leg a subject of that kind is of.
    pub fn leg(&self, kind: &str, subject: &str) -> Option<Leg> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix('.')?;
        Leg::of(rest.strip_prefix(kind)?.strip_prefix('.')?)
    }

    /// Where legs are offered to workers that have room.
    pub fn offer(&self) -> String {
        format!("{}.offer", self.prefix)
    }

    /// Where all workers say what they hear.
    pub fn roll(&self) -> String {
        format!("{}.roll", self.prefix)
    }

    /// Where a gateway says that it is there.
    pub fn gateway(&self, gateway: &str) -> String {
        format!("{}.gateway.{gateway}", self.prefix)
    }
}

pub fn leg_key(leg: &Leg) -> String {
    format!("leg.{}", leg.path())
}

pub fn call_key(call: &str) -> String {
    format!("call.{}", token(call))
}

pub fn worker_key(worker: &str) -> String {
    format!("worker.{worker}")
}

/// A text as one token of a subject, that is a key, too: what else may stand in an id is written `=2E`.
fn token(text: &str) -> String {
    let mut token = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => token.push(byte.into()),
            other => {
                let _ = write!(token, "={other:02X}");
            }
        }
    }
    token
}

fn text(token: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = token.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'=' => 16 * digit(rest.next()?)? + digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty())
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_found_by_its_subject() {
        let names = Names::new("whisperstream").unwrap();
        for call in ["7", "a.b:c", "é=>*", "a-b_C"] {
            let leg = Leg {
                gateway: "0f".into(),
                call: call.into(),
                generation: 3,
                number: 1,
            };
            let subject = names.of("audio", &leg);
            assert_eq!(subject.split('.').count(), 6, "{subject}");
            assert_eq!(names.leg("audio", &subject), Some(leg));
        }
        for other in [
            "",
            "whisperstream.audio",
            "whisperstream.audio.g.c.0",
            "whisperstream.audio.g.c.0.0.0",
            "whisperstream.audio.g.c.x.0",
            "whisperstream.audio..c.0.0",
            "whisperstream.audio.g.=4.0.0",
            "whisperstream.audio.g.=+4.0.0",
            "whisperstream.text.g.c.0.0",
            "other.audio.g.c.0.0",
        ] {
            assert_eq!(names.leg("audio", other), None, "{other}");
        }
        assert!(Names::new("a.b").is_none() && Names::new("").is_none());
    }
}
