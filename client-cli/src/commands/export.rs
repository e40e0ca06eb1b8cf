//! `rejoin export`: write a document as an Automerge file, readable by any Automerge.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};

/// Write a document as an Automerge file, readable by any Automerge
///
/// Also one that was deleted and is in the trash. Without FILE, and with -, it goes to standard output. A file that is
/// there is replaced, when the new one is complete; a FIFO or a device is written to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin export trip trip.automerge
  rejoin export trip | ssh elsewhere 'rejoin import -'
  rejoin export --salvage trip trip.automerge")]
pub(crate) struct ExportArgs {
    /// The document, also a deleted one: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// The file to write, or - for standard output
    file: Option<PathBuf>,
    /// Write what can still be read of it: for a store that is damaged
    #[arg(long)]
    salvage: bool,
}

pub(crate) async fn run(context: &mut Context, args: ExportArgs) -> Result<Exit> {
    let file = named(args.file);
    check_target(context, file.as_ref())?;
    let store = context.open().await?;
    let (id, deleted) = match store.find(&args.doc).await {
        Ok(id) => (id, false),
        Err(rejoin::Error::Trashed(id)) => (id, true),
        Err(error) => return Err(error.into()),
    };
    if args.salvage {
        return salvage(context, file, store.salvage(id).await?);
    }
    let bytes = store.export(id).await?;
    write(context, file, &bytes)?;
    if deleted {
        // Whoever has a copy knows of it.
        context.out.flush()?;
        super::trash::note_looked_at(&store, id).await?;
    }
    Ok(Exit::Done)
}

/// Exit code 5 where something is missing: a person is to know.
fn salvage(context: &mut Context, file: Option<PathBuf>, found: rejoin::Salvaged) -> Result<Exit> {
    let rejoin::Salvaged { bytes, changes, lost, .. } = found;
    write(context, file, &bytes)?;
    if lost == 0 {
        return Ok(Exit::Done);
    }
    let all = changes + lost;
    context.out.note(format_args!(
        "{changes} of {all} changes could be read. What is missing may be at the server, or in a backup."
    ));
    Ok(Exit::NeedsPerson)
}

/// The file that is meant; `None` for standard output, under any of its names.
pub(crate) fn named(file: Option<PathBuf>) -> Option<PathBuf> {
    let stdout = |path: &PathBuf| {
        ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path.as_os_str() == *name)
    };
    file.filter(|path| !stdout(path))
}

/// Bytes go neither to a terminal nor among JSON.
pub(crate) fn check_target(context: &Context, file: Option<&PathBuf>) -> Result<()> {
    let problem = match file {
        Some(_) => return Ok(()),
        None if context.out.is_json() => "bytes and --json do not go together on standard output",
        None if context.out.is_terminal() => "these bytes are nothing for a terminal",
        None => return Ok(()),
    };
    Err(CliError::usage(problem, "name a file to write, or pipe the output without --json"))
}

/// Writes to the file in one step, through links; into what is no regular file; or to standard output.
pub(crate) fn write(context: &mut Context, file: Option<PathBuf>, bytes: &[u8]) -> Result<()> {
    let Some(path) = file else {
        return context.out.bytes(bytes);
    };
    rejoin::files::deliver(&path, bytes)
        .map_err(|source| CliError::io(format!("{} could not be written", path.display()), source))?;
    if context.out.is_json() {
        context.out.json(&json!({ "file": path, "bytes": bytes.len() }))?;
    } else {
        context.out.note(format_args!("{} bytes written to {}.", bytes.len(), path.display()));
    }
    Ok(())
}
