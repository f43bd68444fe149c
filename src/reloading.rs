//! The configuration read again: by a running gateway at SIGHUP, and `wsgate reload`, which asks it to through its admin
//! door and tells what comes of it.

use std::time::Duration;

use serde_json::Value;
use wsgate::Handle;

use crate::arguments::Arguments;
use crate::door::{Question, ask};
use crate::output::{FAILED, complain, say};
use crate::serve::{BAD_CONFIG, Source, fail, tell_problems, with_causes};

/// The door takes 10 s at most for each answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer: a line for each of some thousand routes.
const LONGEST: usize = 16 << 20;

/// What `wsgate reload` is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// Only tell what would come of it.
    pub(crate) dry_run: bool,
    /// As the gateway has answered.
    pub(crate) json: bool,
}

/// From now on the gateway knows where its configuration is.
pub(crate) fn provide(handle: &Handle, source: &Source) {
    let source = source.clone();
    handle.read_with(move || source.read());
}

/// Puts what is in the file now into force; whether it did. What came of it is in the log.
pub(crate) async fn reread(handle: &Handle) -> bool {
    match handle.reread().await {
        Ok(_) => true,
        // Problems of the configuration are told where it is read.
        Err(wsgate::ReloadError::Config(_)) => false,
        Err(error) => {
            tracing::error!("not reloaded: {}", with_causes(&error));
            false
        }
    }
}

/// `wsgate reload`: reads the configuration for the door's address and its token, and gives the exit code.
pub(crate) fn reload(arguments: &Arguments, wish: Wish) -> u8 {
    let source = Source::of(arguments);
    let config = match source.read() {
        Ok(config) => config,
        Err(problems) => return tell_problems(&problems),
    };
    let Some(admin) = &config.admin else {
        return fail("the configuration has no [admin] listen that could be asked");
    };
    let token = match wsgate::admin_token(&config) {
        Ok(Some(token)) => token,
        Ok(None) => return fail("the configuration has neither admin.token_file nor admin.token_env: use SIGHUP"),
        Err(problems) => return tell_problems(&problems),
    };
    let query = if wish.dry_run { "?dry-run" } else { "" };
    let request = format!(
        "POST /reload{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    let question = Question { request: request.as_bytes(), patience: PATIENCE, longest: LONGEST };
    match ask(&admin.listen, &question) {
        Ok(answer) => conclude(&answer, &source.name(), wish),
        Err(error) => fail(&format!("the admin door does not answer: {error}")),
    }
}

/// Tells what was answered.
fn conclude(answer: &str, name: &str, wish: Wish) -> u8 {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return fail(&format!("the admin door gives an answer that makes no sense: {status}"));
    };
    let said = if wish.json { say(body) } else { 0 };
    match (status, value["code"].as_str()) {
        (200, _) if wish.json => said,
        (200, _) => {
            let warnings = value["warnings"].as_array().into_iter().flatten();
            warnings.for_each(|warning| complain(&format!("warning: {}\n", text(&warning["text"]))));
            say(told(&value, name))
        }
        (_, Some("bad_config")) => {
            let problems = value["problems"].as_array().into_iter().flatten();
            let lines: String = problems.map(|problem| format!("  {}\n", text(&problem["text"]))).collect();
            complain(&format!("wsgate: the configuration cannot be used, and nothing has changed:\n{lines}"));
            BAD_CONFIG
        }
        (401, _) => fail("the gateway has another token: it was started or reloaded with another configuration"),
        (404, _) => fail("the gateway knows no reload at its admin door: it is older than this program"),
        _ => {
            complain(&format!("wsgate: not reloaded: {}\n", text(&value["text"])));
            FAILED
        }
    }
}

/// A line for each change, and one for all.
fn told(value: &Value, name: &str) -> String {
    let is_dry = value["dry_run"] == true;
    let changes = value["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut told = match (is_dry, changes.len()) {
        (true, 0) => format!("{name}: nothing would change but certificates\n"),
        (false, 0) => format!("{name}: reloaded, nothing has changed but certificates\n"),
        (true, count) => format!("{name}: a reload would bring {}, and nothing has been done:\n", of(count, "change")),
        (false, count) => format!("{name}: reloaded with {}:\n", of(count, "change")),
    };
    told.extend(changes.iter().map(change));
    let number = |key: &str| value[key].as_u64().unwrap_or_default() as usize;
    let (open, closed, missing) = (number("websockets"), number("closed"), number("missing"));
    told += &match (open, closed) {
        (0, _) => "no WebSocket is open\n".to_owned(),
        (open, 0) => format!("{}: none is closed\n", are(open, "open")),
        (open, closed) => {
            let seconds = value["seconds"].as_f64().unwrap_or_default();
            let are_closed = if is_dry { "would be closed" } else { "closed" };
            format!("{}: {closed} {are_closed} with 1012, spread over {seconds:.1} s\n", are(open, "open"))
        }
    };
    if missing > 0 {
        told += &format!("{} not answered in time, and not counted here\n", are(missing, "busy,"));
    }
    told
}

fn change(change: &Value) -> String {
    let keys: Vec<&str> = change["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(" ({})", keys.join(", ")) };
    let number = |key: &str| change[key].as_u64().unwrap_or_default() as usize;
    let concerned = match (number("websockets"), number("closed")) {
        (0, _) => String::new(),
        (open, 0) => format!(" [{}]", of(open, "WebSocket")),
        (open, closed) => format!(" [{closed} of {}]", of(open, "WebSocket")),
    };
    let (key, what, effect) = (text(&change["key"]), text(&change["change"]), text(&change["effect"]));
    format!("  {key}: {what}{keys}; {effect}{concerned}\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `1 change`, `2 changes`.
fn of(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `1 WebSocket is open`, `2 WebSockets are open`.
fn are(count: usize, how: &str) -> String {
    format!("{} {} {how}", of(count, "WebSocket"), if count == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_is_told_line_by_line() {
        let mut value = json!({
            "dry_run": true, "websockets": 12, "closed": 3, "seconds": 0.03, "missing": 0, "changes": [
                { "key": "workers", "change": "altered", "keys": [], "websockets": 0, "closed": 0, "effect": "needs a restart" },
                { "key": "pool.p", "change": "altered", "keys": ["backends", "retries"], "websockets": 7, "closed": 3,
                  "effect": "gone" },
                { "key": "route \"/a\"", "change": "altered", "keys": ["limits"], "websockets": 1, "closed": 0, "effect": "stay" },
            ]
        });
        let expected = "a.toml: a reload would bring 3 changes, and nothing has been done:\n  \
            workers: altered; needs a restart\n  \
            pool.p: altered (backends, retries); gone [3 of 7 WebSockets]\n  \
            route \"/a\": altered (limits); stay [1 WebSocket]\n\
            12 WebSockets are open: 3 would be closed with 1012, spread over 0.0 s\n";
        assert_eq!(told(&value, "a.toml"), expected);
        value["changes"] = json!([]);
        (value["dry_run"], value["websockets"], value["closed"]) = (json!(false), json!(1), json!(0));
        let expected = "a.toml: reloaded, nothing has changed but certificates\n1 WebSocket is open: none is closed\n";
        assert_eq!(told(&value, "a.toml"), expected);
    }
}
