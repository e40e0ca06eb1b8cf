//! What other processes on this store do, told to those who are subscribed here.

use super::{
    Core, Event, EventChange, Origin,
    rows::{self, DocumentRow},
    work::payload,
};
use crate::Result;

impl Core {
    /// Whether someone is subscribed, to documents, to thunks or to whatever happens.
    pub fn is_heard(&self) -> bool {
        let work = self.thunk_events.receiver_count() + self.stirred.receiver_count();
        self.events.receiver_count() + work > 0
    }

    /// Wakes who waits for whatever happens, and tells of thunks.
    fn stir(&mut self) -> Result<()> {
        let version: i64 = self.connection.pragma_query_value(None, "data_version", |r| r.get(0))?;
        if std::mem::replace(&mut self.stirred_version, version) != version {
            self.tell_thunks();
            self.stirred.send_modify(|n| *n = n.wrapping_add(1));
            // There may be an edit in it that waits for the server.
            self.queued.send_modify(|n| *n = n.wrapping_add(1));
        }
        Ok(())
    }

    /// Tells subscribers what other processes have written since the last call; the first call only notes how
    /// far the documents are. `Origin::Local` where it was made on this store.
    ///
    /// # Errors
    /// The file's.
    pub fn hear_others(&mut self) -> Result<()> {
        if self.is_heard() {
            self.stir()?;
        }
        if self.events.receiver_count() == 0 || !self.others_wrote()? {
            return Ok(());
        }
        let first = self.heard.is_empty();
        for row in rows::read_documents_and_companions(&self.connection)? {
            let now = (row.last, row.epoch);
            let known = self.heard.insert(row.uuid, now).unwrap_or(if first { now } else { (0, row.epoch) });
            if known != now {
                self.tell(&row, known)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, row: &DocumentRow, (known, epoch): (u64, i64)) -> Result<()> {
        let new = rows::read_changes(&self.connection, row.id, known)?;
        // What happens in a companion happened to its document.
        let main = row.companion_of.map(|id| rows::read_uuid(&self.connection, id)).transpose()?;
        let shown_as = main.unwrap_or(row.uuid);
        for (local, origin) in [(true, Origin::Local), (false, Origin::Remote)] {
            let shown = new.iter().filter(|c| c.local == local && !c.container && c.stands());
            let changes = shown.map(|c| {
                Ok(EventChange {
                    hash: c.hash,
                    action_type: c.action_type.clone(),
                    action_version: c.action_version,
                    author: c.author.clone(),
                    payload: payload(&self.connection, c.id)?,
                })
            });
            let changes: Vec<EventChange> = changes.collect::<Result<_>>()?;
            if !changes.is_empty() || epoch != row.epoch {
                // Nobody listens: nothing is lost.
                let _ = self.events.send(Event {
                    document: shown_as,
                    origin,
                    changes,
                    heads: row.heads.clone(),
                    patches: Vec::new(),
                    rebuilt: true,
                });
            }
        }
        Ok(())
    }
}
