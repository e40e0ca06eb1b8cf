//! What the server has for this token: `ls --remote` and `join --all`.

use std::collections::HashMap;
use std::time::Duration;

use rejoin::{DocumentId, RemoteDocument, Store};
use serde_json::json;

use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::{count, printable};
use crate::output::Paint;
use crate::table::{Cell, Fit};

/// How long one page of the list may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is at the server, and what of it is here.
struct Remote {
    server: String,
    documents: Vec<RemoteDocument>,
    /// Those that are here, with their names.
    here: HashMap<DocumentId, Option<String>>,
    /// Those that were deleted, as far as this store knows.
    buried: Vec<DocumentId>,
}

async fn ask(context: &Context, store: &Store) -> Result<Remote> {
    let server = context.server_of(store, None).await?.ok_or(rejoin::Error::NoServer)?;
    let token = context.token_for(&server)?;
    let http = context.http(store).await?;
    let documents = rejoin::list_remote(&server, token.as_ref(), (&http, PATIENCE)).await?;
    let here = store.documents().await?.into_iter().map(|document| (document.id, document.name)).collect();
    let mut buried = Vec::new();
    // A tombstone that the server is still to be told of, or that only this store has kept.
    for document in documents.iter().filter(|document| !document.deleted) {
        if store.document(document.id).await.is_ok_and(|known| known.deleted) {
            buried.push(document.id);
        }
    }
    Ok(Remote { server, documents, here, buried })
}

/// `ls --remote`.
pub(super) async fn list(context: &mut Context) -> Result<Exit> {
    let store = context.open().await?;
    let remote = ask(context, &store).await?;
    if context.out.is_json() {
        let entries = remote.documents.iter().map(|document| {
            json!({
                "id": document.id,
                "name": remote.here.get(&document.id).cloned().flatten(),
                "here": remote.here.contains_key(&document.id),
                "deleted": document.deleted,
                "heads": document.heads.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        context.out.json(&entries.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let (deleted, living): (Vec<_>, Vec<_>) = remote.documents.iter().partition(|d| d.deleted);
    if living.is_empty() {
        context.out.note(nothing_there(&remote));
    } else {
        let rows: Vec<_> = living.iter().map(|document| row(&remote, document)).collect();
        context.out.table(&[("name", Fit::Cut), ("id", Fit::Id), ("here", Fit::Whole)], &rows)?;
    }
    if living.iter().any(|document| !remote.here.contains_key(&document.id)) {
        context.out.note(
            "`rejoin join --all` takes part in all of them, `rejoin join ID --name NAME` in one: names are each device's own.",
        );
    }
    if !deleted.is_empty() {
        context.out.note(format_args!("{} more were deleted.", deleted.len()));
    }
    Ok(Exit::Done)
}

fn nothing_there(remote: &Remote) -> String {
    format!(
        "{} has no documents for you: make one with `rejoin new` and `rejoin sync`, or ask for a grant.",
        printable(&remote.server)
    )
}

fn row(remote: &Remote, document: &RemoteDocument) -> Vec<Cell> {
    let here = remote.here.get(&document.id);
    let name = here.and_then(Option::as_deref).map_or_else(|| "-".to_owned(), printable);
    let known = match here {
        Some(_) => Cell::new("yes").paint(Paint::Green),
        None => Cell::new("no").paint(Paint::Yellow),
    };
    vec![Cell::new(name), Cell::new(document.id), known]
}

/// `join --all`: what was deleted here, or everywhere, stays so.
pub(super) async fn join_all(context: &mut Context) -> Result<Exit> {
    let store = context.open().await?;
    let remote = ask(context, &store).await?;
    let saved = store.settings().await?.server;
    // Where it is the store's own server, documents follow that when it moves.
    let address = (saved.as_ref() != Some(&remote.server)).then_some(remote.server.as_str());
    let new = |document: &&RemoteDocument| {
        !document.deleted && !remote.here.contains_key(&document.id) && !remote.buried.contains(&document.id)
    };
    let mut joined = Vec::new();
    for document in remote.documents.iter().filter(new) {
        joined.push(store.join(document.id, None, address).await?);
    }
    if context.out.is_json() {
        let entries = joined.iter().map(|id| json!({ "id": id, "server": remote.server }));
        context.out.json(&entries.collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    for id in &joined {
        context.out.line(id)?;
    }
    if !joined.is_empty() {
        let what = count(joined.len() as u64, "document");
        let them = if joined.len() == 1 { "it" } else { "them" };
        context.out.note(format_args!(
            "Joined {what}; `rejoin sync` fetches {them}. Names are each device's own: `rejoin rename ID NAME` gives one."
        ));
    } else if remote.documents.iter().all(|document| document.deleted) {
        context.out.note(format_args!("Nothing to join: {}", nothing_there(&remote)));
    } else if remote.buried.is_empty() {
        context.out.note("Nothing to join: all of them are here already.");
    } else {
        let buried = count(remote.buried.len() as u64, "document");
        context.out.note(format_args!(
            "Nothing to join: the others are here already, and {buried} were deleted here: `rejoin join ID` takes one back."
        ));
    }
    Ok(Exit::Done)
}
