//! The trash: documents that were deleted, and what is done with them.

use clap::Args;
use rejoin::{DeletedDocument, DocumentId, Store, UnsentChange};
use serde_json::{Value, json};

use super::{ago, json_time};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::format::{count, now, printable, relative, rfc3339, short_hash, shorten};
use crate::output::Paint;
use crate::table::{Cell, Fit};

/// So many changes that were never sent are listed for each document; JSON has them all.
const SHOWN: usize = 10;

/// Make a new document of one that was deleted, with what was never sent
///
/// It has an id of its own: the deleted one never comes back. What was never sent waits in the queue again, and the
/// next `rejoin sync` begins the new document at the server. Prints its id alone.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin ls --deleted                          which they are
  rejoin undelete trip
  rejoin undelete 6f1d2c5e --name trip-2")]
pub(crate) struct UndeleteArgs {
    /// The deleted document: the name it had here, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// A name for the new one, on this device alone [default: the old one, where it is free]
    #[arg(long, allow_hyphen_values = true)]
    name: Option<String>,
}

pub(crate) async fn undelete(context: &mut Context, args: UndeleteArgs) -> Result<Exit> {
    let store = context.open().await?;
    let deleted = find(&store, &args.doc).await?;
    let new = store.undelete(deleted, args.name.as_deref()).await?;
    let made = store.document(new).await?;
    if context.out.is_json() {
        context.out.json(&json!({
            "id": new, "name": made.name, "deleted": deleted, "changes": made.changes, "queued": made.queued,
        }))?;
    } else {
        context.out.line(new)?;
        context.out.note(format_args!(
            "A new document of {}; `rejoin sync` begins it at the server.",
            count(made.changes, "change")
        ));
    }
    Ok(Exit::Done)
}

/// Forget what is kept of a deleted document, for good
///
/// Asks first. That it was deleted stays known, so that it does not come back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin ls --deleted
  rejoin export trip trip.automerge            a copy to keep
  rejoin discard trip --yes")]
pub(crate) struct DiscardArgs {
    /// The deleted document: the name it had here, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn discard(context: &mut Context, args: DiscardArgs) -> Result<Exit> {
    let store = context.open().await?;
    let id = find(&store, &args.doc).await?;
    let kept = kept(&store, id).await?;
    let unsent = kept.as_ref().map_or(0, |d| d.unsent);
    let what = match (&kept, unsent) {
        (Some(document), 0) => format!("all that is kept of {:?} would be gone for good", title(document)),
        (Some(document), n) => format!(
            "all that is kept of {:?} would be gone for good, with {} that nobody else has",
            title(document),
            count(n, "change")
        ),
        (None, _) => format!("all that is kept of {id} would be gone for good"),
    };
    context.confirm(args.yes, &what, "Discard it?")?;
    store.discard(id).await?;
    if context.out.is_json() {
        context.out.json(&json!({ "id": id, "lost": unsent }))?;
    } else {
        context
            .out
            .note(format_args!("{} is gone from the trash.", kept.as_ref().map_or(id.to_string(), title)));
    }
    Ok(Exit::Done)
}

/// The document of the trash that is meant.
async fn find(store: &Store, doc: &str) -> Result<DocumentId> {
    store.find_deleted(doc).await.map_err(|error| match error {
        rejoin::Error::UnknownDocument(_) => CliError::failed(
            format!("no deleted document that is kept here is called {doc:?}"),
            "`rejoin ls --deleted` lists those that are",
        ),
        rejoin::Error::AmbiguousDocument(_) => {
            CliError::of(&error).with_hint("type more of the id; `rejoin ls --deleted` lists them")
        }
        other => other.into(),
    })
}

/// `rejoin ls --deleted`: all that were deleted and are kept. They count as looked at from then on.
pub(crate) async fn list(context: &mut Context) -> Result<Exit> {
    let store = context.open().await?;
    let mut listed = Vec::new();
    for document in store.list_deleted().await? {
        let unsent = store.unsent(document.id).await?;
        listed.push((document, unsent));
    }
    if context.out.is_json() {
        context
            .out
            .json(&listed.iter().map(|(document, unsent)| json(document, unsent)).collect::<Vec<_>>())?;
    } else if listed.is_empty() {
        context.out.note("Nothing that was deleted is kept here.");
    } else {
        print(context, &listed)?;
    }
    // What was not shown was not looked at.
    context.out.flush()?;
    for (document, _) in listed {
        note_looked_at(&store, document.id).await?;
    }
    Ok(Exit::Done)
}

/// Notes that a person looked at a deleted document. In a store that can only be read it is looked at all the same.
pub(super) async fn note_looked_at(store: &Store, id: DocumentId) -> Result<()> {
    match store.note_looked_at(id).await {
        Err(rejoin::Error::ReadOnly) => Ok(()),
        noted => Ok(noted?),
    }
}

