// SPDX-License-Identifier: EUPL-1.2
//! SRTP against `rtc-srtp` (which runs over another cryptographic library), and against those who mean harm.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use parvis_rtp::srtp::{KeyingMaterial, Limits, MasterKey, Profile, SrtpContext, SrtpError};
use parvis_rtp::{ExtensionMap, Extensions, HeaderFields, rtcp, write_packet};
use proptest::prelude::*;
use rtc_srtp::context::Context as Foreign;
use rtc_srtp::protection_profile::ProtectionProfile;

const SSRC: u32 = 0xcafe_f00d;

fn keys(profile: Profile) -> (MasterKey, Vec<u8>, Vec<u8>) {
    let material: Vec<u8> = (0..profile.keying_len()).map(|place| (place * 37 + 11) as u8).collect();
    let (client, _) = KeyingMaterial::split(profile, &material).unwrap();
    let salts = 2 * profile.key_len();
    (client, material[..profile.key_len()].to_vec(), material[salts..salts + profile.salt_len()].to_vec())
}

fn context(profile: Profile) -> SrtpContext {
    SrtpContext::new(profile, &keys(profile).0, Limits::RECEIVE).unwrap()
}

fn foreign(profile: Profile) -> Foreign {
    let theirs = match profile {
        Profile::Aead128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aead256Gcm => ProtectionProfile::AeadAes256Gcm,
        Profile::CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let (_, key, salt) = keys(profile);
    let provider = rtc_srtp::crypto::default_provider().unwrap();
    // A window as wide as ours, so that both judge late packets alike.
    let rtp = rtc_srtp::option::srtp_replay_protection(1024);
    let rtcp = rtc_srtp::option::srtcp_replay_protection(1024);
    Foreign::new(&key, &salt, theirs, Some(rtp), Some(rtcp), provider.crypto()).unwrap()
}

/// A packet with an extension, its payload told by its number.
fn rtp(ssrc: u32, sequence: u16, len: usize) -> Vec<u8> {
    let mut map = ExtensionMap::default();
    map.insert(1, parvis_rtp::Extension::TransportSequence);
    let extensions = Extensions { transport_sequence: Some(sequence), ..Extensions::default() };
    let fields = HeaderFields { payload_type: 96, sequence, timestamp: 90, ssrc, ..HeaderFields::default() };
    let payload: Vec<u8> = (0..len).map(|place| (place as u16 ^ sequence) as u8).collect();
    let mut buf = vec![0; 100 + len];
    let len = write_packet(&mut buf, &fields, &map, &extensions, &payload).unwrap();
    buf.truncate(len);
    buf
}

fn report(ssrc: u32, number: u32) -> Vec<u8> {
    let mut buf = vec![0; 200];
    let mut writer = rtcp::Writer::new(&mut buf);
    writer.receiver_report(ssrc, &[]).unwrap();
    writer.remb(ssrc, number.into(), &[number]).unwrap();
    let len = writer.len();
    buf.truncate(len);
    buf
}

fn protect(context: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + 20, 0);
    let len = context.protect_rtp(&mut buf, packet.len())?;
    buf.truncate(len);
    Ok(buf)
}

fn unprotect(context: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    let len = context.unprotect_rtp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

fn protect_rtcp(context: &mut SrtpContext, packet: &[u8]) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + 20, 0);
    let len = context.protect_rtcp(&mut buf, packet.len()).unwrap();
    buf.truncate(len);
    buf
}

