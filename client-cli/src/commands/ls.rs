//! `rejoin ls`: list the documents here: name, what is queued, in step or not.

use clap::Args;
use rejoin::{DocumentInfo, store::SyncProblemKind};

use super::{json_document, remote, trash};
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::printable;
use crate::output::Paint;
use crate::table::{Cell, Fit};

/// List the documents here: name, what is queued, in step or not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin ls
  rejoin ls --remote                           what the server has for you
  rejoin ls --deleted                          what was deleted and is kept
  rejoin ls --json")]
pub(crate) struct LsArgs {
    /// List the documents that were deleted, by others or by you, and are kept here, instead; they count as looked at
    /// from then on
    #[arg(long)]
    deleted: bool,
    /// List the documents that the server has for this token instead
    #[arg(long, conflicts_with = "deleted")]
    remote: bool,
}

pub(crate) async fn run(context: &mut Context, args: LsArgs) -> Result<Exit> {
    if args.deleted {
        return trash::list(context).await;
    }
    if args.remote {
        return remote::list(context).await;
    }
    let store = context.open().await?;
    let documents: Vec<_> = store.documents().await?.into_iter().filter(|d| !d.deleted).collect();
    if context.out.is_json() {
        context.out.json(&documents.iter().map(json_document).collect::<Vec<_>>())?;
    } else if documents.is_empty() {
        context.out.note("No documents yet: make one with `rejoin new`, or `rejoin join` another's.");
    } else {
        let rows: Vec<_> = documents.iter().map(row).collect();
        context.out.table(
            &[
                ("name", Fit::Cut),
                ("id", Fit::Id),
                ("changes", Fit::Whole),
                ("queued", Fit::Whole),
                ("in step", Fit::Whole),
            ],
            &rows,
        )?;
        if documents.iter().any(is_not_allowed) {
            context.out.note("Not allowed: `rejoin status` says what to do.");
        }
    }
    Ok(Exit::Done)
}

fn row(document: &DocumentInfo) -> Vec<Cell> {
    let step = match document {
        d if d.parked > 0 => Cell::new("no: parked").paint(Paint::Red),
        d if is_not_allowed(d) => Cell::new("no: not allowed").paint(Paint::Red),
        d if d.problem.is_some() => Cell::new("no: the last sync failed").paint(Paint::Red),
        d if d.quarantined > d.quarantined_seen => Cell::new("no: changes left out").paint(Paint::Red),
        d if d.in_step => Cell::new("yes").paint(Paint::Green),
        _ => Cell::new("no").paint(Paint::Yellow),
    };
    vec![
        Cell::new(document.name.as_deref().map_or_else(|| "-".to_owned(), printable)),
        Cell::new(document.id),
        Cell::new(document.changes),
        Cell::new(document.queued + document.parked),
        step,
    ]
}

/// Whether the server refused this token what it asked of the document at the last sync.
fn is_not_allowed(document: &DocumentInfo) -> bool {
    let problem = document.problem.as_ref().map(|problem| problem.kind);
    document.not_allowed.is_some() || problem == Some(SyncProblemKind::NotAllowed)
}