/// As in the list, with the names of the SQL views.
fn json(document: &DeletedDocument, unsent: &[UnsentChange]) -> Value {
    let unsent_change = |change: &UnsentChange| {
        json!({
            "change_hash": change.change_hash.to_string(),
            "action_type": change.action_type,
            "action": change.action,
            "enqueued_at": json_time(Some(change.enqueued_at)),
        })
    };
    json!({
        "id": document.id,
        "name": document.name,
        "by_others": document.by_others,
        "server": document.server,
        "owed": document.owed,
        "deleted_at": json_time(Some(document.deleted_at)),
        "changes": document.changes,
        "bytes": document.bytes,
        "unsent": document.unsent,
        "unsent_changes": unsent.iter().map(unsent_change).collect::<Vec<_>>(),
        "looked_at": json_time(document.looked_at),
        "kept_until": json_time(document.kept_until),
    })
}

fn print(context: &mut Context, listed: &[(DeletedDocument, Vec<UnsentChange>)]) -> Result<()> {
    let rows: Vec<_> = listed.iter().map(|(document, _)| row(document)).collect();
    context.out.table(
        &[
            ("name", Fit::Cut),
            ("id", Fit::Id),
            ("changes", Fit::Whole),
            ("never sent", Fit::Whole),
            ("deleted", Fit::Whole),
            ("server", Fit::Cut),
        ],
        &rows,
    )?;
    for (document, unsent) in listed.iter().filter(|(_, unsent)| !unsent.is_empty()) {
        context.out.line("")?;
        context.out.line(format_args!("{}: never sent", title(document)))?;
        for change in unsent.iter().take(SHOWN) {
            let action =
                change.action.as_ref().map(ToString::to_string).or_else(|| change.action_type.clone());
            let what = printable(&shorten(&action.unwrap_or_else(|| "a change".to_owned()), 80));
            context.out.line(format_args!("  {}  {what}", short_hash(&change.change_hash)))?;
        }
        if unsent.len() > SHOWN {
            context.out.line(format_args!("  and {} more (--json has them all)", unsent.len() - SHOWN))?;
        }
    }
    context.out.note("`rejoin undelete DOC` makes a new document of one, `rejoin export DOC FILE` writes a file, `rejoin discard DOC` forgets.");
    Ok(())
}

fn row(document: &DeletedDocument) -> Vec<Cell> {
    let unsent = Cell::new(document.unsent);
    vec![
        Cell::new(document.name.as_deref().map_or_else(|| "-".to_owned(), printable)),
        Cell::new(document.id),
        Cell::new(document.changes),
        if document.unsent > 0 { unsent.paint(Paint::Red) } else { unsent },
        Cell::new(format!("by {}, {}", whom(document), relative(document.deleted_at, now()))),
        Cell::new(match document.server.as_deref() {
            Some(server) => printable(server),
            None if document.owed => "to be told".to_owned(),
            None if document.by_others => "not known".to_owned(),
            None => "none had it".to_owned(),
        }),
    ]
}

fn whom(document: &DeletedDocument) -> &'static str {
    if document.by_others { "others" } else { "you" }
}

/// What `rejoin status` says of the trash; `None` where it is empty.
pub(crate) fn summary(kept: &[DeletedDocument]) -> Option<String> {
    let others: Vec<_> = kept.iter().filter(|d| d.by_others).collect();
    let unsent: u64 = others.iter().map(|d| d.unsent).sum();
    let documents = count(others.len() as u64, "document");
    match (others.len(), unsent) {
        (0, _) => None,
        (_, 0) => Some(format!("{documents} that others deleted; `rejoin ls --deleted` lists them")),
        (_, n) => Some(format!(
            "{documents} that others deleted, with {} never sent: see `rejoin ls --deleted`",
            count(n, "change")
        )),
    }
}

/// What `rejoin status` says of a deletion that no server was told of yet; `None` where one was.
pub(crate) fn owed(document: &DeletedDocument) -> Option<String> {
    document.owed.then(|| {
        format!(
            "{}: deleted here, and no server was told yet; `rejoin sync` tells it, `rejoin join {}` takes it back",
            title(document),
            document.id
        )
    })
}

/// One line of what a sync found deleted.
pub(crate) fn warning(document: &DeletedDocument) -> String {
    let unsent = match document.unsent {
        0 => "nothing of it was unsent".to_owned(),
        n => format!("{} never sent", count(n, "change")),
    };
    format!(
        "{}: deleted by others, {}; {unsent}: see `rejoin ls --deleted`",
        title(document),
        ago(document.deleted_at),
    )
}

/// As in `status --json` of a document in the trash.
pub(crate) fn json_brief(document: &DeletedDocument) -> Value {
    json!({
        "id": document.id, "name": document.name, "server": document.server, "unsent": document.unsent,
        "deleted_at": rfc3339(document.deleted_at), "looked_at": json_time(document.looked_at),
    })
}

/// One document of the trash.
pub(crate) async fn kept(store: &Store, id: DocumentId) -> Result<Option<DeletedDocument>> {
    Ok(store.list_deleted().await?.into_iter().find(|d| d.id == id))
}

fn title(document: &DeletedDocument) -> String {
    document.name.as_deref().map_or_else(|| document.id.to_string(), printable)
}
