// SPDX-License-Identifier: EUPL-1.2
//! RTP packets and header extensions: what is written is read, in the smallest form that holds it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use parvis_rtp::{
    AbsCaptureTime, AudioLevel, Csrcs, Extension, ExtensionMap, Extensions, HeaderFields, Name, Packet,
    ParseError, PlayoutDelay, rtx, write_packet, write_padding,
};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Option<Name>> {
    proptest::option::of("[!-~]{1,32}".prop_map(|text| Name::new(&text).unwrap()))
}

prop_compose! {
    fn extensions()(
        audio_level in proptest::option::of((any::<bool>(), 0u8..128)),
        mid in name(), rid in name(), repaired_rid in name(),
        transport_sequence in any::<Option<u16>>(),
        abs_send_time in proptest::option::of(0u32..1 << 24),
        capture in any::<Option<(u64, Option<i64>)>>(),
        delay in proptest::option::of((0u16..4096, 0u16..4096)),
        video_orientation in any::<Option<u8>>(),
    ) -> Extensions<'static> {
        Extensions {
            audio_level: audio_level.map(|(voice, level)| AudioLevel { voice, level }),
            mid, rid, repaired_rid, transport_sequence, abs_send_time,
            abs_capture_time: capture.map(|(ntp, clock_offset)| AbsCaptureTime { ntp, clock_offset }),
            playout_delay: delay.map(|(min, max)| PlayoutDelay { min, max }),
            video_orientation,
            dependency_descriptor: None,
        }
    }
}

/// Ids for all extensions, in the one-byte form's range or beyond.
fn map() -> impl Strategy<Value = ExtensionMap> {
    (proptest::sample::subsequence((1u8..=14).collect::<Vec<_>>(), 10), any::<bool>(), any::<[bool; 10]>())
        .prop_map(|(ids, high, known)| {
            let mut map = ExtensionMap::default();
            for ((id, extension), known) in ids.into_iter().zip(Extension::ALL).zip(known) {
                if known {
                    assert!(map.insert(if high { id + 100 } else { id }, extension));
                }
            }
            map
        })
}

/// What of `extensions` can be sent with `map`.
fn agreed<'a>(extensions: &Extensions<'a>, map: &ExtensionMap) -> Extensions<'a> {
    let mut agreed = *extensions;
    for extension in Extension::ALL.into_iter().filter(|extension| map.id(*extension).is_none()) {
        match extension {
            Extension::AudioLevel => agreed.audio_level = None,
            Extension::Mid => agreed.mid = None,
            Extension::Rid => agreed.rid = None,
            Extension::RepairedRid => agreed.repaired_rid = None,
            Extension::TransportSequence => agreed.transport_sequence = None,
            Extension::AbsSendTime => agreed.abs_send_time = None,
            Extension::AbsCaptureTime => agreed.abs_capture_time = None,
            Extension::PlayoutDelay => agreed.playout_delay = None,
            Extension::VideoOrientation => agreed.video_orientation = None,
            Extension::DependencyDescriptor => agreed.dependency_descriptor = None,
        }
    }
    agreed
}

proptest! {
    #[test]
    fn a_packet_is_read_as_written(
        marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32,
        csrcs in proptest::collection::vec(any::<[u8; 4]>(), 0..16),
        map in map(), extensions in extensions(), descriptor in proptest::collection::vec(any::<u8>(), 1..256),
        payload in proptest::collection::vec(any::<u8>(), 0..300), padding in 0u8..255,
    ) {
        let csrcs = csrcs.concat();
        let csrcs = Csrcs::from_wire(&csrcs).unwrap();
        let fields = HeaderFields { marker, payload_type, sequence, timestamp, ssrc, csrcs };
        let extensions = Extensions { dependency_descriptor: Some(&descriptor[..]), ..extensions };
        let mut buf = [0xee; 2000];
        let len = write_packet(&mut buf, &fields, &map, &extensions, &payload).unwrap();
        let packet = Packet::parse(&buf[..len]).unwrap();
        prop_assert_eq!(packet.fields(), fields);
        prop_assert_eq!(packet.payload, &payload[..]);
        prop_assert_eq!((packet.padding, packet.header_len), (0, len - payload.len()));
        prop_assert_eq!(packet.extensions(&map), agreed(&extensions, &map));
        // Too little room is an error wherever it ends.
        prop_assert!(write_packet(&mut buf[..len - 1], &fields, &map, &extensions, &payload).is_err());

        if padding > 0 {
            let len = write_padding(&mut buf, &fields, &map, &extensions, padding).unwrap();
            let packet = Packet::parse(&buf[..len]).unwrap();
            prop_assert_eq!((packet.padding, packet.payload), (padding, &[][..]));
            prop_assert_eq!(packet.extensions(&map), agreed(&extensions, &map));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), profile in prop_oneof![Just(0xbede_u16), 0x1000u16..0x1010, any::<u16>()], map in map()) {
        if let Ok(packet) = Packet::parse(&bytes) {
            packet.extensions(&map);
            prop_assert!(packet.header_len + packet.payload.len() + usize::from(packet.padding) == bytes.len());
        }
        Extensions::parse(profile, &bytes, &map);
        rtx::split(&bytes);
    }
}

