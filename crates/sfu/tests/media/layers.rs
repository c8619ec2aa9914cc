// SPDX-License-Identifier: EUPL-1.2
//! Simulcast, spatial and temporal layers, and what bandwidth makes of them.

use std::time::Duration;

use parvis_peer::sdp::MediaKind;
use parvis_rtp::dependency::{Descriptor, Structure};
use parvis_rtp::{Extensions, Packet};
use parvis_sfu::media::{MediaConfig, MediaEvent};
use parvis_sfu::{Quality, SubscriptionId, SubscriptionSettings};

use crate::world::*;

fn wanting(quality: Quality) -> SubscriptionSettings {
    SubscriptionSettings { quality: Some(quality), ..SubscriptionSettings::default() }
}

/// Peer 1 sends three simulcast layers, peer 2 is subscribed.
fn simulcast(config: MediaConfig) -> (World, [Vp8Source; 3]) {
    let rids = ["q", "h", "f"];
    let mut world = World::with(config);
    world.peer(1, &[inbound("v", MediaKind::Video, &rids)]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&rids));
    world.subscribe(1, 2, 1);
    let mut at = 0;
    let sources = rids.map(|rid| {
        at += 1;
        Vp8Source::new(at * 1000, rid_ext("v", rid))
    });
    (world, sources)
}

/// One frame of each layer; `keys` says which are key frames.
fn send(world: &mut World, sources: &mut [Vp8Source; 3], keys: [bool; 3], number: u8) {
    for (layer, source) in sources.iter_mut().enumerate() {
        for packet in source.frame(keys[layer], layer + 1, &[number, layer as u8]) {
            world.rtp(1, &packet);
        }
    }
    world.run_ms(33);
}

/// Frame number and layer of each packet.
fn seen(left: &[Left]) -> Vec<(u8, u8)> {
    left.iter().map(|left| read_vp8(&left.payload).4).map(|content| (content[0], content[1])).collect()
}

#[test]
fn a_simulcast_switch_waits_for_a_key_frame_of_the_layer_and_asks_for_it() {
    let (mut world, mut sources) = simulcast(config());
    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::Low));
    for number in 0..10 {
        send(&mut world, &mut sources, [number == 0; 3], number);
    }
    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::High));
    world.take_plis(1);
    for number in 10..14 {
        send(&mut world, &mut sources, [false; 3], number);
    }
    assert_eq!(world.take_plis(1), 1);
    // A key frame of another layer is not the one.
    send(&mut world, &mut sources, [false, true, false], 14);
    send(&mut world, &mut sources, [false, false, true], 15);
    send(&mut world, &mut sources, [false; 3], 16);
    let left = world.take_rtp(2);
    let seen = seen(&left);
    // In the frame of the switch the low layer was sent already: then the high one follows.
    let wanted: Vec<(u8, u8)> =
        (0..=15).map(|number| (number, 0)).chain([(15, 2); 3]).chain([(16, 2); 3]).collect();
    assert_eq!(seen, wanted);

    let numbers: Vec<_> = left.iter().map(|left| read_vp8(&left.payload)).collect();
    for (at, pair) in left.windows(2).enumerate() {
        let (before, after) = (&numbers[at], &numbers[at + 1]);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        let same_frame = pair[0].timestamp == pair[1].timestamp;
        assert_eq!(after.0, (before.0 + u16::from(!same_frame)) & 0x7fff, "picture id at {at}");
        assert_eq!(after.1, before.1.wrapping_add(u8::from(!same_frame)), "TL0PICIDX at {at}");
        let advanced = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
        assert!(same_frame || (90..=3100).contains(&advanced), "timestamp advanced by {advanced} at {at}");
        assert_eq!(same_frame, !pair[0].marker);
    }
    let keys: Vec<u8> = numbers.iter().map(|read| read.2).collect();
    assert_eq!(keys[16], (keys[0] + 1) & 0x1f, "KEYIDX goes on with the key frame of the other layer");
    assert!(numbers[16].3);
}

