// SPDX-License-Identifier: EUPL-1.2
//! Losses on both sides of us.

use parvis_peer::sdp::MediaKind;
use parvis_rtp::rtcp::{Rtcp, packets};
use parvis_rtp::{Extensions, Rid};
use parvis_sfu::PeerId;

use crate::world::*;

fn asked_for(world: &mut World, peer: u64) -> Vec<u16> {
    let all = std::mem::take(&mut world.out.rtcp);
    let mut sequences = Vec::new();
    for (_, compound) in all.iter().filter(|(to, _)| *to == PeerId(peer)) {
        for packet in packets(compound) {
            if let Ok(Rtcp::Nack(nack)) = packet {
                sequences.extend(nack.sequences());
            }
        }
    }
    sequences
}

#[test]
fn a_nack_brings_the_same_packet_again_on_the_retransmission_stream() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 5, b"content") {
        world.rtp(1, &packet);
    }
    world.run_ms(200);
    let first = world.take_rtp(2);
    let lost = &first[2];
    world.rtcp(2, |writer| writer.nack(1, 10, [lost.sequence]).unwrap());
    world.run_ms(20);
    let again = world.take_rtp(2);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].ssrc, 11);
    assert_eq!(again[0].payload_type, VP8_RTX + SUB_SHIFT);
    assert_eq!(again[0].payload[..2], lost.sequence.to_be_bytes());
    assert_eq!(again[0].payload[2..], lost.payload[..]);
    assert_eq!((again[0].timestamp, again[0].marker), (lost.timestamp, lost.marker));
    // An impatient repetition within the round trip brings nothing; a later one does.
    world.rtcp(2, |writer| writer.nack(1, 10, [lost.sequence]).unwrap());
    assert_eq!(world.take_rtp(2), []);
    assert_eq!(world.room.stats().resend_suppressed, 1);
    world.run_ms(150);
    world.rtcp(2, |writer| writer.nack(1, 10, [lost.sequence]).unwrap());
    world.run_ms(20);
    assert_eq!(world.take_rtp(2).len(), 1);
}

#[test]
fn without_rtx_the_packet_itself_is_sent_again() {
    let mut world = World::new();
    world.peer(1, &[inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Audio, 1)]);
    world.publish(1, 1, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    for sequence in 0..3 {
        world.rtp(
            1,
            &In { payload_type: OPUS, sequence, extensions: mid_ext("a"), ..In::default() }
                .with(&[sequence as u8]),
        );
    }
    let first = world.take_rtp(2);
    world.run_ms(200);
    world.rtcp(2, |writer| writer.nack(1, 10, [first[1].sequence]).unwrap());
    let again = world.take_rtp(2);
    assert_eq!(
        (again[0].ssrc, again[0].sequence, &again[0].payload),
        (10, first[1].sequence, &first[1].payload)
    );
}

#[test]
fn a_loss_upstream_is_asked_for_and_its_retransmission_takes_the_place_that_was_kept() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(50);
    let frame = source.frame(false, 3, b"delta");
    world.rtp(1, &frame[0]);
    world.rtp(1, &frame[2]);
    world.run_ms(9);
    assert_eq!(asked_for(&mut world, 1), [], "reordering is waited for");
    world.run_ms(2);
    assert_eq!(asked_for(&mut world, 1), [source.sequence.wrapping_sub(2)]);
    let before = world.take_rtp(2);
    assert_eq!(before[2].sequence, before[1].sequence.wrapping_add(2), "its place is kept");

    let original = parvis_rtp::Packet::parse(&frame[1]).unwrap();
    let payload = [&original.sequence.to_be_bytes()[..], original.payload].concat();
    let extensions = mid_ext("v");
    let rtx = In {
        payload_type: VP8_RTX,
        ssrc: 4,
        sequence: 9,
        timestamp: original.timestamp,
        marker: false,
        extensions,
    };
    world.rtp(1, &rtx.with(&payload));
    world.run_ms(500);
    let late = world.take_rtp(2);
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].sequence, before[1].sequence.wrapping_add(1));
    assert_eq!(late[0].ssrc, 10, "to the subscriber it is no retransmission");
    assert_eq!(read_vp8(&late[0].payload).4, b"delta\x01");
    assert_eq!(asked_for(&mut world, 1), [], "it came: it isn't asked for again");
}

#[test]
fn retransmissions_of_a_simulcast_layer_are_known_by_the_repaired_rid() {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &["q", "h"])]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&["q", "h"]));
    world.subscribe(1, 2, 1);
    let mut q = Vp8Source::new(100, rid_ext("v", "q"));
    world.run_ms(0);
    for packet in q.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    let frame = q.frame(false, 2, b"delta");
    world.rtp(1, &frame[1]);
    let original = parvis_rtp::Packet::parse(&frame[0]).unwrap();
    let payload = [&original.sequence.to_be_bytes()[..], original.payload].concat();
    let extensions = Extensions { repaired_rid: Rid::new("q"), ..mid_ext("v") };
    let rtx = In {
        payload_type: VP8_RTX,
        ssrc: 4,
        sequence: 9,
        timestamp: original.timestamp,
        marker: false,
        extensions,
    };
    world.rtp(1, &rtx.with(&payload));
    world.run_ms(100);
    let mut contents: Vec<_> = world.take_rtp(2).iter().map(|left| read_vp8(&left.payload).4).collect();
    contents.sort();
    assert_eq!(contents, [&b"delta\0"[..], b"delta\x01", b"key\0"]);
}

#[test]
fn a_huge_gap_asks_for_a_key_frame_instead_of_hundreds_of_packets() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(600);
    world.out.rtcp.clear();
    source.sequence = source.sequence.wrapping_add(1000);
    for packet in source.frame(false, 1, b"far") {
        world.rtp(1, &packet);
    }
    assert_eq!(world.take_plis(1), 1);
    world.run_ms(100);
    assert_eq!(asked_for(&mut world, 1), []);
    assert_eq!(world.room.stats().nack_overflow, 1);
}

#[test]
fn a_place_that_turns_out_to_hold_nothing_is_closed_by_padding() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    let padding = source.padding();
    for packet in source.frame(false, 1, b"delta") {
        world.rtp(1, &packet);
    }
    world.rtp(1, &padding);
    world.run_ms(100);
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 3);
    assert_eq!(left[1].sequence, left[0].sequence.wrapping_add(2));
    assert_eq!(left[2].sequence, left[0].sequence.wrapping_add(1));
    assert!(left[2].payload.is_empty() && left[2].padding == 1);
}
