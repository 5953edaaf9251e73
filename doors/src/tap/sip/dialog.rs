//! One call, from its INVITE to its end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rsipstack::dialog::dialog::{DialogState, DialogStateReceiver, TransactionHandle};
use rsipstack::dialog::invite_dialog::InviteDialog;
use rsipstack::sip::prelude::ToTypedHeader;
use rsipstack::sip::{Header, HeadersExt, Request, StatusCode, Transport, Uri};
use rsipstack::transaction::transaction::Transaction;
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Refused};
use super::recording::{Body, Parties};
use super::{ALLOW, Door, PortRange, seconds};
use crate::exchange::{Call, Caller, Refusal};
use crate::tap::conversation::{self, Conversation, Input, WAITING};
use crate::tap::leg::Leg;

/// What a request is refused with.
pub(crate) struct No {
    status: StatusCode,
    why: String,
    headers: Vec<Header>,
}

impl No {
    fn new(status: StatusCode, why: impl Into<String>) -> No {
        No {
            status,
            why: why.into(),
            headers: Vec::new(),
        }
    }

    fn with(mut self, header: Header) -> No {
        self.headers.push(header);
        self
    }

    /// Its headers, the sentence among them (RFC 3261, 20.43).
    pub(crate) fn headers(&self) -> Vec<Header> {
        let plain = |c: &char| !c.is_control() && !"\"\\".contains(*c);
        let why: String = self.why.chars().filter(plain).take(200).collect();
        let mut headers = self.headers.clone();
        headers.push(Header::Warning(
            format!("399 whisperstream \"{why}\"").into(),
        ));
        headers
    }
}

