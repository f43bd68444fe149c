//! What the command line puts in the place of what the file says.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::document::{Place, Placed};
use super::draft::Draft;
use super::gateway::{LOG_FORMATS, TlsDraft, WATCH_DEFAULT, read_level};
use super::pool::pool_of;
use super::route::{Draft as RouteDraft, route_of};
use super::setting::quoted_words;
use crate::config::address::{read_backend, read_listen};
use crate::config::error::Wrong;
use crate::config::{BackendHead, CertificateFiles, Origins, Problem, Profile, Proxy, Target, Tls, TlsVersion};
use crate::wire::origin::OriginRule;

const COMMAND_LINE: &str = "command line";

/// The pool that `--to` makes.
const POOL: &str = "to";

/// What the command line overrides, as text: it is read and refused by the same rules as the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--to`: backends that the catch-all route relays to.
    pub to: Vec<String>,
    /// `--profile`: how those backends are treated.
    pub profile: Option<String>,
    /// `--origin`: who may come in to those backends from a browser; none: pages of the gateway's own host.
    pub origin: Vec<String>,
    /// `--listen`: replaces the file's addresses.
    pub listen: Vec<String>,
    /// `--cert`: with `--key`, replaces the file's certificates.
    pub cert: Option<PathBuf>,
    /// `--key`: the private key of `--cert`.
    pub key: Option<PathBuf>,
    /// `--log`: replaces `log.level`.
    pub log: Option<String>,
    /// `--log-format`: replaces `log.format`.
    pub log_format: Option<String>,
}

impl Overrides {
    /// Paths on the command line are relative to where it was typed, not to the file.
    pub(super) fn apply(&self, draft: &mut Draft) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.apply_listen(draft, &mut problems);
        self.apply_certificate(draft, &mut problems);
        self.apply_log(draft, &mut problems);
        let profile = self.profile(&mut problems);
        if self.to.is_empty()
            && let Some(text) = self.origin.first()
        {
            problems.push(place("--origin", text).problem("without --to", "--to URL --origin ORIGIN"));
        }
        if !self.to.is_empty() {
            self.apply_to(draft, profile, &mut problems);
        }
        problems
    }

    fn apply_listen(&self, draft: &mut Draft, problems: &mut Vec<Problem>) {
        if self.listen.is_empty() {
            return;
        }
        let read = |text: &String| {
            let place = place("--listen", text);
            let listen = accept(&place, read_listen(text, Path::new("")), problems)?;
            Some(Placed::new(listen, place))
        };
        draft.listen = self.listen.iter().filter_map(read).collect();
    }

    fn apply_certificate(&self, draft: &mut Draft, problems: &mut Vec<Problem>) {
        let alone = |flag, other: &str| {
            Problem::new(COMMAND_LINE, flag, format!("without {other}")).allowing("both or neither")
        };
        let files = match (&self.cert, &self.key) {
            (None, None) => return,
            (Some(_), None) => return problems.push(alone("--cert", "--key")),
            (None, Some(_)) => return problems.push(alone("--key", "--cert")),
            (Some(chain), Some(key)) => CertificateFiles { chain: chain.clone(), key: key.clone() },
        };
        let said = draft.tls.as_ref().map(|tls| &tls.value.tls);
        let tls = Tls {
            certificates: vec![files],
            self_signed: Vec::new(),
            acme: None,
            min_version: said.map_or(TlsVersion::Tls12, |tls| tls.min_version),
            hsts: said.and_then(|tls| tls.hsts),
            clients: said.and_then(|tls| tls.clients.clone()),
            watch: said.map_or(WATCH_DEFAULT, |tls| tls.watch),
        };
        draft.tls = Some(Placed::new(TlsDraft { tls, named: true, over_http: None }, place("--cert", "")));
    }

    fn apply_log(&self, draft: &mut Draft, problems: &mut Vec<Problem>) {
        if let Some(text) = &self.log
            && let Some(level) = accept(&place("--log", text), read_level(text), problems)
        {
            draft.config.log.level = level;
        }
        if let Some(text) = &self.log_format
            && let Some(format) = accept(&place("--log-format", text), read_word(text, &LOG_FORMATS), problems)
        {
            draft.config.log.format = format;
        }
    }

    fn profile(&self, problems: &mut Vec<Problem>) -> Profile {
        let Some(text) = &self.profile else {
            return Profile::Transparent;
        };
        let place = place("--profile", text);
        if self.to.is_empty() {
            problems.push(place.problem("without --to", "--to URL --profile NAME"));
        }
        accept(&place, read_word(text, &Profile::ALL), problems).unwrap_or(Profile::Transparent)
    }

    fn origins(&self, problems: &mut Vec<Problem>) -> Origins {
        if self.origin.is_empty() {
            return Origins::SameHost;
        }
        if self.origin == ["*"] {
            return Origins::Any;
        }
        let read = |text: &String| {
            let rule = OriginRule::parse(text);
            if rule.is_none() {
                let allowed = "https://example.com, https://*.example.com, null, or * alone";
                problems.push(place("--origin", text).problem("not an origin", allowed));
            }
            rule
        };
        Origins::List(self.origin.iter().filter_map(read).collect())
    }

    fn apply_to(&self, draft: &mut Draft, profile: Profile, problems: &mut Vec<Problem>) {
        let first = place("--to", &self.to[0]);
        if draft.config.pools.contains_key(POOL) {
            problems.push(first.problem("the file has a pool of the name \"to\" itself", "another name in the file"));
        }
        let mut seen = HashSet::new();
        let mut backends = Vec::new();
        for text in &self.to {
            let place = place("--to", text);
            let Some(backend) = accept(&place, read_backend(text, Path::new("")), problems) else {
                continue;
            };
            if !seen.insert(backend.transport.clone()) {
                problems.push(place.problem("named twice", "each backend once"));
            }
            backends.push(backend);
        }
        draft.config.pools.insert(POOL.to_owned(), pool_of(backends));
        let head = BackendHead::of(profile);
        let target = Target::Proxy(Proxy {
            pool: POOL.to_owned(),
            profile,
            head,
            legacy: profile.treatment().legacy,
            hold: None,
        });
        let path = Some(Placed::new("/".to_owned(), first));
        let mut route = route_of("/".to_owned(), target, draft.session);
        route.origins = self.origins(problems);
        let catch_all =
            RouteDraft { route, path, pool: None, pages_pool: None, redirect: None, hub: None, certificate: None };
        match draft.routes.iter_mut().find(|draft| draft.route.path == "/" && draft.route.host.is_none()) {
            Some(old) => *old = catch_all,
            None => draft.routes.push(catch_all),
        }
    }
}

