//! What an error of the database means for the archive: wait and try again, begin anew, or give up what was tried; and
//! what is left where the disk has changed something without an error.

use rusqlite::{Error, ErrorCode};

use crate::hub::record::Record;

/// What is to be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// The disk is full: later, with the same connection.
    Wait,
    /// The disk, or what is between, fails: later, with the file opened anew.
    Reopen,
    /// The file is damaged: it is put aside.
    Renew,
    /// It would fail again each time.
    Drop,
}

/// By the error's primary code (SQLite's "Result and Error Codes").
pub(super) fn cure(error: &Error) -> Cure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Cure::Wait,
        // None: what was read is none of what was written, such as a name that is no text.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => Cure::Renew,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::NoLargeFileSupport
            | ErrorCode::SchemaChanged
            | ErrorCode::OperationAborted
            | ErrorCode::OperationInterrupted,
        ) => Cure::Reopen,
        Some(_) => Cure::Drop,
    }
}
/// The messages whose ids rise, as many as there can be: a database that is read in the order of its ids gives others only
/// where the disk has changed one. Those that are left out are the fewest (by patience sorting).
pub(super) fn in_order(mut records: Vec<Record>) -> Vec<Record> {
    if records.is_sorted_by(|one, next| one.id < next.id) {
        return records;
    }
    // Of each length, where the chain ends whose last id is the least; and what stands before each in its chain.
    let (mut ends, mut before) = (Vec::<usize>::new(), Vec::with_capacity(records.len()));
    for (at, record) in records.iter().enumerate() {
        let length = ends.partition_point(|end| records[*end].id < record.id);
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut is_kept = vec![false; records.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        is_kept[at] = true;
        next = before[at];
    }
    let mut is_kept = is_kept.into_iter();
    records.retain(|_| is_kept.next() == Some(true));
    records
}
