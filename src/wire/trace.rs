//! Trace context (W3C, 2021): what a client says of the trace that its request belongs to, and what is said on.

use std::fmt;

use http::HeaderMap;

/// What a tracestate may have in all: §3.3.1.5 says that so much is to be passed on.
const STATE: usize = 512;
/// Members that are longer are left out first (ibid.).
const MEMBER: usize = 128;
/// How many members a tracestate may have (§3.3.1.1).
const MEMBERS: usize = 32;
/// Characters of a key, and of a value (§3.3.1.3).
const LONGEST: usize = 256;

/// A place in a trace, as a `traceparent` names it (§3.2). Neither part is all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span that is meant.
    pub span: [u8; 8],
    /// Bits of [`TraceParent::FLAGS`] alone.
    pub flags: u8,
}

/// The trace of one request: where the gateway is in it, and what came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The gateway's own span, which is the parent of whatever a backend makes of it.
    pub own: TraceParent,
    /// The client's span; absent: the trace begins here.
    pub above: Option<[u8; 8]>,
    /// The `tracestate`, sound and bounded.
    pub state: Option<String>,
}

impl TraceParent {
    /// Whoever sent it may have recorded it.
    pub const SAMPLED: u8 = 1;
    /// The flags that are known: sampled, and (in the next edition) that the trace's number is random.
    pub const FLAGS: u8 = 3;

    /// Reads the value of a `traceparent`, without blanks around it. `None`: it is as if there were none (§3.2.3, §4.3).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let fields = value.get(..55)?;
        if [fields[2], fields[35], fields[52]] != *b"---" {
            return None;
        }
        // §3.2.2.1: ff is no version.
        let [version] = hex(&fields[..2])?;
        let is_whole = match version {
            0xff => false,
            0 => value.len() == fields.len(),
            // §3.2.4: later ones may have more behind a dash, of which nothing is known.
            _ => value.get(55).is_none_or(|next| *next == b'-'),
        };
        let (trace, span, [flags]) = (hex(&fields[3..35])?, hex(&fields[36..52])?, hex(&fields[53..])?);
        let is_sound = is_whole && trace != [0; 16] && span != [0; 8];
        is_sound.then_some(Self { trace, span, flags: flags & Self::FLAGS })
    }
}

/// As version 00 writes it.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        digits(f, &self.trace)?;
        f.write_str("-")?;
        digits(f, &self.span)?;
        write!(f, "-{:02x}", self.flags)
    }
}

impl Trace {
    /// The trace that a client names in its headers, with this span for the gateway. `None`: it names none, or two, or one
    /// that is not sound; then its state means nothing either (§3.3, §4.3).
    #[must_use]
    pub fn of(client: &HeaderMap, span: [u8; 8]) -> Option<Self> {
        let mut parents = client.get_all("traceparent").iter();
        let (parent, None) = (parents.next()?, parents.next()) else { return None };
        let parent = TraceParent::parse(parent.as_bytes().trim_ascii())?;
        let states = client.get_all("tracestate").iter().map(http::HeaderValue::as_bytes);
        let own = TraceParent { span: some(span), ..parent };
        Some(Self { own, above: Some(parent.span), state: state(states) })
    }

    /// One that begins here, from numbers that nobody can guess.
    #[must_use]
    pub fn new(trace: [u8; 16], span: [u8; 8]) -> Self {
        let own = TraceParent { trace: some(trace), span: some(span), flags: TraceParent::SAMPLED };
        Self { own, above: None, state: None }
    }
}

/// For the gateway's own records: trace, own span, flags, and the client's span where there is one, in hexadecimal with
/// dashes between them.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits(f, &self.own.trace)?;
        f.write_str("-")?;
        digits(f, &self.own.span)?;
        write!(f, "-{:02x}", self.own.flags)?;
        let Some(above) = &self.above else { return Ok(()) };
        f.write_str("-")?;
        digits(f, above)
    }
}

