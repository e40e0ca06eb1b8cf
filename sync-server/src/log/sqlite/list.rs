//! Documents and the feed, in SQL.

use rejoin_protocol::DocumentId;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

use super::values::{signed, unsigned};
use crate::log::{Digest, Document, Listed, LogError, Mark, documents::Which, found::MAKER};

const COLUMNS: &str = "id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL, feed";

pub(super) fn document(connection: &Connection, id: &DocumentId) -> Result<Option<Document>, LogError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL, feed
         FROM document WHERE uuid = :uuid",
    )?;
    Ok(statement.query_row(named_params! { ":uuid": id.as_bytes() }, read_document).optional()?)
}

pub(super) fn read_document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        key: row.get(0)?,
        uuid: DocumentId::from_bytes(row.get(1)?),
        end: Mark { position: unsigned(row, 2)?, digest: Digest(row.get(3)?) },
        rewritten: unsigned(row, 4)?,
        bytes: unsigned(row, 5)?,
        deleted: row.get(6)?,
        entry: unsigned(row, 7)?,
    })
}

/// Every document, purged ones too, in the order of their keys.
pub(super) fn all(connection: &Connection) -> Result<Vec<Document>, LogError> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM document ORDER BY id"))?;
    Ok(statement.query_map([], read_document)?.collect::<Result<_, _>>()?)
}

pub(super) fn documents(
    connection: &Connection,
    which: &Which,
    limit: usize,
) -> Result<Vec<Document>, LogError> {
    let read = Reading { connection, limit: signed(limit as u64) };
    match which {
        Which::After(key) => {
            read.those("id > :key AND purged_at IS NULL ORDER BY id", named_params! { ":key": key })
        }
        Which::Unverified(key) => read.those(
            "id > :key AND deleted_at IS NULL
             AND last > coalesce((SELECT position FROM verified WHERE verified.document = document.id
                                     AND maker = :maker), -1) ORDER BY id",
            named_params! { ":key": key, ":maker": MAKER },
        ),
        Which::Unowned(key) => read.those(
            "id > :key AND deleted_at IS NULL AND uuid NOT IN (SELECT document FROM token_document)
             AND uuid NOT IN (SELECT document FROM subject_document) ORDER BY id",
            named_params! { ":key": key },
        ),
        Which::Changed(entry, listed) => read.changed(signed(*entry), listed),
    }
}

struct Reading<'c> {
    connection: &'c Connection,
    limit: i64,
}

impl Reading<'_> {
    fn those(&self, which: &str, parameters: &[(&str, &dyn ToSql)]) -> Result<Vec<Document>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM document WHERE {which} LIMIT :limit");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let all = [parameters, named_params! { ":limit": self.limit }].concat();
        let rows = statement.query_map(all.as_slice(), read_document)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn changed(&self, entry: i64, listed: &Listed) -> Result<Vec<Document>, LogError> {
        match listed {
            Listed::All => self.those("feed > :entry ORDER BY feed", named_params! { ":entry": entry }),
            Listed::Of(token, only) => self.those(
                "feed > :entry
                 AND (uuid = :only OR uuid IN (SELECT document FROM token_document WHERE token = :token))
                 ORDER BY feed",
                named_params! {
                    ":entry": entry, ":only": only.map(|id| id.as_bytes().to_vec()), ":token": token.0,
                },
            ),
            Listed::Claimed(named, begun) => {
                let (subject, which) = match begun {
                    Some((subject, which)) => (Some(subject), which.as_deref()),
                    None => (None, None),
                };
                // What a subject began counts, all or some of it.
                self.those(
                    "feed > :entry
                     AND (uuid IN (SELECT unhex(value) FROM json_each(:named))
                          OR uuid IN (SELECT document FROM subject_document
                                      WHERE subject = :subject
                                        AND (:which IS NULL
                                             OR document IN (SELECT unhex(value) FROM json_each(:which)))))
                     ORDER BY feed",
                    named_params! {
                        ":entry": entry, ":named": hex_list(named), ":subject": subject,
                        ":which": which.map(hex_list),
                    },
                )
            }
        }
    }
}

pub(super) fn feed(connection: &Connection, entry: Option<u64>) -> Result<Option<Mark>, LogError> {
    let read = |row: &Row<'_>| Ok(Mark { position: unsigned(row, 0)?, digest: Digest(row.get(1)?) });
    let mark = match entry {
        None => connection
            .prepare_cached("SELECT id, digest FROM feed ORDER BY id DESC LIMIT 1")?
            .query_row([], read),
        Some(entry) => connection
            .prepare_cached("SELECT id, digest FROM feed WHERE id = :id")?
            .query_row(named_params! { ":id": signed(entry) }, read),
    };
    Ok(mark.optional()?)
}

/// A JSON array of UUIDs as bare hex.
fn hex_list(ids: &[DocumentId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{}\"", id.to_string().replace('-', ""))).collect();
    format!("[{}]", ids.join(","))
}