#[test]
fn timestamps_of_layers_are_aligned_by_sender_reports() {
    let (mut world, mut sources) = simulcast(config());
    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::Low));
    send(&mut world, &mut sources, [true; 3], 0);
    // The layers' clocks differ by what the reports say; the network delays frames by something else.
    let second = 1_u64 << 32;
    for (source, ahead_ms) in sources.iter().zip([0_u32, 200, 200]) {
        // "At wall clock 50 s my RTP clock stood here": the high layer is captured 200 ms later.
        let (ssrc, rtp_timestamp) = (source.ssrc, source.timestamp.wrapping_sub(ahead_ms * 90));
        world.rtcp(1, |writer| {
            let info =
                parvis_rtp::rtcp::SenderInfo { ntp: 50 * second, rtp_timestamp, packets: 0, octets: 0 };
            writer.sender_report(ssrc, &info, &[]).unwrap();
        });
    }
    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::High));
    world.run_ms(0);
    send(&mut world, &mut sources, [false, false, true], 1);
    let left = world.take_rtp(2);
    let (low, high) = (&left[1], &left[2]);
    assert_eq!(seen(&left)[1..3], [(1, 0), (1, 2)]);
    assert_eq!(high.timestamp.wrapping_sub(low.timestamp), 200 * 90);
}

#[test]
fn when_a_layer_dies_another_takes_its_place() {
    let (mut world, mut sources) = simulcast(config());
    for number in 0..60 {
        send(&mut world, &mut sources, [number % 15 == 0; 3], number);
    }
    assert_eq!(seen(&world.take_rtp(2)).last(), Some(&(59, 2)));
    for number in 60..180 {
        let asked = world.take_plis(1) > 0;
        for (layer, source) in sources[..2].iter_mut().enumerate() {
            for packet in source.frame(asked, 1, &[number, layer as u8]) {
                world.rtp(1, &packet);
            }
        }
        world.run_ms(33);
    }
    assert_eq!(seen(&world.take_rtp(2)).last(), Some(&(179, 1)));
}

#[test]
fn the_shown_size_bounds_the_layer() {
    let (mut world, mut sources) = simulcast(config());
    let settings = SubscriptionSettings { size: Some((400, 225)), ..SubscriptionSettings::default() };
    world.room.configure(world.now, SubscriptionId(1), settings);
    for number in 0..60 {
        send(&mut world, &mut sources, [number % 10 == 0; 3], number);
    }
    let seen = seen(&world.take_rtp(2));
    assert_eq!(seen.iter().map(|(_, layer)| *layer).max(), Some(1), "640x360 is enough for 400x225");
    assert_eq!(seen.last(), Some(&(59, 1)));
}

