use clap::Args;
use comfy_table::{Cell, Color};
use rejoin::DocumentInfo;
use serde_json::json;

use super::{json_document, title};
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{count, now, printable, relative, short_heads, shorten};

/// Show, for each document, whether it is in step or why not; and whether the server answers
///
/// Being offline is no failure. Exit code 5: something is parked or quarantined, and needs a person.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin status
  rejoin status --json")]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(context: &mut Context, _args: StatusArgs) -> Result<Exit> {
    let store = context.open().await?;
    let path = context.store_path()?;
    let settings = store.settings().await?;
    let documents = store.documents().await?;
    let server = context.server_of(&store, None).await?;
    if context.out.is_json() {
        let shown: Vec<_> = documents
            .iter()
            .map(|d| {
                let mut value = json_document(d);
                value["reason"] = reason(d).into();
                value
            })
            .collect();
        context.out.json(&json!({
            "store": path,
            "author": settings.author,
            "server": server,
            "documents": shown,
        }))?;
    } else {
        let out = &mut context.out;
        out.line(format_args!("store   {}", printable(&path.display().to_string())))?;
        out.line(format_args!(
            "server  {}",
            server.as_deref().map_or_else(|| "none set".to_owned(), printable)
        ))?;
        if !documents.is_empty() {
            out.line("")?;
            out.table(
                &["document", "heads", "queued", "parked", "last sync", "in step"],
                documents.iter().map(row).collect(),
            )?;
        }
    }
    let person = documents.iter().any(|d| d.parked > 0 || d.quarantined > 0);
    Ok(if person { Exit::NeedsPerson } else { Exit::Done })
}

fn row(document: &DocumentInfo) -> Vec<Cell> {
    let last = document.last_sync_at.map_or_else(|| "never".to_owned(), |at| relative(at, now()));
    let step = match reason(document) {
        None => Cell::new("yes").fg(Color::Green),
        Some(why) if document.parked + document.quarantined > 0 => Cell::new(why).fg(Color::Red),
        Some(why) => Cell::new(why).fg(Color::Yellow),
    };
    vec![
        Cell::new(shorten(&title(document), 20)),
        Cell::new(short_heads(&document.heads)),
        Cell::new(document.queued),
        Cell::new(document.parked),
        Cell::new(last),
        step,
    ]
}

/// Why a document is not in step; `None` when it is.
fn reason(document: &DocumentInfo) -> Option<String> {
    let d = document;
    let mut why = Vec::new();
    if d.deleted {
        why.push(if d.in_step { "deleted" } else { "deleted; the server is to be told" }.to_owned());
    }
    if d.parked > 0 {
        why.push(format!("{} parked: see `rejoin queue`", count(d.parked, "change")));
    }
    if d.quarantined > 0 {
        why.push(format!("{} quarantined: see `rejoin log`", count(d.quarantined, "change")));
    }
    if d.queued > 0 {
        why.push(format!("{} queued", count(d.queued, "change")));
    }
    if why.is_empty() && !d.in_step {
        let reason = match (d.last_sync_at, d.changes) {
            (None, 0) => "not fetched yet",
            (None, _) => "never synced",
            (Some(_), _) => "the server has more",
        };
        why.push(reason.to_owned());
    }
    (!why.is_empty()).then(|| why.join("; "))
}
