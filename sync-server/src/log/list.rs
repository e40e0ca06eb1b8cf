//! The list of documents: what changed since a token.

use rusqlite::{OptionalExtension, named_params};

use rejoin_protocol::DocumentId;

use super::{
    Digest, Document, Listed, LogError, Mark, View,
    append::last_feed,
    view::{read_document, signed, unsigned},
};

impl View<'_> {
    /// How many documents ever began here. No row of one is ever removed: a tombstone is a row too.
    pub(crate) fn count_documents(&self) -> Result<u64, LogError> {
        let sql = "SELECT coalesce(max(id), 0) FROM document";
        let count: i64 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The newest entry of the feed.
    pub(crate) fn feed_end(&self) -> Result<Mark, LogError> {
        last_feed(*self)
    }

    /// The digest of the feed at an entry.
    pub(crate) fn feed_digest_at(&self, entry: u64) -> Result<Option<Digest>, LogError> {
        let mut statement = self.connection.prepare_cached("SELECT digest FROM feed WHERE id = :id")?;
        let row = statement.query_row(named_params! { ":id": signed(entry) }, |row| row.get(0).map(Digest));
        Ok(row.optional()?)
    }

    /// Those of the listed documents whose newest entry is after `entry`, oldest first, each with that entry.
    pub(crate) fn changed_since(
        &self,
        entry: u64,
        listed: Listed,
        limit: usize,
    ) -> Result<Vec<(Document, u64)>, LogError> {
        let (token, only) = match listed {
            Listed::All => return self.all_changed_since(entry, limit),
            Listed::Of(token, only) => (token, only.map(|id| id.as_bytes().to_vec())),
            Listed::Claimed(named, begun) => return self.claimed_since((entry, limit), &named, begun),
        };
        let mut statement = self.connection.prepare_cached(
            "SELECT id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL, feed
             FROM document
             WHERE feed > :entry
               AND (uuid = :only OR uuid IN (SELECT document FROM token_document WHERE token = :token))
             ORDER BY feed LIMIT :limit",
        )?;
        let parameters = named_params! {
            ":entry": signed(entry),
            ":only": only,
            ":token": token.0,
            ":limit": signed(limit as u64),
        };
        let rows = statement.query_map(parameters, |row| Ok((read_document(row)?, unsigned(row, 7)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Those that are named, and those that a subject began, all or some of them.
    fn claimed_since(
        &self,
        (entry, limit): (u64, usize),
        named: &[DocumentId],
        begun: Option<(String, Option<Vec<DocumentId>>)>,
    ) -> Result<Vec<(Document, u64)>, LogError> {
        let (subject, which) = begun.map_or((None, None), |(subject, which)| (Some(subject), which));
        let mut statement = self.connection.prepare_cached(
            "SELECT id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL, feed
             FROM document
             WHERE feed > :entry
               AND (uuid IN (SELECT unhex(value) FROM json_each(:named))
                    OR uuid IN (SELECT document FROM subject_document
                                WHERE subject = :subject
                                  AND (:which IS NULL
                                       OR document IN (SELECT unhex(value) FROM json_each(:which)))))
             ORDER BY feed LIMIT :limit",
        )?;
        let parameters = named_params! {
            ":entry": signed(entry),
            ":named": hex_list(named),
            ":subject": subject,
            ":which": which.as_deref().map(hex_list),
            ":limit": signed(limit as u64),
        };
        let rows = statement.query_map(parameters, |row| Ok((read_document(row)?, unsigned(row, 7)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn all_changed_since(&self, entry: u64, limit: usize) -> Result<Vec<(Document, u64)>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL, feed
             FROM document WHERE feed > :entry ORDER BY feed LIMIT :limit",
        )?;
        let rows = statement
            .query_map(named_params! { ":entry": signed(entry), ":limit": signed(limit as u64) }, |row| {
                Ok((read_document(row)?, unsigned(row, 7)?))
            })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A JSON array of UUIDs as bare hex.
fn hex_list(ids: &[DocumentId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{}\"", id.to_string().replace('-', ""))).collect();
    format!("[{}]", ids.join(","))
}
