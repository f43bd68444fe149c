//! What is to happen when, without a clock: intended send times, stages, and the mark that messages carry.

use std::time::Duration;

/// Microseconds since the run's epoch.
pub type Micros = u64;

/// The intended send times of one sender in an open model: they do not depend on what the server does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    start: Micros,
    /// Between two messages of this sender, in microseconds.
    period: f64,
    /// Of the first one.
    offset: f64,
}

impl Schedule {
    /// Sender `index` of `senders`, who together send `rate` messages a second from `start` on, evenly spread.
    #[must_use]
    pub fn new(start: Micros, rate: f64, index: usize, senders: usize) -> Self {
        let gap = 1e6 / rate.max(1e-3);
        Self { start, period: gap * senders.max(1) as f64, offset: gap * index as f64 }
    }

    /// When this sender's message number `n` is to be sent.
    #[must_use]
    pub fn due(&self, n: u64) -> Micros {
        self.start + (self.offset + self.period * n as f64) as Micros
    }

    /// Which of this sender's messages was to be sent then.
    #[must_use]
    pub fn number_at(&self, due: Micros) -> u64 {
        // `due` is rounded down, and periods are not as short as that.
        ((due.saturating_sub(self.start) as f64 - self.offset) / self.period).round().max(0.0) as u64
    }

    /// From when on it is.
    #[must_use]
    pub fn start(&self) -> Micros {
        self.start
    }

    /// How many messages are due before `end`.
    #[must_use]
    pub fn count_before(&self, end: Micros) -> u64 {
        let span = end.saturating_sub(self.start) as f64 - self.offset;
        if span <= 0.0 { 0 } else { (span / self.period).ceil() as u64 }
    }
}

/// So many connections for so long.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// Connections that are to be open.
    pub connections: usize,
    /// For how long.
    pub time: Duration,
}

/// Reads stages such as `100@10s,500@20s`.
///
/// # Errors
/// What is wrong with which stage.
pub fn stages(text: &str) -> Result<Vec<Stage>, String> {
    text.split(',').map(|stage| one_stage(stage.trim()).map_err(|why| format!("{stage}: {why}"))).collect()
}

fn one_stage(text: &str) -> Result<Stage, String> {
    let (connections, time) = text.split_once('@').ok_or("not CONNECTIONS@TIME, as 100@10s")?;
    let connections = connections.parse().map_err(|_| format!("{connections} is no number of connections"))?;
    Ok(Stage { connections, time: duration(time)? })
}

/// Reads a time such as `500ms`, `10s`, `2m`.
///
/// # Errors
/// It is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text} is no time: 500us, 20ms, 10s, 2m");
    let split = text.find(|c: char| c.is_ascii_alphabetic() || c == 'µ').ok_or_else(bad)?;
    let number: f64 = text[..split].parse().map_err(|_| bad())?;
    let unit = match &text[split..] {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| bad())
}

/// Reads a size such as `32`, `16KiB`, `1MiB`.
///
/// # Errors
/// It is none.
pub fn size(text: &str) -> Result<usize, String> {
    let bad = || format!("{text} is no size: 32, 16KiB, 1MiB");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: usize = text[..split].parse().map_err(|_| bad())?;
    let unit = match &text[split..] {
        "" | "B" => 1,
        "k" | "kB" => 1000,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        _ => return Err(bad()),
    };
    number.checked_mul(unit).ok_or_else(bad)
}

/// What a message carries in its text, so that it is known again wherever it turns up: whose it is, and when it was
/// to be sent. Servers may put text before and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Tells this run's messages from those of others and of earlier runs: 12 bits.
    pub run: u16,
    /// The sender: 20 bits.
    pub sender: u32,
    /// The intended send time: 40 bits.
    pub at: Micros,
}

/// Bytes of a mark: a sign on each side, and 18 hexadecimal digits.
pub const MARK: usize = 20;

/// Where a mark stands, which its signs tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In what is said.
    Text,
    /// In what comes back to the sender alone; letters and digits, since it stands in a field of some language.
    Ref,
}

impl Side {
    const fn sign(self) -> u8 {
        match self {
            Self::Text => b'~',
            Self::Ref => b'r',
        }
    }
}

