//! Certificates that have changed on disk, taken up by themselves: each pair and the CAs of clients for themselves, once
//! they are good, and told of once when they are not.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::certs::{self, Pair};
use super::client::Clients;
use super::finding::Findings;
use super::sni::Table;
use super::{Acceptor, Live, seconds};
use crate::config::{CertificateFiles, ClientCertificates, Problem, Tls};

/// What tells one state of a file from another without reading it, wherever a symbolic link leads by now. `None`: it
/// cannot be seen.
pub(super) type Stamp = Option<[i64; 7]>;

/// The files as they were when they were read, and who has named them.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    tls: Option<Tls>,
    certificates: Vec<[Stamp; 2]>,
    clients: [Stamp; 2],
}

/// Files that are no good as they are now.
#[derive(Debug, Default)]
pub(crate) struct Watch(BTreeMap<Part, Failing>);

/// What is taken up for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Certificate(usize),
    Clients,
}

#[derive(Debug)]
struct Failing {
    stamps: [Stamp; 2],
    told: bool,
}

/// What one look has come to.
#[derive(Debug, Default)]
pub(crate) struct Refreshed {
    /// Files that are in use from now on.
    pub taken: Vec<String>,
    /// What is wrong with others, whose like from before stays in use: said when nobody has mended it from one look to the
    /// next, and not again before the files are others.
    pub problems: Vec<Problem>,
    /// What is odd about those in use.
    pub warnings: Vec<Problem>,
}

impl Seen {
    /// To be made before the files are read: what is written meanwhile is another state.
    pub(super) fn of(tls: &Tls) -> Self {
        let clients = tls.clients.as_ref().map(stamps_of_clients).unwrap_or_default();
        Self { tls: Some(tls.clone()), certificates: tls.certificates.iter().map(stamps_of).collect(), clients }
    }
}

impl Watch {
    fn is_well(&mut self, part: Part) {
        self.0.remove(&part);
    }

    /// A chain and its key are written one after the other: only what lasts is worth a word.
    fn is_ill(&mut self, part: Part, stamps: [Stamp; 2], problems: Vec<Problem>) -> Vec<Problem> {
        match self.0.get_mut(&part).filter(|failing| failing.stamps == stamps) {
            Some(failing) if failing.told => Vec::new(),
            Some(failing) => {
                failing.told = true;
                problems
            }
            None => {
                self.0.insert(part, Failing { stamps, told: false });
                Vec::new()
            }
        }
    }
}

impl Acceptor {
    /// Takes up files that have changed since they were read: from the next handshake on, without touching who is there.
    /// Reads the disk. To be called by one at a time, and not beside [`Acceptor::swap`].
    pub(crate) fn refresh(&self, watch: &mut Watch, now: SystemTime) -> Refreshed {
        let before = self.pairs.lock().clone();
        let mut refreshed = Refreshed::default();
        let Some(tls) = &before.seen.tls else { return refreshed };
        let mut fresh: Vec<(usize, Pair, [Stamp; 2])> = Vec::new();
        for (at, files) in tls.certificates.iter().enumerate() {
            let (part, stamps) = (Part::Certificate(at), stamps_of(files));
            if before.seen.certificates.get(at) == Some(&stamps) {
                watch.is_well(part);
                continue;
            }
            let mut findings = Findings::default();
            match certs::load(files, &format!("tls.certificates[{at}]"), seconds(now), &mut findings) {
                Some(pair) => {
                    watch.is_well(part);
                    if !before.files.get(at).is_some_and(|known| known.is_like(&pair)) {
                        refreshed.taken.push(pair.source.clone());
                        refreshed.warnings.append(&mut findings.warnings);
                    }
                    fresh.push((at, pair, stamps));
                }
                None => refreshed.problems.extend(watch.is_ill(part, stamps, findings.problems)),
            }
        }
        if !fresh.is_empty() {
            let mut current = self.pairs.lock();
            for (at, pair, stamps) in fresh {
                current.files[at] = pair;
                current.seen.certificates[at] = stamps;
            }
            self.resolver.swap(Table::new(&current.all(), &current.awaited));
        }
        self.refresh_clients((tls, before.seen.clients), watch, &mut refreshed);
        refreshed
    }

