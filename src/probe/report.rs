//! What the probe tells in the end, for people and for machines. No I/O.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// What one experiment came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The experiment's name; stable.
    pub name: &'static str,
    /// What was done, for people.
    pub title: &'static str,
    /// What was found, in plain words; absent: it was left out.
    pub verdict: Option<String>,
    /// What it is known to do to some servers.
    pub danger: Option<&'static str>,
    /// What it did to this one.
    pub harm: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// How the probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that was to be tried was tried, and the server lives.
    Complete,
    /// There is no WebSocket server; why.
    NoServer(String),
    /// The server stopped answering, or was started anew, after this experiment.
    Harmed(&'static str),
}

/// Everything that was found, and the configuration that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The URL that was probed.
    pub url: String,
    /// What was tried, in order, and what was left out.
    pub steps: Vec<Step>,
    /// How it ended.
    pub end: End,
    /// The profile that fits, and why; absent where there is no server.
    pub profile: Option<(&'static str, String)>,
    /// The configuration to paste; empty where there is no server.
    pub configuration: String,
}

/// The width of the titles' column.
const COLUMN: usize = 54;

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict.as_deref().unwrap_or("left out");
        write!(f, "{:<COLUMN$} {verdict}", self.title)?;
        match &self.harm {
            Some(harm) => write!(f, "\n{:<COLUMN$} HARM: {harm}", ""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    /// What stands below the steps, which were told as they came.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out: Vec<&str> =
            self.steps.iter().filter(|step| step.verdict.is_none()).map(|step| step.name).collect();
        match &self.end {
            End::Complete if left_out.is_empty() => {}
            End::Complete => writeln!(
                f,
                "Left out, because some servers do not survive it: {}.\nWith --harsh they are tried too: on a copy of the \
                 server, or when nobody uses it.",
                left_out.join(", ")
            )?,
            End::NoServer(why) => return writeln!(f, "There is no WebSocket server at {}: {why}.", self.url),
            End::Harmed(name) => {
                writeln!(
                    f,
                    "The server stopped answering: {name} did it. See whether it runs; nothing more was tried."
                )?;
            }
        }
        if let Some((profile, why)) = &self.profile {
            writeln!(f, "\nProfile: {profile} ({why}).\n\n{}", self.configuration.trim_end())?;
        }
        Ok(())
    }
}

impl Report {
    /// The report as one JSON object, in one line.
    #[must_use]
    pub fn json(&self) -> String {
        let steps: Vec<String> = self.steps.iter().map(step).collect();
        let (end, harmed_by, why) = match &self.end {
            End::Complete => ("complete", None, None),
            End::NoServer(why) => ("no_server", None, Some(why.as_str())),
            End::Harmed(name) => ("harmed", Some(*name), None),
        };
        let profile = self.profile.as_ref();
        format!(
            "{{\"url\":{},\"end\":{},\"harmed_by\":{},\"error\":{},\"profile\":{},\"why\":{},\"configuration\":{},\
             \"steps\":[{}]}}",
            text(&self.url),
            text(end),
            or_null(harmed_by),
            or_null(why),
            or_null(profile.map(|(name, _)| *name)),
            or_null(profile.map(|(_, why)| why.as_str())),
            text(&self.configuration),
            steps.join(",")
        )
    }
}

fn step(step: &Step) -> String {
    format!(
        "{{\"name\":{},\"title\":{},\"verdict\":{},\"danger\":{},\"harm\":{},\"milliseconds\":{}}}",
        text(step.name),
        text(step.title),
        or_null(step.verdict.as_deref()),
        or_null(step.danger),
        or_null(step.harm.as_deref()),
        step.took.as_millis()
    )
}

fn or_null(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}

/// RFC 8259 §7.
fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            control if (control as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report(end: End) -> Report {
        let took = Duration::from_millis(7);
        let tried = Step {
            name: "ping",
            title: "a ping",
            verdict: Some("says \"a\\b\"\n\u{1}ü".to_owned()),
            danger: None,
            harm: Some("gone".to_owned()),
            took,
        };
        let left = Step { name: "plain_get", verdict: None, danger: Some("deadly"), harm: None, ..tried.clone() };
        let profile = Some(("legacy", "written by hand".to_owned()));
        Report { url: "ws://a".to_owned(), steps: vec![tried, left], end, profile, configuration: "a = 1\n".to_owned() }
    }

    #[test]
    fn json_is_json_whatever_a_server_says() {
        let value: Value = serde_json::from_str(&report(End::Harmed("ping")).json()).expect("JSON");
        assert_eq!(value["harmed_by"], "ping");
        assert_eq!(value["steps"][0]["verdict"], "says \"a\\b\"\n\u{1}ü");
        let left = json!({"name": "plain_get", "title": "a ping", "verdict": null, "danger": "deadly", "harm": null, "milliseconds": 7});
        assert_eq!(value["steps"][1], left);
        assert_eq!(value["configuration"], "a = 1\n");
        let none: Value = serde_json::from_str(&report(End::NoServer("gone".to_owned())).json()).expect("JSON");
        assert_eq!((&none["end"], &none["error"]), (&json!("no_server"), &json!("gone")));
    }

    #[test]
    fn the_end_says_what_was_left_out_and_what_did_the_harm() {
        let complete = report(End::Complete).to_string();
        assert!(
            complete.contains("does not survive it: plain_get.") || complete.contains("do not survive it: plain_get.")
        );
        assert!(complete.contains("Profile: legacy (written by hand).\n\na = 1\n"), "{complete}");
        let harmed = report(End::Harmed("ping")).to_string();
        assert!(
            harmed.starts_with("The server stopped answering: ping did it.") && harmed.contains("a = 1"),
            "{harmed}"
        );
        let none = report(End::NoServer("refused".to_owned())).to_string();
        assert_eq!(none, "There is no WebSocket server at ws://a: refused.\n");
        assert!(report(End::Complete).steps[0].to_string().ends_with("HARM: gone"));
    }
}
