//! Who may use the HTTP and WebSocket ports, and how they are encrypted.
//!
//! - A **token** (`--token`, `STREAM_TOKEN`), brought as `Authorization: Bearer ...` or, by browsers, as `?token=...`.
//! - The **origin** of web pages: those of other hosts are refused unless they are named (`--origin`), so that no page
//!   somebody happens to look at can use a server on his machine.
//! - **TLS** (`--tls-cert`, `--tls-key`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum_server::tls_rustls::RustlsConfig;
use clap::Args;
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use subtle::ConstantTimeEq;

use crate::http::Peer;

#[derive(Args, Clone, Debug, Default)]
pub struct SecurityOptions {
    /// Clients of the HTTP and WebSocket ports must bring it: `Authorization: Bearer TOKEN`, or `?token=TOKEN`
    #[arg(
        long,
        env = "STREAM_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// /metrics wants the token, too
    #[arg(long, requires = "token")]
    pub token_metrics: bool,
    /// Web pages of this origin may connect, as in `https://example.org`; may be repeated; '*': all [default: those of the
    /// server's own host]
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Vec<String>,
    /// Certificate chain of the HTTP and WebSocket ports, PEM
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

/// Why the options cannot be followed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    #[error("{flag} {path} cannot be read: {reason}")]
    Read {
        flag: &'static str,
        path: PathBuf,
        reason: io::Error,
    },
    #[error(
        "--tls-cert {0} holds no certificate: it takes a PEM file with BEGIN CERTIFICATE in it, the server's own first"
    )]
    NoCertificate(PathBuf),
    #[error("--tls-key {0} holds no private key: it takes a PEM file with BEGIN PRIVATE KEY in it")]
    NoKey(PathBuf),
    #[error("--tls-cert {cert} and --tls-key {key} cannot be used: {reason}")]
    Unfit {
        cert: PathBuf,
        key: PathBuf,
        reason: rustls::Error,
    },
    #[error("--token is empty: give it some 32 random letters, or leave it out")]
    EmptyToken,
}

/// What a port does with strangers.
#[derive(Clone, Default)]
pub struct Security {
    access: Arc<Access>,
    tls: Option<RustlsConfig>,
}

#[derive(Default)]
struct Access {
    token: Option<String>,
    token_metrics: bool,
    origins: Vec<String>,
}

impl Security {
    pub fn load(options: &SecurityOptions) -> Result<Security, SecurityError> {
        if options.token.as_ref().is_some_and(String::is_empty) {
            return Err(SecurityError::EmptyToken);
        }
        let tls = match (&options.tls_cert, &options.tls_key) {
            (Some(cert), Some(key)) => Some(tls(cert, key)?),
            _ => None,
        };
        let bare = |origin: &String| origin.trim_end_matches('/').to_ascii_lowercase();
        Ok(Security {
            access: Arc::new(Access {
                token: options.token.clone(),
                token_metrics: options.token_metrics,
                origins: options.origin.iter().map(bare).collect(),
            }),
            tls,
        })
    }

    pub fn tls(&self) -> Option<&RustlsConfig> {
        self.tls.as_ref()
    }

    /// `http` or `ws`, with an s if it is encrypted.
    pub fn scheme(&self, plain: &str) -> String {
        match self.tls {
            Some(_) => format!("{plain}s"),
            None => plain.to_owned(),
        }
    }

    /// Puts the check before routes.
    pub fn guard(&self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(
            Arc::clone(&self.access),
            check,
        ))
    }
}