    fn refresh_clients(&self, (tls, seen): (&Tls, [Stamp; 2]), watch: &mut Watch, refreshed: &mut Refreshed) {
        let Some(wishes) = &tls.clients else { return };
        let stamps = stamps_of_clients(wishes);
        if stamps == seen {
            watch.is_well(Part::Clients);
            return;
        }
        let mut findings = Findings::default();
        let before = self.live.load();
        let read = Clients::read(wishes, &mut findings).ok_or(findings.problems).and_then(|clients| {
            let is_like = before.clients.as_ref().is_some_and(|known| known.is_like(&clients));
            let live = Live::new(tls, &self.resolver, Some(clients), Some(&before)).map_err(|found| found.0)?;
            Ok((live, is_like))
        });
        match read {
            Ok((live, is_like)) => {
                watch.is_well(Part::Clients);
                if !is_like {
                    refreshed.taken.push(wishes.ca.display().to_string());
                    self.live.store(Arc::new(live));
                }
                self.pairs.lock().seen.clients = stamps;
            }
            Err(problems) => refreshed.problems.extend(watch.is_ill(Part::Clients, stamps, problems)),
        }
    }
}

fn stamps_of(files: &CertificateFiles) -> [Stamp; 2] {
    [stamp(&files.chain), stamp(&files.key)]
}

fn stamps_of_clients(wishes: &ClientCertificates) -> [Stamp; 2] {
    [stamp(&wishes.ca), wishes.crl.as_deref().and_then(stamp)]
}

