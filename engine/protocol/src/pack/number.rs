//! Numbers as packs write them.

/// Appends a LEB128 number.
pub(super) fn write(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed LEB128 number in its shortest form: as changes write them.
pub(super) fn write_signed(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        let last = (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0);
        if last {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Small numbers of either sign become small ones without.
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The way back.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// What is to be written of `value` where `expected` was expected. Wraps, and so always comes back.
pub(super) fn difference(value: u64, expected: u64) -> u64 {
    zigzag(value.wrapping_sub(expected).cast_signed())
}

/// The way back.
pub(super) fn from_difference(written: u64, expected: u64) -> u64 {
    expected.wrapping_add(unzigzag(written).cast_unsigned())
}
