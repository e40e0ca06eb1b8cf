//! Which streams a pack has.

/// The first bytes of a pack, with its version.
pub(super) const MAGIC: [u8; 5] = [b'R', b'J', b'P', b'K', 1];

/// Of each change its metadata of columns: 0 where the body stands whole in [`WHOLE`], else a place in the table,
/// from 1. As in every table, the place after the last one means a new entry, which stands next in the table's stream
/// of entries, with its length before it.
pub(super) const METADATA: Table = Table { places: 0, entries: 1 };
/// Messages.
pub(super) const MESSAGE: Table = Table { places: 2, entries: 3 };
/// Actors.
pub(super) const ACTOR: Table = Table { places: 4, entries: 5 };
/// Lists of other actors, with their number and lengths.
pub(super) const OTHERS: Table = Table { places: 6, entries: 7 };
/// What follows the columns.
pub(super) const TAIL: Table = Table { places: 8, entries: 9 };
/// How many dependencies each change has.
pub(super) const DEPENDENCIES: u32 = 10;
/// The dependencies: twice the distance within the pack, less 2; or twice the place among those outside, and 1.
pub(super) const DEPENDENCY: u32 = 11;
/// The hashes of dependencies outside, 32 bytes each, in the order in which they come up first.
pub(super) const OUTSIDE: u32 = 12;
/// Sequence numbers, as the difference from one above the actor's last in this pack.
pub(super) const SEQUENCE: u32 = 13;
/// Counters of the first operation, as the difference from the highest that follows a dependency in this pack.
pub(super) const START: u32 = 14;
/// Times, as the difference from that of the change before.
pub(super) const TIME: u32 = 15;
/// Whole bodies, each with its length before it.
pub(super) const WHOLE: u32 = 16;
/// Columns: this, plus the kind of the column.
pub(super) const COLUMN: u32 = 32;
/// Kinds of columns are below this, or the body stands whole. So streams are few, whatever a pack claims.
pub(super) const KINDS: u32 = 256;

/// A table, and the places that changes name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) places: u32,
    pub(super) entries: u32,
}

/// The counter of the element that an operation is about: a column of deltas.
pub(super) const KEY_COUNTER: u32 = 0x13;
/// The counter of what an operation takes the place of: a column of deltas.
pub(super) const PREDECESSOR_COUNTER: u32 = 0x73;
