// SPDX-License-Identifier: EUPL-1.2
//! Sender and receiver reports, round trip, quality.

use parvis_rtp::rtcp::{Dlrr, ReportBlock, Rtcp, SenderInfo, XrBlock, packets};
use parvis_sfu::PeerId;
use parvis_sfu::media::MediaEvent;

use crate::world::*;

fn sender_report(world: &World, ssrc: u32) -> Option<(SenderInfo, bool)> {
    let mut found = None;
    for (_, compound) in world.out.rtcp.iter().filter(|(to, _)| *to == PeerId(2)) {
        let mut named = false;
        for packet in packets(compound) {
            match packet.unwrap() {
                Rtcp::SenderReport(report) if report.ssrc == ssrc => found = Some((report.info, false)),
                Rtcp::Sdes(_) => named = true,
                _ => {}
            }
        }
        found = found.map(|(info, before)| (info, before || named));
    }
    found
}

#[test]
fn a_sender_report_tells_what_was_sent_and_keeps_to_the_publishers_clock() {
    let (mut world, mut source) = vp8_pair(config());
    let second = 1_u64 << 32;
    for number in 0..30u64 {
        if number == 1 {
            let info =
                SenderInfo { ntp: 77 * second, rtp_timestamp: source.timestamp, packets: 0, octets: 0 };
            world.rtcp(1, |writer| writer.sender_report(1000, &info, &[]).unwrap());
        }
        for packet in source.frame(number == 0, 2, b"frame") {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
    }
    world.out.rtcp.clear();
    world.run_ms(1010);
    let left = world.take_rtp(2);
    let (info, named) = sender_report(&world, 10).unwrap();
    assert!(named, "a sender report comes with a CNAME");
    assert_eq!(info.packets, 60);
    assert_eq!(info.octets, left.iter().map(|left| left.payload.len() as u32).sum::<u32>());
    // The report's moment lies after the last frame, by the publisher's clock of 90 kHz.
    let ahead = info.rtp_timestamp.wrapping_sub(left.last().unwrap().timestamp);
    assert!(ahead < 90_000, "{ahead}");
    // A second later the clock stands a second further.
    for packet in source.frame(false, 1, b"frame") {
        world.rtp(1, &packet);
    }
    world.out.rtcp.clear();
    world.run_ms(1000);
    let (later, _) = sender_report(&world, 10).unwrap();
    let elapsed = (later.ntp - info.ntp) as f64 / second as f64;
    let advanced = f64::from(later.rtp_timestamp.wrapping_sub(info.rtp_timestamp)) / 90_000.0;
    assert!((elapsed - advanced).abs() < 0.001, "{elapsed} s of wall clock, {advanced} s of RTP clock");
}

#[test]
fn a_receiver_report_tells_the_publisher_its_loss() {
    let (mut world, mut source) = vp8_pair(config());
    let info = SenderInfo { ntp: 0x1234_5678_9abc_def0, ..SenderInfo::default() };
    for number in 0..25 {
        for (place, packet) in source.frame(number == 0, 4, b"frame").iter().enumerate() {
            if place != 2 {
                world.rtp(1, packet);
            }
        }
        if number == 0 {
            world.rtcp(1, |writer| writer.sender_report(1000, &info, &[]).unwrap());
        }
        world.run_ms(33);
    }
    world.out.rtcp.clear();
    world.run_ms(1000);
    let reports = world.out.rtcp.iter().filter(|(to, _)| *to == PeerId(1));
    let block = reports
        .flat_map(|(_, compound)| packets(compound).collect::<Vec<_>>())
        .find_map(|packet| match packet.unwrap() {
            Rtcp::ReceiverReport(report) => report.blocks.iter().next(),
            _ => None,
        })
        .unwrap();
    assert_eq!(block.ssrc, 1000);
    assert_eq!(block.cumulative_lost, 25);
    assert_eq!(block.last_sr, 0x5678_9abc);
    assert!(block.delay_since_last_sr > 0);
}

#[test]
fn reports_of_a_subscriber_give_round_trip_loss_and_quality() {
    let (mut world, mut source) = vp8_pair(config());
    for round in 0..6u32 {
        for number in 0..30 {
            for packet in source.frame(round == 0 && number == 0, 1, b"frame") {
                world.rtp(1, &packet);
            }
            world.run_ms(33);
        }
        let Some((info, _)) = sender_report(&world, 10) else { continue };
        world.out.rtcp.clear();
        // The way there and back takes 180 ms.
        world.run_ms(180);
        let last = world.out.rtp.last().unwrap().sequence;
        let block = ReportBlock {
            ssrc: 10,
            cumulative_lost: 3 * round as i32,
            extended_highest_sequence: u32::from(last),
            last_sr: (info.ntp >> 16) as u32,
            delay_since_last_sr: 0,
            ..ReportBlock::default()
        };
        world.rtcp(2, |writer| writer.receiver_report(1, &[block]).unwrap());
    }
    world.run_ms(5000);
    let report = world
        .events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::Quality(PeerId(2), report) => Some(*report),
            _ => None,
        })
        .next_back()
        .unwrap();
    assert!(report.round_trip_ms >= 180 && report.round_trip_ms < 2000, "{report:?}");
    assert!(report.downlink_loss > 0.02 && report.downlink_loss < 0.2, "{report:?}");
    assert!(report.estimate > 0);
}

