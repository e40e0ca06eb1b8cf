//! The log of a document, as a source for the verifier.

use rejoin_verifier::{Batch, BatchSize, Source, Subject};

use crate::{
    LogError,
    log::{Document, View},
    rules::ApiError,
};

/// The log of a document, in the database.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSource<'v, V> {
    pub(super) view: &'v V,
    pub(super) document: i64,
}

impl<V: View> Source for LogSource<'_, V> {
    type Error = ApiError;

    fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>, ApiError> {
        Ok(self.view.snapshot(self.document)?)
    }

    fn batch(&mut self, after: u64, upto: u64) -> Result<Batch, ApiError> {
        let (mut batch, mut size) = (Batch::new(), BatchSize::default());
        self.view.for_each(self.document, (after, upto), |position, change| {
            if size.is_full() {
                return false;
            }
            size.add(change);
            batch.push((position, change.to_vec()));
            true
        })?;
        if batch.is_empty() {
            return Err(LogError::Damaged(format!("the log has no row after position {after}")).into());
        }
        Ok(batch)
    }
}

/// What is to be looked at, without what is known to be bad.
pub(super) fn subject(view: &impl View, document: &Document) -> Result<Subject, ApiError> {
    Ok(Subject {
        id: document.uuid,
        document: document.key,
        epoch: 0,
        end: document.end.position,
        bytes: document.bytes,
        known: view.known(document.key)?.left_out,
    })
}
