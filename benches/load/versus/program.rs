//! Who is compared: wsgate and its peers, what each is compared at, and where it is installed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::target::Setup;

/// The wsgate that was built with this harness.
const WSGATE: &str = env!("CARGO_BIN_EXE_wsgate");

/// What installs Python's `websockets`.
const HOW_TO_PYTHON: &str = "apt-get install python3-venv (as root); python3 -m venv target/real-venv; \
     target/real-venv/bin/python -m pip install -r tests/real/requirements.txt; WSGATE_PYTHON names another Python";

/// Python with `websockets`, where `tests/run` puts it: beside what cargo builds.
fn python() -> PathBuf {
    let beside = || Some(Path::new(WSGATE).parent()?.parent()?.join("real-venv/bin/python"));
    let named = std::env::var_os("WSGATE_PYTHON").map(PathBuf::from);
    named.or_else(beside).unwrap_or_else(|| "python3".into())
}

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
    /// A chat on Python's `websockets`, as `tests/real` installs it.
    Python,
    /// Ours, with the profile of this name.
    Profile(&'static str),
}

/// The profiles, the one that the others are compared with first.
pub(super) const PROFILES: [&str; 6] = ["transparent", "legacy", "php-2048", "ratchet", "workerman", "swoole"];

/// What a profile's own limit on messages is raised to, so that all of them relay the same ones.
const MESSAGE_SIZE: &str = "64KiB";

/// Node's `ws`.
pub(super) const WS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/node_modules/ws");

impl Program {
    /// Its command.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wsgate => "wsgate",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Node => "node",
            Self::Python => "websockets",
            Self::Profile(profile) => profile,
        }
    }

    /// What it is compared at.
    #[must_use]
    pub(crate) fn job(self) -> Job {
        match self {
            Self::Node | Self::Python => Job::Chat,
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
    pub(super) fn profile(self) -> String {
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
            Self::Python => HOW_TO_PYTHON,
            _ => "apt-get install nginx-light haproxy (as root)",
        }
    }

    /// Where it is, looked for as a shell does, and where Debian keeps servers.
    pub(super) fn path(self) -> io::Result<PathBuf> {
        if self.is_ours() {
            return Ok(WSGATE.into());
        }
        if self == Self::Python {
            return Ok(python());
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
        if self == Self::Python {
            return self.version_of_websockets();
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

    fn version_of_websockets(self) -> io::Result<String> {
        let asked =
            "import platform, websockets; print(websockets.__version__, 'on Python', platform.python_version())";
        let output = Command::new(self.path()?).args(["-c", asked]).output();
        match output {
            Ok(output) if output.status.success() => {
                Ok(format!("websockets {}", String::from_utf8_lossy(&output.stdout).trim()))
            }
            _ => Err(io::Error::other(format!("Python's websockets is not installed: {HOW_TO_PYTHON}"))),
        }
    }

    pub(super) fn template(self, job: Job) -> &'static str {
        match self {
            Self::Wsgate if job == Job::Chat => include_str!("chat.toml"),
            Self::Node => include_str!("chat.cjs"),
            Self::Python => include_str!("chat.py"),
            Self::Wsgate | Self::Profile(_) => include_str!("wsgate.toml"),
            Self::Nginx => include_str!("nginx.conf"),
            Self::Haproxy => include_str!("haproxy.cfg"),
        }
    }

    /// The first argument that names a configuration, and whatever goes with it.
    pub(super) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Wsgate | Self::Profile(_) => &["--config"],
            Self::Nginx => &["-e", "stderr", "-c"],
            Self::Haproxy => &["-db", "-f"],
            Self::Node | Self::Python => &[],
        }
    }

    /// Bytes of a buffer, found by trying: twice a TLS record, so that 16 KiB go through at once, or as little as will do.
    pub(super) fn buffer(self, setup: Setup) -> usize {
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
            "websockets" => Ok(Self::Python),
            _ => Self::profiles().find(|profile| profile.name() == name).ok_or_else(|| {
                let profiles = PROFILES[1..].join(", ");
                format!("{name:?} is nothing to compare with: nginx, haproxy; node, websockets; profiles, or of these {profiles}")
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
    fn only_known_peers_are_taken() {
        assert_eq!("nginx".parse(), Ok(Program::Nginx));
        assert_eq!("websockets".parse(), Ok(Program::Python));
        assert!("caddy".parse::<Program>().is_err());
        assert_eq!("swoole".parse(), Ok(Program::Profile("swoole")));
        // It is what they are compared with.
        assert!("transparent".parse::<Program>().is_err());
    }
}
