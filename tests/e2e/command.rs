//! The command line: what each command and option does, what stands on standard output, and the exit codes.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;

use crate::support::backend::Backend;
use crate::support::frames::{self, CLOSE, TEXT};
use crate::support::peer::Peer;
use crate::support::process::{Ended, Program, command, configure, run};
use crate::support::{trust, within};

const OPTIONS: [&str; 9] =
    ["--config", "--to", "--profile", "--origin", "--listen", "--cert", "--key", "--log", "--log-format"];
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];
const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&LISTEN, more].concat()
}

/// A certificate for localhost and 127.0.0.1 in the folder, made by the program; its CA is in `wsgate-ca.pem`.
async fn certificate(folder: &Path) -> Ended {
    let made = run(folder, &["cert", "--out", ".", "localhost", "127.0.0.1"]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    made
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

async fn get(mut peer: Peer, path: &str) -> crate::support::Answer {
    peer.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
    peer.answer().await
}

#[tokio::test]
async fn help_documents_every_option_and_every_exit_code() {
    let help = run(folder().path(), &["--help"]).await;
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for option in OPTIONS.into_iter().chain([
        "--help",
        "--version",
        "WSGATE_LOG",
        "serve",
        "check",
        "cert",
        "probe",
        "health",
        "man",
        "completions",
    ]) {
        let line = help.out.lines().position(|line| line.trim_start().trim_start_matches("-h, ").starts_with(option));
        let is_explained = line.is_some() || help.out.contains(&format!("-V, {option}")) || option == "WSGATE_LOG";
        assert!(is_explained && help.out.contains(option), "{option}\n{}", help.out);
    }
    let words = help.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, exit) = words.split_once("Exit: ").expect("exit codes");
    for code in ["0 after a clean drain", "1 could not start", "2 drain cut", "64 wrong usage", "78 bad configuration"]
    {
        assert!(exit.contains(code), "{code}: {exit}");
    }
    for signal in ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2"] {
        assert!(help.out.contains(signal), "{signal}");
    }
    // No option is there that this test does not know.
    for line in help.out.lines().filter(|line| line.trim_start().starts_with("--")) {
        assert!(OPTIONS.iter().any(|option| line.trim_start().starts_with(option)), "{line}");
    }
}

