//! SIGUSR2: the program is started anew and takes the listeners over; nobody is refused, and a failure changes nothing.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::support::frames::Frame;
use crate::support::peer::Peer;
use crate::support::process::{Program, command, configure};
use crate::support::within;

const ECHO: &str = "workers = 1\nhandshake_timeout = \"5m\"\n[[route]]\npath = \"/echo\"\necho = {}\n";

/// All processes that come of one program; those that are still there when the test ends, go.
pub struct Family(Pid);

impl Family {
    /// Starts the program at the head of a group of its own, to which those belong that it starts.
    pub async fn start(mut command: Command) -> (Program, Self) {
        command.process_group(0);
        let program = Program::spawn(command).await;
        let head = Pid::from_raw(program.id().cast_signed()).expect("a process");
        (program, Self(head))
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// The number behind `pid=` in the line that has these pieces.
pub async fn pid_of(program: &mut Program, pieces: &[&str]) -> Pid {
    let line = program.said(pieces).await;
    let pid = line.split("pid=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a number");
    Pid::from_raw(pid.parse().expect("a number")).expect("a process")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

async fn open_unix(path: &Path) -> Peer {
    let mut peer = Peer::new(UnixStream::connect(path).await.expect("connect"));
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    peer
}

/// Comes and goes until it is told to stop: connects, is let in, and is answered, or sent home with 1001. How often.
async fn come_and_go(address: String, stop: Arc<AtomicBool>, visits: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let mut peer = Peer::connect(&address).await;
        let answer = peer.upgrade("/echo", &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        peer.say("here").await;
        let said: Frame = peer.message().await;
        if said.opcode == crate::support::frames::TEXT {
            assert_eq!(said.text(), "here");
        } else {
            assert_eq!(said.code(), 1001);
        }
        visits.fetch_add(1, Ordering::Relaxed);
    }
}

async fn until_more(visits: &AtomicUsize, more: usize) {
    let enough = visits.load(Ordering::Relaxed) + more;
    within("more visits", async {
        while visits.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_is_refused_while_one_program_follows_another() {
    let folder = folder();
    let [socket, admin] = ["s", "a"].map(|name| folder.path().join(name));
    let listen = "listen = [\"127.0.0.1:0\", \"unix:s\"]\n";
    let limits = "[limits]\nconnections = 200\npending = 100\nhandshakes_per_address = \"0/s\"\n";
    configure(folder.path(), &format!("{listen}{ECHO}[admin]\nlisten = \"unix:a\"\n{limits}"));
    let (mut program, _family) = Family::start(command(folder.path(), &[])).await;
    assert_eq!(program.listening().await, "ws+unix:s");
    let url = program.url.clone();
    let mut stays = program.open("/echo").await;
    let mut unix = open_unix(&socket).await;
    echoes(&mut stays, "with the old one").await;
    echoes(&mut unix, "with the old one").await;
    let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let crowd: Vec<_> = (0..4)
        .map(|_| tokio::spawn(come_and_go(program.address().to_owned(), Arc::clone(&stop), Arc::clone(&visits))))
        .collect();
    until_more(&visits, 20).await;
    let mut old = program.id();
    for round in 0..2 {
        let process = Pid::from_raw(old.cast_signed()).expect("a process");
        kill_process(process, Signal::USR2).expect("it runs");
        // Each listener is told of anew, at the same place.
        assert_eq!((program.listening().await, program.listening().await.as_str()), (url.clone(), "ws+unix:s"));
        old = nth_heir(&program, round).await;
        // Those who are connected are served until they are sent home.
        for peer in [&mut stays, &mut unix] {
            let close = peer.message().await;
            assert_eq!(close.code(), 1001);
            peer.agree(&close).await;
        }
        until_more(&visits, 20).await;
        if round == 0 {
            assert_eq!(program.left().await, Some(0), "{}", program.log());
        }
        // Only the new one is left.
        stays = program.open("/echo").await;
        unix = open_unix(&socket).await;
        echoes(&mut stays, "with the new one").await;
        echoes(&mut unix, "with the new one").await;
        let mut desk = Peer::new(UnixStream::connect(&admin).await.expect("the admin door"));
        desk.send(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(desk.answer().await.status, 200);
    }
    stop.store(true, Ordering::Relaxed);
    for visitor in crowd {
        visitor.await.expect("nobody was refused");
    }
    kill_process(Pid::from_raw(old.cast_signed()).expect("a process"), Signal::TERM).expect("it runs");
    for peer in [&mut stays, &mut unix] {
        let close = peer.message().await;
        assert_eq!(close.code(), 1001);
        peer.agree(&close).await;
    }
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{}", ended.err);
    assert!(!ended.err.contains("ERROR") && !ended.err.contains("WARN"), "{}", ended.err);
    assert!(!socket.exists() && !admin.exists(), "the last one removes its files");
}

/// The process that has taken over in this upgrade, counted from 0.
async fn nth_heir(program: &Program, nth: usize) -> u32 {
    let pid = |line: &str| line.split("pid=").nth(1)?.split_whitespace().next()?.parse().ok();
    within("an upgrade", async {
        loop {
            let log = program.log();
            if let Some(heir) = log.lines().filter(|line| line.contains("upgraded: ")).filter_map(pid).nth(nth) {
                return heir;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn whoever_was_accepted_before_the_change_is_let_in_after_it() {
    let folder = folder();
    configure(folder.path(), &format!("{ECHO}[admin]\nlisten = \"unix:a\"\n"));
    let (mut program, _family) = Family::start(command(folder.path(), &[])).await;
    let mut late = Peer::connect(program.address()).await;
    let request = crate::support::peer::upgrade_request("/echo", &[]);
    let (first, rest) = request.split_at(20);
    late.send(first.as_bytes()).await;
    within("it to be accepted", async {
        loop {
            let mut desk = Peer::new(UnixStream::connect(folder.path().join("a")).await.expect("the admin door"));
            desk.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            if desk.answer().await.body.contains("\nwsgate_tcp_connections_accepted_total 1\n") {
                break;
            }
        }
    })
    .await;
    program.signal("USR2").await;
    program.said(&["upgraded: "]).await;
    late.send(rest.as_bytes()).await;
    assert_eq!(late.answer().await.status, 101);
    let close = late.message().await;
    assert_eq!(close.code(), 1001);
    late.agree(&close).await;
    assert_eq!(program.left().await, Some(0));
}

#[tokio::test]
async fn signals_to_both_leave_the_old_one_its_time() {
    let folder = folder();
    configure(folder.path(), ECHO);
    let (mut program, _family) = Family::start(command(folder.path(), &[])).await;
    let mut stays = program.open("/echo").await;
    program.signal("USR2").await;
    let heir = pid_of(&mut program, &["upgraded: "]).await;
    let close = stays.message().await;
    program.signal("USR2").await;
    program.said(&["upgrade: not now"]).await;
    // As a service manager does that stops the service.
    program.signal("TERM").await;
    kill_process(heir, Signal::TERM).expect("it runs");
    program.said(&["this one leaves already"]).await;
    stays.agree(&close).await;
    let ended = program.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[tokio::test]
async fn listeners_come_and_go_with_the_configuration() {
    let folder = folder();
    let [gone, stays, new] = ["gone", "stays", "new"].map(|name| folder.path().join(name));
    configure(folder.path(), &format!("listen = [\"127.0.0.1:0\", \"unix:gone\", \"unix:stays\"]\n{ECHO}"));
    let (mut program, _family) = Family::start(command(folder.path(), &[])).await;
    let waits = open_unix(&gone).await;
    configure(folder.path(), &format!("listen = [\"unix:new\", \"unix:stays\", \"127.0.0.1:0\"]\n{ECHO}"));
    program.signal("USR2").await;
    program.said(&["no longer listened on", "unix:"]).await;
    program.said(&["upgraded: "]).await;
    drop(waits);
    assert_eq!(program.left().await, Some(0), "{}", program.log());
    assert!(!gone.exists());
    for path in [&new, &stays] {
        echoes(&mut open_unix(path).await, "there").await;
    }
    echoes(&mut program.open("/echo").await, "the same port").await;
}

/// Lets the name of the program lead elsewhere.
fn lead(name: &Path, to: &Path) {
    let aside = name.with_extension("new");
    symlink(to, &aside).expect("link");
    std::fs::rename(&aside, name).expect("rename");
}

#[tokio::test]
async fn a_program_that_cannot_take_over_is_told_and_the_old_one_goes_on() {
    let folder = folder();
    let good = format!("listen = [\"127.0.0.1:0\", \"unix:s\"]\nupgrade_timeout = \"1s\"\n{ECHO}");
    configure(folder.path(), &good);
    let real = command(folder.path(), &[]).as_std().get_program().to_owned();
    let name = folder.path().join("wsgate");
    lead(&name, &PathBuf::from(&real));
    let mut start = command(folder.path(), &[]);
    let mut by_name = Command::new(&name);
    by_name.current_dir(folder.path()).env_remove("WSGATE_LOG").kill_on_drop(true);
    by_name
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    std::mem::swap(&mut start, &mut by_name);
    let (mut program, _family) = Family::start(start).await;
    program.listening().await;
    let mut stays = program.open("/echo").await;
    let script = |text: &str| {
        let path = folder.path().join("script");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("write");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("mode");
        path
    };
    configure(folder.path(), &format!("nonsense = 1\n{good}"));
    program.signal("USR2").await;
    program.said(&["ERROR", "NOT UPGRADED", "nonsense", "exit status: 78"]).await;
    // It has bound its own listener by then, and knows of the other's file.
    let no_files = "[tls]\ncertificates = [{ chain = \"none.pem\", key = \"none.key\" }]\n";
    configure(folder.path(), &format!("{good}{no_files}"));
    program.signal("USR2").await;
    program.said(&["NOT UPGRADED", "none.pem", "exit status: 78"]).await;
    configure(folder.path(), &good);
    for (text, told) in
        [("exit 3", "exit status: 3"), ("echo nonsense >&0", "it said"), ("exec tail -f /dev/null", "within 1s")]
    {
        lead(&name, &script(text));
        program.signal("USR2").await;
        program.said(&["ERROR", "NOT UPGRADED", told]).await;
    }
    std::fs::remove_file(&name).expect("remove");
    program.signal("USR2").await;
    program.said(&["NOT UPGRADED", "No such file"]).await;
    echoes(&mut stays, "still here").await;
    echoes(&mut program.open("/echo").await, "still let in").await;
    echoes(&mut open_unix(&folder.path().join("s")).await, "its file is there").await;
    // A slow machine has more time for the one that works; the limit in force is that of the old one.
    configure(folder.path(), &good.replace("\"1s\"", "\"10m\""));
    program.signal("HUP").await;
    program.said(&["reloaded", "upgrade_timeout"]).await;
    lead(&name, &PathBuf::from(&real));
    program.signal("USR2").await;
    program.said(&["upgraded: "]).await;
    let close = stays.message().await;
    assert_eq!(close.code(), 1001);
    stays.agree(&close).await;
    assert_eq!(program.left().await, Some(0), "{}", program.log());
    echoes(&mut program.open("/echo").await, "with the new one").await;
}

#[tokio::test]
async fn a_history_in_a_file_passes_from_one_to_the_next_and_nothing_is_lost() {
    let folder = folder();
    let hub = "hub = { history_store = \"file\", history_file = \"chat.history\" }\n";
    configure(folder.path(), &format!("workers = 1\n[[route]]\npath = \"/chat\"\n{hub}"));
    let (mut program, _family) = Family::start(command(folder.path(), &[])).await;
    let mut member = program.open("/chat").await;
    member.say("before").await;
    assert_eq!(member.message().await.text(), "User #1: before");
    program.signal("USR2").await;
    program.said(&["upgraded: ", "whoever connects waits until then"]).await;
    // Before the old one has ended: nobody accepts, and nobody refuses.
    let mut waits = Peer::connect(program.address()).await;
    waits.send(crate::support::peer::upgrade_request("/chat", &[]).as_bytes()).await;
    let close = member.message().await;
    assert_eq!(close.code(), 1001);
    member.agree(&close).await;
    assert_eq!(program.left().await, Some(0), "{}", program.log());
    assert_eq!(waits.answer().await.status, 101);
    assert_eq!(waits.message().await.text(), "User #1: before");
}
