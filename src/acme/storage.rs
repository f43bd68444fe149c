//! Where an account and a certificate are kept: files that several gateways may share, each written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::config::Acme;
use crate::tls;

/// Bytes of an account: it has less than a thousand.
const ACCOUNT_MAX: u64 = 64 * 1024;

/// The folder for one directory's CA.
pub(super) struct Storage {
    folder: PathBuf,
    certificate: PathBuf,
}

/// That nobody else orders or writes. It is gone with the process, however that ends (flock(2)).
pub(super) struct Lock {
    _file: File,
}

impl Storage {
    /// Makes the folder where there is none, for its owner alone.
    pub(super) fn open(wishes: &Acme) -> Result<Self, Broken> {
        let (folder, certificate) = (wishes.folder(), wishes.file());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| Broken::new(&folder, error))?;
        Ok(Self { folder, certificate })
    }

    /// The file of chain and key.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// `None` while another gateway has it.
    pub(super) fn lock(&self) -> Result<Option<Lock>, Broken> {
        let path = self.folder.join("lock");
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| Broken::new(&path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(Broken::new(&path, error.into())),
        }
    }

    /// What is kept of the account, if anything.
    pub(super) fn account(&self) -> Result<Option<String>, Broken> {
        let path = self.account_file();
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(ACCOUNT_MAX).read_to_string(&mut text)) {
            Ok(_) => Ok(Some(text)),
            // Not UTF-8: damaged, like any other text that is no account.
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(Some(String::new())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Broken::new(&path, error)),
        }
    }

    pub(super) fn keep_account(&self, _: &Lock, text: &str) -> Result<(), Broken> {
        let path = self.account_file();
        let fresh = write(&path, text)?;
        self.put(&fresh, &path)
    }

    /// An account that is not good any more, or was never one.
    pub(super) fn set_aside_account(&self, _: &Lock) -> Result<(), Broken> {
        self.set_aside(&self.account_file(), "the CA does not know it, or it cannot be read")
    }

    /// Puts chain and key in the place of the one before, once `check` has nothing against them.
    pub(super) fn keep_certificate<E: From<Broken>>(
        &self,
        _: &Lock,
        text: &str,
        check: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let fresh = write(&self.certificate, text)?;
        if let Err(error) = check(&fresh) {
            // It is of no use to anybody.
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        Ok(self.put(&fresh, &self.certificate)?)
    }

    /// A certificate that is there and can be served by nobody is kept beside its place, for whoever wants to know why. One
    /// that has merely ended is none such.
    pub(super) fn set_aside_damaged(&self, _: &Lock) -> Result<(), Broken> {
        if !self.certificate.exists() {
            return Ok(());
        }
        match tls::flaw(&self.certificate) {
            Some(why) => self.set_aside(&self.certificate, &why),
            None => Ok(()),
        }
    }

    /// One of each is kept at most.
    fn set_aside(&self, path: &Path, why: &str) -> Result<(), Broken> {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        let aside = PathBuf::from(name);
        tracing::warn!(file = %path.display(), aside = %aside.display(), why, "a file cannot be used, and is set aside");
        self.put(path, &aside)
    }

    fn account_file(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// A rename is the one step that is done or not; it outlives a crash once the folder is on the disk.
    fn put(&self, from: &Path, to: &Path) -> Result<(), Broken> {
        let put = fs::rename(from, to).and_then(|()| File::open(&self.folder)?.sync_all());
        put.map_err(|error| Broken::new(to, error))
    }
}

/// Beside its place, for its owner alone, and on the disk.
fn write(path: &Path, text: &str) -> Result<PathBuf, Broken> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    // Left by one that was killed: whoever has the lock is alone.
    let _ = fs::remove_file(&fresh);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Broken::new(&fresh, error))?;
    Ok(fresh)
}

/// A file that cannot be read or written, and why.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

impl Broken {
    fn new(path: &Path, error: io::Error) -> Self {
        Self { path: path.to_owned(), error }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::config::AcmeChallenge;

    fn storage(folder: &Path) -> Storage {
        let (names, storage) = (vec!["a.example".to_owned()], folder.join("acme"));
        let (contact, challenge, retry) = (Vec::new(), AcmeChallenge::Http01, Duration::from_secs(60));
        let directory = "https://ca.example/dir".to_owned();
        let wishes = Acme { directory, names, contact, storage, challenge, ca: None, external: None, retry };
        Storage::open(&wishes).expect("a folder")
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[test]
    fn one_orders_at_a_time() {
        let folder = tempfile::tempdir().expect("folder");
        let (one, other) = (storage(folder.path()), storage(folder.path()));
        let lock = one.lock().expect("a lock").expect("free");
        assert!(other.lock().expect("a lock").is_none());
        drop(lock);
        assert!(other.lock().expect("a lock").is_some());
    }

    #[test]
    fn what_is_kept_is_for_the_owner_alone_and_whole() {
        let folder = tempfile::tempdir().expect("folder");
        let storage = storage(folder.path());
        let lock = storage.lock().expect("a lock").expect("free");
        assert_eq!(storage.account().expect("read"), None);
        fs::write(storage.folder.join("account.json.new"), "half of one, left by somebody who was kil").expect("write");
        storage.keep_account(&lock, "one").expect("kept");
        storage.keep_account(&lock, "two").expect("kept");
        assert_eq!(storage.account().expect("read").as_deref(), Some("two"));
        assert_eq!((mode(&storage.account_file()), mode(&storage.folder)), (0o600, 0o700));
        storage.set_aside_account(&lock).expect("set aside");
        assert_eq!(storage.account().expect("read"), None);
        assert_eq!(fs::read_to_string(storage.folder.join("account.json.damaged")).expect("there"), "two");
        fs::write(storage.account_file(), b"\xff").expect("write");
        assert_eq!(storage.account().expect("read").as_deref(), Some(""));
    }

    #[test]
    fn a_certificate_that_is_refused_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("folder");
        let storage = storage(folder.path());
        let lock = storage.lock().expect("a lock").expect("free");
        storage.keep_certificate(&lock, "one", |_| Ok::<_, Broken>(())).expect("kept");
        let refuse = |fresh: &Path| Err(Broken::new(fresh, io::Error::other("no")));
        storage.keep_certificate(&lock, "two", refuse).expect_err("refused");
        assert_eq!(fs::read_to_string(storage.certificate()).expect("there"), "one");
        storage.set_aside_damaged(&lock).expect("set aside");
        assert!(!storage.certificate().exists());
        let aside = storage.folder.join("a.example.pem.damaged");
        assert_eq!((fs::read_to_string(&aside).expect("there").as_str(), mode(&aside)), ("one", 0o600));
        storage.set_aside_damaged(&lock).expect("nothing to do");
    }
}
