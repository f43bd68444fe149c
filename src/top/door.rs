//! The admin door as a client sees it: where it is, what opens it, and one question at a time.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::Socket;
use url::Url;
use wsgate::{AdminToken, Listen};

use super::plain::Plain;
use crate::door::{connect, left};

/// From connecting to the last byte of an answer: as long as the door itself takes for one at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer: a thousand connections are half a million, and hundreds of routes no more.
const LONGEST: usize = 32 << 20;
/// Bytes of a file that are read for its first line.
const TOKEN_MAX: u64 = 1026;

/// A door, and what opens the part of it that needs a token.
pub(crate) struct Door {
    place: Place,
    token: Result<Token, String>,
}

enum Place {
    Listen(Listen),
    /// Asked for anew each time, since names may come to mean other addresses.
    Url(Url),
}

/// Not to be shown to anybody.
struct Token(String);

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Door {
    /// That of a configuration.
    #[must_use]
    pub(crate) fn configured(listen: Listen, token: Option<&AdminToken>) -> Self {
        let token = match token {
            None => Err("[admin] of the configuration has no token".to_owned()),
            Some(AdminToken::File(file)) => Token::read(file),
            Some(AdminToken::Variable(name)) => match std::env::var(name) {
                Ok(text) => Token::parse(&text).ok_or_else(|| format!("there is no token in {name}")),
                Err(_) => Err(format!("the variable {name} is not set")),
            },
        };
        Self { place: Place::Listen(listen), token }
    }

    /// That of `http://HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// What else it is, in words.
    pub(crate) fn named(text: &str, token: Option<&Path>) -> Result<Self, String> {
        let token = token.map_or_else(|| Err("there is no --token-file".to_owned()), Token::read);
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self { place: Place::Listen(Listen::Unix(path.into())), token });
        }
        let allowed = || format!("--admin {text:?} is not http://HOST:PORT or unix:PATH");
        let url = Url::parse(text).map_err(|_| allowed())?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !url.has_host() || !is_bare || !url.username().is_empty() {
            return Err(allowed());
        }
        Ok(Self { place: Place::Url(url), token })
    }

    /// Where it is.
    #[must_use]
    pub(crate) fn address(&self) -> Plain {
        match &self.place {
            Place::Listen(Listen::Tcp(address)) => Plain::of(&format!("http://{address}")),
            Place::Listen(Listen::Unix(path)) => Plain::of(&format!("unix:{}", path.display())),
            Place::Url(url) => Plain::of(url.as_str().trim_end_matches('/')),
        }
    }

    /// Why what needs a token cannot be asked, if so.
    #[must_use]
    pub(crate) fn closed(&self) -> Option<&str> {
        self.token.as_ref().err().map(String::as_str)
    }

    /// Asks, with the token where there is one. Nothing is waited for beyond ten seconds, names apart.
    ///
    /// # Errors
    /// There is nobody, or nobody who speaks HTTP, or not in time.
    pub(crate) fn ask(&self, line: &str, body: Option<&str>) -> io::Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        let exchange = self.connect(deadline).and_then(|stream| self.talk(stream, (line, body), deadline));
        exchange.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                io::Error::new(ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"))
            }
            _ => error,
        })
    }

    fn connect(&self, deadline: Instant) -> io::Result<Socket> {
        match &self.place {
            Place::Listen(listen) => connect(listen, deadline),
            Place::Url(url) => {
                let mut last = io::Error::new(ErrorKind::NotFound, "this name has no address");
                for address in url.socket_addrs(|| None)? {
                    match connect(&Listen::Tcp(address), deadline) {
                        Ok(stream) => return Ok(stream),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }

    /// HTTP/1.0, to which answers come whole and end with the connection (RFC 9112 §6.1 and §9.3).
    fn talk(&self, mut stream: Socket, (line, body): (&str, Option<&str>), deadline: Instant) -> io::Result<Answer> {
        let host = match &self.place {
            Place::Url(url) => url.authority(),
            Place::Listen(_) => "localhost",
        };
        let mut request = format!("{line} HTTP/1.0\r\nHost: {host}\r\n");
        if let Ok(Token(token)) = &self.token {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        if let Some(body) = body {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        request += body.unwrap_or_default();
        stream.set_write_timeout(Some(left(deadline)?))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        loop {
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut piece) {
                Ok(0) => return Answer::read(&answer),
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if answer.len() > LONGEST {
                return Err(io::Error::other("the answer is too long"));
            }
        }
    }
}

impl Token {
    fn read(file: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let read = File::open(file).and_then(|file| file.take(TOKEN_MAX).read_to_string(&mut text));
        read.map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        Self::parse(&text).ok_or_else(|| format!("there is no token in {}", file.display()))
    }

    /// The first line. What could not stand in a header is none: it would end the line, or the request.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next().unwrap_or_default().trim();
        let is_sound = !line.is_empty() && !line.chars().any(char::is_control);
        is_sound.then(|| Self(line.to_owned()))
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(ErrorKind::InvalidData, what);
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        if text.is_empty() {
            return Err(wrong("it hung up"));
        }
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| wrong("the answer has no end of its head"))?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status = status.ok_or_else(|| wrong("the answer is no HTTP"))?;
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        for (name, value) in lines.filter_map(header) {
            match name.as_str() {
                "content-length" if value != body.len().to_string() => return Err(wrong("the answer was cut off")),
                "transfer-encoding" => return Err(wrong("the answer has a coding that was not asked for")),
                _ => {}
            }
        }
        Ok(Self { status, body: body.to_owned() })
    }
}

/// A value for a query (RFC 3986 §2.1).
#[must_use]
pub(crate) fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_named_by_a_bare_address() {
        for (text, address) in [
            ("http://127.0.0.1:9443", "http://127.0.0.1:9443"),
            ("http://[::1]:9443/", "http://[::1]:9443"),
            ("http://Gate.Example", "http://gate.example"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
        ] {
            assert_eq!(Door::named(text, None).expect(text).address().as_str(), address);
        }
        for text in [
            "",
            "unix:",
            "127.0.0.1:9443",
            "https://h",
            "http://",
            "http://h/metrics",
            "http://h?a",
            "http://a@h",
            "ws://h",
        ] {
            let told = Door::named(text, None).err().unwrap_or_default();
            assert!(told.ends_with("is not http://HOST:PORT or unix:PATH"), "{text:?}: {told}");
        }
    }

    #[test]
    fn a_token_is_one_line_that_a_header_can_hold() {
        assert_eq!(Token::parse("0123456789abcdef\nmore").map(|token| token.0), Some("0123456789abcdef".to_owned()));
        assert!(Token::parse("").is_none() && Token::parse("\nx").is_none() && Token::parse("a\rb: c").is_none());
        let absent = Door::named("http://h", Some(Path::new("/nonexistent/token"))).expect("a door");
        assert!(absent.closed().is_some_and(|why| why.contains("/nonexistent/token cannot be read")));
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = Answer::read(b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nok\n").expect("whole");
        assert_eq!((whole.status, whole.body.as_str()), (200, "ok\n"));
        for bytes in [
            &b""[..],
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.0 20",
            b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nok\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n\xff",
        ] {
            assert!(Answer::read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn values_of_queries_are_escaped() {
        assert_eq!(escaped("ws://h:1/a b&c"), "ws%3A%2F%2Fh%3A1%2Fa+b%26c");
    }
}
