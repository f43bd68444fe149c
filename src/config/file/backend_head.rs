//! Reads what a backend gets to see of a request: `strip_prefix` and `pass_headers` of a proxy, and the keys of its
//! `legacy` table that are about the head.

use super::document::{Table, Value};
use crate::config::error::Wrong;
use crate::config::{BackendHead, Profile, Subprotocol, TraceParent};
use crate::route::is_at_or_below;
use crate::wire::head::{NotPassed, check_passed};
use crate::wire::offer::is_token;

const HEADERS: &str = r#"a list of header names such as ["X-Requested-With"]"#;
const COOKIES: &str = r#"a list of cookie names such as ["PHPSESSID"]"#;
const PROTOCOLS: &str = r#"a list of subprotocols such as ["chat"]"#;
const PREFIX: &str = "true, false, or the route's path or one above it, such as \"/ws\"";

/// Reads what `proxy` and its `legacy` table say; the rest is the profile's. `path` is the route's, empty when it was
/// refused.
pub(super) fn read(proxy: &Table<'_>, legacy: Option<&Table<'_>>, profile: Profile, path: &str) -> BackendHead {
    let mut head = BackendHead::of(profile);
    head.strip_prefix = proxy.get("strip_prefix").and_then(|value| read_prefix(&value, path));
    if let Some(value) = proxy.get("pass_headers") {
        head.pass_headers = read_names(&value, HEADERS, read_header);
    }
    read_trace(proxy, &mut head);
    let Some(legacy) = legacy else { return head };
    // The least that a request needs is about 300 bytes, with a short path and host.
    head.budget = legacy.size("head_budget", 512..=256 << 10).or(head.budget);
    head.subprotocol = legacy.choice("subprotocol", &Subprotocol::ALL, &[]).unwrap_or(head.subprotocol);
    if let Some(value) = legacy.get("cookies") {
        head.cookies = read_names(&value, COOKIES, |text| read_token(text, "not a cookie's name", COOKIES));
    }
    if let Some(value) = legacy.get("subprotocols") {
        head.subprotocols = read_names(&value, PROTOCOLS, |text| read_token(text, "not a subprotocol", PROTOCOLS));
        if head.subprotocol != Subprotocol::Answer && !head.subprotocols.is_empty() {
            value.refuse("has no meaning where the gateway does not answer", "subprotocol = \"answer\" beside it");
        }
    }
    head
}

/// Whoever lets the headers pass as they stand wants them so.
fn read_trace(proxy: &Table<'_>, head: &mut BackendHead) {
    let said = proxy.choice("traceparent", &TraceParent::ALL, &[]);
    let as_they_stand = head.pass_headers.iter().any(|name| ["traceparent", "tracestate"].contains(&name.as_str()));
    let otherwise = if as_they_stand { TraceParent::Off } else { head.traceparent };
    head.traceparent = said.unwrap_or(otherwise);
    if as_they_stand
        && head.traceparent != TraceParent::Off
        && let Some(value) = proxy.get("pass_headers")
    {
        value.refuse("has traceparent or tracestate, which the gateway writes", "traceparent = \"off\" beside it");
    }
}

/// `true` is the route's whole path.
pub(super) fn read_prefix(value: &Value<'_>, path: &str) -> Option<String> {
    match value.raw.as_bool() {
        Some(false) => return None,
        Some(true) if path == "/" => {
            value.refuse("the route's path has nothing to take off", "false on the route \"/\"");
            return None;
        }
        Some(true) => return Some(path.to_owned()),
        None if value.as_text().is_none() => {
            value.refuse("neither a switch nor a path", PREFIX);
            return None;
        }
        None => {}
    }
    value.text(|text| match text.len() > 1 && text.starts_with('/') && is_at_or_below(text, path) {
        true => Ok(text.to_owned()),
        // Nothing is known of a path that was refused itself.
        false if path.is_empty() => Ok(String::new()),
        false => Err(Wrong::new("neither the route's path nor above it", PREFIX)),
    })
}

fn read_names(value: &Value<'_>, allowed: &str, read: impl Fn(&str) -> Result<String, Wrong>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in value.items(allowed).unwrap_or_default() {
        match item.text(&read) {
            Some(name) if names.contains(&name) => item.refuse("named twice", "each name once"),
            Some(name) => names.push(name),
            None => {}
        }
    }
    names
}

fn read_header(text: &str) -> Result<String, Wrong> {
    match check_passed(text) {
        Ok(()) => Ok(text.to_ascii_lowercase()),
        Err(why @ NotPassed::NoName) => Err(Wrong::new(why.to_string(), HEADERS)),
        Err(why) => Err(Wrong::new(why.to_string(), "headers that are the client's own")),
    }
}

fn read_token(text: &str, wrong: &'static str, allowed: &'static str) -> Result<String, Wrong> {
    if is_token(text.as_bytes()) { Ok(text.to_owned()) } else { Err(Wrong::new(wrong, allowed)) }
}
