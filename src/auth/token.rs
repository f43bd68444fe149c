//! A client's token: found where the owner says it stands, and taken out of what the backend gets to see.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use url::form_urlencoded;

use crate::admission::credentials::TokenFault;
use crate::config::auth::TokenPlace;
use crate::wire::offer::elements;

/// The subprotocol that says: the next one is a token.
pub(super) const BEARER: &str = "bearer";

/// The token in the first place that has one, and that place; two in one place are refused, since the backend could
/// take the other.
///
/// # Errors
/// There is none, or more than one.
pub(super) fn find<'a>(
    places: &'a [TokenPlace],
    headers: &'a HeaderMap,
    target: &'a str,
) -> Result<(&'a TokenPlace, Cow<'a, str>), TokenFault> {
    for place in places {
        let mut found = all(place, headers, target).into_iter();
        match (found.next(), found.next()) {
            (None, _) => {}
            (Some(token), None) => return Ok((place, token)),
            (Some(_), Some(_)) => return Err(TokenFault::Several),
        }
    }
    Err(TokenFault::Absent)
}

fn all<'a>(place: &TokenPlace, headers: &'a HeaderMap, target: &'a str) -> Vec<Cow<'a, str>> {
    match place {
        TokenPlace::Header => lines(headers, &AUTHORIZATION).filter_map(bearer).map(Cow::Borrowed).collect(),
        TokenPlace::Cookie(name) => {
            let pairs = lines(headers, &COOKIE).flat_map(cookies);
            pairs.filter(|(have, _)| have == name).map(|(_, value)| Cow::Borrowed(value)).collect()
        }
        TokenPlace::Query(name) => {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let pairs = form_urlencoded::parse(query.as_bytes());
            pairs.filter(|(have, _)| have == name).map(|(_, value)| value).collect()
        }
        TokenPlace::Subprotocol => offered(headers).into_iter().map(Cow::Borrowed).collect(),
    }
}

fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok())
}

/// RFC 9110 §11.1: the scheme's name is not case-sensitive.
fn bearer(line: &str) -> Option<&str> {
    let (scheme, token) = line.trim_ascii().split_once(' ')?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim_ascii())
}

/// RFC 6265 §4.2.1: pairs of name and value.
fn cookies(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = line.split(';').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (name.trim_ascii(), value.trim_ascii()))
}

/// The subprotocol behind each `bearer`: none is a token twice, as the offer's own check has seen to.
fn offered(headers: &HeaderMap) -> Vec<&str> {
    let mut names = elements(headers, &SEC_WEBSOCKET_PROTOCOL).filter_map(|name| std::str::from_utf8(name).ok());
    let mut found = Vec::new();
    while let Some(name) = names.next() {
        if name.eq_ignore_ascii_case(BEARER) {
            found.extend(names.next());
        }
    }
    found
}

/// The subprotocols of a client that are none: the token itself, which is never to be chosen, and, where it is to be
/// taken out, the word before it. Empty where tokens are not looked for there.
pub(super) fn unchosen(places: &[TokenPlace], headers: &HeaderMap, strip: bool) -> Vec<String> {
    if !places.contains(&TokenPlace::Subprotocol) {
        return Vec::new();
    }
    let mut found: Vec<String> = offered(headers).into_iter().map(str::to_owned).collect();
    if strip && !found.is_empty() {
        let names = elements(headers, &SEC_WEBSOCKET_PROTOCOL).filter_map(|name| std::str::from_utf8(name).ok());
        found.extend(names.filter(|name| name.eq_ignore_ascii_case(BEARER)).map(str::to_owned));
    }
    found
}

/// Takes every token out of the headers, wherever one may stand; gives the target without.
pub(super) fn strip(places: &[TokenPlace], headers: &mut HeaderMap, target: &str) -> String {
    let mut target = target.to_owned();
    for place in places {
        match place {
            TokenPlace::Header => keep(headers, &AUTHORIZATION, (None, ", "), |line| bearer(line).is_none()),
            TokenPlace::Cookie(name) => {
                let other = |pair: &str| pair.split('=').next().is_none_or(|have| have.trim_ascii() != name);
                keep(headers, &COOKIE, (Some(';'), "; "), other);
            }
            TokenPlace::Query(name) => target = without(&target, name),
            TokenPlace::Subprotocol => {
                let gone = unchosen(places, headers, true);
                let other = |name: &str| !gone.iter().any(|gone| gone == name);
                keep(headers, &SEC_WEBSOCKET_PROTOCOL, (Some(','), ", "), other);
            }
        }
    }
    target
}

