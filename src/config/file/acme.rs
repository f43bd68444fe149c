//! Reads `[tls.acme]`.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::document::{Place, Placed, Table, Value};
use super::pool::read_file_path;
use crate::config::address::{is_certificate_name, read_auth_url};
use crate::config::error::Wrong;
use crate::config::{Acme, AcmeChallenge, ExternalAccount, Transport};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

const NAMES: &str = r#"a list such as ["chat.example.com"], 1 to 100 names"#;
const NAME: &str = "a host name such as \"chat.example.com\", without a wildcard";
const CONTACT: &str = r#"a list of at most 10 such as ["mailto:me@example.com"]"#;
const DIRECTORY: &str = r#""letsencrypt", "letsencrypt-staging" or a URL such as "https://ca.example/acme/directory""#;
const STORAGE: &str = "the path of a folder";
const CHALLENGES: [(&str, AcmeChallenge); 2] =
    [("tls-alpn-01", AcmeChallenge::TlsAlpn01), ("http-01", AcmeChallenge::Http01)];
/// What CAs take in one certificate.
const NAMES_MAX: usize = 100;
const CONTACT_MAX: usize = 10;
/// A part of a file's name is made of it.
const URL_MAX: usize = 200;
/// Shorter is for tests; who waits for longer has no certificate meanwhile.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// `[tls.acme]` as read.
pub(super) struct AcmeDraft {
    /// Absent: something in it was refused.
    pub(super) acme: Option<Acme>,
    /// Where `http-01` stands, if it is wished.
    pub(super) over_http: Option<Place>,
}

pub(super) fn read_acme(table: &Table<'_>, base: &Path) -> Option<AcmeDraft> {
    let table = table.table("acme")?;
    let names = table.require("names", NAMES).and_then(|value| read_names(&value));
    let contact = table.get("contact").map_or_else(|| Some(Vec::new()), |value| read_contact(&value));
    let storage = table.require("storage", STORAGE).and_then(|value| value.text(|text| read_folder(text, base)));
    let directory = match table.get("directory") {
        Some(value) => value.text(read_directory),
        None => Some(LETS_ENCRYPT.to_owned()),
    };
    let challenge = table.choice("challenge", &CHALLENGES, &[]).unwrap_or(AcmeChallenge::TlsAlpn01);
    // RFC 8555 §7.3.3: nobody but the owner can agree.
    match table.require("terms_agreed", "true, once you have read the terms of the CA") {
        Some(value) if value.flag() == Some(false) => value.refuse("without it no CA makes a certificate", "true"),
        _ => {}
    }
    let (ca, external) = (table.text("ca", |text| read_file_path(text, base)), read_external(&table, base));
    let retry = table.duration("retry", RETRY).unwrap_or(Duration::from_secs(60));
    let over_http = table.get("challenge").filter(|_| challenge == AcmeChallenge::Http01);
    let over_http = over_http.map(|value| value.place());
    table.finish();
    let acme = || {
        let (directory, names, contact, storage) = (directory?, names?, contact?, storage?);
        Some(Acme { directory, names, contact, storage, challenge, ca, external, retry })
    };
    Some(AcmeDraft { acme: acme(), over_http })
}

fn read_names(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.items(NAMES)?;
    if items.is_empty() || items.len() > NAMES_MAX {
        value.refuse(if items.is_empty() { "empty" } else { "too many names for one certificate" }, NAMES);
        return None;
    }
    let mut names: Vec<Placed<String>> = Vec::new();
    for item in &items {
        let name = item.text(read_name)?;
        if names.iter().any(|known| known.value == name) {
            item.refuse("stands twice", "each name once");
            return None;
        }
        names.push(Placed::new(name, item.place()));
    }
    Some(names.into_iter().map(|name| name.value).collect())
}

fn read_name(text: &str) -> Result<String, Wrong> {
    if text.starts_with("*.") {
        return Err(Wrong::new("a wildcard, which CAs certify over DNS alone (dns-01)", NAME));
    }
    // RFC 1123 §2.1: CAs do not take the underscore that others do; an address is no DNS name.
    let is_dns = is_certificate_name(text) && text.parse::<std::net::IpAddr>().is_err() && !text.contains('_');
    if is_dns { Ok(text.to_ascii_lowercase()) } else { Err(Wrong::new("not a DNS name", NAME)) }
}

fn read_contact(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.items(CONTACT)?;
    if items.len() > CONTACT_MAX {
        value.refuse("too many", CONTACT);
        return None;
    }
    items.iter().map(|item| item.text(read_address)).collect()
}

/// RFC 8555 §7.1.2: a URL; mail is the one that every CA takes.
fn read_address(text: &str) -> Result<String, Wrong> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b",?\"<>".contains(&byte);
    match address.split_once('@') {
        Some((who, host))
            if !who.is_empty() && !host.is_empty() && address.len() <= 254 && address.bytes().all(is_plain) =>
        {
            Ok(format!("mailto:{address}"))
        }
        _ => Err(Wrong::new("not an address for mail", "an address such as \"mailto:me@example.com\"")),
    }
}

fn read_directory(text: &str) -> Result<String, Wrong> {
    match text {
        "letsencrypt" => Ok(LETS_ENCRYPT.to_owned()),
        "letsencrypt-staging" => Ok(STAGING.to_owned()),
        // RFC 8555 §6.1: nothing but https.
        _ if text.len() <= URL_MAX && is_https(text) => Ok(text.to_owned()),
        _ => Err(Wrong::new("not a directory's URL", DIRECTORY)),
    }
}

/// `https://host:port/path`, or as much of it as there need be.
fn is_https(text: &str) -> bool {
    read_auth_url(text, Path::new("")).is_ok_and(|url| matches!(url.transport, Transport::Wss(..)))
}

fn read_folder(text: &str, base: &Path) -> Result<PathBuf, Wrong> {
    if text.is_empty() { Err(Wrong::new("no path", STORAGE)) } else { Ok(base.join(text)) }
}

fn read_external(table: &Table<'_>, base: &Path) -> Option<ExternalAccount> {
    let id = table.text("eab_id", |text| {
        match (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(text.to_owned()),
            false => Err(Wrong::new("not an account's id", "what the CA calls it")),
        }
    });
    let key_file = table.text("eab_key_file", |text| read_file_path(text, base));
    for (name, other) in [("eab_id", "eab_key_file"), ("eab_key_file", "eab_id")] {
        if let Some(value) = table.get(name).filter(|_| table.get(other).is_none()) {
            value.refuse(&format!("without {other}"), "both or neither");
        }
    }
    Some(ExternalAccount { id: id?, key_file: key_file? })
}
