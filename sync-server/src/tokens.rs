//! Making, listing and revoking tokens, beside a server that may be running on the same database.

use std::{fmt, path::Path, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rejoin_protocol::DocumentId;
use sha2::{Digest as _, Sha256};

use crate::{
    LogError, TokenInfo,
    clock::now,
    log::{
        Access, Attempt, Backend, BackendView, Edit, EditRows, EditTokens, Grant, Group, Log, NewTokenRow,
        Read, TokenChange, TokenId, TokenKey, TokenRows, View,
    },
};

/// What every token of ours begins with: so that one that was left in a file is found.
const PREFIX: &str = "rjt_";
/// How much chance is in a token.
const SECRET_BYTES: usize = 32;
/// Longest name of a token, in characters.
const NAME_CHARACTERS: usize = 100;

/// Why nothing was done with a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A token that was not revoked bears this name.
    #[error("there is a token named {0:?}")]
    NameTaken(String),
    /// No token that was not revoked bears this name.
    #[error("there is no token named {0:?}, or it was revoked")]
    UnknownName(String),
    /// A name is a line of at most 100 characters.
    #[error("a token's name is 1 to 100 characters, without line breaks")]
    BadName,
    /// [`Access::Create`] is for documents that have not begun: it cannot be granted on one.
    #[error("only read, write and admin can be granted on a document")]
    NotGrantable,
    /// The token would end later than times can be told.
    #[error("the token would live too long")]
    TooLong,
    /// The database could not be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A token, the one time that it is known. It has no `Debug` and no `Display` that shows it.
pub struct Secret(String);

impl Secret {
    fn random() -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>())))
    }

    /// The token itself. It is to be shown to a person once, and never to be stored.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether it looks like a token of ours, and so not like a JWT.
pub(crate) fn is_ours(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// What is stored of a token.
pub(crate) fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What a new token is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name, by which a person revokes it: 1 to 100 characters.
    pub name: String,
    /// The document that it is for; `None`: all.
    pub document: Option<DocumentId>,
    /// What it allows there.
    pub access: Access,
    /// How long it is good; `None`: until it is revoked.
    pub lifetime: Option<Duration>,
}

/// The tokens of a database.
#[derive(Debug)]
pub struct Tokens {
    log: Backend,
}

impl Tokens {
    /// Opens the database, made where it is missing. A server may be using it.
    ///
    /// # Errors
    /// As [`crate::LogStore::open`].
    pub fn open(database: &Path) -> Result<Self, LogError> {
        Ok(Self { log: Backend::open(database)? })
    }

    /// Makes a token. Only its hash is stored.
    ///
    /// # Errors
    /// [`TokenError::NameTaken`], [`TokenError::BadName`], [`TokenError::TooLong`]; and where writing fails. Then
    /// there is no token.
    pub fn create(&mut self, new: &NewToken) -> Result<Secret, TokenError> {
        check_name(&new.name)?;
        let now = now();
        let ends = new.lifetime.map(|lifetime| end_of(now, lifetime)).transpose()?;
        let secret = Secret::random();
        let hash = hash_of(secret.reveal());
        let NewToken { name, document, access, .. } = new;
        self.write(|edit| {
            if edit.token(TokenKey::Name(name))?.is_some() {
                return Ok(Err(TokenError::NameTaken(name.clone())));
            }
            let row = NewTokenRow { name, hash: &hash, document: *document, access: *access, ends };
            edit.put_token(&row, now).map(|_| Ok(()))
        })?;
        Ok(secret)
    }

    /// Makes a token in the place of another: with the same document and access, and what that one was granted and began.
    /// Both are good for this long; then the old one ends.
    ///
    /// # Errors
    /// As [`Tokens::create`]; [`TokenError::UnknownName`] for the old one.
    pub fn replace(
        &mut self,
        old: &str,
        (name, lifetime): (&str, Option<Duration>),
        overlap: Duration,
    ) -> Result<Secret, TokenError> {
        check_name(name)?;
        let now = now();
        let ends = lifetime.map(|lifetime| end_of(now, lifetime)).transpose()?;
        let over = end_of(now, overlap)?;
        let secret = Secret::random();
        let hash = hash_of(secret.reveal());
        self.write(|edit| {
            if edit.token(TokenKey::Name(name))?.is_some() {
                return Ok(Err(TokenError::NameTaken(name.to_owned())));
            }
            let Some(replaced) = edit.token(TokenKey::Name(old))?.filter(|row| row.is_good(now)) else {
                return Ok(Err(TokenError::UnknownName(old.to_owned())));
            };
            let (document, access) = (replaced.document, replaced.access);
            let new = edit.put_token(&NewTokenRow { name, hash: &hash, document, access, ends }, now)?;
            edit.grant(&Grant::Like { from: replaced.id, to: new })?;
            edit.change_token(replaced.id, TokenChange::Ends(over)).map(Ok)
        })?;
        Ok(secret)
    }

