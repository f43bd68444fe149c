//! The terminal: taken over, drawn on, and given back as it was, whatever happens.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::{DefaultTerminal, try_init, try_restore};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::draw::draw;
use super::palette::Palette;
use super::plain::Plain;
use super::state::{Act, State};
use super::watch::{News, Watch};

/// What may wait to be seen, and orders that may wait to be carried out: whoever is ahead waits.
const WAITING: usize = 64;

/// What wakes the screen.
enum Happening {
    News(News),
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// A signal: it is time to leave.
    Leave,
    /// The terminal gives no keys any more.
    Deaf(io::Error),
    /// This thread has fallen over.
    Broken(&'static str),
}

/// The terminal, which is given back when this is dropped, and before a panic tells of itself.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal has gone there is nothing to give back.
        let _ = self.0.show_cursor();
        let _ = try_restore();
    }
}

/// Shows it until the operator leaves.
///
/// # Errors
/// The terminal cannot be taken over or written to; a thread cannot be started, or has fallen over.
pub(crate) fn show(watch: Watch, mut state: State, palette: Palette) -> io::Result<()> {
    let (tell, happenings) = sync_channel(WAITING);
    let (order, orders) = sync_channel(WAITING);
    let mut screen = Screen(try_init()?);
    start("top-watch", &tell, move |tell| watch.run(&orders, |news| tell.send(Happening::News(news)).is_ok()))?;
    start("top-keys", &tell, read_keys)?;
    start("top-signals", &tell, wait_for_signals)?;
    drop(tell);
    loop {
        screen.0.draw(|frame| draw(frame, &state, palette))?;
        let Ok(first) = happenings.recv() else { return Ok(()) };
        // All that has come meanwhile is drawn at once.
        for happening in std::iter::once(first).chain(happenings.try_iter()) {
            match happening {
                Happening::News(news) => state.take(news),
                Happening::Key(key) => match state.key(key) {
                    Act::Leave => return Ok(()),
                    Act::Nothing => {}
                    Act::Order(wanted) => {
                        if order.try_send(wanted).is_err() {
                            state.take(News::Done(Err(Plain::of("too many orders wait for the gateway"))));
                        }
                    }
                },
                Happening::Resized => {}
                Happening::Leave => return Ok(()),
                Happening::Deaf(error) => return Err(error),
                Happening::Broken(name) => return Err(io::Error::other(format!("the thread {name} has fallen over"))),
            }
        }
    }
}

/// A thread that is not waited for: what it does ends with the program.
fn start(
    name: &'static str,
    tell: &SyncSender<Happening>,
    work: impl FnOnce(&SyncSender<Happening>) + Send + 'static,
) -> io::Result<()> {
    let fall = Fall { name, tell: tell.clone() };
    Builder::new().name(name.to_owned()).spawn(move || work(&fall.tell)).map(drop)
}

/// Says that its thread has fallen over, if it has.
struct Fall {
    name: &'static str,
    tell: SyncSender<Happening>,
}

impl Drop for Fall {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.tell.send(Happening::Broken(self.name));
        }
    }
}

fn read_keys(tell: &SyncSender<Happening>) {
    loop {
        let happening = match event::read() {
            Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => Happening::Key(key),
            Ok(Event::Resize(..)) => Happening::Resized,
            Ok(_) => continue,
            Err(error) => Happening::Deaf(error),
        };
        let is_last = matches!(happening, Happening::Deaf(_));
        if tell.send(happening).is_err() || is_last {
            return;
        }
    }
}

/// Ctrl-C is a key here; who sends a signal means the program, which must not leave the terminal as it is.
fn wait_for_signals(tell: &SyncSender<Happening>) {
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_io().build() else { return };
    let came = runtime.block_on(async {
        let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        let [Ok(mut term), Ok(mut int), Ok(mut hup)] = signals else { return false };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
        true
    });
    if came {
        let _ = tell.send(Happening::Leave);
    }
}
