//! How a NATS server is reached, and what is kept there.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use clap::Args;

use super::ClusterError;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster")]
pub struct NatsOptions {
    /// NATS servers with JetStream, as in nats://user:password@host:4222, separated by commas
    #[arg(
        long,
        env = "WHISPERSTREAM_NATS",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub nats: Option<String>,
    /// What the names of streams, buckets and subjects begin with
    #[arg(long, default_value = "whisperstream", value_name = "NAME")]
    pub nats_prefix: String,
    /// File of credentials (JWT and seed)
    #[arg(long, value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// Certificates that the server's is checked by, in place of the usual ones (PEM)
    #[arg(long, value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// Certificate of this client (PEM)
    #[arg(long, requires = "nats_key", value_name = "FILE")]
    pub nats_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, requires = "nats_cert", value_name = "FILE")]
    pub nats_key: Option<PathBuf>,
    /// Replicas of what is stored: 1, or 3 on a cluster of NATS servers; of streams that are made now
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub nats_replicas: usize,
    /// Bytes of audio stored at most; of a stream that is made now
    #[arg(long, default_value_t = 4 << 30, value_name = "BYTES")]
    pub nats_audio_bytes: u64,
    /// Seconds for which audio is stored; of a stream that is made now
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub nats_audio_age: u64,
}

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Between two tries to connect again, at most.
const AGAIN: Duration = Duration::from_secs(1);

impl NatsOptions {
    pub(super) fn servers(&self) -> Vec<String> {
        let servers = self.nats.as_deref().unwrap_or_default().split(',');
        servers.map(|server| server.trim().to_owned()).collect()
    }

    /// The servers, without what is secret.
    pub fn address(&self) -> String {
        let public = self.servers().into_iter().map(|server| {
            let (scheme, rest) = server.split_once("://").unwrap_or(("nats", &server));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        });
        public.collect::<Vec<_>>().join(",")
    }

    pub(super) async fn client(&self, who: &str) -> Result<ConnectOptions, ClusterError> {
        let mut client = ConnectOptions::new()
            .name(who)
            .connection_timeout(CONNECT)
            .reconnect_delay_callback(|tries| {
                AGAIN.min(
                    Duration::from_millis(50) * u32::try_from(tries).unwrap_or(u32::MAX).min(20),
                )
            });
        if let Some(path) = &self.nats_creds {
            let read = client.credentials_file(path).await;
            client = read.map_err(|err| ClusterError::File {
                flag: "--nats-creds",
                path: path.display().to_string(),
                reason: err.to_string(),
            })?;
        }
        for (flag, path) in [
            ("--nats-ca", &self.nats_ca),
            ("--nats-cert", &self.nats_cert),
            ("--nats-key", &self.nats_key),
        ] {
            let Some(path) = path else { continue };
            std::fs::File::open(path).map_err(|err| ClusterError::File {
                flag,
                path: path.display().to_string(),
                reason: err.to_string(),
            })?;
        }
        if let Some(path) = &self.nats_ca {
            client = client.add_root_certificates(path.clone());
        }
        if let (Some(cert), Some(key)) = (&self.nats_cert, &self.nats_key) {
            client = client.add_client_certificate(cert.clone(), key.clone());
        }
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        nats: NatsOptions,
    }

    #[test]
    fn what_is_secret_is_not_in_the_address() {
        let line = ["it", "--nats", "nats://me:pass@word@a:4222, b,tls://tok@c"];
        let options = Program::parse_from(line).nats;
        assert_eq!(options.address(), "nats://a:4222,nats://b,tls://c");
        assert_eq!(options.servers().len(), 3);
    }
}
