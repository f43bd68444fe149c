//! What is agreed with systemd: sockets that it has bound, and what it is told of the service.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::Command;

use crate::support::peer::Peer;
use crate::support::process::{Program, command, configure};
use crate::support::within;
use crate::upgrade::{Family, pid_of};

const ECHO: &str = "workers = 1\n[[route]]\npath = \"/echo\"\necho = {}\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

async fn echoes(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    assert_eq!(peer.message().await.text(), text);
}

/// The program with this socket as descriptor 3, in the way of systemd.
fn given(folder: &Path, socket: impl Into<OwnedFd>) -> Command {
    let program = command(folder, &[]).as_std().get_program().to_owned();
    let mut shell = Command::new("sh");
    let told = "LISTEN_FDS=1 LISTEN_FDNAMES=web.socket LISTEN_PID=$$ exec \"$0\" 3<&0 </dev/null";
    shell.args(["-c", told]).arg(program).current_dir(folder).env_remove("WSGATE_LOG").kill_on_drop(true);
    shell.stdin(Stdio::from(socket.into())).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[tokio::test]
async fn a_socket_that_was_passed_is_served_and_stays_when_the_program_goes() {
    let folder = folder();
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = socket.local_addr().expect("bound").to_string();
    configure(folder.path(), &format!("listen = [\"unix:own\", \"{address}\"]\n{ECHO}"));
    // Before there is a program.
    let mut early = Peer::connect(&address).await;
    let mut program = Program::spawn(given(folder.path(), socket.try_clone().expect("a descriptor"))).await;
    assert_eq!(program.url, "ws+unix:own");
    assert_eq!(program.listening().await, format!("ws://{address}"));
    assert_eq!(early.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut early, "early").await;
    drop(early);
    assert_eq!(program.stop().await.code, Some(0));
    // Whoever comes between two programs waits for the next.
    let mut between = Peer::connect(&address).await;
    let (mut program, _family) = Family::start(given(folder.path(), socket)).await;
    assert_eq!(between.upgrade("/echo", &[]).await.status, 101);
    // Upgrades keep what was passed.
    program.signal("USR2").await;
    program.said(&["upgraded: "]).await;
    let close = between.message().await;
    between.agree(&close).await;
    assert_eq!(program.left().await, Some(0), "{}", program.log());
    let mut peer = Peer::connect(&address).await;
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
}

#[tokio::test]
async fn the_file_of_a_unix_socket_that_was_passed_is_not_removed() {
    let folder = folder();
    let path = folder.path().join("passed");
    let socket = UnixListener::bind(&path).expect("bind");
    configure(folder.path(), &format!("listen = [\"unix:{}\"]\n{ECHO}", path.display()));
    let (mut program, _family) = Family::start(given(folder.path(), socket)).await;
    let open = async || {
        let mut peer = Peer::new(UnixStream::connect(&path).await.expect("connect"));
        assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
        peer
    };
    echoes(&mut open().await, "one").await;
    program.signal("USR2").await;
    let heir = pid_of(&mut program, &["upgraded: "]).await;
    assert_eq!(program.left().await, Some(0), "{}", program.log());
    echoes(&mut open().await, "the next").await;
    kill_process(heir, Signal::TERM).expect("it runs");
    assert_eq!(program.ended().await.code, Some(0));
    assert!(path.exists(), "it is not ours");
}

#[tokio::test]
async fn a_socket_that_nobody_wants_and_one_that_is_none_are_told() {
    let folder = folder();
    configure(folder.path(), ECHO);
    let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = socket.local_addr().expect("bound").to_string();
    let none = std::fs::File::open("/dev/null").expect("open");
    for (socket, pieces) in [
        (OwnedFd::from(socket), [address.as_str(), "no listener of the configuration names it"]),
        (OwnedFd::from(none), ["socket 1 (web.socket) of LISTEN_FDS", "not a socket"]),
    ] {
        let output = within("its end", given(folder.path(), socket).output()).await.expect("run");
        let told = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(78), "{told}");
        assert!(pieces.iter().all(|piece| told.contains(piece)), "{pieces:?}: {told}");
    }
    // What was meant for another process is left alone.
    let mut other = command(folder.path(), &[]);
    other.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    assert_eq!(Program::spawn(other).await.stop().await.code, Some(0));
}

