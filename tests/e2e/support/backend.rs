//! Backends: a listener whose connections a test serves by hand, and one that echoes.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::frames::{self, CLOSE, PING, PONG};
use super::peer::{ACCEPT, Peer};
use super::within;

/// A backend in a test's own hands.
pub struct Backend {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Backend {
    pub async fn bind() -> Self {
        Self::of(TcpListener::bind("127.0.0.1:0").await.expect("bind"))
    }

    pub fn of(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("address");
        Self { listener, address }
    }

    /// Its address in a configuration: `ws://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The next connection of the gateway.
    pub async fn accept(&self) -> Peer {
        within("a connection of the gateway", self.wait()).await
    }

    /// The next connection, however long it takes to come: for those who serve as long as the test runs.
    pub async fn wait(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.expect("accept");
        stream.set_nodelay(true).expect("nodelay");
        Peer::new(stream)
    }

    /// The next connection as it is.
    pub async fn raw(&self) -> tokio::net::TcpStream {
        self.listener.accept().await.expect("accept").0
    }

    /// The next connection, its upgrade request read and answered with 101 and these header lines; the request's head
    /// comes with it.
    pub async fn upgrade(&self, more: &[&str]) -> (Peer, String) {
        upgrade(self.accept().await, more).await
    }

    /// Echoes on every connection for as long as the test runs.
    pub fn echo(self) -> String {
        let url = self.url();
        tokio::spawn(async move {
            loop {
                let peer = self.wait().await;
                tokio::spawn(async { echo(upgrade(peer, &[]).await.0).await });
            }
        });
        url
    }
}

/// A route at `/ws` to these backends: the pool's name is the profile's, with `more` in the pool's table. Messages may
/// be of any size, with whatever profile.
pub fn relay(profile: &str, urls: &[&str], more: &str) -> String {
    let parts = if profile == "transparent" { "" } else { ", legacy = { message_size = \"1GiB\" }" };
    format!(
        "[[route]]\npath = \"/ws\"\nproxy = {{ pool = \"{profile}\", profile = \"{profile}\"{parts} }}\n\
         [pool.{profile}]\nbackends = {urls:?}\n{more}\n"
    )
}

/// The 101 that answers a request's head.
pub fn switch(head: &str, more: &[&str]) -> Vec<u8> {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("key in canonical case");
    let more: String = more.iter().map(|line| format!("{line}\r\n")).collect();
    let accept = if key == super::peer::KEY { ACCEPT.to_owned() } else { wsgate::wire::offer::accept_for(key) };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A connection's upgrade request read and answered with 101 and these header lines.
pub async fn upgrade(mut peer: Peer, more: &[&str]) -> (Peer, String) {
    let head = peer.head().await;
    peer.send(&switch(&head, more)).await;
    (peer, head)
}

/// Echoes until the other end closes or is gone.
pub async fn echo(mut peer: Peer) {
    while let Ok(frame) = peer.try_frame().await {
        assert!(frame.masked, "the gateway is a client here");
        let first = (u8::from(frame.fin) << 7) | frame.opcode;
        match frame.opcode {
            PING => peer.send(&frames::plain(0x80 | PONG, &frame.payload)).await,
            CLOSE => {
                peer.send(&frames::plain(0x80 | CLOSE, &frame.payload)).await;
                return;
            }
            PONG => {}
            _ => peer.send(&frames::plain(first, &frame.payload)).await,
        }
    }
}
