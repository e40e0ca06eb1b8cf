//! The names of things: documents, changes, actors, cursors.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use automerge::{ActorId as Actor, ChangeHash};

/// The name of a document: a UUID. Its automerge-repo id is the same 16 bytes in bs58check.
///
/// ```
/// use rejoin_protocol::DocumentId;
/// let id = DocumentId::random();
/// assert_eq!(id.to_url().parse::<DocumentId>().unwrap(), id);
/// assert_eq!(id.to_string().parse::<DocumentId>().unwrap(), id);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(Uuid);

impl DocumentId {
    /// Its 16 bytes as two numbers, the first eight bytes first.
    pub const fn as_u64_pair(&self) -> (u64, u64) {
        self.0.as_u64_pair()
    }

    /// A new random one (UUID version 4).
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The one with these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The `automerge:` URL that automerge-repo knows it by.
    pub fn to_url(&self) -> String {
        let checked = [self.as_bytes().as_slice(), &check_bytes(self.as_bytes())].concat();
        format!("automerge:{}", bs58::encode(checked).into_string())
    }
}

/// What bs58check puts behind the bytes: the beginning of their hash's hash.
fn check_bytes(bytes: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = Sha256::digest(Sha256::digest(bytes)).0;
    [a, b, c, d]
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text names no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a UUID nor an automerge: URL")]
pub struct InvalidDocumentId(pub String);

impl FromStr for DocumentId {
    type Err = InvalidDocumentId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDocumentId(text.to_owned());
        if let Some(id) = text.strip_prefix("automerge:") {
            let id = id.split(['#', '?']).next().unwrap_or(id);
            let bytes = bs58::decode(id).into_vec().map_err(|_| invalid())?;
            let (bytes, check) = bytes.split_last_chunk::<4>().ok_or_else(invalid)?;
            if *check != check_bytes(bytes) {
                return Err(invalid());
            }
            return Ok(Self(Uuid::from_slice(bytes).map_err(|_| invalid())?));
        }
        // Only the usual form: `Uuid` alone would take braces and URNs too.
        if text.len() != 36 {
            return Err(invalid());
        }
        Uuid::try_parse(text).map(Self).map_err(|_| invalid())
    }
}

/// A place in the server's log of a document, with the digest of the log up to it. Opaque to clients,
/// who pass it back as it came: it proves itself, or the server answers `cursor-unknown`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The longest text that is taken for a cursor, in bytes.
    pub const MAX_BYTES: usize = 100;

    /// Takes the text of a header or a field: 1 to [`Self::MAX_BYTES`] bytes of letters, digits, `.`, `-`, `_`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
