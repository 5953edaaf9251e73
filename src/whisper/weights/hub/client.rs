//! Requests to the hub that can be given up at any moment.
//!
//! A read that a silent server blocks cannot be told to stop. So the connection is read on a thread of its own, and who
//! waits for it looks at [`Cancel`] and the clock; given up, the thread ends with its next read or the read's time-out.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::cache::{check, is_commit};
use super::transfer::{Wanted, is_etag};
use super::{HubError, HubId, Settings};
use crate::whisper::Cancel;

/// How often `Cancel` is looked at while nothing comes.
const POLL: Duration = Duration::from_millis(50);
/// Read at a time.
const PIECE: usize = 64 * 1024;
/// Pieces that may lie between the two threads.
const PIECES: usize = 4;
const REDIRECTS: usize = 10;
/// Longest list of files that is read: thousands of files.
const LONGEST_LISTING: usize = 8 << 20;
/// Files that an error names.
const NAMED: usize = 12;

pub struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<HeaderValue>,
    pub patience: Duration,
    pub pause: Duration,
}

/// An answer whose headers are there, and whose body comes piece by piece.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    url: String,
    pieces: Receiver<Piece>,
    patience: Duration,
}

enum Piece {
    Head(u16, HeaderMap),
    Bytes(Vec<u8>),
    End,
    /// No connection, or none any more.
    Broken(String),
}

/// The files of a repository at a commit.
pub struct Listing {
    pub commit: String,
    files: Vec<Listed>,
}

pub struct Listed {
    name: String,
    pub size: Option<u64>,
    pub etag: Option<String>,
}

impl Listing {
    pub fn file(&self, name: &str) -> Option<&Listed> {
        self.files.iter().find(|file| file.name == name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.file(name).is_some()
    }

    /// Some names, for an error.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.files.iter().map(|file| file.name.as_str()).collect();
        match names.len() {
            0 => "no file at all".to_owned(),
            few if few <= NAMED => names.join(", "),
            more => format!(
                "{} and {} more",
                names
                    .iter()
                    .take(NAMED)
                    .copied()
                    .collect::<Vec<_>>()
                    .join(", "),
                more - NAMED
            ),
        }
    }
}

