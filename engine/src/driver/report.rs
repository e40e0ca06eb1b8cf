//! What a sync came to, for all documents and for each.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::{ChangeHash, Cursor, DeletedDocument, DocumentId, Error, Result, session::Progress};

/// How far a sync is, for whoever waits for it: see [`SyncOptions::progress`](crate::SyncOptions::progress).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncProgress {
    /// Actions that left the queue so far.
    pub pushed: u64,
    /// Changes that were new here so far.
    pub pulled: u64,
}

/// What a sync did. As JSON it is what `rejoin sync --json` prints.
///
/// A sync that reached nobody is no error of the store, for the work goes on: the report says so, and
/// [`SyncReport::reached`] makes an error of it.
#[derive(Debug, Clone, Default, Serialize)]
#[must_use = "a sync that reached nobody is in the report: ask `reached`"]
pub struct SyncReport {
    /// Actions that left the queue, and changes that healing gave back to the server.
    pub pushed: u64,
    /// Changes that were new here.
    pub pulled: u64,
    /// Actions that wait now, the parked left out.
    pub queued: u64,
    /// Actions that are parked now: they need a person.
    pub parked: u64,
    /// Changes that are quarantined now.
    pub quarantined: u64,
    /// How many of these somebody has seen: see [`crate::Store::note_quarantine_seen`].
    pub quarantined_seen: u64,
    /// Changes that were written again because of forks.
    pub rewritten: u64,
    /// Of these, changes that this store had dispatched: it was copied or put back, and both copies were used, or
    /// somebody wrote under its name.
    pub own_rewritten: u64,
    /// Those were made in the place of changes of this store that were quarantined, and nobody else wrote under its name.
    pub after_quarantine: bool,
    /// Somebody else wrote under this store's actor: it writes under another from now on.
    pub left_actor: bool,
    /// The documents, in the order of the store.
    pub documents: Vec<DocumentReport>,
    /// Documents that others deleted, until somebody looked at them: see [`crate::Store::list_deleted`].
    #[serde(serialize_with = "as_deleted")]
    pub deleted: Vec<DeletedDocument>,
}

/// One document of a [`SyncReport`].
#[derive(Debug, Clone, Serialize)]
pub struct DocumentReport {
    /// Its id.
    pub id: DocumentId,
    /// Its local name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its heads, sorted.
    #[serde(serialize_with = "as_hex")]
    pub heads: Vec<ChangeHash>,
    /// Up to where everything of the server's log is here.
    pub cursor: Option<Cursor>,
    /// How it ended.
    pub state: SyncState,
    /// As in [`SyncReport`].
    pub pushed: u64,
    /// As in [`SyncReport`].
    pub pulled: u64,
    /// As in [`SyncReport`].
    pub queued: u64,
    /// As in [`SyncReport`].
    pub parked: u64,
    /// As in [`SyncReport`].
    pub quarantined: u64,
    /// As in [`SyncReport`].
    pub quarantined_seen: u64,
    /// The server that says it was deleted, and is not the one where it lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_served_by: Option<String>,
    /// It had been taken for deleted, and its server has it: it left the trash.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub returned: bool,
    /// Why it is not in step.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub error: Option<Arc<Error>>,
}

/// How the sync of one document ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SyncState {
    /// What was there at the start is at the server, and its log was read to the end.
    InStep,
    /// Nobody has pushed it yet, and there is nothing to push from here.
    NotThere,
    /// It was deleted, and the server where it lives knows.
    Deleted,
    /// This server says that it was deleted, and is not the one where it lives: nothing was changed.
    NotServed,
    /// It goes on later: it waits in a watch.
    Waiting,
    /// It failed.
    Failed,
}

impl SyncReport {
    /// The error that matters most: refused credentials before an unreachable server before any other.
    pub fn worst(&self) -> Option<&Error> {
        self.documents.iter().filter_map(|d| d.error.as_deref()).min_by_key(|e| rank(e))
    }

