//! What a JWT says, once its signature is good.

use std::{
    hash::{Hash, Hasher},
    sync::Weak,
};

use rejoin_protocol::DocumentId;
use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest as _, Sha256};

use super::LEEWAY;
use crate::log::Access;

/// Most entries in a token.
const MOST_ENTRIES: usize = 1_000;
/// Longest `sub`, in bytes.
const LONGEST_SUBJECT: usize = 256;

/// What is read of a token. A claim that is there twice is refused, also one that only the library looks at.
#[derive(Deserialize)]
pub(super) struct Claims {
    exp: f64,
    sub: Option<String>,
    rejoin: Vec<Entry>,
    pub(super) aud: Option<IgnoredAny>,
    #[serde(rename = "iss")]
    _iss: Option<IgnoredAny>,
    #[serde(rename = "nbf")]
    _nbf: Option<IgnoredAny>,
}

/// A word that is not known here could take something away: then the token is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    document: String,
    access: String,
}

/// Who bears a JWT, and what it says they may do.
#[derive(Debug)]
pub(crate) struct Bearer {
    /// Of the whole token: two streams of one token are one principal's.
    digest: [u8; 32],
    subject: Option<String>,
    /// A document, or `None` for all; and what is allowed there.
    entries: Vec<(Option<DocumentId>, Access)>,
    /// Milliseconds since 1970, leeway included.
    ends: i64,
    /// Of its key, as long as that is in force.
    standing: Weak<()>,
}

impl PartialEq for Bearer {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Bearer {}

impl Hash for Bearer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl Bearer {
    /// What checked claims come to.
    pub(super) fn new(claims: Claims, digest: [u8; 32], standing: Weak<()>) -> Result<Self, &'static str> {
        if claims.rejoin.len() > MOST_ENTRIES {
            return Err("it has more than 1,000 entries");
        }
        let read = |entry: &Entry| {
            let document = match entry.document.as_str() {
                "*" => None,
                id => Some(id.parse().ok()?),
            };
            Some((document, entry.access.parse().ok()?))
        };
        // A word that is not known here could take something away: nothing is guessed.
        let entries: Option<Vec<_>> = claims.rejoin.iter().map(read).collect();
        let entries = entries.ok_or("an entry is no document and access, as PROTOCOL.md has them")?;
        let subject = claims.sub.filter(|sub| !sub.is_empty());
        if subject.as_ref().is_some_and(|sub| sub.len() > LONGEST_SUBJECT) {
            return Err("its `sub` is longer than 256 bytes");
        }
        if subject.is_none() && entries.iter().any(|(_, access)| *access == Access::Create) {
            return Err("it may create, and has no `sub` that would be admin of what it begins");
        }
        // Beyond what times can tell it never ends, and otherwise saturates.
        let ends = ((claims.exp + LEEWAY as f64) * 1_000.0) as i64;
        Ok(Self { digest, subject, entries, ends, standing })
    }

    /// Whether its time is not over, and its key in force.
    pub(crate) fn is_good(&self, now: i64) -> bool {
        now < self.ends && self.standing.strong_count() > 0
    }

    /// Whether it may begin this document: then with whom it is admin of it.
    pub(crate) fn creates(&self, id: &DocumentId) -> Option<&str> {
        let may = self.on(id).any(|access| access == Access::Create);
        self.subject.as_deref().filter(|_| may)
    }

    /// The most that it allows on this document, however that began.
    pub(crate) fn holds(&self, id: &DocumentId) -> Option<Access> {
        self.on(id).filter(|access| *access != Access::Create).max()
    }

    /// Whether it may read every document.
    pub(crate) fn holds_all(&self) -> bool {
        self.entries.iter().any(|(document, access)| document.is_none() && *access != Access::Create)
    }

    /// A digest of what it allows, in whatever order that was written.
    pub(crate) fn allows(&self) -> [u8; 32] {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(document, access)| (document.map(|id| *id.as_bytes()), *access))
            .collect();
        entries.sort_unstable();
        entries.dedup();
        let mut digest = Sha256::new();
        for (document, access) in entries {
            digest.update(document.unwrap_or_default());
            digest.update([u8::from(document.is_some())]);
            digest.update(access.word());
        }
        digest.finalize().into()
    }

    /// Its `sub`.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Whether it is admin of every document.
    pub(crate) fn is_admin_of_all(&self) -> bool {
        self.entries.iter().any(|(document, access)| document.is_none() && *access == Access::Admin)
    }

    /// The documents that it names, of which it holds something in any case.
    pub(crate) fn named(&self) -> Vec<DocumentId> {
        self.of(|access| access != Access::Create)
    }

    /// Whose beginnings it reads too, and which of them: `None` for all.
    pub(crate) fn begun(&self) -> Option<(String, Option<Vec<DocumentId>>)> {
        let subject = self.subject.clone()?;
        if self.entries.iter().any(|(document, access)| document.is_none() && *access == Access::Create) {
            return Some((subject, None));
        }
        let some = self.of(|access| access == Access::Create);
        (!some.is_empty()).then_some((subject, Some(some)))
    }

    fn on(&self, id: &DocumentId) -> impl Iterator<Item = Access> {
        let covers = |document: &Option<DocumentId>| document.is_none_or(|only| only == *id);
        self.entries.iter().filter(move |(document, _)| covers(document)).map(|(_, access)| *access)
    }

    fn of(&self, wanted: impl Fn(Access) -> bool) -> Vec<DocumentId> {
        self.entries
            .iter()
            .filter(|(_, access)| wanted(*access))
            .filter_map(|(document, _)| *document)
            .collect()
    }
}
