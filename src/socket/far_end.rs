//! Whether the other end of a connection has read what was sent to it: the kernel knows, when both are on one machine.
//!
//! It is asked by NETLINK_SOCK_DIAG (sock_diag(7)) for exactly one socket, which needs no privilege: of TCP for the
//! peer's own socket and its receive queue, of unix streams for ours and what the peer has not taken of it. The answer
//! is there before the question's system call returns, so nobody waits.

mod listener;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use netlink_packet_core::{
    ErrorBuffer, NLM_F_REQUEST, NLMSG_ERROR, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{
    AF_INET, AF_INET6, AF_UNIX, INET_DIAG_INFO, IPPROTO_TCP, SOCK_DIAG_BY_FAMILY, TCP_CLOSE_WAIT, TCP_ESTABLISHED,
    TCP_LISTEN, UNIX_DIAG_RQLEN, UNIX_DIAG_SHUTDOWN,
};
use netlink_packet_sock_diag::inet::{self, ExtensionFlags, InetRequest, SocketId};
use netlink_packet_sock_diag::unix::{self, ShowFlags, UnixRequest};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

pub(crate) use self::listener::Listener;
use super::Socket;
use super::transport::Transport;

thread_local! {
    /// Opened with the first question; there is nothing to wait for on it, so it is nobody's to poll.
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// A socket that takes questions.
struct Kernel {
    socket: OwnedFd,
    /// The last question's number, so that no answer is taken for another's.
    number: u32,
    answer: [u8; ANSWER],
}

/// The far end of one connection.
#[derive(Debug)]
pub(crate) struct FarEnd {
    question: Vec<u8>,
    /// Bytes that have to have reached the far end before its queue says anything: what is still under way, be it for
    /// the microseconds that a busy loopback takes, is in no queue. Unknown where the kernel does not tell.
    sent: Option<u64>,
}

/// What the far end has done with what was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It has read everything.
    Everything,
    /// It is gone, or has ended its stream: whatever it has read, it says no more.
    Ended,
    /// Something is left.
    NotYet,
    /// The kernel does not say.
    Unknown,
}

/// An answer in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Queue {
    unread: u32,
    has_ended: bool,
    /// The inode of a listener, which is no connection.
    listener: Option<NonZeroU32>,
    /// Bytes that have arrived since the connection was opened.
    arrived: Option<u64>,
}

impl FarEnd {
    /// The far end of this connection, of which everything sent so far has been answered; `None` when it is on another
    /// machine, in another network namespace, or when the kernel cannot be asked.
    fn find(transport: &Transport) -> Option<Self> {
        let message = match transport {
            Transport::Tcp(stream) => about_tcp(stream.peer_addr().ok()?, stream.local_addr().ok()?),
            Transport::Unix(stream) => about_unix(stream.as_fd()).ok()?,
        };
        let mut question = question(message, NLM_F_REQUEST);
        let queue = queue(&mut question).ok()??;
        Some(Self { question, sent: queue.arrived })
    }

    /// So many bytes more were sent.
    pub(crate) const fn note_sent(&mut self, bytes: usize) {
        if let Some(sent) = &mut self.sent {
            *sent += bytes as u64;
        }
    }

    /// Looks at its queue; one small question and answer.
    pub(crate) fn look(&mut self) -> Taken {
        let queue = match queue(&mut self.question) {
            Ok(Some(queue)) if !queue.has_ended => queue,
            // It was there, and is no more.
            Ok(_) => return Taken::Ended,
            Err(_) => return Taken::Unknown,
        };
        let is_under_way = matches!((self.sent, queue.arrived), (Some(sent), Some(arrived)) if arrived < sent);
        if queue.unread > 0 || is_under_way { Taken::NotYet } else { Taken::Everything }
    }
}

impl Socket {
    /// What the kernel can tell of the other end, if it can.
    pub(crate) fn far_end(&self) -> Option<FarEnd> {
        FarEnd::find(self.link.transport())
    }
}

