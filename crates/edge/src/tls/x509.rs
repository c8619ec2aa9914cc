// SPDX-License-Identifier: EUPL-1.2
//! As much of a certificate as an operator has to be told of: until when it holds, and how long its RSA key is
//! (RFC 5280 section 4.1). It trusts nothing: whatever is not there as it should be is `None`.

/// What a certificate says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Not before, and not after, in seconds since 1970.
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// The modulus of an RSA key, in bits; `None` for other keys.
    pub(crate) rsa_bits: Option<usize>,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which may be left out.
const EXPLICIT_0: u8 = 0xa0;
/// 1.2.840.113549.1.1.1 (RFC 8017 appendix C).
const RSA_ENCRYPTION: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// Reads a certificate in DER.
pub(crate) fn facts(der: &[u8]) -> Option<Facts> {
    let mut outer = Reader(Reader(der).take(SEQUENCE)?);
    let mut body = Reader(outer.take(SEQUENCE)?);
    if body.0.first() == Some(&EXPLICIT_0) {
        body.next()?;
    }
    body.take(INTEGER)?;
    // The signature's algorithm and the issuer.
    body.take(SEQUENCE)?;
    body.take(SEQUENCE)?;
    let mut validity = Reader(body.take(SEQUENCE)?);
    let (not_before, not_after) = (validity.time()?, validity.time()?);
    // The subject.
    body.take(SEQUENCE)?;
    let mut key = Reader(body.take(SEQUENCE)?);
    let is_rsa = Reader(key.take(SEQUENCE)?).take(OBJECT_ID)? == RSA_ENCRYPTION;
    let rsa_bits = if is_rsa { Some(modulus_bits(key.take(BIT_STRING)?)?) } else { None };
    Some(Facts { not_before, not_after, rsa_bits })
}

fn modulus_bits(bit_string: &[u8]) -> Option<usize> {
    let mut key = Reader(Reader(bit_string.get(1..)?).take(SEQUENCE)?);
    let modulus = key.take(INTEGER)?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
}

/// Elements of DER, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(first) {
            short @ 0..=0x7f => (short, rest),
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// RFC 5280 section 4.1.2.5: both forms end in Z and have seconds.
    fn time(&mut self) -> Option<u64> {
        let (tag, content) = self.next()?;
        let digits = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (year, rest) = match (tag, digits.len()) {
            (UTC_TIME, 12) => {
                let year: u64 = digits[..2].parse().ok()?;
                (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
            }
            (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
            _ => return None,
        };
        let part = |index: usize| rest.get(index * 2..index * 2 + 2)?.parse::<u64>().ok();
        let (month, day) = (part(0)?, part(1)?);
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        Some(((days(year, month, day) * 24 + part(2)?) * 60 + part(3)?) * 60 + part(4)?)
    }
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leap_days = (1970..year).filter(|year| is_leap(*year)).count() as u64;
    let this_year = u64::from(is_leap(year) && month > 2);
    (year - 1970) * 365 + leap_days + BEFORE[(month - 1) as usize] + this_year + day - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_certificates_time_is_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["meet.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 2, 28);
        parameters.not_after = rcgen::date_time_ymd(2056, 3, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        let facts = facts(certificate.der()).unwrap();
        // By `date -u -d 2026-02-28 +%s` and `date -u -d 2056-03-01 +%s`: one in each form of time.
        assert_eq!((facts.not_before, facts.not_after), (1_772_236_800, 2_719_094_400));
        assert_eq!(facts.rsa_bits, None);
        for end in 0..certificate.der().len() {
            assert!(super::facts(&certificate.der()[..end]).is_none());
        }
    }

    #[test]
    fn days_are_counted_as_the_calendar_has_them() {
        for (date, expected) in
            [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2000, 3, 1), 11_017), ((2100, 3, 1), 47_541)]
        {
            assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = facts(&bytes);
        }
    }
}
