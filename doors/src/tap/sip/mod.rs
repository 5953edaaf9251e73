//! `whisperstream-tap sip`: calls that come by SIP. A phone or PBX calls us, or a PBX or SBC sends us a copy of its calls
//! (SIPREC, RFC 7866); either is answered, heard and printed.
//!
//! Transactions, retransmissions and dialogs are `rsipstack`'s.

mod answer;
pub(crate) mod dialog;
mod recording;

pub use answer::{Answer, Refused, Stream};
pub use recording::{Body, Parties};

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rsipstack::EndpointBuilder;
use rsipstack::dialog::dialog_layer::DialogLayer;
use rsipstack::sip::{Header, HeadersExt, Method, StatusCode};
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{TcpListenerConnection, TransportLayer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::conversation::Following;
use super::print::Printer;
use crate::exchange::{Exchange, Phase};

/// Where calls come in, and how they are taken
#[derive(Args, Clone, Debug)]
pub struct SipOptions {
    /// Where calls come in, as in udp:5060, tcp:5060 or udp:192.0.2.1:5060; may be repeated [default: udp:5060 and tcp:5060]
    #[arg(long, value_name = "TRANSPORT:PORT")]
    pub listen: Vec<Listen>,
    /// Address for the callers' RTP, where it is not the one that they reach this machine by (behind NAT)
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// UDP ports for RTP; each leg takes an even one
    #[arg(long, default_value = "16384-32767", value_name = "FIRST-LAST")]
    pub rtp_ports: PortRange,
    /// Rings for so many seconds before it answers
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub answer_after: f64,
    /// Calls at a time; 0: as many as the machine bears
    #[arg(long, default_value_t = 0)]
    pub max_calls: usize,
    /// A call from which nothing came for so many seconds is ended, unless it is on hold; 0: never
    #[arg(long, default_value_t = 300.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// The longest call, in seconds; 0: without end
    #[arg(long, default_value_t = 14_400.0, value_name = "SECONDS")]
    pub longest: f64,
    /// How long a packet may be late or out of order and still be heard, in milliseconds
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub latency: u64,
}

impl SipOptions {
    fn following(&self) -> Following {
        Following {
            latency: Duration::from_millis(self.latency.min(10_000)),
            timeout: seconds(self.timeout),
        }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// `udp:5060`, `tcp:192.0.2.1:5060`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub is_tcp: bool,
    pub address: SocketAddr,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        let read = || {
            let (transport, place) = text.split_once(':')?;
            let is_tcp = match transport {
                "udp" => false,
                "tcp" => true,
                _ => return None,
            };
            let all = |port| SocketAddr::from(([0, 0, 0, 0], port));
            let address = match place.parse::<u16>() {
                Ok(port) => all(port),
                Err(_) => place.parse().ok()?,
            };
            (address.port() > 0).then_some(Listen { is_tcp, address })
        };
        read().ok_or_else(|| {
            format!("{text:?} is nowhere to listen: write udp:5060, tcp:5060 or udp:192.0.2.1:5060")
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.is_tcp { "tcp" } else { "udp" };
        write!(f, "{transport}:{}", self.address)
    }
}

/// `16384-32767`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<PortRange, String> {
        let read = || {
            let (first, last) = text.split_once('-')?;
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            (first >= 1024 && last > first).then_some(PortRange { first, last })
        };
        read().ok_or_else(|| format!("{text:?} is no range of ports: write 16384-32767"))
    }
}

/// Why no calls can be taken, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum SipError {
    #[error("{0} cannot be listened on: {1}; choose another --listen")]
    Bind(Listen, String),
    #[error("the SIP stack did not start: {0}")]
    Stack(String),
}

/// What the door can do, for who asks.
const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, MESSAGE";

/// What all calls of the door share.
struct Door {
    options: SipOptions,
    exchange: Exchange,
    printer: Printer,
    dialogs: DialogLayer,
    end: CancellationToken,
}

