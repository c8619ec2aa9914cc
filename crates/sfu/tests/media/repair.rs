// SPDX-License-Identifier: EUPL-1.2
//! Losses on both sides of us.

use std::collections::VecDeque;

use parvis_peer::sdp::MediaKind;
use parvis_rtp::rtcp::{Dlrr, Rtcp, XrBlock, packets};
use parvis_rtp::{Extensions, Packet, Rid};
use parvis_sfu::PeerId;
use parvis_sfu::media::MediaConfig;

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
    world.out.lenient = true;
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

    let original = Packet::parse(&frame[1]).unwrap();
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
    let original = Packet::parse(&frame[0]).unwrap();
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
    // Lost on its way, it comes on the retransmission stream: under its own number it would be refused.
    world.run_ms(500);
    world.rtcp(2, |writer| writer.nack(1, 10, [left[2].sequence]).unwrap());
    world.run_ms(50);
    let again = world.take_rtp(2);
    let again = again.iter().find(|left| left.padding == 0).unwrap();
    assert_eq!((again.ssrc, &again.payload[..]), (11, &left[2].sequence.to_be_bytes()[..]));
    assert_eq!(world.out.refused, 0);
}

/// The peer reports on all numbers between those that it saw: one that never left would count as lost.
#[test]
fn what_does_not_leave_takes_no_number_of_the_transport() {
    let (mut world, mut source) = vp8_pair(config());
    let mut left = Vec::new();
    for frame in 0..90 {
        world.out.shut = (30..60).contains(&frame);
        for packet in source.frame(frame == 0, 3, &[7; 900]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
        left.extend(world.take_rtp(2));
    }
    assert!(world.out.refused > 60 && left.len() > 120, "{} and {}", world.out.refused, left.len());
    let numbers: Vec<u16> = left
        .iter()
        .filter_map(|left| {
            Packet::parse(&left.bytes).unwrap().extensions(&subscriber_map()).transport_sequence
        })
        .collect();
    assert_eq!(numbers.len(), left.len());
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
}

#[test]
fn what_a_subscriber_misses_before_we_have_it_is_asked_for_at_once_and_sent_when_it_comes() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(50);
    let frame = source.frame(false, 3, b"delta");
    world.rtp(1, &frame[0]);
    world.rtp(1, &frame[2]);
    let sent = world.take_rtp(2);
    let missing = sent[1].sequence.wrapping_add(1);
    world.run_ms(2);
    assert_eq!(asked_for(&mut world, 1), [], "we wait for reordering");
    world.rtcp(2, |writer| writer.nack(1, 10, [missing]).unwrap());
    world.run_ms(0);
    assert_eq!(asked_for(&mut world, 1), [source.sequence.wrapping_sub(2)], "somebody waits for it");
    assert_eq!((world.room.stats().resend_awaited, world.room.stats().resend_unknown), (1, 0));
    // An impatient subscriber doesn't make us ask more often.
    for _ in 0..10 {
        world.rtcp(2, |writer| writer.nack(1, 10, [missing]).unwrap());
        world.run_ms(1);
    }
    assert_eq!(asked_for(&mut world, 1), []);
    world.rtp(1, &frame[1]);
    world.run_ms(20);
    let answer = world.take_rtp(2);
    assert_eq!(answer.len(), 1, "once, however often it was asked for");
    assert_eq!((answer[0].ssrc, answer[0].sequence), (10, missing));
    assert_eq!(read_vp8(&answer[0].payload).4, b"delta\x01");
    assert_eq!(world.room.stats().resent_packets, 0, "it costs no budget: it is sent for the first time");
    // What never was is unknown.
    world.rtcp(2, |writer| writer.nack(1, 10, [missing.wrapping_add(1000)]).unwrap());
    assert_eq!(world.room.stats().resend_unknown, 1);
}

