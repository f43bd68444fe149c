//! The file's place: whether it may be ours, how it is made, and what is put aside.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What every SQLite database begins with (its file format, 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Files that may lie aside: a disk that damages one after the other is not filled with them.
const ASIDE: u32 = 9;

/// Why a file cannot be the history.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// The folder that it would stand in is not there.
    NoFolder(PathBuf),
    /// It is a folder, a device or the like.
    NoFile,
    /// It holds something else, which is nobody's to move or to overwrite.
    NotOurs,
    /// It was written by a newer version, which this number stands for.
    Newer(i64),
    /// Another process has it.
    InUse,
    /// It was ours and is damaged; the database's words.
    Damaged(String),
    /// It is damaged, and there are too many of those already.
    TooManyAside,
    /// The system's word.
    System(io::Error),
    /// The database's word.
    Database(rusqlite::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder(folder) => write!(f, "there is no folder {}", folder.display()),
            Self::NoFile => f.write_str("not a file"),
            Self::NotOurs => f.write_str("holds something else than a chat history, and is left alone"),
            Self::Newer(version) => write!(f, "was written by a newer wsgate (format {version})"),
            Self::InUse => f.write_str("another process has it open: each gateway needs a file of its own"),
            Self::Damaged(how) => write!(f, "damaged: {how}"),
            Self::TooManyAside => write!(f, "damaged, and {ASIDE} damaged ones lie beside it already"),
            Self::System(_) => f.write_str("cannot be opened"),
            Self::Database(_) => f.write_str("cannot be used"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System(error) => Some(error),
            Self::Database(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Looks, and touches nothing: whether the file could be opened, made, or put aside.
///
/// # Errors
/// What stands in the way; damage that shows at the first glance is none, since such a file is put aside.
pub(crate) fn inspect(path: &Path) -> Result<(), OpenError> {
    match glance(path) {
        Err(OpenError::Damaged(_)) => Ok(()),
        other => other,
    }
}

/// The same, and damage that shows.
pub(super) fn glance(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(OpenError::NoFolder(folder.to_owned()));
    }
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !about.is_file() {
        return Err(OpenError::NoFile);
    }
    let mut start = Vec::new();
    // Opened for writing too: whether it may be is told here, not with the first message.
    OpenOptions::new().read(true).write(true).open(path)?.take(100).read_to_end(&mut start)?;
    if start.starts_with(MAGIC) || start.is_empty() {
        Ok(())
    } else if start.iter().all(|byte| *byte == 0) {
        // What some file systems leave of a file whose blocks were not written before the power went.
        Err(OpenError::Damaged("begins with zeros".to_owned()))
    } else {
        Err(OpenError::NotOurs)
    }
}

/// Makes the file, empty, unless it is there. What members say is for the gateway's own user alone.
pub(super) fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Gives a damaged file, and the journal that belongs to it, another name; which one.
pub(super) fn put_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let free = (1..=ASIDE).map(|number| with(path, &format!(".damaged-{number}"))).find(|aside| !aside.exists());
    let aside = free.ok_or(OpenError::TooManyAside)?;
    // The journal first: beside a new file of the old name it would be taken for that one's.
    match fs::rename(journal(path), with(&aside, "-wal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::rename(path, &aside)?,
    }
    Ok(aside)
}

/// Bytes on disk, the journal's among them.
pub(super) fn size(path: &Path) -> u64 {
    [path.to_owned(), journal(path)].iter().filter_map(|path| fs::metadata(path).ok()).map(|about| about.len()).sum()
}

fn journal(path: &Path) -> PathBuf {
    with(path, "-wal")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