#[test]
fn what_does_not_fit_is_paused_in_order_of_priority_and_the_subscriber_is_told() {
    // 300 kbit/s for two cameras of 250 kbit/s each.
    let config = MediaConfig { start_bitrate: 300_000, warm_up: Duration::ZERO, ..MediaConfig::default() };
    let mut world = World::with(config);
    world.peer(
        1,
        &[inbound("v", MediaKind::Video, &[]), inbound_by_ssrc("w", MediaKind::Video, &[(2000, None)])],
    );
    world.peer(2, &[outbound("0", MediaKind::Video, 1), outbound("1", MediaKind::Video, 2)]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.publish(1, 2, "w", &video_spec(&[]));
    world.subscribe(1, 2, 1);
    world.subscribe(2, 2, 2);
    let priority = |priority| SubscriptionSettings { priority, ..SubscriptionSettings::default() };
    world.room.configure(world.now, SubscriptionId(2), priority(9));
    world.run_ms(0);
    let mut first = Vp8Source::new(1000, mid_ext("v"));
    let mut second = Vp8Source::new(2000, mid_ext("w"));
    let play = |world: &mut World, first: &mut Vp8Source, second: &mut Vp8Source| {
        for number in 0..60 {
            for packet in first.frame(number % 15 == 0, 1, &[1; 1000]) {
                world.rtp(1, &packet);
            }
            for packet in second.frame(number % 15 == 0, 1, &[2; 1000]) {
                world.rtp(1, &packet);
            }
            world.run_ms(33);
        }
    };
    play(&mut world, &mut first, &mut second);
    let told: Vec<_> =
        world.events.iter().filter(|event| matches!(event, MediaEvent::StreamState { .. })).collect();
    assert_eq!(told, [&MediaEvent::StreamState { subscription: SubscriptionId(1), paused: true }]);
    world.take_rtp(2);
    play(&mut world, &mut first, &mut second);
    assert!(world.take_rtp(2).iter().filter(|left| left.padding == 0).all(|left| left.ssrc == 20));
    // When the other is no longer shown there is room.
    world.events.clear();
    let hidden = SubscriptionSettings { enabled: false, ..SubscriptionSettings::default() };
    world.room.configure(world.now, SubscriptionId(2), hidden);
    play(&mut world, &mut first, &mut second);
    assert!(
        world.events.contains(&MediaEvent::StreamState { subscription: SubscriptionId(1), paused: false })
    );
    assert!(world.take_rtp(2).iter().any(|left| left.ssrc == 10));
}

#[test]
fn a_lower_frame_rate_drops_temporal_layers_and_leaves_no_gap_in_any_number() {
    let (mut world, mut source) = vp8_pair(config());
    let mut play = |world: &mut World, frames: std::ops::Range<u8>| {
        for number in frames {
            let temporal = [0, 2, 1, 2][usize::from(number % 4)];
            for packet in source.layered_frame(number == 0, 2, &[number], temporal, temporal > 0) {
                world.rtp(1, &packet);
            }
            world.run_ms(33);
        }
    };
    play(&mut world, 0..40);
    assert_eq!(world.take_rtp(2).len(), 80);
    let slow = SubscriptionSettings { fps: Some(7), ..SubscriptionSettings::default() };
    world.room.configure(world.now, SubscriptionId(1), slow);
    play(&mut world, 40..80);
    let left = world.take_rtp(2);
    let numbers: Vec<_> = left.iter().map(|left| read_vp8(&left.payload)).collect();
    let frames: Vec<u8> = numbers.iter().map(|read| read.4[0]).collect();
    let wanted: Vec<u8> =
        (40..80).filter(|number| number % 4 == 0).flat_map(|number| [number, number]).collect();
    assert_eq!(frames, wanted);
    for pair in left.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
    for pair in numbers.chunks(2).collect::<Vec<_>>().windows(2) {
        assert_eq!(pair[1][0].0, (pair[0][0].0 + 1) & 0x7fff);
    }
    let all = SubscriptionSettings::default();
    world.room.configure(world.now, SubscriptionId(1), all);
    play(&mut world, 80..120);
    assert!(world.take_rtp(2).len() > 70, "with a synchronisation point it goes up without a key frame");
}

/// One packet of a VP9 layer frame (flexible mode off): picture, spatial layer, its place in the picture.
pub(crate) fn vp9(picture: u16, spatial: u8, key: bool, start: bool, end: bool, content: u8) -> Vec<u8> {
    let picture_id = (picture & 0x7fff | 0x8000).to_be_bytes();
    let first = 0x80 | u8::from(!key) << 6 | 0x20 | u8::from(start) << 3 | u8::from(end) << 2;
    vec![
        first,
        picture_id[0],
        picture_id[1],
        spatial << 1 | u8::from(spatial > 0),
        picture as u8,
        content,
        spatial,
    ]
}

fn svc_world(config: MediaConfig) -> World {
    let mut world = World::with(config);
    world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.subscribe(1, 2, 1);
    world.run_ms(0);
    world
}

#[test]
fn vp9_spatial_layers_are_cut_at_once_marked_anew_and_raised_at_a_key_picture() {
    let mut world = svc_world(config());
    let mut sequence = 60_000_u16;
    let mut play = |world: &mut World, pictures: std::ops::Range<u16>, key: &dyn Fn(u16) -> bool| {
        for picture in pictures {
            for spatial in 0..3_u8 {
                for part in 0..2 {
                    let packet = In {
                        payload_type: VP9,
                        sequence,
                        timestamp: u32::from(picture) * 3000,
                        marker: spatial == 2 && part == 1,
                        extensions: mid_ext("v"),
                        ..In::default()
                    };
                    sequence = sequence.wrapping_add(1);
                    let payload = vp9(picture, spatial, key(picture), part == 0, part == 1, picture as u8);
                    world.rtp(1, &packet.with(&[&payload[..], &[9; 500]].concat()));
                }
            }
            world.run_ms(33);
        }
    };
    let spatial_of = |left: &Left| left.payload[6];
    play(&mut world, 0..40, &|picture| picture % 10 == 0);
    let left = world.take_rtp(2);
    assert_eq!(left.iter().map(spatial_of).max(), Some(2));
    let last_sequence = left.last().unwrap().sequence;

    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::Medium));
    world.run_ms(100);
    play(&mut world, 40..60, &|_| false);
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 20 * 4);
    assert_eq!(left[0].sequence, last_sequence.wrapping_add(1));
    for (at, packet) in left.iter().enumerate() {
        assert_eq!(packet.sequence, left[0].sequence.wrapping_add(at as u16));
        assert_eq!(usize::from(spatial_of(packet)), at / 2 % 2);
        assert_eq!(packet.marker, at % 4 == 3, "the marker is on the last packet of the highest kept layer");
    }

    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::High));
    world.run_ms(100);
    world.take_plis(1);
    play(&mut world, 60..80, &|_| false);
    assert_eq!(world.take_rtp(2).iter().map(spatial_of).max(), Some(1));
    assert!(world.take_plis(1) >= 1, "it asks for the key picture that it needs");
    play(&mut world, 80..90, &|picture| picture == 85);
    let left = world.take_rtp(2);
    assert_eq!(left.iter().map(spatial_of).max(), Some(2));
    assert!(left.iter().filter(|left| spatial_of(left) == 2).all(|left| left.payload[5] >= 85));
}

