//! The page of the admin door: a few files in the binary. It knows nothing; all that it shows, it asks the door for.

use std::borrow::Cow;

/// One file of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asset {
    /// Its media type.
    pub(super) content_type: &'static str,
    /// Its bytes.
    pub(super) body: Cow<'static, str>,
}

/// No markup or script but our own, no frame around it, no form that leads anywhere: a token that is typed goes nowhere
/// but into a header. With Trusted Types and no policy to make any, no string becomes markup or script in any way,
/// whatever the page's own code should do.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// What stands in the page for whether there is a token.
const TOKEN: &str = "data-token=\"yes\"";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The file that a query asks for: none for the page itself, `asset=NAME` for its parts.
#[must_use]
pub(super) fn asset(query: Option<&str>, has_token: bool) -> Option<Asset> {
    let name = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("asset=")));
    let Some(name) = name else {
        return Some(Asset { content_type: "text/html; charset=utf-8", body: page(has_token) });
    };
    part(name).map(|(content_type, body)| Asset { content_type, body: Cow::Borrowed(body) })
}

/// A style sheet or a module by its name.
fn part(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "base.css" => (STYLE, include_str!("page/base.css")),
        "frame.css" => (STYLE, include_str!("page/frame.css")),
        "overview.css" => (STYLE, include_str!("page/overview.css")),
        "sheet.css" => (STYLE, include_str!("page/sheet.css")),
        "tables.css" => (STYLE, include_str!("page/tables.css")),
        "admin.js" => (SCRIPT, include_str!("page/admin.js")),
        "backends.js" => (SCRIPT, include_str!("page/backends.js")),
        "connection.js" => (SCRIPT, include_str!("page/connection.js")),
        "connections.js" => (SCRIPT, include_str!("page/connections.js")),
        "desk.js" => (SCRIPT, include_str!("page/desk.js")),
        "figures.js" => (SCRIPT, include_str!("page/figures.js")),
        "history.js" => (SCRIPT, include_str!("page/history.js")),
        "make.js" => (SCRIPT, include_str!("page/make.js")),
        "metrics.js" => (SCRIPT, include_str!("page/metrics.js")),
        "overview.js" => (SCRIPT, include_str!("page/overview.js")),
        "plot.js" => (SCRIPT, include_str!("page/plot.js")),
        "pulse.js" => (SCRIPT, include_str!("page/pulse.js")),
        "rooms.js" => (SCRIPT, include_str!("page/rooms.js")),
        "sheet.js" => (SCRIPT, include_str!("page/sheet.js")),
        "table.js" => (SCRIPT, include_str!("page/table.js")),
        "troubles.js" => (SCRIPT, include_str!("page/troubles.js")),
        _ => return None,
    })
}

fn page(has_token: bool) -> Cow<'static, str> {
    let page = include_str!("page/index.html");
    if has_token { Cow::Borrowed(page) } else { Cow::Owned(page.replacen(TOKEN, "data-token=\"no\"", 1)) }
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
    fn the_page_knows_whether_there_is_a_token() {
        assert!(page(true).contains("<html lang=\"en\" data-token=\"yes\">"));
        assert!(page(false).contains("<html lang=\"en\" data-token=\"no\">"));
    }

    #[test]
    fn the_page_names_all_parts_and_only_parts_that_are_there() {
        let listed = named(&page(true), "\"/?asset=");
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
        assert_eq!(asset(Some("asset=../../etc/passwd"), true), None);
    }

    #[test]
    fn the_page_needs_nothing_from_outside_and_nothing_inline() {
        // A namespace is a name, not an address.
        let page = page(true).replace("http://www.w3.org/2000/svg", "");
        for forbidden in ["http://", "https://", "<style", "style=\"", "onclick", "javascript:"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=\"/?asset=").count());
    }

    #[test]
    fn no_script_of_the_page_makes_markup_of_text_or_keeps_a_token_for_longer_than_its_tab() {
        let scripts = named(&page(true), "\"/?asset=").into_iter().filter(|name| name.ends_with(".js"));
        for name in scripts {
            let (_, body) = part(&name).expect(&name);
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "new Function",
                "DOMParser",
                "localStorage",
                "document.cookie",
                "indexedDB",
                "setAttribute(\"style",
            ] {
                assert!(!body.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }
}
