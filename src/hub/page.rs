//! The chat page: three files in the binary, and the headers that keep everything else out of it.

use std::borrow::Cow;

/// One file of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Cow<'static, str>,
}

/// No markup or script but our own, no frame around it, no form that leads elsewhere.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What stands in the page for the hub's own path.
const HUB: &str = "data-hub=\"/chat\"";

/// The file that a query asks for: none for the page itself, `asset=NAME` for its parts. `hub` is the hub's own path.
#[must_use]
pub(crate) fn asset(hub: &str, query: Option<&str>) -> Option<Asset> {
    let name = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("asset=")));
    let (content_type, body) = match name {
        None => ("text/html; charset=utf-8", Cow::Owned(page(hub))),
        Some("chat.js") => ("text/javascript; charset=utf-8", Cow::Borrowed(include_str!("page/chat.js"))),
        Some("chat.css") => ("text/css; charset=utf-8", Cow::Borrowed(include_str!("page/chat.css"))),
        Some(_) => return None,
    };
    Some(Asset { content_type, body })
}

fn page(hub: &str) -> String {
    let quoted = hub.replace('&', "&amp;").replace('"', "&quot;");
    include_str!("page/index.html").replacen(HUB, &format!("data-hub=\"{quoted}\""), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_knows_its_hub() {
        assert!(page("/team/chat").contains("<html lang=\"en\" data-hub=\"/team/chat\">"));
        assert!(page("/a\"><script>").contains("data-hub=\"/a&quot;><script>\""));
    }

    #[test]
    fn the_page_names_only_parts_that_are_there() {
        let page = page("/chat");
        let mut parts = 0;
        for (at, _) in page.match_indices("?asset=") {
            let name: String = page[at + 7..].chars().take_while(|&c| c != '"').collect();
            assert!(asset("/chat", Some(&format!("asset={name}"))).is_some(), "{name}");
            parts += 1;
        }
        assert_eq!(parts, 2);
        assert_eq!(asset("/chat", Some("asset=../../etc/passwd")), None);
    }

    #[test]
    fn the_page_needs_nothing_from_outside_and_nothing_inline() {
        let page = page("/chat");
        // A namespace is a name, not an address.
        let page = page.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http://", "https://", "<style", "style=\"", "onclick", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.matches("<script").count() == page.matches("<script src=\"?asset=").count());
    }
}
