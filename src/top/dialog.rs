//! What is asked before anything is done: a connection closed with a code and a reason, a backend drained.

use ratatui::crossterm::event::KeyCode;
use wsgate::wire::close::{Code, REASON_MAX};

use super::plain::{Name, Plain};
use super::watch::Order;

/// What closes where nobody says otherwise; the same as over HTTP.
const CODE: u16 = 1008;
const REASON: &str = "closed by the operator";
/// Digits of a code.
const DIGITS: usize = 4;

/// A question to the operator.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Dialog {
    Kick(Kick),
    Drain(Drain),
}

/// A connection is to be closed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kick {
    pub(crate) id: u64,
    /// Who that is, as the table has it.
    pub(crate) who: String,
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) is_at_reason: bool,
}

/// A backend is to be drained, or to get sessions again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drain {
    pub(crate) pool: Name,
    pub(crate) backend: Name,
    pub(crate) open: u64,
    pub(crate) is_drained: bool,
}

/// What has become of the question.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Asking,
    No,
    Yes(Order),
}

impl Dialog {
    /// One more key.
    pub(crate) fn key(&mut self, key: KeyCode) -> Answer {
        match (self, key) {
            (_, KeyCode::Esc) => Answer::No,
            (Self::Kick(kick), key) => kick.key(key),
            (Self::Drain(drain), KeyCode::Char('y' | 'Y') | KeyCode::Enter) => Answer::Yes(drain.order()),
            (Self::Drain(_), KeyCode::Char('n' | 'N' | 'q')) => Answer::No,
            (Self::Drain(_), _) => Answer::Asking,
        }
    }
}

impl Kick {
    /// Of this connection.
    #[must_use]
    pub(crate) fn of(id: u64, who: String) -> Self {
        Self { id, who, code: CODE.to_string(), reason: REASON.to_owned(), is_at_reason: false }
    }

    /// What is wrong with what was typed, if so.
    #[must_use]
    pub(crate) fn wrong(&self) -> Option<&'static str> {
        match (self.order(), self.reason.len() > REASON_MAX) {
            (_, true) => Some("the reason has more than 123 bytes"),
            (None, _) => Some("a code is 1000 to 1003, 1007 to 1014 or 3000 to 4999"),
            (Some(_), _) => None,
        }
    }

    fn order(&self) -> Option<Order> {
        let code = Code::from_wire(self.code.parse().ok()?)?.get();
        let is_short = self.reason.len() <= REASON_MAX;
        is_short.then(|| Order::Close { id: self.id, code, reason: self.reason.clone() })
    }

    fn key(&mut self, key: KeyCode) -> Answer {
        let is_at_reason = self.is_at_reason;
        let field = if is_at_reason { &mut self.reason } else { &mut self.code };
        match key {
            KeyCode::Enter => return self.order().map_or(Answer::Asking, Answer::Yes),
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Up | KeyCode::Down => self.is_at_reason = !is_at_reason,
            KeyCode::Backspace => {
                field.pop();
            }
            KeyCode::Char(one) if is_at_reason && field.len() + one.len_utf8() <= REASON_MAX => {
                field.extend(Some(one).filter(|one| !one.is_control()));
            }
            KeyCode::Char(one) if !is_at_reason && one.is_ascii_digit() && field.len() < DIGITS => field.push(one),
            _ => {}
        }
        Answer::Asking
    }
}

impl Drain {
    /// What is asked.
    #[must_use]
    pub(crate) fn question(&self) -> [String; 2] {
        let backend: Plain = self.backend.shown();
        if self.is_drained {
            return [format!("Give sessions to {backend} again?"), "Who was told to go goes.".to_owned()];
        }
        let told = format!("It gets nobody new, and its {} connections are sent home with 1012.", self.open);
        [format!("Drain {backend}?"), told]
    }

    fn order(&self) -> Order {
        let (pool, backend) = (self.pool.clone(), self.backend.clone());
        if self.is_drained { Order::Undrain { pool, backend } } else { Order::Drain { pool, backend } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(kick: &mut Dialog, text: &str) {
        for one in text.chars() {
            assert_eq!(kick.key(KeyCode::Char(one)), Answer::Asking, "{one}");
        }
    }

    #[test]
    fn a_connection_is_closed_with_what_was_typed_and_only_then() {
        let mut kick = Dialog::Kick(Kick::of(7, "192.0.2.7 on /ws".to_owned()));
        let order = |code, reason: &str| Answer::Yes(Order::Close { id: 7, code, reason: reason.to_owned() });
        assert_eq!(kick.clone().key(KeyCode::Enter), order(1008, "closed by the operator"));
        assert_eq!(kick.clone().key(KeyCode::Esc), Answer::No);
        for _ in 0..4 {
            kick.key(KeyCode::Backspace);
        }
        typed(&mut kick, "100x5");
        assert_eq!(kick.key(KeyCode::Enter), Answer::Asking, "no endpoint may send 1005");
        let Dialog::Kick(wrong) = &kick else { panic!("{kick:?}") };
        assert!(wrong.wrong().is_some_and(|told| told.starts_with("a code is")), "{wrong:?}");
        kick.key(KeyCode::Backspace);
        typed(&mut kick, "09");
        kick.key(KeyCode::Tab);
        for _ in 0..40 {
            kick.key(KeyCode::Backspace);
        }
        typed(&mut kick, "q: be\u{7} nice");
        assert_eq!(kick.key(KeyCode::Enter), order(1000, "q: be nice"), "four digits, and nothing that rings");
        typed(&mut kick, &"ü".repeat(100));
        let Dialog::Kick(long) = &kick else { panic!("{kick:?}") };
        assert!(long.reason.len() <= 123 && long.wrong().is_none(), "{long:?}");
    }

    #[test]
    fn a_backend_is_drained_after_a_yes() {
        let name = |text: &str| serde_json::from_value::<Name>(text.into()).expect("a name");
        let drain = |is_drained| Dialog::Drain(Drain { pool: name("p"), backend: name("ws://h"), open: 3, is_drained });
        let (pool, backend) = (name("p"), name("ws://h"));
        for key in [KeyCode::Esc, KeyCode::Char('n'), KeyCode::Char('q')] {
            assert_eq!(drain(false).key(key), Answer::No);
        }
        assert_eq!(drain(false).key(KeyCode::Char('d')), Answer::Asking);
        let order = Order::Drain { pool: pool.clone(), backend: backend.clone() };
        assert_eq!(drain(false).key(KeyCode::Char('y')), Answer::Yes(order));
        assert_eq!(drain(true).key(KeyCode::Enter), Answer::Yes(Order::Undrain { pool, backend }));
    }
}
