//! The two ends of the counting bench: many clients and an echoing backend in one process, told by `benches/count/run`
//! over standard input what to do. The gateway between them is counted; nothing that happens here is.
//!
//! Both ends write each message with one call to the system, so that the gateway finds it in one piece.

#![allow(clippy::expect_used)] // what does not hold here ends the count, as it should
#![allow(clippy::disallowed_methods)] // threads of a program of its own, nobody drains them
#![allow(clippy::print_stdout)] // the answers to the script

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::client::ClientConnection;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, StreamOwned};
use wsgate::client;
use wsgate::wire::close::{Close, Code};
use wsgate::wire::frame::{self, HEAD_MAX, Head, Opcode, Role};
use wsgate::wire::offer::accept_for;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn main() {
    let Some(authority) = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')) else {
        println!("one half of a bench: benches/count/run has the other half");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the backend");
    println!("ws://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| echo(stream)))));

    let mut driver = Driver::new(&authority);
    for line in io::stdin().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        driver.obey(&words);
        println!("done");
    }
}

/// What the script has asked for so far.
struct Driver {
    authority: CertificateDer<'static>,
    /// Of those who come again, with their tickets.
    known: Arc<ClientConfig>,
    gateway: String,
    clients: Vec<Client>,
}

impl Driver {
    fn new(authority: &str) -> Self {
        let authority = CertificateDer::from_pem_file(authority).expect("the authority's certificate");
        let known = trusting(&authority);
        Self { authority, known, gateway: String::new(), clients: Vec::new() }
    }

    fn obey(&mut self, words: &[&str]) {
        let number = |word: &str| word.parse::<usize>().expect("a number");
        match *words {
            ["gateway", address] => address.clone_into(&mut self.gateway),
            ["open", path, count] => {
                self.clients.clear();
                self.clients = (0..number(count)).map(|_| self.open(&self.known, path)).collect();
            }
            ["trips", size, count] => self.trips(number(size), number(count)),
            ["publish", size, count] => self.publish(number(size), number(count)),
            ["visit", "full", path, count] => {
                for _ in 0..number(count) {
                    let client = self.open(&trusting(&self.authority), path);
                    client.leave(HandshakeKind::Full);
                }
            }
            ["visit", "resumed", path, count] => {
                for _ in 0..number(count) {
                    self.open(&self.known, path).leave(HandshakeKind::Resumed);
                }
            }
            _ => panic!("what is {words:?}?"),
        }
    }

    fn open(&self, config: &Arc<ClientConfig>, path: &str) -> Client {
        Client::open(&self.gateway, config, path)
    }

    /// So many round trips on each connection, on all of them at once.
    fn trips(&mut self, size: usize, count: usize) {
        thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(move || client.trips(size, count));
            }
        });
    }

    /// The first one speaks, and all hear it before it speaks again.
    fn publish(&mut self, size: usize, count: usize) {
        let said = text(size);
        let frame = frame::whole(Opcode::Text, &said, Some(KEY));
        for _ in 0..count {
            self.clients[0].send(&frame);
            for client in &mut self.clients {
                client.hear(Opcode::Text);
                // The hub puts the speaker's name in front.
                assert_eq!(client.payload.strip_prefix(b"User #1: "), Some(&said[..]), "what was heard");
            }
        }
    }
}

/// A configuration without a ticket, so that the first handshake with it is a full one.
fn trusting(authority: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = builder.expect("TLS 1.3").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Text that chats are made of, without a character that a hub would escape.
fn text(size: usize) -> Vec<u8> {
    b"all work and no play makes a dull gateway. ".iter().copied().cycle().take(size).collect()
}

/// A client's WebSocket through the gateway.
struct Client {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    payload: Vec<u8>,
}

impl Client {
    fn open(gateway: &str, config: &Arc<ClientConfig>, path: &str) -> Self {
        let stream = connected(TcpStream::connect(gateway));
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), name).expect("a TLS client");
        let mut stream = BufReader::with_capacity(64 * 1024, StreamOwned::new(tls, stream));
        let key = client::key(client::random());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Origin: https://localhost\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.get_mut().write_all(request.as_bytes()).expect("a request on its way");
        let answer = head(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self { stream, payload: Vec::new() }
    }

    fn send(&mut self, frame: &[u8]) {
        self.stream.get_mut().write_all(frame).expect("a frame on its way");
    }

    fn hear(&mut self, expected: Opcode) {
        let opcode = read(&mut self.stream, Role::Server, &mut self.payload).expect("a frame");
        assert_eq!(opcode, expected);
    }

    fn trips(&mut self, size: usize, count: usize) {
        let sent = text(size);
        let frame = frame::whole(Opcode::Text, &sent, Some(KEY));
        for _ in 0..count {
            self.send(&frame);
            self.hear(Opcode::Text);
            assert_eq!(self.payload, sent, "what came back");
        }
    }

    /// A proper goodbye, after a handshake of this kind.
    fn leave(mut self, kind: HandshakeKind) {
        assert_eq!(self.stream.get_ref().conn.handshake_kind(), Some(kind));
        self.send(&frame::close(&Close::new(Code::NORMAL, ""), Some(KEY)));
        self.hear(Opcode::Close);
        self.stream.get_mut().conn.send_close_notify();
        // The gateway may have closed already.
        let _ = self.stream.get_mut().flush();
        let _ = self.stream.read_to_end(&mut self.payload);
    }
}

/// One connection of the backend: everything comes back.
fn echo(stream: TcpStream) {
    let mut stream = BufReader::with_capacity(64 * 1024, connected(Ok(stream)));
    let request = head(&mut stream);
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_for(key)
    );
    stream.get_mut().write_all(answer.as_bytes()).expect("an answer on its way");
    let (mut payload, mut out) = (Vec::new(), Vec::new());
    while let Ok(opcode) = read(&mut stream, Role::Client, &mut payload) {
        out.clear();
        frame::append(&mut out, opcode, &payload, None);
        if stream.get_mut().write_all(&out).is_err() || opcode == Opcode::Close {
            return;
        }
    }
}

fn connected(stream: io::Result<TcpStream>) -> TcpStream {
    let stream = stream.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A head of HTTP with its empty line.
fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).expect("a line of a head"), 0, "ended after {head:?}");
    }
    head
}

/// One frame; its payload unmasked.
fn read(stream: &mut impl Read, from: Role, payload: &mut Vec<u8>) -> io::Result<Opcode> {
    let mut bytes = [0; HEAD_MAX];
    stream.read_exact(&mut bytes[..2])?;
    let opcode = Head::check(bytes[0], bytes[1], from).expect("a lawful frame");
    let size = Head::size(bytes[1]);
    stream.read_exact(&mut bytes[2..size])?;
    let head = Head::read(&bytes, opcode).expect("a lawful head");
    payload.resize(usize::try_from(head.length).expect("a size that fits"), 0);
    stream.read_exact(payload)?;
    if let Some(key) = head.key {
        wsgate::wire::mask::Mask::new(key).apply(payload);
    }
    Ok(opcode)
}