/// The lines of a `tracestate` as one, within its bounds. `None`: there is nothing in them, or something unsound, which
/// makes all of it worthless (§3.3.1, §4.3).
fn state<'v>(lines: impl Iterator<Item = &'v [u8]>) -> Option<String> {
    let mut members = Vec::new();
    // §3.3.1.1: a member may be empty.
    for member in lines.flat_map(|line| line.split(|byte| *byte == b',')) {
        let member = member.trim_ascii();
        if !member.is_empty() {
            members.push(sound(member)?);
        }
    }
    if members.len() > MEMBERS {
        return None;
    }
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>();
    while length(&members) > STATE + 1 {
        let long = members.iter().rposition(|member| member.len() > MEMBER);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    (!members.is_empty()).then(|| members.join(","))
}

/// §3.3.1.3: `key=value`, with keys as the next edition has them, which takes all of this one's.
fn sound(member: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(member).ok()?;
    let (key, value) = text.split_once('=')?;
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_key = (1..=LONGEST).contains(&key.len())
        && key.bytes().next().is_some_and(first)
        && key.bytes().all(|byte| first(byte) || b"_-*/@".contains(&byte));
    let is_value = (1..=LONGEST).contains(&value.len())
        && value.bytes().all(|byte| (0x20..=0x7e).contains(&byte) && !b",=".contains(&byte));
    (is_key && is_value).then_some(text)
}

/// §3.2.2: digits in lower case, and no others.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digits(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Chance may give nothing but zeros, which is no number of a trace or a span.
fn some<const N: usize>(mut number: [u8; N]) -> [u8; N] {
    if number == [0; N] {
        number[N - 1] = 1;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("value"));
        }
        headers
    }

    fn state_of(lines: &[&str]) -> Option<String> {
        state(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn a_parent_is_read_and_written() {
        let parent = TraceParent::parse(GOOD.as_bytes()).expect("sound");
        assert_eq!((parent.trace[0], parent.span[7], parent.flags), (0x4b, 0xb7, 1));
        assert_eq!(parent.to_string(), GOOD);
        for (text, flags) in [(GOOD.replace("-01", "-00"), 0), (GOOD.replace("-01", "-ff"), 3)] {
            assert_eq!(TraceParent::parse(text.as_bytes()), Some(TraceParent { flags, ..parent }), "{text}");
        }
        // Later versions, with whatever they have behind it.
        for text in [GOOD.replacen("00", "01", 1), format!("{}-what-else", GOOD.replacen("00", "fe", 1))] {
            assert_eq!(TraceParent::parse(text.as_bytes()), Some(parent), "{text}");
        }
    }

    #[test]
    fn what_is_not_sound_is_none() {
        let later = GOOD.replacen("00", "01", 1);
        for text in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &format!("{later}."),
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "0g", 1),
            &GOOD.replacen('-', "_", 1),
            &GOOD.replace("-01", "_01"),
            &GOOD.replace("-01", "-0X"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &GOOD.replace("4bf", "4bF"),
            &GOOD.replace("4b", "+b"),
            &GOOD.replace("4b", "ä"),
        ] {
            assert_eq!(TraceParent::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_client_has_one_parent_or_none() {
        let span = [7; 8];
        let trace = Trace::of(&map(&[("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")]), span);
        let trace = trace.expect("sound");
        assert_eq!(trace.own.to_string(), GOOD.replace("00f067aa0ba902b7", "0707070707070707"));
        assert_eq!(trace.state.as_deref(), Some("a=1,b=2"));
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01-00f067aa0ba902b7");
        assert_eq!(Trace::of(&map(&[("traceparent", GOOD), ("traceparent", GOOD)]), span), None);
        assert_eq!(Trace::of(&map(&[("tracestate", "a=1")]), span), None);
        assert_eq!(Trace::new([0; 16], [0; 8]).to_string(), format!("{:032x}-{:016x}-01", 1, 1));
    }

    #[test]
    fn a_state_is_sound_as_a_whole_or_nothing() {
        assert_eq!(state_of(&["a=1 , ,b@c=x y,", "", " 0_-*/=~\t"]).as_deref(), Some("a=1,b@c=x y,0_-*/=~"));
        assert_eq!(state_of(&["", " , "]), None);
        let (key, value) = ("k".repeat(256), "v".repeat(256));
        assert_eq!(sound(format!("{key}={value}").as_bytes()).map(str::len), Some(513));
        for member in ["a", "=1", "a=", "A=1", "_a=1", "a b=1", "a=1=2", "a=\u{7f}", "a=ä", "ä=1", "a==", "a=b\tc"] {
            assert_eq!(state_of(&["good=1", member]), None, "{member}");
        }
        for (key, value) in [(format!("{key}k"), "v".to_owned()), ("k".to_owned(), format!("{value}v"))] {
            assert_eq!(sound(format!("{key}={value}").as_bytes()), None);
        }
        let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        assert_eq!((state_of(&[&many(32)]), state_of(&[&many(33)])), (Some(many(32)), None));
    }

    #[test]
    fn a_state_is_bounded_by_leaving_out_long_members_and_then_the_last() {
        let member = |key: &str, length: usize| format!("{key}={}", "v".repeat(length - 2));
        let (long, short) = (member("l", 200), member("s", 100));
        let lines = [long.as_str(), &short, &long, &short, &short];
        assert_eq!(state_of(&lines), Some([long.as_str(), &short, &short, &short].join(",")));
        let lines = [short.as_str(); 7];
        assert_eq!(state_of(&lines), Some([short.as_str(); 5].join(",")));
        assert_eq!(state_of(&[&member("l", 257)]).map(|state| state.len()), Some(257), "it fits");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace: [u8; 16], span: [u8; 8], flags in 0u8..=3) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let parent = TraceParent { trace, span, flags };
            prop_assert_eq!(TraceParent::parse(parent.to_string().as_bytes()), Some(parent));
        }

        /// Whatever is read of version 00 is written as it came, but for flags that nobody knows.
        #[test]
        fn nothing_is_read_that_is_not_written_so(text in "0[0f]-[0-9a-fA]{31,32}-[0-9a-f]{16}-0[0-3](-|x|)") {
            if let Some(parent) = TraceParent::parse(text.as_bytes()) {
                prop_assert_eq!(parent.to_string()[2..].to_owned(), text[2..55].to_owned());
                prop_assert!(text.starts_with("0f") || text.len() == 55);
            }
        }

        #[test]
        fn any_bytes_are_judged_and_a_state_is_bounded(
            bytes: Vec<u8>,
            lines in prop::collection::vec("[a-z0-9@=, ]{0,200}|[a-z]{1,5}=[a-z]{1,250}", 0..6),
        ) {
            let _ = TraceParent::parse(&bytes);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            if let Some(state) = state_of(&lines) {
                prop_assert!(state.len() <= STATE.max(2 * LONGEST + 1) && !state.is_empty());
                prop_assert_eq!(state_of(&[&state]), Some(state.clone()));
            }
        }
    }
}
