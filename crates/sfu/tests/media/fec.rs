// SPDX-License-Identifier: EUPL-1.2
//! Repair packets (FlexFEC) of publishers used, and others made for subscribers: lost packets come again byte for byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{MediaKind, MediaSection, RemoteStream};
use parvis_rtp::flexfec::{Builder, Repair, clear_mutable, repairs_of};
use parvis_rtp::rtcp::{ReportBlock, Rtcp, packets};
use parvis_rtp::{ExtensionMap, Extensions, Packet};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{PeerId, SubscriptionId};

use crate::world::*;

/// Payload type and SSRC of a publisher's repair packets.
const FEC: u8 = 79;
const FEC_SSRC: u32 = 1002;
/// The same towards the subscriber.
const FEC_OUT: u8 = FEC + SUB_SHIFT;
const FEC_OUT_SSRC: u32 = 12;

/// Peer 1 publishes track 1 with repair packets, peer 2 is subscribed to it by subscription 1.
fn protected_pair() -> (World, Vp8Source) {
    let mut world = World::new();
    let streams = vec![RemoteStream { ssrc: 1000, rtx: Some(1001), fec: Some(FEC_SSRC) }];
    let section =
        MediaSection { fec: Some(FEC), remote_streams: streams, ..inbound("v", MediaKind::Video, &[]) };
    world.peer(1, &[section]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.subscribe(1, 2, 1);
    world.run_ms(0);
    (world, Vp8Source::new(1000, mid_ext("v")))
}

/// What a packet is to repair packets.
fn still(packet: &[u8], map: &ExtensionMap) -> Vec<u8> {
    let mut packet = packet.to_vec();
    clear_mutable(&mut packet, map);
    packet
}

/// Repair packets of a group as a publisher sends them.
fn repairs(group: &[Vec<u8>], count: u32, sequence: u16) -> Vec<Vec<u8>> {
    (0..count)
        .map(|which| {
            let mut builder = Builder::new();
            for (place, packet) in group.iter().enumerate() {
                if repairs_of(place, count) >> which & 1 != 0 {
                    assert!(builder.add(&still(packet, &publisher_map())));
                }
            }
            let mut payload = [0; 1500];
            let len = builder.write(&mut payload).unwrap();
            repair_packet(sequence.wrapping_add(which as u16), &payload[..len])
        })
        .collect()
}

fn repair_packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let extensions = mid_ext("v");
    In { payload_type: FEC, ssrc: FEC_SSRC, sequence, marker: false, extensions, ..In::default() }
        .with(payload)
}

/// A frame of a publisher whose packets tell of their sending, each with a content of its own.
fn frame(source: &mut Vp8Source, number: u16, count: usize) -> Vec<Vec<u8>> {
    source.extensions = Extensions {
        transport_sequence: Some(number * 100),
        abs_send_time: Some(u32::from(number) * 777),
        ..mid_ext("v")
    };
    source.frame(number == 0, count, &[number as u8; 300])
}

/// What the subscriber has at the end, by sequence number.
fn shown(world: &mut World) -> BTreeMap<u16, (u32, bool, Vec<u8>)> {
    let left = world.take_rtp(2).into_iter();
    left.map(|left| {
        assert_eq!((left.ssrc, left.payload_type), (10, VP8 + SUB_SHIFT), "repair packets go no farther");
        (left.sequence, (left.timestamp, left.marker, left.payload))
    })
    .collect()
}

fn nacked(world: &World) -> usize {
    let packets =
        world.out.rtcp.iter().filter(|(to, _)| *to == PeerId(1)).flat_map(|(_, bytes)| packets(bytes));
    packets.filter(|packet| matches!(packet, Ok(Rtcp::Nack(_)))).count()
}

#[test]
fn what_a_publisher_lost_is_made_again_from_its_repair_packets_before_it_is_asked_for() {
    let play = |lossy: bool| {
        let (mut world, mut source) = protected_pair();
        let (mut lost, mut fec_sequence) = (0, 65_530);
        for number in 0..30 {
            let group = frame(&mut source, number, 7);
            for (place, packet) in group.iter().enumerate() {
                // Two of seven, other ones each time; what came before the first repair packet can't be helped.
                let gone = lossy
                    && number > 0
                    && (place == usize::from(number) % 7 || place == usize::from(number) * 3 % 7);
                lost += u64::from(gone);
                if !gone {
                    world.rtp(1, packet);
                }
            }
            for packet in repairs(&group, 3, fec_sequence) {
                world.rtp(1, &packet);
            }
            fec_sequence = fec_sequence.wrapping_add(3);
            world.run_ms(33);
        }
        let stats = world.room.stats();
        assert_eq!(stats.fec_received, 90);
        assert_eq!(stats.fec_recovered, lost);
        assert_eq!((stats.fec_malformed, stats.fec_overflow), (0, 0));
        assert_eq!(nacked(&world), 0, "nothing had to be asked for");
        assert_eq!(world.room.stats().known_ssrcs, 2);
        (shown(&mut world), lost)
    };
    let (whole, none) = play(false);
    let (repaired, lost) = play(true);
    assert_eq!((whole.len(), none), (210, 0));
    assert!(lost > 45, "{lost}");
    assert_eq!(repaired, whole);
}

