//! Slices that were written by an older version of the app, brought to their newest form.

use super::{
    core::Writing,
    dispatch::Failed,
    make::{Made, Work, caught, commit_options, make_slice},
    record::Told,
    rows,
};
use crate::{
    DocumentId, Error, Message,
    slice::{ActionInfo, Draft, Writers},
    untrusted::guarded,
};

impl Writing<'_> {
    /// Brings a slice to its newest form, by a change of its own, where actions of older versions have come since
    /// this was last done here.
    pub(super) fn migrate_slice(&mut self, home: DocumentId, slice: &'static str) -> Result<(), Failed> {
        let slice = self.registry.slice(slice)?;
        if slice.version() == 1 {
            return Ok(());
        }
        let row = self.replicas.get(self.tx, home, self.actor)?.row.clone();
        let from = rows::oldest_unmigrated(self.tx, &row, slice.name(), slice.version())?;
        if let Some(from) = from {
            let kind = format!("{}/@migrate", slice.name());
            let message =
                Message { version: Some(slice.version()), ..Message::of_action(&kind).by(self.author) };
            let message = self.first_bears_nonce(home, message)?;
            let about = ActionInfo::new(uuid::Uuid::nil(), self.now, self.author, home);
            let reduce = |draft: &mut Draft<'_>| {
                (from..slice.version()).try_for_each(|version| slice.migrate(version, draft))
            };
            let replica = self.replicas.get(self.tx, home, self.actor)?;
            let writers = guarded(|| Writers::of(&replica.am)).map_err(Error::Library)?;
            let work = Work { slice: slice.name(), about: &about, reduce: &reduce, writers: Some(&writers) };
            let json = serde_json::json!({"type": kind, "from": from, "to": slice.version()});
            let text = json.to_string();
            let told =
                Told { shown_as: home, message: &message, json: &json, text: &text, step: None, extras: &[] };
            let done = self.in_steps(home, |w| match w.make_migration(home, &work, (&kind, &message))? {
                Some(made) => Ok(w.store_made(home, made, &told)?.map(drop)),
                None => Ok(Ok(())),
            });
            done?.map_err(|refused| Error::Refused(refused.1))?;
        }
        let last = self.replicas.get(self.tx, home, self.actor)?.row.last;
        rows::note_migrated(self.tx, row.id, (slice.name(), slice.version()), last)
            .map_err(Failed::Transaction)
    }

    /// A migration's change, in memory only. `None`: there was nothing to do.
    fn make_migration(
        &mut self,
        home: DocumentId,
        work: &Work<'_>,
        (kind, message): (&str, &Message),
    ) -> Result<Option<Made>, Failed> {
        let options = commit_options(message, self.now);
        let connection = self.tx;
        let replica = self.replicas.get(connection, home, self.actor)?;
        let listening = self.listening;
        match caught(kind, || make_slice((connection, replica), work, options, listening)) {
            Ok(made) => Ok(made),
            Err(error) => {
                self.reopen(home)?;
                Err(error.into())
            }
        }
    }
}
