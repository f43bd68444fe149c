//! The load harness: its own unit tests, by being compiled here, and the whole of it against a gateway.

#[path = "../../benches/load/main.rs"]
mod harness;

use super::support;

/// A run of the harness against the path of a gateway, as the command line would start it.
fn run(path: &str, options: &[&str]) -> harness::Outcome {
    let gateway = support::gateway(
        "[tls]\nself_signed = [\"localhost\", \"127.0.0.1\"]\n[[route]]\npath = \"/echo\"\necho = {}\n\
         [[route]]\npath = \"/chat\"\nhub = { history = 0 }\n",
    );
    let url = format!("{}{path}", gateway.addresses[0]);
    let outcome = harness::run([&["load", &url, "--insecure", "--threads", "1"], options].concat());
    gateway.stop();
    outcome
}

#[test]
fn echo_measures_round_trips_and_both_clients_agree() {
    let options = ["--for", "300ms", "--connections", "4", "--cross-check", "--fail-if", "min<1us"];
    let (found, code) = run("/echo", &options).expect("a report");
    assert_eq!(code, 0, "{found:?}");
    let trips = &found.latencies["round_trip"];
    assert!(trips.count > 0 && trips.min > 0 && trips.min <= trips.p50 && trips.p50 <= trips.max, "{trips:?}");
    assert_eq!([found.latencies["tls"].count, found.latencies["upgrade"].count], [4, 4]);
    assert_eq!(found.closes, [(1000, 4)].into());
    assert!(found.errors.is_empty() && found.refusals.is_empty(), "{found:?}");
}

#[test]
fn an_open_model_sends_what_its_plan_says() {
    let (found, _) =
        run("/echo", &["--profile", "rate", "--rate", "200", "--for", "500ms", "-c", "5"]).expect("a report");
    assert_eq!([found.totals.sent, found.latencies["round_trip"].count], [100, 100]);
}

#[test]
fn the_hub_delivers_everything_to_everybody() {
    let options = ["--profile", "fanout", "--rate", "20", "--senders", "2", "--for", "500ms", "-c", "6"];
    let (found, _) = run("/chat", &options).expect("a report");
    assert_eq!((found.totals.completeness, found.latencies["delivery"].count), (Some(100.0), 60));
}

#[test]
fn a_threshold_that_is_not_kept_sets_the_exit_code() {
    let (found, code) = run("/echo", &["--for", "100ms", "-c", "1", "--fail-if", "p50>1us"]).expect("a report");
    assert_eq!((code, found.thresholds[0].passed), (3, false));
}

#[test]
fn refusals_are_told_by_status() {
    let why = run("/nowhere", &["--for", "100ms", "-c", "2"]).expect_err("no connection");
    assert_eq!(why, "no connection came about: refused with 404");
}
