//! Reading bytes that nobody vouches for: every length is checked, no arithmetic can overflow.

use super::Refusal;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Everything that is left.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `count` bytes; `what` names them in the refusal.
    pub(crate) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], Refusal> {
        let split = usize::try_from(count).ok().and_then(|count| self.0.split_at_checked(count));
        let Some((taken, rest)) = split else {
            return Err(Refusal::malformed(format!(
                "{what} should have {count} bytes, and only {} are left",
                self.0.len()
            )));
        };
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self, what: &str) -> Result<u8, Refusal> {
        let taken = self.take(1, what)?;
        taken.first().copied().ok_or_else(|| Refusal::malformed(format!("{what} is missing")))
    }

    /// A LEB128 number as the library reads it: over-long forms and more than 64 bits are refused.
    pub(crate) fn number(&mut self, what: &str) -> Result<u64, Refusal> {
        let mut value = 0_u64;
        for place in 0..10_u32 {
            let byte = self.byte(what)?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                let too_large = place == 9 && byte > 1;
                let over_long = place > 0 && byte == 0;
                if too_large || over_long {
                    break;
                }
                return Ok(value);
            }
        }
        Err(Refusal::malformed(format!("{what} is not a valid LEB128 number of 64 bits")))
    }

    /// A signed LEB128 number, as strict as [`Self::number`].
    pub(crate) fn signed(&mut self, what: &str) -> Result<i64, Refusal> {
        let improper =
            || Refusal::malformed(format!("{what} is not a valid signed LEB128 number of 64 bits"));
        let (mut value, mut previous) = (0_i64, 0_u8);
        for place in 0..10_u32 {
            let byte = self.byte(what)?;
            let shift = 7 * place;
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 != 0 {
                previous = byte;
                continue;
            }
            let too_large = place == 9 && byte != 0 && byte != 0x7f;
            let negative = byte & 0x40 != 0;
            let extends = (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
            if too_large || (place > 0 && extends) {
                return Err(improper());
            }
            if place < 9 && negative {
                value |= -1_i64 << (shift + 7);
            }
            return Ok(value);
        }
        Err(improper())
    }
}
