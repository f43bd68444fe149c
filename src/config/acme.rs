//! Certificates that a CA makes by itself (RFC 8555), as the owner wishes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which certificate is to be had from which CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// Where the CA's directory is; https.
    pub directory: String,
    /// DNS names, lower case, without wildcards; at least one, and at most a hundred. All are in one certificate.
    pub names: Vec<String>,
    /// Whom the CA may write to, as URLs; may be empty.
    pub contact: Vec<String>,
    /// The folder in which the account and the certificate are kept.
    pub storage: PathBuf,
    /// How the CA is shown that the names lead here.
    pub challenge: AcmeChallenge,
    /// PEM file of the CAs that the directory's own certificate is checked against; absent: the public ones.
    pub ca: Option<PathBuf>,
    /// An account that the CA knows already from elsewhere (RFC 8555 §7.3.4).
    pub external: Option<ExternalAccount>,
    /// The first wait after a failure; further ones are longer.
    pub retry: Duration,
}

/// How a CA is shown that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// In a TLS handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// By a page on port 80 (RFC 8555 §8.3).
    Http01,
}

/// An account at the CA that was made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the CA calls it.
    pub id: String,
    /// The file whose first line is its key, in base64url.
    pub key_file: PathBuf,
}

impl Acme {
    /// The folder for all that comes from this directory: certificates of a staging CA are none of the real one's.
    pub(crate) fn folder(&self) -> PathBuf {
        let url = self.directory.split_once("://").map_or(&*self.directory, |(_, rest)| rest);
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || ".-".contains(letter) { letter } else { '_' };
        self.storage.join(url.chars().map(plain).collect::<String>())
    }

    /// The file of the certificate's chain and its key, named after its first name.
    pub(crate) fn file(&self) -> PathBuf {
        let first = self.names.first().map_or("certificate", String::as_str);
        self.folder().join(Path::new(&format!("{first}.pem")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_has_a_folder_of_its_own_below_the_storage() {
        let of = |directory: &str| {
            let (names, storage) = (vec!["a.example".to_owned()], PathBuf::from("/var/lib/a"));
            let (contact, challenge, retry) = (Vec::new(), AcmeChallenge::Http01, Duration::from_secs(60));
            let directory = directory.to_owned();
            Acme { directory, names, contact, storage, challenge, ca: None, external: None, retry }
        };
        let file = |directory: &str| of(directory).file().display().to_string();
        assert_eq!(file("https://ca.example:14000/dir"), "/var/lib/a/ca.example_14000_dir/a.example.pem");
        assert_eq!(file("https://[::1]/../.."), "/var/lib/a/___1__.._../a.example.pem");
    }
}
