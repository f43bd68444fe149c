//! One connection in its own task: PROXY header, TLS, HTTP until the upgrade, then the session.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::accept::{Arrival, Side, Stream};
use super::answer::{self, Asker};
use super::answering::Answering;
use super::front::{Front, raw_answer};
use super::session::Promise;
use super::snapshot::Snapshot;
use super::worker::{Load, Local};
use crate::admission::door::DoorPermit;
use crate::admission::proxy_header::{self, Found};
use crate::admission::refusal::Refusal;
use crate::lifecycle::Phase;
use crate::lifecycle::clock::{timeout, timeout_at};
use crate::socket::{self, Socket, Transport};
use crate::telemetry::record::Record;
use crate::tls::{Acceptor, Hello, Identity};
use crate::wire::request_head::{self, HeadError, Sniff};

/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes that are read to tell what a connection speaks.
const FIRST: usize = 1024;

/// From accept to the upgrade or the last byte. An open WebSocket goes on in a task of its own, which keeps no room for
/// TLS' handshake and HTTP; it is counted before this task's end, so that a drain never misses it.
pub(super) async fn serve(local: Rc<Local>, arrival: Arrival, load: Load) {
    let Some(Opened { promise, socket, record, permit }) = open(&local, arrival).await else { return };
    match promise {
        Promise::Session(session) => {
            // It stands at the door no more.
            drop(permit);
            session.start(&local, socket, record, load);
        }
        Promise::Farewell(farewell) => farewell.start(&local, socket, record, (permit, load)),
    }
}

/// A connection whose 101 is sent.
struct Opened {
    promise: Promise,
    socket: Socket,
    record: Record,
    permit: DoorPermit,
}

/// Everything up to the upgrade. `None` when it does not come to one.
async fn open(local: &Local, arrival: Arrival) -> Option<Opened> {
    let snapshot = local.shared.snapshot.load_full();
    let deadline = Instant::now() + snapshot.config.handshake_timeout;
    let mut record = Record::open(&local.shared.metrics, Some(arrival.peer));
    let Arrival { stream, peer, permit, side } = arrival;
    let life = local.shared.life.clone();
    let prepared = async {
        let transport = register(stream)?;
        secure((&snapshot, side), transport, peer, deadline, &mut record).await
    };
    let (socket, (peer, proxied), identity) = tokio::select! {
        prepared = prepared => match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                record.refused.get_or_insert_with(|| error.to_string().into());
                return None;
            }
        },
        () = life.reached(Phase::Draining) => return None,
    };
    record.address = Some(peer);
    record.subject = identity.as_ref().map(|identity| identity.subject.as_str().into());
    let record = Rc::new(RefCell::new(record));
    let timeout = snapshot.config.handshake_timeout;
    let asker = Rc::new(Asker {
        shared: Arc::clone(&local.shared),
        secure: snapshot.config.tls.is_some() && side == Side::Gateway,
        side,
        snapshot,
        peer,
        proxied,
        identity: identity.as_ref().map(lines_of),
        record: Rc::clone(&record),
        answering: Answering::new(timeout),
        lines: Rc::clone(&local.lines),
        promise: RefCell::default(),
    });
    let socket = speak_http(local, &asker, socket, deadline).await;
    let promise = asker.promise.take();
    drop(asker);
    let record = Rc::into_inner(record)?.into_inner();
    Some(Opened { promise: promise?, socket: socket?, record, permit })
}

fn register(stream: Stream) -> io::Result<Transport> {
    Ok(match stream {
        Stream::Tcp(stream) => Transport::Tcp(tokio::net::TcpStream::from_std(stream)?),
        Stream::Unix(stream) => Transport::Unix(tokio::net::UnixStream::from_std(stream)?),
    })
}

/// A socket that HTTP can be spoken on, who brought it and whether a PROXY header says so, and what the client has proven
/// to be.
type Prepared = (Socket, (IpAddr, bool), Option<Identity>);

/// What backends are told of a client that has shown a certificate.
fn lines_of(identity: &Identity) -> Vec<(String, HeaderValue)> {
    let lines = [("X-Client-Cert-Subject", &identity.subject), ("X-Client-Cert-Fingerprint", &identity.fingerprint)];
    lines.into_iter().filter_map(|(name, value)| Some((name.to_owned(), HeaderValue::from_str(value).ok()?))).collect()
}

