//! Tokens and grants, as they are stored.

use rejoin_protocol::DocumentId;

use super::Access;

/// A token's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenId(pub(super) i64);

/// What is kept of a token, for checking it. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    /// `None`: every document.
    pub(crate) document: Option<DocumentId>,
    pub(crate) access: Access,
    pub(super) expires_at: Option<i64>,
    pub(super) revoked: bool,
}

impl TokenRow {
    /// Whether it is neither revoked nor expired.
    pub(crate) fn is_good(&self, now: i64) -> bool {
        !self.revoked && self.expires_at.is_none_or(|end| now < end)
    }
}

/// By what a token is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKey<'t> {
    /// Whichever was made first, a revoked one too.
    Any,
    Id(TokenId),
    Hash(&'t [u8; 32]),
    /// The one that bears this name now.
    Name(&'t str),
}

/// A token to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewTokenRow<'t> {
    pub(crate) name: &'t str,
    pub(crate) hash: &'t [u8; 32],
    /// `None`: every document.
    pub(crate) document: Option<DocumentId>,
    pub(crate) access: Access,
    /// Milliseconds since 1970.
    pub(crate) ends: Option<i64>,
}

/// What becomes of a token. Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenChange {
    /// It ends at this time, if it does not end before.
    Ends(i64),
    Revoked(i64),
}

/// Who has something beyond what a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder<'h> {
    Token(TokenId),
    /// The `sub` of a JWT: it is admin of what was begun with it, and never granted anything else.
    Subject(&'h str),
}

/// What is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grant<'g> {
    /// Access to a document, in place of what was granted there.
    One(TokenId, &'g DocumentId, Access),
    /// Access to every document that is here now.
    All(TokenId, Access),
    /// That a document was begun with a JWT of this subject.
    Founder(&'g str, &'g DocumentId),
    /// What another was granted, and what that one began.
    Like { from: TokenId, to: TokenId },
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