#[test]
fn a_late_packet_makes_a_waiting_repair_packet_of_use() {
    let (mut world, mut source) = protected_pair();
    for packet in frame(&mut source, 0, 3) {
        world.rtp(1, &packet);
    }
    world.rtp(1, &repairs(&frame(&mut source, 1, 1), 1, 1)[0]);
    let group = frame(&mut source, 2, 4);
    let repair = repairs(&group, 1, 2).remove(0);
    // Two are lost: one repair packet is not enough, until one of them is late.
    world.rtp(1, &group[0]);
    world.rtp(1, &group[3]);
    world.rtp(1, &repair);
    let before = world.room.stats().fec_recovered;
    world.rtp(1, &group[1]);
    assert_eq!(world.room.stats().fec_recovered, before + 1);
    // And what was made again is not taken a second time.
    world.rtp(1, &group[2]);
    assert_eq!(world.room.stats().dropped_duplicate, 1);
    world.run_ms(50);
    assert_eq!(shown(&mut world).len(), 3 + 1 + 4);
}

#[test]
fn repair_packets_that_are_none_are_counted_and_disturb_nobody() {
    let (mut world, mut source) = protected_pair();
    for packet in frame(&mut source, 0, 3) {
        world.rtp(1, &packet);
    }
    let group = frame(&mut source, 1, 2);
    world.rtp(1, &repair_packet(1, b""));
    world.rtp(1, &repair_packet(2, &[0xff; 40]));
    // Of another stream.
    let mut foreign = Builder::new();
    foreign.add(&In { ssrc: 5, sequence: 7, ..In::default() }.with(b"x"));
    let mut payload = [0; 200];
    let len = foreign.write(&mut payload).unwrap();
    world.rtp(1, &repair_packet(3, &payload[..len]));
    assert_eq!(world.room.stats().fec_malformed, 3);
    // Of the right stream, with a body that belongs to other packets: what comes out is no packet of the track's.
    let mut builder = Builder::new();
    group.iter().for_each(|packet| assert!(builder.add(packet)));
    let len = builder.write(&mut payload).unwrap_or(0);
    let mut payload = payload.to_vec();
    if len == 0 {
        payload.resize(1500, 0);
        let len = builder.write(&mut payload).unwrap();
        payload.truncate(len);
    }
    payload[1] ^= 0x55;
    world.rtp(1, &group[0]);
    world.rtp(1, &repair_packet(4, &payload));
    assert_eq!(world.room.stats().fec_malformed, 4);
    world.rtp(1, &group[1]);
    world.run_ms(50);
    assert_eq!(shown(&mut world).len(), 5);
}

#[test]
fn waiting_repair_packets_are_bounded_and_old_ones_go() {
    let (mut world, mut source) = protected_pair();
    for packet in frame(&mut source, 0, 3) {
        world.rtp(1, &packet);
    }
    // Each names two packets, and neither comes.
    for number in 0..40 {
        let group = frame(&mut source, number + 1, 2);
        world.rtp(1, &repairs(&group, 1, number)[0]);
    }
    assert_eq!(world.room.stats().fec_overflow, 40 - MediaConfig::default().fec_repairs as u64);
    // A window later none of them is of use any more.
    for number in 41..90 {
        for packet in frame(&mut source, number, 4) {
            world.rtp(1, &packet);
        }
    }
    let stats = world.room.stats();
    assert_eq!((stats.fec_recovered, stats.fec_malformed), (0, 0));
}

#[test]
fn without_the_agreement_repair_packets_are_an_unknown_stream() {
    let (mut world, mut source) = vp8_pair(config());
    let group = frame(&mut source, 0, 3);
    group.iter().for_each(|packet| world.rtp(1, packet));
    world.rtp(1, &repairs(&group, 1, 1)[0]);
    let stats = world.room.stats();
    assert_eq!((stats.fec_received, stats.dropped_unknown_stream), (0, 1));
}

/// Peer 2 takes repair packets, peer 3 doesn't.
struct Far {
    world: World,
    source: Vp8Source,
    start: Instant,
    number: u16,
    reports: u32,
    lost: i32,
}

