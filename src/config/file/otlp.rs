//! Reads `[otlp]`.

use std::path::Path;
use std::time::Duration;

use super::document::Table;
use super::limits::SHORT;
use super::pool::read_file_path;
use crate::config::address::read_auth_url;
use crate::config::auth::AuthRequest;
use crate::config::error::Wrong;
use crate::config::otlp::Otlp;

const ENDPOINT: &str = r#"a URL such as "http://127.0.0.1:4318""#;
/// Where collectors take spans (OTLP 1.0, "OTLP/HTTP Request").
const TRACES: &str = "/v1/traces";

pub(super) fn read_otlp(table: Option<Table<'_>>, base: &Path) -> Option<Otlp> {
    let table = table?;
    let url = table.require("endpoint", ENDPOINT).and_then(|value| value.text(|text| read_auth_url(text, base)));
    let ca = table.text("ca", |text| read_file_path(text, base));
    let timeout = table.duration("timeout", SHORT).unwrap_or(Duration::from_secs(10));
    let queue = table.count("queue", 1..=1_000_000).unwrap_or(2048);
    let service_name = table.text("service_name", read_name).unwrap_or_else(|| "wsgate".to_owned());
    table.finish();
    let AuthRequest { url: endpoint, transport, host, target, .. } = url?;
    let target = if target == "/" { TRACES.to_owned() } else { target };
    Some(Otlp { endpoint, transport, host, target, ca, timeout, queue, service_name })
}

fn read_name(text: &str) -> Result<String, Wrong> {
    match (1..=256).contains(&text.len()) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(Wrong::new("not a name", "a name such as \"wsgate\"")),
    }
}
