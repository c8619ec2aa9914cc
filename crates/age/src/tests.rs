// SPDX-License-Identifier: EUPL-1.2
//! Against a file and keys that age's own tool made, and against damage.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// Made for this test alone, by `age-keygen` 1.1.1; nothing else is sealed for it.
const SECRET: &str = "AGE-SECRET-KEY-1J0XGVS3JQWK8PD9F8YACHXGHWQ6SXKCGQZQWK5VYKQ7907X4H5USTV86W0";
const PUBLIC: &str = "age1xd4agy57sq8asy5p2pkmxhgelyq20l0fq7am49l6q9wjt90ztdesx04y4a";
/// `age -r PUBLIC`, version 1.1.1, of one line.
const SEALED: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSA1SnVQUGxDUDNyTVc4S0RGdmpoSUpFWjhxQUVUNGVwcEwxSFlL\
                      SkNuVldjCnhwbE1DeXVlUS9sTDF5RzN2eVRvR0xUZlJ4NzZua0dtekdaUU85a1dCUGsKLS0tIHZndm1acy9vRWc0NHpa\
                      RFVCemhSYlY1bTR3UWZvNGhsb0hEaHhiZ1kzZ0UKXrBKl6A4zRNpch7/MmCzMMFkXOd+WSM4vYjOHDxtSThXhMrpwFa9\
                      tXL2SEP+wHFyJ306tz5OgQ==";

fn seal(recipients: &[Recipient], plain: &[u8]) -> Vec<u8> {
    let (mut sealer, mut out) = Sealer::new(recipients).unwrap();
    let chunks: Vec<&[u8]> = if plain.is_empty() { vec![&[]] } else { plain.chunks(CHUNK_BYTES).collect() };
    for (place, chunk) in chunks.iter().enumerate() {
        sealer.seal(chunk, place + 1 == chunks.len(), &mut out).unwrap();
    }
    assert!(sealer.seal(b"more", true, &mut out).is_err(), "nothing comes after the last chunk");
    out
}

/// What opens, and how it ends.
fn open(sealed: &[u8], identities: &[Identity]) -> (Vec<u8>, Option<AgeError>) {
    let mut plain = Vec::new();
    let mut opener = match Opener::new(sealed, identities) {
        Ok(opener) => opener,
        Err(error) => return (plain, Some(error)),
    };
    loop {
        match opener.next_chunk() {
            Ok(Some(chunk)) => plain.extend_from_slice(&chunk),
            Ok(None) => return (plain, None),
            Err(error) => return (plain, Some(error)),
        }
    }
}

#[test]
fn keys_and_files_of_the_age_tool_are_read() {
    let identity: Identity = SECRET.parse().unwrap();
    assert_eq!(identity.recipient().to_string(), PUBLIC);
    assert_eq!(PUBLIC.parse::<Recipient>().unwrap(), identity.recipient());
    assert_eq!(identity.to_secret_text(), SECRET);
    let (plain, end) = open(&STANDARD.decode(SEALED).unwrap(), &[identity]);
    assert!(end.is_none(), "{end:?}");
    assert_eq!(plain, b"sealed by another tool\n");
}

#[test]
fn identities_are_read_from_a_file_with_comments() {
    let read =
        Identity::read_all(&format!("# created: today\n# public key: {PUBLIC}\n\n{SECRET}\n")).unwrap();
    assert_eq!(read.iter().map(|identity| identity.recipient().to_string()).collect::<Vec<_>>(), [PUBLIC]);
    assert!(Identity::read_all("AGE-SECRET-KEY-1XXX").is_err());
}

#[test]
fn keys_with_a_wrong_letter_are_refused_without_being_printed() {
    let wrong = SECRET.replace("J0X", "J0Y");
    let error = wrong.parse::<Identity>().unwrap_err().to_string();
    assert!(error.contains("checksum") && !error.contains("J0Y"), "{error}");
    assert!(PUBLIC.replace("age1", "age2").parse::<Recipient>().is_err());
    assert!(PUBLIC[..50].parse::<Recipient>().is_err());
    let mut mixed = PUBLIC.to_owned();
    mixed.replace_range(5..6, "D");
    assert!(mixed.parse::<Recipient>().unwrap_err().to_string().contains("mixes"));
}

#[test]
fn files_of_each_length_open_for_each_recipient_and_for_nobody_else() {
    let (ada, bo, eve) =
        (Identity::generate().unwrap(), Identity::generate().unwrap(), Identity::generate().unwrap());
    for len in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
        let plain: Vec<u8> = (0..len).map(|at| (at * 7 + at / 256) as u8).collect();
        let sealed = seal(&[ada.recipient(), bo.recipient()], &plain);
        for identity in [&ada, &bo] {
            let again: Identity = identity.to_secret_text().parse().unwrap();
            let (opened, end) = open(&sealed, &[again]);
            assert!(end.is_none() && opened == plain, "{len} bytes: {end:?}");
        }
        let (opened, end) = open(&sealed, std::slice::from_ref(&eve));
        assert!(opened.is_empty() && matches!(end, Some(AgeError::NoMatch { tried: 1 })), "{end:?}");
    }
}

#[test]
fn whole_chunks_of_a_file_that_was_cut_off_are_read_and_its_end_is_missed() {
    let identity = Identity::generate().unwrap();
    let plain = vec![7; 2 * CHUNK_BYTES + 10];
    let sealed = seal(&[identity.recipient()], &plain);
    let head = sealed.len() - 2 * SEALED_CHUNK_BYTES - 26;
    // In the middle of the second chunk; right behind it; and within the last one.
    for (cut, whole) in
        [(head + SEALED_CHUNK_BYTES + 99, 1), (head + 2 * SEALED_CHUNK_BYTES, 2), (sealed.len() - 1, 2)]
    {
        let (opened, end) = open(&sealed[..cut], std::slice::from_ref(&identity));
        assert_eq!(opened.len(), whole * CHUNK_BYTES);
        assert!(matches!(end, Some(AgeError::Truncated { chunks }) if chunks == whole as u64), "{end:?}");
    }
    // One chunk left out is no truncation.
    let mut without = sealed[..head].to_vec();
    without.extend_from_slice(&sealed[head + SEALED_CHUNK_BYTES..]);
    assert!(matches!(open(&without, &[identity]).1, Some(AgeError::Damaged { chunk: 0 })));
}

#[test]
fn recipients_are_one_to_sixteen() {
    let recipient = Identity::generate().unwrap().recipient();
    assert!(matches!(Sealer::new(&[]), Err(AgeError::Recipients { have: 0 })));
    assert!(Sealer::new(&[recipient; MAX_RECIPIENTS]).is_ok());
    assert!(matches!(Sealer::new(&[recipient; MAX_RECIPIENTS + 1]), Err(AgeError::Recipients { have: 17 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let identity: Identity = SECRET.parse().unwrap();
        let mut sealed = STANDARD.decode(SEALED).unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= flip;
        let (plain, end) = open(&sealed, &[identity]);
        prop_assert!(end.is_some() && plain.is_empty(), "byte {at}");
    }
}
