//! What is said, as the bytes of one frame that all members share.

use bytes::Bytes;

use crate::wire::frame::{self, Opcode};

/// `User #N: text` as a text frame, encoded once. With `escape`, the five characters that matter to HTML are written as
/// character references, so that even a page that uses `innerHTML` shows them as text.
pub(super) fn said(user: u64, text: &str, escape: bool) -> Bytes {
    let mut line = format!("User #{user}: ");
    if escape {
        escape_into(&mut line, text);
    } else {
        line.push_str(text);
    }
    Bytes::from(frame::whole(Opcode::Text, line.as_bytes(), None))
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
        let frame = said(7, "<b onclick=\"x('&')\">", true);
        assert_eq!(&frame[2..], b"User #7: &lt;b onclick=&quot;x(&#39;&amp;&#39;)&quot;&gt;");
        assert_eq!(&said(7, "<b>", false)[2..], b"User #7: <b>");
        assert_eq!(&said(7, "grün & 日本<", true)[2..], "User #7: grün &amp; 日本&lt;".as_bytes());
    }
}