    /// Every token, in the order in which they were made, revoked ones too.
    ///
    /// # Errors
    /// Where reading fails.
    pub fn list(&self) -> Result<Vec<TokenInfo>, TokenError> {
        Ok(self.log.read(|view| view.tokens(now()))?)
    }

    /// Revokes a token: it is good for nothing from then on, also at a server that is running.
    ///
    /// # Errors
    /// [`TokenError::UnknownName`], and where writing fails.
    pub fn revoke(&mut self, name: &str) -> Result<(), TokenError> {
        self.write(|edit| {
            with_named(edit, name, |token| edit.change_token(token, TokenChange::Revoked(now())))
        })
    }

    /// Grants a token access to one more document, in place of what it was granted there before.
    ///
    /// # Errors
    /// [`TokenError::UnknownName`], [`TokenError::NotGrantable`], and where writing fails.
    pub fn grant(&mut self, name: &str, document: &DocumentId, access: Access) -> Result<(), TokenError> {
        if access == Access::Create {
            return Err(TokenError::NotGrantable);
        }
        self.write(|edit| {
            with_named(edit, name, |token| edit.grant(&Grant::One(token, document, access)).map(drop))
        })
    }

    /// Grants a token access to every document that is here now: how many.
    ///
    /// # Errors
    /// As for [`Self::grant`].
    pub fn grant_all(&mut self, name: &str, access: Access) -> Result<u64, TokenError> {
        if access == Access::Create {
            return Err(TokenError::NotGrantable);
        }
        let mut granted = 0;
        self.write(|edit| {
            with_named(edit, name, |token| {
                granted = edit.grant(&Grant::All(token, access))?;
                Ok(())
            })
        })?;
        Ok(granted)
    }

    /// Where no token was ever made: the documents that were begun without any, and belong to nobody. How many, and the
    /// first of them.
    ///
    /// # Errors
    /// Where reading fails.
    pub fn unowned(&self, most: usize) -> Result<(u64, Vec<DocumentId>), TokenError> {
        self.log.read(|view| if view.has_tokens()? { Ok((0, Vec::new())) } else { Ok(view.unowned(most)?) })
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&BackendView<'_>) -> Result<Result<T, TokenError>, LogError>,
    ) -> Result<T, TokenError> {
        let group = self.log.begin()?;
        let done = group.edit().attempt(|edit| {
            Ok(match work(edit)? {
                Ok(value) => Attempt::Keep(Ok(value)),
                Err(why) => Attempt::Undo(Err(why)),
            })
        })??;
        group.commit()?;
        Ok(done)
    }
}

fn check_name(name: &str) -> Result<(), TokenError> {
    let length = name.chars().count();
    let good = (1..=NAME_CHARACTERS).contains(&length) && !name.chars().any(char::is_control);
    if good { Ok(()) } else { Err(TokenError::BadName) }
}

fn end_of(now: i64, lifetime: Duration) -> Result<i64, TokenError> {
    let millis = i64::try_from(lifetime.as_millis()).ok();
    // Beyond the year 9999 a time cannot be told.
    let end = millis.and_then(|millis| now.checked_add(millis));
    end.filter(|end| *end < 253_402_300_800_000).ok_or(TokenError::TooLong)
}

fn with_named(
    edit: &impl Edit,
    name: &str,
    work: impl FnOnce(TokenId) -> Result<(), LogError>,
) -> Result<Result<(), TokenError>, LogError> {
    match edit.token(TokenKey::Name(name))? {
        Some(token) => work(token.id).map(Ok),
        None => Ok(Err(TokenError::UnknownName(name.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_random_and_never_shown_by_accident() {
        let (one, other) = (Secret::random(), Secret::random());
        assert_eq!(one.reveal().len(), PREFIX.len() + 43);
        assert!(one.reveal().starts_with(PREFIX) && one.reveal() != other.reveal());
        assert!(!format!("{one:?}").contains(one.reveal()));
        assert!(rejoin::Token::new(one.reveal()).is_some(), "the client takes it");
    }
}
