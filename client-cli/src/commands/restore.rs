//! `rejoin restore`: put a backup in the store's place, and keep the old store beside it.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, printable};

/// Put a backup in the store's place, and keep the old store beside it
///
/// The old one goes on under another name, with what was never sent of it. What SQLite left beside it goes with it and
/// does not spoil the new one. Asks on a terminal; elsewhere it goes on, for nothing is lost, but wants --yes where the old one
/// holds what was never sent. Other processes must not have the store open.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin restore rejoin-2026-11-21.db
  rejoin restore rejoin-2026-11-21.db --yes    without a question
  rejoin --store PATH.before-restore queue     what the old one never sent")]
pub(crate) struct RestoreArgs {
    /// The file that `rejoin backup` wrote, or another copy of a store
    file: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(context: &mut Context, args: RestoreArgs) -> Result<Exit> {
    let path = context.store_path()?;
    if path.is_file() && !args.yes && !ask(context, &args)? {
        return Err(CliError::failed("nothing was changed", "answer y, or say --yes, to go on"));
    }
    context.make_home()?;
    let kept = rejoin::store::restore(&path, &args.file)?;
    if context.out.is_json() {
        context.out.json(&json!({ "store": path, "backup": args.file, "kept": kept }))?;
        return Ok(Exit::Done);
    }
    let shown = |path: &std::path::Path| printable(&path.display().to_string());
    context.out.note(format_args!("{} is as in {} now.", shown(&path), shown(&args.file)));
    if let Some(kept) = kept {
        context.out.note("The old store is kept in the file that follows; delete it when you miss nothing.");
        context.out.line(shown(&kept))?;
    }
    Ok(Exit::Done)
}

/// Whether to go on. Where there is nobody to ask the answer is yes, for the old store is kept; but not where something in
/// it was never sent.
fn ask(context: &mut Context, args: &RestoreArgs) -> Result<bool> {
    let path = context.store_path()?;
    let waiting = match rejoin::store::count_queued(&path) {
        None | Some(0) => String::new(),
        Some(n) => {
            format!(" {} that the server does not hold will be in the old file alone.", count(n, "change"))
        }
    };
    let question = format!(
        "{} is replaced by {}, and kept beside it.{waiting} Go on?",
        path.display(),
        args.file.display()
    );
    match (context.out.ask(&question)?, waiting.is_empty()) {
        (Some(answer), _) => Ok(answer),
        (None, true) => Ok(true),
        (None, false) => Err(CliError::usage(
            format!(
                "{} is replaced by {}:{}",
                path.display(),
                args.file.display(),
                waiting.trim_end_matches('.')
            ),
            "say --yes if that is meant, or `rejoin sync` before; nothing was changed",
        )),
    }
}