impl Far {
    fn new(config: MediaConfig) -> Far {
        let mut world = World::with(config);
        let start = world.now;
        world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
        world.peer(2, &[MediaSection { fec: Some(FEC_OUT), ..outbound("0", MediaKind::Video, 1) }]);
        world.peer(3, &[outbound("0", MediaKind::Video, 2)]);
        world.publish(1, 1, "v", &video_spec(&[]));
        for (subscription, peer) in [(1, 2), (2, 3)] {
            world.subscribe(subscription, peer, 1);
            world.room.set_repair_ssrc(SubscriptionId(subscription), subscription as u32 * 10 + 2);
        }
        world.run_ms(1000);
        Far { world, source: Vp8Source::new(1000, mid_ext("v")), start, number: 0, reports: 0, lost: 0 }
    }

    /// A second of video, at whose beginning both report that they lost so many of a hundred packets.
    fn second(&mut self, lost: i32, round_trip: Duration) -> (Vec<Left>, Vec<Left>) {
        self.lost += lost;
        self.reports += 1;
        let sent = (self.world.now - self.start) - round_trip;
        let fixed = (sent.as_secs() << 32) + ((u64::from(sent.subsec_nanos()) << 32) / 1_000_000_000);
        for (peer, ssrc) in [(2, 10), (3, 20)] {
            let block = ReportBlock {
                ssrc,
                cumulative_lost: self.lost,
                extended_highest_sequence: 1000 + self.reports * 100,
                last_sr: (fixed >> 16) as u32,
                ..ReportBlock::default()
            };
            self.world.rtcp(peer, |writer| writer.receiver_report(77, &[block]).unwrap());
        }
        for _ in 0..30 {
            self.source.extensions = mid_ext("v");
            let content = vec![self.number as u8; 200 + usize::from(self.number) * 37 % 700];
            for packet in self.source.frame(self.number == 0, 1 + usize::from(self.number) % 4, &content) {
                self.world.rtp(1, &packet);
            }
            self.number += 1;
            self.world.run_ms(33);
        }
        (self.world.take_rtp(2), self.world.take_rtp(3))
    }
}

const FAR: Duration = Duration::from_millis(150);
const NEAR: Duration = Duration::from_millis(20);

fn is_repair(left: &&Left) -> bool {
    left.payload_type == FEC_OUT
}

#[test]
fn who_is_far_and_loses_packets_gets_repair_packets_and_nobody_else_does() {
    let mut far = Far::new(config());
    let mut seconds = |times, lost, round_trip| {
        let (two, three) = (0..times).map(|_| far.second(lost, round_trip)).last().unwrap();
        let bytes = |lefts: &[Left]| lefts.iter().map(|left| left.bytes.len()).sum::<usize>();
        assert!(!three.iter().any(|left| is_repair(&left) || left.ssrc == 22), "not agreed");
        let (repairs, media): (Vec<_>, Vec<_>) = two.into_iter().partition(|left| is_repair(&left));
        assert!(repairs.iter().all(|left| left.ssrc == FEC_OUT_SSRC));
        assert_eq!(media.len(), three.len(), "repair packets take nobody's place");
        let share = bytes(&repairs) as f64 / bytes(&media) as f64;
        (repairs.len(), share)
    };
    assert_eq!(seconds(3, 0, FAR).0, 0, "no loss");
    assert_eq!(seconds(4, 6, NEAR).0, 0, "a retransmission is there sooner");
    let (count, share) = seconds(4, 6, FAR);
    assert!(count >= 10, "{count} repair packets a second");
    assert!((0.15..0.23).contains(&share), "{share} of the bytes of video");
    let (_, share) = seconds(4, 20, FAR);
    assert!((0.15..0.23).contains(&share), "{share} of the bytes of video, however much is lost");
    assert_eq!(seconds(40, 0, FAR).0, 0, "it ends when the losses have");
    let (count, _) = seconds(4, 6, FAR);
    assert!(count >= 10, "and begins again with them: {count}");
    assert_eq!(seconds(15, 6, NEAR).0, 0, "nearer by now");
    assert!(far.world.room.stats().fec_sent_bytes > 0);
}

