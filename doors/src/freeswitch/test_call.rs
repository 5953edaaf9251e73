//! `--test`: a real call, step by step.

use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::channel::Channel;
use super::conversation::{self, Heard};
use super::link::{Happening, LinkError, Party};
use super::{Bridge, Failure};
use crate::exchange::Phase;

/// How long somebody may take to pick up.
const RINGING: Duration = Duration::from_secs(60);
/// How long the call may be.
const LONGEST: Duration = Duration::from_secs(120);

pub async fn run(bridge: Bridge) -> Result<(), Failure> {
    let say = |line: &str| bridge.paper.line(line);
    let mut answers = BufReader::new(tokio::io::stdin()).lines();
    say("Step 1 of 4: FreeSWITCH");
    let version = bridge.link.api("version").await?;
    say(&format!("  {}", version.lines().next().unwrap_or_default()));
    say("Step 2 of 4: whom to call");
    let endpoint = endpoint(&bridge, &mut answers).await?;
    say(&format!(
        "Step 3 of 4: the call to {endpoint} goes out; pick up"
    ));
    let party = call(&bridge, &endpoint).await?;
    say("  answered");
    say(
        "Step 4 of 4: say something; what is understood appears below. Hang up, or press Enter, to end the call",
    );
    let channel = Channel::new(bridge.link.clone(), &party.uuid);
    let mut phase = bridge.exchange.phase();
    let talk = conversation::hear(&bridge, &party);
    tokio::pin!(talk);
    let heard = tokio::select! {
        heard = &mut talk => heard,
        () = enough(&mut answers) => {
            let _ = channel.hang_up().await;
            talk.await
        }
        _ = phase.wait_for(|phase| *phase == Phase::Closing) => {
            let _ = channel.hang_up().await;
            talk.await
        }
    };
    let heard = heard.map_err(|err| Failure::Test(err.to_string()))?;
    judge(&bridge, &heard)
}

/// Enter, or the longest call. Without a terminal only the latter.
async fn enough(answers: &mut Lines<BufReader<Stdin>>) {
    let wait = async {
        if !matches!(answers.next_line().await, Ok(Some(_))) {
            std::future::pending::<()>().await;
        }
    };
    let _ = timeout(LONGEST, wait).await;
}

async fn endpoint(
    bridge: &Bridge,
    answers: &mut Lines<BufReader<Stdin>>,
) -> Result<String, Failure> {
    let endpoint = match &bridge.options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            bridge.paper.line(
                "  Type an endpoint, as user/1000 or sofia/gateway/carrier/0612345678, and Enter:",
            );
            let typed = answers.next_line().await.ok().flatten();
            typed.unwrap_or_default().trim().to_owned()
        }
    };
    let fits = |c: char| c.is_ascii_graphic() && !"&{}<>[]'\"\\".contains(c);
    match !endpoint.is_empty() && endpoint.contains('/') && endpoint.chars().all(fits) {
        true => Ok(endpoint),
        false => Err(Failure::Test(format!(
            "{endpoint:?} is no endpoint: FreeSWITCH dials such as user/1000 or sofia/gateway/carrier/0612345678 (--endpoint)"
        ))),
    }
}

/// Calls and waits until somebody picks up.
async fn call(bridge: &Bridge, endpoint: &str) -> Result<Party, Failure> {
    let uuid = uuid::Uuid::new_v4().to_string();
    let mut happenings = bridge.link.happenings();
    let command = format!(
        "originate {{origination_uuid={uuid},origination_caller_id_name=whisperstream,ignore_early_media=true,originate_timeout={}}}{endpoint} &park()",
        RINGING.as_secs()
    );
    let job = bridge.link.background(&command).await?;
    let picked_up = picked_up(&mut happenings, &job, &uuid);
    let answered = timeout(RINGING + Duration::from_secs(5), picked_up).await;
    answered.unwrap_or_else(|_| {
        Err(Failure::Test(format!(
            "nobody picked up within {} s",
            RINGING.as_secs()
        )))
    })?;
    Ok(Party {
        uuid,
        direction: "outbound".into(),
        caller: String::new(),
        callee: endpoint.into(),
    })
}

async fn picked_up(
    happenings: &mut Receiver<Happening>,
    job: &str,
    uuid: &str,
) -> Result<(), Failure> {
    let since = Instant::now();
    loop {
        match happenings.recv().await {
            Ok(Happening::Answered(party)) if party.uuid == uuid => return Ok(()),
            Ok(Happening::Job { id, reply }) if id == job => {
                return match reply.starts_with("+OK") {
                    true => Ok(()),
                    false => Err(Failure::Test(format!(
                        "the call did not come about: FreeSWITCH says {reply:?} after {:.1} s",
                        since.elapsed().as_secs_f64()
                    ))),
                };
            }
            Ok(Happening::Refused(err)) => return Err(err.into()),
            Err(RecvError::Closed) => return Err(LinkError::Closing.into()),
            _ => {}
        }
    }
}

fn judge(bridge: &Bridge, heard: &Heard) -> Result<(), Failure> {
    bridge.paper.line(format!(
        "{:.1} s of audio at {} Hz, {} channel(s); the loudest half second {:.0} dB; {} words",
        heard.audio.as_secs_f64(),
        heard.format.rate,
        heard.format.channels,
        heard.loudest,
        heard.words
    ));
    let wrong = if heard.audio.is_zero() {
        "the call had no audio: look at the NAT settings (ext-rtp-ip) and the firewall of FreeSWITCH's RTP ports"
    } else if heard.loudest < -60.0 {
        "the call was silent: is the microphone muted, or did only one direction of the audio arrive?"
    } else if heard.words == 0 {
        "nothing was understood: is --language the one spoken? The bundled demo model knows some 450 words; set --model for a real one"
    } else {
        bridge.paper.line("All works.");
        return Ok(());
    };
    Err(Failure::Test(wrong.into()))
}
