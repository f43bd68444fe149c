//! The chat page: a few files in the binary, and the headers that keep everything else out of it.

use std::borrow::Cow;

/// One file of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: Cow<'static, str>,
}

/// No markup or script but our own, no frame around it, no form that leads elsewhere. With Trusted Types and no policy
/// to make any, no string becomes markup or script in any way, whatever the page's own code should do.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// What stands in the page for the hub's own path.
const HUB: &str = "data-hub=\"/chat\"";
/// How the page names its parts. The slash makes `./?asset=…` in one module lead to another, whatever room the page shows.
const PART: &str = "\"/chat/?asset=";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The file that a query asks for: none for the page itself, `asset=NAME` for its parts. `hub` is the hub's own path.
#[must_use]
pub(crate) fn asset(hub: &str, query: Option<&str>) -> Option<Asset> {
    let name = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("asset=")));
    let Some(name) = name else {
        return Some(Asset { content_type: "text/html; charset=utf-8", body: Cow::Owned(page(hub)) });
    };
    part(name).map(|(content_type, body)| Asset { content_type, body: Cow::Borrowed(body) })
}

/// A style sheet or a module by its name.
fn part(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "base.css" => (STYLE, include_str!("page/base.css")),
        "chat.css" => (STYLE, include_str!("page/chat.css")),
        "talk.css" => (STYLE, include_str!("page/talk.css")),
        "chat.js" => (SCRIPT, include_str!("page/chat.js")),
        "compose.js" => (SCRIPT, include_str!("page/compose.js")),
        "heard.js" => (SCRIPT, include_str!("page/heard.js")),
        "line.js" => (SCRIPT, include_str!("page/line.js")),
        "log.js" => (SCRIPT, include_str!("page/log.js")),
        "make.js" => (SCRIPT, include_str!("page/make.js")),
        "outbox.js" => (SCRIPT, include_str!("page/outbox.js")),
        "plain.js" => (SCRIPT, include_str!("page/plain.js")),
        "sheet.js" => (SCRIPT, include_str!("page/sheet.js")),
        "side.js" => (SCRIPT, include_str!("page/side.js")),
        "state.js" => (SCRIPT, include_str!("page/state.js")),
        "store.js" => (SCRIPT, include_str!("page/store.js")),
        "v1.js" => (SCRIPT, include_str!("page/v1.js")),
        "where.js" => (SCRIPT, include_str!("page/where.js")),
        "words.js" => (SCRIPT, include_str!("page/words.js")),
        _ => return None,
    })
}

fn page(hub: &str) -> String {
    let quoted = hub.replace('&', "&amp;").replace('"', "&quot;");
    let parts = format!("\"{}/?asset=", quoted.trim_end_matches('/'));
    include_str!("page/index.html").replacen(HUB, &format!("data-hub=\"{quoted}\""), 1).replace(PART, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all parts that stand behind `before` in a text.
    fn named(text: &str, before: &str) -> Vec<String> {
        text.match_indices(before)
            .map(|(at, _)| text[at + before.len()..].chars().take_while(|&c| c != '"').collect())
            .collect()
    }

    #[test]
    fn the_page_knows_its_hub() {
        assert!(page("/team/chat").contains("<html lang=\"en\" data-hub=\"/team/chat\">"));
        assert!(page("/team/chat").contains("<script type=\"module\" src=\"/team/chat/?asset=chat.js\">"));
        assert!(page("/").contains("<html lang=\"en\" data-hub=\"/\">"));
        assert!(page("/").contains("<script type=\"module\" src=\"/?asset=chat.js\">"));
        assert!(page("/a\"><script>").contains("data-hub=\"/a&quot;><script>\""));
        assert!(!page("/elsewhere").contains("/chat/"));
    }

    #[test]
    fn the_page_names_all_parts_and_only_parts_that_are_there() {
        let listed = named(&page("/chat"), "\"/chat/?asset=");
        assert!(listed.len() > 10, "{listed:?}");
        for name in &listed {
            let (kind, body) = part(name).expect(name);
            assert_eq!(kind == SCRIPT, name.ends_with(".js"), "{name}");
            assert!(body.lines().count() <= 300, "{name} is long");
            // Asked for with the page, so that no module waits for the one that imports it.
            for import in named(body, "from \"./?asset=") {
                assert!(listed.contains(&import), "{name} imports {import}");
            }
        }
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
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" src=\"/chat/?asset=").count()
        );
    }

    #[test]
    fn no_script_of_the_page_makes_markup_of_text() {
        for name in named(&page("/chat"), "\"/chat/?asset=") {
            let (_, body) = part(&name).expect(&name);
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", "DOMParser"]
            {
                assert!(!body.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }
}
