//! Where the probed server is, and a new connection to it from a given address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream, UnixStream, lookup_host};

use super::line::Line;
use crate::client::{self, Trust};
use crate::config::{Transport, backend};
use crate::socket::{self, Socket};

/// A server as its owner names it.
pub(super) struct Place {
    /// As it stands in a pool: scheme and authority, or a unix socket's path.
    pub(super) backend: String,
    transport: Transport,
    /// Path and query that are asked for.
    pub(super) target: String,
    /// The Host that is asked for.
    pub(super) host: String,
    trust: Trust,
    /// Where its name led to, in the resolver's order; empty for a unix socket.
    addresses: Vec<SocketAddr>,
    /// What tells this run's spare addresses from another's.
    salt: [u8; 2],
}

/// How a connection is made, and how it will end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Approach {
    /// The local address, when the kernel is not to choose it.
    pub(super) from: Option<IpAddr>,
    /// Whether dropping it resets it, instead of ending it in order.
    pub(super) reset: bool,
}

impl Place {
    /// Reads `ws://host:port/path?query`, `wss://…` or `unix:PATH`; no I/O.
    ///
    /// # Errors
    /// What is wrong with the URL, and what would be right.
    pub(super) fn parse(url: &str, trust: Trust) -> Result<Self, String> {
        let authority = url.find("://").map_or(0, |at| at + 3);
        let end = match url.strip_prefix("unix:") {
            Some(_) => url.len(),
            None => url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at),
        };
        let (name, target) = url.split_at(end);
        let backend = backend(name)?;
        let target = match target.split('#').next().unwrap_or_default() {
            target if target.starts_with('/') => target.to_owned(),
            query => format!("/{query}"),
        };
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{target:?} is no path; allowed: visible ASCII"));
        }
        let host = if end > authority && authority > 0 { &name[authority..] } else { "localhost" };
        let (backend, host, transport) = (backend.url, host.to_owned(), backend.transport);
        Ok(Self { backend, transport, target, host, trust, addresses: Vec::new(), salt: client::random() })
    }

    /// Looks its name up, once for all connections.
    ///
    /// # Errors
    /// The resolver's.
    pub(super) async fn resolve(&mut self) -> io::Result<()> {
        if let Transport::Ws(host, port) | Transport::Wss(host, port) = &self.transport {
            self.addresses = lookup_host((host.as_str(), *port)).await?.collect();
        }
        Ok(())
    }

    /// Whether it is on this machine's IPv4 loopback, where every 127.x.y.z may be a source.
    pub(super) fn is_loopback(&self) -> bool {
        self.addresses.first().is_some_and(|address| address.is_ipv4() && address.ip().is_loopback())
    }

    /// A loopback address that nobody else connects from, the same for the same number: a server may remember it.
    pub(super) fn spare_address(&self, number: u8) -> Option<IpAddr> {
        let [high, low] = self.salt;
        self.is_loopback().then(|| Ipv4Addr::new(127, high | 0x80, low, number.max(1)).into())
    }

    /// A new connection, TLS included. Cancel safe: a dropped future drops the connection.
    ///
    /// # Errors
    /// Those of connect and TLS; of several addresses, the last one's.
    pub(super) async fn connect(&self, approach: Approach) -> io::Result<Line> {
        let host = match &self.transport {
            Transport::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                return Ok(Line::socket(Socket::plain(socket::Transport::Unix(stream))));
            }
            Transport::Ws(..) => None,
            Transport::Wss(host, _) => Some(host),
        };
        let stream = self.connect_tcp(approach.from).await?;
        if approach.reset {
            stream.set_zero_linger()?;
        }
        match host {
            None => Ok(Line::tcp(stream)),
            Some(host) => Ok(Line::socket(client::secure(stream, host, &self.trust).await?)),
        }
    }

    async fn connect_tcp(&self, from: Option<IpAddr>) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for to in &self.addresses {
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            match socket.connect(*to).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_what_the_pool_and_the_request_need() {
        for (url, backend, target, host) in [
            ("ws://127.0.0.1:8000", "ws://127.0.0.1:8000", "/", "127.0.0.1:8000"),
            ("ws://[::1]:80/chat?a=b", "ws://[::1]:80", "/chat?a=b", "[::1]:80"),
            ("wss://example.com?a#b", "wss://example.com", "/?a", "example.com"),
            ("unix:/run/a?b", "unix:/run/a?b", "/", "localhost"),
        ] {
            let place = Place::parse(url, Trust::public()).expect("a place");
            assert_eq!((&*place.backend, &*place.target, &*place.host), (backend, target, host));
        }
        for url in ["http://a", "127.0.0.1", "ws://a b/", "ws://a/ü", "ws:///x"] {
            assert!(Place::parse(url, Trust::public()).is_err(), "{url}");
        }
    }
}
