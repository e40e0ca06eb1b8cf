//! Rows of a log of changes, as client and server both keep them in SQLite: their keys, and the places of what they
//! depend on.
//!
//! A row of a document's log has one integer key, `document << 40 | position`: what belongs together lies together, and a
//! page of a log is one range of one table. What a change depends on is kept as places in the same log, and not as hashes,
//! which do not compress.

/// How many bits of a key are the position; the document's are above them.
pub const POSITION_BITS: u32 = 40;
/// The highest position.
pub const LAST_POSITION: u64 = (1 << POSITION_BITS) - 1;

/// The key of a row in a document's log. A position above the highest counts as that one.
pub fn row_key(document: i64, position: u64) -> i64 {
    (document << POSITION_BITS) | position.min(LAST_POSITION).cast_signed()
}

/// The position in a row's key.
pub fn position_of(key: i64) -> u64 {
    key.cast_unsigned() & LAST_POSITION
}

/// Writes the positions of dependencies as distances from the own position, LEB128. `out` holds nothing else then.
pub fn encode_deps(position: u64, deps: &[u64], out: &mut Vec<u8>) {
    out.clear();
    for dep in deps {
        let mut back = position.saturating_sub(*dep);
        while back >= 0x80 {
            out.push((back & 0x7f) as u8 | 0x80);
            back >>= 7;
        }
        out.push(back as u8);
    }
}

/// Reads them; `None` where they are no such list: cut short, or a place that is not before the own one.
pub fn decode_deps(position: u64, bytes: &[u8]) -> Option<Vec<u64>> {
    let mut deps = Vec::with_capacity(bytes.len());
    let (mut back, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        if shift > 42 {
            return None;
        }
        back |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            deps.push(position.checked_sub(back).filter(|dep| *dep >= 1 && *dep < position)?);
            (back, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(deps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_back_as_they_were_written() {
        let mut bytes = Vec::new();
        for deps in [vec![], vec![1], vec![999_999, 1, 500_000, 999_872, 999_873]] {
            encode_deps(1_000_000, &deps, &mut bytes);
            assert_eq!(decode_deps(1_000_000, &bytes), Some(deps));
        }
        assert_eq!(decode_deps(5, &[0x80]), None, "cut");
        assert_eq!(decode_deps(5, &[0]), None, "its own position");
        assert_eq!(decode_deps(5, &[5]), None, "before the beginning");
    }

    #[test]
    fn a_key_holds_the_document_and_the_position() {
        assert_eq!(position_of(row_key(8_388_607, LAST_POSITION)), LAST_POSITION);
        assert!(row_key(8_388_607, LAST_POSITION) > 0);
        assert!(row_key(1, LAST_POSITION) < row_key(2, 1));
    }
}
