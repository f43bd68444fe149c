//! What is asked of a backend on behalf of a client, and what the client is known by.

use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::Pool;
use super::balance::hash;
use crate::config::HashBy;
use crate::wire::head::Head;

/// The client for whom a backend is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// What it is known by, where the balance asks for it.
    pub(super) key: u64,
    /// Its address.
    pub(super) client: IpAddr,
}

/// What is asked of a backend on behalf of a client; it can be asked again.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(super) caller: Caller,
    /// What is asked, but for the key of the WebSocket.
    pub(super) head: Head,
    /// The subprotocols that the client offered, where they are the backend's to choose from.
    pub(super) offered: Option<Vec<String>>,
}

impl Pool {
    /// What this client with these headers wants of a backend.
    #[must_use]
    pub(crate) fn wish(&self, from: (&HeaderMap, IpAddr), head: Head, offered: Option<&[String]>) -> Wish {
        Wish { caller: self.caller(from), head, offered: offered.map(<[String]>::to_vec) }
    }

    /// Who this client with these headers is, to this pool.
    #[must_use]
    pub(crate) fn caller(&self, (headers, client): (&HeaderMap, IpAddr)) -> Caller {
        Caller { key: self.key(headers, client), client }
    }

    /// What a client is known by, where the balance asks for it.
    fn key(&self, headers: &HeaderMap, client: IpAddr) -> u64 {
        let said = match &self.wishes.hash {
            HashBy::Address => None,
            HashBy::Header(name) => headers.get(name.as_str()).map(HeaderValue::as_bytes),
            HashBy::Cookie(name) => cookie(headers, name),
        };
        said.filter(|value| !value.is_empty()).map_or_else(|| of_address(client), hash)
    }
}

/// An IPv6 host has a whole /64 and changes its address within it as it likes.
fn of_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()[..8]),
    }
}

/// The first cookie of this name (RFC 6265 §4.2.1).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}
