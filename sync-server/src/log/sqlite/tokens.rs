//! Tokens and grants, in SQL.

use std::path::Path;

use rejoin_protocol::DocumentId;
use rusqlite::{OptionalExtension, Row, named_params, types::Type};

use super::{LogReader, SqliteRows, values::unsigned};
use crate::log::{
    Access, LogError, Read, TokenChange, TokenId, TokenInfo, TokenKey, TokenRow, View,
    backend::{EditTokens, TokenRows},
    tokens::{Grant, Holder, NewTokenRow},
};

const COLUMNS: &str = "id, document, access, expires_at, revoked_at IS NOT NULL, name";

impl TokenRows for SqliteRows<'_> {
    fn token(&self, key: TokenKey<'_>) -> Result<Option<TokenRow>, LogError> {
        let of = |which: &str| format!("SELECT {COLUMNS} FROM token WHERE {which}");
        let prepare = |which: &str| self.connection.prepare_cached(&of(which));
        let row = match key {
            TokenKey::Any => prepare("true ORDER BY id LIMIT 1")?.query_row([], read_token),
            TokenKey::Id(id) => prepare("id = :id")?.query_row(named_params! { ":id": id.0 }, read_token),
            TokenKey::Hash(hash) => {
                prepare("hash = :hash")?.query_row(named_params! { ":hash": hash }, read_token)
            }
            TokenKey::Name(name) => prepare("name = :name AND revoked_at IS NULL")?
                .query_row(named_params! { ":name": name }, read_token),
        };
        Ok(row.optional()?)
    }

    fn tokens(&self, now: i64) -> Result<Vec<TokenInfo>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, document, access,
                    (SELECT count(*) FROM token_document WHERE token = token.id),
                    strftime('%Y-%m-%dT%H:%M:%SZ', created_at / 1000, 'unixepoch'),
                    strftime('%Y-%m-%dT%H:%M:%SZ', expires_at / 1000, 'unixepoch'),
                    strftime('%Y-%m-%dT%H:%M:%SZ', revoked_at / 1000, 'unixepoch'),
                    coalesce(expires_at <= :now, 0)
             FROM token ORDER BY id",
        )?;
        let rows = statement.query_map(named_params! { ":now": now }, |row| {
            Ok(TokenInfo {
                name: row.get(0)?,
                document: read_document_id(row, 1)?,
                access: read_access(row, 2)?,
                grants: unsigned(row, 3)?,
                created_at: row.get(4)?,
                expires_at: row.get(5)?,
                revoked_at: row.get(6)?,
                expired: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn granted(&self, to: Holder<'_>, id: &DocumentId) -> Result<Option<Access>, LogError> {
        let id = id.as_bytes();
        let row = match to {
            Holder::Token(token) => self
                .connection
                .prepare_cached("SELECT access FROM token_document WHERE token = :token AND document = :id")?
                .query_row(named_params! { ":token": token.0, ":id": id }, |row| read_access(row, 0)),
            Holder::Subject(subject) => self
                .connection
                .prepare_cached("SELECT 1 FROM subject_document WHERE subject = :subject AND document = :id")?
                .query_row(named_params! { ":subject": subject, ":id": id }, |_| Ok(Access::Admin)),
        };
        Ok(row.optional()?)
    }
}

impl EditTokens for SqliteRows<'_> {
    fn put_token(&self, new: &NewTokenRow<'_>, now: i64) -> Result<TokenId, LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO token (name, hash, document, access, created_at, expires_at)
                 VALUES (:name, :hash, :document, :access, :now, :ends)",
            )?
            .execute(named_params! {
                ":name": new.name,
                ":hash": new.hash,
                ":document": new.document.as_ref().map(|id| id.as_bytes().to_vec()),
                ":access": new.access.word(),
                ":now": now,
                ":ends": new.ends,
            })?;
        Ok(TokenId(self.connection.last_insert_rowid()))
    }

    fn change_token(&self, id: TokenId, change: TokenChange) -> Result<(), LogError> {
        let (sql, at) = match change {
            TokenChange::Ends(at) => {
                ("UPDATE token SET expires_at = min(coalesce(expires_at, :at), :at) WHERE id = :id", at)
            }
            TokenChange::Revoked(at) => ("UPDATE token SET revoked_at = :at WHERE id = :id", at),
        };
        self.connection.prepare_cached(sql)?.execute(named_params! { ":id": id.0, ":at": at })?;
        Ok(())
    }

    fn grant(&self, grant: &Grant<'_>) -> Result<u64, LogError> {
        let connection = self.connection;
        let granted = match grant {
            Grant::One(token, id, access) => connection
                .prepare_cached(
                    "INSERT INTO token_document (token, document, access) VALUES (:token, :id, :access)
                     ON CONFLICT (token, document) DO UPDATE SET access = excluded.access",
                )?
                .execute(named_params! {
                    ":token": token.0, ":id": id.as_bytes(), ":access": access.word(),
                })?,
            Grant::All(token, access) => connection
                .prepare_cached(
                    "INSERT INTO token_document (token, document, access)
                     SELECT :token, uuid, :access FROM document WHERE deleted_at IS NULL
                     ON CONFLICT (token, document) DO UPDATE SET access = excluded.access",
                )?
                .execute(named_params! { ":token": token.0, ":access": access.word() })?,
            Grant::Founder(subject, id) => connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO subject_document (subject, document) VALUES (:subject, :id)",
                )?
                .execute(named_params! { ":subject": subject, ":id": id.as_bytes() })?,
            Grant::Like { from, to } => connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO token_document (token, document, access)
                     SELECT :to, document, access FROM token_document WHERE token = :from",
                )?
                .execute(named_params! { ":from": from.0, ":to": to.0 })?,
        };
        Ok(granted as u64)
    }
}

/// Whether a token was ever made in the database at this path; `false` where there is none, or an older one.
///
/// # Errors
/// Where the file is no database of this kind, or cannot be read.
pub fn has_tokens(database: &Path) -> Result<bool, LogError> {
    if !std::fs::exists(database)? {
        return Ok(false);
    }
    match LogReader::open(database) {
        Ok(reader) => reader.read(|view| if knows_tokens(*view)? { view.has_tokens() } else { Ok(false) }),
        // A file that was made and never written to.
        Err(_) if std::fs::metadata(database)?.len() == 0 => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the schema has tokens: a reader migrates nothing.
fn knows_tokens(view: SqliteRows<'_>) -> Result<bool, LogError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'token')";
    Ok(view.connection.query_row(sql, [], |row| row.get(0))?)
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: TokenId(row.get(0)?),
        document: read_document_id(row, 1)?,
        access: read_access(row, 2)?,
        expires_at: row.get(3)?,
        revoked: row.get(4)?,
        name: row.get(5)?,
    })
}

fn read_document_id(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DocumentId>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(DocumentId::from_bytes))
}

fn read_access(row: &Row<'_>, column: usize) -> rusqlite::Result<Access> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|why: String| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into()))
}
