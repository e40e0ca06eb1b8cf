//! What SQLite says of a failure, for those who do not know SQLite.

use rejoin_migrations::MigrateError;
use rusqlite::ErrorCode;

use crate::log::{DatabaseError, LogError};

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        if code == Some(ErrorCode::ReadOnly) {
            return Self::ReadOnly;
        }
        let unreached = matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied));
        Self::Database(DatabaseError::new(error, code.is_some_and(passing), unreached))
    }
}

impl From<MigrateError> for LogError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Sqlite(error) => error.into(),
            error => Self::Schema(error.into()),
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