impl Mark {
    /// The mark as text.
    #[must_use]
    pub fn to_text(self, side: Side) -> [u8; MARK] {
        let value = (u128::from(self.run & 0xfff) << 60)
            | (u128::from(self.sender & 0xf_ffff) << 40)
            | u128::from(self.at & 0xff_ffff_ffff);
        let mut text = [side.sign(); MARK];
        for (at, digit) in text[1..MARK - 1].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(value >> (4 * (17 - at))) as usize & 0xf];
        }
        text
    }

    /// Looks for a mark.
    #[must_use]
    pub fn find(text: &[u8], side: Side) -> Option<Self> {
        text.windows(MARK).find_map(|text| Self::read(text, side.sign()))
    }

    fn read(text: &[u8], sign: u8) -> Option<Self> {
        if text[0] != sign || text[MARK - 1] != sign {
            return None;
        }
        let mut value = 0_u128;
        for digit in &text[1..MARK - 1] {
            value = (value << 4) | u128::from(char::from(*digit).to_digit(16)?);
        }
        let sender = (value >> 40) as u32 & 0xf_ffff;
        Some(Self { run: (value >> 60) as u16 & 0xfff, sender, at: value as u64 & 0xff_ffff_ffff })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_together_keep_the_rate_and_never_meet() {
        let senders: Vec<Schedule> = (0..4).map(|index| Schedule::new(1000, 1000.0, index, 4)).collect();
        let mut all: Vec<Micros> = (0..5).flat_map(|n| senders.iter().map(move |sender| sender.due(n))).collect();
        all.sort_unstable();
        let expected: Vec<Micros> = (0..20).map(|n| 1000 + 1000 * n).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_due_before_the_end_is_counted() {
        let sender = Schedule::new(0, 100.0, 1, 2);
        assert_eq!([sender.due(0), sender.due(1)], [10_000, 30_000]);
        assert_eq!([0, 10_000, 10_001, 30_001].map(|end| sender.count_before(end)), [0, 0, 1, 2]);
        let all: u64 = (0..7).map(|index| Schedule::new(5, 1000.0, index, 7).count_before(2_000_005)).sum();
        assert_eq!(all, 2000);
    }

    #[test]
    fn a_message_is_known_again_by_its_time() {
        let sender = Schedule::new(123, 1234.5, 7, 11);
        for number in [0, 1, 2, 999, 1_000_000, 90_000_000] {
            assert_eq!(sender.number_at(sender.due(number)), number);
        }
    }

    #[test]
    fn due_times_do_not_drift() {
        let sender = Schedule::new(0, 3.0, 0, 1);
        assert_eq!(sender.due(3 * 86_400), 86_400_000_000);
    }

    #[test]
    fn stages_times_and_sizes_are_read() {
        let second = Duration::from_secs(1);
        let expected = [Stage { connections: 100, time: 10 * second }, Stage { connections: 500, time: second / 2 }];
        assert_eq!(stages("100@10s, 500@500ms").expect("stages"), expected);
        assert_eq!(stages("100"), Err("100: not CONNECTIONS@TIME, as 100@10s".into()));
        assert_eq!(duration("2m"), Ok(120 * second));
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert!(duration("7").is_err() && duration("7 weeks").is_err() && duration("-1s").is_err());
        assert_eq!([size("32"), size("16KiB"), size("1MiB")], [Ok(32), Ok(16_384), Ok(1 << 20)]);
        assert!(size("big").is_err());
    }

    #[test]
    fn a_mark_is_found_wherever_it_stands() {
        let mark = Mark { run: 0xabc, sender: 0x1_2345, at: 987_654_321 };
        for (side, other) in [(Side::Text, Side::Ref), (Side::Ref, Side::Text)] {
            let text = [b"User r #7: ~~r", &mark.to_text(side)[..], b"..r..~"].concat();
            assert_eq!((Mark::find(&text, side), Mark::find(&text, other)), (Some(mark), None));
            assert_eq!(Mark::find(&mark.to_text(side), side), Some(mark));
        }
        assert_eq!(Mark::find(b"~no mark at all, though it is long enough~", Side::Text), None);
        assert_eq!(Mark::find(b"~", Side::Text), None);
    }
}
