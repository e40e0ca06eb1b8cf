//! The numbered SQL of rejoin's two databases, and the one function that applies it.
//!
//! Released files are frozen: a change to the schema is a new file. A database that is newer than
//! this build is refused and left alone.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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
        Migration {
            version: 6,
            name: "engine/0006_claims.sql",
            sql: include_str!("../engine/0006_claims.sql"),
        },
        Migration {
            version: 7,
            name: "engine/0007_trash.sql",
            sql: include_str!("../engine/0007_trash.sql"),
        },
        Migration {
            version: 8,
            name: "engine/0008_authorship.sql",
            sql: include_str!("../engine/0008_authorship.sql"),
        },
        Migration {
            version: 9,
            name: "engine/0009_reach.sql",
            sql: include_str!("../engine/0009_reach.sql"),
        },
        Migration { version: 10, name: "engine/0010_seen.sql", sql: include_str!("../engine/0010_seen.sql") },
        Migration {
            version: 11,
            name: "engine/0011_shares_of_slack.sql",
            sql: include_str!("../engine/0011_shares_of_slack.sql"),
        },
        Migration {
            version: 12,
            name: "engine/0012_thunks_undo.sql",
            sql: include_str!("../engine/0012_thunks_undo.sql"),
        },
        Migration {
            version: 13,
            name: "engine/0013_extra_reducers.sql",
            sql: include_str!("../engine/0013_extra_reducers.sql"),
        },
        Migration {
            version: 14,
            name: "engine/0014_wholes.sql",
            sql: include_str!("../engine/0014_wholes.sql"),
        },
        Migration {
            version: 15,
            name: "engine/0015_sure_tombstones.sql",
            sql: include_str!("../engine/0015_sure_tombstones.sql"),
        },
        Migration { version: 16, name: "engine/0016_jobs.sql", sql: include_str!("../engine/0016_jobs.sql") },
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
        Migration {
            version: 3,
            name: "server/0003_tokens.sql",
            sql: include_str!("../server/0003_tokens.sql"),
        },
        Migration {
            version: 4,
            name: "server/0004_packs.sql",
            sql: include_str!("../server/0004_packs.sql"),
        },
        Migration {
            version: 5,
            name: "server/0005_verification.sql",
            sql: include_str!("../server/0005_verification.sql"),
        },
        Migration {
            version: 6,
            name: "server/0006_subjects.sql",
            sql: include_str!("../server/0006_subjects.sql"),
        },
        Migration {
            version: 7,
            name: "server/0007_claims.sql",
            sql: include_str!("../server/0007_claims.sql"),
        },
        Migration {
            version: 8,
            name: "server/0008_pushers.sql",
            sql: include_str!("../server/0008_pushers.sql"),
        },
        Migration {
            version: 9,
            name: "server/0009_reach.sql",
            sql: include_str!("../server/0009_reach.sql"),
        },
        Migration {
            version: 10,
            name: "server/0010_shares_of_slack.sql",
            sql: include_str!("../server/0010_shares_of_slack.sql"),
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
    /// The copy that is made before an upgrade could not be made or removed.
    #[error("{path}: {source}")]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file was found damaged after the upgrade; the copy from before was kept.
    #[error("the database is damaged ({detail}); as it was before the upgrade it is kept in {copy}")]
    Damaged {
        /// The copy from before.
        copy: PathBuf,
        /// What was found.
        detail: String,
    },
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings the database to the newest schema, all steps and the version in one transaction: whoever opens it
/// meanwhile sees the old schema or the new one, and nothing between.
/// An empty file becomes a database of this kind. An older file is copied first, beside itself (mode 0600); the
/// copy goes when every step is done and the file was checked, and stays after an error.
///
/// # Errors
/// `Damaged` comes after the steps; every other error changes nothing.
pub fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), MigrateError> {
    let known = schema.migrations.last().map_or(0, |m| m.version);
    // In one transaction: another process may be making the database just now.
    let looking = connection.transaction()?;
    let found = current_version(&looking, schema)?;
    drop(looking);
    if found == known {
        return Ok(());
    }
    let copy = if found > 0 { copy_beside(connection, found)? } else { None };
    apply(connection, schema)?;
    let Some(copy) = copy else { return Ok(()) };
    let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if sound == "ok" {
        return std::fs::remove_file(&copy).map_err(|source| MigrateError::Copy { path: copy, source });
    }
    Err(MigrateError::Damaged { copy, detail: sound })
}

/// Puts a file into WAL mode (one that is in it stays so), trying for `patience` at most while others are at work.
/// SQLite asks no busy handler at this switch, as it would for any other lock: who opens a new file while another
/// makes it would be sent away at once.
///
/// # Errors
/// `SQLITE_BUSY` when others held the file all that time; any other error at once.
pub fn use_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
                    && start.elapsed() < patience =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