fn place(flag: &str, text: &str) -> Place {
    Place {
        file: COMMAND_LINE.to_owned(),
        line: None,
        key: flag.to_owned(),
        text: (!text.is_empty()).then(|| text.to_owned()),
    }
}

fn accept<T>(place: &Place, read: Result<T, Wrong>, problems: &mut Vec<Problem>) -> Option<T> {
    read.map_err(|wrong| problems.push(place.problem(wrong.what, wrong.allowed))).ok()
}

fn read_word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| Wrong::new("unknown", quoted_words(words)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Balance, Config, Listen, LogFormat, Origins, Transport};

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn problems(overrides: &Overrides) -> String {
        Config::built_in(overrides).expect_err("refused").to_string()
    }

    #[test]
    fn origins_go_with_to() {
        let to = strings(&["ws://127.0.0.1:8000"]);
        let origin = strings(&["https://example.com", "https://*.example.com"]);
        let config = Config::built_in(&Overrides { to: to.clone(), origin, ..Overrides::default() }).expect("valid");
        let route = config.routes.iter().find(|route| route.path == "/").expect("catch-all");
        assert!(matches!(&route.origins, Origins::List(rules) if rules.len() == 2));
        let bad = problems(&Overrides { to, origin: strings(&["example.com"]), ..Overrides::default() });
        assert!(bad.contains("--origin") && bad.contains("not an origin"), "{bad}");
        let alone = problems(&Overrides { origin: strings(&["*"]), ..Overrides::default() });
        assert!(alone.contains("without --to"), "{alone}");
    }

    #[test]
    fn listen_replaces() {
        let overrides = Overrides { listen: strings(&["127.0.0.1:0", "unix:x.sock"]), ..Overrides::default() };
        let config = Config::built_in(&overrides).expect("valid");
        let expected = vec![Listen::Tcp(([127, 0, 0, 1], 0).into()), Listen::Unix("x.sock".into())];
        assert_eq!(config.listen, expected);
    }

    #[test]
    fn to_makes_a_pool_and_the_catch_all() {
        let to = strings(&["ws://127.0.0.1:8080", "ws://127.0.0.1:8081"]);
        let overrides = Overrides { to, profile: Some("legacy".to_owned()), ..Overrides::default() };
        let config = Config::built_in(&overrides).expect("valid");
        let pool = &config.pools["to"];
        assert_eq!(pool.backends[1].transport, Transport::Ws("127.0.0.1".to_owned(), 8081));
        assert_eq!(pool.balance, Balance::LeastConnections);
        let catch_all: Vec<_> = config.routes.iter().filter(|route| route.path == "/").collect();
        assert_eq!(catch_all.len(), 1);
        let (profile, head) = (Profile::Legacy, BackendHead::of(Profile::Legacy));
        let proxy = Proxy { pool: "to".to_owned(), profile, head, legacy: profile.treatment().legacy, hold: None };
        assert_eq!(catch_all[0].target, Target::Proxy(proxy));
        assert_eq!(catch_all[0].origins, Origins::SameHost);
        assert_eq!(config.routes.len(), 3);
    }

    #[test]
    fn to_gets_the_limits_of_the_file() {
        let overrides = Overrides { to: strings(&["ws://h"]), ..Overrides::default() };
        let text = "limits = { utf8 = false }\n[[route]]\npath = \"/\"\nhost = \"a.test\"\necho = {}\n";
        let config = super::super::parse(text, "t", Path::new(""), &overrides).expect("valid");
        assert_eq!(config.routes.len(), 2);
        assert!(!config.routes[1].limits.utf8);
    }

    #[test]
    fn certificate_replaces_and_brings_tls() {
        let overrides = Overrides {
            cert: Some("a.pem".into()),
            key: Some("a.key".into()),
            log: Some("debug".to_owned()),
            log_format: Some("json".to_owned()),
            ..Overrides::default()
        };
        let config = Config::built_in(&overrides).expect("valid");
        let tls = config.tls.expect("tls");
        assert_eq!(tls.certificates, [CertificateFiles { chain: "a.pem".into(), key: "a.key".into() }]);
        assert!(tls.self_signed.is_empty());
        assert_eq!((config.log.level.as_str(), config.log.format), ("debug", LogFormat::Json));
    }

    #[test]
    fn every_problem_names_its_flag() {
        let overrides = Overrides {
            to: strings(&["http://x", "ws://a", "ws://a"]),
            profile: Some("swool".to_owned()),
            origin: strings(&["example.com"]),
            listen: strings(&["here"]),
            cert: Some("a.pem".into()),
            key: None,
            log: Some("loud".to_owned()),
            log_format: Some("xml".to_owned()),
        };
        let expected = "\
command line: --listen = \"here\": not an address to listen on; allowed: an IP address and port such as \"0.0.0.0:8443\" or \"[::]:8443\", or \"unix:/run/wsgate.sock\"
command line: --cert: without --key; allowed: both or neither
command line: --log = \"loud\": not a log level; allowed: off, error, warn, info, debug, trace, or a list such as \"info,wsgate=debug\"
command line: --log-format = \"xml\": unknown; allowed: \"text\", \"json\"
command line: --profile = \"swool\": unknown; allowed: \"transparent\", \"legacy\", \"php-2048\", \"ratchet\", \"workerman\", \"swoole\"
command line: --to = \"http://x\": not a backend; allowed: \"ws://host:port\", \"wss://host:port\" or \"unix:/path\"
command line: --to = \"ws://a\": named twice; allowed: each backend once
command line: --origin = \"example.com\": not an origin; allowed: https://example.com, https://*.example.com, null, or * alone";
        assert_eq!(problems(&overrides), expected);
    }

    #[test]
    fn flags_that_need_another() {
        let overrides = Overrides { key: Some("k".into()), profile: Some("legacy".to_owned()), ..Overrides::default() };
        let expected = "command line: --key: without --cert; allowed: both or neither\n\
            command line: --profile = \"legacy\": without --to; allowed: --to URL --profile NAME";
        assert_eq!(problems(&overrides), expected);
    }

    #[test]
    fn listening_beyond_this_machine_needs_tls() {
        let overrides = Overrides { listen: strings(&["0.0.0.0:80"]), ..Overrides::default() };
        assert!(Config::built_in(&overrides).is_ok());
        let text = "[[route]]\npath = \"/\"\necho = {}\n";
        let found = super::super::parse(text, "t", Path::new(""), &overrides).expect_err("refused").to_string();
        assert!(found.starts_with("command line: --listen = \"0.0.0.0:80\": plain ws beyond this machine"), "{found}");
    }

    #[test]
    fn passwords_on_the_command_line_are_masked() {
        let overrides = Overrides { to: strings(&["ws://me:s3cret@h"]), ..Overrides::default() };
        assert!(!problems(&overrides).contains("s3cret"));
    }
}
