// SPDX-License-Identifier: EUPL-1.2
//! RTP, RTCP, SRTP, payload descriptors.

use parvis_rtp::dependency::{Descriptor, Structure};
use parvis_rtp::rtcp::{self, Rtcp};
use parvis_rtp::srtp::{Limits, MasterKey, Profile, SrtpContext};
use parvis_rtp::{Extension, ExtensionMap, Packet, av1, flexfec, h264, red, rtx, vp8, vp9, write_packet};
use std::hint::black_box;

const EXTENSIONS: [Extension; 10] = [
    Extension::AudioLevel,
    Extension::Mid,
    Extension::Rid,
    Extension::RepairedRid,
    Extension::TransportSequence,
    Extension::AbsSendTime,
    Extension::AbsCaptureTime,
    Extension::PlayoutDelay,
    Extension::VideoOrientation,
    Extension::DependencyDescriptor,
];

/// Reads a packet with all extensions, and reads the same from what it writes.
pub fn rtp_packet(data: &[u8]) {
    let mut map = ExtensionMap::default();
    for (id, extension) in (1..).zip(EXTENSIONS) {
        map.insert(id, extension);
    }
    let Ok(packet) = Packet::parse(data) else { return };
    let extensions = packet.extensions(&map);
    let _ = black_box(rtx::split(packet.payload));
    let mut buffer = vec![0; data.len() + 512];
    let Ok(len) = write_packet(&mut buffer, &packet.fields(), &map, &extensions, packet.payload) else {
        return;
    };
    let again = Packet::parse(&buffer[..len]).expect("what we write can be read");
    assert_eq!((again.fields(), again.payload), (packet.fields(), packet.payload));
    assert_eq!(again.extensions(&map), extensions);
}

/// A stream's descriptors one after another: the structure of one is what the next is read by.
pub fn dependency_descriptor(data: &[u8]) {
    let mut current: Option<Box<Structure>> = None;
    for piece in crate::pieces(data) {
        black_box(parvis_rtp::dependency::peek(piece));
        let Ok(descriptor) = Descriptor::parse(piece, current.as_deref()) else { continue };
        let mut buffer = [0; 2048];
        if let Ok(len) = descriptor.write(&mut buffer, current.as_deref()) {
            let again =
                Descriptor::parse(&buffer[..len], current.as_deref()).expect("what we write can be read");
            assert_eq!(again, descriptor);
        }
        if let Some(structure) = descriptor.structure {
            current = Some(structure);
        }
    }
}

pub fn vp8(data: &[u8]) {
    black_box(vp8::is_keyframe(data));
    let Ok(descriptor) = vp8::Descriptor::parse(data) else { return };
    black_box((descriptor.starts_frame(), descriptor.is_keyframe(data), descriptor.resolution(data)));
}

pub fn vp9(data: &[u8]) {
    black_box(vp9::is_keyframe(data));
    if let Ok(descriptor) = vp9::Descriptor::parse(data) {
        black_box((
            descriptor.references(),
            descriptor.spatial(),
            descriptor.temporal(),
            descriptor.resolution(),
        ));
        if let Some(structure) = descriptor.structure {
            assert!(structure.resolutions().count() <= 8);
            assert!(structure.pictures().count() <= 255);
        }
    }
    let mut payload = data.to_vec();
    if vp9::rewrite_picture_id(&mut payload, 0x1234).is_ok() {
        assert_eq!(payload.len(), data.len());
        vp9::Descriptor::parse(&payload).expect("what we rewrite can be read");
    }
}

pub fn av1(data: &[u8]) {
    black_box(av1::is_keyframe(data));
    if let Ok(descriptor) = av1::Descriptor::parse(data) {
        assert!(descriptor.elements().count() <= data.len());
        assert!(descriptor.obus().count() <= data.len());
    }
}

pub fn h264(data: &[u8]) {
    black_box(h264::is_keyframe(data));
    let _ = black_box(h264::Descriptor::parse(data));
    let _ = black_box(h264::sps_resolution(data));
}

