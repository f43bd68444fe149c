//! The history as one SQLite database: opened with a check, written a batch at a time, read by room, kept within bounds.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior, params};

use super::Bounds;
use super::place::{self, OpenError};
use super::queue::Write;
use super::tails::Tails;
use crate::hub::id::{MemberId, MessageId};
use crate::hub::record::Record;

/// In the header of our files ("wsgh"), so that nobody else's database is taken for one.
const APPLICATION: i64 = 0x7773_6768;
/// The form of the table below.
const VERSION: i64 = 1;
/// How long a start waits for a gateway that has the file and is about to end.
const PATIENCE: Duration = Duration::from_secs(1);
/// Messages beyond the bound before a room is trimmed, so that it is not done for each message.
const SLACK: usize = 32;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS message (room TEXT NOT NULL, id INTEGER NOT NULL, \
    member INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, reference TEXT, \
    PRIMARY KEY (room, id)) STRICT, WITHOUT ROWID;";
/// Rooms that are not for everybody. Files of the same form may have been begun without it.
const GUARDS: &str = "CREATE TABLE IF NOT EXISTS guarded (room TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;";
const GUARD: &str = "INSERT OR IGNORE INTO guarded (room) VALUES (?)";
const UNGUARD: &str = "DELETE FROM guarded WHERE room = ?";
const KEEP: &str = "INSERT OR REPLACE INTO message (room, id, member, name, text, reference) VALUES (?, ?, ?, ?, ?, ?)";
const ERASE: &str = "DELETE FROM message WHERE room = ? AND id = ?";
const CLEAR: &str = "DELETE FROM message WHERE room = ?";
const LOAD: &str = "SELECT id, member, name, text, reference FROM message WHERE room = ? ORDER BY id DESC LIMIT ?";
const COUNT: &str = "SELECT count(*), coalesce(sum(octet_length(text)), 0), coalesce(min(id), 0), room FROM message";
/// The newest message that is beyond either bound goes, and all before it.
const TRIM: &str = "DELETE FROM message WHERE room = ?1 AND id <= (SELECT id FROM (SELECT id, \
    row_number() OVER newest AS place, sum(octet_length(text)) OVER newest AS bytes FROM message WHERE room = ?1 \
    WINDOW newest AS (ORDER BY id DESC)) WHERE place > ?2 OR bytes > ?3 ORDER BY id DESC LIMIT 1)";
const OLDER: &str = "DELETE FROM message WHERE room = ? AND id < ?";

/// An open history; nobody else has it.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    /// What there is of each room.
    held: HashMap<Arc<str>, Held>,
    /// Rooms that are not for everybody.
    guarded: HashSet<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    messages: usize,
    bytes: usize,
    /// No message is older; there need not be one of this id.
    first: MessageId,
}

impl Held {
    /// Whether it is more than this, and not a little; of a room that keeps nothing, nothing is left.
    fn is_over(&self, most: usize, size: usize) -> bool {
        let slack = if most == 0 { 0 } else { SLACK.max(most / 8) };
        self.messages > most.saturating_add(slack) || self.bytes > size.saturating_add(size / 8)
    }
}

impl Database {
    /// Opens it, or begins it, and takes it for this process alone. All of it is read once: a check of its form.
    ///
    /// # Errors
    /// Whatever forbids to use it; nothing is moved or overwritten then.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        place::glance(path)?;
        place::make(path)?;
        // Absolute: a name that begins with "file:" would be read as an address.
        let path = std::path::absolute(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        take_hold(&connection)?;
        let mut database = Self { connection, held: HashMap::new(), guarded: HashSet::new() };
        database.count_all()?;
        Ok(database)
    }