/// Writes bits, highest first.
#[derive(Default)]
pub(crate) struct Bits(Vec<bool>);

impl Bits {
    pub(crate) fn put(&mut self, value: u32, width: u32) -> &mut Bits {
        self.0.extend((0..width).rev().map(|bit| value >> bit & 1 != 0));
        self
    }

    /// `ns(limit)`: the lower values have a bit less.
    pub(crate) fn put_below(&mut self, value: u32, limit: u32) -> &mut Bits {
        let width = limit.ilog2() + 1;
        let short = (1 << width) - limit;
        if value < short { self.put(value, width - 1) } else { self.put(value + short, width) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at)))
            .collect()
    }
}

/// A dependency descriptor for L2T1: templates 0 and 1 are the base layer's key and delta frames, 2 and 3 the upper's.
fn l2t1(start: bool, end: bool, template: u32, frame: u16, structure: bool) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(start.into(), 1).put(end.into(), 1).put(template, 6).put(frame.into(), 16);
    if structure {
        bits.put(0b10000, 5);
        bits.put(0, 6).put(1, 5); // two decode targets
        for next in [0, 2, 0, 3] {
            bits.put(next, 2);
        }
        // Indications for the two targets: - 0, discardable 1, switch 2, required 3.
        for indications in [[2, 2], [2, 3], [0, 2], [0, 3]] {
            bits.put(indications[0], 2).put(indications[1], 2);
        }
        for diffs in [&[][..], &[2], &[1], &[2, 1]] {
            for diff in diffs {
                bits.put(1, 1).put(diff - 1, 4);
            }
            bits.put(0, 1);
        }
        bits.put(0b11, 2); // two chains, non-symmetric code below 3
        bits.put(0, 1).put(1, 1); // target 0 by chain 0, target 1 by chain 1
        for chains in [[0, 0], [2, 1], [1, 1], [1, 1]] {
            bits.put(chains[0], 4).put(chains[1], 4);
        }
        bits.put(0, 1);
    }
    bits.bytes()
}

struct Av1 {
    sequence: u16,
    frame: u16,
}

impl Av1 {
    fn play(&mut self, world: &mut World, pictures: std::ops::Range<u32>, key: &dyn Fn(u32) -> bool) {
        for picture in pictures {
            for spatial in 0..2 {
                for part in 0..2 {
                    let (start, end) = (part == 0, part == 1);
                    let template = 2 * spatial + u32::from(!key(picture));
                    let structure = key(picture) && spatial == 0 && start;
                    let descriptor = l2t1(start, end, template, self.frame, structure);
                    let extensions = Extensions { dependency_descriptor: Some(&descriptor), ..mid_ext("v") };
                    let marker = spatial == 1 && end;
                    let timestamp = picture * 3000;
                    let packet = In {
                        payload_type: AV1,
                        sequence: self.sequence,
                        timestamp,
                        marker,
                        extensions,
                        ..In::default()
                    };
                    self.sequence = self.sequence.wrapping_add(1);
                    // What is in it can't be read: it might be encrypted end to end.
                    world.rtp(
                        1,
                        &packet.with(&[&[0xff, picture as u8, spatial as u8][..], &[7; 400]].concat()),
                    );
                }
                self.frame = self.frame.wrapping_add(1);
            }
            world.run_ms(33);
        }
    }
}

