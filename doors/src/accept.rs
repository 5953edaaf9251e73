//! Clients of a port that is no web server's.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::exchange::{Exchange, Phase};

/// Gives each client a task of its own, until the exchange closes. `door` is its name in the log.
pub async fn accept<F>(
    listener: TcpListener,
    exchange: &Exchange,
    door: &'static str,
    client: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut phase = exchange.phase();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase != Phase::Open) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                notice_loss(&socket);
                tokio::spawn(client(socket, peer));
            }
            Err(err) => {
                // Out of descriptors, mostly: clients that are there go on, and one of them will leave.
                tracing::error!(door, "no client can be accepted: {err}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Has the system ask a silent peer whether it is still there. One that lost its power or its network says no good-bye; who is
/// silent because nobody speaks answers, and stays.
fn notice_loss(socket: &TcpStream) {
    let patience = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    if let Err(err) = SockRef::from(socket).set_tcp_keepalive(&patience) {
        tracing::debug!("a peer that is lost will not be noticed: {err}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silent_peers_are_asked_whether_they_are_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (socket, _) = accepted.unwrap();
        notice_loss(&socket);
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(60)
        );
    }
}
