//! The listeners of a configuration: bound here, or taken over from whoever has bound them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use socket2::{SockRef, Type};

use super::StartError;
use super::bound::{Bound, Role, is_of, name_of};
use crate::config::{Config, Listen};

/// A listening socket that somebody else has bound.
#[derive(Debug)]
pub struct Inherited {
    /// The socket; it listens already.
    pub socket: OwnedFd,
    /// What the gateway that hands it over says of it: as [`crate::Handle::listeners`] gave it. `None` for one that a
    /// supervisor has bound, such as systemd: it is known by its address alone, and its file is not ours to remove.
    pub mark: Option<String>,
}

/// All listeners of a configuration, bound or taken over; nobody is accepted yet.
#[derive(Debug)]
pub struct Listeners {
    pub(super) gateway: Vec<Arc<Bound>>,
    /// Where everybody is sent to https.
    pub(super) plain: Vec<Arc<Bound>>,
    pub(super) admin: Option<Arc<Bound>>,
    taken: Vec<usize>,
    unwanted: Vec<String>,
}

impl Listeners {
    /// Takes over what was inherited, where the configuration names its address, and binds the rest.
    ///
    /// # Errors
    /// An address that cannot be bound; a socket from a supervisor that no listener of the configuration wants: whoever
    /// connected to it would wait for ever.
    pub fn bind(config: &Config, inherited: Vec<Inherited>) -> Result<Self, StartError> {
        let mut heap = Heap::new(inherited)?;
        let gateway = config.listen.iter().map(|listen| (Role::Gateway, listen));
        let plain = config.to_https.iter().flat_map(|plain| &plain.listen).map(|listen| (Role::ToHttps, listen));
        let admin = config.admin.iter().map(|admin| (Role::Admin, &admin.listen));
        // Before anything is bound: an address that is in use is then not told in the place of one that was mistaken.
        let wanted: Vec<_> =
            gateway.chain(plain).chain(admin).map(|(role, listen)| (heap.take(role, listen), role, listen)).collect();
        let unwanted = heap.unwanted()?;
        let taken = wanted.iter().filter_map(|(found, ..)| found.as_ref().map(|(at, _)| *at)).collect();
        // Where all addresses of IPv4 have a listener of their own, `[::]` cannot have them too.
        let v4_ports: Vec<u16> = wanted.iter().filter_map(|(_, _, listen)| v4_port(listen)).collect();
        let mut all = Self { gateway: Vec::new(), plain: Vec::new(), admin: None, taken, unwanted };
        for (found, role, listen) in wanted {
            let only_v6 = v4_ports.iter().any(|port| is_on(listen, *port));
            let bound = match found {
                Some((_, one)) => as_wide(&one, listen, only_v6).and_then(|()| Bound::adopt(one, role, listen)),
                None => Bound::bind(role, listen, only_v6),
            };
            let bound = Arc::new(bound.map_err(|error| StartError::Listen(name_of(listen), error))?);
            match role {
                Role::Gateway => all.gateway.push(bound),
                Role::ToHttps => all.plain.push(bound),
                Role::Admin => all.admin = Some(bound),
            }
        }
        Ok(all)
    }

    /// Which of those that were inherited are in use, by their places.
    #[must_use]
    pub fn taken(&self) -> &[usize] {
        &self.taken
    }

    /// Those that were handed over by a gateway and that no listener wants; they are closed here.
    #[must_use]
    pub fn unwanted(&self) -> &[String] {
        &self.unwanted
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Bound>> {
        self.gateway.iter().chain(&self.plain).chain(&self.admin)
    }
}

/// The port of a listener on all IPv4 addresses. Two that may take any port do not meet.
fn v4_port(listen: &Listen) -> Option<u16> {
    match listen {
        Listen::Tcp(SocketAddr::V4(address)) if address.ip().is_unspecified() && address.port() != 0 => {
            Some(address.port())
        }
        _ => None,
    }
}

/// Whether `[::]` was bound for the families that it is to have: that cannot be changed once it listens. What a supervisor
/// has bound is as the supervisor wants it.
fn as_wide(inherited: &Inherited, listen: &Listen, only_v6: bool) -> io::Result<()> {
    let is_all_v6 = matches!(listen, Listen::Tcp(SocketAddr::V6(address)) if address.ip().is_unspecified());
    if !is_all_v6 || is_lent(inherited) || SockRef::from(&inherited.socket).only_v6()? == only_v6 {
        return Ok(());
    }
    let bound = if only_v6 { "IPv4 too" } else { "IPv6 alone" };
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("it is bound for {bound}, which only a restart can change")))
}

/// Whether a supervisor has bound it, and goes on holding it.
fn is_lent(inherited: &Inherited) -> bool {
    inherited.mark.as_deref().is_none_or(|mark| mark.starts_with("lent "))
}

fn is_on(listen: &Listen, port: u16) -> bool {
    matches!(listen, Listen::Tcp(address) if address.port() == port)
}

/// What was inherited and is not taken yet.
struct Heap(Vec<Option<Found>>);

struct Found {
    inherited: Inherited,
    at: Option<Listen>,
}