/// Takes calls until `end` is cancelled or the exchange closes; those there are then ended, their tails told.
pub async fn serve(
    options: SipOptions,
    exchange: Exchange,
    printer: Printer,
    end: CancellationToken,
) -> Result<(), SipError> {
    let mut listens = options.listen.clone();
    if listens.is_empty() {
        let address = SocketAddr::from(([0, 0, 0, 0], 5060));
        listens = vec![
            Listen {
                is_tcp: false,
                address,
            },
            Listen {
                is_tcp: true,
                address,
            },
        ];
    }
    // The stack outlives `end`: calls are hung up through it.
    let stack = CancellationToken::new();
    let transports = TransportLayer::new(stack.clone());
    for listen in &listens {
        bind(&transports, *listen, &stack).await?;
        tracing::info!("calls come in at {listen}");
        printer.fact(serde_json::json!({"type": "listening", "address": listen.to_string()}));
    }
    let endpoint = EndpointBuilder::new()
        .with_user_agent(concat!("whisperstream-tap/", env!("CARGO_PKG_VERSION")))
        .with_transport_layer(transports)
        .with_cancel_token(stack.clone())
        .build();
    let stopped = |err: rsipstack::Error| SipError::Stack(err.to_string());
    let mut incoming = endpoint.incoming_transactions().map_err(stopped)?;
    let inner = endpoint.inner.clone();
    tokio::spawn(async move {
        if let Err(err) = inner.serve().await {
            tracing::error!("the SIP stack ended: {err}");
        }
    });
    let door = Arc::new(Door {
        options,
        exchange: exchange.clone(),
        printer,
        dialogs: DialogLayer::new(endpoint.inner.clone()),
        end: end.clone(),
    });
    let calls = TaskTracker::new();
    let mut phase = exchange.phase();
    loop {
        let transaction = tokio::select! {
            transaction = incoming.recv() => transaction,
            () = end.cancelled() => None,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => None,
        };
        let Some(transaction) = transaction else {
            break;
        };
        let door = Arc::clone(&door);
        calls.spawn(async move { request(door, transaction).await });
    }
    end.cancel();
    calls.close();
    // Hanging up takes a round trip, or the patience for a peer that is gone.
    let _ = tokio::time::timeout(Duration::from_secs(10), calls.wait()).await;
    stack.cancel();
    Ok(())
}

async fn bind(
    transports: &TransportLayer,
    listen: Listen,
    stack: &CancellationToken,
) -> Result<(), SipError> {
    let refused = |err: String| SipError::Bind(listen, err);
    if listen.is_tcp {
        // The stack binds later and tells nobody: whether it can is asked here.
        let free = std::net::TcpListener::bind(listen.address);
        free.map_err(|err| refused(err.to_string()))?;
        let listener = TcpListenerConnection::new(listen.address, None).await;
        let listener = listener.map_err(|err| refused(err.to_string()))?;
        transports.add_transport(listener.into());
    } else {
        let token = Some(stack.child_token());
        let udp = UdpConnection::create_connection(listen.address, None, token).await;
        let udp = udp.map_err(|err| refused(err.to_string()))?;
        transports.add_transport(udp.into());
    }
    Ok(())
}

/// One request, to the end of its transaction.
async fn request(door: Arc<Door>, mut transaction: Transaction) {
    let method = transaction.original.method;
    let is_inside = transaction
        .original
        .to_header()
        .ok()
        .and_then(|to| to.tag().ok().flatten())
        .is_some();
    let done = match method {
        _ if is_inside => inside(&door, &mut transaction).await,
        Method::Invite => {
            dialog::invited(&door, &mut transaction).await;
            Ok(())
        }
        Method::Options => {
            let headers = vec![
                Header::Allow(ALLOW.into()),
                Header::Accept(
                    "application/sdp, multipart/mixed, application/rs-metadata+xml".into(),
                ),
                Header::Supported("siprec".into()),
            ];
            transaction.reply_with(StatusCode::OK, headers, None).await
        }
        // An ACK of nothing; a CANCEL of a call that is not there is the stack's.
        Method::Ack => Ok(()),
        Method::Bye | Method::Cancel | Method::Info | Method::Update | Method::PRack => {
            transaction
                .reply(StatusCode::CallTransactionDoesNotExist)
                .await
        }
        _ => {
            let headers = vec![Header::Allow(ALLOW.into())];
            transaction
                .reply_with(StatusCode::MethodNotAllowed, headers, None)
                .await
        }
    };
    if let Err(err) = done {
        tracing::info!(door = "sip", %method, "a request was not answered: {err}");
    }
    // A refusal is repeated until its ACK is there.
    if method == Method::Invite {
        while !transaction.is_terminated() && transaction.receive().await.is_some() {}
    }
}

async fn inside(door: &Door, transaction: &mut Transaction) -> rsipstack::Result<()> {
    match door.dialogs.match_dialog(transaction) {
        Some(mut dialog) => dialog.handle(transaction).await,
        None if transaction.original.method == Method::Ack => Ok(()),
        None => {
            transaction
                .reply(StatusCode::CallTransactionDoesNotExist)
                .await
        }
    }
}
