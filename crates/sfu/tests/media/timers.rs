// SPDX-License-Identifier: EUPL-1.2
//! A wake costs only who is due, however large the room.

use std::time::Duration;

use parvis_peer::sdp::MediaKind;
use parvis_sfu::media::MediaConfig;

use crate::world::*;

const PEERS: u64 = 200;

/// A room of two hundred, all of whom take the track of the first, in quiet times; with the next tick just behind.
fn crowd() -> (World, Vp8Source) {
    let mut world = World::with(MediaConfig { start_bitrate: 2_000_000, ..MediaConfig::default() });
    world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
    world.publish(1, 1, "v", &video_spec(&[]));
    for peer in 2..=PEERS {
        world.peer(peer, &[outbound("0", MediaKind::Video, peer)]);
        world.subscribe(peer, peer, 1);
    }
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    for frame in 0..20 {
        for packet in source.frame(frame == 0, 1, &[7; 100]) {
            world.rtp(1, &packet);
        }
        world.run_ms(25);
    }
    // 500 ms: a tick came just now, and the next is 100 ms away.
    world.out.rtp.clear();
    (world, source)
}

#[test]
fn a_wake_of_one_pacer_in_a_room_of_two_hundred_visits_one_peer() {
    let (mut world, mut source) = crowd();
    let before = world.room.stats();
    // A burst beyond five milliseconds at 5 Mbit/s, to one who asks for it again.
    for packet in source.frame(false, 12, &[7; 1000]) {
        world.rtp(1, &packet);
    }
    world.run_ms(60);
    let stats = world.room.stats();
    assert_eq!(stats.sent_packets - before.sent_packets, 12 * (PEERS - 1));
    let visits = stats.timer_visits - before.timer_visits;
    // Everyone's pacer lets its packets go by itself: at most one visit for each packet that waited.
    assert!((PEERS - 1..=12 * (PEERS - 1)).contains(&visits), "{visits} visits");

    // Now one alone is behind.
    world.run_ms(40);
    world.out.rtp.clear();
    let sequences: Vec<u16> = {
        for packet in source.frame(false, 10, &[8; 1000]) {
            world.rtp(1, &packet);
        }
        // Longer than the round trip that is taken for granted, and up to the next tick.
        world.run_ms(200);
        world.take_rtp(2).iter().map(|left| left.sequence).collect()
    };
    assert_eq!(sequences.len(), 10);
    world.out.rtp.clear();
    let before = world.room.stats();
    world.rtcp(2, |writer| writer.nack(1, 20, sequences).unwrap());
    world.run_ms(45);
    let stats = world.room.stats();
    assert_eq!(stats.resent_packets - before.resent_packets, 10);
    assert!(world.out.rtp.iter().all(|left| left.peer == parvis_sfu::PeerId(2)));
    let visits = stats.timer_visits - before.timer_visits;
    assert!((3..=10).contains(&visits), "{visits} visits for the packets of one peer");
}

#[test]
fn a_wake_for_a_missing_packet_visits_its_publication_alone() {
    let (mut world, mut source) = crowd();
    let before = world.room.stats();
    let lost = source.frame(false, 3, &[7; 100]);
    world.rtp(1, &lost[0]);
    world.rtp(1, &lost[2]);
    world.run(Duration::from_millis(15));
    let stats = world.room.stats();
    assert_eq!(stats.nacks_sent - before.nacks_sent, 1);
    assert_eq!(stats.timer_visits - before.timer_visits, 1);
}

#[test]
fn whoever_subscribes_between_ticks_gets_a_key_frame_asked_for_at_once() {
    let (mut world, mut source) = crowd();
    world.run_ms(130);
    world.rtp(1, &source.frame(false, 1, &[7; 100])[0]);
    world.run_ms(0);
    world.take_plis(1);
    world.peer(PEERS + 1, &[outbound("0", MediaKind::Video, PEERS + 1)]);
    world.subscribe(PEERS + 1, PEERS + 1, 1);
    world.run_ms(0);
    assert_eq!(world.take_plis(1), 1);
}
