//! What becomes of a panic: a line of the log and a count, which nobody waits for, and nothing of what a client has said.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::thread;

use crate::journal::Journal;

/// What std says when a second panic, or one in the wrong place, has left it no way on: the process is over after it.
const LAST: [&str; 2] = ["panic in a destructor during cleanup", "panic in a function that cannot unwind"];

/// How messages of std and of bytes begin that hold nothing but numbers beside these words.
const NUMBERS: [&str; 9] = [
    "index out of bounds: the len is ",
    "range start index ",
    "range end index ",
    "slice index starts at ",
    "copy_from_slice: source slice length ",
    "advance out of bounds: the len is ",
    "cannot advance past `remaining`: ",
    "split_off out of bounds: ",
    "split_to out of bounds: ",
];

/// From now on panics are told in this journal. The log has to be set up.
pub(crate) fn tell_in(journal: &Arc<Journal>) {
    let journal = Arc::clone(journal);
    panic::set_hook(Box::new(move |panic| tell(panic, &journal)));
}

fn tell(panic: &PanicHookInfo<'_>, journal: &Journal) {
    journal.count_panic();
    let message = message(panic.payload());
    let location = panic.location().map(ToString::to_string);
    let thread = thread::current();
    // Only where RUST_BACKTRACE asks for it.
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(panic = message, location, thread = thread.name(), trace, "what this thread was at is over");
    if LAST.contains(&message) {
        journal.end();
    }
}

