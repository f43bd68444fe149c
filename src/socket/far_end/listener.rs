//! Who listens where a backend was reached, and whether it is still there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use rustix::net::{RecvFlags, recv};

use super::{Kernel, TCP_HEAD, TCP_INODE, about_tcp, ask, number_at, question, queue, understand, with_kernel};
use crate::socket::{Socket, Transport};

/// So many listeners that share an address are remembered.
const GROUP: usize = 256;
/// Packets that are read in answer to one question, each of which tells of some thirty listeners.
const PACKETS: usize = 64;
/// Bytes of one: the kernel fills less than two pages of 4 KiB.
const PACKET: usize = 8192;

/// TCP listeners on this machine that share an address, as they were when they were found: one as a rule, more where
/// processes share a port (SO_REUSEPORT, socket(7)). Another process on the same address is another one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    address: SocketAddr,
    /// In order.
    inodes: Box<[NonZeroU32]>,
}

impl Listener {
    /// Those that this connection may have been made to; `None` where [`FarEnd::find`](super::FarEnd::find) finds
    /// nothing, and for unix streams. It is `known` again where that has the one that the kernel names now.
    fn find(transport: &Transport, known: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let Transport::Tcp(stream) = transport else { return None };
        let (address, ours) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
        // Without the far end itself, a listener that is found on its address may be a stranger's.
        queue(&mut question(about_tcp(address, ours), NLM_F_REQUEST)).ok()??;
        let named = named(address).ok()??;
        if let Some(known) = known.filter(|known| known.address == address && known.has(named)) {
            return Some(Arc::clone(known));
        }
        // Of those that share a port the kernel names one by a hash of the addresses, which need not be the one that
        // has accepted this connection, and is another one as soon as their number changes.
        let mut inodes = group(address.port(), named).unwrap_or_default();
        if !inodes.contains(&named) {
            inodes = vec![named];
        }
        inodes.sort_unstable();
        Some(Arc::new(Self { address, inodes: inodes.into() }))
    }

    fn has(&self, inode: NonZeroU32) -> bool {
        self.inodes.binary_search(&inode).is_ok()
    }

    /// Whether one of them is still there; when the kernel does not say, it is.
    pub(crate) fn is_there(&self) -> bool {
        match named(self.address) {
            Ok(None) => false,
            Ok(Some(named)) if self.has(named) => true,
            // One that has come later may be named before one that was there.
            Ok(Some(_)) => FAMILIES.iter().any(|family| {
                let all = on_port(*family, self.address.port());
                all.map_or(true, |all| all.iter().any(|found| self.has(found.inode)))
            }),
            Err(_) => true,
        }
    }
}

impl Socket {
    /// Who listens where the other end was reached, if the kernel can tell; `known` is what was found lately.
    pub(crate) fn listener(&self, known: Option<&Arc<Listener>>) -> Option<Arc<Listener>> {
        Listener::find(self.link.transport(), known)
    }
}

/// Whom the kernel names as the listener on this address: the one that it finds for a connection that does not exist,
/// as from port 0.
fn named(address: SocketAddr) -> io::Result<Option<NonZeroU32>> {
    let nobody = SocketAddr::new(address.ip(), 0);
    let answer = ask(&mut question(about_tcp(address, nobody), NLM_F_REQUEST))?;
    Ok(answer.and_then(|queue| queue.listener))
}

/// This listener and all that are bound to the same address.
fn group(port: u16, named: NonZeroU32) -> io::Result<Vec<NonZeroU32>> {
    for family in FAMILIES {
        let all = on_port(family, port)?;
        if let Some(bound) = all.iter().find(|found| found.inode == named).map(|found| found.bound) {
            let same = all.iter().filter(|found| found.bound == bound && found.inode != named);
            return Ok(std::iter::once(named).chain(same.map(|found| found.inode)).take(GROUP).collect());
        }
    }
    Ok(Vec::new())
}

/// A listener on IPv6 may be one on IPv4, too.
const FAMILIES: [u8; 2] = [AF_INET, AF_INET6];

/// One of the listeners on a port.
struct Found {
    /// The address that it is bound to, as the kernel has it.
    bound: [u8; 16],
    inode: NonZeroU32,
}

/// Where `struct inet_diag_msg` of linux/inet_diag.h has `idiag_src`.
const TCP_BOUND: usize = 8;