/// The peer's socket is the one whose own address is our peer's.
fn about_tcp(peer: SocketAddr, ours: SocketAddr) -> SockDiagMessage {
    let (source, destination) = (peer.ip().to_canonical(), ours.ip().to_canonical());
    SockDiagMessage::InetRequest(InetRequest {
        family: if matches!(source, IpAddr::V4(_)) { AF_INET } else { AF_INET6 },
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: inet::StateFlags::all(),
        socket_id: SocketId {
            source_port: peer.port(),
            destination_port: ours.port(),
            source_address: source,
            destination_address: destination,
            interface_id: 0,
            // INET_DIAG_NOCOOKIE: whichever socket has this address.
            cookie: [0xff; 8],
        },
    })
}

/// Our own socket: unix(7) counts what it has sent until the peer has taken it.
fn about_unix(ours: impl AsFd) -> io::Result<SockDiagMessage> {
    let inode = File::from(ours.as_fd().try_clone_to_owned()?).metadata()?.ino();
    Ok(SockDiagMessage::UnixRequest(UnixRequest {
        state_flags: unix::StateFlags::all(),
        inode: u32::try_from(inode).map_err(io::Error::other)?,
        show_flags: ShowFlags::RQLEN,
        cookie: [0xff; 8],
    }))
}

fn question(message: SockDiagMessage, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

/// `None`: there is no such connection.
fn queue(question: &mut [u8]) -> io::Result<Option<Queue>> {
    // Where no connection fits, the kernel finds a listener on the port, which may be a stranger's.
    Ok(ask(question)?.filter(|queue| queue.listener.is_none()))
}

/// `None`: there is no such socket.
fn ask(question: &mut [u8]) -> io::Result<Option<Queue>> {
    with_kernel(|kernel| kernel.ask(question))
}

fn with_kernel<T>(ask: impl FnOnce(&mut Kernel) -> io::Result<T>) -> io::Result<T> {
    KERNEL.with_borrow_mut(|kernel| {
        let answer = ask(match kernel {
            Some(kernel) => kernel,
            None => kernel.insert(Kernel::open()?),
        });
        if answer.is_err() {
            // It may have more to say, and would take no other question before that is heard.
            *kernel = None;
        }
        answer
    })
}

/// Where a netlink header has its sequence number (struct nlmsghdr of linux/netlink.h).
const NUMBER: std::ops::Range<usize> = 8..12;
/// An answer is about 400 bytes.
const ANSWER: usize = 4096;

impl Kernel {
    fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?;
        Ok(Self { socket, number: 0, answer: [0; ANSWER] })
    }

    /// The question gets its number here.
    fn put(&mut self, question: &mut [u8]) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        question[NUMBER].copy_from_slice(&self.number.to_ne_bytes());
        send(&self.socket, question, SendFlags::empty())?;
        Ok(())
    }

    /// The kernel answers before `send` returns, so `recv` has it or never will.
    fn ask(&mut self, question: &mut [u8]) -> io::Result<Option<Queue>> {
        self.put(question)?;
        loop {
            let (count, _) = recv(&self.socket, &mut self.answer[..], RecvFlags::empty())?;
            let answer = NetlinkBuffer::new_checked(&self.answer[..count]).map_err(io::Error::other)?;
            // What is left of a question that failed half-way is not the answer to this one.
            if answer.sequence_number() == self.number {
                return understand(answer.message_type(), answer.payload());
            }
        }
    }
}

/// Reads an answer in place. A question is asked for each message: the crate's own way, which makes values of everything
/// that the kernel tells and a text for each of them that might be wrong, cost a quarter of what the message costs here.
fn understand(kind: u16, answer: &[u8]) -> io::Result<Option<Queue>> {
    match (kind, answer.first().copied()) {
        (NLMSG_ERROR, _) => {
            let error = ErrorBuffer::new_checked(answer).map_err(io::Error::other)?.code();
            let error = error.map(|code| io::Error::from_raw_os_error(-code.get()));
            error.filter(|error| error.kind() != io::ErrorKind::NotFound).map_or(Ok(None), Err)
        }
        (SOCK_DIAG_BY_FAMILY, Some(AF_INET | AF_INET6)) => of_tcp(answer),
        (SOCK_DIAG_BY_FAMILY, Some(AF_UNIX)) => of_unix(answer),
        _ => Ok(None),
    }
}