/// The next message that is no sign of life, without the time that stands in it.
async fn told(manager: &UnixDatagram) -> String {
    loop {
        let mut message = vec![0; 4096];
        let length = within("a message to the manager", manager.recv(&mut message)).await.expect("receive");
        let text = String::from_utf8(message[..length].to_vec()).expect("text");
        if text != "WATCHDOG=1" {
            let lines = text.lines().map(|line| line.strip_prefix("MONOTONIC_USEC=").map_or(line, at_least_one));
            return lines.collect::<Vec<_>>().join(" ");
        }
    }
}

fn at_least_one(micros: &str) -> &str {
    assert!(micros.parse::<u64>().expect("a number") > 0);
    "MONOTONIC"
}

#[tokio::test]
async fn the_manager_is_told_of_each_step_in_its_order() {
    let folder = folder();
    configure(folder.path(), ECHO);
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bind");
    let mut start = command(folder.path(), &[]);
    start.env("NOTIFY_SOCKET", &path);
    let (mut program, _family) = Family::start(start).await;
    assert_eq!(told(&manager).await, "READY=1 STATUS=serving");
    program.signal("HUP").await;
    assert_eq!(told(&manager).await, "RELOADING=1 MONOTONIC STATUS=reloading");
    assert_eq!(told(&manager).await, "READY=1 STATUS=serving");
    configure(folder.path(), &format!("nonsense = 1\n{ECHO}"));
    program.signal("HUP").await;
    assert_eq!(told(&manager).await, "RELOADING=1 MONOTONIC STATUS=reloading");
    assert_eq!(told(&manager).await, "READY=1 STATUS=serving; the last reload was refused, see the log");
    program.signal("USR2").await;
    assert_eq!(told(&manager).await, "STATUS=upgrading");
    assert_eq!(told(&manager).await, "STATUS=serving; the last upgrade failed, see the log");
    configure(folder.path(), ECHO);
    program.signal("USR2").await;
    assert_eq!(told(&manager).await, "STATUS=upgrading");
    let heir = pid_of(&mut program, &["upgraded: "]).await;
    // The old one's last word; what comes behind it is the new one's.
    assert_eq!(told(&manager).await, format!("MAINPID={}", heir.as_raw_nonzero()));
    assert_eq!(told(&manager).await, "READY=1 STATUS=serving");
    assert_eq!(program.left().await, Some(0), "{}", program.log());
    kill_process(heir, Signal::TERM).expect("it runs");
    assert_eq!(told(&manager).await, "STOPPING=1 STATUS=draining");
    assert_eq!(program.ended().await.code, Some(0));
}

#[tokio::test]
async fn signs_of_life_are_given_as_often_as_asked_for_and_by_the_one_that_was_asked() {
    let folder = folder();
    configure(folder.path(), ECHO);
    let name = folder.path().display().to_string();
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = std::os::unix::net::UnixDatagram::bind_addr(&address).expect("bind");
    manager.set_nonblocking(true).expect("set");
    let manager = UnixDatagram::from_std(manager).expect("register");
    let asked = |pid: Option<&str>| {
        let mut start = command(folder.path(), &[]);
        start.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "200000");
        pid.map(|pid| start.env("WATCHDOG_PID", pid));
        start
    };
    let next = async || {
        let mut message = [0; 4096];
        let length = within("a message to the manager", manager.recv(&mut message)).await.expect("receive");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let program = Program::spawn(asked(None)).await;
    assert_eq!(next().await, "READY=1\nSTATUS=serving");
    for _ in 0..3 {
        assert_eq!(next().await, "WATCHDOG=1");
    }
    let stopping = async { while next().await != "STOPPING=1\nSTATUS=draining" {} };
    tokio::join!(program.stop(), stopping);
    // Meant for another process: there is none between the first word and the last.
    let program = Program::spawn(asked(Some("1"))).await;
    // A sign of life of the first one may be left.
    while next().await != "READY=1\nSTATUS=serving" {}
    program.signal("HUP").await;
    assert!(next().await.starts_with("RELOADING=1\n"));
    assert_eq!(next().await, "READY=1\nSTATUS=serving");
    drop(program.stop().await);
    assert_eq!(next().await, "STOPPING=1\nSTATUS=draining");
}
