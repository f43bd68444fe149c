//! A request head within its budget: what servers that read it into a small buffer can do without is left out.

use std::borrow::Cow;
use std::fmt;

/// What is left out, in this order, until the rest fits: what browsers add by themselves and what traces are for, and then
/// what only repeats Host and X-Forwarded-For. A dash at the end stands for every name that begins so. Cookies come behind them.
const DROPPED: [&str; 10] = [
    "tracestate",
    "accept-",
    "cache-control",
    "pragma",
    "user-agent",
    "sec-fetch-",
    "referer",
    "traceparent",
    "forwarded",
    "x-forwarded-host",
];

/// A head that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Bytes by which it is too long with everything left out that may be.
    pub over: usize,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request head is {} bytes over its budget", self.over)
    }
}

/// One header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// In canonical case.
    pub(super) name: Cow<'static, str>,
    /// Without blanks around it.
    pub(super) value: Vec<u8>,
}

impl Line {
    /// One that the gateway writes of its own accord.
    pub(super) fn own(name: &'static str, value: impl Into<String>) -> Self {
        Self { name: Cow::Borrowed(name), value: value.into().into_bytes() }
    }

    pub(super) fn write(&self, head: &mut Vec<u8>) {
        for piece in [self.name.as_bytes(), b": ", &self.value, b"\r\n"] {
            head.extend_from_slice(piece);
        }
    }

    /// Bytes with its colon, its space and its line end.
    pub(super) fn len(&self) -> usize {
        self.name.len() + self.value.len() + 4
    }

    fn is(&self, class: &str) -> bool {
        let name = if class.ends_with('-') { self.name.get(..class.len()) } else { Some(&*self.name) };
        // "Accept" alone is of the same kind as what begins with it.
        name.is_some_and(|name| name.eq_ignore_ascii_case(class)) || (class == "accept-" && self.name == "Accept")
    }
}

/// Leaves lines and cookies out until the rest has at most `budget` bytes together with `frame` others, and names what
/// it has left out. `keep` are the cookies that stay.
pub(super) fn fit(
    lines: &mut Vec<Line>,
    (frame, budget): (usize, usize),
    keep: &[String],
) -> Result<Vec<String>, OverBudget> {
    let mut dropped = Vec::new();
    let over = |lines: &[Line]| (frame + lines.iter().map(Line::len).sum::<usize>()).saturating_sub(budget);
    for class in DROPPED {
        while over(lines) > 0
            && let Some(at) = lines.iter().position(|line| line.is(class))
        {
            dropped.push(lines.remove(at).name.into_owned());
        }
    }
    if let Some(at) = lines.iter().position(|line| line.is("cookie")) {
        let missing = over(lines);
        dropped.extend(cut_cookies(&mut lines[at].value, missing, keep));
        if lines[at].value.is_empty() {
            lines.remove(at);
        }
    }
    match over(lines) {
        0 => Ok(dropped),
        over => Err(OverBudget { over }),
    }
}

/// Takes cookies away, the largest first, until the list is shorter by `missing` bytes or has those of `keep` alone.
fn cut_cookies(list: &mut Vec<u8>, missing: usize, keep: &[String]) -> Vec<String> {
    let (length, mut dropped) = (list.len(), Vec::new());
    let cookies = list.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let mut cookies: Vec<&[u8]> = cookies.filter(|cookie| !cookie.is_empty()).collect();
    let mut rest = list.clone();
    while rest.len() + missing > length {
        let free = cookies.iter().enumerate().filter(|(_, cookie)| !keep.iter().any(|name| *name == name_of(cookie)));
        // Of two that are equally large, the first.
        let Some((largest, _)) = free.rev().max_by_key(|(_, cookie)| cookie.len()) else { break };
        dropped.push(format!("Cookie: {}", name_of(cookies.remove(largest))));
        rest = cookies.join(&b"; "[..]);
    }
    *list = rest;
    dropped
}

/// RFC 6265 §4.2.1: `cookie-name "=" cookie-value`; browsers also send a value alone.
fn name_of(cookie: &[u8]) -> Cow<'_, str> {
    let end = cookie.iter().position(|byte| *byte == b'=').unwrap_or(0);
    String::from_utf8_lossy(cookie[..end].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(list: &str, missing: usize, keep: &[&str]) -> (String, Vec<String>) {
        let mut list = list.as_bytes().to_vec();
        let keep: Vec<String> = keep.iter().map(|name| (*name).to_owned()).collect();
        let dropped = cut_cookies(&mut list, missing, &keep);
        (String::from_utf8(list).expect("text"), dropped)
    }

    #[test]
    fn the_largest_cookie_goes_first_and_those_that_are_named_stay() {
        let list = "a=1; _ga=GA1.2.3; PHPSESSID=0123456789abcdef; theme=dark; b=2";
        assert_eq!(cut(list, 0, &[]), (list.to_owned(), vec![]));
        let (left, dropped) = cut(list, 1, &["PHPSESSID"]);
        assert_eq!(left, "a=1; PHPSESSID=0123456789abcdef; theme=dark; b=2");
        assert_eq!(dropped, ["Cookie: _ga"]);
        let (left, dropped) = cut(list, 999, &["PHPSESSID"]);
        assert_eq!((left.as_str(), dropped.len()), ("PHPSESSID=0123456789abcdef", 4));
        assert_eq!(cut(list, 999, &[]).0, "");
        assert_eq!(cut(list, 1, &[]).1, ["Cookie: PHPSESSID"]);
    }

    #[test]
    fn odd_lists_of_cookies() {
        for list in ["=", "a", "a;=b", "a=1;b=2; c=3;", " ; ; a=b=c ;"] {
            assert_eq!(cut(list, 999, &[]).0, "", "{list}");
        }
        for list in ["", ";", ";;;"] {
            assert_eq!(cut(list, 999, &[]), (list.to_owned(), vec![]));
        }
        assert_eq!(cut("a=1;b=22;c=3", 1, &["b"]).0, "b=22; c=3");
    }

    #[test]
    fn classes_are_left_out_in_their_order_and_no_more_than_is_needed() {
        let line = |name: &'static str| Line::own(name, "x");
        let names = [
            "Host",
            "traceparent",
            "Referer",
            "Sec-Fetch-Mode",
            "User-Agent",
            "Pragma",
            "Cache-Control",
            "Accept-Language",
            "tracestate",
        ];
        let mut lines: Vec<Line> = names.into_iter().map(line).collect();
        let whole: usize = lines.iter().map(Line::len).sum();
        let mut order = Vec::new();
        for _ in 1..names.len() {
            let one_less = lines.iter().map(Line::len).sum::<usize>() - 1;
            let dropped = fit(&mut lines, (0, one_less), &[]).expect("fits");
            assert_eq!(dropped.len(), 1, "{dropped:?}");
            order.extend(dropped);
        }
        let expected = ["tracestate", "Accept-Language", "Cache-Control", "Pragma", "User-Agent", "Sec-Fetch-Mode"];
        assert_eq!(order, [&expected[..], &["Referer", "traceparent"]].concat());
        assert_eq!(fit(&mut lines, (0, 3), &[]), Err(OverBudget { over: "Host: x\r\n".len() - 3 }));
        let mut lines = vec![line("Accept"), line("Accept-Encoding"), line("Acceptable")];
        assert_eq!(fit(&mut lines, (0, 20), &[]).expect("fits"), ["Accept", "Accept-Encoding"]);
        assert!(whole > 20);
    }
}
