//! Health checks: a backend is looked at while no client asks for it, in a way that no server takes for a client gone
//! mad. Never a plain GET: there are servers that die of it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::dial::is_ours;
use super::member::{Change, Member};
use super::{LEAVE, Lease, Pool};
use crate::client::{self, UpgradeError};
use crate::config::{Check as Kind, Transport};
use crate::lifecycle::clock::{self, Instant};
use crate::socket::Socket;
use crate::wire::close::{Close, Code};
use crate::wire::frame::{self, Opcode, Role};
use crate::wire::head::{self, Answer};
use crate::wire::inbound::{Inbound, Rules, Turn};
use crate::wire::offer::accept_for;

/// Bytes that are read at once while a pong is awaited.
const READ: usize = 4096;
/// The largest greeting that may come before a pong.
const GREETING: u64 = 1 << 30;

/// The repeated look at one backend.
pub(crate) struct Check {
    pool: Arc<Pool>,
    member: Arc<Member>,
}

/// What a look has shown.
enum Verdict {
    Well,
    Ill(String),
    /// Nothing: it was not the backend's fault that there was nothing to see.
    Unknown,
}

impl Pool {
    /// The checks that this pool wants, one for each backend; none where they are off.
    pub(crate) fn checks(self: &Arc<Self>) -> Vec<Check> {
        if self.wishes.health.check == Kind::Off {
            return Vec::new();
        }
        let check = |member: &Arc<Member>| Check { pool: Arc::clone(self), member: Arc::clone(member) };
        self.members().map(check).collect()
    }
}

impl Check {
    /// Looks again and again until the other end of `stop` is dropped; a look that has begun is still brought to its
    /// end, so that the backend sees a FIN and no reset. A check that follows another (after a reload) keeps its time.
    pub(crate) async fn run(self, mut stop: oneshot::Receiver<Infallible>) {
        let interval = self.pool.wishes.health.interval;
        loop {
            let due = self.member.next_check(Instant::now(), interval);
            tokio::select! {
                biased;
                _ = &mut stop => return,
                () = clock::sleep_until(due) => {}
            }
            self.member.begin_check(Instant::now());
            self.look().await;
        }
    }

    /// Once, where there is room: a full backend gets no clients anyway.
    async fn look(&self) {
        let free = |cap: usize, _: u64, _: &mut _| (self.member.open() < cap).then(|| Arc::clone(&self.member));
        let Some(lease) = self.member.places.take(0, free) else { return };
        let timeout = self.pool.wishes.health.timeout;
        // Clients that shake hands are no sign of illness: the time begins with the turn, and without one nothing is
        // known.
        let Ok(Ok(slot)) = clock::timeout(timeout, self.member.slots().acquire_owned()).await else { return };
        let (verdict, socket) = match clock::timeout(timeout, self.examine(slot)).await {
            Ok(seen) => seen,
            Err(_) => (Verdict::Ill("no answer in time".to_owned()), None),
        };
        self.judge(verdict);
        if let Some(socket) = socket {
            leave(socket, lease).await;
        }
    }

    /// With the verdict comes the connection, where there still is one.
    async fn examine(&self, slot: OwnedSemaphorePermit) -> (Verdict, Option<Socket>) {
        let mut socket =
            match client::connect_by(&self.member.backend.transport, &self.pool.trust, &self.pool.own_way()).await {
                Ok(socket) => socket,
                Err(error) if is_ours(&error) => return (Verdict::Unknown, None),
                Err(error) => return (Verdict::Ill(error.to_string()), None),
            };
        let seen = match self.pool.wishes.health.check {
            Kind::Off | Kind::Tcp => Ok(()),
            Kind::Handshake => self.shake_hands(&mut socket, slot).await,
        };
        (seen.map_or_else(Verdict::Ill, |()| Verdict::Well), Some(socket))
    }

