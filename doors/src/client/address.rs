//! Where the server is.

use super::ClientError;

#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    WebSocket(WebSocketAddress),
    Line(LineAddress),
}

#[derive(Clone, Debug, PartialEq)]
pub struct WebSocketAddress {
    secure: bool,
    /// Host, and port if one was given.
    authority: String,
    path: String,
    query: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LineAddress {
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn read(text: &str) -> Result<Address, ClientError> {
        let bad = || ClientError::Address(text.into());
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        if rest.is_empty() || rest.contains(char::is_whitespace) || rest.contains('@') {
            return Err(bad());
        }
        match scheme {
            "ws" | "wss" => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at(end);
                let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
                if authority.is_empty() || query.contains('#') || path.contains('#') {
                    return Err(bad());
                }
                Ok(Address::WebSocket(WebSocketAddress {
                    secure: scheme == "wss",
                    authority: authority.into(),
                    path: if path.is_empty() { "/" } else { path }.into(),
                    query: query.into(),
                }))
            }
            "tcp" => {
                let rest = rest.trim_end_matches('/');
                let (host, port) = match rest.rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => {
                        (host, port.parse().map_err(|_| bad())?)
                    }
                    _ => (rest, 43007),
                };
                let host = host.trim_start_matches('[').trim_end_matches(']');
                if host.is_empty() {
                    return Err(bad());
                }
                Ok(Address::Line(LineAddress {
                    host: host.into(),
                    port,
                }))
            }
            _ => Err(bad()),
        }
    }
}

impl WebSocketAddress {
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Without the query: that may have secrets in it.
    pub fn shown(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }

    /// With what is asked of the door, behind what the address asks itself.
    pub fn with(&self, asked: &[(String, String)]) -> String {
        let own = (!self.query.is_empty()).then(|| self.query.clone());
        let asked = asked
            .iter()
            .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
        let query: Vec<String> = own.into_iter().chain(asked).collect();
        match query.is_empty() {
            true => self.shown(),
            false => format!("{}?{}", self.shown(), query.join("&")),
        }
    }
}

impl LineAddress {
    pub fn shown(&self) -> String {
        match self.host.contains(':') {
            true => format!("tcp://[{}]:{}", self.host, self.port),
            false => format!("tcp://{}:{}", self.host, self.port),
        }
    }
}

/// Percent-encoding (RFC 3986, 2.1).
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, shown) in [
            ("ws://host:43008/", "ws://host:43008/"),
            ("ws://host", "ws://host/"),
            ("wss://host/speech/ws?a=b", "wss://host/speech/ws"),
            ("wss://[::1]:9?x", "wss://[::1]:9/"),
            ("tcp://host", "tcp://host:43007"),
            ("tcp://[::1]:5/", "tcp://[::1]:5"),
        ] {
            let got = match Address::read(text).unwrap() {
                Address::WebSocket(address) => address.shown(),
                Address::Line(address) => address.shown(),
            };
            assert_eq!(got, shown);
        }
        for text in [
            "",
            "host:1",
            "http://host/",
            "ws://",
            "tcp://:5",
            "tcp://h:x",
            "ws://a b/",
        ] {
            assert!(Address::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_asked_joins_the_query() {
        let Address::WebSocket(address) = Address::read("ws://h:1/x?language=fr").unwrap() else {
            panic!("a WebSocket");
        };
        let asked = [("init-prompt".to_owned(), "à b&c".to_owned())];
        assert_eq!(
            address.with(&asked),
            "ws://h:1/x?language=fr&init-prompt=%C3%A0%20b%26c"
        );
        assert_eq!(address.with(&[]), "ws://h:1/x?language=fr");
    }
}
