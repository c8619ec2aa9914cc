// SPDX-License-Identifier: EUPL-1.2
//! Losses that feedback on the transport tells before anybody asks, and pictures held until they are made good.

use std::time::Duration;

use parvis_rtp::Packet;
use parvis_rtp::rtcp::ReportBlock;
use parvis_sfu::media::MediaConfig;

use crate::world::*;

fn transport_number(left: &Left) -> u16 {
    Packet::parse(&left.bytes).unwrap().extensions(&subscriber_map()).transport_sequence.unwrap()
}

/// Feedback of peer 2: from `base` on, which packets arrived.
fn feedback(world: &mut World, count: u8, base: u16, arrived: &[bool]) {
    let arrivals: Vec<Option<i64>> =
        arrived.iter().enumerate().map(|(at, arrived)| arrived.then_some(at as i64 * 8)).collect();
    world.rtcp(2, |writer| {
        writer.transport_feedback(77, 10, count, base, &arrivals).unwrap();
    });
    world.run_ms(5);
}

#[test]
fn what_feedback_tells_lost_is_sent_again_unasked_and_once_more_when_that_is_lost_too() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 5, b"content") {
        world.rtp(1, &packet);
    }
    world.run_ms(50);
    let first = world.take_rtp(2);
    let base = transport_number(&first[0]);
    feedback(&mut world, 0, base, &[true, true, false, true, true]);
    let again = world.take_rtp(2);
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].ssrc, &again[0].payload[2..]), (11, &first[2].payload[..]));
    // Told twice, it is sent once.
    feedback(&mut world, 1, base, &[true, true, false, true, true]);
    assert_eq!(world.take_rtp(2), []);
    // The retransmission is lost as well, as the next picture shows.
    world.run_ms(30);
    world.rtp(1, &source.frame(false, 1, b"later")[0]);
    world.run_ms(5);
    let later = world.take_rtp(2);
    assert_eq!(transport_number(&later[0]), transport_number(&again[0]).wrapping_add(1));
    feedback(&mut world, 2, transport_number(&again[0]), &[false, true]);
    let third = world.take_rtp(2);
    assert_eq!(third.len(), 1);
    assert_eq!(third[0].payload, again[0].payload);
    feedback(&mut world, 3, transport_number(&third[0]), &[true]);
    assert_eq!(world.take_rtp(2), []);
    assert_eq!(world.room.stats().resend_prompted, 2);
}

#[test]
fn what_was_asked_for_meanwhile_is_not_sent_twice() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 3, b"content") {
        world.rtp(1, &packet);
    }
    world.run_ms(200);
    let first = world.take_rtp(2);
    world.rtcp(2, |writer| writer.nack(1, 10, [first[1].sequence]).unwrap());
    world.run_ms(5);
    assert_eq!(world.take_rtp(2).len(), 1);
    feedback(&mut world, 0, transport_number(&first[0]), &[true, false, true]);
    assert_eq!(world.take_rtp(2), [], "the one that was asked for is on its way");
    assert_eq!(world.room.stats().resend_prompted, 0);
}

/// Row 20: a subscriber that calls all lost has no more sent again than its budget allows.
#[test]
fn row_20_who_tells_that_all_was_lost_spends_its_own_budget() {
    let (mut world, mut source) =
        vp8_pair(MediaConfig { resend_floor_bytes_per_second: 0, resend_share: 0.3, ..config() });
    let (mut media, mut resent) = (0, 0);
    for frame in 0..300u32 {
        for packet in source.frame(frame == 0, 3, &[7; 900]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
        let left = world.take_rtp(2);
        let Some(base) = left.first().map(transport_number) else { continue };
        for left in &left {
            *(if left.ssrc == 10 { &mut media } else { &mut resent }) += left.bytes.len();
        }
        let mut arrived = vec![false; left.len()];
        if let Some(last) = arrived.last_mut() {
            *last = true;
        }
        feedback(&mut world, frame as u8, base, &arrived);
    }
    assert!(world.room.stats().resend_over_budget > 0);
    assert!(resent <= media + 70_000, "{resent} bytes sent again of {media}");
}

#[test]
fn a_subscriber_that_loses_packets_is_told_to_hold_its_pictures_and_no_other_is() {
    let rate = 1_000;
    let (mut world, mut source) = vp8_pair(config());
    let mut lost = 0;
    let mut second = |world: &mut World, more: i32, turn: u32| {
        lost += more;
        let (_, fixed) = ntp_of_last_report(world);
        world.run_ms(150);
        let block = ReportBlock {
            ssrc: 10,
            cumulative_lost: lost,
            extended_highest_sequence: turn * 100,
            last_sr: fixed,
            ..ReportBlock::default()
        };
        world.rtcp(2, |writer| writer.receiver_report(77, &[block]).unwrap());
        for packet in source.frame(turn == 1, 1, b"picture") {
            world.rtp(1, &packet);
        }
        world.run_ms(rate - 150);
        let left = world.take_rtp(2);
        left.iter()
            .find_map(|left| Packet::parse(&left.bytes).unwrap().extensions(&subscriber_map()).playout_delay)
    };
    for turn in 1..5 {
        assert_eq!(second(&mut world, 0, turn), None);
    }
    let mut held = None;
    for turn in 5..9 {
        held = second(&mut world, 5, turn);
    }
    let held = Duration::from_millis(u64::from(held.expect("told").min) * 10);
    assert!((Duration::from_millis(250)..=Duration::from_millis(500)).contains(&held), "{held:?}");
    for turn in 9..70 {
        second(&mut world, 0, turn);
    }
    assert_eq!(second(&mut world, 0, 70).map(|delay| delay.min), Some(0), "it is taken back");
}

/// The middle of the last sender report's NTP time to peer 2, whole and as it stands in a report block.
fn ntp_of_last_report(world: &mut World) -> (u64, u32) {
    use parvis_rtp::rtcp::{Rtcp, packets};
    let mut last = 0;
    for (_, compound) in world.out.rtcp.drain(..) {
        for packet in packets(&compound) {
            if let Ok(Rtcp::SenderReport(report)) = packet {
                last = report.info.ntp;
            }
        }
    }
    (last, (last >> 16) as u32)
}
