//! What an error of the database means for the archive: wait and try again, begin anew, or give up what was tried.

use rusqlite::{Error, ErrorCode};

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
