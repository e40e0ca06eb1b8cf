//! `rejoin watch`: print each change of a document as it comes, until interrupted.

use std::collections::HashSet;

use clap::Args;
use rejoin::{ChangeHash, DocumentId, Edits, Event, HistoryEntry, Store};
use tokio::sync::broadcast::error::RecvError;

use super::log::{edits, json_entry, print_entry};
use super::sync::interrupted;
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::format::parse_pointer;

/// Print each change of a document as it comes, until interrupted
///
/// Changes that are made here come at once. Those of others come while something syncs: `rejoin sync --watch`, say.
/// With a path, only what was written there, in what is there, or in the place of what holds it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rejoin watch trip
  rejoin watch trip /list
  rejoin watch trip --json                     a JSON value a line")]
pub(crate) struct WatchArgs {
    /// The document: name, UUID, start of a UUID, or automerge: URL
    doc: String,
    /// Only what is written there, as a JSON Pointer [default: the whole document]
    #[arg(default_value = "", hide_default_value = true, value_parser = parse_pointer)]
    pointer: String,
}

pub(crate) async fn run(context: &mut Context, args: WatchArgs) -> Result<Exit> {
    let (store, id) = context.open_document(&args.doc).await?;
    let mut events = store.subscribe();
    let mut watch = Watch { known: HashSet::new(), store, id, pointer: args.pointer };
    watch.fresh(None).await?;
    context.out.note("Watching; Ctrl-C ends.");
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    loop {
        let event = tokio::select! {
            () = &mut interrupted => return Ok(Exit::Done),
            event = events.recv() => event,
        };
        let fresh = match event {
            Ok(event) if event.document != id => continue,
            Ok(event) => watch.fresh(Some(&event)).await?,
            // Some were missed: the history has them.
            Err(RecvError::Lagged(_)) => watch.fresh(None).await?,
            Err(RecvError::Closed) => return Ok(Exit::Done),
        };
        watch.print(context, &fresh).await?;
    }
}

struct Watch {
    store: Store,
    id: DocumentId,
    pointer: String,
    known: HashSet<ChangeHash>,
}

impl Watch {
    /// What is new in the history, in its order. An event says how much at least is at its end; without one, and where
    /// the document was made anew, all of it is looked at.
    async fn fresh(&mut self, event: Option<&Event>) -> Result<Vec<HistoryEntry>> {
        let known = self.known.len();
        let newest = match event.filter(|event| !event.rebuilt) {
            Some(event) => {
                let all = usize::try_from(self.store.document(self.id).await?.changes).unwrap_or(usize::MAX);
                Some(all.saturating_sub(known).max(event.changes.len()))
            }
            None => None,
        };
        let mut history = self.store.history(self.id, newest).await?;
        history.retain(|entry| self.known.insert(entry.hash));
        Ok(history)
    }

    async fn print(&self, context: &mut Context, fresh: &[HistoryEntry]) -> Result<()> {
        for (entry, edits) in fresh.iter().zip(edits(&self.store, self.id, fresh).await?) {
            if !self.is_meant(&edits) {
                continue;
            }
            if context.out.is_json() {
                context.out.json(&json_entry(entry, &edits))?;
            } else {
                print_entry(context, &self.store, (entry, &edits)).await?;
            }
        }
        context.out.flush()
    }

    /// Whether something was written at the place, under it, or above it.
    fn is_meant(&self, edits: &Edits) -> bool {
        let under = |path: &str, of: &str| {
            path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let pointer = &self.pointer;
        pointer.is_empty() || edits.edits.iter().any(|e| under(e.path(), pointer) || under(pointer, e.path()))
    }
}
