//! `rejoin-server compact` and `rejoin-server purge`.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::SystemTime,
};

use rejoin_protocol::{DocumentId, printable::printable};
use rejoin_server::{LogError, LogStore, Purged};

use crate::{Failure, advice, unopened, unwritten};

/// Changes in rows that are worth a pack where somebody asks for it.
const LEAST: u64 = 2;

pub(crate) fn compact(database: &Path) -> Result<(), Failure> {
    present(database)?;
    let mut log = LogStore::open(database).map_err(|error| unopened(database, &error))?;
    let compacted = log.compact(LEAST).map_err(|error| {
        let then = advice(&error).unwrap_or(
            "What was done stays, and the rest is as it was: run it again, or `rejoin-server doctor` where it says that \
             the database is damaged.",
        );
        Failure::Failed(format!("The database {} could not be compacted: {error}. {then}", database.display()))
    })?;
    say(&format!("Packed {} changes into {} packs.", compacted.changes, compacted.packs))
}

pub(crate) fn purge(database: &Path, document: &DocumentId, yes: bool) -> Result<(), Failure> {
    present(database)?;
    if !yes {
        ask(document)?;
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let failed = |text: String| Err(Failure::Failed(text));
    match rejoin_server::purge(database, document, now).map_err(|error| unfinished(database, &error))? {
        Purged::Done => say(&format!("Purged {document}: its tombstone stays.")),
        Purged::Empty => say(&format!("Nothing is left to purge of {document}: its tombstone stays.")),
        Purged::Lingers => failed(
            "Its changes are gone from the database, and its write-ahead log may hold them until nobody reads: \
             run this again, with the server stopped where that is needed."
                .to_owned(),
        ),
        Purged::Alive => failed(format!(
            "{document} is not deleted, and nothing was done. Delete it first, with `rejoin rm` or \
             `DELETE /v1/documents/{document}`."
        )),
        Purged::Unknown => {
            failed(format!("This database has no document {document}. Look at `GET /v1/documents`."))
        }
        _ => failed("What became of it is not known here. Run `rejoin-server doctor`.".to_owned()),
    }
}

fn ask(document: &DocumentId) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "What is purged cannot be had back, and here is no terminal to ask on. Add --yes.".to_owned(),
        ));
    }
    let question = format!("Purge {document}? Nothing but its tombstone stays, and there is no way back.");
    confirm(&question, "Nothing was done. Answer y to purge it.")
}

/// Asks on the terminal; any answer but yes is a failure, which says so.
pub(crate) fn confirm(question: &str, refused: &str) -> Result<(), Failure> {
    let mut out = io::stderr().lock();
    write!(out, "{question} [y/N] ").and_then(|()| out.flush()).map_err(unwritten)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(unwritten)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Failed(refused.to_owned())),
    }
}

/// Whoever only looks after a database makes none.
pub(crate) fn present(database: &Path) -> Result<(), Failure> {
    match database.exists() {
        true => Ok(()),
        false => Err(Failure::Failed(format!(
            "There is no database {}. Name another with --database.",
            database.display()
        ))),
    }
}

fn unfinished(database: &Path, error: &LogError) -> Failure {
    let then = advice(error).unwrap_or("Run it again, with the server stopped where it is busy.");
    Failure::Failed(format!(
        "The database {} could not be purged to the end: {error}. {then}",
        database.display()
    ))
}

pub(crate) fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{}", printable(line)).map_err(unwritten)
}
