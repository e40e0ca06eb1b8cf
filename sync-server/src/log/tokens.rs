//! Tokens at rest.

use rejoin_protocol::DocumentId;
use rusqlite::{OptionalExtension, Row, named_params, types::Type};

use super::{Access, LogError, View};

/// A token's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenId(pub(super) i64);

/// What is kept of a token, for checking it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    pub(crate) id: TokenId,
    /// `None`: every document.
    pub(crate) document: Option<DocumentId>,
    pub(crate) access: Access,
    expires_at: Option<i64>,
    revoked: bool,
}

impl TokenRow {
    /// Whether it is neither revoked nor expired.
    pub(crate) fn is_good(&self, now: i64) -> bool {
        !self.revoked && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A token as a person is shown it. Times are RFC 3339, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Its name.
    pub name: String,
    /// The document that it is for; `None`: all.
    pub document: Option<DocumentId>,
    /// What it allows there.
    pub access: Access,
    /// On how many documents it was granted more, or is admin for having begun them.
    pub grants: u64,
    /// When it was made.
    pub created_at: String,
    /// When it ends, or ended.
    pub expires_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// Whether its time is over.
    pub expired: bool,
}

const COLUMNS: &str = "id, document, access, expires_at, revoked_at IS NOT NULL";

impl View<'_> {
    /// Whether the schema has tokens: a reader migrates nothing.
    pub(crate) fn knows_tokens(&self) -> Result<bool, LogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'token')")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// A number that changes when another connection wrote to the database.
    pub(crate) fn data_version(&self) -> Result<i64, LogError> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Whether a token was ever made here, a revoked one too.
    pub(crate) fn has_tokens(&self) -> Result<bool, LogError> {
        let mut statement = self.connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM token)")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// The token with this hash. It is found by the hash alone, which says nothing of the secret: so how long the
    /// search takes says nothing either.
    pub(crate) fn token_with(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM token WHERE hash = :hash");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(named_params! { ":hash": hash }, read_token).optional()?)
    }

    pub(crate) fn token(&self, id: TokenId) -> Result<Option<TokenRow>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM token WHERE id = :id");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(named_params! { ":id": id.0 }, read_token).optional()?)
    }

    pub(crate) fn token_name(&self, id: TokenId) -> Result<Option<String>, LogError> {
        let mut statement = self.connection.prepare_cached("SELECT name FROM token WHERE id = :id")?;
        Ok(statement.query_row(named_params! { ":id": id.0 }, |row| row.get(0)).optional()?)
    }

    /// The token that bears this name now.
    pub(crate) fn token_named(&self, name: &str) -> Result<Option<TokenId>, LogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id FROM token WHERE name = :name AND revoked_at IS NULL")?;
        let id = statement.query_row(named_params! { ":name": name }, |row| row.get(0).map(TokenId));
        Ok(id.optional()?)
    }

    /// What a token was granted on a document.
    pub(crate) fn granted(&self, token: TokenId, id: &DocumentId) -> Result<Option<Access>, LogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT access FROM token_document WHERE token = :token AND document = :id")?;
        let row = statement
            .query_row(named_params! { ":token": token.0, ":id": id.as_bytes() }, |row| read_access(row, 0));
        Ok(row.optional()?)
    }

    /// Grants a token access to a document, in place of what it was granted there.
    pub(crate) fn grant(&self, token: TokenId, id: &DocumentId, access: Access) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO token_document (token, document, access) VALUES (:token, :id, :access)
                 ON CONFLICT (token, document) DO UPDATE SET access = excluded.access",
            )?
            .execute(named_params! { ":token": token.0, ":id": id.as_bytes(), ":access": access.word() })?;
        Ok(())
    }

    /// Grants a token access to every document that is here now: how many.
    pub(crate) fn grant_all(&self, token: TokenId, access: Access) -> Result<u64, LogError> {
        let granted = self
            .connection
            .prepare_cached(
                "INSERT INTO token_document (token, document, access)
                 SELECT :token, uuid, :access FROM document WHERE deleted_at IS NULL
                 ON CONFLICT (token, document) DO UPDATE SET access = excluded.access",
            )?
            .execute(named_params! { ":token": token.0, ":access": access.word() })?;
        Ok(granted as u64)
    }

    /// Documents that no token and no subject of a JWT began or was granted, deleted ones left out: how many, and the
    /// first of them.
    pub(crate) fn unowned(&self, most: usize) -> Result<(u64, Vec<DocumentId>), LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT uuid, count(*) OVER () FROM document
              WHERE deleted_at IS NULL AND uuid NOT IN (SELECT document FROM token_document)
                AND uuid NOT IN (SELECT document FROM subject_document)
              ORDER BY id LIMIT :most",
        )?;
        let mut rows = statement.query(named_params! { ":most": most as i64 })?;
        let (mut count, mut first) = (0, Vec::new());
        while let Some(row) = rows.next()? {
            count = row.get::<_, i64>(1)?.unsigned_abs();
            first.extend(row.get::<_, [u8; 16]>(0).map(DocumentId::from_bytes));
        }
        Ok((count, first))
    }

    /// Whether this document was begun with a JWT of this subject.
    pub(crate) fn is_founder(&self, subject: &str, id: &DocumentId) -> Result<bool, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM subject_document WHERE subject = :subject AND document = :id)",
        )?;
        let row = named_params! { ":subject": subject, ":id": id.as_bytes() };
        Ok(statement.query_row(row, |row| row.get(0))?)
    }

    /// Notes that a document was begun with a JWT of this subject.
    pub(crate) fn note_founder(&self, subject: &str, id: &DocumentId) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO subject_document (subject, document) VALUES (:subject, :id)",
            )?
            .execute(named_params! { ":subject": subject, ":id": id.as_bytes() })?;
        Ok(())
    }

    /// Keeps a token. `ends` is a time, milliseconds since 1970, as `now` is.
    pub(crate) fn insert_token(
        &self,
        (name, hash): (&str, &[u8; 32]),
        (document, access): (Option<DocumentId>, Access),
        (now, ends): (i64, Option<i64>),
    ) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO token (name, hash, document, access, created_at, expires_at)
                 VALUES (:name, :hash, :document, :access, :now, :ends)",
            )?
            .execute(named_params! {
                ":name": name,
                ":hash": hash,
                ":document": document.as_ref().map(|id| id.as_bytes().to_vec()),
                ":access": access.word(),
                ":now": now,
                ":ends": ends,
            })?;
        Ok(())
    }

    /// Gives a token what another was granted, and what that one began.
    pub(crate) fn copy_grants(&self, from: TokenId, to: TokenId) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO token_document (token, document, access)
                 SELECT :to, document, access FROM token_document WHERE token = :from",
            )?
            .execute(named_params! { ":from": from.0, ":to": to.0 })?;
        Ok(())
    }

    /// Ends a token at this time, if it does not end before.
    pub(crate) fn end_token(&self, id: TokenId, at: i64) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "UPDATE token SET expires_at = min(coalesce(expires_at, :at), :at) WHERE id = :id",
            )?
            .execute(named_params! { ":id": id.0, ":at": at })?;
        Ok(())
    }

    pub(crate) fn revoke_token(&self, id: TokenId, now: i64) -> Result<(), LogError> {
        self.connection
            .prepare_cached("UPDATE token SET revoked_at = :now WHERE id = :id")?
            .execute(named_params! { ":id": id.0, ":now": now })?;
        Ok(())
    }

    /// Every token, in the order in which they were made.
    pub(crate) fn tokens(&self, now: i64) -> Result<Vec<TokenInfo>, LogError> {
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
                grants: super::view::unsigned(row, 3)?,
                created_at: row.get(4)?,
                expires_at: row.get(5)?,
                revoked_at: row.get(6)?,
                expired: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn read_token(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    Ok(TokenRow {
        id: TokenId(row.get(0)?),
        document: read_document_id(row, 1)?,
        access: read_access(row, 2)?,
        expires_at: row.get(3)?,
        revoked: row.get(4)?,
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
