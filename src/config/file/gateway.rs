//! Reads what concerns the gateway as a whole: the top level, `[tls]`, `[admin]` and `[log]`.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use ipnet::IpNet;

use super::document::{Placed, Table, Value};
use super::limits::SHORT;
use super::pool::read_file_path;
use crate::config::address::{is_certificate_name, read_listen, read_proxies};
use crate::config::error::Wrong;
use crate::config::{
    Admin, AdminToken, CertificateFiles, ClientCertificates, Listen, Log, LogFormat, Rate, Tls, TlsVersion, ToHttps,
};

pub(super) const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const LISTEN: &str = r#"a list such as ["0.0.0.0:8443"] or ["unix:/run/wsgate.sock"]"#;
const LOG_LEVEL: &str = r#"off, error, warn, info, debug, trace, or a list such as "info,wsgate=debug""#;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const CERTIFICATES: &str = r#"a list such as [{ chain = "server.pem", key = "server.key" }]"#;
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Off,
    Optional,
    Required,
}

const CLIENTS: [(&str, Wanted); 3] =
    [("off", Wanted::Off), ("optional", Wanted::Optional), ("required", Wanted::Required)];
const LISTEN_PLAIN: &str = r#"a list such as ["0.0.0.0:80"]"#;
/// Browsers forget what is longer, or do not believe it.
const HSTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 24 * 3600);
const NAMES: &str = r#"a list such as ["localhost", "127.0.0.1"]"#;
const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

/// `[tls]` as read.
pub(super) struct TlsDraft {
    pub(super) tls: Tls,
    /// Whether a certificate is named at all, be it one that was refused.
    pub(super) named: bool,
}

/// Where to listen; loopback only when the file does not say.
pub(super) fn read_listeners(table: &Table<'_>, base: &Path) -> Option<Vec<Placed<Listen>>> {
    let value = table.get("listen")?;
    let items = value.items(LISTEN)?;
    if items.is_empty() {
        value.refuse("empty", LISTEN);
    }
    Some(items.iter().filter_map(|item| read_placed_listen(item, base)).collect())
}

/// `0`, one thread a core, is resolved here: nobody else needs to know it.
pub(super) fn read_workers(table: &Table<'_>) -> usize {
    match table.count("workers", 0..=1024) {
        Some(workers) if workers > 0 => workers,
        _ => available_parallelism().map_or(1, usize::from),
    }
}

pub(super) fn read_trusted(table: &Table<'_>) -> Vec<IpNet> {
    let allowed = r#"a list such as ["10.0.0.0/8", "loopback"]"#;
    let items = table.items("trusted_proxies", allowed).unwrap_or_default();
    items.iter().filter_map(|item| item.text(read_proxies)).flatten().collect()
}

pub(super) fn read_handshake_timeout(table: &Table<'_>) -> Duration {
    table.duration("handshake_timeout", SHORT).unwrap_or(Duration::from_secs(10))
}

/// "0s" cuts at once; a day is for those who may not cut anybody.
pub(super) fn read_drain_timeout(table: &Table<'_>) -> Duration {
    table.duration("drain_timeout", Duration::ZERO..=Duration::from_secs(24 * 3600)).unwrap_or(Duration::from_secs(30))
}

/// Long enough for a history that has to be read, short enough for whoever waits at the terminal.
pub(super) fn read_upgrade_timeout(table: &Table<'_>) -> Duration {
    let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
    table.duration("upgrade_timeout", allowed).unwrap_or(Duration::from_secs(30))
}

/// "0/s" sends all home at once.
pub(super) fn read_drain_pace(table: &Table<'_>) -> Option<Rate> {
    let default = NonZeroU32::new(100).map(|count| Rate { count, per: Duration::from_secs(1) });
    table.rate("drain_pace").unwrap_or(default)
}

pub(super) fn read_tls(table: &Table<'_>, base: &Path) -> Option<Placed<TlsDraft>> {
    let value = table.get("tls")?;
    let table = value.table()?;
    let certificates = table.items("certificates", CERTIFICATES).unwrap_or_default();
    let names = table.items("self_signed", NAMES).unwrap_or_default();
    let named = !certificates.is_empty() || !names.is_empty();
    let tls = Tls {
        certificates: certificates.iter().filter_map(|item| read_certificate(item, base)).collect(),
        self_signed: names.iter().filter_map(|item| item.text(read_name)).collect(),
        min_version: table.choice("min_version", &VERSIONS, &[]).unwrap_or(TlsVersion::Tls12),
        hsts: table.optional_duration("hsts", HSTS).flatten(),
        clients: read_clients(&table, base),
    };
    table.finish();
    Some(Placed::new(TlsDraft { tls, named }, value.place()))
}

