//! The configuration in force at the desk, as its file would write it, without what is secret.
//!
//! Each type is taken apart without `..`, so that a new key does not compile until somebody has said how it is shown. What
//! may have a secret in it, a URL or a path that is asked for, goes through [`url`]; a secret has a type that cannot be
//! shown at all, and stands here as [`HIDDEN`].

mod hub;
mod pool;
mod route;

use std::path::Path;
use std::time::Duration;

use http::{Method, request};
use serde_json::{Value, json};

use super::query;
use super::rest_of;
use super::wrong::{Wrong, shown};
use crate::admin::Reply;
use crate::config::cluster::{Cluster, Password, Redis, RedisKind};
use crate::config::otlp::Otlp;
use crate::config::{
    self, Acme, AcmeChallenge, AddressLimits, Admin, AdminToken, CertificateFiles, ClientCertificates, Config,
    ExternalAccount, GatewayLimits, Listen, Log, LogFormat, Rate, Tls, TlsVersion, ToHttps,
};

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// Answers.
pub(super) fn serve(config: &Config, head: &request::Parts) -> Result<Reply, Wrong> {
    if !rest_of(head).is_empty() {
        return Err(Wrong::Path);
    }
    if head.method != Method::GET {
        return Err(Wrong::Method(&[Method::GET]));
    }
    query::none(head.uri.query())?;
    Ok(shown(&whole(config)))
}

fn whole(config: &Config) -> Value {
    let Config {
        listen,
        workers,
        trusted_proxies,
        handshake_timeout,
        drain_timeout,
        drain_pace,
        upgrade_timeout,
        tls,
        to_https,
        admin,
        limits,
        routes,
        pools,
        cluster,
        log,
        otlp,
    } = config;
    json!({
        "listen": listen.iter().map(address).collect::<Vec<_>>(),
        "workers": workers,
        "trusted_proxies": trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "handshake_timeout": time(*handshake_timeout),
        "drain_timeout": time(*drain_timeout),
        "drain_pace": rate(*drain_pace),
        "upgrade_timeout": time(*upgrade_timeout),
        "tls": tls.as_ref().map(of_tls),
        "to_https": to_https.as_ref().map(of_to_https),
        "admin": admin.as_ref().map(of_admin),
        "limits": of_limits(limits),
        "route": routes.iter().map(route::told).collect::<Vec<_>>(),
        "pool": pools.iter().map(|(name, pool)| (name.clone(), pool::told(pool))).collect::<serde_json::Map<_, _>>(),
        "cluster": cluster.as_ref().map(of_cluster),
        "log": of_log(log),
        "otlp": otlp.as_ref().map(of_otlp)
    })
}

fn of_tls(tls: &Tls) -> Value {
    let Tls { certificates, self_signed, acme, min_version, hsts, clients, watch } = tls;
    let certificate = |files: &CertificateFiles| {
        let CertificateFiles { chain, key } = files;
        json!({ "chain": path(chain), "key": path(key) })
    };
    let mut told = json!({
        "certificates": certificates.iter().map(certificate).collect::<Vec<_>>(),
        "self_signed": self_signed,
        "acme": acme.as_ref().map(of_acme),
        "min_version": match min_version {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        },
        "hsts": or_none(*hsts),
        "watch": or_none(*watch),
        "client_certificate": "off"
    });
    if let Some(ClientCertificates { ca, crl, required }) = clients {
        told["client_certificate"] = if *required { "required" } else { "optional" }.into();
        told["client_ca"] = path(ca);
        told["client_crl"] = crl.as_deref().map_or(Value::Null, path);
    }
    told
}

fn of_acme(acme: &Acme) -> Value {
    let Acme { directory, names, contact, storage, challenge, ca, external, retry } = acme;
    let (id, key) = external.as_ref().map(|ExternalAccount { id, key_file }| (id, path(key_file))).unzip();
    json!({
        "directory": url(directory),
        "names": names,
        "contact": contact,
        "storage": path(storage),
        "challenge": match challenge {
            AcmeChallenge::TlsAlpn01 => "tls-alpn-01",
            AcmeChallenge::Http01 => "http-01",
        },
        "ca": ca.as_deref().map(path),
        "eab_id": id,
        "eab_key_file": key,
        "retry": time(*retry)
    })
}

