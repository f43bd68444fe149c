//! The log in a file: opened again when it was moved away, on a disk that is full, and beside systemd's journal.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::log::{metric, read_until, visit};
use crate::support::peer::Peer;
use crate::support::process::{Program, command, configure, run};
use crate::support::within;

const CONFIG: &str = "[admin]\nlisten = \"unix:admin\"\n[log]\nfile = \"wsgate.log\"\n\
    [[route]]\npath = \"/echo\"\necho = {}\n";

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

/// What stands in the file once this stands in it.
async fn until(path: &Path, piece: &str) -> String {
    let read = || fs::read_to_string(path).unwrap_or_default();
    within(piece, async {
        while !read().contains(piece) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    read()
}

#[tokio::test]
async fn the_log_is_a_file_that_is_opened_again_at_sigusr1() {
    let folder = folder();
    let (path, old) = (folder.path().join("wsgate.log"), folder.path().join("wsgate.log.1"));
    let program = Program::configured(folder.path(), CONFIG).await;
    visit(&program).await;
    until(&path, "websocket ended").await;
    fs::rename(&path, &old).expect("moved");
    program.signal("USR1").await;
    until(&path, "INFO wsgate::logging: the log's file was opened again").await;
    visit(&program).await;
    let text = until(&path, "websocket ended").await;
    let count = |text: &str| (text.matches(" ready ").count(), text.matches("websocket ended").count());
    assert_eq!(count(&fs::read_to_string(&old).expect("read")), (1, 1));
    assert_eq!(count(&text), (0, 1), "{text}");
    // Whatever the umask takes away, nobody else reads it, and its user may write.
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!((mode & 0o7137, mode & 0o600), (0, 0o600), "{mode:o}");
    let ended = program.stop().await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    until(&path, " drained ").await;
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_again_changes_nothing() {
    let folder = folder();
    let path = folder.path().join("wsgate.log");
    let program = Program::configured(folder.path(), CONFIG).await;
    visit(&program).await;
    until(&path, "websocket ended").await;
    let mut old = File::open(&path).expect("open");
    fs::remove_file(&path).expect("gone");
    fs::create_dir(&path).expect("a folder in its place");
    program.signal("USR1").await;
    let mut text = String::new();
    let told = "ERROR wsgate::logging: the log's file cannot be opened again: the old one goes on error=";
    within(told, async {
        while !text.contains(told) {
            old.read_to_string(&mut text).expect("read");
            tokio::task::yield_now().await;
        }
    })
    .await;
    visit(&program).await;
    assert_eq!(program.stop().await.code, Some(0));
    old.read_to_string(&mut text).expect("read");
    assert_eq!(text.matches("websocket ended").count(), 2, "{text}");
}

#[tokio::test]
async fn a_full_disk_is_survived_and_counted() {
    let folder = folder();
    let (path, admin) = (folder.path().join("wsgate.log"), folder.path().join("admin"));
    symlink("/dev/full", &path).expect("a link");
    let program = Program::configured(folder.path(), CONFIG).await;
    for _ in 0..3 {
        visit(&program).await;
    }
    // One when it was ready, and one for each session; there may be warnings besides.
    let lost = async || metric(&admin, "wsgate_log_lines_lost_total").await;
    within("the last line to be lost", async { while lost().await < 4 {} }).await;
    fs::remove_file(&path).expect("gone");
    program.signal("USR1").await;
    visit(&program).await;
    let text = until(&path, "websocket ended").await;
    let piece = "ERROR wsgate::logging: log lines were lost here: they could not be written lines=";
    let (_, told) = text.lines().next().and_then(|first| first.split_once(piece)).unwrap_or_else(|| panic!("{text}"));
    let (lines, error) = told.split_once(' ').expect("an error");
    assert!(error.starts_with("error=No space left"), "{error}");
    assert_eq!((text.matches("lost here").count(), lost().await), (1, lines.parse().expect("a number")), "{text}");
    assert_eq!(program.stop().await.code, Some(0));
}

#[tokio::test]
async fn without_a_file_sigusr1_does_nothing() {
    let folder = folder();
    let mut program = Program::configured(folder.path(), "[[route]]\npath = \"/echo\"\necho = {}\n").await;
    program.signal("USR1").await;
    program.said(&["there is no log.file to be opened again"]).await;
    visit(&program).await;
    program.said(&["websocket ended"]).await;
    assert_eq!(program.stop().await.code, Some(0));
}

#[tokio::test]
async fn what_hinders_the_start_is_told_on_standard_error() {
    let folder = folder();
    configure(folder.path(), &CONFIG.replace("wsgate.log", "no/such/folder"));
    let ended = run(folder.path(), &[]).await;
    assert!(ended.code == Some(1) && ended.err.starts_with("wsgate: cannot start: log.file: "), "{ended:?}");
    // A log that is there, too.
    configure(folder.path(), &CONFIG.replace("unix:admin", "unix:no/such/folder"));
    let ended = run(folder.path(), &[]).await;
    let log = fs::read_to_string(folder.path().join("wsgate.log")).expect("read");
    assert!(
        ended.code == Some(1) && ended.err.contains("no/such/folder") && log.contains(&ended.err),
        "{ended:?} {log}"
    );
}

// systemd's journal

/// A program whose standard error is a socket, of which `JOURNAL_STREAM` tells, or of another one; and its reader.
async fn journalled(folder: &TempDir, config: &str, is_told: bool) -> (Program, UnixStream) {
    let (reader, writer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    reader.set_nonblocking(true).expect("switched");
    let facts = File::from(OwnedFd::from(writer.try_clone().expect("cloned"))).metadata().expect("facts");
    configure(folder.path(), config);
    let mut command = command(folder.path(), &[]);
    let inode = if is_told { facts.ino() } else { facts.ino() + 1 };
    command.env("JOURNAL_STREAM", format!("{}:{inode}", facts.dev())).stderr(Stdio::from(OwnedFd::from(writer)));
    (Program::spawn(command).await, UnixStream::from_std(reader).expect("reader"))
}

const DOWN: &str = "[[route]]\npath = \"/echo\"\necho = {}\n[[route]]\npath = \"/down\"\nproxy = { pool = \"p\" }\n\
    [pool.p]\nbackends = [\"ws://127.0.0.1:1\"]\nretries = 0\n";

#[tokio::test]
async fn lines_for_the_journal_have_a_priority_and_no_time() {
    let folder = folder();
    let (program, mut reader) = journalled(&folder, DOWN, true).await;
    let mut peer = Peer::connect(program.address()).await;
    assert_eq!(peer.upgrade("/down", &[]).await.status, 502);
    let text = read_until(&mut reader, "connection ended").await;
    for begin in [
        "<6> INFO wsgate::serve: ready ",
        "<4> WARN wsgate::gateway::answer: no backend ",
        "<6> INFO wsgate::connection: ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(begin)), "{begin}: {text}");
    }
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");
}

#[tokio::test]
async fn another_stream_is_not_the_journal_and_json_is_as_it_always_is() {
    for (config, is_told) in [(DOWN.to_owned(), false), (format!("log.format = \"json\"\n{DOWN}"), true)] {
        let folder = folder();
        let (program, mut reader) = journalled(&folder, &config, is_told).await;
        visit(&program).await;
        let text = read_until(&mut reader, "websocket ended").await;
        assert!(text.lines().all(|line| line.starts_with(if is_told { "{\"timestamp\":" } else { "2" })), "{text}");
    }
}
