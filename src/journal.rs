//! The log's way out: lines wait for a thread that writes them. Where it cannot keep up, lines are lost, counted and told
//! of; nobody waits.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wsgate::Handle;

use crate::outlet::Outlet;

/// How long the end waits while nothing at all is taken from it.
const STALL: Duration = Duration::from_secs(1);
/// How long it waits for one who reads slowly.
const FAREWELL: Duration = Duration::from_secs(10);

thread_local! {
    /// Whether this thread is the one that writes.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Where lines are left, from any thread.
pub(crate) struct Journal {
    state: Mutex<State>,
    /// There is something to write, or nothing more will come.
    news: Condvar,
    /// Everything is written.
    over: Condvar,
    /// Locked by nobody but the thread that writes.
    out: Mutex<Outlet>,
    /// Lines that may wait.
    most: usize,
    gateway: OnceLock<Handle>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Waiting>,
    /// Lines that were lost, ever.
    lost: u64,
    /// Lines that could not be written, ever.
    unwritten: u64,
    /// The file is to be opened again.
    reopen: bool,
    /// How often the writer has come for more.
    turns: u64,
    phase: Phase,
}

struct Waiting {
    line: Vec<u8>,
    /// Lines that had been lost before it.
    lost: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// What waits is still written.
    Ending,
    Over,
}

enum Step {
    Write(Vec<u8>),
    /// So many were lost here.
    Tell(u64),
    Reopen,
    End,
}

/// What the log has to say of itself.
#[derive(Debug)]
pub(crate) enum News {
    /// So many lines are missing here: they were not read in time.
    Lost(u64),
    /// So many lines are missing here: they could not be written.
    Unwritten(u64, io::Error),
    /// The file was opened again.
    Reopened,
    /// There is no file.
    NoFile,
    /// The file could not be opened again: the old one goes on.
    NotReopened(io::Error),
}

impl Journal {
    /// Starts the thread that writes. `tell` is called on it, where lines are missing too; what it leaves in the journal is
    /// written at once.
    ///
    /// # Errors
    /// There can be no more threads.
    pub(crate) fn start(out: Outlet, most: usize, tell: impl Fn(News) + Send + 'static) -> io::Result<Arc<Self>> {
        let journal = Arc::new(Self {
            state: Mutex::default(),
            news: Condvar::new(),
            over: Condvar::new(),
            out: Mutex::new(out),
            most,
            gateway: OnceLock::new(),
        });
        let writer = Arc::clone(&journal);
        thread::Builder::new().name("wsgate-log".to_owned()).spawn(move || writer.run(tell))?;
        Ok(journal)
    }

    /// From now on this gateway's metrics tell how many lines were lost.
    pub(crate) fn report_to(&self, gateway: Handle) {
        let state = self.state.lock();
        gateway.log_lines_lost(state.lost + state.unwritten);
        // Whoever was first stays.
        let _ = self.gateway.set(gateway);
    }

    /// Leaves text, to the end of a line. Never waits.
    pub(crate) fn leave(&self, line: &[u8]) {
        let line = line.to_vec();
        let mut state = self.state.lock();
        if state.lines.len() < self.most && state.phase != Phase::Over {
            let lost = state.lost;
            state.lines.push_back(Waiting { line, lost });
            self.news.notify_one();
            return;
        }
        state.lost += 1;
        if let Some(gateway) = self.gateway.get() {
            gateway.log_lines_lost(1);
        }
    }

    /// Opens the file again under its name, where the log has one. What waits is written there already.
    pub(crate) fn reopen(&self) {
        self.state.lock().reopen = true;
        self.news.notify_one();
    }

    /// Counts a panic in this gateway's metrics.
    pub(crate) fn count_panic(&self) {
        if let Some(gateway) = self.gateway.get() {
            gateway.panicked();
        }
    }

    /// Waits until everything is written, as long as somebody reads it: [`FAREWELL`] at most. The thread that writes does
    /// not wait for itself.
    pub(crate) fn end(&self) {
        if WRITES.get() {
            return;
        }
        let deadline = Instant::now() + FAREWELL;
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Ending;
            self.news.notify_one();
        }
        while state.phase != Phase::Over {
            let turns = state.turns;
            let waited = self.over.wait_for(&mut state, STALL);
            if waited.timed_out() && (state.turns == turns || Instant::now() > deadline) {
                return;
            }
        }
    }

    fn run(&self, tell: impl Fn(News)) {
        WRITES.set(true);
        let mut told = 0;
        loop {
            match self.next(told) {
                Step::Write(line) => {
                    self.settle(&tell);
                    self.put(&line);
                }
                Step::Tell(lost) => {
                    told += lost;
                    self.settle(&tell);
                    tell(News::Lost(lost));
                }
                Step::Reopen => {
                    let reopened = self.out.lock().reopen();
                    self.settle(&tell);
                    tell(match reopened {
                        None => News::NoFile,
                        Some(Ok(())) => News::Reopened,
                        Some(Err(error)) => News::NotReopened(error),
                    });
                }
                Step::End => return,
            }
        }
    }

    /// Before the first line that can be written again stands how many could not be.
    fn settle(&self, tell: &impl Fn(News)) {
        let unwritten = self.out.lock().owed();
        if let Some((lines, error)) = unwritten {
            tell(News::Unwritten(lines, error));
        }
    }

    /// Writes a line, or counts it.
    fn put(&self, line: &[u8]) {
        let written = self.out.lock().write(line);
        match written {
            Ok(()) => {}
            // A reader that has gone is nobody's loss.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                self.out.lock().owe(1, &error);
                let mut state = self.state.lock();
                state.unwritten += 1;
                if let Some(gateway) = self.gateway.get() {
                    gateway.log_lines_lost(1);
                }
            }
        }
    }

    fn next(&self, told: u64) -> Step {
        let mut state = self.state.lock();
        state.turns += 1;
        loop {
            if std::mem::take(&mut state.reopen) {
                return Step::Reopen;
            }
            // Lines are told of where they are missing.
            let lost = state.lines.front().map_or(state.lost, |first| first.lost) - told;
            if lost > 0 {
                return Step::Tell(lost);
            }
            if let Some(first) = state.lines.pop_front() {
                return Step::Write(first.line);
            }
            if state.phase != Phase::Open {
                state.phase = Phase::Over;
                self.over.notify_all();
                return Step::End;
            }
            self.news.wait(&mut state);
        }
    }
}

