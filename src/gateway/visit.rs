//! What is said of a visitor to those behind: to whoever is asked about it, and to the backend.

use http::header::{self, HeaderMap, HeaderValue};

use super::answer::Asker;
use crate::admission::Admission;
use crate::pool::Wish;
use crate::wire::head::Forwarded;

/// What a backend gets to see of a client's request.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) target: &'a str,
    pub(super) vouched: &'a [(String, HeaderValue)],
}

impl<'a> Shown<'a> {
    /// What is asked of a backend.
    pub(super) fn wish(self, forwarded: Forwarded<'a>, offered: &'a [String], cap: usize) -> Wish<'a> {
        let Shown { headers, target, vouched } = self;
        Wish { target, headers, vouched, forwarded, offered, cap }
    }
}

/// X-Forwarded-For as it came. Proxies may add a line of their own. A chain that did not lead to the client (see
/// `client_address`) is no chain.
pub(super) fn hops(asker: &Asker, admission: &Admission, headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let chain = lines.collect::<Vec<_>>().join(", ");
    let leads = asker.snapshot.gate.trusts(asker.peer) && !chain.is_empty() && admission.client != asker.peer;
    leads.then_some(chain)
}

/// What is said of the client, to backends and to whoever is asked about it.
pub(super) fn forwarded<'a>(
    asker: &Asker,
    admission: &Admission,
    headers: &'a HeaderMap,
    chain: Option<&'a str>,
) -> Forwarded<'a> {
    // A PROXY header tells who the client is, and nothing of what the client's own headers are worth.
    let trusted = asker.snapshot.gate.trusts(asker.peer);
    let scheme = trusted.then(|| headers.get("x-forwarded-proto")?.to_str().ok()).flatten();
    Forwarded {
        client: admission.client,
        chain,
        peer: asker.peer,
        secure: scheme.map_or(asker.secure, |scheme| scheme.eq_ignore_ascii_case("https")),
        host: headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or(""),
    }
}