fn of_to_https(to_https: &ToHttps) -> Value {
    let ToHttps { listen, port, acme_webroot } = to_https;
    json!({
        "listen": listen.iter().map(address).collect::<Vec<_>>(),
        "port": port,
        "acme_webroot": acme_webroot.as_deref().map(path)
    })
}

fn of_admin(admin: &Admin) -> Value {
    let Admin { listen, token, body } = admin;
    let (file, variable) = match token {
        None => (None, None),
        // Where it is, and not what it is.
        Some(AdminToken::File(file)) => (Some(path(file)), None),
        Some(AdminToken::Variable(name)) => (None, Some(name)),
    };
    json!({ "listen": address(listen), "token_file": file, "token_env": variable, "body": body })
}

fn of_limits(limits: &GatewayLimits) -> Value {
    let GatewayLimits { connections, pending, pending_per_address, request_head, address } = limits;
    let mut told = of_address(address);
    told["connections"] = (*connections).into();
    told["pending"] = (*pending).into();
    told["pending_per_address"] = (*pending_per_address).into();
    told["request_head"] = (*request_head).into();
    told
}

/// A table with these keys alone.
fn of_address(limits: &AddressLimits) -> Value {
    let AddressLimits { connections, handshakes } = limits;
    json!({ "connections_per_address": connections, "handshakes_per_address": rate(*handshakes) })
}

fn of_cluster(cluster: &Cluster) -> Value {
    let Cluster {
        redis,
        username,
        password,
        sentinel_username,
        sentinel_password,
        ca,
        prefix,
        node,
        timeout,
        reconnect,
        presence_expiry,
        queue,
    } = cluster;
    json!({
        "redis": of_redis(redis),
        "username": username,
        "password": password.as_ref().map(of_password),
        "sentinel_username": sentinel_username,
        "sentinel_password": sentinel_password.as_ref().map(of_password),
        "ca": ca.as_deref().map(path),
        "prefix": prefix,
        "node": node,
        "timeout": time(*timeout),
        "reconnect": time(*reconnect),
        "presence_expiry": time(*presence_expiry),
        "queue": queue
    })
}

/// Its parts: the text that it was read from is not kept.
fn of_redis(redis: &Redis) -> Value {
    let Redis { hosts, socket, tls, kind, database } = redis;
    let (kind, master) = match kind {
        RedisKind::Single => ("single", None),
        RedisKind::Sentinel(master) => ("sentinel", Some(master)),
        RedisKind::Cluster => ("cluster", None),
    };
    json!({
        "hosts": hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>(),
        "socket": socket.as_deref().map(path),
        "tls": tls,
        "kind": kind,
        "master": master,
        "database": database
    })
}

/// Where it is, and not what it is.
fn of_password(password: &Password) -> Value {
    match password {
        Password::File(file) => json!({ "file": path(file) }),
        Password::Environment(name) => json!({ "env": name }),
    }
}

fn of_log(log: &Log) -> Value {
    let Log { format, level, buffer, file, sample, sample_every } = log;
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    json!({
        "format": format,
        "level": level,
        "buffer": buffer,
        "file": file.as_deref().map(path),
        "sample": rate(*sample),
        "sample_every": sample_every
    })
}

fn of_otlp(otlp: &Otlp) -> Value {
    // Transport, host and target are what the endpoint says.
    let Otlp { endpoint, transport: _, host: _, target: _, ca, timeout, queue, service_name } = otlp;
    json!({
        "endpoint": url(endpoint),
        "ca": ca.as_deref().map(path),
        "timeout": time(*timeout),
        "queue": queue,
        "service_name": service_name
    })
}

// ---- Values ------------------------------------------------------------------------------------

/// The text of a URL, or of path and query: without user, password and query, for any of them may be a secret.
fn url(text: &str) -> Value {
    Value::from(config::masked(text))
}

fn path(path: &Path) -> Value {
    path.display().to_string().into()
}

fn address(listen: &Listen) -> Value {
    match listen {
        Listen::Tcp(address) => address.to_string().into(),
        Listen::Unix(path) => format!("unix:{}", path.display()).into(),
    }
}

fn time(time: Duration) -> Value {
    config::duration_text(time).into()
}