    /// RFC 6455 §4.1, and a ping where the backend knows what that is.
    async fn shake_hands(&self, socket: &mut Socket, slot: OwnedSemaphorePermit) -> Result<(), String> {
        let key = client::key(client::random());
        let health = &self.pool.wishes.health;
        let request = head::bare_request(&health.path, &host(&self.member.backend.transport), &key);
        let answered = client::upgrade(socket, &request, &accept_for(&key), &[]).await;
        drop(slot);
        match answered {
            Ok((Answer::Switched { .. }, _)) => {}
            // It reads requests and answers them soundly; that it does not want this one is its right.
            Ok((Answer::Refused(_), _)) => return Ok(()),
            Err(error @ (UpgradeError::Io(_) | UpgradeError::Nonsense(_))) => return Err(error.to_string()),
        }
        if health.ping.unwrap_or(self.pool.habits.control_frames) {
            let payload: [u8; 8] = client::random();
            let ping = frame::whole(Opcode::Ping, &payload, Some(client::random()));
            send(socket, &ping).await?;
            let since = Instant::now();
            await_pong(socket, &payload).await?;
            self.pool.dials.ponged(since.elapsed());
        }
        if self.pool.habits.control_frames {
            let close = frame::close(&Close::new(Code::NORMAL, ""), Some(client::random()));
            send(socket, &close).await?;
        }
        Ok(())
    }

    fn judge(&self, verdict: Verdict) {
        let (is_well, why) = match verdict {
            Verdict::Well => (true, String::new()),
            Verdict::Ill(why) => (false, why),
            Verdict::Unknown => return,
        };
        let (pool, backend) = (self.pool.name(), &*self.member.backend.url);
        match self.member.judge(Instant::now(), is_well, &self.pool.wishes.health) {
            Change::None if is_well => {}
            Change::None => tracing::debug!(pool, backend, why, "a health check failed"),
            Change::Down => tracing::warn!(pool, backend, why, "a backend fails its health checks: out of service"),
            Change::Up => {
                tracing::info!(pool, backend, "a backend passes its health checks: back in service");
                self.pool.serve_queue();
            }
        }
    }
}

async fn send(socket: &mut Socket, bytes: &[u8]) -> Result<(), String> {
    let sent = async {
        socket.write_all(bytes).await?;
        socket.flush().await
    };
    sent.await.map_err(|error| error.to_string())
}

/// Whatever else the backend says meanwhile is read and forgotten.
async fn await_pong(socket: &mut Socket, payload: &[u8]) -> Result<(), String> {
    let mut inbound = Inbound::new(Rules { from: Role::Server, message_size: GREETING, utf8: false });
    let mut bytes = [0; READ];
    loop {
        let count = socket.read(&mut bytes).await.map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the connection ended before the pong".to_owned());
        }
        let mut left = &bytes[..count];
        while !left.is_empty() {
            let (used, turn) = inbound.next(left).map_err(|violation| violation.to_string())?;
            left = &left[used..];
            match turn {
                Turn::Control(Opcode::Pong) if inbound.control() == payload => return Ok(()),
                Turn::Control(Opcode::Close) => return Err("it closed instead of answering a ping".to_owned()),
                Turn::More | Turn::Control(_) | Turn::Data { .. } | Turn::Payload { .. } => {}
            }
        }
    }
}

/// FIN, and reading on until the backend has ended too: a socket closed with unread bytes is reset, and there are
/// servers that lose count by that. The place is taken until then.
async fn leave(mut socket: Socket, lease: Lease) {
    let _ = clock::timeout(LEAVE, poll_fn(|cx| socket.poll_linger(cx))).await;
    drop((socket, lease));
}

/// What the request's Host says (RFC 9112 §3.2).
fn host(transport: &Transport) -> String {
    let (host, port, usual) = match transport {
        Transport::Ws(host, port) => (host, *port, 80),
        Transport::Wss(host, port) => (host, *port, 443),
        Transport::Unix(_) => return "localhost".to_owned(),
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    if port == usual { host } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_check() {
        let host = |transport| host(&transport);
        assert_eq!(host(Transport::Ws("::1".to_owned(), 8080)), "[::1]:8080");
        assert_eq!(host(Transport::Ws("chat.test".to_owned(), 80)), "chat.test");
        assert_eq!(host(Transport::Wss("chat.test".to_owned(), 443)), "chat.test");
        assert_eq!(host(Transport::Unix("/run/x".into())), "localhost");
    }
}
