// SPDX-License-Identifier: EUPL-1.2
//! Whatever the network does to a publisher's packets, what a subscriber sees is one stream: in order, without gaps
//! but real losses, and never two packets under one number.

use std::collections::BTreeMap;

use parvis_peer::sdp::MediaKind;
use parvis_sfu::{Quality, SubscriptionId, SubscriptionSettings};
use proptest::prelude::*;

use crate::world::*;

/// What happens to a packet on its way to us.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Arrives,
    Twice,
    /// After so many later ones.
    Late(usize),
    Lost,
    /// A packet of padding goes before it.
    AfterPadding,
    /// The same, and the padding comes late.
    AfterLatePadding(usize),
}

fn fate(loss: bool) -> impl Strategy<Value = Fate> {
    let lost = if loss { 1 } else { 0 };
    prop_oneof![
        20 => Just(Fate::Arrives),
        2 => Just(Fate::Twice),
        3 => (1..12usize).prop_map(Fate::Late),
        2 => Just(Fate::AfterPadding),
        1 => (1..12usize).prop_map(Fate::AfterLatePadding),
        lost => Just(Fate::Lost),
    ]
}

/// Puts packets in the order in which they arrive.
fn arrange(source: &mut Vp8Source, frames: &[(usize, bool)], fates: &[Fate]) -> Vec<Vec<u8>> {
    let mut timeline: Vec<(usize, usize, Vec<u8>)> = Vec::new();
    let mut fates = fates.iter().copied().cycle();
    let mut at = 0;
    for (number, (packets, key)) in frames.iter().enumerate() {
        // The number of packets of padding is known only while the frame is made: they go before the frame.
        let fate = fates.next().unwrap();
        let padding_delay = match fate {
            Fate::AfterPadding => Some(0),
            Fate::AfterLatePadding(delay) => Some(delay),
            _ => None,
        };
        if let Some(delay) = padding_delay.filter(|_| number > 0) {
            timeline.push((at + delay, at, source.padding()));
            at += 1;
        }
        for packet in source.frame(*key, *packets, &(number as u32).to_be_bytes()) {
            // The very first packet begins the stream.
            match if number == 0 { Fate::Arrives } else { fates.next().unwrap() } {
                Fate::Lost => {}
                Fate::Late(delay) => timeline.push((at + delay, at, packet)),
                Fate::Twice => timeline.extend([(at, at, packet.clone()), (at + 2, at, packet)]),
                _ => timeline.push((at, at, packet)),
            }
            at += 1;
        }
    }
    timeline.sort_by_key(|(when, at, _)| (*when, *at));
    timeline.into_iter().map(|(_, _, packet)| packet).collect()
}

/// The media stream as a receiver puts it together: by unwrapped sequence number. Two packets under one number must be
/// the same.
fn received(left: &[Left], ssrc: u32) -> BTreeMap<i64, Left> {
    let mut stream: BTreeMap<i64, Left> = BTreeMap::new();
    let mut highest: Option<i64> = None;
    for packet in left.iter().filter(|left| left.ssrc == ssrc) {
        let number = highest.map_or(i64::from(packet.sequence), |highest| {
            highest + i64::from(packet.sequence.wrapping_sub(highest as u16) as i16)
        });
        highest = Some(highest.map_or(number, |highest| highest.max(number)));
        if let Some(before) = stream.get(&number) {
            assert_eq!((&before.payload, before.timestamp), (&packet.payload, packet.timestamp));
        }
        stream.insert(number, packet.clone());
    }
    stream
}

/// Frame number and place in the frame.
fn place(left: &Left) -> (u32, u8) {
    let content = read_vp8(&left.payload).4;
    (u32::from_be_bytes(*content.first_chunk().unwrap()), content[4])
}

