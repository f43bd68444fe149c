//! The chat page: three files in the binary, and the headers that keep everything else out of it.

/// One file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: &'static str,
}

/// No markup or script but our own, no frame around it, no form that leads elsewhere.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file that a query asks for: none for the page itself, `asset=NAME` for its parts.
#[must_use]
pub(crate) fn asset(query: Option<&str>) -> Option<Asset> {
    let name = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("asset=")));
    match name {
        None => Some(Asset { content_type: "text/html; charset=utf-8", body: include_str!("page/index.html") }),
        Some("chat.js") => {
            Some(Asset { content_type: "text/javascript; charset=utf-8", body: include_str!("page/chat.js") })
        }
        Some("chat.css") => {
            Some(Asset { content_type: "text/css; charset=utf-8", body: include_str!("page/chat.css") })
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_parts_that_are_there() {
        let page = asset(None).expect("page").body;
        let mut parts = 0;
        for (at, _) in page.match_indices("?asset=") {
            let name: String = page[at + 7..].chars().take_while(|&c| c != '"').collect();
            assert!(asset(Some(&format!("asset={name}"))).is_some(), "{name}");
            parts += 1;
        }
        assert_eq!(parts, 2);
        assert_eq!(asset(Some("asset=../../etc/passwd")), None);
    }

    #[test]
    fn the_page_needs_nothing_from_outside_and_nothing_inline() {
        // The namespace of the icon is a name: nobody goes there.
        let page = asset(None).expect("page").body.replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http://", "https://", "<style", "style=\"", "onclick", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(page.matches("<script").count() == page.matches("<script src=\"?asset=").count());
    }
}