/// The last change of the inode is among them: a file may be replaced by one of the same size that is dated back.
fn stamp(path: &Path) -> Stamp {
    let about = fs::metadata(path).ok()?;
    let [device, inode, size] = [about.dev(), about.ino(), about.size()].map(u64::cast_signed);
    let (written, changed) = ((about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()));
    Some([device, inode, size, written.0, written.1, changed.0, changed.1])
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use super::super::fixture::{Folder, Made, authority, leaf, make, params};
    use super::*;
    use crate::config::TlsVersion;

    fn tls(certificates: Vec<CertificateFiles>, clients: Option<ClientCertificates>) -> Tls {
        Tls {
            certificates,
            self_signed: Vec::new(),
            acme: None,
            min_version: TlsVersion::Tls12,
            hsts: None,
            clients,
            watch: None,
        }
    }

    fn acceptor(tls: &Tls) -> Acceptor {
        Acceptor::build(tls, SystemTime::now()).expect("good").0
    }

    /// Puts a file in the place of another, as whoever writes with care does.
    fn replace(folder: &Folder, name: &str, text: &str) -> PathBuf {
        let fresh = folder.write("fresh", text);
        let path = folder.path().join(name);
        std::fs::rename(fresh, &path).expect("renamed");
        path
    }

    fn names(acceptor: &Acceptor) -> Vec<String> {
        acceptor.names()
    }

    fn look(acceptor: &Acceptor, watch: &mut Watch) -> (usize, usize) {
        let refreshed = acceptor.refresh(watch, SystemTime::now());
        (refreshed.taken.len(), refreshed.problems.len())
    }

    fn renew(folder: &Folder, made: &Made) {
        replace(folder, "a.pem", &made.pem);
        replace(folder, "a.key", &made.key_pem());
    }

    #[test]
    fn what_has_changed_is_taken_up_once() {
        let folder = Folder::new();
        let acceptor = acceptor(&tls(vec![folder.made("a", &leaf(&["old.example"], None))], None));
        let mut watch = Watch::default();
        assert_eq!(look(&acceptor, &mut watch), (0, 0));
        renew(&folder, &leaf(&["new.example"], None));
        assert_eq!((look(&acceptor, &mut watch), look(&acceptor, &mut watch)), ((1, 0), (0, 0)));
        assert_eq!(names(&acceptor), ["new.example"]);
    }

    #[test]
    fn the_same_written_again_is_no_news() {
        let (folder, made) = (Folder::new(), leaf(&["a.example"], None));
        let acceptor = acceptor(&tls(vec![folder.made("a", &made)], None));
        renew(&folder, &made);
        assert_eq!(look(&acceptor, &mut Watch::default()), (0, 0));
    }

    #[test]
    fn a_chain_and_its_key_may_come_one_after_the_other() {
        let (folder, made) = (Folder::new(), leaf(&["new.example"], None));
        let acceptor = acceptor(&tls(vec![folder.made("a", &leaf(&["old.example"], None))], None));
        let mut watch = Watch::default();
        replace(&folder, "a.pem", &made.pem);
        assert_eq!(look(&acceptor, &mut watch), (0, 0), "the key may be on its way");
        assert_eq!(names(&acceptor), ["old.example"]);
        replace(&folder, "a.key", &made.key_pem());
        assert_eq!(look(&acceptor, &mut watch), (1, 0));
        assert_eq!(names(&acceptor), ["new.example"]);
    }

    #[test]
    fn what_stays_bad_is_told_once_and_the_others_are_taken_up() {
        let folder = Folder::new();
        let files = vec![folder.made("a", &leaf(&["a.example"], None)), folder.made("b", &leaf(&["b.example"], None))];
        let acceptor = acceptor(&tls(files, None));
        let mut watch = Watch::default();
        replace(&folder, "a.pem", "rubbish");
        assert_eq!(look(&acceptor, &mut watch), (0, 0));
        let told = acceptor.refresh(&mut watch, SystemTime::now()).problems;
        assert!(told.len() == 1 && told[0].key == "tls.certificates[0].chain", "{told:?}");
        let new = leaf(&["new.example"], None);
        replace(&folder, "b.pem", &new.pem);
        replace(&folder, "b.key", &new.key_pem());
        assert_eq!((look(&acceptor, &mut watch), look(&acceptor, &mut watch)), ((1, 0), (0, 0)));
        assert_eq!(names(&acceptor), ["a.example", "new.example"]);
        // Other rubbish is other news.
        replace(&folder, "a.pem", "other rubbish");
        assert_eq!((look(&acceptor, &mut watch).1, look(&acceptor, &mut watch).1), (0, 1));
        std::fs::remove_file(folder.path().join("a.pem")).expect("removed");
        assert_eq!((look(&acceptor, &mut watch).1, look(&acceptor, &mut watch).1), (0, 1));
        renew(&folder, &leaf(&["c.example"], None));
        assert_eq!(look(&acceptor, &mut watch), (1, 0));
        assert_eq!(names(&acceptor), ["c.example", "new.example"]);
    }

    #[test]
    fn one_that_has_expired_and_lies_there_holds_up_no_other() {
        let folder = Folder::new();
        let mut params = params("a", &["a.example"]);
        params.not_after = (SystemTime::now() + std::time::Duration::from_secs(3600)).into();
        let files = vec![folder.made("a", &make(params, None)), folder.made("b", &leaf(&["b.example"], None))];
        let acceptor = acceptor(&tls(files, None));
        let new = leaf(&["new.example"], None);
        replace(&folder, "b.pem", &new.pem);
        replace(&folder, "b.key", &new.key_pem());
        let later = SystemTime::now() + std::time::Duration::from_secs(7200);
        let refreshed = acceptor.refresh(&mut Watch::default(), later);
        assert_eq!((refreshed.taken.len(), refreshed.problems.len()), (1, 0));
        assert_eq!(names(&acceptor), ["a.example", "new.example"]);
    }

    #[test]
    fn links_are_followed_to_where_they_lead_now() {
        let (folder, new) = (Folder::new(), leaf(&["new.example"], None));
        let old = folder.made("old", &leaf(&["old.example"], None));
        folder.made("new", &new);
        let link = |to: &str, name: &str| {
            let (fresh, path) = (folder.path().join("link"), folder.path().join(name));
            std::os::unix::fs::symlink(folder.path().join(to), &fresh).expect("linked");
            std::fs::rename(fresh, &path).expect("renamed");
            path
        };
        assert!(old.chain.ends_with("old.pem"));
        let files = CertificateFiles { chain: link("old.pem", "live.pem"), key: link("old.key", "live.key") };
        let acceptor = acceptor(&tls(vec![files], None));
        let mut watch = Watch::default();
        assert_eq!(look(&acceptor, &mut watch), (0, 0));
        link("new.pem", "live.pem");
        link("new.key", "live.key");
        assert_eq!(look(&acceptor, &mut watch), (1, 0));
        assert_eq!(names(&acceptor), ["new.example"]);
    }

    #[test]
    fn the_cas_of_clients_are_taken_up_and_bad_ones_are_not() {
        let (folder, ca) = (Folder::new(), authority("ca", None));
        let path = folder.write("ca.pem", &ca.pem);
        let clients = ClientCertificates { ca: path, crl: None, required: true };
        let acceptor = acceptor(&tls(vec![folder.made("a", &leaf(&["a.example"], None))], Some(clients)));
        let (mut watch, before) = (Watch::default(), acceptor.live());
        replace(&folder, "ca.pem", "rubbish");
        assert_eq!((look(&acceptor, &mut watch), look(&acceptor, &mut watch)), ((0, 0), (0, 1)));
        assert!(Arc::ptr_eq(&before, &acceptor.live()));
        replace(&folder, "ca.pem", &ca.pem);
        assert_eq!(look(&acceptor, &mut watch), (0, 0), "the same as before");
        assert!(Arc::ptr_eq(&before, &acceptor.live()));
        replace(&folder, "ca.pem", &authority("other", None).pem);
        assert_eq!(look(&acceptor, &mut watch), (1, 0));
        assert!(!Arc::ptr_eq(&before, &acceptor.live()));
    }
}
