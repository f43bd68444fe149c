//! What the experiments share: new guests of the server, one guest who only watches, and whether the server lives.

use std::time::{Duration, Instant};

use super::answer::Answered;
use super::findings::Audience;
use super::frames::{Frame, text};
use super::line::{Heard, Line, More};
use super::place::{Approach, Place};
use super::request::{Asked, Request};
use crate::client::random;
use crate::lifecycle::clock as time;

/// The shortest time without a sound after which nothing more is expected: a busy server may take that long. It is also
/// this part of the limit, so that who allows more is more patient in all.
const QUIET: Duration = Duration::from_millis(300);
const QUIET_PART: u32 = 16;
/// Between the pieces of what is to arrive in two segments: long enough for a server to read the first.
const GAP: Duration = Duration::from_millis(80);
/// Frames that are kept of what is heard at one time.
const FRAMES_MAX: usize = 1000;
/// How often a server is asked whether it lives before it is said to be dead.
const CHECKS: usize = 2;

/// What an upgrade request led to.
pub(super) struct Reply {
    /// In one word.
    pub(super) answered: Answered,
    /// The WebSocket, if there is one.
    pub(super) line: Option<Line>,
    /// The answer's bytes up to its frames.
    pub(super) head: Vec<u8>,
    /// From the request to the answer.
    pub(super) took: Duration,
}

/// Whether the server lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// A new guest is served, and the watcher is still connected.
    Well,
    /// A new guest is served, but the watcher's connection was cut.
    Reborn,
    /// A new guest is not served; why.
    Gone(String),
}

/// The server under test and what is known of its manners.
pub(super) struct Bench {
    /// Where it is.
    pub(super) place: Place,
    /// What clients ask it for.
    pub(super) asked: Asked,
    /// How long any answer may take.
    pub(super) limit: Duration,
    /// How long silence must last to mean something.
    pub(super) quiet: Duration,
    /// How long a message takes to arrive.
    pub(super) trip: Duration,
    /// Who hears messages.
    pub(super) audience: Audience,
    watcher: Option<Line>,
    run: String,
    said: u32,
}

impl Bench {
    /// A bench for this server; nobody is connected yet.
    pub(super) fn new(place: Place, asked: Asked, limit: Duration) -> Self {
        let run = u32::from_be_bytes(random());
        let run = format!("{run:08x}");
        Self { place, asked, limit, quiet: limit, trip: limit, audience: Audience::Nobody, watcher: None, run, said: 0 }
    }

    /// Something that nobody has said before; none is a part of another.
    pub(super) fn words(&mut self) -> String {
        self.said += 1;
        format!("wsgate probe {} {:04}.", self.run, self.said)
    }

    /// Learns from a round trip how long silence must last.
    pub(super) fn learn(&mut self, trip: Duration) {
        self.trip = trip;
        let least = QUIET.max(self.limit / QUIET_PART).min(self.limit);
        self.quiet = (trip * 10).clamp(least, self.limit);
    }

    /// The gateway's own request.
    pub(super) fn request(&self) -> Request {
        Request::canonical(&self.asked)
    }

    /// Asks for an upgrade, in the request's pieces. Who is refused leaves at once.
    pub(super) async fn ask(&self, request: &Request, approach: Approach) -> Reply {
        let start = Instant::now();
        let nobody = |answered| Reply { answered, line: None, head: Vec::new(), took: start.elapsed() };
        let mut line = match time::timeout(self.limit, self.place.connect(approach)).await {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => return nobody(Answered::NoConnection(error.to_string())),
            Err(_) => return nobody(Answered::NoConnection("it took too long".to_owned())),
        };
        self.send_pieces(&mut line, &request.pieces).await;
        let (answered, size) = self.answer(&mut line, request).await;
        let took = start.elapsed();
        let head = line.bytes.drain(..size).collect();
        if answered.is_right() {
            return Reply { answered, line: Some(line), head, took };
        }
        line.leave().await;
        Reply { answered, line: None, head, took }
    }

    async fn answer(&self, line: &mut Line, request: &Request) -> (Answered, usize) {
        let until = time::Instant::now() + self.limit;
        loop {
            let more = line.more(until).await;
            let over = more == More::Over;
            if let Some(answered) = Answered::read(&line.bytes, &request.accept, &request.offered, over) {
                return answered;
            }
            if more == More::Quiet {
                return (Answered::Silent, 0);
            }
        }
    }

    /// Writes piece by piece, with time in between for the server to read each.
    pub(super) async fn send_pieces(&self, line: &mut Line, pieces: &[Vec<u8>]) {
        for (at, piece) in pieces.iter().enumerate() {
            if at > 0 {
                time::sleep(GAP).await;
            }
            line.send(piece, self.limit).await;
        }
    }