/// PROXY header (from those who are trusted) and TLS (where it is spoken), in time.
async fn secure(
    (snapshot, side): (&Snapshot, Side),
    mut transport: Transport,
    peer: IpAddr,
    deadline: Instant,
    record: &mut Record,
) -> io::Result<Prepared> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time");
    let mut first = Vec::new();
    let mut client = None;
    if snapshot.gate.trusts(peer) {
        client = timeout_at(deadline, read_proxy_header(&mut transport, &mut first)).await.map_err(late)??;
    }
    let proxied = client.is_some();
    let peer = client.unwrap_or(peer);
    record.address = Some(peer);
    let Some(tls) = snapshot.tls.as_ref().filter(|_| side == Side::Gateway) else {
        let mut socket = Socket::plain(transport);
        socket.put_back(first.into());
        return Ok((socket, (peer, proxied), None));
    };
    let since = Instant::now();
    let live = tls.live();
    let accept = async {
        if first.is_empty() && transport.read_buf(&mut first).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client said nothing"));
        }
        if first[0] != TLS_HANDSHAKE && request_head::sniff(&first) == Sniff::Http {
            return Err(explain_tls(&mut transport, record).await);
        }
        if let Hello::Question(config) = hello(tls, &mut transport, &mut first).await? {
            let (mut socket, _) = Socket::accept(transport, config, &first).await?;
            // RFC 8737 §3: the handshake is all; nothing is said on such a connection.
            let _ = std::future::poll_fn(|cx| socket.poll_linger(cx)).await;
            return Ok(None);
        }
        let (socket, facts) = Socket::accept(transport, live.config(), &first).await?;
        let identity = live.identify(&facts, super::now())?;
        Ok(Some((socket, facts, identity)))
    };
    match timeout_at(deadline, accept).await.map_err(late).and_then(std::convert::identity) {
        Ok(None) => Err(io::Error::other("a CA asked about a name")),
        Ok(Some((socket, facts, identity))) => {
            record.tls = facts.version;
            record.metrics().handshakes.secured(facts.version, facts.resumed, since.elapsed());
            Ok((socket, (peer, proxied), identity))
        }
        Err(error) => {
            record.metrics().handshakes.failed(socket::tls_failure(&error));
            Err(error)
        }
    }
}

/// Whose handshake this is. It is looked at only while a CA may be about to ask.
async fn hello(tls: &Acceptor, transport: &mut Transport, first: &mut Vec<u8>) -> io::Result<Hello> {
    if !tls.challenges().is_awaited() {
        return Ok(Hello::Client);
    }
    loop {
        match tls.challenges().hello(first) {
            Hello::Partial => {
                first.reserve(FIRST);
                if transport.read_buf(first).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            known => return Ok(known),
        }
    }
}

/// Reads until it is clear whether a PROXY header stands in front, and takes it away; gives the source it names.
async fn read_proxy_header(transport: &mut Transport, first: &mut Vec<u8>) -> io::Result<Option<IpAddr>> {
    first.reserve(FIRST);
    loop {
        match proxy_header::parse(first) {
            Found::Absent => return Ok(None),
            Found::Header { len, source } => {
                first.drain(..len);
                return Ok(source.map(|source| source.ip()));
            }
            Found::Invalid(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
            Found::Partial if transport.read_buf(first).await? == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Found::Partial => {}
        }
    }
}

/// A client that speaks plain HTTP where TLS is spoken gets an answer it can read.
async fn explain_tls(transport: &mut Transport, record: &mut Record) -> io::Error {
    let refusal = Refusal::Head(HeadError::NotTls);
    record.refuse(refusal.status().as_u16(), refusal.label(), refusal.line());
    let _ = transport.write_all(&raw_answer(refusal)).await;
    let _ = transport.shutdown().await;
    // Read what the client still sends, so that the answer is not lost to a reset.
    let mut rest = [0; FIRST];
    let drain = async { while matches!(transport.read(&mut rest).await, Ok(count) if count > 0) {} };
    let _ = timeout(Duration::from_secs(1), drain).await;
    io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on the TLS port")
}

/// HTTP/1.1 until the upgrade or the end; the socket comes back with everything that was read too far.
async fn speak_http(local: &Local, asker: &Rc<Asker>, socket: Socket, deadline: Instant) -> Option<Socket> {
    let config = &asker.snapshot.config;
    let limit = config.limits.request_head;
    let times = (deadline, config.handshake_timeout);
    let told = (Rc::clone(&asker.record), Rc::clone(&asker.answering));
    let front = Front::new(socket, told, limit, times, &local.shared.life);
    let service = service_fn(|request| {
        let asker = Rc::clone(asker);
        Box::pin(async move { Ok::<_, std::convert::Infallible>(answer::answer(&asker, request).await) })
    });
    let mut conn = http1::Builder::new()
        // The gate in front keeps the time and the size; the parser must only not be narrower.
        .header_read_timeout(None)
        .max_buf_size(limit.max(8192) + 8192)
        .serve_connection(TokioIo::new(front), service);
    if std::future::poll_fn(|cx| conn.poll_without_shutdown(cx)).await.is_err() {
        return None;
    }
    let parts = conn.into_parts();
    let front = parts.io.into_inner();
    let owes_goodbye = front.owes_goodbye();
    let mut socket = front.into_socket(parts.read_buf);
    if asker.promise.borrow().is_some() {
        return Some(socket);
    }
    if owes_goodbye {
        // The last answer is still to be read by the client: goodbye before the socket is dropped.
        let linger = std::future::poll_fn(|cx| socket.poll_linger(cx));
        let _ = timeout(Duration::from_secs(2), linger).await;
    } else {
        let farewell = std::future::poll_fn(|cx| Poll::Ready(socket.poll_close(cx)));
        let _ = farewell.await;
    }
    None
}
