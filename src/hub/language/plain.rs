//! The plain language: what is said, as the bytes of one frame that all members share.

use bytes::Bytes;

use crate::wire::frame::{Head, Opcode};

/// `NAME: text` as a text frame, encoded once. With `escape`, the five characters that matter to HTML are written as
/// character references, so that even a page that uses `innerHTML` shows them as text.
pub(crate) fn said(name: &str, text: &str, escape: bool) -> Bytes {
    let length = if escape { escaped } else { str::len };
    let (name_length, text_length) = (length(name), length(text));
    let payload = name_length + 2 + text_length;
    let mut frame = Vec::with_capacity(line(name_length, text_length));
    Head { fin: true, opcode: Opcode::Text, key: None, length: payload as u64 }.write(&mut frame);
    write(&mut frame, name, name_length);
    frame.extend_from_slice(b": ");
    write(&mut frame, text, text_length);
    Bytes::from(frame)
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

/// Bytes that a text has when it is escaped. Most texts have no such character, which is seen many bytes at a time.
pub(crate) fn escaped(text: &str) -> usize {
    let special = text.bytes().map(|byte| u32::from(matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\''))).sum::<u32>();
    if special == 0 { text.len() } else { text.bytes().map(|byte| reference(byte).map_or(1, str::len)).sum() }
}

/// Writes a text that has so many bytes then: escaped, unless that is as many as it has.
fn write(line: &mut Vec<u8>, text: &str, length: usize) {
    if length == text.len() {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(reference) = reference(byte) else { continue };
        line.extend_from_slice(&text.as_bytes()[start..at]);
        line.extend_from_slice(reference.as_bytes());
        start = at + 1;
    }
    line.extend_from_slice(&text.as_bytes()[start..]);
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

    #[test]
    fn a_line_has_the_length_that_is_told() {
        for size in [0, 110, 117, 118, 119, 65_525, 65_526, 65_527, 65_528] {
            for (text, escape) in [("x".repeat(size), true), ("<".repeat(size / 4), true), ("<".repeat(size), false)] {
                let told = line(7, if escape { escaped(&text) } else { text.len() });
                assert_eq!(said("User #1", &text, escape).len(), told, "{size}");
            }
        }
    }
}
