//! `wsgate top` before a real gateway: once as text, and as a full screen in a terminal of its own.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::process::{Program, command, configure, run};
use crate::support::within;

const TOKEN: &str = "0123456789abcdef";
const CONFIG: &str = "[admin]\nlisten = \"unix:admin.sock\"\ntoken_file = \"admin.token\"\n\
    [[route]]\npath = \"/echo\"\necho = {}\n[[route]]\npath = \"/chat\"\nhub = {}\n";
/// Of the terminal.
const SIZE: (usize, usize) = (100, 30);

/// A folder with a configuration and its token.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("admin.token"), format!("{TOKEN}\n")).expect("write");
    configure(folder.path(), CONFIG);
    folder
}

/// A line that begins with these words, however far they stand apart.
fn has_line(text: &str, words: &str) -> bool {
    let wanted: Vec<&str> = words.split_whitespace().collect();
    text.lines()
        .any(|line| line.split_whitespace().zip(&wanted).filter(|(one, other)| one == *other).count() == wanted.len())
}

#[tokio::test]
async fn once_is_the_gateway_in_plain_text() {
    let folder = folder();
    let program = Program::start(folder.path(), &[]).await;
    let (mut one, mut other) = (program.open("/echo").await, program.open("/echo").await);
    let _member = program.open("/chat").await;
    for peer in [&mut one, &mut other] {
        peer.say("hello").await;
        assert_eq!(peer.message().await.text(), "hello");
    }
    let mut stranger = crate::support::Peer::connect(program.address()).await;
    assert_eq!(stranger.upgrade("/echo", &["Origin: https://evil.example"]).await.status, 403);
    let seen = run(folder.path(), &["top", "--once", "--every", "50ms"]).await;
    assert_eq!((seen.code, seen.err.as_str()), (Some(0), ""), "{seen:?}");
    for words in [
        &format!("wsgate {} running up", env!("CARGO_PKG_VERSION")),
        "websockets 3 open",
        "opened 0/s 3",
        "/echo 2 0/s 2",
        "/chat 1 0/s 1 1 rooms 1 members",
        "origin_not_allowed 0/s 1",
        "connections 3",
    ] {
        assert!(has_line(&seen.out, words), "{words}\n{}", seen.out);
    }
    let rows: Vec<Vec<&str>> = seen
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|row: &Vec<&str>| row.contains(&"/echo"))
        .collect();
    // id, address, route, age, idle, messages, bytes, its unit.
    let talked = rows.iter().filter(|row| row.get(5..8) == Some(&["2", "10", "B"]) && row[1] == "127.0.0.1").count();
    assert_eq!(talked, 2, "{}", seen.out);
    assert!(!seen.out.chars().any(|one| one.is_control() && one != '\n'), "{:?}", seen.out);
    // Without a terminal it is the same without being asked for; by name the token has to be named, too.
    let named = ["top", "--admin", "unix:admin.sock", "--every", "50ms"];
    let closed = run(folder.path(), &named).await;
    assert!(closed.out.contains("connections are not told: there is no --token-file"), "{closed:?}");
    let opened = run(folder.path(), &[&named[..], &["--token-file", "admin.token"]].concat()).await;
    assert!(has_line(&opened.out, "connections 3"), "{opened:?}");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_told() {
    let folder = folder();
    std::fs::write(folder.path().join("wrong.token"), "another token than that").expect("write");
    for (arguments, code, told) in [
        (&["top", "--once"][..], 1, "the admin door does not answer: "),
        (&["top", "--once", "--admin", "https://localhost"], 1, "is not http://HOST:PORT or unix:PATH"),
        (&["top", "--every", "1ms"], 64, "allowed: 50ms to 60s"),
        (&["top", "--token-file", "x"], 64, "--admin"),
        (&["top", "--config", "absent.toml"], 78, "cannot be read"),
    ] {
        let ended = run(folder.path(), arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{arguments:?} {ended:?}");
        assert!(ended.err.contains(told), "{arguments:?} {}", ended.err);
    }
    let _program = Program::start(folder.path(), &[]).await;
    let arguments = ["top", "--every", "50ms", "--admin", "unix:admin.sock", "--token-file", "wrong.token"];
    let refused = run(folder.path(), &arguments).await;
    assert!(refused.out.contains("this needs the header Authorization: Bearer TOKEN"), "{refused:?}");
    configure(folder.path(), "[[route]]\npath = \"/echo\"\necho = {}\n");
    let doorless = run(folder.path(), &["top"]).await;
    assert_eq!((doorless.code, doorless.err.contains("no [admin] listen")), (Some(1), true), "{doorless:?}");
}

/// The program in a terminal: what it writes comes to this picture, what is typed goes to it.
struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    written: ChildStdout,
    bytes: Vec<u8>,
}

impl Terminal {
    /// `script` of util-linux gives it one, and the shell says its size and who it is.
    fn start(folder: &Path, arguments: &str) -> Self {
        let program = command(folder, &[]).as_std().get_program().to_string_lossy().into_owned();
        let (columns, rows) = SIZE;
        let line = format!("stty cols {columns} rows {rows}; echo $$ > pid; exec '{program}' {arguments}");
        let mut script = Command::new("script");
        script
            .args(["-qec", &line, "/dev/null"])
            .current_dir(folder)
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh");
        script.env_remove("NO_COLOR").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = script.spawn().expect("util-linux has `script`");
        let (keys, written) = (child.stdin.take(), child.stdout.take().expect("stdout"));
        Self { child, keys, written, bytes: Vec::new() }
    }

