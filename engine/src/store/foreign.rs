//! What other processes on this store do, told to those who are subscribed here.

use std::collections::HashSet;

use super::{Core, Event, EventChange, Origin, rows};
use crate::Result;

impl Core {
    /// Whether someone is subscribed.
    pub fn is_heard(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Tells subscribers what other processes have written since the last call. `Origin::Local` where it was
    /// made on this store.
    ///
    /// # Errors
    /// The file's.
    pub fn hear_others(&mut self) -> Result<()> {
        if !self.is_heard() || !self.others_wrote()? {
            return Ok(());
        }
        for row in rows::read_documents(&self.connection)? {
            let Some(replica) = self.replicas.peek(row.uuid) else { continue };
            let (known, epoch) = (replica.row.last, replica.row.epoch);
            if row.last == known && row.epoch == epoch {
                continue;
            }
            let new: Vec<_> = rows::read_changes(&self.connection, row.id, known)?;
            let origins: HashSet<bool> = new.iter().map(|c| c.local).collect();
            let heads = row.heads.clone();
            self.replica(row.uuid)?;
            for local in origins {
                let shown = new.iter().filter(|c| c.local == local && !c.container && c.stands());
                let changes = shown.map(|c| EventChange {
                    hash: c.hash,
                    action_type: c.action_type.clone(),
                    author: c.author.clone(),
                });
                let _ = self.events.send(Event {
                    document: row.uuid,
                    origin: if local { Origin::Local } else { Origin::Remote },
                    changes: changes.collect(),
                    heads: heads.clone(),
                    patches: Vec::new(),
                    rebuilt: true,
                });
            }
        }
        Ok(())
    }
}
