// SPDX-License-Identifier: EUPL-1.2
//! Numbers that wrap, made into numbers that don't.

/// Where unwrapped numbers begin, so that those before the first are not negative.
const ORIGIN: u64 = 1 << 40;

/// Unwraps numbers of `BITS` bits. A number is taken for the nearest one to the highest seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unwrapper<const BITS: u32> {
    highest: Option<u64>,
}

impl<const BITS: u32> Unwrapper<BITS> {
    /// What `number` stands for.
    pub(crate) fn unwrap(&mut self, number: u32) -> u64 {
        let unwrapped = self.peek(number);
        self.highest = Some(self.highest.map_or(unwrapped, |highest| highest.max(unwrapped)));
        unwrapped
    }

    /// The same without taking note of it.
    pub(crate) fn peek(&self, number: u32) -> u64 {
        let mask = (1u64 << BITS) - 1;
        let number = u64::from(number) & mask;
        let Some(highest) = self.highest else { return ORIGIN + number };
        let ahead = number.wrapping_sub(highest) & mask;
        if ahead <= mask / 2 { highest + ahead } else { highest - (mask + 1 - ahead) }
    }

    /// The highest number seen.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Begins anew, above all that was seen.
    pub(crate) fn restart(&mut self, number: u32) -> u64 {
        let mask = (1u64 << BITS) - 1;
        let base = self.highest.map_or(ORIGIN, |highest| (highest | mask) + 1 + mask + 1);
        let unwrapped = base + (u64::from(number) & mask);
        self.highest = Some(unwrapped);
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_unwrap_through_wraps_and_reorder() {
        let mut unwrapper = Unwrapper::<16>::default();
        let first = unwrapper.unwrap(65_534);
        assert_eq!(unwrapper.unwrap(1), first + 3);
        assert_eq!(unwrapper.unwrap(65_535), first + 1);
        assert_eq!(unwrapper.highest(), Some(first + 3));
        assert_eq!(unwrapper.unwrap(32_000), first + 32_002);
        assert!(unwrapper.restart(5) > first + 65_536);
    }

    #[test]
    fn seven_bits_unwrap_too() {
        let mut unwrapper = Unwrapper::<7>::default();
        let first = unwrapper.unwrap(127);
        assert_eq!(unwrapper.unwrap(0), first + 1);
        assert_eq!(unwrapper.unwrap(126), first - 1);
    }
}
