//! Who is compared: wsgate and its peers, each with a configuration of ours, at the same job.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::ward::{Ward, free_address};

/// The wsgate that was built with this harness.
const WSGATE: &str = env!("CARGO_BIN_EXE_wsgate");

/// What all of them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Job {
    /// Stand in front of an echo.
    Relay,
    /// Bring every text to all who are there, with its author in front.
    Chat,
    /// Stand in front of an echo, each with another profile.
    #[value(skip)]
    Profiles,
}

/// A program that can be set to such a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Ours.
    Wsgate,
    /// nginx, as Debian's `nginx-light` has it.
    Nginx,
    /// HAProxy, as Debian's `haproxy` has it.
    Haproxy,
    /// A chat on Node's `ws`, as `tests/real` installs it.
    Node,
    /// Ours, with the profile of this name.
    Profile(&'static str),
}

/// The profiles, the one that the others are compared with first.
const PROFILES: [&str; 6] = ["transparent", "legacy", "php-2048", "ratchet", "workerman", "swoole"];

/// What a profile's own limit on messages is raised to, so that all of them relay the same ones.
const MESSAGE_SIZE: &str = "64KiB";

/// Node's `ws`.
const WS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/node_modules/ws");

/// What a peer is set up for. wsgate has one set-up for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// Buffers of the size at which it spends the least time.
    Fast,
    /// Buffers of the size at which it holds the least memory.
    Lean,
}

impl Program {
    /// Its command.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wsgate => "wsgate",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Node => "node",
            Self::Profile(profile) => profile,
        }
    }

    /// What it is compared at.
    #[must_use]
    pub(crate) fn job(self) -> Job {
        match self {
            Self::Node => Job::Chat,
            Self::Profile(_) => Job::Profiles,
            _ => Job::Relay,
        }
    }

    /// The profiles that are compared with `transparent`.
    pub(crate) fn profiles() -> impl Iterator<Item = Self> {
        PROFILES[1..].iter().copied().map(Self::Profile)
    }

    /// Whom everybody else is compared with at this job.
    #[must_use]
    pub(super) fn base(job: Job) -> Self {
        if job == Job::Profiles { Self::Profile(PROFILES[0]) } else { Self::Wsgate }
    }

    fn is_ours(self) -> bool {
        matches!(self, Self::Wsgate | Self::Profile(_))
    }

    /// What stands behind the pool's name on a route.
    fn profile(self) -> String {
        match self {
            Self::Profile(name) if name == PROFILES[0] => format!(", profile = \"{name}\""),
            Self::Profile(name) => {
                format!(", profile = \"{name}\", legacy = {{ message_size = \"{MESSAGE_SIZE}\" }}")
            }
            _ => String::new(),
        }
    }

    /// The command that installs it.
    fn install(self) -> &'static str {
        match self {
            Self::Node => "apt-get install nodejs npm (as root)",
            _ => "apt-get install nginx-light haproxy (as root)",
        }
    }

    /// Where it is, looked for as a shell does, and where Debian keeps servers.
    fn path(self) -> io::Result<PathBuf> {
        if self.is_ours() {
            return Ok(WSGATE.into());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        folders
            .map(|folder| folder.join(self.name()))
            .find(|path| path.is_file())
            .ok_or_else(|| io::Error::other(format!("{} is not installed: {}", self.name(), self.install())))
    }

    /// What it calls itself: `nginx 1.22.1`, or a profile's name.
    ///
    /// # Errors
    /// It is not installed, with the command that changes this.
    pub(super) fn version(self) -> io::Result<String> {
        if self == Self::Node {
            return self.version_of_ws();
        }
        if let Self::Profile(name) = self {
            return Ok(name.to_owned());
        }
        let option = if self == Self::Wsgate { "--version" } else { "-v" };
        let output = Command::new(self.path()?).arg(option).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok(format!("{self} {}", number_in(&String::from_utf8_lossy(&said))))
    }

    fn version_of_ws(self) -> io::Result<String> {
        let asked = format!("require({WS:?} + '/package.json').version + ' on Node ' + process.versions.node");
        let output = Command::new(self.path()?).args(["-p", &asked]).output()?;
        if !output.status.success() {
            return Err(io::Error::other("Node's ws is not installed: npm ci --prefix tests/real"));
        }
        Ok(format!("ws {}", String::from_utf8_lossy(&output.stdout).trim()))
    }

    fn template(self, job: Job) -> &'static str {
        match self {
            Self::Wsgate if job == Job::Chat => include_str!("chat.toml"),
            Self::Node => include_str!("chat.cjs"),
            Self::Wsgate | Self::Profile(_) => include_str!("wsgate.toml"),
            Self::Nginx => include_str!("nginx.conf"),
            Self::Haproxy => include_str!("haproxy.cfg"),
        }
    }

    /// The first argument that names a configuration, and whatever goes with it.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Wsgate | Self::Profile(_) => &["--config"],
            Self::Nginx => &["-e", "stderr", "-c"],
            Self::Haproxy => &["-db", "-f"],
            Self::Node => &[],
        }
    }

    /// Bytes of a buffer, found by trying: twice a TLS record, so that 16 KiB go through at once, or as little as will do.
    fn buffer(self, setup: Setup) -> usize {
        match (self, setup) {
            (Self::Nginx, Setup::Lean) => 1 << 10,
            (Self::Haproxy, Setup::Lean) => 16 << 10,
            _ => 32 << 10,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Haproxy => "HAProxy",
            Self::Node => "ws",
            _ => self.name(),
        })
    }
}