/// What may be told. A message that was put together from values may hold a client's words, or a secret; its place in
/// the source has to do.
fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(literal) = payload.downcast_ref::<&'static str>() {
        return literal;
    }
    match payload.downcast_ref::<String>() {
        Some(text) if NUMBERS.iter().any(|words| text.starts_with(words)) => text,
        _ => "(its message is made of values, which are not told)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::hint::black_box;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use crate::arguments::Arguments;
    use crate::serve;

    /// For the child of a test: its configuration.
    const CHILD: &str = "WSGATE_TEST_PANICS";
    /// Nothing waits so long where all is well.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// What is told of a panic in this.
    fn told(work: impl FnOnce()) -> String {
        let payload = panic::catch_unwind(panic::AssertUnwindSafe(work)).expect_err("a panic");
        message(&*payload).to_owned()
    }

    #[test]
    fn no_value_is_told_but_numbers() {
        let (secret, at, cell) = (black_box("s3cret"), black_box(7), RefCell::new(1));
        assert_eq!(told(|| panic!("as it stands")), "as it stands");
        assert_eq!(told(|| _ = [1, 2][at]), "index out of bounds: the len is 2 but the index is 7");
        assert_eq!(told(|| _ = black_box(&[1, 2][..at])), "range end index 7 out of range for slice of length 2");
        let silent: [fn(&str); 4] = [
            |secret| panic!("no such token: {secret}"),
            |secret| _ = black_box(&secret[..black_box(99)]),
            |secret| black_box(Err::<(), _>(secret)).expect("a token"),
            |secret| panic::panic_any(secret.to_owned()),
        ];
        for silent in silent {
            let told = told(|| silent(secret));
            assert!(!told.contains(secret) && !told.is_empty(), "{told}");
        }
        let _held = cell.borrow_mut();
        assert!(!told(|| *cell.borrow_mut() += 1).is_empty());
        assert!(!told(|| panic::panic_any(1)).is_empty());
    }

    /// The whole program in a process of its own, in which panics come as they are asked for on its standard input.
    struct Program {
        child: Child,
        out: BufReader<UnixStream>,
        err: UnixStream,
    }

    impl Program {
        /// Its standard error is full from the start.
        fn start(folder: &Path) -> Self {
            let pair = || UnixStream::pair().expect("a pair");
            let ((out, its_out), (err, mut its_err)) = (pair(), pair());
            its_err.set_nonblocking(true).expect("switched");
            for size in [4096, 1] {
                while its_err.write(&vec![b'\n'; size]).is_ok() {}
            }
            its_err.set_nonblocking(false).expect("switched");
            for stream in [&out, &err] {
                stream.set_read_timeout(Some(PATIENCE)).expect("set");
            }
            let child = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", "panics::tests::child_that_panics", "--ignored", "--nocapture"])
                .env(CHILD, folder.join("wsgate.toml"))
                .env_remove("RUST_BACKTRACE")
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::from(OwnedFd::from(its_out)))
                .stderr(Stdio::from(OwnedFd::from(its_err)))
                .spawn()
                .expect("a child");
            Self { child, out: BufReader::new(out), err }
        }

        fn hear(&mut self, wanted: &str) {
            let mut line = String::new();
            while !line.starts_with(wanted) {
                line.clear();
                assert!(self.out.read_line(&mut line).expect("read") > 0, "no {wanted:?}");
            }
        }

        fn ask_for(&mut self, panic: &str) {
            let mut stdin = self.child.stdin.as_ref().expect("a pipe");
            stdin.write_all(format!("{panic}\n").as_bytes()).expect("asked");
        }

        /// What stands on standard error until this is there.
        fn read_until(&mut self, piece: &str) -> String {
            let mut bytes = Vec::new();
            while !String::from_utf8_lossy(&bytes).contains(piece) {
                let mut more = [0; 4096];
                let count = self.err.read(&mut more).expect("read");
                assert!(count > 0, "no {piece:?}: {}", String::from_utf8_lossy(&bytes));
                bytes.extend_from_slice(&more[..count]);
            }
            String::from_utf8(bytes).expect("text")
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn metrics(door: &Path) -> String {
        let mut stream = UnixStream::connect(door).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    #[test]
    fn a_panic_is_a_line_and_a_count_and_waits_for_no_reader() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = "workers = 1\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"unix:admin\"\n\
            [[route]]\npath = \"/\"\necho = {}\n";
        std::fs::write(folder.path().join("wsgate.toml"), config).expect("written");
        let mut program = Program::start(folder.path());
        program.hear("listening ");
        for panic in ["literal", "secret"] {
            program.ask_for(panic);
            program.hear("over");
        }
        let text = metrics(&folder.path().join("admin"));
        assert!(text.contains("\nwsgate_panics_total 2\n"), "{text}");
        // Both go on after it: the one that reads now, and the gateway.
        let text = program.read_until("are not told)\"");
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("panic=")).collect();
        let [literal, secret] = lines[..] else { panic!("{text}") };
        for piece in [
            " ERROR wsgate::panics: ",
            " panic=\"on purpose\\nforged\" ",
            " location=\"src/panics.rs:",
            " thread=\"unlucky\"",
        ] {
            assert!(literal.contains(piece), "{piece}: {literal}");
        }
        assert!(!text.contains("s3cret") && secret.contains(" thread=\"unlucky\""), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
        // No way on: what led there is written before the process ends.
        program.ask_for("twice");
        let rest = program.read_until(LAST[0]);
        assert!(rest.contains("panic=\"the first\"") && rest.contains("panic=\"the second\""), "{rest}");
        assert!(!program.child.wait().expect("ended").success());
    }

    struct Falls;

    impl Drop for Falls {
        fn drop(&mut self) {
            panic!("the second");
        }
    }

    fn fall(how: &str) {
        match how {
            "literal" => panic!("on purpose\nforged"),
            "secret" => panic!("{}", black_box("s3cret\nforged")),
            _ => {
                let _falls = Falls;
                panic!("the first");
            }
        }
    }

    #[test]
    #[ignore = "not a test: the child of the one above"]
    fn child_that_panics() {
        let Some(config) = std::env::var_os(CHILD) else { return };
        let unlucky = || {
            for how in std::io::stdin().lines() {
                let how = how.expect("text");
                let thread = thread::Builder::new().name("unlucky".to_owned()).spawn(move || fall(&how));
                thread.expect("a thread").join().expect_err("a panic");
                assert_eq!(crate::output::say("over\n"), 0);
            }
        };
        thread::Builder::new().spawn(unlucky).expect("a thread");
        std::process::exit(serve::serve(&Arguments::naming(config)).into());
    }
}
