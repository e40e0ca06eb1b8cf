//! What can go wrong with the log.

use rejoin_migrations::MigrateError;
use rusqlite::ErrorCode;

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The database is of another kind, or newer than this release. It was left alone.
    #[error(transparent)]
    Migrate(MigrateError),
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// The file, or the directory that it is in, cannot be written by this user. What can be read then can be read.
    #[error("the file, or the directory that it is in, cannot be written by this user")]
    ReadOnly,
    /// The file at the database's path is not the one that is open.
    #[error("the database file was moved, replaced or deleted underneath the server")]
    Moved,
    /// Another server has this database.
    #[error("another rejoin-server serves it")]
    Served,
    /// Somebody else has this database open.
    #[error("another process has it open")]
    InUse,
    /// The write-ahead log beside the file belongs to another database, and would spoil it. Both were left alone.
    #[error("the write-ahead log {} is not that of the file beside it", .0.display())]
    ForeignLog(std::path::PathBuf),
    /// There is no room to write the file again.
    #[error("{} has no room for a file of {needed} bytes", .directory.display())]
    NoRoom {
        /// The directory: of temporary files, or of the database.
        directory: std::path::PathBuf,
        /// How large the file will be.
        needed: u64,
    },
    /// The server is about to stop, and reads no more.
    #[error("the database was let go")]
    Closed,
    /// What is stored contradicts itself.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A file could not be made, read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl LogError {
    /// Whether it may pass by itself or when there is room again: asking later is right.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoRoom { .. }
            | Self::Moved
            | Self::Served
            | Self::InUse
            | Self::ReadOnly
            | Self::Closed
            | Self::Io(_) => true,
            Self::Migrate(_) | Self::ForeignLog(_) | Self::Damaged(_) => false,
            Self::Sqlite(error) => error.sqlite_error_code().is_some_and(passing),
        }
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            _ => Self::Sqlite(error),
        }
    }
}

impl From<MigrateError> for LogError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Sqlite(error) => error.into(),
            error => Self::Migrate(error),
        }
    }
}

fn passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
    )
}