#[tokio::test]
async fn version_is_the_packages() {
    let version = run(folder().path(), &["--version"]).await;
    let expected = concat!("wsgate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.out.as_str(), version.err.as_str()), (Some(0), expected, ""));
}

#[tokio::test]
async fn a_command_line_that_makes_no_sense_is_64_and_no_other_code() {
    for arguments in [&["--nonsense"][..], &["nonsense"], &["cert"], &["--listen"]] {
        let ended = run(folder().path(), arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(ended.err.contains("error:"), "{arguments:?}: {}", ended.err);
    }
}

#[tokio::test]
async fn without_a_file_it_serves_the_chat_and_an_echo_over_tls() {
    let mut program = Program::start(folder().path(), &LISTEN).await;
    assert!(program.url.starts_with("wss://127.0.0.1:") && !program.url.ends_with(":0"), "{}", program.url);
    let client = trust::anybody(trust::ANY, |_| ());
    let redirect = get(program.connect_tls(client.clone()).await, "/").await;
    assert_eq!((redirect.status, redirect.header("location")), (302, Some("/chat")));
    let page = get(program.connect_tls(client.clone()).await, "/chat").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>wsgate chat</title>"), "{}", page.body);
    let mut echo = program.open_tls("/echo", client.clone()).await;
    echoes(&mut echo, "round trip").await;
    let mut chat = program.open_tls("/chat", client).await;
    chat.say("hello").await;
    assert_eq!(chat.message().await.text(), "User #1: hello");
    let port = program.address().to_owned();
    program.said(&[&format!("https://{port}/chat")]).await;
    program.said(&[&format!("wss://{port}/echo")]).await;
    for mut peer in [echo, chat] {
        peer.send(&frames::client(CLOSE, &frames::close(1000, ""))).await;
        assert_eq!(peer.message().await.code(), 1000);
    }
    let ended = program.stop().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
}

#[tokio::test]
async fn to_relays_what_has_no_route_of_its_own() {
    let backend = Backend::bind().await;
    let url = backend.url();
    let program = Program::start(folder().path(), &with(&["--to", &url])).await;
    let client = trust::anybody(trust::ANY, |_| ());
    let (mut peer, backend_peer) = tokio::join!(program.open_tls("/", client.clone()), backend.upgrade(&[]));
    let (mut backend_peer, head) = backend_peer;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    // Transparent: a frame passes as it is, also an unfinished one.
    peer.send(&frames::masked(TEXT, b"half")).await;
    let frame = backend_peer.frame().await;
    assert_eq!((frame.fin, frame.text()), (false, "half"));
    let (_below, (_, head)) = tokio::join!(program.open_tls("/a/b?c=d", client.clone()), backend.upgrade(&[]));
    assert!(head.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{head}");
    let page = get(program.connect_tls(client).await, "/chat").await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn origin_lets_pages_in_to_what_to_names_and_nowhere_else() {
    let to = Backend::bind().await.echo();
    let program = Program::start(folder().path(), &with(&["--to", &to, "--origin", "https://example.com"])).await;
    let client = trust::anybody(trust::ANY, |_| ());
    for (path, origin, status) in [
        ("/", "https://example.com", 101),
        ("/", "https://test.example", 403),
        ("/echo", "https://test.example", 101),
        ("/echo", "https://example.com", 403),
    ] {
        let mut peer = program.connect_tls(client.clone()).await;
        assert_eq!(peer.upgrade(path, &[&format!("Origin: {origin}")]).await.status, status, "{path} {origin}");
    }
    let alone = run(folder().path(), &["--origin", "*"]).await;
    assert_eq!((alone.code, alone.err.contains("without --to")), (Some(78), true), "{}", alone.err);
}

#[tokio::test]
async fn profile_legacy_gives_the_backend_whole_messages() {
    let backend = Backend::bind().await;
    let url = backend.url();
    let program = Program::start(folder().path(), &with(&["--to", &url, "--profile", "legacy"])).await;
    let client = trust::anybody(trust::ANY, |_| ());
    let (mut peer, (mut backend_peer, _)) = tokio::join!(program.open_tls("/", client), backend.upgrade(&[]));
    peer.send(&[frames::masked(TEXT, b"two "), frames::masked(0x80, b"halves")].concat()).await;
    let frame = backend_peer.frame().await;
    assert_eq!((frame.fin, frame.text()), (true, "two halves"));
}

#[tokio::test]
async fn cert_makes_what_cert_and_key_serve_and_the_ca_is_trusted() {
    let folder = folder();
    let made = certificate(folder.path()).await;
    for name in ["wsgate-ca.pem", "localhost.pem", "localhost.key"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
    assert!(made.out.contains("wsgate-ca.pem") && made.err.is_empty(), "{made:?}");
    let files = with(&["--cert", "localhost.pem", "--key", "localhost.key"]);
    let program = Program::start(folder.path(), &files).await;
    let client = trust::only(&folder.path().join("wsgate-ca.pem"));
    let mut peer = program.open_tls("/echo", client.clone()).await;
    echoes(&mut peer, "trusted").await;
    let by_address = Peer::connect_tls(program.address(), "127.0.0.1", client.clone()).await;
    assert!(by_address.is_ok());
    assert!(Peer::connect_tls(program.address(), "example.org", client).await.is_err());
}

#[tokio::test]
async fn cert_again_keeps_the_ca_and_a_name_that_is_none_is_1() {
    let folder = folder();
    certificate(folder.path()).await;
    let authority = std::fs::read(folder.path().join("wsgate-ca.pem")).expect("CA");
    certificate(folder.path()).await;
    assert_eq!(std::fs::read(folder.path().join("wsgate-ca.pem")).expect("CA"), authority);
    let refused = run(folder.path(), &["cert", "no name"]).await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    assert!(refused.err.contains("\"no name\""), "{}", refused.err);
}

#[tokio::test]
async fn the_file_of_the_working_directory_is_found() {
    let folder = folder();
    let mut program = Program::configured(folder.path(), ECHO).await;
    assert!(program.url.starts_with("ws://127.0.0.1:"), "{}", program.url);
    program.said(&["ready", "wsgate.toml"]).await;
    echoes(&mut program.open("/echo").await, "found").await;
}

#[tokio::test]
async fn config_names_the_file_and_listen_stands_in_for_its_own() {
    let folder = folder();
    // What is found in the working directory is not looked at.
    std::fs::write(folder.path().join("wsgate.toml"), "nonsense").expect("write");
    std::fs::write(folder.path().join("other.toml"), format!("listen = [\"127.0.0.1:1\"]\n{ECHO}")).expect("write");
    let program = Program::start(folder.path(), &with(&["--config", "other.toml"])).await;
    echoes(&mut program.open("/echo").await, "named").await;
    let absent = run(folder.path(), &["--config", "absent.toml"]).await;
    assert_eq!(absent.code, Some(78), "{absent:?}");
    assert!(absent.err.contains("absent.toml: cannot be read"), "{}", absent.err);
}

#[tokio::test]
async fn several_listeners_are_several_lines() {
    let folder = folder();
    let mut program = Program::start(folder.path(), &with(&["--listen", "127.0.0.1:0", "--listen", "unix:s"])).await;
    let second = program.listening().await;
    assert!(second.starts_with("wss://127.0.0.1:") && second != program.url, "{second}");
    assert_eq!(program.listening().await, "wss+unix:s");
    let ended = program.stop().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    assert!(!folder.path().join("s").exists(), "the socket's file is removed");
}

#[tokio::test]
async fn check_says_that_all_is_well() {
    let folder = folder();
    certificate(folder.path()).await;
    let tls = "[tls]\ncertificates = [{ chain = \"localhost.pem\", key = \"localhost.key\" }]\n";
    configure(folder.path(), &format!("{tls}{ECHO}"));
    let ended = run(folder.path(), &["check"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "wsgate.toml: all is well\n"), "{}", ended.err);
    let built_in = run(self::folder().path(), &["check"]).await;
    assert_eq!((built_in.code, built_in.out.as_str()), (Some(0), "the built-in default: all is well\n"));
}

#[tokio::test]
async fn check_tells_every_problem_with_its_line_key_and_value() {
    let folder = folder();
    let config = "listen = [\"here\"]\nworkers = -1\n[limits]\nmessage_size = \"lots\"\nping_intervall = \"1s\"\n\
        [[route]]\npath = \"/\"\nproxy = { pool = \"nobody\" }\n";
    std::fs::write(folder.path().join("bad.toml"), config).expect("write");
    for arguments in [&["check", "--config", "bad.toml"][..], &["--config", "bad.toml"]] {
        let ended = run(folder.path(), arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""), "{arguments:?}: {}", ended.err);
        for pieces in [
            ["bad.toml:1:", "listen[0]", "\"here\""],
            ["bad.toml:2:", "workers", "-1"],
            ["bad.toml:4:", "limits.message_size", "\"lots\""],
            ["bad.toml:5:", "limits.ping_intervall", "ping_interval"],
            ["bad.toml:8:", "proxy.pool", "\"nobody\""],
        ] {
            let found = ended.err.lines().any(|line| pieces.iter().all(|piece| line.contains(piece)));
            assert!(found, "{pieces:?}\n{}", ended.err);
        }
        assert_eq!(ended.err.lines().count(), 6, "{}", ended.err);
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_78_at_check_and_at_start() {
    let folder = folder();
    std::fs::write(folder.path().join("x.pem"), "no certificate").expect("write");
    std::fs::write(folder.path().join("x.key"), "no key").expect("write");
    let files = with(&["--cert", "x.pem", "--key", "x.key"]);
    for arguments in [files.clone(), [&["check"], &files[..]].concat(), with(&["--cert", "x.pem"])] {
        let ended = run(folder.path(), &arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""), "{arguments:?}: {}", ended.err);
    }
    let ended = run(folder.path(), &files).await;
    assert!(ended.err.contains("x.pem") && ended.err.contains("x.key"), "both are told: {}", ended.err);
}

#[tokio::test]
async fn an_address_in_use_is_1_and_named() {
    let held = Backend::bind().await;
    let address = held.address.to_string();
    let ended = run(folder().path(), &["--listen", &address]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains(&address) && ended.err.contains("in use"), "{}", ended.err);
}

#[tokio::test]
async fn log_levels_come_from_the_option_before_the_environment_before_the_file() {
    let folder = folder();
    configure(folder.path(), &format!("{ECHO}[log]\nlevel = \"off\"\n"));
    let lines = async |arguments: &[&str], environment: Option<&str>| {
        let mut command = command(folder.path(), arguments);
        environment.map(|level| command.env("WSGATE_LOG", level));
        let program = Program::spawn(command).await;
        drop(program.open("/echo").await);
        program.stop().await.err
    };
    assert_eq!(lines(&[], None).await, "");
    assert!(lines(&[], Some("info")).await.contains("drained"));
    assert_eq!(lines(&["--log", "error"], Some("info")).await, "");
    let only = lines(&["--log", "off,wsgate::connection=info"], None).await;
    assert!(only.contains("websocket ended") && only.lines().count() == 1, "{only}");
    let bad = run(folder.path(), &["--log", "loud"]).await;
    assert_eq!(bad.code, Some(78), "{bad:?}");
    assert!(bad.err.contains("--log = \"loud\""), "{}", bad.err);
}

#[tokio::test]
async fn log_format_json_is_one_object_a_line() {
    let folder = folder();
    configure(folder.path(), ECHO);
    let mut program = Program::start(folder.path(), &["--log-format", "json", "--log", "trace"]).await;
    let mut peer = program.open("/echo").await;
    echoes(&mut peer, "x").await;
    drop(peer);
    program.said(&["websocket ended"]).await;
    let ended = program.stop().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    for line in ended.err.lines() {
        crate::log::object(line);
    }
    assert!(ended.err.lines().count() > 3, "{}", ended.err);
}

/// The program under a shell that first says `ulimit` what is given.
fn limited(folder: &Path, limit: &str) -> tokio::process::Command {
    let program = command(folder, &[]).as_std().get_program().to_owned();
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\"")]).arg(program);
    shell.current_dir(folder).env_remove("WSGATE_LOG").kill_on_drop(true);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[tokio::test]
async fn too_few_descriptors_are_told_with_what_would_do() {
    let folder = folder();
    let limits = "workers = 1\n[limits]\nconnections = 200\npending = 100\n";
    configure(folder.path(), &format!("{limits}{ECHO}"));
    let mut program = Program::spawn(limited(folder.path(), "-n 300")).await;
    // 200 + 100 + 64 of its own + 8 of the worker.
    program.said(&["WARN", "descriptors=300", "ulimit -n 372", "LimitNOFILE=372"]).await;
    assert_eq!(program.stop().await.code, Some(0));
    let mut enough = Program::spawn(limited(folder.path(), "-n 372")).await;
    enough.said(&["ready"]).await;
    assert!(!enough.log().contains("descriptors"), "{}", enough.log());
}

#[tokio::test]
async fn the_soft_limit_of_descriptors_goes_up_to_the_hard_one() {
    let folder = folder();
    configure(folder.path(), &format!("workers = 1\n[limits]\nconnections = 200\npending = 100\n{ECHO}"));
    let mut program = Program::spawn(limited(folder.path(), "-Sn 50 && ulimit -Hn 500")).await;
    program.said(&["ready"]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).expect("read");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("files");
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["500", "500"], "{files}");
    assert!(!program.log().contains("descriptors"), "{}", program.log());
}

#[tokio::test]
async fn health_is_the_admin_doors_word() {
    let folder = folder();
    configure(folder.path(), &format!("{ECHO}[admin]\nlisten = \"unix:admin.sock\"\n"));
    let none = run(folder.path(), &["health"]).await;
    assert_eq!((none.code, none.err.contains("does not answer")), (Some(1), true), "{none:?}");
    let program = Program::start(folder.path(), &[]).await;
    let ready = run(folder.path(), &["health"]).await;
    assert_eq!((ready.code, ready.out.as_str()), (Some(0), "ready\n"), "{ready:?}");
    let mut open = program.open("/echo").await;
    echoes(&mut open, "here").await;
    program.signal("TERM").await;
    assert_eq!(open.message().await.code(), 1001);
    let draining = run(folder.path(), &["health"]).await;
    assert_eq!((draining.code, draining.err.contains("not ready: draining")), (Some(1), true), "{draining:?}");
    configure(folder.path(), ECHO);
    let doorless = run(folder.path(), &["health"]).await;
    assert_eq!((doorless.code, doorless.err.contains("no [admin] listen")), (Some(1), true), "{doorless:?}");
}

/// Standard output or standard error whose reader has gone.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(writer)
}

/// Runs it to its end with whatever it was given to write to; the exit code, and what stands on the pipes that it has.
async fn run_as(command: &mut tokio::process::Command) -> (Option<i32>, String) {
    let child = command.spawn().expect("start");
    let output = within("the end of the program", child.wait_with_output()).await.expect("run");
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).expect("text"))
}

