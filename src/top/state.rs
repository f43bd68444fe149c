//! What the screen shows, and what keys do to it: no terminal and no door is known here.

use std::sync::Arc;
use std::time::Instant;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::desk::{Census, Connection};
use super::dialog::{Answer, Dialog, Drain, Kick};
use super::figures::Figures;
use super::history::History;
use super::plain::Plain;
use super::table::{Sort, rows};
use super::watch::{Desk, News, Order, Sample};

/// Characters of a filter.
const FILTER: usize = 60;
/// Rows that a page key goes.
const LEAP: isize = 10;

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Where it is looked, and how often.
    pub(crate) about: (Plain, String),
    pub(crate) figures: Option<Figures>,
    pub(crate) history: History,
    pub(crate) census: Option<Arc<Census>>,
    /// Why what needs the token is not told.
    pub(crate) closed: Option<Plain>,
    /// Why the gateway does not answer, and since when.
    pub(crate) gone: Option<(Plain, Instant)>,
    pub(crate) page: Page,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) sort: Sort,
    pub(crate) is_reversed: bool,
    pub(crate) filter: String,
    /// Whether what is typed goes into the filter.
    pub(crate) is_filtering: bool,
    /// The connection that is selected, wherever it stands.
    pub(crate) selected: Option<u64>,
    pub(crate) focus: Option<Result<Connection, Plain>>,
    /// The backend that is selected.
    pub(crate) backend: usize,
    /// What came of the last order.
    pub(crate) note: Option<Result<String, Plain>>,
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    #[default]
    Overview,
    /// The table alone.
    Connections,
    /// All that is known of one.
    Connection,
    Backends,
    Help,
}

/// What a key asks of others.
#[derive(Debug, PartialEq)]
pub(crate) enum Act {
    Nothing,
    Leave,
    Order(Order),
}

impl State {
    /// Something has been seen, or done.
    pub(crate) fn take(&mut self, news: News) {
        match news {
            News::Sample(sample) => self.see(*sample),
            News::Gone(why) => {
                let since = self.gone.as_ref().map_or_else(Instant::now, |(_, since)| *since);
                self.gone = Some((why, since));
            }
            News::Done(done) => self.note = Some(done),
        }
    }

    fn see(&mut self, sample: Sample) {
        self.gone = None;
        self.history.add(&sample);
        self.figures = Some(Figures::of(&sample, &self.history));
        match sample.desk {
            Desk::Closed(why) => {
                (self.closed, self.census, self.focus) = (Some(why), None, None);
            }
            Desk::Open { census, focus, .. } => {
                (self.closed, self.census, self.focus) = (None, Some(census), focus.map(|told| *told));
            }
        }
        self.backend = self.backend.min(self.backends().saturating_sub(1));
        if self.selected.is_some_and(|id| !self.rows().iter().any(|row| row.id == id)) {
            self.selected = None;
        }
    }

    /// The connections of the table, in its order.
    #[must_use]
    pub(crate) fn rows(&self) -> Vec<&Connection> {
        let all = self.census.as_ref().map_or(&[][..], |census| &census.connections);
        rows(all, &self.filter, (self.sort, self.is_reversed))
    }

    fn backends(&self) -> usize {
        self.figures.as_ref().map_or(0, |figures| figures.backends.len())
    }