/// Whoever names a CA and nothing else wants that clients have certificates.
fn read_clients(table: &Table<'_>, base: &Path) -> Option<ClientCertificates> {
    let ca = table.text("client_ca", |text| read_file_path(text, base));
    let crl = table.text("client_crl", |text| read_file_path(text, base));
    let wish = table.choice("client_certificate", &CLIENTS, &[]);
    if table.get("client_ca").is_none() {
        let wishes = table.get("client_certificate").filter(|_| !matches!(wish, Some(Wanted::Off) | None));
        for value in wishes.into_iter().chain(table.get("client_crl")) {
            value.refuse("nobody's certificates are good", "client_ca = \"FILE\" beside it");
        }
    }
    let required = match wish.unwrap_or(Wanted::Required) {
        Wanted::Off => return None,
        Wanted::Optional => false,
        Wanted::Required => true,
    };
    Some(ClientCertificates { ca: ca?, crl, required })
}

/// `[to_https]`, and where its listeners stand.
pub(super) struct ToHttpsDraft {
    pub(super) listen: Vec<Placed<Listen>>,
    port: u16,
    acme_webroot: Option<PathBuf>,
}

impl ToHttpsDraft {
    pub(super) fn finished(self) -> ToHttps {
        let Self { listen, port, acme_webroot } = self;
        ToHttps { listen: listen.into_iter().map(|listen| listen.value).collect(), port, acme_webroot }
    }
}

pub(super) fn read_to_https(table: &Table<'_>, base: &Path) -> Option<Placed<ToHttpsDraft>> {
    let value = table.get("to_https")?;
    let table = value.table()?;
    let listen = table.require("listen", LISTEN_PLAIN).and_then(|value| {
        let items = value.items(LISTEN_PLAIN)?;
        if items.is_empty() {
            value.refuse("empty", LISTEN_PLAIN);
        }
        Some(items.iter().filter_map(|item| read_placed_listen(item, base)).collect())
    });
    let port = table.count("port", 1..=usize::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    let acme_webroot = table.text("acme_webroot", |text| match text {
        "" => Err(Wrong::new("no path", "the path of a folder")),
        _ => Ok(base.join(text)),
    });
    table.finish();
    let draft = ToHttpsDraft { listen: listen.unwrap_or_default(), port: port.unwrap_or(443), acme_webroot };
    Some(Placed::new(draft, value.place()))
}

pub(super) fn read_admin(table: &Table<'_>, base: &Path) -> Option<Placed<Admin>> {
    let table = table.table("admin")?;
    let listen = table.require("listen", r#"an address such as "127.0.0.1:9443""#);
    let file = table.text("token_file", |text| read_file_path(text, base)).map(AdminToken::File);
    let variable = table.text("token_env", read_variable).map(AdminToken::Variable);
    if table.get("token_file").is_some() && table.get("token_env").is_some() {
        table.problem("has both token_file and token_env", "one of them");
    }
    let body = table.size("body", 1 << 10..=16 << 20).unwrap_or(64 << 10);
    table.finish();
    let Placed { value: listen, place } = read_placed_listen(&listen?, base)?;
    Some(Placed::new(Admin { listen, token: file.or(variable), body }, place))
}

/// POSIX 8.1: what a shell can set.
fn read_variable(text: &str) -> Result<String, Wrong> {
    let sound = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match sound && text.bytes().next().is_some_and(|first| !first.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a variable's name", "a name such as \"WSGATE_TOKEN\"")),
    }
}

pub(super) fn read_log(table: &Table<'_>) -> Log {
    let default = Log { format: LogFormat::Text, level: "info".to_owned(), buffer: 10_000 };
    let Some(table) = table.table("log") else {
        return default;
    };
    let log = Log {
        format: table.choice("format", &LOG_FORMATS, &[]).unwrap_or(default.format),
        level: table.text("level", read_level).unwrap_or(default.level),
        buffer: table.count("buffer", 1..=1_000_000).unwrap_or(default.buffer),
    };
    table.finish();
    log
}

/// The part of the filter's grammar that an owner needs: levels, and levels of targets.
pub(super) fn read_level(text: &str) -> Result<String, Wrong> {
    let level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let target = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-'))
    };
    let known = text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((name, named)) => target(name) && level(named),
        None => level(part),
    });
    if known { Ok(text.to_owned()) } else { Err(Wrong::new("not a log level", LOG_LEVEL)) }
}

fn read_placed_listen(value: &Value<'_>, base: &Path) -> Option<Placed<Listen>> {
    let listen = value.text(|text| read_listen(text, base))?;
    Some(Placed::new(listen, value.place()))
}

fn read_certificate(value: &Value<'_>, base: &Path) -> Option<CertificateFiles> {
    let table = value.table()?;
    let path = |name| table.require(name, "the path of a PEM file")?.text(|text| read_file_path(text, base));
    let (chain, key) = (path("chain"), path("key"));
    table.finish();
    Some(CertificateFiles { chain: chain?, key: key? })
}

fn read_name(text: &str) -> Result<String, Wrong> {
    match is_certificate_name(text) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Wrong::new("not a name for a certificate", "a host name or an IP address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_levels() {
        for text in ["info", "WARN", "wsgate=debug", "info,wsgate::relay=trace, hyper=off"] {
            assert!(read_level(text).is_ok(), "{text}");
        }
        for text in ["", "loud", "wsgate", "wsgate=", "=info", "info,", "[span]=info", "a b=info"] {
            assert!(read_level(text).is_err(), "{text}");
        }
    }
}
