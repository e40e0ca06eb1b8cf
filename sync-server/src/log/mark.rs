//! Places in a log that prove themselves.

use rejoin_protocol::{ChangeHash, Cursor, DocumentId};
use sha2::{Digest as _, Sha256};

/// A running digest: that of row n is the first 16 bytes of SHA-256(digest of row n-1 || what row n says).
/// Before the first row it is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Digest(pub(crate) [u8; 16]);

impl Digest {
    /// The digest after a row that says `parts`.
    pub(crate) fn then(self, parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        for part in parts {
            hasher.update(part);
        }
        let full: [u8; 32] = hasher.finalize().into();
        let mut short = [0; 16];
        short.copy_from_slice(full.split_at(16).0);
        Self(short)
    }

    /// The digest after a change.
    pub(crate) fn then_change(self, hash: &ChangeHash) -> Self {
        self.then(&[&hash.0])
    }

    fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A position with the digest of what came up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// From 1; 0 is the beginning.
    pub(crate) position: u64,
    /// The running digest there.
    pub(crate) digest: Digest,
}

impl Mark {
    /// The text that clients pass back; none for the beginning.
    pub(crate) fn to_cursor(self) -> Option<Cursor> {
        if self.position == 0 {
            return None;
        }
        Cursor::parse(&format!("{}.{}", self.position, self.digest.to_hex()))
    }

    /// The same as a plain text.
    pub(crate) fn to_text(self) -> Option<String> {
        self.to_cursor().map(|cursor| cursor.to_string())
    }
}

/// What commits did to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Span {
    /// Its log was `before`, and now ends at `end`.
    Grown { document: DocumentId, before: Mark, end: Mark },
    /// It has a tombstone.
    Deleted(DocumentId),
}

/// What the text of a cursor claims. Only the log can say whether it is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// From the beginning.
    Beginning,
    /// A bare number, from a simple client: it proves nothing.
    Number(u64),
    /// A position, and the digest in hex that the log should have there.
    Digest(u64, String),
    /// No text that a server of this kind ever gave out.
    Nonsense,
}

impl Claim {
    /// Reads a cursor or a `since` token.
    pub(crate) fn read(text: &str) -> Self {
        if text.is_empty() || text == "0" {
            return Self::Beginning;
        }
        let (number, digest) = match text.split_once('.') {
            Some((number, digest)) => (number, Some(digest)),
            None => (text, None),
        };
        let plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        match (plain.then(|| number.parse().ok()).flatten(), digest) {
            (Some(number), None) => Self::Number(number),
            (Some(number), Some(digest)) => Self::Digest(number, digest.to_owned()),
            (None, _) => Self::Nonsense,
        }
    }

    /// Whether it is true where the rows go to `end`, and `at` says the digest of a row.
    pub(crate) fn prove<E>(
        &self,
        end: Mark,
        at: impl FnOnce(u64) -> Result<Option<Digest>, E>,
    ) -> Result<Option<Mark>, E> {
        let (position, wanted) = match self {
            Self::Beginning => return Ok(Some(Mark::default())),
            Self::Nonsense => return Ok(None),
            Self::Number(number) => (*number, None),
            Self::Digest(number, digest) => (*number, Some(digest)),
        };
        if position > end.position {
            return Ok(None);
        }
        let digest = if position == end.position { Some(end.digest) } else { at(position)? };
        let Some(digest) = digest else { return Ok(None) };
        let proven = wanted.is_none_or(|wanted| *wanted == digest.to_hex());
        Ok(proven.then_some(Mark { position, digest }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_only_what_a_server_gives_out_or_a_bare_number() {
        assert_eq!(Claim::read(""), Claim::Beginning);
        assert_eq!(Claim::read("0"), Claim::Beginning);
        assert_eq!(Claim::read("7"), Claim::Number(7));
        assert_eq!(Claim::read("7.ab"), Claim::Digest(7, "ab".to_owned()));
        for nonsense in ["x", "07", "-1", "+1", ".", ".ab", "1x", "99999999999999999999", "00"] {
            assert_eq!(Claim::read(nonsense), Claim::Nonsense, "{nonsense}");
        }
    }

    #[test]
    fn a_digest_proves_itself_and_a_number_only_that_the_log_is_long_enough() {
        let first = Digest::default().then_change(&ChangeHash([1; 32]));
        let end = Mark { position: 2, digest: first.then_change(&ChangeHash([2; 32])) };
        let at = |n| Ok::<_, ()>((n == 1).then_some(first));
        let one = Mark { position: 1, digest: first };
        let text = one.to_text().unwrap();
        assert_eq!(Claim::read(&text).prove(end, at), Ok(Some(one)));
        assert_eq!(Claim::read("1").prove(end, at), Ok(Some(one)));
        assert_eq!(Claim::read("3").prove(end, at), Ok(None));
        assert_eq!(Claim::read(&text.replace("1.", "2.")).prove(end, at), Ok(None));
        assert_eq!(Claim::read("1.00").prove(end, at), Ok(None));
    }
}