/// The pieces of a header's lines that are to be kept, in one line; no header when none is left.
fn keep(
    headers: &mut HeaderMap,
    name: &HeaderName,
    (ends, between): (Option<char>, &str),
    wanted: impl Fn(&str) -> bool,
) {
    let pieces = lines(headers, name).flat_map(|line| line.split(|letter| Some(letter) == ends));
    let kept: Vec<&str> = pieces.map(str::trim_ascii).filter(|piece| !piece.is_empty() && wanted(piece)).collect();
    let line = HeaderValue::from_str(&kept.join(between)).ok().filter(|line| !line.is_empty());
    match line {
        Some(line) => drop(headers.insert(name, line)),
        None => drop(headers.remove(name)),
    }
}

/// The target without the parameter of this name, in whatever way its name is written; what is left stays as it is.
fn without(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let other = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(have, _)| have != name);
    let kept: Vec<&str> = query.split('&').filter(other).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    fn found(
        places: &[TokenPlace],
        lines: &[(&'static str, &'static str)],
        target: &str,
    ) -> Result<String, TokenFault> {
        find(places, &headers(lines), target).map(|(_, token)| token.into_owned())
    }

    #[test]
    fn each_place_is_looked_at_in_its_turn() {
        let cookie = TokenPlace::Cookie("id".to_owned());
        let query = TokenPlace::Query("t".to_owned());
        let ok = |token: &str| Ok(token.to_owned());
        assert_eq!(found(&[TokenPlace::Header], &[("authorization", "bearer  a.b.c ")], "/"), ok("a.b.c"));
        assert_eq!(found(&[TokenPlace::Header], &[("authorization", "Basic eDp5")], "/"), Err(TokenFault::Absent));
        assert_eq!(
            found(std::slice::from_ref(&cookie), &[("cookie", "x=1; id=a.b.c"), ("cookie", "y=2")], "/"),
            ok("a.b.c")
        );
        assert_eq!(found(std::slice::from_ref(&query), &[], "/ws?x=1&t=a.b.c"), ok("a.b.c"));
        let offer = [("sec-websocket-protocol", "chat, Bearer"), ("sec-websocket-protocol", "a.b.c, x")];
        assert_eq!(found(&[TokenPlace::Subprotocol], &offer, "/"), ok("a.b.c"));
        let both = [("cookie", "id=cookie"), ("authorization", "Bearer header")];
        assert_eq!(found(&[cookie, TokenPlace::Header], &both, "/?t=query"), ok("cookie"));
        assert_eq!(
            found(&[TokenPlace::Subprotocol], &[("sec-websocket-protocol", "bearer")], "/"),
            Err(TokenFault::Absent)
        );
    }

    #[test]
    fn two_in_one_place_are_refused() {
        let query = TokenPlace::Query("t".to_owned());
        assert_eq!(found(std::slice::from_ref(&query), &[], "/?t=a&%74=b"), Err(TokenFault::Several));
        let cookie = TokenPlace::Cookie("id".to_owned());
        assert_eq!(found(&[cookie], &[("cookie", "id=a"), ("cookie", "id=b")], "/"), Err(TokenFault::Several));
        let lines = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        assert_eq!(found(&[TokenPlace::Header], &lines, "/"), Err(TokenFault::Several));
    }

    #[test]
    fn what_is_taken_out_leaves_the_rest_as_it_was() {
        let places = [
            TokenPlace::Header,
            TokenPlace::Cookie("id".to_owned()),
            TokenPlace::Query("t".to_owned()),
            TokenPlace::Subprotocol,
        ];
        let mut lines = headers(&[
            ("authorization", "Bearer SECRET"),
            ("cookie", "a=b=c; id=SECRET"),
            ("cookie", "d"),
            ("sec-websocket-protocol", "chat, bearer, SECRET"),
            ("sec-websocket-protocol", "soap"),
        ]);
        assert_eq!(unchosen(&places, &lines, false), ["SECRET"]);
        assert_eq!(unchosen(&places, &lines, true), ["SECRET", "bearer"]);
        assert_eq!(strip(&places, &mut lines, "/ws?x=%20&t=SECRET&%74=SECRET&y"), "/ws?x=%20&y");
        assert_eq!(lines, headers(&[("cookie", "a=b=c; d"), ("sec-websocket-protocol", "chat, soap")]));
        let mut lines = headers(&[("authorization", "Basic eDp5"), ("cookie", "id=SECRET")]);
        assert_eq!(strip(&places, &mut lines, "/ws?t=SECRET"), "/ws");
        assert_eq!(lines, headers(&[("authorization", "Basic eDp5")]));
    }
}
