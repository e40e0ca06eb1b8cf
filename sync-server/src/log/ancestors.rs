//! The ancestors of changes, read from the log.

use std::sync::Arc;

use rejoin_storage::rows::decode_deps;

use super::{
    LogError,
    backend::Rows,
    pack::{Pack, PackView},
    view::hole,
};

/// Rows that are read at once where a walk begins, and at most.
const FIRST: u64 = 16;
const MOST: u64 = 4_096;

/// Dependencies of a log's rows, for a walk that goes back row by row: it reads them many at a time.
#[derive(Debug, Default)]
pub(super) struct Ancestors {
    /// The position of the first row in `rows`.
    first: u64,
    rows: Vec<Box<[u8]>>,
    /// Up to where the log is in packs, once that was asked.
    packed: Option<u64>,
    pack: Option<Arc<Pack>>,
}

impl Ancestors {
    /// The positions of the dependencies of the change at `position`.
    pub(super) fn dependencies(
        &mut self,
        view: &impl Rows,
        document: i64,
        position: u64,
    ) -> Result<Vec<u64>, LogError> {
        let packed = match self.packed {
            Some(packed) => packed,
            None => *self.packed.insert(view.packed(document)?),
        };
        if position <= packed {
            return self.in_pack(view, document, position);
        }
        if self.row(position).is_none() {
            let count = (self.rows.len() as u64 * 2).clamp(FIRST, MOST);
            self.first = position.saturating_sub(count - 1).max(packed + 1);
            self.rows = view.dependencies(document, (self.first - 1, position))?;
        }
        let deps = self.row(position).and_then(|row| decode_deps(position, row));
        deps.ok_or_else(|| hole(position))
    }

    fn in_pack(&mut self, view: &impl Rows, document: i64, position: u64) -> Result<Vec<u64>, LogError> {
        if !self.pack.as_ref().is_some_and(|pack| pack.holds(position)) {
            self.pack = view.pack_at(document, position)?;
        }
        let deps = self.pack.as_ref().and_then(|pack| pack.dependencies(position));
        deps.ok_or_else(|| hole(position))
    }

    fn row(&self, position: u64) -> Option<&[u8]> {
        let index = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.rows.get(index).map(AsRef::as_ref)
    }
}
