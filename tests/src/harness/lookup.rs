//! Where the traces and the corpus are, which are not part of the repository.

use std::path::{Path, PathBuf};

use super::skipped;

/// Real typing, which is not part of the repository: `REJOIN_TRACES`, else beside it; `None` is told loudly.
pub fn traces() -> Option<PathBuf> {
    beside("REJOIN_TRACES", "traces")
}

/// Hostile changes, likewise: `REJOIN_CORPUS`, else beside the repository.
pub fn corpus() -> Option<PathBuf> {
    beside("REJOIN_CORPUS", "corpus")
}

fn beside(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(name));
    if path.is_dir() {
        return Some(path);
    }
    skipped(name, &format!("{} is no directory; name one with {variable}", path.display()));
    None
}
