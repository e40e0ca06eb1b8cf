//! From a position to the next action that a listener is to hear.
//!
//! "Each action is heard once per listener." A change can have several spellings after forks; it is heard in the
//! place where its first one came to this store, and not again in the others.

use std::collections::HashMap;

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    super::rows::{self, ChangeRow},
    rows::{Listening, was_heard},
};
use crate::{
    Error, Message, Origin, Result, fence,
    job::{Heard, Listener, Reach},
    slice::payload_of,
};

/// So many rows are looked at in one go: what is passed over is written down after so many, and read again before.
pub(super) const WINDOW: u64 = 256;

/// The next action for this listener, with its position, and how far was looked.
pub(super) fn next(
    connection: &Connection,
    row: &Listening,
    listener: &Listener,
) -> Result<(u64, Option<(u64, Heard)>)> {
    let mut spellings: Option<Spellings> = None;
    let mut last = row.position;
    for change in rows::read_some_changes(connection, row.document, row.position, WINDOW)? {
        last = change.position();
        let Some(standing) = standing(connection, (row.document, &change), &mut spellings)? else { continue };
        let origin = if change.local { Origin::Local } else { Origin::Remote };
        if !listener.wants(change.action_type.as_deref(), origin)
            || was_heard(connection, &row.listener, row.document, change.hash)?
        {
            continue;
        }
        let payload = payload(connection, standing.id)?;
        let heard = Heard {
            listener: row.listener.clone(),
            document: row.shown_as,
            hash: standing.hash,
            key: change.hash,
            action_type: change.action_type,
            version: change.action_version,
            author: change.author,
            origin,
            payload,
            made_at: change.made_at,
            attempt: row.attempts + 1,
            reach: Reach::default(),
        };
        return Ok((last, Some((last, heard))));
    }
    Ok((last, None))
}

/// A spelling and its row.
#[derive(Debug, Clone, Copy)]
struct Spelling {
    hash: ChangeHash,
    id: i64,
}

/// As what an action stands that is to be heard at this row; `None` where none is.
fn standing(
    connection: &Connection,
    (document, change): (i64, &ChangeRow),
    spellings: &mut Option<Spellings>,
) -> Result<Option<Spelling>> {
    // A container has no line of its own, and what is quarantined is not in the document.
    if change.container || change.quarantined.is_some() {
        return Ok(None);
    }
    let own = Spelling { hash: change.hash, id: change.id };
    if change.was.is_none() && change.stands() {
        return Ok((!is_heard_before(connection, document, own)?).then_some(own));
    }
    if spellings.is_none() {
        *spellings = Some(Spellings::read(connection, document)?);
    }
    Ok(spellings.as_ref().and_then(|spellings| spellings.standing(change)))
}

/// Whether another spelling of this one, which was made first, came here earlier.
fn is_heard_before(connection: &Connection, document: i64, own: Spelling) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM change WHERE was = :hash AND id >= :first AND id < :own)";
    let params = named_params! {":hash": own.hash.0, ":first": rows::id_range(document).0, ":own": own.id};
    Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get(0))?)
}

/// All spellings of a document's changes, where some have several.
struct Spellings {
    /// By what they were made as: the position of the first to come here.
    first: HashMap<ChangeHash, i64>,
    root: HashMap<ChangeHash, ChangeHash>,
    /// By what they were made as: the one that stands and is in the document.
    standing: HashMap<ChangeHash, Spelling>,
}

impl Spellings {
    fn read(connection: &Connection, document: i64) -> Result<Self> {
        let sql = "SELECT id, hash, was, replaced_by IS NULL AND quarantined IS NULL FROM change
                    WHERE id BETWEEN :from AND :to AND container = 0 ORDER BY id";
        let (from, to) = rows::id_range(document);
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_map(named_params! {":from": from, ":to": to}, |r| {
            let was = r.get::<_, Option<[u8; 32]>>(2)?.map(ChangeHash);
            Ok((Spelling { id: r.get(0)?, hash: ChangeHash(r.get(1)?) }, was, r.get::<_, bool>(3)?))
        })?;
        let found: Vec<(Spelling, Option<ChangeHash>, bool)> = found.collect::<rusqlite::Result<_>>()?;
        let was: HashMap<ChangeHash, ChangeHash> =
            found.iter().filter_map(|(own, was, _)| Some((own.hash, (*was)?))).collect();
        let mut spellings = Self { first: HashMap::new(), root: HashMap::new(), standing: HashMap::new() };
        for (own, _, stands) in &found {
            let root = root_of(own.hash, &was);
            spellings.root.insert(own.hash, root);
            spellings.first.entry(root).or_insert(own.id);
            if *stands {
                spellings.standing.insert(root, *own);
            }
        }
        Ok(spellings)
    }

    fn standing(&self, change: &ChangeRow) -> Option<Spelling> {
        let root = self.root.get(&change.hash)?;
        (self.first.get(root) == Some(&change.id)).then(|| self.standing.get(root).copied()).flatten()
    }
}

/// What it was made as. Rewriting starts from that, so chains are short; the bound is against a hostile circle.
fn root_of(mut hash: ChangeHash, was: &HashMap<ChangeHash, ChangeHash>) -> ChangeHash {
    for _ in 0..64 {
        match was.get(&hash) {
            Some(before) => hash = *before,
            None => break,
        }
    }
    hash
}

/// The action's fields without its type: from the queue while it waits there, else from the change's message.
pub(in super::super) fn payload(connection: &Connection, id: i64) -> Result<Option<serde_json::Value>> {
    let sql = "SELECT action FROM pending WHERE id = :id";
    let queued: Option<Option<String>> =
        connection.prepare_cached(sql)?.query_row(named_params! {":id": id}, |r| r.get(0)).optional()?;
    if let Some(action) = queued.flatten() {
        let action = serde_json::from_str(&action);
        return Ok(payload_of(&action.map_err(|error| Error::Corrupt(format!("an action: {error}")))?));
    }
    // What is in the table was let in by the fence; a rewritten change may be longer than others.
    let mut limits = fence::Limits::default();
    limits.change_bytes = limits.change_bytes.saturating_mul(2);
    let bytes = rows::read_bytes(connection, id)?;
    let change = fence::check_bytes(&bytes, &limits).map_err(|refusal| Error::Corrupt(refusal.detail))?;
    Ok(Message::decode(change.message.as_deref()).payload)
}
