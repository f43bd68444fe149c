//! How a connection to a server begins, beyond its address: where it comes from, and what is said before all else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ppp::{v1, v2};
use socket2::{Domain, Protocol, Type};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// Where the server sees a connection come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// From wherever the kernel takes it.
    #[default]
    Kernel,
    /// From this address of 127.0.0.0/8, where the server is on IPv4's loopback too; elsewhere as `Kernel`.
    Loopback(Ipv4Addr),
    /// From this address, though it is not this machine's (`IP_TRANSPARENT`, ip(7)); servers of the other IP version
    /// cannot be reached so.
    Borrowed(IpAddr),
}

/// A PROXY header in front of everything, TLS included, in one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announce {
    /// The binary header, version 2; else the line of version 1.
    pub binary: bool,
    /// Who is spoken for; nobody: the connection is the gateway's own (UNKNOWN, LOCAL).
    pub client: Option<IpAddr>,
}

/// The beginning of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// Where it comes from; on TCP only.
    pub source: Source,
    /// What is said first.
    pub announce: Option<Announce>,
}

impl Way {
    /// Connects to the first address of the host that can be reached, and says who comes. Cancel safe: a dropped
    /// future drops the connection.
    ///
    /// # Errors
    /// Those of name resolution, bind and connect; the last one's where there are several addresses.
    pub(crate) async fn connect_tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut last = None;
        for address in lookup_host((host, port)).await? {
            match self.source.connect(address).await {
                Ok(mut stream) => {
                    stream.set_nodelay(true)?;
                    self.announce_to(&mut stream, Some(address)).await?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
    }

    /// The same for a connection that has another kind of address, or none.
    pub(super) async fn announce_to(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        match self.announce {
            Some(announce) => stream.write_all(&announce.header(to)?).await,
            None => Ok(()),
        }
    }
}

impl Announce {
    /// The header (HAProxy's `proxy-protocol.txt` §2). The client's port and the address it came to are not known here:
    /// 0, and the server's own.
    fn header(self, to: Option<SocketAddr>) -> io::Result<Vec<u8>> {
        let to = to.unwrap_or(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
        let pair = self.client.map(|client| match (client, to.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => (SocketAddr::new(client, 0), to),
            (client, server) => (SocketAddr::new(v6(client).into(), 0), SocketAddr::new(v6(server).into(), to.port())),
        });
        if !self.binary {
            return Ok(pair.map_or(v1::Addresses::Unknown, Into::into).to_string().into_bytes());
        }
        let (command, protocol, addresses) = match pair {
            Some(pair) => (v2::Command::Proxy, v2::Protocol::Stream, pair.into()),
            None => (v2::Command::Local, v2::Protocol::Unspecified, v2::Addresses::Unspecified),
        };
        v2::Builder::with_addresses(v2::Version::Two | command, protocol, addresses).build()
    }
}

/// One header has one family: an IPv4 address beside an IPv6 one is written as RFC 4291 §2.5.5.2 maps it.
const fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

impl Source {
    async fn connect(self, to: SocketAddr) -> io::Result<TcpStream> {
        match (self, to.ip()) {
            (Self::Loopback(from), IpAddr::V4(server)) if server.is_loopback() => connect_from(from.into(), to).await,
            (Self::Kernel | Self::Loopback(_), _) => TcpStream::connect(to).await,
            (Self::Borrowed(from), _) => borrowed(from, to)?.connect(to).await,
        }
    }
}

/// From this address of this machine.
pub(super) async fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

fn borrowed(from: IpAddr, to: SocketAddr) -> io::Result<TcpSocket> {
    if from.is_ipv4() != to.is_ipv4() {
        let why = format!("{from} cannot be the source of a connection to {to}: not the same version of IP");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
    }
    let socket = socket2::Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let allowed = if from.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) };
    allowed.map_err(|error| io::Error::new(error.kind(), format!("IP_TRANSPARENT needs CAP_NET_ADMIN: {error}")))?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    async fn seen(listen: &str, way: Way) -> (IpAddr, Vec<u8>) {
        let listener = TcpListener::bind(listen).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let host = listen.rsplit_once(':').expect("a port").0.trim_matches(['[', ']']).to_owned();
        let connect = async {
            let stream = way.connect_tcp(&host, port).await.expect("connected");
            drop(stream);
        };
        let (accepted, ()) = tokio::join!(listener.accept(), connect);
        let (mut stream, peer) = accepted.expect("accepted");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.expect("ended");
        (peer.ip(), said)
    }

    #[tokio::test]
    async fn a_server_on_loopback_sees_the_address_and_what_is_said_first() {
        let from = Ipv4Addr::new(127, 3, 2, 1);
        let way = Way { source: Source::Loopback(from), announce: Some(Announce { binary: false, client: None }) };
        let (peer, said) = seen("127.0.0.1:0", way).await;
        assert_eq!((peer, &said[..]), (IpAddr::V4(from), &b"PROXY UNKNOWN\r\n"[..]));
        let (peer, said) = seen("127.0.0.1:0", Way::default()).await;
        assert_eq!((peer, said.len()), (IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    }

    #[test]
    fn headers_to_the_letter() {
        let header = |binary, client: Option<&str>, to: Option<&str>| {
            let client = client.map(|text| text.parse().expect("an address"));
            Announce { binary, client }.header(to.map(|text| text.parse().expect("an address"))).expect("a header")
        };
        let text = |client, to| String::from_utf8(header(false, Some(client), to)).expect("text");
        assert_eq!(text("192.0.2.7", Some("127.0.0.1:80")), "PROXY TCP4 192.0.2.7 127.0.0.1 0 80\r\n");
        assert_eq!(text("2001:db8::1", Some("[::1]:80")), "PROXY TCP6 2001:db8::1 ::1 0 80\r\n");
        assert_eq!(text("192.0.2.7", Some("[::1]:80")), "PROXY TCP6 ::ffff:192.0.2.7 ::1 0 80\r\n");
        assert_eq!(text("192.0.2.7", None), "PROXY TCP4 192.0.2.7 0.0.0.0 0 0\r\n");
        let behind = |bytes: &[u8]| [v2::PROTOCOL_PREFIX, bytes].concat();
        assert_eq!(header(true, None, Some("127.0.0.1:80")), behind(&[0x20, 0, 0, 0]));
        let four = header(true, Some("192.0.2.7"), Some("127.0.0.1:258"));
        assert_eq!(four, behind(&[0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1, 0, 0, 1, 2]));
        let six = header(true, Some("2001:db8::1"), Some("127.0.0.1:80"));
        assert_eq!((six.len(), &six[12..16]), (16 + 36, &[0x21, 0x21, 0, 36][..]));
    }

    #[tokio::test]
    async fn an_address_of_the_other_version_is_refused_in_words() {
        let way = Way { source: Source::Borrowed("2001:db8::1".parse().expect("an address")), announce: None };
        let error = way.connect_tcp("127.0.0.1", 9).await.expect_err("refused");
        assert!(error.to_string().contains("not the same version of IP"), "{error}");
    }
}
