//! Where the log's lines go: standard error, or a file that can be opened again under its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file of the log is for its user to write and for its group to read.
const MODE: u32 = 0o640;

/// Takes lines, and knows what it has not taken.
pub(crate) struct Outlet {
    out: Box<dyn Write + Send>,
    /// The file's; absent: it is none.
    path: Option<PathBuf>,
    /// The last line was cut in its middle.
    is_torn: bool,
    /// Lines that could not be written, and have not been told of; and why.
    owed: Option<(u64, io::Error)>,
}

impl Outlet {
    /// Standard error.
    pub(crate) fn standard_error() -> Self {
        Self::to(io::stderr())
    }

    /// Whatever takes bytes.
    pub(crate) fn to(out: impl Write + Send + 'static) -> Self {
        Self { out: Box::new(out), path: None, is_torn: false, owed: None }
    }

    /// This file, behind what stands in it; it is made where there is none.
    ///
    /// # Errors
    /// Those of opening it.
    pub(crate) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self { path: Some(path.to_owned()), ..Self::to(open(path)?) })
    }

    /// Opens the file again, which may be another one by now; `None` where there is no file.
    ///
    /// # Errors
    /// Those of opening it; then the old one goes on.
    pub(crate) fn reopen(&mut self) -> Option<io::Result<()>> {
        let opened = open(self.path.as_deref()?);
        Some(opened.map(|file| {
            self.out = Box::new(file);
            self.is_torn = false;
        }))
    }

    /// Writes a line; with it nothing is owed any more.
    ///
    /// # Errors
    /// Those of the write, such as a full disk. The next line begins on its own all the same.
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.out.write_all(b"\n")?;
            self.is_torn = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            let failed = match self.out.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    rest = &rest[count..];
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.is_torn = rest.len() < line.len();
            return Err(failed);
        }
        self.owed = None;
        Ok(())
    }

    /// So many lines more could not be written.
    pub(crate) fn owe(&mut self, lines: u64, why: &io::Error) {
        let before = self.owed.as_ref().map_or(0, |(lines, _)| *lines);
        self.owed = Some((before + lines, same(why)));
    }

    /// What is to be told before the next line; it is owed until a line was written.
    pub(crate) fn owed(&self) -> Option<(u64, io::Error)> {
        self.owed.as_ref().map(|(lines, why)| (*lines, same(why)))
    }
}

/// An error of the system can be made anew, with its words.
fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

/// Whether standard error leads into systemd's journal: `JOURNAL_STREAM` names its device and inode (systemd.exec(5)).
pub(crate) fn is_journal() -> bool {
    let facts = io::stderr().as_fd().try_clone_to_owned().and_then(|stream| File::from(stream).metadata());
    let said = std::env::var("JOURNAL_STREAM");
    facts.is_ok_and(|facts| said.is_ok_and(|said| names(&said, (facts.dev(), facts.ino()))))
}

fn names(said: &str, of: (u64, u64)) -> bool {
    said.split_once(':').is_some_and(|(device, inode)| (device.parse(), inode.parse()) == (Ok(of.0), Ok(of.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::{Arc, Mutex};

    /// Takes so many bytes, and then none until it may again.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().expect("no panic");
            let count = bytes.len().min(disk.0);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0 -= count;
            disk.1.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_cuts_one_line_and_no_other() {
        let disk = Disk(Arc::new(Mutex::new((6, Vec::new()))));
        let mut outlet = Outlet::to(disk.clone());
        outlet.write(b"one\n").expect("room");
        for line in [&b"second\n"[..], b"third\n"] {
            let error = outlet.write(line).expect_err("full");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            outlet.owe(1, &error);
        }
        disk.0.lock().expect("no panic").0 = 99;
        let (lines, why) = outlet.owed().expect("owed");
        assert_eq!((lines, why.kind()), (2, io::ErrorKind::StorageFull));
        outlet.write(b"fourth\n").expect("room");
        assert!(outlet.owed().is_none());
        assert_eq!(disk.0.lock().expect("no panic").1, b"one\nse\nfourth\n");
    }

    #[test]
    fn a_file_is_opened_again_under_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        std::fs::write(&path, "before\n").expect("written");
        let mut outlet = Outlet::file(&path).expect("opened");
        outlet.write(b"one\n").expect("written");
        std::fs::rename(&path, &old).expect("moved");
        outlet.write(b"two\n").expect("written");
        outlet.reopen().expect("a file").expect("opened");
        outlet.write(b"three\n").expect("written");
        let read = |path: &Path| std::fs::read_to_string(path).expect("read");
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("before\none\ntwo\n", "three\n"));
        // The umask may take more away.
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o7777 & !MODE, 0, "{mode:o}");
        // What cannot be opened changes nothing.
        std::fs::remove_file(&path).expect("gone");
        std::fs::create_dir(&path).expect("a folder in its place");
        outlet.reopen().expect("a file").expect_err("a folder");
        outlet.write(b"four\n").expect("written to the one without a name");
        assert!(Outlet::to(io::sink()).reopen().is_none());
        assert!(Outlet::file(&folder.path().join("no/such")).is_err());
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(names("8:123", (8, 123)));
        for said in ["", "8", "8:", ":123", "8:124", "9:123", "8:123:1", "8:123 ", "a:b"] {
            assert!(!names(said, (8, 123)), "{said}");
        }
    }
}
