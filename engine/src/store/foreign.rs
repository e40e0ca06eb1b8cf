//! What other processes and other handles on this store do, told to those who are subscribed here.

use std::collections::HashMap;

use rusqlite::Connection;
use tokio::sync::broadcast;

use super::{
    Core, Event, EventChange, Origin,
    listeners::payload,
    replica::Replica,
    rows::{self, ChangeRow, DocumentRow},
};
use crate::{DocumentId, Result};

/// How far subscribers were told what happened to each document.
///
/// "Every change of a document is told to every subscriber once, in order, or a gap is marked." What others wrote is told
/// before what this handle writes after it: a write transaction looks for it first, when nobody else can write.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The last position and the epoch of each document; `None` until it was first noted.
    places: Option<HashMap<DocumentId, (u64, i64)>>,
    /// The file's version when others were last looked for. Only commits of other connections change it.
    version: i64,
}

impl Heard {
    /// Notes how far all documents are, and tells nobody.
    fn note_all(&mut self, connection: &Connection) -> Result<()> {
        self.version = read_version(connection)?;
        let rows = rows::read_documents_and_companions(connection)?;
        self.places = Some(rows.into_iter().map(|row| (row.uuid, (row.last, row.epoch))).collect());
        Ok(())
    }

    /// Notes what was written here, and is told in another way.
    pub(super) fn note(&mut self, replica: &Replica) {
        if let Some(places) = &mut self.places {
            places.insert(replica.row.uuid, (replica.row.last, replica.row.epoch));
        }
    }

    /// Tells what other connections committed since the last call; the first call only notes how far the documents are.
    pub(super) fn tell_others(
        &mut self,
        connection: &Connection,
        events: &broadcast::Sender<Event>,
    ) -> Result<()> {
        let Some(places) = &mut self.places else { return self.note_all(connection) };
        let version = read_version(connection)?;
        if version == self.version {
            return Ok(());
        }
        for row in rows::read_documents_and_companions(connection)? {
            let now = (row.last, row.epoch);
            let known = places.get(&row.uuid).copied().unwrap_or((0, row.epoch));
            if known == now {
                continue;
            }
            for event in events_of(connection, &row, known)? {
                // Nobody listens: nothing is lost.
                let _ = events.send(event);
            }
            places.insert(row.uuid, now);
        }
        // Last: what could not be read is looked for again.
        self.version = version;
        Ok(())
    }
}

fn read_version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "data_version", |r| r.get(0))?)
}

/// What happened to a document after a position: runs of changes that were made here, and that came from elsewhere.
fn events_of(connection: &Connection, row: &DocumentRow, (known, epoch): (u64, i64)) -> Result<Vec<Event>> {
    // What happens in a companion happened to its document.
    let main = row.companion_of.map(|id| rows::read_uuid(connection, id)).transpose()?;
    let document = main.unwrap_or(row.uuid);
    // Changes have other names and places now: the gap is marked.
    if epoch != row.epoch {
        return Ok(vec![Event::rebuilt(document, row.heads.clone())]);
    }
    let new = rows::read_changes(connection, row.id, known)?;
    // What was committed since the row was read is told next time.
    let upto = |change: &ChangeRow| rows::position_of(change.id) <= row.last;
    let shown: Vec<ChangeRow> = new.into_iter().filter(|c| !c.container && c.stands() && upto(c)).collect();
    let runs = shown.chunk_by(|a, b| a.local == b.local);
    runs.map(|run| {
        let changes: Result<Vec<EventChange>> = run.iter().map(|c| event_change(connection, c)).collect();
        let local = run.first().is_some_and(|change| change.local);
        Ok(Event {
            document,
            origin: if local { Origin::Local } else { Origin::Remote },
            changes: changes?,
            heads: row.heads.clone(),
            patches: Vec::new(),
            rebuilt: true,
        })
    })
    .collect()
}

fn event_change(connection: &Connection, change: &ChangeRow) -> Result<EventChange> {
    Ok(EventChange {
        hash: change.hash,
        action_type: change.action_type.clone(),
        action_version: change.action_version,
        author: change.author.clone(),
        payload: payload(connection, change.id)?,
        reacted: change.reacted.clone(),
    })
}

impl Core {
    /// Whether someone is subscribed, to documents, to thunks or to whatever happens, or looks at a view.
    pub fn is_heard(&self) -> bool {
        // One receiver is the handle's, from which others are made.
        let work = self.thunk_events.receiver_count() + self.stirred.receiver_count().saturating_sub(1);
        self.events.receiver_count() + work + self.views.len() > 0
    }

    /// Wakes who waits for whatever happens, and tells of thunks.
    fn stir(&mut self) -> Result<()> {
        let version = read_version(&self.connection)?;
        if std::mem::replace(&mut self.stirred_version, version) != version {
            self.tell_thunks();
            self.stirred.send_modify(|n| *n = n.wrapping_add(1));
            // There may be an edit in it that waits for the server.
            self.queued.send_modify(|n| *n = n.wrapping_add(1));
        }
        Ok(())
    }

    /// Somebody has just subscribed: what others wrote before is nothing that they are told.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn begin_to_hear(&mut self) -> Result<()> {
        if self.events.receiver_count() > 1 {
            return self.hear_others();
        }
        self.heard.note_all(&self.connection)?;
        self.stir()
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
        if self.events.receiver_count() == 0 {
            return Ok(());
        }
        self.heard.tell_others(&self.connection, &self.events)
    }
}
