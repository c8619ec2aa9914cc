// SPDX-License-Identifier: EUPL-1.2
//! Payload descriptors of the codecs, RED among them.
#![allow(clippy::unusual_byte_groupings)] // bits stand in groups as their fields do

use parvis_rtp::{av1, h264, red, vp8, vp9};
use proptest::prelude::*;

#[test]
fn a_vp8_key_frame_is_known_with_its_size() {
    // 15-bit picture id 4711, TL0PICIDX 12, layer 0 with sync, key index 3; then 640×360.
    let mut payload = vec![0x90, 0xf0, 0x92, 0x67, 12, 0x23];
    payload.extend([0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01, 9]);
    let descriptor = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!(descriptor.picture_id, Some(vp8::PictureId { value: 4711, long: true }));
    assert_eq!((descriptor.tl0_pic_idx, descriptor.key_index, descriptor.len), (Some(12), Some(3), 6));
    assert_eq!(descriptor.temporal, Some(vp8::Temporal { id: 0, layer_sync: true }));
    assert!(vp8::is_keyframe(&payload) && descriptor.starts_frame());
    assert_eq!(descriptor.resolution(&payload), Some((640, 360)));
    payload[6] |= 1;
    assert!(!vp8::is_keyframe(&payload), "P bit");
    payload[6] &= !1;
    payload[0] = 0x91;
    assert!(!vp8::is_keyframe(&payload), "second partition");
    assert!(vp8::is_keyframe(&[0x10, 0x00]) && !vp8::is_keyframe(&[0x10]), "the shortest descriptor");
}

#[test]
fn vp8_numbers_are_rewritten_in_place_at_their_width() {
    let mut long = [0x80, 0xf0, 0x80, 0x01, 5, 0x61, 0xaa];
    let to = vp8::Rewrite { picture_id: Some(0x7fff), tl0_pic_idx: Some(200), key_index: Some(31) };
    vp8::rewrite(&mut long, &to).unwrap();
    assert_eq!(long, [0x80, 0xf0, 0xff, 0xff, 200, 0x7f, 0xaa]);
    let mut short = [0x80, 0x80, 0x01, 0xaa];
    vp8::rewrite(&mut short, &vp8::Rewrite { picture_id: Some(0x1234), ..to }).unwrap();
    assert_eq!(short, [0x80, 0x80, 0x34, 0xaa], "7 bits; what isn't there isn't added");
    vp8::rewrite(&mut short, &vp8::Rewrite::default()).unwrap();
    assert_eq!(short, [0x80, 0x80, 0x34, 0xaa]);
}