impl From<Refused> for No {
    fn from(refused: Refused) -> No {
        let status = match refused {
            Refused::Form(_) => StatusCode::BadRequest,
            Refused::Codecs | Refused::NoAudio => StatusCode::NotAcceptableHere,
        };
        No::new(status, refused.to_string())
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> No {
        let why = refusal.to_string();
        match refusal {
            Refusal::Full(_) | Refusal::Crowded(_) => No::new(StatusCode::BusyHere, why),
            refusal if refusal.is_passing() => {
                No::new(StatusCode::ServiceUnavailable, why).with(Header::RetryAfter("10".into()))
            }
            _ => No::new(StatusCode::ServerInternalError, why),
        }
    }
}

/// A call that may be answered.
struct Session {
    id: String,
    answer: Answer,
    /// The `m=` line and port of each leg.
    lines: Vec<usize>,
    ports: Vec<u16>,
    address: IpAddr,
    /// Numbers of our descriptions (`o=`).
    number: u64,
    version: u64,
    contact: String,
    /// Streams that were one way from the start are no music on hold.
    one_way: Vec<bool>,
    to: mpsc::Sender<Input>,
}

/// What runs once it is answered.
struct Ready {
    call: Call,
    conversation: Conversation,
    inputs: mpsc::Receiver<Input>,
    sockets: Vec<UdpSocket>,
}

/// An INVITE of a new call.
pub(super) async fn invited(door: &Arc<Door>, transaction: &mut Transaction) {
    let request = transaction.original.clone();
    let peer = transaction
        .endpoint_inner
        .get_destination_from_request(&request)
        .await
        .and_then(|address| address.get_socketaddr().ok());
    let _ = transaction.send_trying().await;
    let transport = transaction
        .connection
        .as_ref()
        .map(|connection| connection.transport());
    let (session, ready) = match prepare(door, &request, peer, transport).await {
        Ok(prepared) => prepared,
        Err(no) => {
            tracing::info!(
                door = "sip",
                peer = peer.map(tracing::field::display),
                status = no.status.code(),
                "refused a call: {}",
                no.why
            );
            let headers = no.headers();
            if let Err(err) = transaction.reply_with(no.status, headers, None).await {
                tracing::info!(door = "sip", "the refusal did not go out: {err}");
            }
            return;
        }
    };
    let (states, changes) = door.dialogs.new_dialog_state_channel();
    let contact = Uri::try_from(session.contact.as_str()).ok();
    let dialog = door
        .dialogs
        .get_or_create_server_invite(transaction, states, None, contact);
    let mut dialog = match dialog {
        Ok(dialog) => dialog,
        Err(err) => {
            tracing::info!(door = "sip", "a call without what a call needs: {err}");
            let _ = transaction.reply(StatusCode::BadRequest).await;
            return;
        }
    };
    let call = talk(door, dialog.clone(), changes, session, ready);
    let (_, handled) = tokio::join!(call, dialog.handle(transaction));
    if let Err(err) = handled {
        tracing::info!(door = "sip", "a call's SIP went wrong: {err}");
    }
    door.dialogs.remove_dialog(&dialog.id());
}

async fn prepare(
    door: &Door,
    request: &Request,
    peer: Option<SocketAddr>,
    transport: Option<Transport>,
) -> Result<(Session, Ready), No> {
    let required = required(request);
    let unknown: Vec<_> = required
        .iter()
        .filter(|tag| *tag != "siprec")
        .cloned()
        .collect();
    if !unknown.is_empty() {
        let tags = unknown.join(", ");
        return Err(No::new(
            StatusCode::BadExtension,
            format!("{tags} is not known here"),
        )
        .with(Header::Unsupported(tags.into())));
    }
    let body = body(request)?;
    let is_recording = body.metadata.is_some() || required.iter().any(|tag| tag == "siprec");
    let answer = match &body.sdp {
        Some(offer) => Answer::to(offer)?,
        None if is_recording => {
            return Err(No::new(
                StatusCode::BadRequest,
                "a recording session needs a session description",
            ));
        }
        None => Answer::without_offer(),
    };
    let parties = match body.metadata.as_deref().map(Parties::read) {
        Some(Ok(parties)) => parties,
        Some(Err(err)) => {
            tracing::warn!(
                door = "sip",
                peer = peer.map(tracing::field::display),
                "{err}; the legs have no names"
            );
            Parties::default()
        }
        None => Parties::default(),
    };
    let caller = caller(request);
    let mut names: Vec<String> = Vec::new();
    let mut legs = Vec::new();
    for (number, stream) in answer.streams.iter().enumerate() {
        let label = stream.label.as_deref();
        let known = label.and_then(|label| parties.of(label)).map(str::to_owned);
        let name = known.unwrap_or_else(|| match (label, is_recording || number > 0) {
            (Some(label), true) => label.to_owned(),
            (None, true) => format!("{}", number + 1),
            (_, false) => caller.clone(),
        });
        // Two of one name are told apart.
        let name = match names.contains(&name) {
            true => format!("{name} ({})", number + 1),
            false => name,
        };
        names.push(name.clone());
        legs.push(Leg::new(name, stream.formats.clone()));
    }
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    let mut listen = door.options.listen.iter().map(|listen| listen.address.ip());
    let bound = listen
        .find(|ip| !ip.is_unspecified())
        .unwrap_or(unspecified);
    let mut sockets = Vec::new();
    for _ in &legs {
        let socket = bind(bound, door.options.rtp_ports).map_err(|err| {
            No::new(
                StatusCode::ServiceUnavailable,
                format!("no port is free for RTP: {err}"),
            )
        })?;
        sockets.push(socket);
    }
    let ports = sockets.iter().filter_map(|socket| socket.local_addr().ok());
    let ports: Vec<_> = ports.map(|address| address.port()).collect();
    let address = match door.options.address {
        Some(address) => address,
        None if !bound.is_unspecified() => bound,
        None => peer.and_then(towards).unwrap_or(bound),
    };
    let conversation = Conversation::new(legs);
    let call = Caller {
        door: "sip",
        peer,
        id: None,
    };
    let call = door.exchange.open(call, conversation.wanted()).await?;
    let id = call.id.clone();
    let printer = door.printer.of_call(&id);
    let sip_id = request.call_id_header().map(|id| id.value().to_owned());
    printer.fact(json!({
        "type": "call",
        "sip": sip_id.unwrap_or_default(),
        "from": caller,
        "peer": peer.map(|peer| peer.to_string()),
        "recording": is_recording,
        "legs": names,
    }));
    let (to, inputs) = mpsc::channel(WAITING);
    let is_tcp = transport == Some(Transport::Tcp);
    let port = door
        .options
        .listen
        .iter()
        .find(|listen| listen.is_tcp == is_tcp);
    let port = port.map_or(5060, |listen| listen.address.port());
    let contact = format!(
        "sip:whisperstream@{}{}",
        SocketAddr::new(address, port),
        if is_tcp { ";transport=tcp" } else { "" }
    );
    let session = Session {
        id,
        lines: answer.streams.iter().map(|stream| stream.index).collect(),
        one_way: answer
            .streams
            .iter()
            .map(|stream| stream.is_one_way)
            .collect(),
        answer,
        ports,
        address,
        // Any number that is another each time will do (RFC 8866, 5.2).
        number: uuid::Uuid::new_v4().as_u64_pair().0 >> 2,
        version: 1,
        contact,
        to,
    };
    let ready = Ready {
        call,
        conversation,
        inputs,
        sockets,
    };
    Ok((session, ready))
}

/// Rings, answers, and follows the call to its end.
async fn talk(
    door: &Arc<Door>,
    dialog: InviteDialog,
    mut changes: DialogStateReceiver,
    mut session: Session,
    ready: Ready,
) {
    let wait = seconds(door.options.answer_after);
    if !wait.is_zero() {
        let _ = dialog.ringing(None, None);
        let over = async {
            while let Some(state) = changes.recv().await {
                if matches!(state, DialogState::Terminated(..)) {
                    return;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = over => {
                door.printer.of_call(&session.id).note("the caller hung up before the call was answered");
                return;
            }
            () = door.end.cancelled() => {
                let _ = dialog.reject(Some(StatusCode::ServiceUnavailable), None);
                return;
            }
        }
    }
    if let Err(err) = dialog.accept(Some(session.headers()), Some(session.describe())) {
        tracing::info!(door = "sip", call = %session.id, "the call could not be answered: {err}");
        return;
    }
    let printer = door.printer.of_call(&session.id);
    let end = door.end.child_token();
    let _ = session.to.try_send(Input::Answered { at: Instant::now() });
    session.hold().await;
    for (leg, socket) in ready.sockets.into_iter().enumerate() {
        let whose: conversation::Whose = Box::new(move |_| Some(leg));
        let receive =
            conversation::receive(Arc::new(socket), whose, session.to.clone(), end.clone());
        tokio::spawn(receive);
    }
    let mut live = tokio::spawn(conversation::live(
        ready.call,
        ready.conversation,
        ready.inputs,
        door.options.following(),
        printer.clone(),
        end.clone(),
    ));
    let longest = seconds(door.options.longest);
    let too_long = async {
        match longest.is_zero() {
            true => std::future::pending().await,
            false => tokio::time::sleep(longest).await,
        }
    };
    tokio::pin!(too_long);
    let by_us = loop {
        tokio::select! {
            change = changes.recv() => match change {
                Some(DialogState::Terminated(_, reason)) => {
                    printer.note(&format!("the call is over: {reason:?}"));
                    break false;
                }
                Some(change) => session.change(change).await,
                None => break false,
            },
            // Nothing came for too long, or the pipeline failed.
            _ = &mut live => {
                hang_up(&dialog).await;
                return;
            }
            () = &mut too_long => {
                printer.note(&format!("the call is longer than {} s: it is ended", longest.as_secs_f64()));
                break true;
            }
            () = end.cancelled() => break true,
        }
    };
    end.cancel();
    if by_us {
        tokio::join!(hang_up(&dialog), async {
            let _ = live.await;
        });
    } else {
        let _ = live.await;
    }
}

async fn hang_up(dialog: &InviteDialog) {
    match timeout(Duration::from_secs(5), dialog.bye()).await {
        Ok(Ok(())) => {}
        Ok(Err(err)) => tracing::info!(door = "sip", "the call could not be hung up: {err}"),
        Err(_) => tracing::info!(door = "sip", "the peer did not answer the BYE"),
    }
    // A call that was never confirmed ends with its transaction.
    dialog.cancel_token().cancel();
}

impl Session {
    fn describe(&self) -> Vec<u8> {
        let ports: Vec<u16> = self
            .answer
            .streams
            .iter()
            .map(|stream| {
                let leg = self.leg(stream.index);
                leg.and_then(|leg| self.ports.get(leg).copied())
                    .unwrap_or(0)
            })
            .collect();
        self.answer
            .describe(self.address, &ports, self.number, self.version)
    }

    fn headers(&self) -> Vec<Header> {
        vec![
            Header::ContentType("application/sdp".into()),
            // RFC 7866, 6.2: the mark of a recording server.
            Header::Contact(format!("<{}>;+sip.srs", self.contact).into()),
            Header::Allow(ALLOW.into()),
            Header::Supported("siprec".into()),
        ]
    }

    fn leg(&self, line: usize) -> Option<usize> {
        self.lines.iter().position(|known| *known == line)
    }

    /// Something inside the call.
    async fn change(&mut self, change: DialogState) {
        let answered = match change {
            DialogState::Updated(_, request, handle) => self.updated(&request, handle).await,
            DialogState::Info(_, request, handle) => {
                if let Some(digit) = info_digit(&request) {
                    let _ = self.to.send(Input::Digit { leg: 0, digit }).await;
                }
                handle.reply(StatusCode::OK).await
            }
            DialogState::Options(_, _, handle) => {
                let headers = Some(vec![Header::Allow(ALLOW.into())]);
                handle.respond(StatusCode::OK, headers, None).await
            }
            DialogState::Message(_, _, handle) => handle.reply(StatusCode::OK).await,
            DialogState::Refer(_, _, handle) => handle.reply(StatusCode::Decline).await,
            DialogState::Notify(_, _, handle) | DialogState::Publish(_, _, handle) => {
                handle.reply(StatusCode::MethodNotAllowed).await
            }
            _ => Ok(()),
        };
        if answered.is_err() {
            tracing::info!(door = "sip", call = %self.id, "a request inside the call went away unanswered");
        }
    }

    /// A re-INVITE or UPDATE: other codecs, another port, a hold. One that cannot be followed changes nothing.
    async fn updated(
        &mut self,
        request: &Request,
        handle: TransactionHandle,
    ) -> Result<(), mpsc::error::SendError<rsipstack::dialog::dialog::TransactionCommand>> {
        let offer = match body(request) {
            Ok(body) => body.sdp,
            Err(no) => {
                return handle
                    .respond(no.status.clone(), Some(no.headers()), None)
                    .await;
            }
        };
        if let Some(offer) = offer {
            match Answer::again(&offer, &self.lines) {
                Ok(answer) => {
                    self.answer = answer;
                    self.version += 1;
                }
                Err(refused) => {
                    let no = No::from(refused);
                    tracing::info!(door = "sip", call = %self.id, status = no.status.code(), "refused a change: {}", no.why);
                    return handle
                        .respond(no.status.clone(), Some(no.headers()), None)
                        .await;
                }
            }
        } else if request.method == rsipstack::sip::Method::Update {
            // It only says that the peer is still there.
            return handle
                .respond(StatusCode::OK, Some(self.headers()), None)
                .await;
        }
        for stream in &self.answer.streams {
            if let Some(leg) = self.leg(stream.index) {
                let formats = stream.formats.clone();
                let _ = self.to.send(Input::Formats { leg, formats }).await;
            }
        }
        self.hold().await;
        let (headers, body) = (self.headers(), self.describe());
        handle
            .respond(StatusCode::OK, Some(headers), Some(body))
            .await
    }

    /// Tells which legs are on hold now.
    async fn hold(&self) {
        for (leg, line) in self.lines.iter().enumerate() {
            let stream = self
                .answer
                .streams
                .iter()
                .find(|stream| stream.index == *line);
            let was_one_way = self.one_way.get(leg).copied().unwrap_or(false);
            let held =
                stream.is_none_or(|stream| stream.is_quiet || (stream.is_one_way && !was_one_way));
            let _ = self.to.send(Input::Held { leg, held }).await;
        }
    }
}

/// The parts of a request's body that matter here.
pub(crate) fn body(request: &Request) -> Result<Body, No> {
    let content_type = request.headers.iter().find_map(|header| match header {
        Header::ContentType(kind) => Some(kind.value().to_owned()),
        _ => None,
    });
    let body = Body::read(&content_type.unwrap_or_default(), &request.body);
    if !request.body.is_empty() && body == Body::default() {
        return Err(No::new(
            StatusCode::UnsupportedMediaType,
            "a body of another kind than application/sdp and multipart/mixed",
        )
        .with(Header::Accept("application/sdp, multipart/mixed".into())));
    }
    Ok(body)
}

pub(crate) fn required(request: &Request) -> Vec<String> {
    let mut tags = Vec::new();
    for header in request.headers.iter() {
        if let Header::Require(require) = header {
            let listed = require
                .value()
                .split(',')
                .map(|tag| tag.trim().to_ascii_lowercase());
            tags.extend(listed.filter(|tag| !tag.is_empty()));
        }
    }
    tags
}

/// Who calls, as the INVITE has it.
pub(crate) fn caller(request: &Request) -> String {
    let from = request
        .from_header()
        .ok()
        .and_then(|from| from.typed().ok());
    let name = from.and_then(|from| {
        let name = from
            .display_name
            .map(|name| name.trim_matches('"').trim().to_owned());
        name.filter(|name| !name.is_empty())
            .or_else(|| from.uri.user().map(str::to_owned))
    });
    let name = name.unwrap_or_else(|| "caller".into());
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// A key in an INFO (`application/dtmf-relay` or `application/dtmf`).
pub(crate) fn info_digit(request: &Request) -> Option<char> {
    let text = std::str::from_utf8(&request.body).ok()?;
    let signal = text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("signal")
            .then(|| value.trim())
    });
    let key = signal.unwrap_or(text.trim());
    let mut characters = key.chars();
    let digit = characters.next()?.to_ascii_uppercase();
    let is_key = digit.is_ascii_digit() || "*#ABCD".contains(digit);
    (is_key && characters.next().is_none()).then_some(digit)
}

/// This machine's address for somebody.
fn towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    // Nothing is sent: the system only looks up the way.
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Where the search for a free port goes on.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// An even port of the range, the odd one above being RTCP's.
fn bind(address: IpAddr, range: PortRange) -> io::Result<UdpSocket> {
    let first = range.first.next_multiple_of(2);
    let pairs = range.last.saturating_sub(first) / 2 + 1;
    let mut refused = io::ErrorKind::AddrInUse.into();
    for _ in 0..pairs {
        let pair = NEXT.fetch_add(1, Ordering::Relaxed) % pairs;
        let port = first + pair * 2;
        match std::net::UdpSocket::bind(SocketAddr::new(address, port)) {
            Ok(socket) => {
                socket.set_nonblocking(true)?;
                return UdpSocket::from_std(socket);
            }
            Err(err) => refused = err,
        }
    }
    Err(refused)
}