fn is_media(left: &&Left) -> bool {
    !left.payload.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn without_loss_nothing_is_missing(
        fates in prop::collection::vec(fate(false), 40..80),
        sizes in prop::collection::vec(1..5usize, 60),
        first in any::<u16>(),
        picture in any::<u16>(),
    ) {
        let (mut world, mut source) = vp8_pair(config());
        source.sequence = first;
        source.picture = picture & 0x7fff;
        let frames: Vec<(usize, bool)> = sizes.iter().enumerate().map(|(at, size)| (*size, at % 25 == 0)).collect();
        for packet in arrange(&mut source, &frames, &fates) {
            world.rtp(1, &packet);
            world.run_ms(1);
        }
        world.run_ms(300);
        let left = world.take_rtp(2);
        let stream = received(&left, 10);
        let numbers: Vec<i64> = stream.keys().copied().collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap in {:?}", numbers);
        let media: Vec<&Left> = stream.values().filter(is_media).collect();
        let wanted: Vec<(u32, u8)> = sizes.iter().enumerate()
            .flat_map(|(number, size)| (0..*size).map(move |at| (number as u32, at as u8))).collect();
        prop_assert_eq!(media.iter().map(|left| place(left)).collect::<Vec<_>>(), wanted);
        for pair in media.windows(2) {
            let (before, after) = (read_vp8(&pair[0].payload), read_vp8(&pair[1].payload));
            let next = u16::from(place(pair[0]).0 != place(pair[1]).0);
            prop_assert_eq!(after.0, (before.0 + next) & 0x7fff);
            prop_assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), u32::from(next) * 3000);
        }
    }

    #[test]
    fn with_loss_only_what_was_lost_is_missing(
        fates in prop::collection::vec(fate(true), 40..80),
        sizes in prop::collection::vec(1..5usize, 60),
        first in any::<u16>(),
    ) {
        let (mut world, mut source) = vp8_pair(config());
        source.sequence = first;
        let frames: Vec<(usize, bool)> = sizes.iter().enumerate().map(|(at, size)| (*size, at % 25 == 0)).collect();
        let packets = arrange(&mut source, &frames, &fates);
        let mut sent: Vec<u16> = packets.iter().map(|packet| u16::from_be_bytes([packet[2], packet[3]])).collect();
        for packet in &packets {
            world.rtp(1, packet);
            world.run_ms(1);
        }
        world.run_ms(300);
        sent.sort_unstable();
        sent.dedup();
        let total = usize::from(source.sequence.wrapping_sub(first));
        let lost = total - sent.len();
        let left = world.take_rtp(2);
        let stream = received(&left, 10);
        let span = stream.keys().next_back().unwrap() - stream.keys().next().unwrap() + 1;
        prop_assert!(span as usize - stream.len() <= lost, "{} missing, {} lost", span as usize - stream.len(), lost);
        let places: Vec<(u32, u8)> = stream.values().filter(is_media).map(place).collect();
        prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "out of order: {:?}", places);
    }

    #[test]
    fn over_switches_of_layers_frames_stay_in_order_and_numbers_go_on(
        fates in prop::collection::vec(fate(true), 40..80),
        switches in prop::collection::vec((0..3usize, 5..25usize), 4..8),
        first in any::<u16>(),
    ) {
        let rids = ["q", "h", "f"];
        let mut world = World::new();
        world.peer(1, &[inbound("v", MediaKind::Video, &rids)]);
        world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
        world.publish(1, 1, "v", &video_spec(&rids));
        world.subscribe(1, 2, 1);
        world.run_ms(0);
        let mut sources = [0, 1, 2].map(|at| {
            let mut source = Vp8Source::new(1000 * (at + 1), rid_ext("v", rids[at as usize]));
            source.sequence = first.wrapping_mul(at as u16 + 1);
            source
        });
        let mut fates = fates.iter().copied().cycle();
        let mut held: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut number = 0u32;
        for (quality, frames) in switches {
            let quality = Some([Quality::Low, Quality::Medium, Quality::High][quality]);
            world.room.configure(world.now, SubscriptionId(1), SubscriptionSettings { quality, ..SubscriptionSettings::default() });
            for _ in 0..frames {
                let key = world.take_plis(1) > 0 || number.is_multiple_of(40);
                for (layer, source) in sources.iter_mut().enumerate() {
                    let content = [&number.to_be_bytes()[..], &[0]].concat();
                    for packet in source.frame(key, layer + 1, &content) {
                        match fates.next().unwrap() {
                            Fate::Lost => {}
                            Fate::Late(delay) => held.push((delay, packet)),
                            Fate::Twice => {
                                world.rtp(1, &packet);
                                world.rtp(1, &packet);
                            }
                            _ => world.rtp(1, &packet),
                        }
                        for (delay, _) in &mut held {
                            *delay -= 1;
                        }
                        while let Some(at) = held.iter().position(|(delay, _)| *delay == 0) {
                            let (_, packet) = held.remove(at);
                            world.rtp(1, &packet);
                        }
                    }
                }
                number += 1;
                world.run_ms(33);
            }
        }
        let left = world.take_rtp(2);
        let stream = received(&left, 10);
        let media: Vec<&Left> = stream.values().filter(is_media).collect();
        prop_assert!(media.len() > 10);
        for pair in media.windows(2) {
            let frames = (place(pair[0]).0, place(pair[1]).0);
            // A new layer's key frame may have been held up longer than the old layer's last frames.
            let slack = if read_vp8(&pair[1].payload).3 { 2 } else { 0 };
            prop_assert!(frames.0 <= frames.1 + slack, "frame {} after {}", frames.1, frames.0);
            let advanced = pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32;
            prop_assert!(advanced >= 0, "the timestamp goes back by {}", -advanced);
            let pictures = (read_vp8(&pair[0].payload).0, read_vp8(&pair[1].payload).0);
            let step = pictures.1.wrapping_sub(pictures.0) & 0x7fff;
            prop_assert!(step < 0x4000, "picture id {} after {}", pictures.1, pictures.0);
            prop_assert_eq!(step == 0, advanced == 0, "a picture has one timestamp");
        }
    }
}

#[test]
fn numbers_go_on_through_their_wraps() {
    let (mut world, mut source) = vp8_pair(config());
    let mut before: Option<Left> = None;
    for number in 0..70_000u32 {
        for packet in source.frame(number == 0, 1, &number.to_be_bytes()) {
            world.rtp(1, &packet);
        }
        world.run_ms(1);
        for left in world.take_rtp(2).into_iter().filter(|left| left.ssrc == 10) {
            if let Some(before) = &before {
                assert_eq!(left.sequence, before.sequence.wrapping_add(1));
                assert_eq!(read_vp8(&left.payload).0, (read_vp8(&before.payload).0 + 1) & 0x7fff);
                assert_eq!(place(&left).0, place(before).0 + 1);
            }
            before = Some(left);
        }
    }
    assert!(before.is_some_and(|last| place(&last).0 > 69_900));
}
