//! Registering listeners, looking at them, letting them go on.

use super::{super::Core, rows};
use crate::{
    DocumentId, Error, Result,
    job::{Listener, ListenerInfo},
};

impl Core {
    /// Registers listeners: one whose name is new begins as it says, and one that is known goes on where it was.
    ///
    /// # Errors
    /// The file's.
    pub fn register_listeners<'a>(
        &mut self,
        listeners: impl IntoIterator<Item = &'a Listener>,
    ) -> Result<()> {
        let mut new = Vec::new();
        for listener in listeners {
            if !rows::is_known(&self.connection, &listener.name)? {
                new.push(listener);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        self.write(&[], |w| {
            new.iter().try_for_each(|new| rows::register(w.tx, &new.name, new.from_start, w.now))
        })
    }

    /// How far each listener that was ever registered has heard each document.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn listeners(&mut self) -> Result<Vec<ListenerInfo>> {
        Ok(rows::read_all(&self.connection)?.into_iter().map(rows::Listening::info).collect())
    }

    /// Lets a listener that failed try again now. Returns on how many documents.
    ///
    /// # Errors
    /// [`Error::UnknownListener`].
    pub fn resume_listener(&mut self, name: &str, document: Option<DocumentId>) -> Result<u64> {
        self.let_go_on(name, document, 0)
    }

    /// Lets a listener go on after the action on which it failed, without hearing it. Returns on how many actions.
    ///
    /// # Errors
    /// [`Error::UnknownListener`].
    pub fn skip_listener(&mut self, name: &str, document: DocumentId) -> Result<u64> {
        self.let_go_on(name, Some(document), 1)
    }

    fn let_go_on(&mut self, name: &str, document: Option<DocumentId>, skip: u64) -> Result<u64> {
        if !rows::is_known(&self.connection, name)? {
            return Err(Error::UnknownListener(name.to_owned()));
        }
        self.write(&[], |w| {
            let mut count = 0;
            for mut row in rows::read_all(w.tx)?.into_iter().filter(|row| row.listener == name) {
                let meant = document.is_none_or(|document| document == row.shown_as);
                if !meant || row.attempts == 0 || row.owner.is_some() {
                    continue;
                }
                row.position += skip;
                (row.attempts, row.parked, row.next_attempt_at) = (0, false, None);
                rows::write(w.tx, &row)?;
                count += 1;
            }
            Ok(count)
        })
    }

    /// Forgets a listener with its positions. `false`: there is none of this name.
    ///
    /// # Errors
    /// The file's.
    pub fn forget_listener(&mut self, name: &str) -> Result<bool> {
        self.write(&[], |w| rows::forget(w.tx, name))
    }
}
