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

fn escape_into(line: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => line.push_str("&amp;"),
            '<' => line.push_str("&lt;"),
            '>' => line.push_str("&gt;"),
            '"' => line.push_str("&quot;"),
            '\'' => line.push_str("&#39;"),
            other => line.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_goes_out_as_text() {
        let frame = said(7, "<b onclick=\"x('&')\">", true);
        assert_eq!(&frame[2..], b"User #7: &lt;b onclick=&quot;x(&#39;&amp;&#39;)&quot;&gt;");
        assert_eq!(&said(7, "<b>", false)[2..], b"User #7: <b>");
    }
}