fn tls(cert: &Path, key: &Path) -> Result<RustlsConfig, SecurityError> {
    let read = |flag, path: &Path| {
        std::fs::read(path).map_err(|reason| SecurityError::Read {
            flag,
            path: path.into(),
            reason,
        })
    };
    let chain = CertificateDer::pem_slice_iter(&read("--tls-cert", cert)?)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| SecurityError::NoCertificate(cert.into()))?;
    let secret = PrivateKeyDer::from_pem_slice(&read("--tls-key", key)?)
        .map_err(|_| SecurityError::NoKey(key.into()))?;
    let unfit = |reason| SecurityError::Unfit {
        cert: cert.into(),
        key: key.into(),
        reason,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

async fn check(
    State(access): State<Arc<Access>>,
    Peer(peer): Peer,
    mut request: Request,
    next: Next,
) -> Response {
    let refused = access.refuses(request.method(), request.uri(), request.headers());
    let Some(denied) = refused else {
        if let Some(uri) = without_token(request.uri()) {
            *request.uri_mut() = uri;
        }
        return next.run(request).await;
    };
    let (status, sentence) = denied.answer();
    tracing::warn!(
        peer = peer.map(tracing::field::display),
        path = request.uri().path(),
        "refused a request: {sentence}"
    );
    let body = serde_json::json!({"type": "error", "message": sentence}).to_string();
    let kind = (header::CONTENT_TYPE, "application/json");
    match status {
        StatusCode::UNAUTHORIZED => {
            (status, [kind, (header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
        }
        _ => (status, [kind], body).into_response(),
    }
}

#[derive(Debug, PartialEq)]
enum Denied {
    NoToken,
    WrongToken,
    Origin,
}

impl Denied {
    fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            // One answer, whatever was wrong with what was brought.
            Denied::NoToken | Denied::WrongToken => (
                StatusCode::UNAUTHORIZED,
                "the token is wanted: send Authorization: Bearer TOKEN, or ?token=TOKEN",
            ),
            Denied::Origin => (
                StatusCode::FORBIDDEN,
                "web pages of this origin may not connect; who runs the server can allow them by --origin",
            ),
        }
    }
}

impl Access {
    fn refuses(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Denied> {
        if !self.welcomes(headers) {
            return Some(Denied::Origin);
        }
        let token = self.token.as_ref()?;
        if self.is_open(method, uri.path(), headers) {
            return None;
        }
        let Some(brought) = brought(uri, headers) else {
            return Some(Denied::NoToken);
        };
        // Digests are of one length, so that the time tells nothing of the token's.
        let digest = |text: &str| digest(&SHA256, text.as_bytes());
        let (brought, token) = (digest(&brought), digest(token));
        match bool::from(brought.as_ref().ct_eq(token.as_ref())) {
            true => None,
            false => Some(Denied::WrongToken),
        }
    }

    /// Needs no token: whether the server lives, its figures, and the page, which brings the token itself.
    fn is_open(&self, method: &Method, path: &str, headers: &HeaderMap) -> bool {
        if *method != Method::GET || headers.contains_key(header::UPGRADE) {
            return false;
        }
        match path {
            "/health" | "/" => true,
            "/metrics" => !self.token_metrics,
            path => path.starts_with("/page/"),
        }
    }

    /// Browsers name the page that asks; programs name none.
    fn welcomes(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        let own = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .map(|host| name(&host.to_ascii_lowercase()).to_owned());
        let of_own = || {
            origin
                .split_once("://")
                .is_some_and(|(_, host)| own.as_deref() == Some(name(host)))
        };
        self.origins
            .iter()
            .any(|allowed| allowed == "*" || *allowed == origin)
            || of_own()
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The address as doors shall see it, if it has a token in it: for them it would be one more parameter.
pub(crate) fn without_token(uri: &Uri) -> Option<Uri> {
    let is_token = |pair: &&str| pair.split('=').next() == Some("token");
    let query = uri.query()?;
    if !query.split('&').any(|pair| is_token(&pair)) {
        return None;
    }
    let rest: Vec<_> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let mark = if rest.is_empty() { "" } else { "?" };
    let path = format!("{}{mark}{}", uri.path(), rest.join("&"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// The token that a client brings.
pub(crate) fn brought(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let header = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let by_header = header.and_then(|value| {
        let (scheme, token) = value.trim().split_once(' ')?;
        // Deepgram's clients say Token.
        let known = ["bearer", "token"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        known.then(|| token.trim().to_owned())
    });
    by_header.or_else(|| {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(uri.query().unwrap_or_default()).ok()?;
        let mut tokens = pairs.into_iter().filter(|(name, _)| name == "token");
        Some(tokens.next()?.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let parsed = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        parsed
            .collect::<Vec<(header::HeaderName, _)>>()
            .into_iter()
            .collect()
    }

    fn refuses(access: &Access, uri: &str, with: &[(&str, &str)]) -> Option<Denied> {
        access.refuses(&Method::GET, &uri.parse().unwrap(), &headers(with))
    }

    #[test]
    fn the_token_opens_and_nothing_else_does() {
        let access = Access {
            token: Some("correct horse".into()),
            ..Access::default()
        };
        let upgrade = ("upgrade", "websocket");
        for (uri, with, denied) in [
            ("/ws", vec![], Some(Denied::NoToken)),
            ("/", vec![upgrade], Some(Denied::NoToken)),
            ("/ws", vec![("authorization", "Bearer correct horse")], None),
            (
                "/ws",
                vec![("authorization", "bearer  correct horse ")],
                None,
            ),
            (
                "/v1/listen",
                vec![("authorization", "Token correct horse")],
                None,
            ),
            (
                "/ws",
                vec![("authorization", "Basic correct horse")],
                Some(Denied::NoToken),
            ),
            (
                "/ws",
                vec![("authorization", "Bearer correct hors")],
                Some(Denied::WrongToken),
            ),
            (
                "/ws",
                vec![("authorization", "Bearer")],
                Some(Denied::NoToken),
            ),
            ("/ws?token=correct+horse", vec![], None),
            ("/ws?language=fr&token=correct%20horse", vec![upgrade], None),
            ("/ws?token=", vec![], Some(Denied::WrongToken)),
            (
                "/ws?token=correct%20horses",
                vec![],
                Some(Denied::WrongToken),
            ),
            ("/calls", vec![], Some(Denied::NoToken)),
            ("/health", vec![], None),
            ("/metrics", vec![], None),
            ("/", vec![], None),
            ("/page/app.js", vec![], None),
            ("/page/../calls", vec![upgrade], Some(Denied::NoToken)),
        ] {
            assert_eq!(refuses(&access, uri, &with), denied, "{uri} {with:?}");
        }
        let metrics = Access {
            token_metrics: true,
            ..access
        };
        assert_eq!(refuses(&metrics, "/metrics", &[]), Some(Denied::NoToken));
        assert_eq!(refuses(&metrics, "/health", &[]), None);
    }

    #[test]
    fn doors_do_not_see_the_token() {
        let seen = |uri: &str| without_token(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(seen("/ws?token=x"), Some("/ws".into()));
        assert_eq!(
            seen("/ws?a=1&token=x%26b&b=tokens"),
            Some("/ws?a=1&b=tokens".into())
        );
        assert_eq!(seen("/ws?token"), Some("/ws".into()));
        assert_eq!(seen("/ws?tokens=x"), None);
        assert_eq!(seen("/ws"), None);
    }

    #[test]
    fn pages_of_other_hosts_are_kept_out() {
        let access = Access {
            origins: vec!["https://example.org".into()],
            ..Access::default()
        };
        let host = ("host", "server.lan:8080");
        for (origin, denied) in [
            ("http://server.lan:8080", None),
            ("https://Server.lan", None),
            ("https://example.org", None),
            ("http://example.org", Some(Denied::Origin)),
            ("https://server.lan.evil.net", Some(Denied::Origin)),
            ("https://evil.net", Some(Denied::Origin)),
            ("null", Some(Denied::Origin)),
            ("", Some(Denied::Origin)),
        ] {
            assert_eq!(
                refuses(&access, "/ws", &[host, ("origin", origin)]),
                denied,
                "{origin}"
            );
        }
        assert_eq!(refuses(&access, "/ws", &[host]), None);
        let all = Access {
            origins: vec!["*".into()],
            ..Access::default()
        };
        assert_eq!(refuses(&all, "/ws", &[host, ("origin", "null")]), None);
        let v6 = [("host", "[::1]:8080"), ("origin", "http://[::1]:3000")];
        assert_eq!(refuses(&access, "/ws", &v6), None);
    }
}
