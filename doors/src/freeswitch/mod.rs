//! FreeSWITCH: its calls are heard, without a module of ours in it.
//!
//! Over its event socket ([`link`]) a channel is told to record itself into a file ([`recording`]), which is followed while
//! it grows. What is said ([`conversation`]) is printed and kept ([`transcript`]); an interruption stops the prompt, and who
//! answered is written into channel variables ([`channel`]).
//!
//! ```text
//! FreeSWITCH ── event socket ── link ── channel
//!     └── growing file ── recording ── layout, seam ── conversation ── exchange ── call
//! ```

mod actions;
pub mod channel;
pub mod check;
mod conversation;
pub(crate) mod energy;
pub(crate) mod growing;
pub(crate) mod layout;
pub mod link;
pub mod options;
mod paper;
mod presence;
mod recorder;
pub(crate) mod recording;
pub(crate) mod seam;
mod test_call;
mod transcript;
mod watch;

use std::sync::Arc;

pub use link::{Link, LinkError};
pub use options::{Options, Record};
pub use paper::Paper;

use crate::call::Setting;
use crate::exchange::Exchange;

/// What all calls of the bridge share.
#[derive(Clone)]
pub struct Bridge {
    pub link: Link,
    pub exchange: Exchange,
    pub options: Arc<Options>,
    pub paper: Paper,
}

/// Why the bridge stopped, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("{0}")]
    Options(String),
    #[error("{0}")]
    Test(String),
    #[error("the transcripts cannot be kept in {dir}: {err}")]
    Transcripts { dir: String, err: std::io::Error },
}

/// Properties of the element that the options stand for.
pub fn settings(options: &Options) -> Vec<Setting> {
    let mut settings = Vec::new();
    if options.barge_in_after > 0 {
        settings.push(Setting::new(
            "barge-in-after",
            options.barge_in_after.to_string(),
        ));
    }
    if options.barge_in_min_words > 0 {
        settings.push(Setting::new(
            "barge-in-min-words",
            options.barge_in_min_words.to_string(),
        ));
    }
    settings
}

/// Does what the options ask for, until it is done or the exchange closes.
pub async fn run(options: Options, exchange: Exchange) -> Result<(), Failure> {
    options.check().map_err(Failure::Options)?;
    if let Some(dir) = &options.transcripts {
        transcript::prepare(dir).map_err(|err| Failure::Transcripts {
            dir: dir.display().to_string(),
            err,
        })?;
    }
    let paper = Paper::stdout();
    if options.task.test_connection {
        let checked = check::connection(&options, &paper).await;
        paper.written().await;
        return checked;
    }
    let address = link::Address::of(&options);
    let link = match options.task.all {
        true => Link::wait_for(address, exchange.phase()).await?,
        false => Link::open(address).await?,
    };
    let bridge = Bridge {
        link,
        exchange,
        options: Arc::new(options),
        paper: paper.clone(),
    };
    let done = match bridge.options.task.test {
        true => test_call::run(bridge).await,
        false => watch::run(bridge).await,
    };
    paper.written().await;
    done
}
