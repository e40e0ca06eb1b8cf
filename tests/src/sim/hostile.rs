//! Changes put together by hand.

use automerge::{
    ActorId, AutoCommit, Change, ROOT,
    legacy::{Key, ObjectId, OpId, OpType},
    transaction::Transactable,
};
use rejoin::ChangeHash;
use sha2::{Digest, Sha256};

fn leb128(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A chunk with the checksum that fits.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let head = [vec![kind], leb128(body.len() as u64)].concat();
    let digest = Sha256::new().chain_update(&head).chain_update(body).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &digest[..4], &head, body].concat()
}

/// One `put` of null, with these columns in place of the ordinary ones.
fn change(actor: &[u8], seq: u64, deps: &[ChangeHash], columns: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let text = |bytes: &[u8]| [leb128(bytes.len() as u64), bytes.to_vec()].concat();
    let mut out = leb128(deps.len() as u64);
    deps.iter().for_each(|hash| out.extend(hash.0));
    out.extend(text(actor));
    out.extend(leb128(seq));
    out.extend(leb128(1));
    out.push(0);
    out.extend(text(b""));
    out.extend(leb128(0));
    out.extend(leb128(columns.len() as u64));
    for (spec, data) in columns {
        out.extend(leb128(*spec));
        out.extend(leb128(data.len() as u64));
    }
    columns.iter().for_each(|(_, data)| out.extend(data));
    chunk(1, &out)
}

fn put_null() -> Vec<(u64, Vec<u8>)> {
    vec![
        (0x15, vec![0x7f, 0x01, b'a']),
        (0x34, vec![0x01]),
        (0x42, vec![0x7f, 0x01]),
        (0x56, vec![0x7f, 0x00]),
        (0x70, vec![0x7f, 0x00]),
    ]
}

/// A change that the fence cannot tell from a good one, and on which the library panics: it writes into an
/// object that is nowhere.
pub(super) fn panicking(actor: &[u8], deps: &[ChangeHash]) -> Vec<u8> {
    let mut columns = vec![(0x01, vec![0x7f, 0x00]), (0x02, vec![0x7f, 0x63])];
    columns.extend(put_null());
    change(actor, 1, deps, &columns)
}

/// A change that replaces what `victim` put at the root, and was not made on it: who holds that one already could take
/// it, and who does not could not. `None` where the victim put nothing there.
pub(super) fn over_unseen(victim: &Change, actor: &[u8]) -> Option<Vec<u8>> {
    let theirs = victim.decode();
    let put = |op: &automerge::legacy::Op| op.obj == ObjectId::Root && matches!(op.action, OpType::Put(_));
    let (nth, op) = (0_u64..).zip(&theirs.operations).find(|(_, op)| put(op))?;
    let Key::Map(key) = &op.key else { return None };
    let mut doc = AutoCommit::new().with_actor(ActorId::from(actor));
    doc.put(ROOT, key.as_str(), "over what nobody saw").ok()?;
    doc.commit();
    let mut change = doc.get_last_local_change()?.decode();
    change.hash = None;
    let replaced = OpId(theirs.start_op.get() + nth, theirs.actor_id.clone());
    change.operations.first_mut()?.pred = vec![replaced].into();
    Some(Change::from(change).raw_bytes().to_vec())
}

/// A change that every fence refuses: its number is not the first of its actor.
pub(super) fn out_of_turn(actor: &[u8]) -> Vec<u8> {
    change(actor, 5, &[], &put_null())
}

/// A change that depends on one that nobody has.
pub(super) fn orphan(actor: &[u8]) -> Vec<u8> {
    change(actor, 1, &[ChangeHash([7; 32])], &put_null())
}