#[test]
fn a_vp9_svc_key_picture_is_known_with_its_structure() {
    // Flexible, layers, structure with three sizes and a group of two pictures.
    let mut payload = vec![0b1011_1010, 0x80, 0x07, 0b000_0_000_0];
    payload.extend([0b010_11_000, 0x01, 0x40, 0, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x05, 0, 0x02, 0xd0]);
    payload.extend([2, 0b000_1_00_00, 0b001_0_01_00, 1]);
    payload.push(0x82);
    let descriptor = vp9::Descriptor::parse(&payload).unwrap();
    assert_eq!(descriptor.picture_id, Some(vp9::PictureId { value: 7, long: true }));
    assert_eq!((descriptor.len, descriptor.spatial(), descriptor.temporal()), (payload.len() - 1, 0, 0));
    assert!(descriptor.is_keyframe() && descriptor.flexible && descriptor.tl0_pic_idx.is_none());
    let structure = descriptor.structure.unwrap();
    assert_eq!(structure.resolutions().collect::<Vec<_>>(), [(320, 180), (640, 360), (1280, 720)]);
    assert_eq!(descriptor.resolution(), Some((1280, 720)));
    let pictures: Vec<_> = structure.pictures().collect();
    assert_eq!(pictures.len(), 2);
    assert!(pictures[0].switching_up && pictures[1].temporal == 1 && pictures[1].references == [1]);
    vp9::rewrite_picture_id(&mut payload, 0x1234).unwrap();
    assert_eq!(payload[1..3], [0x92, 0x34]);
    for cut in 0..payload.len() - 1 {
        assert!(vp9::Descriptor::parse(&payload[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn vp9_layer_frames_tell_their_references_and_switching_points() {
    // Flexible, refers 1 and 4 pictures back, spatial layer 2 upon layer 1, temporal layer 1 as a switching point.
    let payload = [0b1111_1100, 0x05, 0b001_1_010_1, 1 << 1 | 1, 4 << 1, 0xaa];
    let descriptor = vp9::Descriptor::parse(&payload).unwrap();
    assert_eq!(descriptor.references(), [1, 4]);
    let layer = vp9::Layer { temporal: 1, switching_up: true, spatial: 2, inter_layer: true };
    assert_eq!(descriptor.layer, Some(layer));
    assert!(!descriptor.is_keyframe() && descriptor.start_of_frame && descriptor.end_of_frame);
    let endless = [0b1111_1100, 0x05, 0, 3, 3, 3, 3, 2, 0xaa];
    assert!(vp9::Descriptor::parse(&endless).is_err(), "more than three references");
    // Non-flexible: TL0PICIDX follows the layers.
    let plain = vp9::Descriptor::parse(&[0b1010_1000, 0x05, 0, 99, 0xaa]).unwrap();
    assert_eq!((plain.tl0_pic_idx, plain.len, plain.is_keyframe()), (Some(99), 4, true));
    let upper = vp9::Descriptor::parse(&[0b1010_1000, 0x05, 0b000_0_001_1, 99, 0xaa]).unwrap();
    assert!(!upper.is_keyframe(), "the upper layer of a key picture is no place to begin");
}

#[test]
fn av1_elements_are_found_with_and_without_lengths() {
    // W = 0: each element has its length. A sequence header and a frame with layers.
    let payload = [0b0000_1000, 2, 0x0a, 0x01, 3, 0x34, 0b001_01_000, 0xff];
    let descriptor = av1::Descriptor::parse(&payload).unwrap();
    assert!(descriptor.new_sequence && av1::is_keyframe(&payload));
    let elements: Vec<_> = descriptor.elements().collect::<Result<_, _>>().unwrap();
    assert_eq!(elements, [&payload[2..4], &payload[5..8]]);
    let obus: Vec<_> = descriptor.obus().collect();
    assert_eq!(obus[0], av1::Obu { kind: av1::Obu::SEQUENCE_HEADER, temporal: 0, spatial: 0 });
    assert_eq!(obus[1], av1::Obu { kind: 6, temporal: 1, spatial: 1 });
    // W = 2: the last has none; Z: the first is a continuation.
    let payload = [0b1010_0000, 1, 0xff, 0x32, 9, 9];
    let descriptor = av1::Descriptor::parse(&payload).unwrap();
    let elements: Vec<_> = descriptor.elements().collect::<Result<_, _>>().unwrap();
    assert_eq!(elements, [&[0xff][..], &[0x32, 9, 9]]);
    assert_eq!(descriptor.obus().map(|obu| obu.kind).collect::<Vec<_>>(), [6]);
    let lying = [0b0000_0000, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(av1::Descriptor::parse(&lying).unwrap().elements().any(|element| element.is_err()));
    assert!(av1::Descriptor::parse(&[0x88, 1]).is_err(), "a new sequence can't continue anything");
}

/// Constrained baseline 3.0, 640×360: 40 × 23 macroblocks, 8 rows cropped.
const SPS_640_360: [u8; 12] = [0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00];

#[test]
fn h264_key_frames_are_known_in_every_packetisation() {
    let sps = SPS_640_360;
    let pps = [0x68, 0xce, 0x3c, 0x80];
    let idr = [0x65, 0x88, 0x84, 0x00];
    let mut stap = vec![0x78, 0, sps.len() as u8];
    stap.extend(sps);
    stap.extend([0, 4]);
    stap.extend(pps);
    let descriptor = h264::Descriptor::parse(&stap).unwrap();
    assert!(descriptor.keyframe && descriptor.has_sps && descriptor.has_pps && descriptor.starts_unit);
    assert_eq!(descriptor.resolution, Some((640, 360)));
    assert!(h264::is_keyframe(&idr), "single unit");
    assert!(!h264::is_keyframe(&[0x65, 0x48, 0x84]), "a later slice of an IDR picture");
    assert!(!h264::is_keyframe(&[0x41, 0x9a, 0x00]), "P slice");
    let fragment = |head: u8| h264::Descriptor::parse(&[0x7c, head, 0x88, 0x84]).unwrap();
    assert!(fragment(0x85).keyframe && fragment(0x85).starts_unit);
    assert!(!fragment(0x05).keyframe && !fragment(0x05).starts_unit && !fragment(0x45).starts_unit);
    assert!(h264::Descriptor::parse(&[0x01, 0x9a]).unwrap().non_reference);
    stap.pop();
    assert!(h264::Descriptor::parse(&stap).is_err(), "cut");
    assert!(h264::Descriptor::parse(&[0x1e, 0]).is_err(), "unit type 30");
}

#[test]
fn h264_parameter_sets_tell_the_cropped_size() {
    assert_eq!(h264::sps_resolution(&SPS_640_360[1..]), Ok((640, 360)));
    // High 4.0, 1920×1080 (1088 less 8 rows), with emulation prevention bytes.
    let high = hex::decode("640028acd940780227e5c044000003000400000300f03c60c658").unwrap();
    assert_eq!(h264::sps_resolution(&high), Ok((1920, 1080)));
    for cut in 0..SPS_640_360.len() - 3 {
        let _ = h264::sps_resolution(&SPS_640_360[1..cut.max(1)]);
    }
}

proptest! {
    #[test]
    fn redundant_blocks_are_read_as_written(
        blocks in proptest::collection::vec((0u8..128, 0u16..=red::MAX_OFFSET, proptest::collection::vec(any::<u8>(), 0..200)), 0..5),
        payload_type in 0u8..128, primary in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let redundant: Vec<_> = blocks.iter()
            .map(|(payload_type, timestamp_offset, payload)| red::Block { payload_type: *payload_type, timestamp_offset: *timestamp_offset, payload })
            .collect();
        let mut buf = [0; 2000];
        let len = red::write(&mut buf, &redundant, payload_type, &primary).unwrap();
        let read = red::Red::parse(&buf[..len]).unwrap();
        prop_assert_eq!(read.redundant().collect::<Vec<_>>(), redundant);
        prop_assert_eq!(read.primary, red::Block { payload_type, timestamp_offset: 0, payload: &primary });
        prop_assert!(red::write(&mut buf[..len - 1], &[], payload_type, &vec![0; len]).is_err());
        for cut in 0..len - primary.len() {
            prop_assert!(red::Red::parse(&buf[..cut]).is_err(), "cut at {}", cut);
        }
    }

    #[test]
    fn no_bytes_make_a_descriptor_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(descriptor) = vp8::Descriptor::parse(&bytes) {
            descriptor.resolution(&bytes);
            let mut copy = bytes.clone();
            let to = vp8::Rewrite { picture_id: Some(9), tl0_pic_idx: Some(9), key_index: Some(9) };
            vp8::rewrite(&mut copy, &to).unwrap();
            let again = vp8::Descriptor::parse(&copy).unwrap();
            prop_assert_eq!((again.len, again.temporal), (descriptor.len, descriptor.temporal));
            prop_assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|_| 9));
        }
        if let Ok(descriptor) = vp9::Descriptor::parse(&bytes) {
            descriptor.structure.map(|structure| structure.pictures().count() + structure.resolutions().count());
            let mut copy = bytes.clone();
            vp9::rewrite_picture_id(&mut copy, 9).unwrap();
            let again = vp9::Descriptor::parse(&copy).unwrap();
            prop_assert_eq!(again.picture_id.map(|id| id.value), descriptor.picture_id.map(|_| 9));
            prop_assert_eq!((again.len, again.layer), (descriptor.len, descriptor.layer));
        }
        if let Ok(descriptor) = av1::Descriptor::parse(&bytes) {
            prop_assert!(descriptor.elements().count() <= bytes.len());
            descriptor.obus().count();
        }
        let _ = h264::Descriptor::parse(&bytes);
        let _ = h264::sps_resolution(&bytes);
        if let Ok(red) = red::Red::parse(&bytes) { red.redundant().count(); }
    }
}