#[test]
fn a_second_at_ten_megabits_can_be_sent_again_and_so_can_one_of_sound() {
    let (mut world, mut source) =
        vp8_pair(MediaConfig { resend_floor_bytes_per_second: 10_000_000, ..config() });
    // 10 Mbit/s of 1,200-byte packets: 1,042 a second.
    let mut sent = Vec::new();
    for frame in 0..60u32 {
        for packet in source.frame(frame == 0, 35, &[7; 1150]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
        sent.extend(world.take_rtp(2).into_iter().filter(|left| left.ssrc == 10));
    }
    assert_eq!(sent.len(), 60 * 35);
    let old = &sent[sent.len() - 1000];
    assert!((world.now - old.at).as_millis() > 900);
    world.rtcp(2, |writer| writer.nack(1, 10, [old.sequence]).unwrap());
    world.run_ms(100);
    let again = world.take_rtp(2);
    let again = again.iter().find(|left| left.ssrc == 11 && left.padding == 0).unwrap();
    assert_eq!(again.payload[2..], old.payload[..]);
}

#[test]
fn a_subscriber_that_loses_much_is_repaired_within_its_budget_and_takes_none_of_anothers() {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
    world.publish(1, 1, "v", &video_spec(&[]));
    for peer in [2, 3] {
        world.peer(peer, &[outbound("0", MediaKind::Video, peer)]);
        world.subscribe(peer, peer, 1);
    }
    world.run_ms(0);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    let mut repaired = [0, 0];
    // Who misses a packet says so 132 ms later: a round trip in which nobody would have believed it.
    let mut missed = [const { VecDeque::new() }; 2];
    for frame in 0..300u32 {
        for packet in source.frame(frame == 0, 4, &[7; 1000]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
        for (place, peer) in [2, 3].into_iter().enumerate() {
            let left = world.take_rtp(peer);
            repaired[place] += left.iter().filter(|left| left.ssrc % 10 == 1 && left.padding == 0).count();
            // Peer 2 loses everything; peer 3 every tenth packet.
            let ssrc = peer as u32 * 10;
            let lost = left.iter().filter(|left| left.ssrc == ssrc && (peer == 2 || left.sequence % 10 == 0));
            missed[place].push_back(lost.map(|left| left.sequence).collect::<Vec<u16>>());
            if missed[place].len() > 4 {
                let lost = missed[place].pop_front().unwrap();
                world.rtcp(peer, |writer| writer.nack(1, ssrc, lost).unwrap());
            }
        }
    }
    let share = config().resend_share;
    assert!(repaired[0] as f64 >= 1200.0 * share * 0.9, "{} of 1,200", repaired[0]);
    assert!(repaired[0] as f64 <= 1200.0 * share + 150.0, "{} of 1,200: a third and the floor", repaired[0]);
    assert!((115..=120).contains(&repaired[1]), "{} of 120", repaired[1]);
    assert!(world.room.stats().resend_over_budget > 500);
}

#[test]
fn a_hundred_who_ask_for_a_key_frame_bring_one_request_repeated_until_it_comes() {
    let mut world = World::new();
    world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
    world.publish(1, 1, "v", &video_spec(&[]));
    for peer in 2..102 {
        world.peer(peer, &[outbound("0", MediaKind::Video, peer)]);
        world.subscribe(peer, peer, 1);
    }
    world.run_ms(0);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(1000);
    world.take_plis(1);
    let mut asked = Vec::new();
    for ms in 0..3000u32 {
        for peer in (2..102).filter(|peer| (ms + *peer as u32).is_multiple_of(20)) {
            world.rtcp(peer, |writer| writer.pli(1, peer as u32 * 10).unwrap());
        }
        world.run_ms(1);
        asked.extend(std::iter::repeat_n(ms, world.take_plis(1)));
    }
    let apart: Vec<u32> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(
        apart,
        [499, 500, 500, 500, 500, 500],
        "the first within the millisecond, the others when due"
    );
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(2000);
    assert_eq!(world.take_plis(1), 0, "it came");
}

#[test]
fn a_far_sender_is_asked_for_a_key_frame_every_two_round_trips() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.run_ms(1100);
    // The publisher answers our reference time 400 ms later.
    let ntp = world.out.rtcp.iter().filter(|(peer, _)| *peer == PeerId(1)).find_map(|(_, compound)| {
        packets(compound).find_map(|packet| match packet {
            Ok(Rtcp::Xr(xr)) => xr.blocks().find_map(|block| match block {
                XrBlock::ReceiverReferenceTime(ntp) => Some((xr.ssrc, ntp)),
                _ => None,
            }),
            _ => None,
        })
    });
    let (ssrc, ntp) = ntp.expect("a reference time");
    let asked_at = world.now;
    world.run_ms(300);
    let waited = world.now - asked_at;
    let delay = 0;
    world.rtcp(1, |writer| {
        let dlrr = Dlrr { ssrc, last_rr: (ntp >> 16) as u32, delay_since_last_rr: delay };
        writer.dlrr(99, &[dlrr]).unwrap();
    });
    world.take_plis(1);
    let mut asked = Vec::new();
    for ms in 0..4000u32 {
        world.rtcp(2, |writer| writer.pli(1, 10).unwrap());
        world.run_ms(1);
        asked.extend(std::iter::repeat_n(ms, world.take_plis(1)));
    }
    let apart: Vec<u32> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.iter().all(|apart| (600..=1000).contains(apart)), "{asked:?}, {waited:?} and more away");
    assert!(asked.len() >= 4);
}