/// `struct inet_diag_msg` of linux/inet_diag.h: its size, its state, its receive queue and its inode.
const TCP_HEAD: usize = 72;
const TCP_STATE: usize = 1;
const TCP_UNREAD: usize = 56;
const TCP_INODE: usize = 68;
/// Where `struct tcp_info` of linux/tcp.h has `tcpi_bytes_received`: there since Linux 4.1.
const BYTES_RECEIVED: usize = 128;

fn of_tcp(answer: &[u8]) -> io::Result<Option<Queue>> {
    let (head, attributes) = answer.split_at_checked(TCP_HEAD).ok_or(io::ErrorKind::InvalidData)?;
    let arrived = attribute(attributes, INET_DIAG_INFO, BYTES_RECEIVED).map(u64::from_ne_bytes);
    let state = head[TCP_STATE];
    let has_ended = !matches!(state, TCP_ESTABLISHED | TCP_CLOSE_WAIT);
    let listener = number_at(head, TCP_INODE).filter(|_| state == TCP_LISTEN).and_then(NonZeroU32::new);
    Ok(number_at(head, TCP_UNREAD).map(|unread| Queue { unread, has_ended, listener, arrived }))
}

/// RCV_SHUTDOWN of include/net/sock.h: the peer sends no more.
const NO_MORE: u8 = 1;
/// `struct unix_diag_msg` of linux/unix_diag.h: its size; and where `struct unix_diag_rqlen` has what was sent.
const UNIX_HEAD: usize = 16;
const UNIX_SENT: usize = 4;

fn of_unix(answer: &[u8]) -> io::Result<Option<Queue>> {
    let (_, attributes) = answer.split_at_checked(UNIX_HEAD).ok_or(io::ErrorKind::InvalidData)?;
    let unread = attribute(attributes, UNIX_DIAG_RQLEN, UNIX_SENT).map(u32::from_ne_bytes);
    let has_ended = attribute(attributes, UNIX_DIAG_SHUTDOWN, 0).is_some_and(|[how]| how & NO_MORE != 0);
    Ok(unread.map(|unread| Queue { unread, has_ended, listener: None, arrived: None }))
}