impl Heap {
    fn new(inherited: Vec<Inherited>) -> Result<Self, StartError> {
        let found = |(place, inherited): (usize, Inherited)| {
            let at = address(&inherited.socket).map_err(|error| {
                StartError::Inherited(vec![format!("number {} of the sockets that were passed: {error}", place + 1)])
            })?;
            Ok(Some(Found { inherited, at }))
        };
        inherited.into_iter().enumerate().map(found).collect::<Result<_, _>>().map(Self)
    }

    /// One that was the same listener before, else one of the same address; and its place.
    fn take(&mut self, role: Role, listen: &Listen) -> Option<(usize, Inherited)> {
        let same = |found: &Found| found.inherited.mark.as_deref().is_some_and(|mark| is_of(mark, role, listen));
        let there = |found: &Found| found.at.as_ref().is_some_and(|at| is_same(at, listen));
        let place = self.position(same).or_else(|| self.position(there))?;
        Some((place, self.0[place].take()?.inherited))
    }

    fn position(&self, wanted: impl Fn(&Found) -> bool) -> Option<usize> {
        self.0.iter().position(|found| found.as_ref().is_some_and(&wanted))
    }

    /// What is left: a supervisor goes on holding it, a gateway that is about to end does not.
    fn unwanted(self) -> Result<Vec<String>, StartError> {
        let name = |found: &Found| found.at.as_ref().map_or_else(|| "a socket without a name".to_owned(), name_of);
        let (lent, handed): (Vec<Found>, Vec<Found>) =
            self.0.into_iter().flatten().partition(|found| is_lent(&found.inherited));
        if lent.is_empty() {
            return Ok(handed.iter().map(name).collect());
        }
        let told = |found| {
            format!("{} was passed by the supervisor, and no listener of the configuration names it", name(found))
        };
        Err(StartError::Inherited(lent.iter().map(told).collect()))
    }
}

/// Where a socket listens; `None` where that has no name.
fn address(socket: &OwnedFd) -> io::Result<Option<Listen>> {
    let socket = SockRef::from(socket);
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket that listens"));
    }
    let address = socket.local_addr()?;
    let tcp = address.as_socket().map(Listen::Tcp);
    Ok(tcp.or_else(|| Some(Listen::Unix(address.as_pathname()?.to_owned()))))
}

fn is_same(at: &Listen, wanted: &Listen) -> bool {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    match (at, wanted) {
        (Listen::Tcp(at), Listen::Tcp(wanted)) => at == wanted,
        (Listen::Unix(at), Listen::Unix(wanted)) => absolute(at) == absolute(wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
    use std::path::Path;

    use super::*;

    fn config(listen: &str) -> Config {
        let text = format!("listen = [{listen}]\nplaintext = true\n[[route]]\npath = \"/\"\necho = {{}}\n");
        Config::parse(&text, "t", Path::new("")).expect("a valid configuration")
    }

    #[test]
    fn what_a_supervisor_has_lent_to_the_one_before_has_to_be_wanted_too() {
        let lent = || {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
            let address = socket.local_addr().expect("an address");
            (Inherited { socket: socket.into(), mark: Some(format!("lent to_https {address}")) }, address)
        };
        let refused = Listeners::bind(&config("\"127.0.0.1:0\""), vec![lent().0]);
        assert!(matches!(refused, Err(StartError::Inherited(_))), "{refused:?}");
        let (one, address) = lent();
        let wanted = Listeners::bind(&config(&format!("\"{address}\"")), vec![one]).expect("taken over");
        assert_eq!(wanted.taken(), [0]);
    }

    #[test]
    fn one_that_has_other_families_than_it_should_is_not_taken_over() {
        for only_v6 in [false, true] {
            // One whose port is free for IPv4 as well.
            let sockets = (0..20).map(|_| {
                let socket = Bound::bind(Role::Gateway, &Listen::Tcp((Ipv6Addr::UNSPECIFIED, 0).into()), only_v6);
                let socket = socket.expect("bound");
                let port: u16 = socket.url("ws").rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
                (socket, port)
            });
            let is_free = |port| std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
            let (socket, port) = sockets.into_iter().find(|(_, port)| !only_v6 || is_free(*port)).expect("one is free");
            let passed = || vec![socket.pass_on().expect("a second descriptor")];
            let (alone, both) = (format!("\"[::]:{port}\""), format!("\"0.0.0.0:{port}\", \"[::]:{port}\""));
            let (right, wrong) = if only_v6 { (both, alone) } else { (alone, both) };
            let refused = Listeners::bind(&config(&wrong), passed());
            assert!(matches!(refused, Err(StartError::Listen(..))), "{wrong}: {refused:?}");
            assert_eq!(Listeners::bind(&config(&right), passed()).expect("taken over").taken(), [0]);
        }
    }

    #[test]
    fn all_addresses_of_both_families_can_be_named() {
        // A port that is free for both, as far as that can be known; another process may be faster, so more than one try.
        let tries = (0..20).filter_map(|_| {
            let free = std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
            let port = free.local_addr().ok()?.port();
            drop(free);
            let listeners =
                Listeners::bind(&config(&format!("\"[::]:{port}\", \"0.0.0.0:{port}\"")), Vec::new()).ok()?;
            Some((port, listeners))
        });
        let (port, listeners) = tries.into_iter().next().expect("both are bound");
        assert_eq!(listeners.gateway.len(), 2);
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("IPv4");
        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("IPv6");
    }
}