impl Client {
    pub fn new(settings: &Settings) -> Result<Client, HubError> {
        // Who waits is the first to lose patience; these only end the thread.
        let patience = Some(settings.patience + Duration::from_secs(1));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(settings.proxy.clone())
            // Followed here: the token goes to the hub alone, and the last hop is told where a download begins.
            .max_redirects(0)
            .timeout_per_read(patience)
            .timeout_connect(patience)
            .timeout_recv_response(patience)
            .user_agent(concat!(
                env!("CARGO_PKG_NAME"),
                "/",
                env!("CARGO_PKG_VERSION")
            ))
            .tls_config(TlsConfig::builder().root_certs(roots(settings)?).build())
            .build();
        let token = settings.token.as_ref().map(|token| {
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| HubError::BadSetting {
                name: "HF_TOKEN",
                reason: "it holds characters that no token has".to_owned(),
            })
        });
        Ok(Client {
            agent: config.into(),
            endpoint: settings.endpoint.clone(),
            token: token.transpose()?,
            patience: settings.patience,
            pause: settings.pause,
        })
    }

    /// Address of a file at a commit.
    pub fn url(&self, hub: &HubId, commit: &str, name: &str) -> String {
        format!("{}/{}/resolve/{commit}/{name}", self.endpoint, hub.id)
    }

    /// Asks what the repository holds.
    pub fn listing(&self, hub: &HubId, cancel: &Cancel) -> Result<Listing, HubError> {
        let revision = hub.revision.replace('/', "%2F");
        let url = format!(
            "{}/api/models/{}/revision/{revision}?blobs=true",
            self.endpoint, hub.id
        );
        let mut answer = self.request(Method::GET, &url, None, cancel)?;
        if answer.status != 200 {
            return Err(self.refusal(hub, &answer));
        }
        let mut json = Vec::new();
        while let Some(bytes) = answer.next(cancel)? {
            json.extend_from_slice(&bytes);
            if json.len() > LONGEST_LISTING {
                return Err(answer.bad("its list of files does not end".to_owned()));
            }
        }
        let info: Info =
            serde_json::from_slice(&json).map_err(|error| answer.bad(error.to_string()))?;
        if !is_commit(&info.sha) {
            return Err(answer.bad(format!("{:?} is no commit", info.sha)));
        }
        let files = info.siblings.into_iter().map(Sibling::listed).collect();
        Ok(Listing {
            commit: info.sha,
            files,
        })
    }

    /// Asks for the sum and the size of one file.
    pub fn describe<'n>(
        &self,
        hub: &HubId,
        commit: &str,
        name: &'n str,
        cancel: &Cancel,
    ) -> Result<Wanted<'n>, HubError> {
        let url = self.url(hub, commit, name);
        let answer = self.request(Method::HEAD, &url, None, cancel)?;
        if answer.status != 200 {
            return Err(self.refusal(hub, &answer));
        }
        let linked = |linked, own| answer.header(linked).or_else(|| answer.header(own));
        let etag = linked("x-linked-etag", "etag").unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"');
        if !is_etag(etag) {
            return Err(answer.bad(format!("{etag:?} is no sum of a file")));
        }
        Ok(Wanted {
            name,
            etag: etag.to_owned(),
            size: linked("x-linked-size", "content-length").and_then(|size| size.parse().ok()),
        })
    }

    /// Asks for a file, from byte `from` on.
    pub fn get(
        &self,
        hub: &HubId,
        url: &str,
        from: u64,
        cancel: &Cancel,
    ) -> Result<Answer, HubError> {
        let range = (from > 0).then(|| format!("bytes={from}-"));
        let answer = self.request(Method::GET, url, range.as_deref(), cancel)?;
        match answer.status {
            200 | 206 => Ok(answer),
            401 | 403 => Err(self.refusal(hub, &answer)),
            status => Err(HubError::Status {
                url: answer.url,
                status,
            }),
        }
    }

    /// Follows redirects; what the hub tells of a file on the way stays in the headers.
    fn request(
        &self,
        method: Method,
        url: &str,
        range: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Answer, HubError> {
        let mut url = url.to_owned();
        let mut told = HeaderMap::new();
        for _ in 0..REDIRECTS {
            let mut answer = self.exchange(method.clone(), &url, range, cancel)?;
            for (name, value) in &answer.headers {
                if name.as_str().starts_with("x-linked-") {
                    told.entry(name).or_insert_with(|| value.clone());
                }
            }
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                answer.headers.extend(told);
                return Ok(answer);
            }
            let next = answer.header("location").unwrap_or_default();
            url = follow(&url, next).map_err(|reason| answer.bad(reason))?;
        }
        let reason = format!("more than {REDIRECTS} redirects");
        Err(HubError::BadAnswer { url, reason })
    }

    fn exchange(
        &self,
        method: Method,
        url: &str,
        range: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Answer, HubError> {
        let bad = |reason: String| HubError::BadAnswer {
            url: url.to_owned(),
            reason,
        };
        let mut request = Request::builder().method(method).uri(url);
        if let Some(token) = self
            .token
            .as_ref()
            .filter(|_| same_origin(url, &self.endpoint))
        {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let request = request.body(()).map_err(|error| bad(error.to_string()))?;
        let agent = self.agent.clone();
        let (sender, pieces) = sync_channel(PIECES);
        thread::Builder::new()
            .name("whisperhub".into())
            .spawn(move || read(&agent, request, &sender))
            .map_err(|error| HubError::Unreachable {
                url: url.to_owned(),
                reason: error.to_string(),
            })?;
        let mut answer = Answer {
            status: 0,
            headers: HeaderMap::new(),
            url: url.to_owned(),
            pieces,
            patience: self.patience,
        };
        match answer.wait(cancel)? {
            Piece::Head(status, headers) => {
                (answer.status, answer.headers) = (status, headers);
                Ok(answer)
            }
            Piece::Broken(reason) => Err(HubError::Unreachable {
                url: url.to_owned(),
                reason,
            }),
            Piece::Bytes(_) | Piece::End => Err(bad("an answer without a head".to_owned())),
        }
    }

    /// The sentence for a repository that is not given.
    fn refusal(&self, hub: &HubId, answer: &Answer) -> HubError {
        let (model, endpoint, status) = (hub.text(), self.endpoint.clone(), answer.status);
        let token = match self.token {
            Some(_) => " (the one that is set may not)",
            None => "",
        };
        match (answer.header("x-error-code"), status) {
            (Some("GatedRepo"), _) | (None, 403) => HubError::Gated {
                model,
                endpoint,
                status,
                token,
            },
            (Some("RevisionNotFound"), _) => HubError::NoRevision {
                id: hub.id.clone(),
                revision: hub.revision.clone(),
            },
            (_, 401 | 403 | 404) => HubError::NoRepository {
                model,
                endpoint,
                status,
                token,
            },
            _ => HubError::Status {
                url: answer.url.clone(),
                status,
            },
        }
    }
}

impl Answer {
    /// The next bytes of the body, `None` at its end.
    pub fn next(&mut self, cancel: &Cancel) -> Result<Option<Vec<u8>>, HubError> {
        match self.wait(cancel)? {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            Piece::End => Ok(None),
            Piece::Broken(reason) => Err(HubError::Cut {
                url: self.url.clone(),
                at: 0,
                reason,
            }),
            Piece::Head(..) => Err(self.bad("two heads".to_owned())),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn bad(&self, reason: String) -> HubError {
        HubError::BadAnswer {
            url: self.url.clone(),
            reason,
        }
    }

    fn wait(&self, cancel: &Cancel) -> Result<Piece, HubError> {
        let since = Instant::now();
        loop {
            check(cancel)?;
            match self.pieces.recv_timeout(POLL) {
                Ok(piece) => return Ok(piece),
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(Piece::Broken("its reader ended".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) if since.elapsed() < self.patience => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(HubError::Stalled {
                        url: self.url.clone(),
                        patience: self.patience,
                    });
                }
            }
        }
    }
}

/// Body of the thread that reads. It ends when nobody takes what it reads.
fn read(agent: &Agent, request: Request<()>, sender: &SyncSender<Piece>) {
    let response = match agent.run(request) {
        Ok(response) => response,
        Err(error) => return drop(sender.send(Piece::Broken(error.to_string()))),
    };
    let (head, body) = response.into_parts();
    if sender
        .send(Piece::Head(head.status.as_u16(), head.headers))
        .is_err()
    {
        return;
    }
    let mut body = body.into_reader();
    let mut buffer = vec![0; PIECE];
    loop {
        let piece = match body.read(&mut buffer) {
            Ok(0) => Piece::End,
            Ok(read) => Piece::Bytes(buffer.get(..read).unwrap_or_default().to_vec()),
            Err(error) => Piece::Broken(error.to_string()),
        };
        let last = !matches!(piece, Piece::Bytes(_));
        if sender.send(piece).is_err() || last {
            return;
        }
    }
}

/// What the hub says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    /// Of what git keeps itself.
    blob_id: Option<String>,
    /// Of what lies in large file storage.
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
}

impl Sibling {
    fn listed(self) -> Listed {
        let etag = self.lfs.map(|lfs| lfs.sha256).or(self.blob_id);
        Listed {
            name: self.rfilename,
            size: self.size,
            etag: etag.filter(|etag| is_etag(etag)),
        }
    }
}

/// The address that `location` names, seen from `base`.
fn follow(base: &str, location: &str) -> Result<String, String> {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = path.split('/').next().unwrap_or_default();
    let next = match location {
        "" => return Err("a redirect to nowhere".to_owned()),
        other if other.starts_with("//") => format!("{scheme}:{other}"),
        other if other.starts_with('/') => format!("{scheme}://{authority}{other}"),
        other if other.contains("://") => other.to_owned(),
        other => {
            let folder = path
                .rsplit_once('/')
                .map_or(authority, |(folder, _)| folder);
            format!("{scheme}://{folder}/{other}")
        }
    };
    match next.split_once("://") {
        Some(("https", _)) => Ok(next),
        Some(("http", _)) if scheme == "http" => Ok(next),
        _ => Err(format!("a redirect to {next:?}, which is not encrypted")),
    }
}

/// Whether both addresses are of one server, by its name and port.
fn same_origin(one: &str, other: &str) -> bool {
    let origin = |url: &str| {
        let url: Uri = url.parse().ok()?;
        Some((url.scheme()?.clone(), url.authority()?.clone()))
    };
    matches!((origin(one), origin(other)), (Some(one), Some(other)) if one == other)
}

/// Whom to trust: Mozilla's list, or what the user names instead.
fn roots(settings: &Settings) -> Result<RootCerts, HubError> {
    let Some(path) = &settings.certificates else {
        return Ok(RootCerts::WebPki);
    };
    let bad = |reason: String| HubError::BadSetting {
        name: "SSL_CERT_FILE",
        reason: format!("{path:?}: {reason}"),
    };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match certificates.is_empty() {
        true => Err(bad("there is no certificate in it".to_owned())),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}
