//! The connection to FreeSWITCH's event socket, which outlives its connections: a lost one is made again, with a back-off.
//!
//! The protocol itself (framing, sizes, replies) is `freeswitch-esl-tokio`'s.

use std::time::Duration;

use freeswitch_esl_tokio::{
    EslClient, EslConnectOptions, EslError, EslEvent, EslEventStream, EslEventType, EventFormat,
    HeaderLookup,
};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use super::options::{Options, is_uuid};
use crate::exchange::Phase;

/// Where FreeSWITCH is.
#[derive(Clone)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub password: String,
}

impl Address {
    pub fn of(options: &Options) -> Address {
        Address {
            host: options.host.clone(),
            port: options.port,
            password: options.password.clone(),
        }
    }
}

/// Why FreeSWITCH did not do what was asked, in a sentence.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    #[error(
        "FreeSWITCH at {0} does not accept the password: set --password to the one in its event_socket.conf.xml"
    )]
    Password(String),
    #[error(
        "FreeSWITCH at {0} accepts no connection from here: add this machine to apply-inbound-acl in its event_socket.conf.xml"
    )]
    Acl(String),
    #[error(
        "no FreeSWITCH answers at {address} ({reason}): is it running, with mod_event_socket loaded, and are --host and --port right?"
    )]
    Unreachable { address: String, reason: String },
    #[error("FreeSWITCH answers {command:?} with {reply:?}")]
    Said { command: String, reply: String },
    #[error("FreeSWITCH did not answer {command:?}: {reason}")]
    Silent { command: String, reason: String },
    #[error("the program is ending")]
    Closing,
}

impl LinkError {
    /// To try again is of no use before somebody has changed something.
    fn is_final(&self) -> bool {
        matches!(self, LinkError::Password(_) | LinkError::Acl(_))
    }
}

/// What FreeSWITCH tells of its own accord.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The connection stands (again), or something was missed: what is known may be old.
    Up,
    Answered(Party),
    HungUp(String),
    /// A recording ended.
    Recorded {
        uuid: String,
        path: String,
    },
    /// A command of [`Link::background`] is done.
    Job {
        id: String,
        reply: String,
    },
    /// There will be no connection any more.
    Refused(LinkError),
}

/// A channel that is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    pub uuid: String,
    pub direction: String,
    pub caller: String,
    pub callee: String,
}

#[derive(Clone)]
enum State {
    Down,
    Up(EslClient),
    Refused(LinkError),
}

#[derive(Clone)]
pub struct Link {
    state: watch::Sender<State>,
    happenings: broadcast::Sender<Happening>,
    address: String,
}

/// How long a command waits for a connection.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long FreeSWITCH has for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Without anything heard for so long (it sends a heartbeat every 20 s) the connection is dead.
const DEAD: Duration = Duration::from_secs(70);
/// Between attempts to connect, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Happenings that a busy reader may miss before it is told so.
const WATCHED: usize = 1_024;

impl Link {
    /// Connects, or says why not.
    pub async fn open(address: Address) -> Result<Link, LinkError> {
        let connection = connect(&address).await?;
        Ok(Link::start(address, connection))
    }

    /// Connects as soon as FreeSWITCH is there.
    pub async fn wait_for(
        address: Address,
        mut phase: watch::Receiver<Phase>,
    ) -> Result<Link, LinkError> {
        tokio::select! {
            connection = reconnect(&address) => Ok(Link::start(address, connection?)),
            _ = phase.wait_for(|phase| *phase != Phase::Open) => Err(LinkError::Closing),
        }
    }

    fn start(address: Address, (client, stream): (EslClient, EslEventStream)) -> Link {
        let link = Link {
            state: watch::Sender::new(State::Up(client)),
            happenings: broadcast::Sender::new(WATCHED),
            address: name(&address),
        };
        tokio::spawn(link.clone().keep(address, stream));
        link
    }