    /// A new guest, let in by the canonical request.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(super) async fn guest(&self) -> Result<Line, Answered> {
        self.guest_by(Approach::default()).await
    }

    /// The same, connected in this way.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(super) async fn guest_by(&self, approach: Approach) -> Result<Line, Answered> {
        let reply = self.ask(&self.request(), approach).await;
        reply.line.ok_or(reply.answered)
    }

    /// Lets a guest in who only watches, from now on.
    ///
    /// # Errors
    /// What it was answered instead.
    pub(super) async fn watch(&mut self) -> Result<(), Answered> {
        self.watcher = Some(self.guest().await?);
        Ok(())
    }

    /// The guest who watches; the other one if there is none.
    pub(super) fn watcher_or<'l>(&'l mut self, guest: &'l mut Line) -> &'l mut Line {
        self.watcher.as_mut().unwrap_or(guest)
    }

    /// Whoever hears what this guest says.
    pub(super) fn ear<'l>(&'l mut self, guest: &'l mut Line) -> &'l mut Line {
        if self.audience == Audience::Others { self.watcher_or(guest) } else { guest }
    }

    /// Who hears these words of the guest, who has said them just now, and how soon.
    pub(super) async fn who_hears(&mut self, guest: &mut Line, words: &str) -> (Audience, Duration) {
        let (start, long) = (Instant::now(), (self.limit, self.limit));
        let Some(mut watcher) = self.watcher.take() else { return (Audience::Nobody, Duration::ZERO) };
        let heard = |frames: &[Frame]| frames.iter().any(|frame| frame.says(words));
        let first = tokio::select! {
            frames = gather(guest, long, heard) => if heard(&frames) { Audience::Sender } else { Audience::Nobody },
            frames = gather(&mut watcher, long, heard) => if heard(&frames) { Audience::Others } else { Audience::Nobody },
        };
        let trip = start.elapsed();
        let other = match first {
            Audience::Sender => Some(&mut watcher),
            Audience::Others => Some(guest),
            Audience::Everyone | Audience::Nobody => None,
        };
        self.audience = first;
        if let Some(other) = other {
            self.learn(trip);
            if heard(&gather(other, (self.quiet, self.limit), heard).await) {
                self.audience = Audience::Everyone;
            }
        }
        self.watcher = Some(watcher);
        (self.audience, trip)
    }

    /// Listens where this guest's messages arrive, until all of these words have, or there is silence.
    pub(super) async fn listen(&mut self, guest: &mut Line, words: &[String]) -> Vec<Frame> {
        let (quiet, limit) = (self.quiet, self.limit);
        let all = |frames: &[Frame]| count(frames, words) == words.len();
        gather(self.ear(guest), (quiet, limit), all).await
    }

    /// Whether a message with these bytes comes back to where it should.
    pub(super) async fn carries(&mut self, guest: &mut Line, bytes: &[u8], words: String) -> bool {
        guest.send(bytes, self.limit).await;
        let words = [words];
        count(&self.listen(guest, &words).await, &words) == 1
    }

    /// Whether a new guest is let in and heard.
    ///
    /// # Errors
    /// What went wrong instead.
    pub(super) async fn check(&mut self) -> Result<(), String> {
        let mut guest = self.guest().await.map_err(|answered| format!("a new guest: {answered}"))?;
        let words = self.words();
        let quiet = std::mem::replace(&mut self.quiet, self.limit);
        let heard = self.audience == Audience::Nobody || self.carries(&mut guest, &text(&words), words).await;
        self.quiet = quiet;
        guest.leave().await;
        if heard { Ok(()) } else { Err("a new guest is let in, but its message arrives nowhere".to_owned()) }
    }

    /// Whether the server lives, and has lived since the last time.
    pub(super) async fn health(&mut self) -> Health {
        let cut = match &mut self.watcher {
            Some(watcher) => watcher.is_over().await,
            None => false,
        };
        if cut && self.watch().await.is_err() {
            self.watcher = None;
        }
        let mut gone = String::new();
        for _ in 0..CHECKS {
            match self.check().await {
                Ok(()) if cut => return Health::Reborn,
                Ok(()) => return Health::Well,
                Err(why) => gone = why,
            }
            time::sleep(self.quiet).await;
        }
        Health::Gone(gone)
    }

    /// The watcher leaves too.
    pub(super) async fn end(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.leave().await;
        }
    }
}

/// Reads frames until there are enough, the first silence, or the end of the second time. Cancel safe but for the
/// frames that it has taken.
pub(super) async fn gather(
    line: &mut Line,
    (quiet, limit): (Duration, Duration),
    enough: impl Fn(&[Frame]) -> bool,
) -> Vec<Frame> {
    let end = time::Instant::now() + limit.max(quiet);
    let mut frames = Vec::new();
    while !enough(&frames) && frames.len() < FRAMES_MAX {
        let until = end.min(time::Instant::now() + quiet);
        match line.frame(until).await {
            Heard::Frame(frame) => frames.push(frame),
            Heard::Over | Heard::Quiet => break,
        }
    }
    frames
}

/// How many of these words have arrived as messages of their own.
pub(super) fn count(frames: &[Frame], words: &[String]) -> usize {
    // A server that glues two messages into one has lost the second: a frame counts once.
    let mut left: Vec<&String> = words.iter().collect();
    for frame in frames {
        if let Some(at) = left.iter().position(|words| frame.says(words)) {
            left.remove(at);
        }
    }
    words.len() - left.len()
}