    /// One more key.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Act {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Act::Leave } else { Act::Nothing };
        }
        if let Some(dialog) = &mut self.dialog {
            let answer = dialog.key(key.code);
            return match answer {
                Answer::Asking => Act::Nothing,
                Answer::No => self.asked(None),
                Answer::Yes(order) => self.asked(Some(order)),
            };
        }
        if self.is_filtering {
            self.type_filter(key.code);
            return Act::Nothing;
        }
        self.note = None;
        match self.page {
            Page::Help => self.back(Page::Overview),
            Page::Backends => self.key_backends(key.code),
            Page::Connection => self.key_connection(key.code),
            Page::Overview | Page::Connections => self.key_table(key.code),
        }
    }

    fn asked(&mut self, order: Option<Order>) -> Act {
        self.dialog = None;
        order.map_or(Act::Nothing, Act::Order)
    }

    fn back(&mut self, page: Page) -> Act {
        self.page = page;
        Act::Nothing
    }

    fn key_table(&mut self, key: KeyCode) -> Act {
        match key {
            KeyCode::Char('q') => return Act::Leave,
            // First what narrows the view is undone, then it is left.
            KeyCode::Esc if !self.filter.is_empty() => self.filter.clear(),
            KeyCode::Esc if self.page == Page::Connections => self.page = Page::Overview,
            KeyCode::Esc => return Act::Leave,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.page = Page::Help,
            KeyCode::Char('b') => self.page = Page::Backends,
            KeyCode::Tab => {
                let is_whole = self.page == Page::Connections;
                self.page = if is_whole { Page::Overview } else { Page::Connections };
            }
            KeyCode::Char('/') => self.is_filtering = true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('r') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('k') => self.ask_kick(),
            KeyCode::Enter => {
                let Some(id) = self.selected else { return Act::Nothing };
                self.page = Page::Connection;
                return Act::Order(Order::Focus(Some(id)));
            }
            other => self.go(step(other)),
        }
        Act::Nothing
    }

    fn key_connection(&mut self, key: KeyCode) -> Act {
        match key {
            KeyCode::Char('k') => self.ask_kick(),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') | KeyCode::Backspace => {
                (self.page, self.focus) = (Page::Overview, None);
                return Act::Order(Order::Focus(None));
            }
            _ => {}
        }
        Act::Nothing
    }

    fn key_backends(&mut self, key: KeyCode) -> Act {
        match key {
            KeyCode::Char('b' | 'q') | KeyCode::Esc => self.page = Page::Overview,
            KeyCode::Char('d') | KeyCode::Enter => self.ask_drain(),
            KeyCode::Char('?') => self.page = Page::Help,
            other => {
                let last = self.backends().saturating_sub(1);
                self.backend = self.backend.saturating_add_signed(step(other).unwrap_or(0)).min(last);
            }
        }
        Act::Nothing
    }

    fn type_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.is_filtering = false,
            KeyCode::Esc => {
                self.is_filtering = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(one) if !one.is_control() && self.filter.chars().count() < FILTER => self.filter.push(one),
            _ => {}
        }
    }

    /// The selection goes so many rows; the first step selects the first.
    fn go(&mut self, step: Option<isize>) {
        let Some(step) = step else { return };
        let rows = self.rows();
        let Some(last) = rows.len().checked_sub(1) else { return };
        let now = self.selected.and_then(|id| rows.iter().position(|row| row.id == id));
        let next =
            now.map_or(if step == isize::MAX { last } else { 0 }, |now| now.saturating_add_signed(step).min(last));
        self.selected = rows.get(next).map(|row| row.id);
    }

    fn ask_kick(&mut self) {
        let one = self.selected.and_then(|id| self.rows().into_iter().find(|row| row.id == id));
        self.dialog = one.map(|one| {
            let address = one.address.as_ref().map_or("a unix socket", Plain::as_str);
            Dialog::Kick(Kick::of(one.id, format!("{address} on {}", one.route)))
        });
    }

    fn ask_drain(&mut self) {
        let stand = self.figures.as_ref().and_then(|figures| figures.backends.get(self.backend));
        match stand.and_then(|stand| stand.whole.as_ref()) {
            Some((pool, backend)) => {
                let (pool, is_drained) = (pool.pool.clone(), backend.drained);
                let (backend, open) = (backend.backend.clone(), backend.open);
                self.dialog = Some(Dialog::Drain(Drain { pool, backend, open, is_drained }));
            }
            None => self.note = self.closed.clone().map(Err),
        }
    }
}

/// How many rows a key goes.
fn step(key: KeyCode) -> Option<isize> {
    match key {
        KeyCode::Up => Some(-1),
        KeyCode::Down => Some(1),
        KeyCode::PageUp => Some(-LEAP),
        KeyCode::PageDown => Some(LEAP),
        KeyCode::Home => Some(isize::MIN),
        KeyCode::End => Some(isize::MAX),
        _ => None,
    }
}
