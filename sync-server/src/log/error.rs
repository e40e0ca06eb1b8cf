use rejoin_migrations::MigrateError;
use rusqlite::ErrorCode;

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The database is of another kind, or newer than this release. It was left alone.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file at the database's path is not the one that is open.
    #[error("the database file was moved, replaced or deleted underneath the server")]
    Moved,
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
            Self::Moved | Self::Closed | Self::Io(_) => true,
            Self::Migrate(_) | Self::Damaged(_) => false,
            Self::Sqlite(error) => error.sqlite_error_code().is_some_and(passing),
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
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
    )
}