    /// The report, where every document got through; else the error that matters most, as [`SyncReport::worst`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use rejoin::{ErrorKind, Store, SyncOptions};
    /// let store = Store::in_memory().await?;
    /// store.create(None, None).await?;
    /// // Nobody listens there.
    /// let offline = store.sync(SyncOptions::default().server("http://127.0.0.1:9")).await?.reached();
    /// assert_eq!(offline.unwrap_err().kind(), ErrorKind::TryAgain);
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Unauthorized`], [`Error::Forbidden`], and whatever else kept a document from
    /// being in step.
    pub fn reached(mut self) -> Result<Reached> {
        let errors = self.documents.iter_mut().filter_map(|document| document.error.take());
        match errors.min_by_key(|error| rank(error)) {
            None => Ok(Reached(self)),
            Some(error) => Err(owned(error)),
        }
    }

    /// Something is parked, was quarantined or deleted by others and nobody has looked at it yet, or is not served where
    /// it was looked for: a person is needed.
    pub fn needs_person(&self) -> bool {
        let not_served = |d: &DocumentReport| d.state == SyncState::NotServed;
        self.parked > 0
            || self.quarantined > self.quarantined_seen
            || !self.deleted.is_empty()
            || self.documents.iter().any(not_served)
    }

    pub(super) fn add(&mut self, document: DocumentReport, progress: &Progress) {
        self.pushed += document.pushed;
        self.pulled += document.pulled;
        self.queued += document.queued;
        self.parked += document.parked;
        self.quarantined += document.quarantined;
        self.quarantined_seen += document.quarantined_seen;
        self.rewritten += progress.rewritten;
        self.own_rewritten += progress.own_rewritten;
        self.after_quarantine |= progress.after_quarantine;
        self.left_actor |= progress.left_actor;
        self.documents.push(document);
    }
}

/// The report of a sync that got through with every document: of [`SyncReport::reached`]. It can be dropped, for nothing in it
/// says that something went wrong.
#[derive(Debug, Clone)]
pub struct Reached(SyncReport);

impl std::ops::Deref for Reached {
    type Target = SyncReport;

    fn deref(&self) -> &SyncReport {
        &self.0
    }
}

/// The error itself; of one that somebody else holds too its kind and its words.
fn owned(error: Arc<Error>) -> Error {
    Arc::try_unwrap(error).unwrap_or_else(|shared| match shared.as_ref() {
        Error::Unauthorized(why) => Error::Unauthorized(why.clone()),
        Error::Forbidden(why) => Error::Forbidden(why.clone()),
        Error::Unreachable(why) => Error::Unreachable(why.clone()),
        other => Error::Protocol(other.to_string()),
    })
}

fn rank(error: &Error) -> u8 {
    match error {
        Error::Unauthorized(_) => 0,
        Error::Forbidden(_) => 1,
        Error::Unreachable(_) => 2,
        _ => 3,
    }
}

fn as_hex<S: Serializer>(heads: &[ChangeHash], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(heads.iter().map(ToString::to_string))
}

fn as_text<S: Serializer>(error: &Option<Arc<Error>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&error.as_deref().map(ToString::to_string).unwrap_or_default())
}

/// What a program needs to know of it; `rejoin ls --deleted --json` has the rest.
fn as_deleted<S: Serializer>(deleted: &[DeletedDocument], serializer: S) -> Result<S::Ok, S::Error> {
    let brief = |d: &DeletedDocument| serde_json::json!({"id": d.id, "name": d.name, "server": d.server, "unsent": d.unsent});
    serializer.collect_seq(deleted.iter().map(brief))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(error: Option<Error>) -> DocumentReport {
        DocumentReport {
            id: DocumentId::from_bytes([7; 16]),
            name: None,
            heads: vec![ChangeHash([0xab; 32])],
            cursor: Cursor::parse("57.9f"),
            state: SyncState::InStep,
            pushed: 1,
            pulled: 2,
            queued: 3,
            parked: 4,
            quarantined: 0,
            quarantined_seen: 0,
            not_served_by: None,
            returned: false,
            error: error.map(Arc::new),
        }
    }

    #[test]
    fn its_json_has_the_words_of_the_contract() {
        let mut report = SyncReport::default();
        report.add(document(None), &Progress::default());
        let json = serde_json::to_value(&report).unwrap();
        for (key, value) in [("pushed", 1), ("pulled", 2), ("queued", 3), ("parked", 4)] {
            assert_eq!(json[key], value, "{key}");
        }
        let first = &json["documents"][0];
        assert_eq!(first["id"], "07070707-0707-0707-0707-070707070707");
        assert_eq!(first["heads"][0], "ab".repeat(32));
        assert_eq!(first["cursor"], "57.9f");
        assert!(first.get("error").is_none());
    }

    #[test]
    fn refused_credentials_are_worse_than_an_unreachable_server() {
        let mut report = SyncReport::default();
        for error in [
            Error::Protocol("x".into()),
            Error::Unreachable("y".into()),
            Error::Unauthorized("z".into()),
            Error::Unreachable("y".into()),
        ] {
            report.add(document(Some(error)), &Progress::default());
        }
        assert!(matches!(report.worst(), Some(Error::Unauthorized(_))));
        assert!(report.needs_person());
    }
}
