//! The PROXY protocol, versions 1 and 2, in front of a connection that a trusted proxy hands on.
//!
//! The sections named here are those of HAProxy's `proxy-protocol.txt`.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// §2.1: the longest text header, its line end included.
pub(crate) const V1_LIMIT: usize = 107;

/// The longest binary header taken here: 16 bytes of head, 216 for the largest family, and 304 for extensions.
pub(crate) const V2_LIMIT: usize = V2_HEAD + 520;

/// §2.2: signature, version and command, family, length.
const V2_HEAD: usize = 16;

/// What stands at the start of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No header, and no more bytes can make it one.
    Absent,
    /// It may become a header: more bytes, please. Never more than [`V2_LIMIT`] in all.
    Partial,
    /// A whole header.
    Header {
        /// Its bytes; what the client sent comes behind them.
        len: usize,
        /// The client, or nothing when the peer itself is to be taken for it (§2.2: LOCAL, UNSPEC; §2.1: UNKNOWN; also
        /// unix sockets and datagrams, which have no address that could be counted).
        source: Option<SocketAddr>,
    },
    /// A header that is wrong, with the reason; the connection is to be ended (§2).
    Invalid(&'static str),
}

/// Looks for a header at the start of `buf`. Only to be asked for peers that are trusted (§2: "the receiver MUST NOT
/// try to guess whether the protocol header is present").
#[must_use]
pub(crate) fn parse(buf: &[u8]) -> Found {
    if starts_alike(buf, v2::PROTOCOL_PREFIX) {
        if buf.len() < V2_HEAD { Found::Partial } else { parse_binary(buf) }
    } else if starts_alike(buf, b"PROXY ") {
        parse_text(buf)
    } else {
        Found::Absent
    }
}

/// Whether the bytes agree as far as both go.
fn starts_alike(buf: &[u8], signature: &[u8]) -> bool {
    buf.iter().zip(signature).all(|(one, other)| one == other)
}

/// §2.1: one line, of at most [`V1_LIMIT`] bytes, ended by CRLF.
fn parse_text(buf: &[u8]) -> Found {
    let window = &buf[..buf.len().min(V1_LIMIT)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        let full = window.len() == V1_LIMIT;
        return if full { Found::Invalid("PROXY line without an end in 107 bytes") } else { Found::Partial };
    };
    let line = &window[..=end];
    // §2.1: with UNKNOWN, anything before the CRLF must be ignored.
    let unknown = [&b"PROXY UNKNOWN "[..], b"PROXY UNKNOWN\r\n"].iter().any(|start| line.starts_with(start));
    if unknown && line.ends_with(b"\r\n") {
        return Found::Header { len: line.len(), source: None };
    }
    let source = match v1::Header::try_from(line) {
        Ok(header) if header.header.len() == line.len() => match header.addresses {
            v1::Addresses::Tcp4(pair) => Some((IpAddr::V4(pair.source_address), pair.source_port)),
            v1::Addresses::Tcp6(pair) => Some((IpAddr::V6(pair.source_address), pair.source_port)),
            v1::Addresses::Unknown => None,
        },
        Ok(_) | Err(_) => return Found::Invalid("PROXY line is malformed"),
    };
    Found::Header { len: line.len(), source: source.map(canonical) }
}

/// §2.2: 16 bytes, the last two of which say how many follow.
fn parse_binary(buf: &[u8]) -> Found {
    let len = V2_HEAD + usize::from(u16::from_be_bytes([buf[14], buf[15]]));
    if len > V2_LIMIT {
        return Found::Invalid("PROXY header is too long");
    }
    // The head alone tells whether it is wrong, and that before the rest has come.
    let local = match buf[12] {
        0x20 => true,
        0x21 => false,
        _ => return Found::Invalid("PROXY header has an unknown version or command"),
    };
    let Some(header) = buf.get(..len) else { return Found::Partial };
    // §2.2: for LOCAL the family is ignored with all that follows, whatever it says.
    if local {
        return Found::Header { len, source: None };
    }
    match v2::Header::try_from(header) {
        Ok(header) => Found::Header { len, source: source_of(&header).map(canonical) },
        Err(_) => Found::Invalid("PROXY header is malformed"),
    }
}

