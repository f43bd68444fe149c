//! The plain language: what is said, as the bytes of one frame that all members share.

use bytes::Bytes;

use crate::wire::frame::{self, Opcode};

/// `NAME: text` as a text frame, encoded once. With `escape`, the five characters that matter to HTML are written as
/// character references, so that even a page that uses `innerHTML` shows them as text.
pub(crate) fn said(name: &str, text: &str, escape: bool) -> Bytes {
    let mut line = String::with_capacity(name.len() + text.len() + 2);
    if escape {
        escape_into(&mut line, name);
        line.push_str(": ");
        escape_into(&mut line, text);
    } else {
        line.push_str(name);
        line.push_str(": ");
        line.push_str(text);
    }
    Bytes::from(frame::whole(Opcode::Text, line.as_bytes(), None))
}

/// Bytes of a frame with a name and a text of so many bytes (RFC 6455 §5.2).
pub(crate) const fn line(name: usize, text: usize) -> usize {
    let line = name + 2 + text;
    let head = match line {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    line + head
}

/// Bytes that a text has when it is escaped.
pub(crate) fn escaped(text: &str) -> usize {
    text.bytes().map(|byte| reference(byte).map_or(1, str::len)).sum()
}

/// Stretches without such a character, which most messages are from end to end, are taken as they stand.
fn escape_into(line: &mut String, text: &str) {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(reference) = reference(byte) else { continue };
        line.push_str(&text[start..at]);
        line.push_str(reference);
        start = at + 1;
    }
    line.push_str(&text[start..]);
}

/// A byte of ASCII is a character of its own wherever it stands in UTF-8 (RFC 3629 §3).
const fn reference(byte: u8) -> Option<&'static str> {
    Some(match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'"' => "&quot;",
        b'\'' => "&#39;",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_out_as_text() {
        let frame = said("User #7", "<b onclick=\"x('&')\">", true);
        assert_eq!(&frame[2..], b"User #7: &lt;b onclick=&quot;x(&#39;&amp;&#39;)&quot;&gt;");
        assert_eq!(&said("User #7", "<b>", false)[2..], b"User #7: <b>");
        assert_eq!(&said("<i>", "x", true)[2..], b"&lt;i&gt;: x");
        assert_eq!(&said("User #7", "grün & 日本<", true)[2..], "User #7: grün &amp; 日本&lt;".as_bytes());
    }
}