/// How many names for a copy are tried.
const MOST_COPIES: u32 = 10_000;

/// A whole copy of a database beside it; `None` for one in memory.
fn copy_beside(connection: &Connection, version: i32) -> Result<Option<PathBuf>, MigrateError> {
    let Some(path) = connection.path().filter(|path| !path.is_empty()) else { return Ok(None) };
    // Two who upgrade at once, in one process or two, have a copy each.
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let copy = loop {
        let count = COPIES.fetch_add(1, Ordering::Relaxed);
        let copy = PathBuf::from(format!("{path}-schema-{version}-{}-{count}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&copy) {
            Ok(_) => break copy,
            // What a process that died left there, or somebody put there: it is not written through.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && count < MOST_COPIES => {}
            Err(source) => return Err(MigrateError::Copy { path: copy, source }),
        }
    };
    let copied = connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()]);
    if let Err(error) = copied {
        // The error is what is told; a copy that was not made is of no use.
        let _ = std::fs::remove_file(&copy);
        return Err(error.into());
    }
    Ok(Some(copy))
}

fn apply(connection: &mut Connection, schema: &Schema) -> Result<(), MigrateError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = current_version(&tx, schema)?;
    for migration in schema.migrations.iter().filter(|migration| migration.version > found) {
        tx.execute_batch(migration.sql)?;
        tx.pragma_update(None, "user_version", migration.version)?;
    }
    tx.pragma_update(None, "application_id", schema.application_id)?;
    tx.commit()?;
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
    fn an_older_file_is_copied_before_it_is_changed_and_the_copy_goes_when_all_went_well() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store.db");
        let old = Schema { migrations: &ENGINE.migrations[..1], ..ENGINE };
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &old).unwrap();
        connection.execute("INSERT INTO meta VALUES ('author', 'ada')", []).unwrap();
        let bad = Migration { version: 2, name: "bad", sql: "DROP TABLE meta; SELECT no_such_thing();" };
        let failing = Schema { migrations: Box::leak(Box::new([ENGINE.migrations[0], bad])), ..ENGINE };
        assert!(migrate(&mut connection, &failing).is_err());
        let author =
            |c: &Connection| c.query_row("SELECT value FROM meta", [], |r| r.get::<_, String>(0)).unwrap();
        assert_eq!(author(&connection), "ada", "a failing step changes nothing");
        let copies = || -> Vec<PathBuf> {
            let entries = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.to_string_lossy().contains("-schema-1-")).collect()
        };
        let kept = copies();
        assert_eq!(kept.len(), 1);
        assert_eq!(author(&Connection::open(&kept[0]).unwrap()), "ada", "and the copy is kept");
        migrate(&mut connection, &ENGINE).unwrap();
        assert_eq!(author(&connection), "ada");
        assert_eq!(copies(), kept, "a copy that was made now is gone, and the one after the error stays");
    }

    /// A step at which the process dies, if it is to.
    const DEATH: &str = "CREATE TABLE death (x)";
    /// What tells the process that is to die which file it upgrades, and how many steps it comes through.
    const DIES: (&str, &str) = ("REJOIN_UPGRADE_DIES_IN", "REJOIN_UPGRADE_DIES_AFTER");

    /// Upgrades a file in this process, and dies after some steps: this test is started again for it.
    fn die_in_an_upgrade(path: &str, schema: &Schema, steps: usize) {
        let version = i32::try_from(steps).unwrap() + 1;
        let last = Migration { version, name: "death", sql: DEATH };
        let steps = schema.migrations[..steps].iter().copied().chain([last]).collect();
        let dying = Schema { migrations: Vec::leak(steps), ..*schema };
        let mut connection = Connection::open(path).unwrap();
        use_wal(&connection, Duration::ZERO).unwrap();
        let die = |context: rusqlite::hooks::AuthContext<'_>| match context.action {
            rusqlite::hooks::AuthAction::CreateTable { table_name: "death" } => std::process::abort(),
            _ => rusqlite::hooks::Authorization::Allow,
        };
        connection.authorizer(Some(die)).unwrap();
        migrate(&mut connection, &dying).unwrap();
    }

    #[test]
    fn a_process_that_dies_at_any_step_of_an_upgrade_leaves_the_old_file_whole() {
        let variable = |name| std::env::var(name).ok();
        if let (Some(path), Some(steps)) = (variable(DIES.0), variable(DIES.1)) {
            let schema = if path.contains("server") { &SERVER } else { &ENGINE };
            return die_in_an_upgrade(&path, schema, steps.parse().unwrap());
        }
        let this = "tests::a_process_that_dies_at_any_step_of_an_upgrade_leaves_the_old_file_whole";
        for (name, schema) in [("store", ENGINE), ("server", SERVER)] {
            for steps in 1..=schema.migrations.len() {
                let place = tempfile::tempdir().unwrap();
                let path = place.path().join(name);
                let mut connection = Connection::open(&path).unwrap();
                migrate(&mut connection, &Schema { migrations: &schema.migrations[..1], ..schema }).unwrap();
                drop(connection);
                let mut dying = std::process::Command::new(std::env::current_exe().unwrap());
                dying.args(["--exact", this]).env(DIES.0, &path).env(DIES.1, steps.to_string());
                let died = dying.output().unwrap();
                assert!(!died.status.success(), "{name}, {steps} steps: it lived");
                let mut connection = Connection::open(&path).unwrap();
                let version =
                    |c: &Connection| c.pragma_query_value(None, "user_version", |r| r.get::<_, i32>(0));
                assert_eq!(version(&connection).unwrap(), 1, "{name}, {steps} steps");
                migrate(&mut connection, &schema).unwrap();
                let known = schema.migrations.last().unwrap().version;
                assert_eq!(version(&connection).unwrap(), known, "it is upgraded afterwards");
                let integrity: String =
                    connection.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
                assert_eq!(integrity, "ok");
            }
        }
    }

    #[test]
    fn a_tombstone_of_before_is_told_to_no_server_and_what_was_never_sent_is_found_again() {
        let mut connection = Connection::open_in_memory().unwrap();
        let old = Schema { migrations: &ENGINE.migrations[..5], ..ENGINE };
        migrate(&mut connection, &old).unwrap();
        let make = "
            INSERT INTO meta VALUES ('server', 'http://honest');
            INSERT INTO actor VALUES (1, x'01');
            INSERT INTO document (id, uuid, server, last, changes, cursor, tombstone) VALUES
                (1, 'alive', NULL, 2, 2, '1.a', NULL), (2, 'own', 'http://own', 0, 0, NULL, NULL),
                (3, 'never synced', NULL, 1, 1, NULL, NULL), (4, 'known', NULL, 2, 2, '1.a', 'known'),
                (5, 'owed', NULL, 2, 2, '1.a', 'owed');
            INSERT INTO change (id, hash, actor, seq, deps, bytes, made_at, local, acknowledged_at)
                SELECT (d.id << 40) + n.seq, randomblob(32), 1, n.seq, x'', x'0102', 7, 1,
                       CASE WHEN n.seq = 1 THEN 5 END
                  FROM document d, (SELECT 1 AS seq UNION ALL SELECT 2) n WHERE d.last >= n.seq;
            INSERT INTO pending (id, ordinal, action, enqueued_at)
                VALUES ((1 << 40) + 2, 1, '{}', 7), ((5 << 40) + 2, 2, '{}', 7);";
        connection.execute_batch(make).unwrap();
        migrate(&mut connection, &ENGINE).unwrap();
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |r| r.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(texts("SELECT uuid FROM document WHERE tombstone_from IS NOT NULL"), [] as [String; 0]);
        let homes = "SELECT uuid || ' ' || home FROM document WHERE home IS NOT NULL AND tombstone IS NULL";
        assert_eq!(texts(homes), ["alive http://honest", "own http://own"]);
        let trash =
            "SELECT d.uuid || ' ' || by_others || ' ' || bytes FROM trash JOIN document d ON d.id = document";
        assert_eq!(texts(trash), ["known 1 4", "owed 0 4"]);
        let unsent = "SELECT uuid FROM unsent JOIN document d ON d.id = unsent.id >> 40 ORDER BY d.id";
        assert_eq!(texts(unsent), ["known", "owed"]);
        assert_eq!(texts("SELECT document FROM queue"), ["alive"], "only what lives waits");
    }

    #[test]
    fn several_who_make_or_upgrade_one_file_at_once_find_it_whole() {
        let old = Schema { migrations: &ENGINE.migrations[..1], ..ENGINE };
        for round in 0..40 {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("store.db");
            let open = || {
                let connection = Connection::open(&path).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
                connection
            };
            let mut first = open();
            if round % 2 == 0 {
                migrate(&mut first, &old).unwrap();
            }
            let start = std::sync::Barrier::new(3);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let mut connection = open();
                        start.wait();
                        migrate(&mut connection, &ENGINE).unwrap();
                        use_wal(&connection, Duration::from_secs(30)).unwrap();
                        connection.execute("UPDATE meta SET value = value", []).unwrap();
                    });
                }
            });
            let version: i32 = first.pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
            assert_eq!(Some(version), ENGINE.migrations.last().map(|m| m.version));
            let left: Vec<_> =
                std::fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(left.iter().all(|name| !name.to_string_lossy().contains("-schema-")), "{left:?}");
        }
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