#[test]
fn reference_times_are_answered_and_ours_gives_the_round_trip_of_who_only_publishes() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 1, b"key") {
        world.rtp(1, &packet);
    }
    world.rtcp(2, |writer| writer.receiver_reference_time(77, 0xaaaa_1234_5678_bbbb).unwrap());
    world.run_ms(1100);
    let blocks = |world: &World, peer| -> Vec<(Option<u64>, Option<Dlrr>)> {
        let to_peer = world.out.rtcp.iter().filter(|(to, _)| *to == PeerId(peer));
        let mut found = Vec::new();
        for (_, compound) in to_peer {
            for packet in packets(compound) {
                if let Ok(Rtcp::Xr(report)) = packet {
                    found.extend(report.blocks().map(|block| match block {
                        XrBlock::ReceiverReferenceTime(ntp) => (Some(ntp), None),
                        XrBlock::Dlrr(entries) => (None, entries.iter().next()),
                        XrBlock::Unknown(_) => (None, None),
                    }));
                }
            }
        }
        found
    };
    let answered = blocks(&world, 2).iter().find_map(|(_, dlrr)| *dlrr).unwrap();
    assert_eq!((answered.ssrc, answered.last_rr), (77, 0x1234_5678));
    assert!(answered.delay_since_last_rr > 0);

    let ours = blocks(&world, 1).iter().rev().find_map(|(ntp, _)| *ntp).unwrap();
    let our_ssrc = world
        .out
        .rtcp
        .iter()
        .filter(|(to, _)| *to == PeerId(1))
        .flat_map(|(_, compound)| packets(compound).collect::<Vec<_>>())
        .find_map(|packet| match packet {
            Ok(Rtcp::ReceiverReport(report)) => Some(report.ssrc),
            _ => None,
        })
        .unwrap();
    world.run_ms(300);
    let entry = Dlrr { ssrc: our_ssrc, last_rr: (ours >> 16) as u32, delay_since_last_rr: 0 };
    world.rtcp(1, |writer| writer.dlrr(1000, &[entry]).unwrap());
    // The next losses are asked for a round trip apart.
    let frame = source.frame(false, 3, b"delta");
    world.rtp(1, &frame[0]);
    world.rtp(1, &frame[2]);
    world.out.rtcp.clear();
    world.run_ms(250);
    let nacks = world.out.rtcp.iter().filter(|(to, compound)| {
        *to == PeerId(1) && packets(compound).any(|packet| matches!(packet, Ok(Rtcp::Nack(_))))
    });
    assert_eq!(nacks.count(), 1, "with the guess of 100 ms there would be three");
}
