//! A server that was started for a comparison: its certificate, its configuration, its process.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::program::{Job, Program, WS};
use super::ward::{Ward, free_address};

/// Whether a server does TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// It does not. Of wsgate alone.
    Ws,
    /// It does.
    Wss,
}

/// What a peer is set up for. wsgate has one set-up for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// Buffers of the size at which it spends the least time.
    Fast,
    /// Buffers of the size at which it holds the least memory.
    Lean,
}

/// What goes into a configuration of wsgate that does TLS.
const TLS: &str = "[tls]\ncertificates = [{ chain = \"@CHAIN@\", key = \"@KEY@\" }]\nmin_version = \"1.3\"\n";

/// The certificate that all of them serve: ECDSA P-256, for `localhost`, from a CA made for the occasion.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) authority: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pair: PathBuf,
}

impl Certificate {
    /// Makes it in this folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let made = wsgate::make_certificate(folder, &["localhost".to_owned()]).map_err(io::Error::other)?;
        let pair = folder.join("pair.pem");
        fs::write(&pair, [fs::read(&made.chain)?, fs::read(&made.key)?].concat())?;
        Ok(Self { authority: made.authority, chain: made.chain, key: made.key, pair })
    }
}

/// A server that was started for the comparison.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) program: Program,
    pub(super) address: SocketAddr,
    pub(super) ward: Ward,
    scheme: Scheme,
    _folder: TempDir,
}

impl Target {
    /// Starts a program in front of the echo at `backend`, or as a chat when there is none.
    ///
    /// # Errors
    /// It does not serve.
    pub(super) fn start(
        program: Program,
        setup: Setup,
        made: &Certificate,
        backend: Option<SocketAddr>,
        scheme: Scheme,
    ) -> io::Result<Self> {
        let text = match backend {
            Some(backend) => program.template(Job::Relay).replace("@BACKEND@", &backend.port().to_string()),
            None => program.template(Job::Chat).replace("@WS@", WS),
        };
        let text = text
            .replace("@TLS@", if scheme == Scheme::Wss { TLS } else { "" })
            .replace("@CHAIN@", &made.chain.to_string_lossy())
            .replace("@KEY@", &made.key.to_string_lossy())
            .replace("@PAIR@", &made.pair.to_string_lossy())
            .replace("@PROFILE@", &program.profile())
            .replace("@BUSY@", &(2 * program.buffer(setup)).to_string())
            .replace("@BUFFER@", &program.buffer(setup).to_string());
        Self::serve(program, &text, scheme)
    }

    /// Where it serves.
    #[must_use]
    pub(super) fn url(&self) -> String {
        let scheme = if self.scheme == Scheme::Wss { "wss" } else { "ws" };
        format!("{scheme}://{}/", self.address)
    }

    /// Starts the backend: plain ws, every message comes back.
    ///
    /// # Errors
    /// It does not serve.
    pub(super) fn backend() -> io::Result<Self> {
        Self::serve(Program::Wsgate, include_str!("backend.toml"), Scheme::Ws)
    }

    fn serve(program: Program, text: &str, scheme: Scheme) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let descriptors = descriptors();
        let text = text
            .replace("@PORT@", &address.port().to_string())
            .replace("@FOLDER@", &folder.path().to_string_lossy())
            .replace("@DESCRIPTORS@", &descriptors.to_string())
            .replace("@CONNECTIONS@", &(descriptors.saturating_sub(100) / 2).min(8000).to_string());
        let file = folder.path().join("configuration");
        fs::write(&file, text)?;
        let mut arguments: Vec<PathBuf> = program.arguments().iter().map(PathBuf::from).collect();
        arguments.push(file);
        let ward = Ward::start(&program.path()?, &arguments, folder.path(), address)?;
        Ok(Self { program, address, ward, scheme, _folder: folder })
    }
}

/// How many descriptors a process of ours may open.
fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::super::program::PROFILES;
    use super::*;

    #[test]
    fn no_placeholder_is_left() {
        let relays = [Program::Wsgate, Program::Nginx, Program::Haproxy].map(|program| (program, Job::Relay));
        for (program, job) in
            relays.into_iter().chain([Program::Wsgate, Program::Node, Program::Python].map(|it| (it, Job::Chat)))
        {
            let known = ["PORT", "FOLDER", "DESCRIPTORS", "CONNECTIONS", "BACKEND", "CHAIN", "KEY", "PAIR", "BUSY"];
            let known = known.into_iter().chain(["BUFFER", "WS", "PROFILE", "TLS"]);
            let text =
                known.fold(program.template(job).to_owned(), |text, name| text.replace(&format!("@{name}@"), "1"));
            assert!(!text.contains('@'), "{program}: {text}");
        }
    }

    /// What is wrong with this configuration of a relay with that behind the pool's name.
    fn problems(profile: &str) -> Option<String> {
        let known = [("TLS", TLS), ("PORT", "1"), ("BACKEND", "2"), ("CHAIN", "c"), ("KEY", "k"), ("PROFILE", profile)];
        let text = Program::Wsgate.template(Job::Relay).to_owned();
        let text = known.iter().fold(text, |text, (name, value)| text.replace(&format!("@{name}@"), value));
        wsgate::Config::parse(&text, "wsgate.toml", Path::new("")).err().map(|problems| problems.to_string())
    }

    #[test]
    fn every_profile_of_the_gateway_is_compared() {
        for name in PROFILES {
            assert_eq!(problems(&Program::Profile(name).profile()), None, "{name}");
        }
        let said = problems(", profile = \"\"").expect("there is none of this name");
        let allowed = said.split("allowed: ").nth(1).expect("those that there are").trim();
        assert_eq!(allowed.replace('"', ""), PROFILES.join(", "), "{said}");
    }
}
