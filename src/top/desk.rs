//! What the admin door tells as JSON: connections and backends, as far as the screen has use for them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;

use super::plain::{Name, Plain};

/// An open WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) route: Plain,
    pub(crate) address: Option<Plain>,
    /// The Host that the client asked for: its own words.
    pub(crate) host: Plain,
    pub(crate) tls: Option<Plain>,
    pub(crate) age_seconds: f64,
    pub(crate) idle_seconds: f64,
    pub(crate) backend: Option<Plain>,
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) queued_bytes: u64,
    pub(crate) ending: bool,
    pub(crate) held: bool,
    /// What a gateway tells that this program does not know by name.
    #[serde(flatten)]
    pub(crate) more: BTreeMap<String, Value>,
    /// Bytes in a second, both ways, since it was last told of.
    #[serde(skip)]
    pub(crate) pace: Option<f64>,
}

impl Connection {
    /// Messages, both ways.
    #[must_use]
    pub(crate) fn messages(&self) -> u64 {
        self.frames_in.saturating_add(self.frames_out)
    }

    /// Payload, both ways.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }

    /// What is unusual about it, in a word.
    #[must_use]
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self { ending: true, .. } => "ending",
            Self { held: true, .. } => "held",
            Self { queued_bytes: 1.., .. } => "queued",
            _ => "",
        }
    }
}

/// One page of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) count: usize,
    pub(crate) more: bool,
    pub(crate) connections: Vec<Connection>,
}

/// All of them, as far as they have been told.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    pub(crate) connections: Vec<Connection>,
    /// How many there are, told or not.
    pub(crate) count: usize,
    /// When it was begun to ask.
    pub(crate) began: Instant,
}

/// `GET /backends`.
#[derive(Debug, Deserialize)]
pub(crate) struct Pools {
    pub(crate) pools: Vec<Pool>,
}

/// Backends that stand for one another.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Pool {
    pub(crate) pool: Name,
    pub(crate) waiting: u64,
    pub(crate) queue: u64,
    pub(crate) backends: Vec<Backend>,
}

/// A server behind the gateway.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Backend {
    pub(crate) backend: Name,
    pub(crate) usable: bool,
    #[serde(default)]
    pub(crate) drained: bool,
    #[serde(default)]
    pub(crate) ejected_seconds: Option<f64>,
    #[serde(default)]
    pub(crate) checks: Option<Checks>,
    #[serde(default)]
    pub(crate) failures: u64,
    #[serde(default)]
    pub(crate) ejections: u64,
    pub(crate) open: u64,
    #[serde(default)]
    pub(crate) max: Option<u64>,
    #[serde(default)]
    pub(crate) handshakes: u64,
    #[serde(default)]
    pub(crate) backup: bool,
}

/// Its health checks.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Checks {
    pub(crate) passing: bool,
    pub(crate) last_seconds_ago: Option<f64>,
}

impl Backend {
    /// How it stands, in a word or two.
    #[must_use]
    pub(crate) fn state(&self) -> String {
        match self {
            Self { drained: true, .. } => "drained".to_owned(),
            Self { ejected_seconds: Some(left), .. } => format!("left alone {left:.0}s"),
            Self { checks: Some(Checks { passing: false, .. }), .. } => "fails checks".to_owned(),
            Self { usable: false, .. } => "not usable".to_owned(),
            Self { backup: true, .. } => "backup".to_owned(),
            _ => "usable".to_owned(),
        }
    }
}

/// Why something was not done, as the door says it.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) text: Plain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_chosen_comes_as_harmless_text() {
        let told = r#"{"id":7,"route":"/ws","address":"192.0.2.7","host":"\u001b[31mevil\u202e","tls":null,"age_seconds":2.5,
            "backend":null,"frames_in":1,"frames_out":2,"bytes_in":3,"bytes_out":4,"queued_bytes":9,"agent":"\u0007x"}"#;
        let one: Connection = serde_json::from_str(told).expect("sound");
        assert_eq!((one.host.as_str(), one.messages(), one.bytes(), one.state()), ("�[31mevil�", 3, 7, "queued"));
        assert_eq!(one.more.get("agent").and_then(Value::as_str), Some("\u{7}x"), "kept until it is shown");
    }

    #[test]
    fn a_backend_has_one_word_for_how_it_stands() {
        let backend = |more: &str| -> String {
            let told = format!(r#"{{"backend":"ws://h","usable":true,"open":1{more}}}"#);
            serde_json::from_str::<Backend>(&told).expect("sound").state()
        };
        assert_eq!(backend(""), "usable");
        assert_eq!(backend(r#","backup":true"#), "backup");
        assert_eq!(backend(r#","checks":{"passing":false,"last_seconds_ago":1}"#), "fails checks");
        assert_eq!(backend(r#","ejected_seconds":4.2"#), "left alone 4s");
        assert_eq!(backend(r#","ejected_seconds":4.2,"drained":true"#), "drained");
    }
}
