// SPDX-License-Identifier: EUPL-1.2
//! As much of DER (X.690) as a time-stamp takes: values one after the other, with lengths that are said.

use super::StampError;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// What the first of a form's further members has, wrapped or not.
pub(super) const FIRST: u8 = 0xa0;

/// What is still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Der<'a> {
    /// The next value; `None` at the end, and where there is none.
    pub(super) fn next(&mut self) -> Option<Value<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Three octets say more than is ever read here.
            let count = usize::from(first & 0x7f);
            let (octets, rest) = rest.split_at_checked(count).filter(|_| (1..=3).contains(&count))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        };
        let (body, rest) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        // Tags of more than one octet are in no time-stamp.
        (tag & 0x1f != 0x1f).then_some(Value { tag, body, whole })
    }

    /// The body of the next value, which is to be of this kind.
    pub(super) fn take(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], StampError> {
        let value = self.next().filter(|value| value.tag == tag);
        value.map(|value| value.body).ok_or(StampError::Form(what))
    }

    /// The next value if it is of this kind.
    pub(super) fn maybe(&mut self, tag: u8) -> Option<Value<'a>> {
        let mut ahead = *self;
        let value = ahead.next().filter(|value| value.tag == tag)?;
        *self = ahead;
        Some(value)
    }

    /// Sees that nothing follows.
    pub(super) fn end(self, what: &'static str) -> Result<(), StampError> {
        if self.0.is_empty() { Ok(()) } else { Err(StampError::Form(what)) }
    }
}

/// An object identifier as people write it: `1.2.3`.
pub(super) fn dotted(oid: &[u8]) -> Option<String> {
    let (mut text, mut arc, mut within) = (String::new(), 0_u64, false);
    for octet in oid {
        arc = arc.checked_mul(128)? | u64::from(octet & 0x7f);
        within = octet & 0x80 != 0;
        if within {
            continue;
        }
        if text.is_empty() {
            let root = (arc / 40).min(2);
            text = format!("{root}.{}", arc - root * 40);
        } else {
            text.push_str(&format!(".{arc}"));
        }
        arc = 0;
    }
    (!within && !text.is_empty()).then_some(text)
}

/// Seconds since 1970 of `YYYYMMDDhhmmss[.f]Z` (RFC 3161 section 2.4.2).
pub(super) fn seconds(time: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() != 14 || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years that begin with March have their odd day at the end.
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}
