//! The admin door of a running gateway, asked from the command line: one request, and the whole answer in time.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use wsgate::Listen;

/// What is asked, and how long and how much is taken of the answer.
pub(crate) struct Question<'a> {
    /// All of it; it says that the connection is to be closed.
    pub(crate) request: &'a [u8],
    /// From connecting to the last byte of the answer.
    pub(crate) patience: Duration,
    /// Bytes of the answer; what is beyond is not read.
    pub(crate) longest: usize,
}

/// The whole answer, its head included. Nothing is waited for beyond the patience, whatever the door does.
pub(crate) fn ask(door: &Listen, question: &Question<'_>) -> io::Result<String> {
    let patience = question.patience;
    // The kernel says of a blocking socket whose time is over that it would block.
    let late = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::new(ErrorKind::TimedOut, format!("not within {patience:?}"))
        }
        _ => error,
    };
    let deadline = Instant::now() + patience;
    connect(door, deadline).and_then(|stream| talk(stream, question, deadline)).map_err(late)
}

/// A connection to this door, or none by then.
pub(crate) fn connect(door: &Listen, deadline: Instant) -> io::Result<Socket> {
    match door {
        // An unspecified address (0.0.0.0, [::]) is this machine's own to whoever connects to it.
        Listen::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            socket.connect_timeout(&SockAddr::from(*address), left(deadline)?)?;
            Ok(socket)
        }
        Listen::Unix(path) => connect_unix(path, deadline),
    }
}

/// A listener that accepts nobody keeps whoever connects waiting, for as long as a write may take (unix(7), SO_SNDTIMEO).
fn connect_unix(path: &Path, deadline: Instant) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn talk(mut stream: Socket, question: &Question<'_>, deadline: Instant) -> io::Result<String> {
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(question.request)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while answer.len() < question.longest {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    String::from_utf8(answer).map_err(io::Error::other)
}

/// The time that is left, which is never none.
pub(crate) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Short, for doors that never answer.
    const SHORT: Duration = Duration::from_millis(200);

    fn ask_shortly(door: &Listen) -> io::Result<String> {
        ask(door, &Question { request: b"GET / HTTP/1.1\r\n\r\n", patience: SHORT, longest: 8 << 10 })
    }

    fn is_late(answer: io::Result<String>) {
        let error = answer.expect_err("no answer");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "not within 200ms".to_owned()));
    }

    #[test]
    fn a_door_that_accepts_nobody_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("door");
        let address = SockAddr::unix(&path).expect("an address");
        let stream = || Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        let door = stream();
        door.bind(&address).expect("bound");
        door.listen(0).expect("listening");
        // Until there is no room for one more.
        let mut waiting = Vec::new();
        loop {
            let one = stream();
            one.set_nonblocking(true).expect("switched");
            match one.connect(&address) {
                Ok(()) => waiting.push(one),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        is_late(ask_shortly(&Listen::Unix(path)));
    }

    #[test]
    fn a_door_that_says_nothing_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("door");
        let _door = UnixListener::bind(&path).expect("bound");
        is_late(ask_shortly(&Listen::Unix(path)));
        let door = TcpListener::bind("127.0.0.1:0").expect("bound");
        is_late(ask_shortly(&Listen::Tcp(door.local_addr().expect("an address"))));
    }

    #[test]
    fn a_door_that_goes_on_and_on_has_no_more_time_than_another() {
        let door = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = door.local_addr().expect("an address");
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = door.accept().expect("accepted");
                stream.set_read_timeout(Some(SHORT / 10)).expect("set");
                // A byte now and then, for as long as there is somebody.
                while stream.write_all(b"H").is_ok() {
                    if matches!(stream.read(&mut [0; 256]), Ok(0)) {
                        break;
                    }
                }
            });
            is_late(ask_shortly(&Listen::Tcp(address)));
        });
    }
}
