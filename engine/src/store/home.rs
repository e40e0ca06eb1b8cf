//! Where a document lives, and so whose word counts: "a deletion is believed from the server where the document lives,
//! and nowhere else". Pure rules; addresses are compared as [`same_server`] does.

use super::{Millis, rows::DocumentRow};
use crate::{Cursor, same_server};

/// How a server stands to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// It lives there.
    pub(super) home: bool,
    /// This store syncs the document with it when nothing else is said: the document's own server, else the store's.
    pub(super) named: bool,
    /// No server is named for the document, and none has proved that it holds it.
    pub(super) unplaced: bool,
}

impl Standing {
    /// `saved` is the store's server, `server` the one that is spoken to.
    pub(super) fn of(row: &DocumentRow, saved: Option<&str>, server: &str) -> Self {
        let named = row.server.as_deref().or(saved);
        let is = |other: &str| same_server(other, server);
        Self {
            home: row.home.as_deref().is_some_and(is),
            named: named.is_some_and(is),
            unplaced: named.is_none() && row.home.is_none(),
        }
    }

    /// Whether a server that proves that it holds the document becomes its home. One that a store is pointed to for a
    /// single sync does not, unless nothing else is known.
    fn settles(self) -> bool {
        self.named || self.unplaced
    }

    /// Whether a deletion that this store owes is told there.
    pub(super) fn is_owed_to(self) -> bool {
        self.named || self.home || self.unplaced
    }
}

/// What a server's word that the document was deleted comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It goes to the trash.
    Believed,
    /// It is deleted here already, and this server has the tombstone.
    Noted,
    /// This server does not serve it, and that is all.
    NotServed,
}

/// "A tombstone is bound to the server it was learnt from; another server's says only that that server does not serve
/// the document."
pub(super) fn weigh_deletion(row: &DocumentRow, standing: Standing, server: &str) -> Word {
    match row.tombstone.as_deref() {
        Some("owed") if standing.is_owed_to() => Word::Noted,
        Some(_) if has_tombstone(row, server) => Word::Noted,
        Some(_) => Word::NotServed,
        None if standing.home => Word::Believed,
        None => Word::NotServed,
    }
}

/// How long after a deletion was first heard of it takes to be sure of it: longer than somebody who answers in a server's
/// place for a while, and than the person who syncs again because a document is gone.
const SURE_AFTER: Millis = 3_600_000;

/// Whether a deletion that a server tells of now is sure: told by this store, or heard of long enough ago. `heard_at` is when
/// it was first heard of; what nothing is kept of cannot be lost.
pub(super) fn is_sure(row: &DocumentRow, heard_at: Option<Millis>, now: Millis) -> bool {
    match row.tombstone.as_deref() {
        None => false,
        Some("owed") => true,
        Some(_) => row.tombstone_sure || heard_at.is_some_and(|at| now.saturating_sub(at) >= SURE_AFTER),
    }
}

/// Whether this server is the one that has the tombstone.
pub(super) fn has_tombstone(row: &DocumentRow, server: &str) -> bool {
    row.tombstone_from.as_deref().is_some_and(|from| same_server(from, server))
}

impl DocumentRow {
    /// The cursor, as a place in this server's log: one that another gave proves nothing there.
    pub(super) fn cursor_at(&self, server: &str) -> Option<&Cursor> {
        let given_there = self.cursor_from.as_deref().is_none_or(|from| same_server(from, server));
        self.cursor.as_ref().filter(|_| given_there)
    }

    /// A cursor that this server gave.
    pub(super) fn take_cursor(&mut self, cursor: Option<Cursor>, server: &str) {
        self.cursor_from = cursor.as_ref().map(|_| server.to_owned());
        self.cursor = cursor;
    }

    /// This server gave a cursor or took a push: it holds the document.
    pub(super) fn note_holder(&mut self, standing: Standing, server: &str) {
        if standing.settles() && !standing.home {
            self.home = Some(server.to_owned());
        }
        self.not_served_by = None;
    }
}