fn unprotect_rtcp(context: &mut SrtpContext, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = packet.to_vec();
    let len = context.unprotect_rtcp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

/// Sequence numbers of a stream that wraps, with gaps of up to 900, some late by up to 7 packets.
fn bumpy_stream() -> Vec<u16> {
    let mut indices: Vec<u32> = Vec::new();
    let mut next = 64_000;
    for step in 0..600u32 {
        next += if step % 7 == 0 { 1 + (step * 1103) % 900 } else { 1 };
        indices.push(next);
    }
    for at in (0..indices.len() - 8).step_by(5) {
        indices.swap(at, at + (at * 31) % 8);
    }
    indices.into_iter().map(|index| index as u16).collect()
}

#[test]
fn both_implementations_make_the_same_packets_through_wrap_reorder_and_loss() {
    for profile in Profile::ALL {
        let (mut ours, mut theirs) = (context(profile), foreign(profile));
        let (mut our_receiver, mut their_receiver) = (context(profile), foreign(profile));
        let stream = bumpy_stream();
        assert!(
            stream.windows(2).filter(|pair| pair[0] > 60_000 && pair[1] < 5_000).count() >= 1,
            "it wraps"
        );
        for (place, &sequence) in stream.iter().enumerate() {
            let packet = rtp(SSRC, sequence, place % 200);
            let protected = protect(&mut ours, &packet).unwrap();
            assert_eq!(protected, theirs.encrypt_rtp(&packet).unwrap(), "{profile:?} {sequence}");
            assert_eq!(protected.len(), packet.len() + profile.rtp_overhead());
            if place % 11 == 3 {
                continue; // lost
            }
            assert_eq!(unprotect(&mut our_receiver, &protected).unwrap(), packet, "{profile:?} {sequence}");
            assert_eq!(their_receiver.decrypt_rtp(&protected).unwrap(), packet, "{profile:?} {sequence}");
            // A second time, both refuse.
            assert!(matches!(unprotect(&mut our_receiver, &protected), Err(SrtpError::Replayed { .. })));
            assert!(their_receiver.decrypt_rtp(&protected).is_err());
        }
    }
}

#[test]
fn both_implementations_read_each_others_reports() {
    for profile in Profile::ALL {
        let (mut ours, mut theirs) = (context(profile), foreign(profile));
        let (mut our_receiver, mut their_receiver) = (context(profile), foreign(profile));
        for number in 0..300 {
            let packet = report(SSRC + number % 3, number);
            let from_us = protect_rtcp(&mut ours, &packet);
            assert_eq!(from_us.len(), packet.len() + profile.rtcp_overhead());
            assert_eq!(their_receiver.decrypt_rtcp(&from_us).unwrap(), packet, "{profile:?}");
            let from_them = theirs.encrypt_rtcp(&packet).unwrap();
            assert_eq!(unprotect_rtcp(&mut our_receiver, &from_them).unwrap(), packet, "{profile:?}");
            assert!(matches!(unprotect_rtcp(&mut our_receiver, &from_them), Err(SrtpError::Replayed { .. })));
        }
    }
}

#[test]
fn client_and_server_keys_are_told_apart() {
    let profile = Profile::Aead128Gcm;
    let material: Vec<u8> = (0..profile.keying_len() as u8).collect();
    let (client, server) = KeyingMaterial::split(profile, &material).unwrap();
    let packet = rtp(SSRC, 1, 50);
    let mut sender = SrtpContext::new(profile, &client, Limits::SEND).unwrap();
    let protected = protect(&mut sender, &packet).unwrap();
    let mut wrong = SrtpContext::new(profile, &server, Limits::RECEIVE).unwrap();
    assert_eq!(unprotect(&mut wrong, &protected), Err(SrtpError::BadTag));
    let mut right = SrtpContext::new(profile, &client, Limits::RECEIVE).unwrap();
    assert_eq!(unprotect(&mut right, &protected).unwrap(), packet);
    let short = KeyingMaterial::split(profile, &material[1..]);
    assert!(matches!(short, Err(SrtpError::KeyLength { need: 56, have: 55, .. })), "{short:?}");
    assert!(!format!("{client:?}").contains("1, 2"), "keys are not printed: {client:?}");
}

#[test]
fn profiles_are_known_by_all_their_names() {
    for profile in Profile::ALL {
        assert_eq!(Profile::from_name(profile.iana_name()), Some(profile));
        assert_eq!(Profile::from_id(profile.id()), Some(profile));
    }
    assert_eq!(Profile::from_name("SRTP_AES128_CM_SHA1_80"), Some(Profile::CmSha1_80), "BoringSSL's name");
    assert_eq!(Profile::from_name("SRTP_NULL_SHA1_80"), None);
}

/// Row 3: forged packets are dropped and counted, and cost the good sender nothing.
#[test]
fn row_03_forged_packets_change_nothing_for_the_good_sender() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        let mut forged = 0;
        // A million for the profile that browsers get.
        let attacks = if profile == Profile::Aead128Gcm { 1000 } else { 20usize };
        for sequence in 0..1000u16 {
            let packet = rtp(SSRC, sequence, 40);
            let protected = protect(&mut sender, &packet).unwrap();
            for attack in 0..attacks {
                // Sequence numbers ahead and behind, other SSRCs, flipped bits anywhere.
                let mut bad = protected.clone();
                let len = bad.len();
                bad[2..4]
                    .copy_from_slice(&sequence.wrapping_add((attack as u16).wrapping_mul(997)).to_be_bytes());
                bad[len - 1 - attack % (len - 20)] ^= 1 << (attack % 8);
                bad[11] ^= (attack % 3) as u8;
                assert!(unprotect(&mut receiver, &bad).is_err());
                forged += 1;
            }
            assert_eq!(unprotect(&mut receiver, &protected).unwrap(), packet);
        }
        let stats = receiver.stats();
        assert_eq!(stats.packets, 1000);
        assert_eq!(stats.bad_tag + stats.replayed, forged, "{stats:?}");
        assert_eq!(receiver.streams(), 1, "no state without authentication");
    }
}