#[test]
fn av1_spatial_layers_are_cut_by_dependency_descriptor_with_its_mask_rewritten() {
    let mut world = svc_world(config());
    let mut av1 = Av1 { sequence: 65_500, frame: 65_530 };
    av1.play(&mut world, 0..30, &|picture| picture % 10 == 0);
    let left = world.take_rtp(2);
    assert!(left.iter().skip(60).any(|left| left.payload[2] == 1), "the upper layer is sent");

    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::Low));
    world.run_ms(100);
    av1.play(&mut world, 30..50, &|picture| picture == 40);
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 20 * 2);
    let mut structure: Option<Box<Structure>> = None;
    // The structure that the stream had before.
    let key = l2t1(true, true, 0, 0, true);
    structure = structure.or(Descriptor::parse(&key, None).unwrap().structure);
    let mut masks = Vec::new();
    for (at, packet) in left.iter().enumerate() {
        assert_eq!(packet.sequence, left[0].sequence.wrapping_add(at as u16));
        assert_eq!(packet.payload[2], 0);
        assert_eq!(packet.marker, at % 2 == 1);
        let parsed = Packet::parse(&packet.bytes).unwrap();
        let bytes = parsed.extensions(&subscriber_map()).dependency_descriptor.unwrap();
        let descriptor = Descriptor::parse(bytes, structure.as_deref()).unwrap();
        masks.extend(descriptor.active_decode_targets.map(|mask| (packet.payload[1], mask)));
        structure = descriptor.structure.or(structure);
    }
    assert_eq!(masks, [(30, 0b01), (40, 0b01)], "when it is cut, and with each new structure");

    world.room.configure(world.now, SubscriptionId(1), wanting(Quality::High));
    world.run_ms(100);
    world.take_plis(1);
    av1.play(&mut world, 50..60, &|_| false);
    assert!(world.take_rtp(2).iter().all(|left| left.payload[2] == 0));
    assert!(world.take_plis(1) >= 1);
    av1.play(&mut world, 60..70, &|picture| picture == 65);
    let left = world.take_rtp(2);
    let first_upper = left.iter().find(|left| left.payload[2] == 1).unwrap();
    assert_eq!(first_upper.payload[1], 65);
    let key = left.iter().find(|left| left.payload[1] == 65).unwrap();
    let parsed = Packet::parse(&key.bytes).unwrap();
    let bytes = parsed.extensions(&subscriber_map()).dependency_descriptor.unwrap();
    assert_eq!(Descriptor::parse(bytes, None).unwrap().active_decode_targets, Some(0b11));
}

#[test]
fn h264_begins_where_its_parameter_sets_are() {
    let mut world = svc_world(config());
    let mut send = |sequence: u16, timestamp: u32, marker: bool, payload: &[u8]| {
        let packet =
            In { payload_type: H264, sequence, timestamp, marker, extensions: mid_ext("v"), ..In::default() };
        world.rtp(1, &packet.with(payload));
    };
    send(0, 0, true, &[0x61, 0x9a, 1]); // a slice that needs others
    send(1, 3000, true, &[0x65, 0x88, 2]); // an IDR slice without parameter sets
    let stap = [0x78, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 4, 0x68, 0xce, 0x3c, 0x80];
    send(2, 6000, false, &stap);
    send(3, 6000, true, &[0x65, 0x88, 3]);
    send(4, 9000, true, &[0x61, 0x9a, 4]);
    world.run_ms(50);
    let left = world.take_rtp(2);
    assert_eq!(left.len(), 3);
    assert_eq!(left[0].payload, stap);
    assert_eq!(left[2].payload, [0x61, 0x9a, 4]);
}