/// All listeners of a family on this port, on whatever address.
fn on_port(family: u8, port: u16) -> io::Result<Vec<Found>> {
    let nowhere = if family == AF_INET { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut question = question(about_listeners(family, port, nowhere), NLM_F_REQUEST | NLM_F_DUMP);
    let mut all = Vec::new();
    let mut take = |answer: &[u8]| {
        let bound = answer.get(TCP_BOUND..).and_then(|bytes| bytes.first_chunk().copied());
        let inode = answer.get(..TCP_HEAD).and_then(|head| number_at(head, TCP_INODE)).and_then(NonZeroU32::new);
        all.extend(bound.zip(inode).map(|(bound, inode)| Found { bound, inode }));
    };
    with_kernel(|kernel| list(kernel, &mut question, &mut take))?;
    Ok(all)
}

fn about_listeners(family: u8, port: u16, nowhere: IpAddr) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN,
        socket_id: SocketId {
            source_port: port,
            destination_port: 0,
            source_address: nowhere,
            destination_address: nowhere,
            interface_id: 0,
            cookie: [0xff; 8],
        },
    })
}

/// Everything that the kernel has to say to one question, each answer by itself. It is there as soon as it is asked for.
fn list(kernel: &mut Kernel, question: &mut [u8], take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    kernel.put(question)?;
    let mut packet = vec![0; PACKET];
    for _ in 0..PACKETS {
        let (count, _) = recv(&kernel.socket, &mut packet[..], RecvFlags::empty())?;
        let mut rest = &packet[..count];
        while !rest.is_empty() {
            let answer = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            if answer.sequence_number() == kernel.number {
                match answer.message_type() {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return understand(NLMSG_ERROR, answer.payload()).map(drop),
                    _ => take(answer.payload()),
                }
            }
            // Each begins at a multiple of four (netlink(3)).
            rest = rest.get((answer.length() as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Err(io::Error::other("more listeners than anybody has"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    fn find(stream: TcpStream) -> Arc<Listener> {
        Listener::find(&Transport::Tcp(stream), None).expect("it is here")
    }

    #[tokio::test]
    async fn a_listener_is_there_until_it_is_gone_and_the_next_one_is_another() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).await.expect("bind");
            let port = listener.local_addr().expect("address").port();
            let to = if address.contains("1]") { format!("[::1]:{port}") } else { format!("127.0.0.1:{port}") };
            let stream = TcpStream::connect(&to).await.expect("connect");
            let (far, _) = listener.accept().await.expect("accept");
            let found = find(stream);
            assert!(found.inodes.len() == 1 && found.is_there());
            // One connection that ends says nothing of the process.
            drop(far);
            assert!(found.is_there());
            drop(listener);
            assert!(!found.is_there());
            let _next = TcpListener::bind(&to).await.expect("bind");
            assert!(!found.is_there(), "another one");
        }
    }

    /// One of several listeners on an address.
    fn share(address: SocketAddr) -> TcpListener {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
        socket.set_reuseport(true).expect("allowed");
        socket.bind(address).expect("bind");
        socket.listen(16).expect("listen")
    }

    #[tokio::test]
    async fn of_listeners_that_share_a_port_any_that_remains_is_there() {
        for host in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            for dies in 0..3 {
                let first = share(host.parse().expect("address"));
                let address = first.local_addr().expect("address");
                let mut group = vec![first, share(address), share(address)];
                let stream = TcpStream::connect(("127.0.0.1", address.port())).await.expect("connect");
                let found = find(stream);
                assert_eq!(found.inodes.len(), 3);
                // Those who come later change whom the kernel names, and nothing else.
                let later: Vec<_> = (0..8).map(|_| share(address)).collect();
                assert!(found.is_there());
                drop(group.remove(dies));
                assert!(found.is_there());
                group.truncate(1);
                assert!(found.is_there());
                drop(group);
                assert!(!found.is_there(), "{} others are there", later.len());
            }
        }
    }

    #[tokio::test]
    async fn what_is_known_is_shared_as_long_as_it_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let connect = async || Transport::Tcp(TcpStream::connect(address).await.expect("connect"));
        let known = Listener::find(&connect().await, None).expect("it is here");
        let again = Listener::find(&connect().await, Some(&known)).expect("it is here");
        assert!(Arc::ptr_eq(&known, &again));
        drop(listener);
        let _next = TcpListener::bind(address).await.expect("bind again");
        let other = Listener::find(&connect().await, Some(&known)).expect("it is here");
        assert_ne!(known, other);
    }

    #[tokio::test]
    async fn more_listeners_than_one_packet_tells_of_are_all_found() {
        let first = share("127.0.0.1:0".parse().expect("address"));
        let address = first.local_addr().expect("address");
        let _others: Vec<_> = (0..200).map(|_| share(address)).collect();
        let stream = TcpStream::connect(address).await.expect("connect");
        assert_eq!(find(stream).inodes.len(), 201);
    }
}
