//! The numbered SQL of rejoin's two databases, and the one function that applies it.
//!
//! Released files are frozen: a change to the schema is a new file. A database that is newer than
//! this build is refused and left alone.

use rusqlite::{Connection, TransactionBehavior};

/// One numbered step.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// What `user_version` is after it.
    pub version: i32,
    /// The file's name, for messages.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// The schema of one kind of database.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// What `PRAGMA application_id` says: tells a rejoin file from any other SQLite file.
    pub application_id: i32,
    /// The steps, in order.
    pub migrations: &'static [Migration],
}

/// The client's store. Application id: "rjcs".
pub const ENGINE: Schema = Schema {
    application_id: 0x726a_6373,
    migrations: &[
        Migration {
            version: 1,
            name: "engine/0001_store.sql",
            sql: include_str!("../engine/0001_store.sql"),
        },
        Migration {
            version: 2,
            name: "engine/0002_slices.sql",
            sql: include_str!("../engine/0002_slices.sql"),
        },
        Migration { version: 3, name: "engine/0003_undo.sql", sql: include_str!("../engine/0003_undo.sql") },
        Migration {
            version: 4,
            name: "engine/0004_effects.sql",
            sql: include_str!("../engine/0004_effects.sql"),
        },
        Migration {
            version: 5,
            name: "engine/0005_listeners_thunks.sql",
            sql: include_str!("../engine/0005_listeners_thunks.sql"),
        },
    ],
};

/// The server's log. Application id: "rjsl".
pub const SERVER: Schema = Schema {
    application_id: 0x726a_736c,
    migrations: &[
        Migration { version: 1, name: "server/0001_log.sql", sql: include_str!("../server/0001_log.sql") },
        Migration {
            version: 2,
            name: "server/0002_stretches.sql",
            sql: include_str!("../server/0002_stretches.sql"),
        },
    ],
};

/// Why a database could not be brought to this build's schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The file is a database of another program, or of the other side.
    #[error("the file is not a database of this kind (application id {found:#010x})")]
    Foreign {
        /// The application id that was found.
        found: i32,
    },
    /// The file was written by a newer release.
    #[error("the database has schema {found}, and this release knows up to {known}")]
    Newer {
        /// The version in the file.
        found: i32,
        /// The newest version this build knows.
        known: i32,
    },
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings the database to the newest schema, each step in a transaction with its version.
/// An empty file becomes a database of this kind.
///
/// # Errors
/// `Foreign` and `Newer` change nothing; after `Sqlite` the steps before the failing one stand.
pub fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), MigrateError> {
    let known = schema.migrations.last().map_or(0, |m| m.version);
    if current_version(connection, schema)? == known {
        return Ok(());
    }
    for migration in schema.migrations {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if current_version(&tx, schema)? < migration.version {
            tx.execute_batch(migration.sql)?;
            tx.pragma_update(None, "application_id", schema.application_id)?;
            tx.pragma_update(None, "user_version", migration.version)?;
            tx.commit()?;
        }
    }
    Ok(())
}

/// The schema version of the file; 0 for an empty one.
fn current_version(connection: &Connection, schema: &Schema) -> Result<i32, MigrateError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    let empty = application == 0 && version == 0 && tables == 0;
    if !empty && application != schema.application_id {
        return Err(MigrateError::Foreign { found: application });
    }
    let known = schema.migrations.last().map_or(0, |m| m.version);
    if version > known {
        return Err(MigrateError::Newer { found: version, known });
    }
    Ok(version)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    fn plan(connection: &Connection, query: &str) -> Vec<String> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let rows = statement.query_map([], |r| r.get("detail")).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_look_at_a_short_queue_does_not_walk_every_change() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &ENGINE).unwrap();
        for query in ["SELECT * FROM queue", "SELECT queued FROM documents"] {
            let plan = plan(&connection, query);
            let one_by_one = |line: &&String| line.contains(" c ") && !line.contains("rowid=?");
            assert_eq!(plan.iter().find(one_by_one), None, "{query}: {plan:#?}");
        }
    }
}
