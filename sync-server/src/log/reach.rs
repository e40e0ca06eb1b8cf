//! How far the changes of a log count, for those that are made on them.

use rejoin_protocol::fence::Reach;
use rusqlite::{OptionalExtension, named_params};

use super::{
    LogError, View,
    view::{corrupt_type, hole, row_key, signed, unsigned},
};

impl View<'_> {
    /// How far the change at a position and its ancestors count. Of nearly all that is what their own bytes say.
    pub(super) fn reach(&self, document: i64, position: u64) -> Result<Reach, LogError> {
        let id = row_key(document, position);
        let mut statement =
            self.connection.prepare_cached("SELECT last, slack, own FROM reach WHERE id = :id")?;
        let noted = statement.query_row(named_params! { ":id": id }, |row| {
            Ok(Reach { last: unsigned(row, 0)?, slack: unsigned(row, 1)?, own: unsigned(row, 2)? })
        });
        match noted.optional()? {
            Some(reach) => Ok(reach),
            None => self.plain_reach(document, position),
        }
    }

    fn plain_reach(&self, document: i64, position: u64) -> Result<Reach, LogError> {
        let read = |bytes: &[u8]| Reach::of_chunk(bytes).map_err(|_| hole(position));
        let mut statement = self.connection.prepare_cached("SELECT bytes FROM change WHERE id = :id")?;
        let mut rows = statement.query(named_params! { ":id": row_key(document, position) })?;
        if let Some(row) = rows.next()? {
            return read(row.get_ref(0)?.as_blob().map_err(corrupt_type)?);
        }
        let pack = self.pack_at(document, position)?;
        read(pack.as_ref().and_then(|pack| pack.chunk(position)).ok_or_else(|| hole(position))?)
    }

    pub(super) fn write_reach(&self, document: i64, position: u64, reach: Reach) -> Result<(), LogError> {
        self.connection
            .prepare_cached("INSERT INTO reach (id, last, slack, own) VALUES (:id, :last, :slack, :own)")?
            .execute(named_params! {
                ":id": row_key(document, position),
                ":last": signed(reach.last),
                ":slack": signed(reach.slack),
                ":own": signed(reach.own),
            })?;
        Ok(())
    }
}
