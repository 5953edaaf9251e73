//! Where the hub is, and where what comes from it is kept: the variables that Hugging Face's libraries share.

use std::path::PathBuf;
use std::time::Duration;

use hf_hub::Cache;

use super::HubError;

const ENDPOINT: &str = "https://huggingface.co";
/// How long nothing may come before a download is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between a connection that broke off and the next; twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);

/// What is read from the environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the hub, without a slash at its end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Where models are kept (`HF_HUB_CACHE`, or `hub` in `HF_HOME`).
    pub cache: Cache,
    /// Who asks (`HF_TOKEN`, or what a login left in `HF_HOME`).
    pub token: Option<String>,
    /// Nothing is fetched (`HF_HUB_OFFLINE`).
    pub offline: bool,
    /// How long nothing may come (`HF_HUB_DOWNLOAD_TIMEOUT`).
    pub patience: Duration,
    pub pause: Duration,
    /// Through whom to ask (`HTTPS_PROXY` and the like).
    pub proxy: Option<ureq::Proxy>,
    /// Certificates to trust instead of Mozilla's (`SSL_CERT_FILE`).
    pub certificates: Option<PathBuf>,
}

impl Settings {
    /// # Errors
    /// A value that makes no sense, or no home directory.
    pub fn from_env() -> Result<Settings, HubError> {
        Self::read(&|name| std::env::var(name).ok())
    }

    pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Settings, HubError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let folder = |name| variable(name).map(PathBuf::from);
        let home = match folder("HF_HOME") {
            Some(home) => home,
            None => folder("XDG_CACHE_HOME")
                .or_else(|| Some(std::env::home_dir()?.join(".cache")))
                .ok_or(HubError::NoHome)?
                .join("huggingface"),
        };
        // The token lies beside the cache's usual place, wherever the cache itself has been put.
        let usual = Cache::new(home.join("hub"));
        Ok(Settings {
            endpoint: endpoint(variable("HF_ENDPOINT"))?,
            token: variable("HF_TOKEN")
                .map(|token| token.trim().to_owned())
                .or_else(|| usual.token()),
            cache: folder("HF_HUB_CACHE").map_or(usual, Cache::new),
            offline: variable("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            patience: patience(variable("HF_HUB_DOWNLOAD_TIMEOUT"))?,
            pause: PAUSE,
            proxy: ureq::Proxy::try_from_env(),
            certificates: folder("SSL_CERT_FILE"),
        })
    }
}

fn is_true(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    ["1", "on", "yes", "true"].contains(&value.as_str())
}

fn endpoint(value: Option<String>) -> Result<String, HubError> {
    let Some(value) = value else {
        return Ok(ENDPOINT.to_owned());
    };
    let address = value.trim().trim_end_matches('/');
    match address.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(address.to_owned()),
        _ => Err(HubError::BadSetting {
            name: "HF_ENDPOINT",
            reason: format!("it is {value:?}, which does not start with http:// or https://"),
        }),
    }
}

fn patience(value: Option<String>) -> Result<Duration, HubError> {
    let Some(value) = value else {
        return Ok(PATIENCE);
    };
    let seconds = value.trim().parse::<f64>().ok();
    seconds
        .filter(|&seconds| seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| HubError::BadSetting {
            name: "HF_HUB_DOWNLOAD_TIMEOUT",
            reason: format!("it is {value:?}, not a number of seconds above 0"),
        })
}