#[test]
fn the_two_byte_form_is_used_only_where_it_is_needed() {
    let mut map = ExtensionMap::default();
    assert!(map.insert(14, Extension::Mid) && map.insert(1, Extension::DependencyDescriptor));
    let mut buf = [0; 200];
    let mut profile = |map: &ExtensionMap, extensions: &Extensions<'_>| {
        let len = write_packet(&mut buf, &HeaderFields::default(), map, extensions, &[]).unwrap();
        Packet::parse(&buf[..len]).unwrap().extension_profile
    };
    let mid = Extensions { mid: Name::new("0123456789abcdef"), ..Extensions::default() };
    assert_eq!(profile(&map, &mid), 0xbede, "16 bytes fit in one");
    assert_eq!(profile(&map, &Extensions { mid: Name::new("0123456789abcdefg"), ..mid }), 0x1000);
    assert_eq!(profile(&map, &Extensions { dependency_descriptor: Some(&[7; 17]), ..mid }), 0x1000);
    assert_eq!(profile(&map, &Extensions::default()), 0, "no extension, no block");
    assert!(map.insert(16, Extension::Mid));
    assert_eq!(profile(&map, &mid), 0x1000, "id 16");
}

#[test]
fn elements_after_a_malformed_one_do_not_count_and_those_before_it_do() {
    let mut map = ExtensionMap::default();
    map.insert(1, Extension::AudioLevel);
    map.insert(2, Extension::Mid);
    let level = Some(AudioLevel { voice: true, level: 5 });
    // One byte form: padding, level, padding, then each kind of end.
    for end in [[0x00, 0x2f].as_slice(), &[0xf0, 0x20, b'a'], &[0x01, 0, 0, 0x20, b'a'], &[0x2e, b'a', b'b']]
    {
        let body = [&[0, 0x10, 0x85, 0, 0], end].concat();
        let read = Extensions::parse(0xbede, &body, &map);
        assert_eq!((read.audio_level, read.mid), (level, None), "{end:02x?}");
    }
    // Two byte form: an empty value and an unknown id are passed over.
    let read = Extensions::parse(0x1003, &[9, 0, 0, 77, 1, 1, 1, 1, 0x85, 2, 1, b'x'], &map);
    assert_eq!((read.audio_level, read.mid), (level, Name::new("x")));
    // A wrong length is passed over too; and so are invisible bytes in a name.
    let read = Extensions::parse(0xbede, &[0x11, 1, 2, 0x20, 0x07, 0x10, 0x05], &map);
    assert_eq!((read.audio_level.map(|level| level.level), read.mid), (Some(5), None));
    assert_eq!(Extensions::parse(0x2000, &[0x10, 0x85], &map), Extensions::default(), "unknown form");
}

#[test]
fn malformed_headers_are_refused_with_their_reason() {
    assert_eq!(Packet::parse(&[0x40; 12]), Err(ParseError::Version(1)));
    assert!(matches!(Packet::parse(&[0x80; 11]), Err(ParseError::TooShort { need: 12, have: 11, .. })));
    let mut csrcs = [0; 40];
    csrcs[0] = 0x88;
    assert!(matches!(Packet::parse(&csrcs), Err(ParseError::TooShort { need: 44, have: 40, .. })));
    let mut extension = [0; 20];
    (extension[0], extension[15]) = (0x90, 2);
    assert!(matches!(Packet::parse(&extension), Err(ParseError::TooShort { need: 24, have: 20, .. })));
    let mut padded = [0; 20];
    padded[0] = 0xa0;
    for (padding, ok) in [(0, false), (1, true), (8, true), (9, false), (255, false)] {
        padded[19] = padding;
        assert_eq!(Packet::parse(&padded).is_ok(), ok, "{padding} bytes of padding");
    }
}

#[test]
fn a_retransmission_carries_its_original() {
    let mut buf = [0; 10];
    let len = rtx::write(&mut buf, 0x1234, b"frame").unwrap();
    assert_eq!(rtx::split(&buf[..len]), Some((0x1234, &b"frame"[..])));
    assert_eq!(rtx::split(&[1]), None);
    assert!(rtx::write(&mut buf[..6], 1, b"frame").is_err());
}