    /// Writes all of it, in order, with one sync at the end; or, after an error, nothing.
    pub(super) fn commit(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        let batch = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let (mut keep, mut erase, mut clear) = (batch.prepare(KEEP)?, batch.prepare(ERASE)?, batch.prepare(CLEAR)?);
            let (mut guard, mut unguard) = (batch.prepare(GUARD)?, batch.prepare(UNGUARD)?);
            for write in writes {
                match write {
                    Write::Keep(room, Record { id, from, name, text, reference }) => {
                        let (id, from) = (id.0.cast_signed(), from.0.cast_signed());
                        keep.execute(params![room, id, from, name, text, reference])?;
                    }
                    Write::Erase(room, id) => drop(erase.execute(params![room, id.0.cast_signed()])?),
                    Write::Clear(room) => drop(clear.execute([room])?),
                    Write::Guard(room, true) => drop(guard.execute([room])?),
                    Write::Guard(room, false) => drop(unguard.execute([room])?),
                }
            }
        }
        batch.commit()?;
        self.count(writes);
        Ok(())
    }

    fn count(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Keep(room, record) => {
                    let held =
                        self.held.entry(Arc::clone(room)).or_insert(Held { first: record.id, ..Held::default() });
                    held.messages += 1;
                    held.bytes += record.text.len();
                }
                Write::Clear(room) => drop(self.held.remove(room)),
                Write::Guard(room, true) => drop(self.guarded.insert(Arc::clone(room))),
                Write::Guard(room, false) => drop(self.guarded.remove(room)),
                // It counts until the room is trimmed.
                Write::Erase(..) => {}
            }
        }
    }

    /// The newest messages of a room, oldest first: at most so many, and so many bytes of text.
    fn load(&self, room: &str, most: usize, bytes: usize) -> rusqlite::Result<Vec<Record>> {
        let mut statement = self.connection.prepare(LOAD)?;
        let mut rows = statement.query(params![room, signed(most)])?;
        let (mut records, mut left) = (Vec::new(), bytes);
        while let Some(row) = rows.next()? {
            // A damaged disk may have changed letters without the database's notice: what is no text is left out.
            let Ok(record) = read(row) else { continue };
            let Some(less) = left.checked_sub(record.text.len()) else { break };
            left = less;
            records.push(record);
        }
        records.reverse();
        Ok(records)
    }

    /// The newest messages of all rooms.
    pub(super) fn tails(&self, bounds: &Bounds) -> rusqlite::Result<Tails> {
        let mut tails = Tails::default();
        for room in self.held.keys() {
            for record in self.load(room, bounds.messages, bounds.bytes)? {
                let _ = tails.keep(room, record, bounds); // rooms tell their own bounds later
            }
        }
        for room in &self.guarded {
            tails.guard(room, true);
        }
        Ok(tails)
    }

    /// Rooms that are marked as not for everybody, and are so no more.
    pub(super) fn unguarded(&self, guarded: &HashSet<Arc<str>>) -> Vec<Write> {
        self.guarded.difference(guarded).map(|room| Write::Guard(Arc::clone(room), false)).collect()
    }

    /// Takes away what has become too much in these rooms, each with the messages and bytes that it keeps; with some slack.
    pub(super) fn trim(&mut self, rooms: &[(Arc<str>, (usize, usize))]) -> rusqlite::Result<()> {
        for (room, (most, size)) in rooms {
            if self.held.get(room).is_some_and(|held| held.is_over(*most, *size)) {
                self.connection.execute(TRIM, params![room, signed(*most), signed(*size)])?;
                self.count_one(room)?;
            }
        }
        Ok(())
    }

    /// Rooms that it has something of.
    pub(super) fn rooms(&self) -> HashSet<Arc<str>> {
        self.held.keys().cloned().collect()
    }

    /// Takes away what is older than `oldest`, and these rooms; gives space back to the disk.
    pub(super) fn prune(&mut self, oldest: MessageId, gone: &[Arc<str>]) -> rusqlite::Result<()> {
        let old = self.held.iter().filter(|(_, held)| held.first < oldest);
        let old: Vec<_> = old.map(|(room, _)| Arc::clone(room)).collect();
        self.delete(&old, oldest)?;
        self.delete(gone, MessageId(i64::MAX.cast_unsigned()))?;
        self.shrink()
    }

    fn delete(&mut self, rooms: &[Arc<str>], before: MessageId) -> rusqlite::Result<()> {
        if rooms.is_empty() {
            return Ok(());
        }
        let batch = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut delete = batch.prepare(OLDER)?;
            for room in rooms {
                delete.execute(params![room, before.0.cast_signed()])?;
            }
        }
        batch.commit()?;
        rooms.iter().try_for_each(|room| self.count_one(room))
    }

    /// Pages that nobody needs go back to the disk once they are many.
    fn shrink(&self) -> rusqlite::Result<()> {
        let (free, all) = (number(&self.connection, "freelist_count")?, number(&self.connection, "page_count")?);
        if free > 16 && free > all / 4 {
            for pragma in ["PRAGMA incremental_vacuum", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                // Each row is a step of the work.
                let mut statement = self.connection.prepare(pragma)?;
                let mut steps = statement.query([])?;
                while steps.next()?.is_some() {}
            }
        }
        Ok(())
    }

    fn count_all(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(&format!("{COUNT} GROUP BY room"))?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, Arc<str>>(3)?, held(row)?)))?;
        self.held = rows.collect::<rusqlite::Result<_>>()?;
        let mut statement = self.connection.prepare("SELECT room FROM guarded")?;
        self.guarded = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(())
    }

    fn count_one(&mut self, room: &Arc<str>) -> rusqlite::Result<()> {
        let held = self.connection.query_row(&format!("{COUNT} WHERE room = ?"), [room], held)?;
        if held.messages == 0 {
            self.held.remove(room);
        } else {
            self.held.insert(Arc::clone(room), held);
        }
        Ok(())
    }
}

/// Settings, whose file it is, and whether it is whole.
fn take_hold(connection: &Connection) -> Result<(), OpenError> {
    // Exclusive before the first access: then nothing is shared through memory that a full disk could take away.
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;")?;
    let is_new = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map(|count: i64| count == 0)?;
    if is_new {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    } else if number(connection, "application_id")? != APPLICATION {
        return Err(OpenError::NotOurs);
    } else if number(connection, "user_version")? != VERSION {
        return Err(OpenError::Newer(number(connection, "user_version")?));
    }
    // A commit is one sync of the journal, and survives a power cut. What is deleted is overwritten.
    let journal: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    debug_assert_eq!(journal, "wal");
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 4194304; \
         PRAGMA wal_autocheckpoint = 500;",
    )?;
    let ours = format!(
        "BEGIN IMMEDIATE; {TABLE} {GUARDS} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
    );
    connection.execute_batch(&if is_new { ours } else { format!("BEGIN IMMEDIATE; {GUARDS} COMMIT;") })?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged(verdict)) }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            // None: what was read is none of what was written, such as a name that is no text.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Database(error),
        }
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

fn held(row: &Row<'_>) -> rusqlite::Result<Held> {
    let size = |at| row.get(at).map(|number: i64| usize::try_from(number).unwrap_or(0));
    Ok(Held { messages: size(0)?, bytes: size(1)?, first: MessageId(row.get::<_, i64>(2)?.cast_unsigned()) })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    let number = |at| row.get(at).map(i64::cast_unsigned);
    let (id, from) = (MessageId(number(0)?), MemberId(number(1)?));
    Ok(Record { id, from, name: row.get(2)?, text: row.get(3)?, reference: row.get(4)? })
}
