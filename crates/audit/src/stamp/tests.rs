// SPDX-License-Identifier: EUPL-1.2
//! Forms alone; stamps that somebody else made are checked where the server asks for them.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::der::{Der, INTEGER, dotted, seconds};
use super::*;

#[test]
fn a_request_is_as_rfc_3161_has_it() {
    let request = stamp_request(b"abc", 0);
    let expected = "304302010130313 00d060960864801650304020105000420\
         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad02084000000000000000 0101ff";
    assert_eq!(hex::encode(&request), expected.replace(' ', ""));
    let asked = stamp_request(b"abc", u64::MAX);
    assert_ne!(request, asked, "the number is in it");
    let stamp = Stamp { time: 0, policy: String::new(), nonce: Some((u64::MAX >> 2) | 1 << 62) };
    assert!(is_answer(&stamp, u64::MAX) && !is_answer(&stamp, 0));
}

#[test]
fn a_refusal_is_said_in_the_authority_s_words() {
    let refused = [&[0x30, 14, 0x30, 12, 2, 1, 2, 0x30, 7, 0x0c, 5], b"no\n\x1b!".as_slice()].concat();
    assert_eq!(stamp_in(&refused), Err(StampError::Refused("status 02: no!".to_owned())));
    let empty = [0x30, 5, 0x30, 3, 2, 1, 0];
    assert_eq!(stamp_in(&empty), Err(StampError::Form("the answer has no stamp")));
    let granted = [0x30, 7, 0x30, 3, 2, 1, 0, 0x30, 0];
    assert_eq!(stamp_in(&granted), Ok(vec![0x30, 0]));
    let longer = [granted.as_slice(), &[0]].concat();
    assert_eq!(stamp_in(&longer), Err(StampError::Form("more follows the answer")));
}

#[test]
fn times_and_names_are_read_as_they_are_written() {
    assert_eq!(seconds(b"19700101000000Z"), Some(0));
    assert_eq!(seconds(b"20000229235959.5Z"), Some(951_868_799));
    assert_eq!(seconds(b"20261128205500Z"), Some(1_795_899_300));
    for wrong in ["", "Z", "20261128205500", "20261328205500Z", "2026112820550xZ", "20261128205500.xZ"] {
        assert_eq!(seconds(wrong.as_bytes()), None, "{wrong}");
    }
    assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]).unwrap(), "1.2.840.113549");
    assert_eq!(dotted(&[0x88, 0x37, 0x03]).unwrap(), "2.999.3");
    assert!(dotted(&[]).is_none() && dotted(&[0x2a, 0x86]).is_none() && dotted(&[0xff; 12]).is_none());
}

#[test]
fn lengths_that_lie_are_no_values() {
    for wrong in [[2, 5, 1].as_slice(), &[2, 0x80, 1], &[2, 0x84, 0, 0, 0, 1, 1], &[0x1f, 1, 1], &[2]] {
        assert!(Der(wrong).next().is_none(), "{wrong:?}");
    }
    assert_eq!(Der(&[2, 0x81, 1, 7]).take(INTEGER, "").unwrap(), [7]);
}

proptest! {
    #[test]
    fn whatever_comes_is_refused_and_breaks_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let authority = Authority { roots: Vec::new(), policy: String::new() };
        prop_assert!(authority.check(&bytes, b"abc").is_err());
        let _ = stamp_in(&bytes);
    }
}

#[test]
fn what_is_fuzzed_begins_with_a_stamp_that_holds() {
    let answer = include_bytes!("../../../../tests/fuzz/corpus/time_stamp/answer");
    let ca = include_bytes!("../../../../tests/fuzz/src/time_stamp_ca.pem");
    let token = stamp_in(answer).unwrap();
    let stamp = Authority::from_pem(ca, "1.2.3.4.1").unwrap().check(&token, b"seed").unwrap();
    assert_eq!(stamp.policy, "1.2.3.4.1");
}