/// So many bytes at this place of the first attribute of this kind, if it is there and as long.
fn attribute<const N: usize>(attributes: &[u8], kind: u16, at: usize) -> Option<[u8; N]> {
    let mut found = NlasIterator::new(attributes).filter_map(Result::ok).filter(|nla| nla.kind() == kind);
    found.next()?.value().get(at..)?.first_chunk().copied()
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    fn read(stream: &mut impl io::Read, count: usize) {
        stream.read_exact(&mut vec![0; count]).expect("read");
    }

    #[tokio::test]
    async fn tcp_says_what_was_read() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).await.expect("bind");
            let stream = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
            let (far, _) = listener.accept().await.expect("accept");
            let mut far = far.into_std().expect("std");
            far.set_nonblocking(false).expect("blocking");
            let ours = Transport::Tcp(stream);
            let mut end = FarEnd::find(&ours).expect("it is here");
            assert!(end.sent.is_some(), "the kernel counts");
            assert_eq!(end.look(), Taken::Everything);
            let Transport::Tcp(stream) = &ours else { panic!("TCP") };
            assert_eq!(stream.try_write(b"hello").expect("room"), 5);
            end.note_sent(5);
            assert_eq!(end.look(), Taken::NotYet);
            read(&mut far, 4);
            assert_eq!(end.look(), Taken::NotYet);
            read(&mut far, 1);
            assert_eq!(end.look(), Taken::Everything);
            // What has not arrived is in no queue, and not read.
            end.note_sent(1);
            assert_eq!(end.look(), Taken::NotYet);
        }
    }

    #[test]
    fn answers_that_are_cut_short_or_strange_say_nothing_and_harm_nobody() {
        let tcp = [&[AF_INET][..], &[0; TCP_HEAD - 1]].concat();
        for length in 1..TCP_HEAD {
            assert!(understand(SOCK_DIAG_BY_FAMILY, &tcp[..length]).is_err(), "{length}");
        }
        let empty = Queue { unread: 0, has_ended: true, listener: None, arrived: None };
        assert_eq!(understand(SOCK_DIAG_BY_FAMILY, &tcp).ok(), Some(Some(empty)));
        // An attribute that ends too soon, one that is longer than what there is, and one of no length.
        for attribute in [&[8, 0, 2, 0, 1, 2, 3, 4][..], &[200, 0, 2, 0, 1], &[0; 4], &[4]] {
            let answer = [&tcp[..], attribute].concat();
            assert_eq!(understand(SOCK_DIAG_BY_FAMILY, &answer).ok(), Some(Some(empty)), "{attribute:?}");
        }
        assert!(understand(SOCK_DIAG_BY_FAMILY, &[AF_UNIX; UNIX_HEAD - 1]).is_err());
        assert!(matches!(understand(SOCK_DIAG_BY_FAMILY, &[AF_UNIX; UNIX_HEAD]), Ok(None)));
        assert!(matches!(understand(SOCK_DIAG_BY_FAMILY, &[]), Ok(None)));
        // -EPERM, -ENOENT, and an error that is cut short.
        assert!(understand(NLMSG_ERROR, &(-1_i32).to_ne_bytes()).is_err());
        assert!(matches!(understand(NLMSG_ERROR, &(-2_i32).to_ne_bytes()), Ok(None)));
        assert!(understand(NLMSG_ERROR, &[0; 3]).is_err());
    }

    #[tokio::test]
    async fn a_unix_stream_says_what_was_read() {
        let (stream, far) = UnixStream::pair().expect("a pair");
        let mut far = far.into_std().expect("std");
        far.set_nonblocking(false).expect("blocking");
        let ours = Transport::Unix(stream);
        let mut end = FarEnd::find(&ours).expect("it is here");
        let Transport::Unix(stream) = &ours else { panic!("unix") };
        assert_eq!(stream.try_write(b"hello").expect("room"), 5);
        end.note_sent(5);
        assert_eq!(end.look(), Taken::NotYet);
        read(&mut far, 5);
        assert_eq!(end.look(), Taken::Everything);
        far.write_all(b"back").expect("room");
        assert_eq!(end.look(), Taken::Everything);
    }

    #[tokio::test]
    async fn a_listener_on_the_port_is_not_the_far_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let peer = listener.local_addr().expect("address");
        // A client that the listener does not know: a connection of another namespace to the same address.
        let ours = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(matches!(queue(&mut question(about_tcp(peer, ours), NLM_F_REQUEST)), Ok(None)));
        assert!(matches!(queue(&mut question(about_tcp(ours, ours), NLM_F_REQUEST)), Ok(None)), "nobody is there");
    }

    #[tokio::test]
    async fn who_is_gone_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let stream = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
        let (far, _) = listener.accept().await.expect("accept");
        let ours = Transport::Tcp(stream);
        let mut end = FarEnd::find(&ours).expect("it is here");
        end.note_sent(1);
        assert_eq!(end.look(), Taken::NotYet);
        far.set_zero_linger().expect("linger");
        drop(far);
        assert_eq!(end.look(), Taken::Ended);
    }

    #[tokio::test]
    async fn who_has_ended_its_stream_is_known_to_have() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let stream = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connect");
        let (far, _) = listener.accept().await.expect("accept");
        let ours = Transport::Tcp(stream);
        let mut tcp = FarEnd::find(&ours).expect("it is here");
        let (stream, unix_far) = UnixStream::pair().expect("a pair");
        let unix_ours = Transport::Unix(stream);
        let mut unix = FarEnd::find(&unix_ours).expect("it is here");
        assert_eq!((tcp.look(), unix.look()), (Taken::Everything, Taken::Everything));
        drop((far, unix_far));
        assert_eq!((tcp.look(), unix.look()), (Taken::Ended, Taken::Ended));
    }
}
