//! What can go wrong with the log.

use std::{error::Error, fmt};

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The database is of another kind, or newer than this release. It was left alone.
    #[error(transparent)]
    Schema(Box<dyn Error + Send + Sync>),
    /// The database failed.
    #[error(transparent)]
    Database(DatabaseError),
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

/// What a backend says of a failure, with the error that it had.
#[derive(Debug)]
pub struct DatabaseError {
    error: Box<dyn Error + Send + Sync>,
    may_pass: bool,
    unreached: bool,
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// It says what the error says, so that one is not told twice.
impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl DatabaseError {
    /// `may_pass`: asking later is right. `unreached`: the database could not be opened.
    pub(crate) fn new(
        error: impl Into<Box<dyn Error + Send + Sync>>,
        may_pass: bool,
        unreached: bool,
    ) -> Self {
        Self { error: error.into(), may_pass, unreached }
    }

    /// Whether the database could not be opened: it is not there, or this user may not.
    pub fn is_unreached(&self) -> bool {
        self.unreached
    }
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
            Self::Schema(_) | Self::ForeignLog(_) | Self::Damaged(_) => false,
            Self::Database(error) => error.may_pass,
        }
    }
}
