//! Bytes that are written down as bytes: `#[serde(with = "octets")]`. By itself serde takes them for a list of numbers, which is
//! twice as long.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    from.deserialize_byte_buf(Octets)
}

struct Octets;

impl Visitor<'_> for Octets {
    type Value = Vec<u8>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Thing {
        #[serde(with = "super")]
        bytes: Vec<u8>,
    }

    #[test]
    fn bytes_take_a_byte_each() {
        let thing = Thing {
            bytes: (0..=255).collect(),
        };
        let mut written = Vec::new();
        ciborium::into_writer(&thing, &mut written).unwrap();
        assert!(written.len() < 256 + 16, "{}", written.len());
        let read: Thing = ciborium::from_reader(written.as_slice()).unwrap();
        assert_eq!(read.bytes, thing.bytes);
        assert!(ciborium::from_reader::<Thing, _>(&written[1..]).is_err());
    }
}