/// Ends the journal when it goes, be it by a panic: what led there is written.
pub(crate) struct Last(pub(crate) Arc<Journal>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// One line for each call.
impl Write for &Journal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match WRITES.get() {
            // What the log says of itself is owed until it can be written.
            true => drop(self.out.lock().write(line)),
            false => self.leave(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// Each write waits until it is taken.
    struct Pipe(SyncSender<String>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).expect("text");
            self.0.send(text).map(|()| bytes.len()).map_err(io::Error::other)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A journal for so many lines, and its reader.
    fn journal(most: usize) -> (Arc<Journal>, Receiver<String>) {
        let (out, reader) = sync_channel(0);
        let own = Arc::new(OnceLock::<Arc<Journal>>::new());
        let journal = Arc::clone(&own);
        let tell = move |news| {
            let mut journal = &**journal.get().expect("set");
            let told = match news {
                News::Lost(lost) => format!("lost {lost}"),
                news => format!("{news:?}"),
            };
            journal.write_all(told.as_bytes()).expect("written");
        };
        let journal = Journal::start(Outlet::to(Pipe(out)), most, tell).expect("a thread");
        assert!(own.set(Arc::clone(&journal)).is_ok());
        (journal, reader)
    }

    /// Leaves the first line, and waits until the writer has it in hand.
    fn begin(journal: &Journal) {
        journal.leave(b"first");
        while !journal.state.lock().lines.is_empty() {
            thread::yield_now();
        }
    }

    #[test]
    fn lines_that_cannot_wait_are_lost_and_told_of_in_their_place() {
        let (journal, reader) = journal(2);
        begin(&journal);
        for line in ["second", "third", "fourth", "fifth"] {
            journal.leave(line.as_bytes());
        }
        assert_eq!(journal.state.lock().lost, 2);
        assert_eq!([(); 2].map(|()| reader.recv().expect("a line")), ["first", "second"]);
        // There is room again, behind the gap.
        while journal.state.lock().lines.len() > 1 {
            thread::yield_now();
        }
        journal.leave(b"sixth");
        let rest: Vec<String> = (0..3).map(|_| reader.recv().expect("a line")).collect();
        assert_eq!(rest, ["third", "lost 2", "sixth"]);
    }

    #[test]
    fn without_a_file_nothing_is_opened_again() {
        let (journal, reader) = journal(9);
        begin(&journal);
        journal.reopen();
        journal.leave(b"second");
        assert_eq!([(); 3].map(|()| reader.recv().expect("a line")), ["first", "NoFile", "second"]);
    }

    #[test]
    fn the_end_waits_for_what_is_left() {
        let (read, reader) = journal(9);
        for line in ["second", "third"] {
            read.leave(line.as_bytes());
        }
        let all = thread::scope(|scope| {
            let all = scope.spawn(move || reader.iter().take(2).collect::<Vec<_>>());
            read.end();
            all.join().expect("read")
        });
        assert_eq!(all, ["second", "third"]);
        assert!(read.state.lock().phase == Phase::Over);
        read.leave(b"too late");
        assert_eq!(read.state.lock().lost, 1);
    }

    #[test]
    fn a_panic_loses_no_line() {
        let (journal, reader) = journal(9);
        let all = thread::scope(|scope| {
            let all = scope.spawn(move || reader.iter().take(2).collect::<Vec<_>>());
            let fallen = scope.spawn(|| {
                let last = Last(Arc::clone(&journal));
                last.0.leave(b"one");
                last.0.leave(b"two");
                panic!("on purpose");
            });
            assert!(fallen.join().is_err());
            // All that was left is written already.
            assert!(journal.state.lock().phase == Phase::Over);
            all.join().expect("read")
        });
        assert_eq!(all, ["one", "two"]);
    }

    #[test]
    fn the_end_is_bounded_for_who_does_not_read() {
        let (stalled, _reader) = journal(9);
        begin(&stalled);
        let since = Instant::now();
        stalled.end();
        assert!(since.elapsed() >= STALL && stalled.state.lock().phase == Phase::Ending);
    }
}
