//! The names a certificate can be made for: DNS names, wildcards and IP addresses, and why others are not.

use std::net::IpAddr;

use url::Host;

/// A name that a certificate can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Lower case, international names in their `xn--` form; may begin with `*.`.
    Dns(String),
    Address(IpAddr),
}

impl Name {
    /// Reads a name as people write it; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        if text.contains("://") || text.contains('/') {
            return Err("only the host of a URL, without scheme, port and path");
        }
        if text.contains(':') {
            return Err("only the host, without a port");
        }
        let (wildcard, domain) = text.strip_prefix("*.").map_or((false, text), |domain| (true, domain));
        if domain.contains('*') {
            return Err("a wildcard is `*.` before a whole domain, once");
        }
        let domain = ascii(domain.strip_suffix('.').unwrap_or(domain))?;
        if wildcard && !domain.contains('.') {
            return Err("browsers refuse a wildcard for everything below one label");
        }
        Ok(Self::Dns(if wildcard { format!("*.{domain}") } else { domain }))
    }

    /// What files about it are called: `*` and `:` are awkward in file names.
    pub(super) fn stem(&self) -> String {
        match self {
            Self::Dns(name) => name.replace('*', "_wildcard"),
            Self::Address(address) => address.to_string().replace(':', "_"),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Lower case and `xn--`, with the law of host names (RFC 1123 §2.1) kept.
fn ascii(domain: &str) -> Result<String, &'static str> {
    if domain.is_empty() {
        return Err("an empty name");
    }
    let Ok(Host::Domain(ascii)) = Host::parse(domain) else {
        return Err("neither a host name nor an IP address");
    };
    let is_label = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if ascii.len() > 253 || !ascii.split('.').all(is_label) {
        return Err("a host name has labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all");
    }
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        Name::parse(text).map_or_else(|wrong| format!("! {wrong}"), |name| name.to_string())
    }

    #[test]
    fn what_people_write_is_understood() {
        for (text, expected) in [
            ("localhost", "localhost"),
            ("Chat.Example.COM", "chat.example.com"),
            ("example.com.", "example.com"),
            ("*.example.com", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn what_no_certificate_can_carry_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "*",
            "*.com",
            "*.localhost",
            "a.*.example.com",
            "*.*.example.com",
            "https://example.com",
            "example.com/chat",
            "example.com:8443",
            "me@example.com",
            "under_score.example",
            "-a.example",
            "a..b",
            "two words",
            "1.2.3",
            "999.1.1.1",
            "0x7f.1",
            "../../etc/passwd",
            "a\0b",
            &long,
        ] {
            assert!(Name::parse(text).is_err(), "{text:?} became {}", name(text));
        }
    }

    #[test]
    fn a_name_becomes_a_file_name() {
        let stem = |text| Name::parse(text).expect("name").stem();
        assert_eq!(stem("*.example.com"), "_wildcard.example.com");
        assert_eq!(stem("::1"), "__1");
        assert_eq!(stem("localhost"), "localhost");
    }
}
