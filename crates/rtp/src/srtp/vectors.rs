// SPDX-License-Identifier: EUPL-1.2
//! The test vectors of RFC 3711 appendix B and RFC 7714 sections 16 and 17, and the ends of the index spaces.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};

use super::*;
use crate::srtp::keys::ctr_key;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SALT: &str = "517569642070726f2071756f";
const RTP_HEADER: &str = "8040f17b8041f8d35501a0b2";
const RTP_PAYLOAD: &str = "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
const RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
                    deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}

/// A context whose session keys are given: the vectors leave the derivation out.
fn gcm_context(profile: Profile) -> SrtpContext {
    let keys = || {
        let algorithm = if profile == Profile::Aead128Gcm { &AES_128_GCM } else { &AES_256_GCM };
        let key = UnboundKey::new(algorithm, &bytes(KEY)[..profile.key_len()]).unwrap();
        SessionKeys::Gcm { key: LessSafeKey::new(key), salt: bytes(SALT).try_into().unwrap() }
    };
    let master = MasterKey::new(profile, &[0; 32][..profile.key_len()], &[0; 12]).unwrap();
    let mut context = SrtpContext::new(profile, &master, Limits::RECEIVE).unwrap();
    (context.rtp, context.rtcp) = (keys(), keys());
    context
}

fn protects_rtp(profile: Profile, payload_and_tag: &str) {
    let mut buf = bytes(&format!("{RTP_HEADER}{RTP_PAYLOAD}"));
    let len = buf.len();
    buf.resize(len + 16, 0);
    assert_eq!(gcm_context(profile).protect_rtp(&mut buf, len), Ok(len + 16));
    assert_eq!(hex::encode(&buf), format!("{RTP_HEADER}{payload_and_tag}"));
    assert_eq!(gcm_context(profile).unprotect_rtp(&mut buf), Ok(len));
    assert_eq!(hex::encode(&buf[..len]), format!("{RTP_HEADER}{RTP_PAYLOAD}"));
}

fn protects_rtcp(profile: Profile, protected: &str) {
    let mut buf = bytes(RTCP);
    let len = buf.len();
    buf.resize(len + 20, 0);
    let mut sender = gcm_context(profile);
    sender.next_rtcp_index = 0x5d4;
    assert_eq!(sender.protect_rtcp(&mut buf, len), Ok(len + 20));
    assert_eq!(hex::encode(&buf), protected);
    assert_eq!(gcm_context(profile).unprotect_rtcp(&mut buf), Ok(len));
    assert_eq!(hex::encode(&buf[..len]), RTCP);
}

#[test]
fn rfc_7714_section_16_srtp() {
    protects_rtp(
        Profile::Aead128Gcm,
        "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
         899d7f27beb16a9152cf765ee4390cce",
    );
    protects_rtp(
        Profile::Aead256Gcm,
        "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
         7aa3db36dfffd6b0f9bb7878d7a76c13",
    );
}

#[test]
fn rfc_7714_section_17_srtcp() {
    protects_rtcp(
        Profile::Aead128Gcm,
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda\
         4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
    );
    protects_rtcp(
        Profile::Aead256Gcm,
        "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be\
         8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
    );
}

#[test]
fn rfc_3711_appendix_b_2_aes_cm_keystream() {
    let key = ctr_key(&bytes("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
    let salt: [u8; 14] = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfd").try_into().unwrap();
    let mut stream = vec![0; 16 * 0xff02];
    encrypt_ctr(&key, cm_iv(&salt, 0, 0), &mut stream).unwrap();
    let block = |counter: usize| hex::encode(&stream[16 * counter..16 * counter + 16]);
    assert_eq!(block(0), "e03ead0935c95e80e166b16dd92b4eb4");
    assert_eq!(block(1), "d23513162b02d0f72a43a2fe4a5f97ab");
    assert_eq!(block(2), "41e95b3bb0a2e8dd477901e4fca894c0");
    assert_eq!(block(0xfeff), "ec8cdf7398607cb0f2d21675ea9ea1e4");
    assert_eq!(block(0xff00), "362b7c3c6773516318a077d7fc5073ae");
    assert_eq!(block(0xff01), "6a2cc3787889374fbeb4c81b17ba6c44");
}

#[test]
fn rfc_3711_appendix_b_3_key_derivation() {
    let master = MasterKey::new(
        Profile::CmSha1_80,
        &bytes("e1f97a0d3e018be0d64fa32c06de4139"),
        &bytes("0ec675ad498afeebb6960b3aabe6"),
    )
    .unwrap();
    let derived = |label, len| {
        let mut out = vec![0; len];
        master.derive(label, &mut out).unwrap();
        hex::encode(out)
    };
    assert_eq!(derived(0, 16), "c61e7a93744f39ee10734afe3ff7a087");
    assert_eq!(derived(2, 14), "30cbbc08863d8c85d49db34a9ae1");
    assert_eq!(
        derived(1, 94),
        "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2"
    );
}

#[test]
fn row_08_used_up_indices_end_sending_instead_of_wrapping() {
    let mut packet = bytes(&format!("{RTP_HEADER}{RTP_PAYLOAD}"));
    let len = packet.len();
    packet.resize(len + 20, 0);
    let mut sender = gcm_context(Profile::Aead128Gcm);
    let mut window = ReplayWindow::default();
    window.mark(LAST_RTP_INDEX - 3);
    sender.rtp_streams.insert(0x5501_a0b2, window);
    for (sequence, expected) in [(0xffffu16, Ok(len + 16)), (0, Err(SrtpError::KeysExhausted))] {
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        assert_eq!(sender.protect_rtp(&mut packet, len), expected, "{sequence}");
    }
    sender.next_rtcp_index = LAST_RTCP_INDEX;
    let mut report = bytes(RTCP);
    let len = report.len();
    report.resize(len + 20, 0);
    assert_eq!(sender.protect_rtcp(&mut report, len), Ok(len + 20));
    assert_eq!(sender.protect_rtcp(&mut report, len), Err(SrtpError::KeysExhausted));
}