impl FromStr for Program {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "nginx" => Ok(Self::Nginx),
            "haproxy" => Ok(Self::Haproxy),
            "node" => Ok(Self::Node),
            _ => Self::profiles().find(|profile| profile.name() == name).ok_or_else(|| {
                let profiles = PROFILES[1..].join(", ");
                format!("{name:?} is nothing to compare with: nginx, haproxy; node; profiles, or of these {profiles}")
            }),
        }
    }
}

/// The first word that begins with a digit, without what follows a `-` (the distribution's own number).
fn number_in(said: &str) -> &str {
    let starts = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let word = said.split([' ', '/', '\n']).find(starts).unwrap_or("?");
    word.split('-').next().unwrap_or(word)
}

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
    ) -> io::Result<Self> {
        let text = match backend {
            Some(backend) => program.template(Job::Relay).replace("@BACKEND@", &backend.port().to_string()),
            None => program.template(Job::Chat).replace("@WS@", WS),
        };
        let text = text
            .replace("@CHAIN@", &made.chain.to_string_lossy())
            .replace("@KEY@", &made.key.to_string_lossy())
            .replace("@PAIR@", &made.pair.to_string_lossy())
            .replace("@PROFILE@", &program.profile())
            .replace("@BUSY@", &(2 * program.buffer(setup)).to_string())
            .replace("@BUFFER@", &program.buffer(setup).to_string());
        Self::serve(program, &text)
    }

    /// Starts the backend: plain ws, every message comes back.
    ///
    /// # Errors
    /// It does not serve.
    pub(super) fn backend() -> io::Result<Self> {
        Self::serve(Program::Wsgate, include_str!("backend.toml"))
    }

    fn serve(program: Program, text: &str) -> io::Result<Self> {
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
        Ok(Self { program, address, ward, _folder: folder })
    }
}

/// How many descriptors a process of ours may open.
fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_each_says() {
        assert_eq!(number_in("nginx version: nginx/1.22.1\n"), "1.22.1");
        assert_eq!(number_in("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n"), "2.6.12");
        assert_eq!(number_in("wsgate 0.1.0\n"), "0.1.0");
        assert_eq!(number_in(""), "?");
    }

    #[test]
    fn no_placeholder_is_left() {
        let relays = [Program::Wsgate, Program::Nginx, Program::Haproxy].map(|program| (program, Job::Relay));
        for (program, job) in relays.into_iter().chain([Program::Wsgate, Program::Node].map(|it| (it, Job::Chat))) {
            let known = ["PORT", "FOLDER", "DESCRIPTORS", "CONNECTIONS", "BACKEND", "CHAIN", "KEY", "PAIR", "BUSY"];
            let known = known.into_iter().chain(["BUFFER", "WS", "PROFILE"]);
            let text =
                known.fold(program.template(job).to_owned(), |text, name| text.replace(&format!("@{name}@"), "1"));
            assert!(!text.contains('@'), "{program}: {text}");
        }
    }

    #[test]
    fn only_known_peers_are_taken() {
        assert_eq!("nginx".parse(), Ok(Program::Nginx));
        assert!("caddy".parse::<Program>().is_err());
        assert_eq!("swoole".parse(), Ok(Program::Profile("swoole")));
        // It is what they are compared with.
        assert!("transparent".parse::<Program>().is_err());
    }

    /// What is wrong with this configuration of a relay with that behind the pool's name.
    fn problems(profile: &str) -> Option<String> {
        let known = [("PORT", "1"), ("BACKEND", "2"), ("CHAIN", "c"), ("KEY", "k"), ("PROFILE", profile)];
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
