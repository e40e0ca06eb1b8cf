//! What is allowed to whom, as it is stored.

use std::{fmt, str::FromStr};

use rejoin_protocol::DocumentId;

use super::TokenId;

/// What a token is good for; each includes the ones before it, but for [`Access::Create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Reading a document.
    Read,
    /// Pushing changes too, whoever made them, to a document that has begun.
    Write,
    /// Beginning documents, and being admin of those; nothing on documents that others began.
    Create,
    /// Everything: beginning and deleting too.
    Admin,
}

impl Access {
    /// The word for it, in the command line and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Read, Self::Write, Self::Create, Self::Admin];
        let found = all.into_iter().find(|access| access.word() == text);
        found.ok_or_else(|| "access is read, write, create or admin".to_owned())
    }
}

/// Which documents a principal's list holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    All,
    /// Those granted to the token or begun by it, and this one.
    Of(TokenId, Option<DocumentId>),
    /// These, and those that a subject began: all of them, or which.
    Claimed(Vec<DocumentId>, Option<(String, Option<Vec<DocumentId>>)>),
}