#[tokio::test]
async fn a_command_whose_reader_has_gone_ends_in_silence_with_1() {
    let folder = folder();
    configure(folder.path(), &format!("{ECHO}[admin]\nlisten = \"unix:admin.sock\"\n"));
    let _program = Program::start(folder.path(), &[]).await;
    let url = Backend::bind().await.echo();
    for arguments in [
        &["health"][..],
        &["check"],
        &["man"],
        &["completions", "bash"],
        &["cert", "localhost"],
        &["probe", "--gentle", "--time-limit", "50ms", &url],
        &["--help"],
        &["--version"],
    ] {
        let ended = run_as(command(folder.path(), arguments).stdout(gone())).await;
        assert_eq!(ended, (Some(1), String::new()), "{arguments:?}");
    }
    // Nobody is left to be told why, but the code.
    configure(folder.path(), "nonsense = 1\n");
    for (arguments, code) in [(&["check"][..], 78), (&["health"], 78), (&["man", "x"], 1), (&["--nonsense"], 64)] {
        let ended = run_as(command(folder.path(), arguments).stderr(gone())).await;
        assert_eq!(ended, (Some(code), String::new()), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_command_that_cannot_write_says_why() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is always full");
    let folder = folder();
    let (code, told) = run_as(command(folder.path(), &["man"]).stdout(full)).await;
    assert_eq!((code, told.contains("cannot write: No space left on device")), (Some(1), true), "{told}");
}

#[tokio::test]
async fn a_gateway_serves_when_nobody_reads_its_standard_output() {
    let folder = folder();
    configure(folder.path(), &format!("listen = [\"unix:s\"]\n{ECHO}"));
    let mut child = command(folder.path(), &[]).stdout(gone()).spawn().expect("start");
    let mut log = BufReader::new(child.stderr.take().expect("stderr")).lines();
    for wanted in ["nobody is told on standard output that it runs", " ready "] {
        let mut line = String::new();
        while !line.contains(wanted) {
            line = within(wanted, log.next_line()).await.expect("read").expect("it runs");
        }
    }
    let mut peer = Peer::new(UnixStream::connect(folder.path().join("s")).await.expect("connect"));
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "still here").await;
    // Nor does it need anybody for its log.
    drop(log);
    drop(peer);
    let mut peer = Peer::new(UnixStream::connect(folder.path().join("s")).await.expect("connect"));
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut peer, "still here").await;
}

#[tokio::test]
async fn the_manual_and_the_completions_know_every_option() {
    let folder = folder();
    let page = run(folder.path(), &["man"]).await;
    assert_eq!((page.code, page.err.as_str()), (Some(0), ""));
    assert!(page.out.contains(".TH wsgate 1"), "{}", page.out);
    for option in OPTIONS {
        assert!(page.out.replace('\\', "").contains(option), "{option}: {}", page.out);
    }
    let probe = run(folder.path(), &["man", "probe"]).await;
    assert!(probe.out.contains("harsh") && probe.out.contains("wsgate-probe"), "{}", probe.out);
    let unknown = run(folder.path(), &["man", "nonsense"]).await;
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""), "{unknown:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(folder.path(), &["completions", shell]).await;
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{shell}");
        for option in OPTIONS {
            assert!(script.out.contains(option.trim_start_matches('-')), "{shell}: {option}");
        }
    }
}
