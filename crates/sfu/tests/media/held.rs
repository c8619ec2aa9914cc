// SPDX-License-Identifier: EUPL-1.2
//! Packets that are held back to be forwarded together leave as they would have left one by one.

use std::collections::BTreeMap;

use parvis_peer::sdp::MediaKind;
use parvis_sfu::{PeerId, Quality, SubscriptionId, SubscriptionSettings, TrackId};
use proptest::prelude::*;

use crate::world::*;

const RIDS: [&str; 3] = ["q", "h", "f"];

/// What happens to a packet on its way to us.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Comes,
    Lost,
    Doubled,
    /// It comes after so many others.
    Late(usize),
}

/// One frame of all three layers.
#[derive(Debug, Clone)]
struct Frame {
    key: bool,
    packets: usize,
    temporal: u8,
    /// Packets of the layers come mixed.
    mixed: bool,
    fates: Vec<Fate>,
    /// Lost packets that the second subscriber asks for, counted back from the newest.
    asked: Option<u16>,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        20 => Just(Fate::Comes),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Doubled),
        2 => (1usize..12).prop_map(Fate::Late),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let asked = proptest::option::weighted(0.2, 0u16..20);
    (
        proptest::bool::weighted(0.15),
        1usize..12,
        0u8..3,
        any::<bool>(),
        proptest::collection::vec(fate(), 36),
        asked,
    )
        .prop_map(|(key, packets, temporal, mixed, fates, asked)| {
            let temporal = if key { 0 } else { temporal };
            Frame { key, packets, temporal, mixed, fates, asked }
        })
}

/// The packets of a frame in the order in which they come.
fn arrivals(frame: &Frame, sources: &mut [Vp8Source]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    for (layer, source) in sources.iter_mut().enumerate() {
        let of_layer =
            source.layered_frame(frame.key, frame.packets, &[layer as u8; 30], frame.temporal, true);
        packets.extend(of_layer.into_iter().enumerate().map(|(at, packet)| (layer, at, packet)));
    }
    if frame.mixed {
        packets.sort_by_key(|(layer, at, _)| (*at / 3, *layer));
    }
    let mut placed = Vec::new();
    for (place, ((_, _, packet), fate)) in packets.into_iter().zip(frame.fates.iter().cycle()).enumerate() {
        match fate {
            Fate::Comes => placed.push((place, packet)),
            Fate::Lost => {}
            Fate::Doubled => placed.extend([(place, packet.clone()), (place, packet)]),
            Fate::Late(by) => placed.push((place + by, packet)),
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, packet)| packet).collect()
}

/// What left, to whom, in order, and what was counted.
fn play(frames: &[Frame], together: bool) -> (BTreeMap<PeerId, Vec<Vec<u8>>>, String) {
    let mut world = World::new();
    world.out.lenient = true;
    world.peer(1, &[inbound("v", MediaKind::Video, &RIDS)]);
    world.publish(1, 1, "v", &video_spec(&RIDS));
    for (id, quality) in [(2, Quality::Low), (3, Quality::High), (4, Quality::High)] {
        world.peer(id, &[outbound("0", MediaKind::Video, id)]);
        world.subscribe(id, id, 1);
        let settings = SubscriptionSettings { quality: Some(quality), ..SubscriptionSettings::default() };
        world.room.configure(world.now, SubscriptionId(id), settings);
    }
    world.run_ms(0);
    let mut sources: Vec<Vp8Source> = RIDS
        .iter()
        .zip([1000, 2000, 3000])
        .map(|(rid, ssrc)| Vp8Source::new(ssrc, rid_ext("v", rid)))
        .collect();
    for frame in frames {
        for packet in arrivals(frame, &mut sources) {
            if together {
                world.hold(1, &packet);
            } else {
                world.rtp(1, &packet);
            }
        }
        world.forward_held();
        let newest = world.out.rtp.iter().rfind(|left| left.peer == PeerId(3)).map(|left| left.sequence);
        if let (Some(asked), Some(newest)) = (frame.asked, newest) {
            world.rtcp(3, |writer| writer.nack(9, 30, [newest.wrapping_sub(asked)]).unwrap());
        }
        world.run_ms(33);
    }
    let mut left: BTreeMap<PeerId, Vec<Vec<u8>>> = BTreeMap::new();
    let rtp = world.out.rtp.drain(..).map(|left| (left.peer, left.bytes));
    for (peer, bytes) in rtp.chain(world.out.rtcp.drain(..)) {
        left.entry(peer).or_default().push(bytes);
    }
    let mut events: Vec<String> = world.events.iter().map(|event| format!("{event:?}")).collect();
    events.sort();
    (left, format!("{:?} {events:?}", world.room.stats()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn packets_that_wait_for_each_other_leave_as_they_would_have_left_one_by_one(
        frames in proptest::collection::vec(frame(), 1..30)
    ) {
        let (one_by_one, together) = (play(&frames, false), play(&frames, true));
        prop_assert_eq!(one_by_one.0, together.0);
        prop_assert_eq!(one_by_one.1, together.1);
    }
}

#[test]
fn a_frame_is_held_until_something_else_comes() {
    let (mut world, mut source) = vp8_pair(config());
    // The pacer has saved up enough for all of it.
    world.run_ms(10);
    for packet in source.frame(true, 5, b"first") {
        world.hold(1, &packet);
    }
    assert!(world.room.holds() && world.take_rtp(2).is_empty());
    for packet in source.frame(false, 3, b"second") {
        world.hold(1, &packet);
    }
    assert_eq!(world.take_rtp(2).len(), 5, "the next picture brought the first one on its way");
    world.forward_held();
    assert_eq!(world.take_rtp(2).len(), 3);
    assert!(!world.room.holds());
    // A picture of more packets than are held goes in parts.
    for packet in source.frame(false, 40, b"third") {
        world.hold(1, &packet);
    }
    assert_eq!(world.take_rtp(2).len(), 32);
    world.forward_held();
    assert_eq!(world.take_rtp(2).len(), 8);
}

#[test]
fn what_is_held_goes_with_its_track() {
    let (mut world, mut source) = vp8_pair(config());
    for packet in source.frame(true, 5, b"gone") {
        world.hold(1, &packet);
    }
    world.room.unpublish(world.now, TrackId(1));
    assert!(!world.room.holds());
    world.forward_held();
    assert!(world.take_rtp(2).is_empty());
}
