//! Changes of another program, and pushing them without a client.

use std::fmt::Display;

use automerge::{
    AutoCommit, ROOT, ScalarValue,
    transaction::{CommitOptions, Transactable},
};

use super::http::{Answer, post};

/// A change of another program: one value under a key at the root. The raw chunk.
pub fn foreign_change(
    document: &mut AutoCommit,
    key: &str,
    value: impl Into<ScalarValue>,
    message: Option<&str>,
) -> Vec<u8> {
    document.put(ROOT, key, value).expect("the root is a map");
    let message = message.map(str::to_owned);
    document.commit_with(CommitOptions { message, ..CommitOptions::default() });
    document.get_last_local_change().expect("it was just made").raw_bytes().to_vec()
}

/// Pushes change chunks without a client. Blocks: in asynchronous code it goes inside `block_in_place`.
pub fn push(server: &str, document: impl Display, chunks: Vec<u8>) -> Answer {
    post(&format!("{server}/v1/documents/{document}/changes"), chunks)
}