/// Where none is written as no time.
fn or_none(limit: Option<Duration>) -> Value {
    time(limit.unwrap_or_default())
}

fn rate(rate: Option<Rate>) -> Value {
    config::rate_text(rate).into()
}

/// How the file writes one of some words.
fn word<T: PartialEq>(words: &[(&'static str, T)], one: &T) -> Option<&'static str> {
    words.iter().find(|(_, other)| other == one).map(|(word, _)| *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key that may hold a secret, or something that is asked for with one, has this in it.
    const SECRET: &str = "s3cret";

    const EVERY: &str = r#"
        listen = ["127.0.0.1:0"]
        admin = { listen = "127.0.0.1:1", token_file = "admin.token" }
        [tls]
        self_signed = ["localhost"]
        client_ca = "ca.pem"
        [cluster]
        redis = "redis://127.0.0.1:6379/1"
        username = "gateway"
        password_file = "redis.password"
        [[route]]
        path = "/"
        redirect = "/chat?key=s3cret"
        [[route]]
        path = "/chat"
        hub = { fixed = [{ name = "a", secret = "s3cret" }, { name = "b", secret_file = "room.secret" }], filter = { url = "http://127.0.0.1:9/ask?key=s3cret" } }
        [[route]]
        path = "/jwt"
        auth = { kind = "jwt", algorithms = ["HS256"], secret_file = "jwt.secret" }
        proxy = { pool = "p" }
        [[route]]
        path = "/asked"
        auth = { kind = "request", url = "https://auth.test/check?key=s3cret" }
        proxy = { pool = "p" }
        [pool.p]
        backends = ["ws://127.0.0.1:8000"]
        health = "handshake"
        health_path = "/check?key=s3cret"
    "#;

    #[test]
    fn nothing_that_is_secret_is_shown() {
        let config = Config::parse(EVERY, "t", Path::new("")).unwrap_or_else(|problems| panic!("{problems}"));
        let told = whole(&config);
        let text = told.to_string();
        assert!(EVERY.matches(SECRET).count() == 5 && !text.contains(SECRET), "{text}");
        assert_eq!(told["route"][1]["hub"]["fixed"][0]["secret"], HIDDEN);
        // Where each is, is no secret.
        for place in ["admin.token", "redis.password", "room.secret", "jwt.secret"] {
            assert!(text.contains(place), "{place}: {text}");
        }
        for (at, shown) in [
            (&told["route"][0]["redirect"], "/chat?…"),
            (&told["route"][1]["hub"]["filter"]["url"], "http://127.0.0.1:9/ask?…"),
            (&told["route"][3]["auth"]["url"], "https://auth.test/check?…"),
            (&told["pool"]["p"]["health_path"], "/check?…"),
        ] {
            assert_eq!(at, shown);
        }
        assert_eq!(url("ws://user:s3cret@h/s3cret@h?s3cret"), "ws://…@h?…");
    }

    #[test]
    fn values_are_written_as_the_file_writes_them() {
        let text = "listen = [\"127.0.0.1:0\", \"unix:/s\"]\ntrusted_proxies = [\"10.0.0.0/8\"]\ndrain_pace = \"7/m\"\n\
            limits = { idle_timeout = \"90s\" }\n[[route]]\npath = \"/a\"\nhost = \"h.test\"\n\
            origins = [\"https://*.example.com\"]\nlimits = { connections_per_address = 3 }\necho = {}\n";
        let told = whole(&Config::parse(text, "t", Path::new("")).unwrap_or_else(|problems| panic!("{problems}")));
        assert_eq!(told["listen"], json!(["127.0.0.1:0", "unix:/s"]));
        assert_eq!((&told["drain_pace"], &told["trusted_proxies"]), (&json!("7/m"), &json!(["10.0.0.0/8"])));
        let route = &told["route"][0];
        assert_eq!((&route["path"], &route["host"], &route["echo"]), (&json!("/a"), &json!("h.test"), &json!({})));
        assert_eq!(route["origins"], json!(["https://*.example.com"]));
        assert_eq!(
            (&route["limits"]["idle_timeout"], &route["limits"]["max_lifetime"]),
            (&json!("1m30s"), &json!("0s"))
        );
        assert_eq!(route["limits"]["address"]["connections_per_address"], 3);
        assert_eq!(told["tls"], Value::Null);
    }
}