/// Row 4: what was captured is worth nothing a second time, however late.
#[test]
fn row_04_replayed_packets_are_refused_at_any_age() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        let captured: Vec<_> =
            (0..3000u16).map(|sequence| protect(&mut sender, &rtp(SSRC, sequence, 20)).unwrap()).collect();
        let reports: Vec<_> =
            (0..300).map(|number| protect_rtcp(&mut sender, &report(SSRC, number))).collect();
        for packet in &captured {
            unprotect(&mut receiver, packet).unwrap();
        }
        for packet in &reports {
            unprotect_rtcp(&mut receiver, packet).unwrap();
        }
        for packet in captured.iter().chain(&captured) {
            let refused = unprotect(&mut receiver, packet);
            assert!(
                matches!(refused, Err(SrtpError::Replayed { .. } | SrtpError::TooOld { .. })),
                "{refused:?}"
            );
        }
        for packet in &reports {
            assert!(unprotect_rtcp(&mut receiver, packet).is_err());
        }
        assert_eq!(receiver.stats().packets, 3300);
        assert_eq!(receiver.stats().replayed, 6300);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Row 8: whatever order of sequence numbers is asked for, no index is used twice. In counter mode and in GCM
    /// alike the nonce is SSRC and index, and the ciphertext of zeros is the key stream: equal ones would show.
    #[test]
    fn row_08_no_nonce_is_used_twice(steps in proptest::collection::vec((0u32..3, -40i32..60), 1..300), start: u16) {
        let profile = Profile::Aead128Gcm;
        let mut sender = context(profile);
        let mut streams = std::collections::BTreeSet::new();
        let mut sequence = start;
        for (ssrc, step) in steps {
            sequence = sequence.wrapping_add_signed(step as i16);
            let fields = HeaderFields { sequence, ssrc, ..HeaderFields::default() };
            let mut buf = [0; 60];
            let none = Extensions::default();
            let len = write_packet(&mut buf, &fields, &ExtensionMap::default(), &none, &[0; 32]).unwrap();
            match sender.protect_rtp(&mut buf, len) {
                Ok(_) => prop_assert!(streams.insert(buf[12..44].to_vec()), "key stream used twice"),
                Err(error) => prop_assert!(matches!(error, SrtpError::IndexReused { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn no_bytes_make_a_context_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), first in 0x80u8..0xc0) {
        for profile in Profile::ALL {
            let mut receiver = context(profile);
            let mut bytes = bytes.clone();
            if let Some(byte) = bytes.first_mut() { *byte = first; }
            prop_assert!(receiver.unprotect_rtp(&mut bytes.clone()).is_err());
            prop_assert!(receiver.unprotect_rtcp(&mut bytes.clone()).is_err());
            prop_assert_eq!(receiver.streams(), 0);
        }
    }
}

/// Row 23: ten thousand SSRCs meet a bounded map, authenticated or not.
#[test]
fn row_23_ten_thousand_streams_meet_a_bounded_map() {
    let profile = Profile::Aead128Gcm;
    let mut sender = SrtpContext::new(profile, &keys(profile).0, Limits { max_streams: 20_000 }).unwrap();
    let limits = Limits { max_streams: 100 };
    let mut receiver = SrtpContext::new(profile, &keys(profile).0, limits).unwrap();
    for ssrc in 0..10_000 {
        let result = unprotect(&mut receiver, &protect(&mut sender, &rtp(ssrc, 7, 10)).unwrap());
        let report = unprotect_rtcp(&mut receiver, &protect_rtcp(&mut sender, &report(ssrc, 1)));
        if ssrc < 100 {
            result.unwrap();
            report.unwrap();
        } else {
            assert_eq!(result, Err(SrtpError::TooManyStreams { ssrc, limit: 100 }));
            assert_eq!(report, Err(SrtpError::TooManyStreams { ssrc, limit: 100 }));
        }
    }
    assert_eq!(receiver.streams(), 200);
    assert_eq!(receiver.stats().too_many_streams, 2 * 9_900);
    let known = protect(&mut sender, &rtp(5, 8, 10)).unwrap();
    unprotect(&mut receiver, &known).expect("those who were there first go on");
    // The sender's own bound.
    let mut sender = SrtpContext::new(profile, &keys(profile).0, limits).unwrap();
    let refused = (0..101).filter(|ssrc| protect(&mut sender, &rtp(*ssrc, 7, 10)).is_err()).count();
    assert_eq!(refused, 1);
}

#[test]
fn a_stream_that_starts_before_the_wrap_and_is_reordered_over_it_is_followed() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        let sequences = [65_533u16, 65_534, 65_535, 0, 1, 2, 3];
        let protected: Vec<_> = sequences
            .iter()
            .map(|sequence| protect(&mut sender, &rtp(SSRC, *sequence, 9)).unwrap())
            .collect();
        for at in [0, 4, 2, 3, 1, 6, 5] {
            assert_eq!(unprotect(&mut receiver, &protected[at]).unwrap(), rtp(SSRC, sequences[at], 9));
        }
    }
}

#[test]
fn unencrypted_reports_and_short_buffers_are_refused() {
    for profile in Profile::ALL {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        let mut clear = protect_rtcp(&mut sender, &report(SSRC, 1));
        let trailer = if profile == Profile::CmSha1_80 { clear.len() - 14 } else { clear.len() - 4 };
        clear[trailer] &= 0x7f;
        assert_eq!(unprotect_rtcp(&mut receiver, &clear), Err(SrtpError::Unencrypted));
        let mut tight = rtp(SSRC, 1, 10);
        let len = tight.len();
        assert!(matches!(sender.protect_rtp(&mut tight, len), Err(SrtpError::NoRoom { .. })));
        assert!(matches!(sender.protect_rtp(&mut [0x80; 40], 8), Err(SrtpError::Malformed(_))));
        assert!(matches!(sender.protect_rtcp(&mut [0x80; 40], 7), Err(SrtpError::Malformed(_))));
    }
}
