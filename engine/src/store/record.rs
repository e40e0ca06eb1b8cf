//! What is written of an action: its change, its queue row, its step of undo, and what is told of it.

use std::sync::Arc;

use serde_json::Value;

#[cfg(feature = "planted-bugs")]
use super::Core;
use super::{
    Event, EventChange, Origin,
    append::{Appended, append},
    core::Writing,
    make::Made,
    rows::{self, NewPending},
    undo::{NewStep, insert_step},
};
use crate::{
    DocumentId, Error, Message, Result,
    fence::{self, CheckedChange},
    slice::{AnyExtra, Committed, payload_of},
};

/// What is written of an action beside its change.
pub(super) struct Told<'a> {
    /// The document that it was dispatched to.
    pub(super) shown_as: DocumentId,
    pub(super) message: &'a Message,
    pub(super) json: &'a Value,
    pub(super) text: &'a str,
    /// How it stands in undo; `None`: as usual.
    pub(super) step: Option<&'a NewStep>,
    /// The slices that react to it in its change.
    pub(super) extras: &'a [Arc<dyn AnyExtra>],
}

impl Writing<'_> {
    /// Invariant 1: "A change and its queue row are both there or both not."
    pub(super) fn record(
        &mut self,
        id: DocumentId,
        made: &Made,
        checked: &CheckedChange,
        told: &Told<'_>,
    ) -> Result<()> {
        let message = told.message;
        let empty = Message::default();
        for container in &made.containers {
            let replica =
                self.replicas.peek(id).ok_or_else(|| Error::Bug("the document is closed".to_owned()))?;
            let bytes = fence::check_bytes(&container.bytes, self.limits).map_err(Error::Refused)?;
            let row = append(
                self.tx,
                replica,
                &bytes,
                &Appended { message: &empty, local: true, container: true },
            )?;
            if replica.row.companion_of.is_none() {
                self.enqueue(row, None)?;
            }
        }
        let replica =
            self.replicas.peek(id).ok_or_else(|| Error::Bug("the document is closed".to_owned()))?;
        let about = Appended { message, local: true, container: false };
        let row = append(self.tx, replica, checked, &about)?;
        replica.written = true;
        // A companion has no undo.
        if let (Some(step), None) = (told.step, replica.row.companion_of) {
            let change = (replica.row.id, rows::position_of(row), checked.hash);
            insert_step(self.tx, change, step, (self.now, self.undo_window))?;
        }
        if replica.row.companion_of.is_none() {
            self.enqueue(row, Some(told.text))?;
        }
        if !self.registry.middleware.is_empty() {
            self.committed.push(Committed {
                document: told.shown_as,
                hash: checked.hash,
                action_type: message.action.clone().unwrap_or_default(),
                action: told.json.clone(),
            });
        }
        if self.listening {
            let replica =
                self.replicas.peek(id).ok_or_else(|| Error::Bug("the document is closed".to_owned()))?;
            let change = EventChange {
                hash: checked.hash,
                action_type: message.action.clone(),
                action_version: message.version.unwrap_or(1),
                author: message.author.clone(),
                payload: payload_of(told.json),
                reacted: reacted(message),
            };
            self.events.push(Event {
                document: told.shown_as,
                origin: Origin::Local,
                changes: vec![change],
                heads: replica.am.get_heads(),
                patches: made.patches.clone(),
                rebuilt: false,
            });
        }
        Ok(())
    }

    pub(super) fn enqueue(&mut self, id: i64, action: Option<&str>) -> Result<()> {
        self.enqueued += 1;
        let new = NewPending { id, ordinal: self.ordinal, action, enqueued_at: self.now };
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_planted(crate::planted::Bug::QueueRowApart) {
            return late::keep(&new);
        }
        rows::insert_pending(self.tx, &new)
    }
}

/// The names of the slices that reacted.
pub(super) fn reacted(message: &Message) -> Vec<String> {
    message.reacted().into_iter().map(|(slice, _)| slice.to_owned()).collect()
}

/// The planted bug "queue row in another transaction": rows wait here until the next verb.
#[cfg(feature = "planted-bugs")]
mod late {
    use super::{Core, NewPending, Result, rows};

    /// Id, ordinal, action, time.
    type Late = (i64, i64, Option<String>, i64);

    thread_local! {
        static LATE: std::cell::RefCell<Vec<Late>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    #[allow(clippy::unnecessary_wraps, reason = "it stands in the place of a write that can fail")]
    pub(super) fn keep(new: &NewPending<'_>) -> Result<()> {
        let row = (new.id, new.ordinal, new.action.map(str::to_owned), new.enqueued_at);
        LATE.with_borrow_mut(|rows| rows.push(row));
        Ok(())
    }

    impl Core {
        pub(in super::super) fn take_late_pending(&mut self) {
            self.late_pending.extend(LATE.take());
        }

        pub(in super::super) fn flush_late_pending(&mut self) -> Result<()> {
            for (id, ordinal, action, enqueued_at) in std::mem::take(&mut self.late_pending) {
                rows::insert_pending(
                    &self.connection,
                    &NewPending { id, ordinal, action: action.as_deref(), enqueued_at },
                )?;
            }
            Ok(())
        }
    }
}
