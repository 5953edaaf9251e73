//! Receivers of the webhook that do harm: no call waits for them.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::common::spoken;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_or_never_ends_holds_up_no_call() {
    let noise: Vec<u8> = (0..65_536_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let answers: [&[u8]; 4] = [
        b"",
        &noise,
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000\r\n",
    ];
    for answer in answers {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = answer.to_vec();
        let receiver = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(&answer).await;
                held.push(socket);
            }
        });
        let server = Server::start(&["--webhook", &url]);
        for _ in 0..2 {
            let (told, ()) = server.told_meanwhile(async {}).await;
            assert_eq!(told, [spoken("fr-court"), spoken("fr-court")]);
        }
        server.is_empty().await;
        receiver.abort();
    }
}