pub fn red(data: &[u8]) {
    let Ok(red) = red::Red::parse(data) else { return };
    let blocks: usize = red.redundant().map(|block| black_box(block.payload).len()).sum();
    assert!(blocks <= data.len());
}

/// A repair packet, then packets that it may protect: what it makes of them has room.
pub fn flexfec(data: &[u8]) {
    let mut pieces = crate::pieces(data);
    let Some(repair) = pieces.next().and_then(|piece| flexfec::Repair::parse(piece).ok()) else { return };
    assert!((1..=usize::from(flexfec::MAX_SPAN)).contains(&repair.sequences().count()));
    let others: Vec<&[u8]> = pieces.collect();
    let mut buffer = [0; flexfec::MAX_PACKET_BYTES];
    if let Some(len) = repair.recover(repair.base, others.iter().copied(), &mut buffer) {
        assert!(Packet::parse(&buffer[..len]).is_ok_and(|packet| packet.ssrc == repair.ssrc) || len >= 12);
    }
    let mut builder = flexfec::Builder::new();
    for other in &others {
        builder.add(other);
    }
    if let Ok(len) = builder.write(&mut buffer) {
        flexfec::Repair::parse(&buffer[..len]).expect("what we write can be read");
    }
}

/// Reads a compound to its end, everything in it included.
pub fn rtcp(data: &[u8]) {
    for packet in rtcp::packets(data) {
        let Ok(packet) = packet else { return };
        let items = match packet {
            Rtcp::Nack(nack) => nack.pairs().count() + nack.sequences().count() / 17,
            Rtcp::Fir(fir) => fir.entries().count(),
            Rtcp::Remb(remb) => remb.ssrcs().count(),
            Rtcp::TransportFeedback(feedback) => return walk(&feedback),
            Rtcp::Xr(xr) => xr.blocks().count(),
            Rtcp::Bye(bye) => bye.ssrcs().count(),
            Rtcp::Sdes(sdes) => sdes.cnames().count(),
            other => usize::from(black_box(format!("{other:?}")).is_empty()),
        };
        assert!(items <= data.len());
    }
}

/// Transport-wide feedback behind a header that is right.
pub fn transport_feedback(data: &[u8]) {
    let mut packet = vec![0x8f, 205, 0, 0];
    packet.extend_from_slice(data);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let words = (packet.len() / 4 - 1).min(usize::from(u16::MAX)) as u16;
    packet[2..4].copy_from_slice(&words.to_be_bytes());
    if let Some(Ok(Rtcp::TransportFeedback(feedback))) = rtcp::packets(&packet).next() {
        walk(&feedback);
    }
}

fn walk(feedback: &rtcp::TransportFeedback<'_>) {
    assert!(feedback.packets().count() <= 65_535);
    assert_eq!(feedback.arrivals().count(), feedback.packets().count());
}

/// Nothing that the sender didn't protect is taken, no state comes of it, and what the sender did protect still is.
pub fn srtp_unprotect(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let profile = Profile::ALL[usize::from(choice % 3)];
    let key = MasterKey::new(profile, &[7; 32][..profile.key_len()], &[9; 14][..profile.salt_len()])
        .expect("a key");
    let context = |limits| SrtpContext::new(profile, &key, limits).expect("a context");
    let (mut sender, mut receiver) = (context(Limits::SEND), context(Limits::RECEIVE));

    assert!(receiver.unprotect_rtp(&mut data.to_vec()).is_err());
    assert!(receiver.unprotect_rtcp(&mut data.to_vec()).is_err());
    assert_eq!(receiver.streams(), 0);

    // The input, xored over a packet that is right, has to be found out, unless it changes nothing.
    let mut right = [0; 256];
    right[..12].copy_from_slice(&[0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    let len = sender.protect_rtp(&mut right, 60).expect("there is room");
    let mut wrong = right[..len].to_vec();
    for (byte, flip) in wrong.iter_mut().zip(data) {
        *byte ^= flip;
    }
    let changed = wrong != right[..len];
    assert_eq!(receiver.unprotect_rtp(&mut wrong).is_err(), changed);
    if changed {
        receiver.unprotect_rtp(&mut right[..len]).expect("the right one");
    }
}
