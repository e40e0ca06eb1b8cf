//! `rejoin diff`: show what changed between two states of a document, or between it and another copy.

use std::path::{Path, PathBuf};

use clap::Args;
use rejoin::{Difference, DocumentId, Store};
use serde_json::Value;

use crate::context::{Context, resolve_heads};
use crate::differences;
use crate::error::{CliError, Exit, Result};

/// Show what changed between two states of a document, or between it and another copy
///
/// With --with, a line that begins with - or ~ shows first what is here, and + or the second value what is there: in an
/// Automerge file, a JSON file, or the store of somebody else, where the document of the same id is meant, or else of
/// the same name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin diff trip 4f1c09ab                    from that change until now
  rejoin diff trip 4f1c09ab 77d0e2f1
  rejoin diff trip 4f1c09ab,9e01bb3c           from two heads
  rejoin diff trip --with trip.automerge       an exported file, or JSON
  rejoin diff trip --with ../ada/rejoin.db     the document in another store
  rejoin diff trip 4f1c09ab --with plan.json   as it was after that change")]
pub(crate) struct DiffArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The heads to begin with: hashes or their beginnings, separated by commas
    #[arg(value_delimiter = ',', num_args = 1, value_name = "FROM", required_unless_present = "with")]
    from: Option<String>,
    /// The heads to end with [default: now]
    #[arg(value_name = "TO", conflicts_with = "with")]
    to: Option<String>,
    /// Compare with the document in this file or store
    #[arg(long, value_name = "FILE|STORE")]
    with: Option<PathBuf>,
}

pub(crate) async fn run(context: &mut Context, args: DiffArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let from = match &args.from {
        Some(from) => Some(resolve_heads(&store, id, &names(from)).await?),
        None => None,
    };
    let differences = match (&args.with, &from) {
        (Some(with), from) => {
            let here = match from {
                Some(heads) => store.state_at(id, "", heads).await?,
                None => store.state(id, "").await?,
            };
            let there = match is_same_file(with, &context.store_path()?) {
                // A second handle of this process would take the locks of the first.
                true => store.state(id, "").await?,
                false => there(with, id, &args.doc).await?,
            };
            Difference::between(&here, &there)
        }
        (None, from) => {
            let from = from.as_deref().unwrap_or_default();
            match &args.to {
                Some(to) => {
                    let to = resolve_heads(&store, id, &names(to)).await?;
                    store.diff(id, from, Some(&to)).await?
                }
                None => store.diff(id, from, None).await?,
            }
        }
    };
    if context.out.is_json() {
        context.out.json(&differences)?;
        return Ok(Exit::Done);
    }
    context.out.page();
    for difference in &differences {
        let line = differences::line(&context.out, difference, 0);
        context.out.line(line)?;
    }
    Ok(Exit::Done)
}

/// The heads in a list separated by commas.
fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| Some(one) == real(other))
}

/// How a file of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The state of the document in a file or in another store.
async fn there(with: &Path, id: DocumentId, doc: &str) -> Result<Value> {
    let unreadable = |e| CliError::io(format!("{} could not be read", with.display()), e);
    let bytes = std::fs::read(with).map_err(unreadable)?;
    if bytes.starts_with(SQLITE) {
        drop(bytes);
        rejoin::store::check_log(with)?;
        // It is somebody else's: it is read, and nothing is left beside it.
        let other = Store::builder(with).read_only().open().await?;
        let found = match other.document(id).await {
            Ok(found) => found.id,
            Err(_) => other.find(doc).await.map_err(|error| {
                CliError::from(error)
                    .prefixed(with.display())
                    .with_hint("`rejoin ls --store` lists what is there")
            })?,
        };
        return Ok(other.state(found, "").await?);
    }
    if let Ok(text) = std::str::from_utf8(&bytes) {
        return serde_json::from_str(text).map_err(|error| {
            CliError::failed(
                format!("{} is neither an Automerge file, nor a store, nor JSON ({error})", with.display()),
                "name a file of `rejoin export`, a store, or a JSON file",
            )
        });
    }
    let room = tempfile::tempdir().map_err(|e| CliError::io("room for the file could not be made", e))?;
    let reader = Store::open(room.path().join("other.db")).await?;
    let read = reader.import(bytes, None, None).await?;
    let state = reader.state(read, "").await?;
    reader.close().await?;
    Ok(state)
}
