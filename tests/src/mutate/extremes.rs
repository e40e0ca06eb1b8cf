//! Numbers at the ends of their ranges, and what is longer than anybody makes it.

use rand::{RngExt, rngs::StdRng};

use super::parts::{Parts, leb128};

/// What is special about a number: the ends of 32, 53 and 64 bits, what the fence takes at most, and beside each.
fn extreme(rng: &mut StdRng) -> i64 {
    let ends =
        [0, 1 << 20, 1 << 24, 1 << 31, 1 << 32, (1 << 32) - (1 << 20), 1 << 43, 1 << 53, 1 << 62, i64::MAX];
    let end: i64 = ends[rng.random_range(0..ends.len())];
    let near = end.saturating_add(rng.random_range(-2..3));
    if rng.random() { near } else { near.saturating_neg() }
}

/// A signed number in LEB128.
fn signed_leb128(mut value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// Time, sequence number, counter, actors and message.
pub(super) fn spoil_header(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    let number = extreme(rng);
    match rng.random_range(0..8) {
        0..3 => {
            parts.time = signed_leb128(number);
            "extreme time"
        }
        3 => {
            parts.seq = number.unsigned_abs();
            "extreme sequence number"
        }
        4..6 => {
            parts.start_op = number.unsigned_abs();
            "extreme counter"
        }
        6 => {
            let length = [0, 1, 63, 64, 65, 4_096][rng.random_range(0..6)];
            parts.actor = vec![rng.random(); length];
            "extreme actor"
        }
        _ => {
            let length = [0, 1, 65_535, 65_536, 65_537][rng.random_range(0..5)];
            parts.message = vec![b'"'; length];
            "extreme message"
        }
    }
}

/// The kinds of columns: keys, values and how they are laid out, marks and how they grow.
const KEY: u64 = 0x15;
const INSERT: u64 = 0x34;
const VALUE_LAYOUT: u64 = 0x56;
const VALUE: u64 = 0x57;
const EXPAND: u64 = 0x94;
const MARK: u64 = 0xa5;
const COUNTER_VALUE: u64 = 8;
const INTEGER: u64 = 4;

/// Counters and integers near their ends, enormous keys and names, flags of marks.
pub(super) fn spoil_values(parts: &mut Parts, rng: &mut StdRng) -> &'static str {
    match rng.random_range(0..4) {
        0 | 1 => {
            let kind = if rng.random() { COUNTER_VALUE } else { INTEGER };
            let value = signed_leb128(extreme(rng));
            let layout = leb128(((value.len() as u64) << 4) | kind);
            put(parts, VALUE_LAYOUT, [vec![0x01], layout].concat());
            put(parts, VALUE, value);
            "extreme value"
        }
        2 => {
            let length = [0, 10_000, 1 << 20][rng.random_range(0..3)];
            let spec = if rng.random() { KEY } else { MARK };
            put(parts, spec, [vec![0x7f], leb128(length), vec![b'k'; length as usize]].concat());
            "extreme key"
        }
        _ => {
            let spec = if rng.random() { EXPAND } else { INSERT };
            put(parts, spec, leb128(extreme(rng).unsigned_abs()));
            "extreme flags"
        }
    }
}

/// A column in the place of the one of its kind, in the order that the library wants.
fn put(parts: &mut Parts, spec: u64, data: Vec<u8>) {
    parts.columns.retain(|(other, _)| *other != spec);
    parts.columns.push((spec, data));
    parts.columns.sort_by_key(|(spec, _)| *spec);
}