    /// Where FreeSWITCH is: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What FreeSWITCH tells from now on.
    pub fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.happenings.subscribe()
    }

    async fn keep(self, address: Address, mut stream: EslEventStream) {
        loop {
            self.listen(&mut stream).await;
            tracing::warn!(
                "the connection to FreeSWITCH at {} is lost; calls are heard on meanwhile",
                self.address
            );
            self.state.send_replace(State::Down);
            match reconnect(&address).await {
                Ok((client, events)) => {
                    stream = events;
                    self.state.send_replace(State::Up(client));
                    tracing::info!("FreeSWITCH at {} is connected again", self.address);
                    let _ = self.happenings.send(Happening::Up);
                }
                Err(err) => {
                    tracing::error!("{err}");
                    self.state.send_replace(State::Refused(err.clone()));
                    let _ = self.happenings.send(Happening::Refused(err));
                    return;
                }
            }
        }
    }

    async fn listen(&self, stream: &mut EslEventStream) {
        while let Some(event) = stream.recv().await {
            let happening = match event {
                Ok(event) => happening(&event),
                Err(EslError::QueueFull) => Some(Happening::Up),
                Err(err) => {
                    tracing::warn!("FreeSWITCH sent what cannot be read: {err}");
                    None
                }
            };
            if let Some(happening) = happening {
                let _ = self.happenings.send(happening);
            }
        }
    }

    /// A command and its answer, without `+OK`. Waits for a connection if there is none at the moment.
    pub async fn api(&self, command: &str) -> Result<String, LinkError> {
        let silent = |reason: &str| LinkError::Silent {
            command: command.into(),
            reason: reason.into(),
        };
        let asking = async {
            loop {
                let client = self.client().await?;
                match ask(&client, command).await {
                    Ok(reply) => return Ok(reply),
                    Err(EslError::CommandFailed { reply_text }) => {
                        return Err(LinkError::Said {
                            command: command.into(),
                            reply: reply_text.trim().into(),
                        });
                    }
                    // It is being made again.
                    Err(_) if !client.is_connected() => sleep(Duration::from_millis(100)).await,
                    Err(err) => return Err(silent(&err.to_string())),
                }
            }
        };
        timeout(PATIENCE, asking)
            .await
            .unwrap_or_else(|_| Err(silent("there is no connection to it")))
    }

    /// A command that takes its time: its answer comes as [`Happening::Job`] with this id.
    pub async fn background(&self, command: &str) -> Result<String, LinkError> {
        let silent = |reason: String| LinkError::Silent {
            command: command.into(),
            reason,
        };
        let client = self.client().await?;
        let reply = client
            .bgapi(command)
            .await
            .map_err(|err| silent(err.to_string()))?;
        reply
            .job_uuid()
            .map(str::to_owned)
            .ok_or_else(|| silent("it gave no Job-UUID".into()))
    }

    async fn client(&self) -> Result<EslClient, LinkError> {
        let mut state = self.state.subscribe();
        let known = state
            .wait_for(|state| !matches!(state, State::Down))
            .await
            .map(|state| state.clone());
        match known {
            Ok(State::Up(client)) => Ok(client),
            Ok(State::Refused(err)) => Err(err),
            _ => Err(LinkError::Closing),
        }
    }
}

async fn ask(client: &EslClient, command: &str) -> Result<String, EslError> {
    let response = client.api(command).await?;
    match response.body() {
        // A variable may be empty; the library takes that for a fault.
        None | Some("" | "\n") if response.reply_text().is_none() => Ok(String::new()),
        _ => response.api_result().map(|reply| reply.trim().to_owned()),
    }
}

async fn connect(address: &Address) -> Result<(EslClient, EslEventStream), LinkError> {
    let options = EslConnectOptions::new().with_connect_timeout(ANSWER);
    let why = |err: EslError| match err {
        EslError::AuthenticationFailed { .. } => LinkError::Password(name(address)),
        EslError::AccessDenied { .. } => LinkError::Acl(name(address)),
        err => LinkError::Unreachable {
            address: name(address),
            reason: match err {
                EslError::Io(err) => err.to_string(),
                err => err.to_string(),
            },
        },
    };
    let (client, stream) = EslClient::connect_with_options(
        address.host.as_str(),
        address.port,
        address.password.as_str(),
        options,
    )
    .await
    .map_err(why)?;
    client.set_command_timeout(ANSWER);
    let wanted = [
        EslEventType::ChannelAnswer,
        EslEventType::ChannelHangup,
        EslEventType::ChannelHangupComplete,
        EslEventType::RecordStop,
        EslEventType::BackgroundJob,
        EslEventType::Heartbeat,
    ];
    client
        .subscribe_events(EventFormat::Plain, wanted)
        .await
        .map_err(why)?;
    client.set_liveness_timeout(DEAD);
    Ok((client, stream))
}

async fn reconnect(address: &Address) -> Result<(EslClient, EslEventStream), LinkError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match connect(address).await {
            Err(err) if !err.is_final() => {
                tracing::warn!("{err} The next attempt is in {:.1} s.", pause.as_secs_f64());
                sleep(jitter(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            done => return done,
        }
    }
}

/// Between three quarters and five quarters of it, so that many bridges do not come back at the same moment.
fn jitter(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause.mul_f64(0.75 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

fn name(address: &Address) -> String {
    format!("{}:{}", address.host, address.port)
}

pub(crate) fn happening(event: &EslEvent) -> Option<Happening> {
    let text = |name| event.header_str(name).unwrap_or_default().to_owned();
    if event.event_type() == Some(EslEventType::BackgroundJob) {
        return Some(Happening::Job {
            id: event.job_uuid()?.to_owned(),
            reply: event.body().unwrap_or_default().trim().to_owned(),
        });
    }
    let uuid = event.unique_id().filter(|uuid| is_uuid(uuid))?.to_owned();
    match event.event_type()? {
        EslEventType::ChannelAnswer => Some(Happening::Answered(Party {
            uuid,
            direction: text("Call-Direction"),
            caller: text("Caller-Caller-ID-Number"),
            callee: text("Caller-Destination-Number"),
        })),
        EslEventType::ChannelHangup | EslEventType::ChannelHangupComplete => {
            Some(Happening::HungUp(uuid))
        }
        EslEventType::RecordStop => Some(Happening::Recorded {
            uuid,
            path: text("Record-File-Path"),
        }),
        _ => None,
    }
}