    async fn press(&mut self, keys: &str) {
        let pipe = self.keys.as_mut().expect("it is open");
        pipe.write_all(keys.as_bytes()).await.expect("typed");
        pipe.flush().await.expect("typed");
    }

    /// Waits until the picture has all of this.
    async fn shows(&mut self, pieces: &[&str]) {
        loop {
            let picture = self.picture();
            if pieces.iter().all(|piece| picture.contains(piece)) {
                return;
            }
            let read = within(&format!("{pieces:?} on\n{picture}"), self.written.read_buf(&mut self.bytes)).await;
            assert_ne!(read.expect("read"), 0, "it ended:\n{picture}");
        }
    }

    /// Its exit code, and all that it has written.
    async fn end(mut self) -> (Option<i32>, String) {
        within("the end of the output", self.written.read_to_end(&mut self.bytes)).await.expect("read");
        let status = within("the end of the program", self.child.wait()).await.expect("wait");
        (status.code(), String::from_utf8_lossy(&self.bytes).into_owned())
    }

    /// What stands on the screen: of all that steers a terminal only what moves the cursor or clears is of use here.
    fn picture(&self) -> String {
        let (columns, rows) = SIZE;
        let text = String::from_utf8_lossy(&self.bytes);
        let mut cells = vec![vec![' '; columns]; rows];
        let (mut row, mut column) = (0, 0);
        let mut rest = text.chars().peekable();
        while let Some(one) = rest.next() {
            if one != '\u{1b}' {
                if let Some(cell) =
                    cells.get_mut(row).and_then(|line| line.get_mut(column)).filter(|_| !one.is_control())
                {
                    *cell = one;
                    column += 1;
                }
                continue;
            }
            if rest.next() != Some('[') {
                continue;
            }
            let mut numbers = String::new();
            while let Some(digit) = rest.next_if(|one| !one.is_ascii_alphabetic()) {
                numbers.push(digit);
            }
            match rest.next() {
                Some('H') => {
                    let mut at =
                        numbers.split(';').map(|number| number.parse::<usize>().unwrap_or(1).saturating_sub(1));
                    (row, column) = (at.next().unwrap_or(0), at.next().unwrap_or(0));
                }
                Some('J') => cells.iter_mut().for_each(|line| line.fill(' ')),
                _ => {}
            }
        }
        cells.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned() + "\n").collect()
    }
}

/// It has left the other screen, and shows the cursor again.
fn is_given_back(written: &str) -> bool {
    let left = written.rfind("\u{1b}[?1049l").expect("it leaves the other screen");
    written.rfind("\u{1b}[?1049h").is_some_and(|entered| entered < left)
        && written.rfind("\u{1b}[?25h") > written.rfind("\u{1b}[?25l")
}

#[tokio::test]
async fn a_full_screen_shows_what_happens_and_gives_the_terminal_back() {
    let folder = folder();
    let program = Program::start(folder.path(), &[]).await;
    let mut peer = program.open("/echo").await;
    let mut terminal = Terminal::start(folder.path(), "top --every 100ms");
    terminal.shows(&["● running", "WebSockets", "1 open", "Connections", "127.0.0.1", "? help"]).await;
    let _second = program.open("/chat").await;
    terminal.shows(&["2 open", "/chat"]).await;
    // The first of them by address, then by id, is the first that was opened.
    terminal.press("sssss/echo\r").await;
    terminal.shows(&["1 of 2", "/echo"]).await;
    terminal.press("\u{1b}[B\r").await;
    terminal.shows(&["waits for it", "bytes/s"]).await;
    terminal.press("k").await;
    terminal.shows(&["Close connection", "closed by the operator"]).await;
    terminal.press("\tnow\r").await;
    let close = peer.message().await;
    assert_eq!((close.code(), close.reason().as_str()), (1008, "closed by the operatornow"));
    peer.agree(&close).await;
    terminal.press("q").await;
    terminal.shows(&["0 of 1"]).await;
    terminal.press("q").await;
    let (code, written) = terminal.end().await;
    assert!(code == Some(0) && is_given_back(&written), "{code:?} {written:?}");
}

#[tokio::test]
async fn a_gateway_that_goes_and_comes_is_waited_for() {
    let folder = folder();
    let program = Program::start(folder.path(), &[]).await;
    let mut terminal = Terminal::start(folder.path(), "top --every 100ms");
    terminal.shows(&["● running"]).await;
    program.stop().await;
    terminal.shows(&["✖ gone for ", "trying again"]).await;
    let _again = Program::start(folder.path(), &[]).await;
    terminal.shows(&["● running"]).await;
    terminal.press("\u{3}").await;
    let (code, written) = terminal.end().await;
    assert!(code == Some(0) && is_given_back(&written), "{code:?} {written:?}");
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back_too() {
    let folder = folder();
    let mut terminal = Terminal::start(folder.path(), "top --every 100ms");
    terminal.shows(&["✖ gone for ", "No such file"]).await;
    let kill = Command::new("sh").args(["-c", "kill -TERM \"$(cat pid)\""]).current_dir(folder.path()).status().await;
    assert!(kill.expect("sh").success());
    let (code, written) = terminal.end().await;
    assert!(code == Some(0) && is_given_back(&written), "{code:?} {written:?}");
}