fn source_of(header: &v2::Header<'_>) -> Option<(IpAddr, u16)> {
    match (header.protocol, header.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(pair)) => Some((IpAddr::V4(pair.source_address), pair.source_port)),
        (v2::Protocol::Stream, v2::Addresses::IPv6(pair)) => Some((IpAddr::V6(pair.source_address), pair.source_port)),
        (v2::Protocol::Stream, v2::Addresses::Unix(_) | v2::Addresses::Unspecified)
        | (v2::Protocol::Datagram | v2::Protocol::Unspecified, _) => None,
    }
}

fn canonical((address, port): (IpAddr, u16)) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    fn found(len: usize, source: Option<&str>) -> Found {
        Found::Header { len, source: source.map(|source| source.parse().unwrap()) }
    }

    const V4_PAIR: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 187];

    #[test]
    fn text_headers() {
        for (line, source) in [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 4660 443\r\n", Some("192.0.2.1:4660")),
            ("PROXY TCP6 2001:db8::1 fd00::1 4660 443\r\n", Some("[2001:db8::1]:4660")),
            ("PROXY TCP6 ::ffff:192.0.2.1 fd00::1 1 443\r\n", Some("192.0.2.1:1")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN a b c d e f g h\r\n", None),
        ] {
            let whole = format!("{line}GET / HTTP/1.1\r\n");
            assert_eq!(parse(whole.as_bytes()), found(line.len(), source), "{line}");
            for end in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..end]), Found::Partial, "{:?}", &line[..end]);
            }
        }
    }

    #[test]
    fn bad_text_headers() {
        for line in [
            "PROXY TCP4 192.0.2.1 10.0.0.1 4660 443\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4660\r\n",
            "PROXY TCP4 2001:db8::1 fd00::1 4660 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 99999 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4660 443 x\r\n",
            "PROXY TCP4 192.0.2.1\r10.0.0.1 4660 443\r\n",
            "PROXY TCP4\r\n",
            "PROXY tcp4 192.0.2.1 10.0.0.1 4660 443\r\n",
            "PROXY \r\n",
        ] {
            assert!(matches!(parse(line.as_bytes()), Found::Invalid(_)), "{line:?}: {:?}", parse(line.as_bytes()));
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(V1_LIMIT));
        assert!(matches!(parse(endless.as_bytes()), Found::Invalid(_)));
    }

    #[test]
    fn binary_headers() {
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0x12, 0x34, 1, 187]].concat();
        let with_extension = [V4_PAIR, &[4, 0, 2, 0, 0]].concat();
        for (header, source) in [
            (binary(0x21, 0x11, V4_PAIR), Some("192.0.2.1:4660")),
            (binary(0x21, 0x11, &with_extension), Some("192.0.2.1:4660")),
            (binary(0x21, 0x21, &v6), Some("[2001:db8::1]:4660")),
            (binary(0x21, 0x12, V4_PAIR), None),
            (binary(0x21, 0x31, &[0; 216]), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x20, 0x11, V4_PAIR), None),
            (binary(0x20, 0xff, &[1, 2, 3]), None),
        ] {
            assert_eq!(parse(&[&header[..], b"GET "].concat()), found(header.len(), source), "{header:?}");
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Found::Partial, "{header:?} {end}");
            }
        }
    }

    #[test]
    fn bad_binary_headers() {
        for header in [
            binary(0x11, 0x11, V4_PAIR),
            binary(0x22, 0x11, V4_PAIR),
            binary(0x21, 0x51, V4_PAIR),
            binary(0x21, 0x11, &V4_PAIR[1..]),
            binary(0x21, 0x11, &[0; 521]),
        ] {
            assert!(matches!(parse(&header), Found::Invalid(_)), "{header:?}");
        }
        assert!(matches!(parse(&binary(0x21, 0x11, &[0; 521])[..V2_HEAD]), Found::Invalid(_)));
    }

    #[test]
    fn no_header_is_known_at_once() {
        for start in [&b"G"[..], b"GET / HTTP/1.1", b"PR0", b"PUT ", b"\x16\x03", b"\r\nGET"] {
            assert_eq!(parse(start), Found::Absent, "{start:?}");
        }
        assert_eq!(parse(b""), Found::Partial);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_waiting_ends(front in 0usize..3, tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let front = [&b""[..], b"PROXY ", SIGNATURE][front];
            let buf = [front, &tail].concat();
            match parse(&buf) {
                Found::Partial => prop_assert!(buf.len() < V2_LIMIT),
                Found::Header { len, .. } => prop_assert!(len <= buf.len() && len <= V2_LIMIT),
                Found::Absent | Found::Invalid(_) => {}
            }
        }
    }
}