#[test]
fn any_one_packet_of_a_group_and_any_two_neighbours_of_a_larger_one_come_again_byte_for_byte() {
    for (lost, neighbours) in [(5, 1), (20, 2)] {
        let mut far = Far::new(config());
        (0..4).for_each(|_| drop(far.second(lost, FAR)));
        let (left, _) = far.second(lost, FAR);
        let map = subscriber_map();
        let media: BTreeMap<u16, Vec<u8>> = left
            .iter()
            .filter(|left| left.ssrc == 10 && left.padding == 0)
            .map(|left| (left.sequence, still(&left.bytes, &map)))
            .collect();
        let sent: Vec<Repair<'_>> =
            left.iter().filter(is_repair).map(|left| Repair::parse(&left.payload).unwrap()).collect();
        // Groups that lie whole in this second.
        let known = |repair: &&Repair<'_>| repair.sequences().all(|sequence| media.contains_key(&sequence));
        let sent: Vec<_> = sent.iter().filter(known).collect();
        assert!(sent.len() > 5, "{} repair packets", sent.len());
        assert!(sent.iter().all(|repair| repair.ssrc == 10));
        let mut protected: Vec<u16> = sent.iter().flat_map(|repair| repair.sequences()).collect();
        protected.sort_unstable();
        protected.dedup();
        let mut tried = 0;
        for gone in protected.windows(neighbours) {
            // Two at the seam of two groups are each the only one of theirs.
            let mut have = media.clone();
            gone.iter().for_each(|sequence| drop(have.remove(sequence)));
            loop {
                let mut progress = false;
                for repair in &sent {
                    let missing: Vec<u16> = repair.sequences().filter(|at| !have.contains_key(at)).collect();
                    if let [missing] = missing[..] {
                        let mut buf = [0; 1500];
                        let others =
                            repair.sequences().filter_map(|at| have.get(&at)).map(|other| &other[..]);
                        let len = repair.recover(missing, others, &mut buf).unwrap();
                        assert_eq!(buf[..len], media[&missing], "the very bytes");
                        have.insert(missing, buf[..len].to_vec());
                        progress = true;
                    }
                }
                if !progress {
                    break;
                }
            }
            assert_eq!(have, media, "{gone:?} of {lost} percent");
            tried += 1;
        }
        assert!(tried > 40, "{tried}");
    }
}

#[test]
fn repair_packets_have_numbers_of_their_own_and_the_transports() {
    let mut far = Far::new(MediaConfig { fec_loss: [0.0, 0.0], fec_round_trip: Duration::ZERO, ..config() });
    let map = subscriber_map();
    let (mut fec, mut transport) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for left in far.second(0, NEAR).0 {
            let extensions = Packet::parse(&left.bytes).unwrap().extensions(&map);
            transport.extend(extensions.transport_sequence);
            if is_repair(&&left) {
                fec.push(left.sequence);
            }
        }
    }
    assert!(fec.len() > 20, "a threshold of no loss is always reached: {}", fec.len());
    assert!(fec.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{fec:?}");
    assert!(transport.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
}

#[test]
fn repair_packets_come_out_of_the_same_estimate() {
    // What fits without repair packets, and no longer with a fifth more.
    let layer = |takes_fec: bool| {
        let config = MediaConfig {
            fec_loss: [0.0; 2],
            fec_round_trip: Duration::ZERO,
            start_bitrate: 1_150_000,
            warm_up: Duration::ZERO,
            ..MediaConfig::default()
        };
        let mut world = World::with(config);
        let fec = takes_fec.then_some(FEC_OUT);
        world.peer(1, &[inbound("v", MediaKind::Video, &["q", "h"])]);
        world.peer(2, &[MediaSection { fec, ..outbound("0", MediaKind::Video, 1) }]);
        world.publish(1, 1, "v", &video_spec(&["q", "h"]));
        world.subscribe(1, 2, 1);
        world.room.set_repair_ssrc(SubscriptionId(1), FEC_OUT_SSRC);
        for at in 1..3 {
            let block = ReportBlock {
                ssrc: 10,
                extended_highest_sequence: 1000 + at * 100,
                ..ReportBlock::default()
            };
            world.rtcp(2, |writer| writer.receiver_report(77, &[block]).unwrap());
        }
        let mut low = Vp8Source::new(1000, rid_ext("v", "q"));
        let mut high = Vp8Source::new(2000, rid_ext("v", "h"));
        for number in 0..150 {
            let key = number % 15 == 0;
            for packet in low.frame(key, 1, &[1; 500]).iter().chain(&high.frame(key, 4, &[2; 1000])) {
                world.rtp(1, packet);
            }
            world.run_ms(33);
        }
        let left = world.take_rtp(2);
        assert_eq!(left.iter().any(|left| is_repair(&left)), takes_fec);
        let last = left.iter().rev().find(|left| left.ssrc == 10 && left.payload.len() > 100).unwrap();
        read_vp8(&last.payload).4[0]
    };
    assert_eq!(layer(false), 2, "all of it fits");
    assert_eq!(layer(true), 1, "the higher layer no longer does");
}
