// SPDX-License-Identifier: EUPL-1.2
//! The subscriber's path: what it carries decides on layers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parvis_peer::sdp::MediaKind;
use parvis_rtp::Packet;
use parvis_rtp::red::{self, Block};
use parvis_rtp::rtcp::ReportBlock;
use parvis_sfu::bwe::Receiver;
use parvis_sfu::media::{MediaConfig, MediaEvent};
use parvis_sfu::{PeerId, Quality, SubscriptionId, SubscriptionSettings};

use crate::world::*;

/// A link of one rate with a queue, and a receiver behind it that reports what arrives.
struct Link {
    bits_per_second: u64,
    queue_limit: Duration,
    busy_until: Instant,
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    receiver: Receiver,
    /// Claims that everything arrived.
    lies: bool,
    delivered_bytes: u64,
    dropped: u64,
    layers: Vec<u8>,
    /// Packets of sound, and their bytes.
    sounds: (u32, usize),
    /// All that left for it.
    carried: Vec<Left>,
}

const DELAY: Duration = Duration::from_millis(20);

impl Link {
    fn new(now: Instant, bits_per_second: u64) -> Link {
        Link {
            bits_per_second,
            queue_limit: Duration::from_millis(300),
            busy_until: now,
            in_flight: VecDeque::new(),
            receiver: Receiver::new(),
            lies: false,
            delivered_bytes: 0,
            dropped: 0,
            layers: Vec::new(),
            sounds: (0, 0),
            carried: Vec::new(),
        }
    }

    fn carry(&mut self, world: &mut World) {
        for left in world.take_rtp(2) {
            self.carried.push(left.clone());
            let start = self.busy_until.max(left.at);
            if start - left.at > self.queue_limit {
                self.dropped += 1;
                if !self.lies {
                    continue;
                }
            }
            let took = Duration::from_secs_f64(left.bytes.len() as f64 * 8.0 / self.bits_per_second as f64);
            self.busy_until = start + took;
            let arrival = if self.lies { left.at + DELAY } else { self.busy_until + DELAY };
            self.in_flight.push_back((arrival, left.bytes));
        }
        while self.in_flight.front().is_some_and(|(arrival, _)| *arrival <= world.now) {
            let Some((_, bytes)) = self.in_flight.pop_front() else { break };
            let packet = Packet::parse(&bytes).unwrap();
            self.delivered_bytes += bytes.len() as u64;
            if packet.ssrc == 10 && !packet.payload.is_empty() {
                self.layers.push(read_vp8(packet.payload).4[0]);
            }
            if packet.ssrc == 20 {
                self.sounds = (self.sounds.0 + 1, self.sounds.1 + packet.payload.len());
            }
            if let Some(sequence) = packet.extensions(&subscriber_map()).transport_sequence {
                self.receiver.on_packet(world.now, sequence);
            }
        }
        let mut buf = [0; 1200];
        while let Some(len) = self.receiver.write_feedback(world.now, 1, 10, &mut buf) {
            world.room.handle_rtcp(world.now, PeerId(2), &buf[..len], &mut world.out);
        }
        world.out.rtcp.retain(|(to, _)| *to != PeerId(2));
    }
}

/// Three layers of some 150, 500 and 1,700 kbit/s, from a publisher that answers key frame requests.
struct Camera {
    sources: [Vp8Source; 3],
    /// So many are sent.
    layers: usize,
    frames: u32,
    key: bool,
}

fn start(config: MediaConfig) -> (World, Camera) {
    let rids = ["q", "h", "f"];
    let mut world = World::with(config);
    world.peer(1, &[inbound("v", MediaKind::Video, &rids)]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
    world.publish(1, 1, "v", &video_spec(&rids));
    world.subscribe(1, 2, 1);
    world.run_ms(0);
    let mut at = 0;
    let sources = rids.map(|rid| {
        at += 1;
        Vp8Source::new(at * 1000, rid_ext("v", rid))
    });
    (world, Camera { sources, layers: 3, frames: 0, key: true })
}

impl Camera {
    fn play(&mut self, world: &mut World, link: &mut Link, seconds: u32) {
        for _ in 0..seconds * 30 {
            self.key |= world.take_plis(1) > 0;
            for (layer, (source, size)) in
                self.sources.iter_mut().zip([600, 1000, 1180]).take(self.layers).enumerate()
            {
                let mut content = vec![0; size];
                content[0] = layer as u8;
                for packet in source.frame(self.key, [1, 2, 6][layer], &content) {
                    world.rtp(1, &packet);
                }
            }
            self.key = false;
            self.frames += 1;
            for _ in 0..11 {
                world.run_ms(3);
                link.carry(world);
            }
        }
    }
}

fn plain() -> MediaConfig {
    MediaConfig::default()
}

#[test]
fn on_a_free_path_the_highest_layer_is_reached_within_five_seconds() {
    let (mut world, mut camera) = start(plain());
    let mut link = Link::new(world.now, 1_000_000_000);
    camera.play(&mut world, &mut link, 1);
    assert_eq!(link.layers.first(), Some(&0), "it begins with the lowest layer");
    camera.play(&mut world, &mut link, 4);
    assert_eq!(link.layers.last(), Some(&2));
    link.layers.clear();
    camera.play(&mut world, &mut link, 10);
    assert!(link.layers.iter().all(|layer| *layer == 2), "and stays there");
}

#[test]
fn on_a_narrow_path_the_layer_that_fits_is_kept_without_filling_its_queue() {
    let (mut world, mut camera) = start(plain());
    let mut link = Link::new(world.now, 900_000);
    camera.play(&mut world, &mut link, 10);
    link.layers.clear();
    link.dropped = 0;
    camera.play(&mut world, &mut link, 20);
    let medium = link.layers.iter().filter(|layer| **layer == 1).count();
    assert!(
        medium * 10 >= link.layers.len() * 6,
        "{medium} of {} packets are the middle layer's",
        link.layers.len()
    );
    assert!(!link.layers.contains(&2));
    assert!(link.dropped * 100 < link.layers.len() as u64, "{} packets dropped", link.dropped);
}

#[test]
fn when_the_path_halves_the_layer_goes_down_and_when_it_recovers_up_again() {
    let (mut world, mut camera) = start(plain());
    let mut link = Link::new(world.now, 3_000_000);
    camera.play(&mut world, &mut link, 10);
    assert_eq!(link.layers.last(), Some(&2));
    link.bits_per_second = 700_000;
    camera.play(&mut world, &mut link, 5);
    link.layers.clear();
    camera.play(&mut world, &mut link, 5);
    assert!(link.layers.iter().all(|layer| *layer < 2));
    assert!(!link.layers.is_empty());
    link.bits_per_second = 3_000_000;
    camera.play(&mut world, &mut link, 30);
    assert_eq!(link.layers.last(), Some(&2));
}

#[test]
fn a_path_that_carries_nothing_pauses_and_tells() {
    let (mut world, mut camera) = start(plain());
    let mut link = Link::new(world.now, 60_000);
    camera.play(&mut world, &mut link, 15);
    let paused = MediaEvent::StreamState { subscription: SubscriptionId(1), paused: true };
    assert!(world.events.contains(&paused), "{:?}", world.events);
}

#[test]
fn row_21_feedback_that_lies_never_brings_more_than_the_configured_rate() {
    let config = MediaConfig { max_bitrate: 1_000_000, ..plain() };
    let (mut world, mut camera) = start(config);
    let mut link = Link::new(world.now, 100_000);
    link.lies = true;
    let settings = SubscriptionSettings::default();
    world.room.configure(world.now, SubscriptionId(1), settings);
    camera.play(&mut world, &mut link, 5);
    for _ in 0..10 {
        let before = world.room.stats().sent_bytes;
        camera.play(&mut world, &mut link, 1);
        let sent = (world.room.stats().sent_bytes - before) * 8;
        // REMB says 10 Gbit/s too, and a report that nothing was ever lost.
        world.rtcp(2, |writer| writer.remb(1, 10_000_000_000, &[10]).unwrap());
        assert!(sent <= 1_000_000 * 108 / 100, "{sent} bits in 0.99 s");
    }
}

#[test]
fn row_21_a_track_larger_than_the_configured_rate_is_held_to_it_by_the_pacer() {
    let config = MediaConfig { max_bitrate: 1_000_000, start_bitrate: 1_000_000, ..MediaConfig::default() };
    let (mut world, mut source) = vp8_pair(config);
    let mut sent = 0;
    for frame in 0..90u32 {
        // 3 Mbit/s of a single layer, which no estimate lets through but the first seconds' benefit of the doubt.
        for packet in source.frame(frame == 0, 11, &[1; 1130]) {
            world.rtp(1, &packet);
        }
        world.run_ms(33);
        let so_far = world.room.stats().sent_bytes;
        let in_33_ms = (so_far - std::mem::replace(&mut sent, so_far)) * 8;
        // The rate, a burst of 5 ms at 2.5 times the rate, and the packet that goes beyond it.
        assert!(in_33_ms <= 33_000 + 12_500 + 1200 * 8, "{in_33_ms} bits in 33 ms");
    }
    assert!(sent > 200_000);
    assert!(world.room.stats().dropped_pacer_full + world.room.stats().dropped_expired > 0);
}

#[test]
fn a_layer_that_was_not_wanted_for_long_is_reached_soon_after_it_is() {
    let (mut world, mut camera) = start(plain());
    let mut link = Link::new(world.now, 1_000_000_000);
    let want = |world: &mut World, quality| {
        let settings = SubscriptionSettings { quality: Some(quality), ..SubscriptionSettings::default() };
        world.room.configure(world.now, SubscriptionId(1), settings);
    };
    // The publisher sends what is wanted, as it is told.
    want(&mut world, Quality::Low);
    camera.layers = 1;
    camera.play(&mut world, &mut link, 10);
    let padding = world.room.stats().padding_packets;
    camera.play(&mut world, &mut link, 10);
    assert_eq!(world.room.stats().padding_packets, padding, "nothing more is wanted: nothing is tried");
    want(&mut world, Quality::High);
    camera.layers = 3;
    camera.play(&mut world, &mut link, 2);
    assert_eq!(link.layers.last(), Some(&2), "within two seconds");
}

/// Packets of pictures that arrived in a second, and those of sound with their bytes.
type Second = (usize, (u32, usize));

/// A camera whose smallest layer takes some 150 kbit/s in three temporal layers and a voice of 48, each packet of it with
/// the one before, to someone behind a line of 250 kbit/s, a sixth of which are headers of IP and UDP. In the first three
/// seconds reports tell of so many lost packets of sound in a hundred. What happened after eight is in the world.
fn on_a_line_of_250_kbit(lost: i32) -> (World, Vec<Second>) {
    let rids = ["q", "h", "f"];
    let mut world = World::with(plain());
    world.peer(1, &[inbound("v", MediaKind::Video, &rids), inbound("a", MediaKind::Audio, &[])]);
    world.peer(2, &[outbound("0", MediaKind::Video, 1), outbound("1", MediaKind::Audio, 2)]);
    world.publish(1, 1, "v", &video_spec(&rids));
    world.publish(1, 2, "a", &audio_spec());
    world.subscribe(1, 2, 1);
    world.subscribe(2, 2, 2);
    world.run_ms(0);
    let mut sources = [1, 2, 3].map(|at: u32| Vp8Source::new(at * 1000, rid_ext("v", rids[at as usize - 1])));
    let mut link = Link::new(world.now, 210_000);
    let (mut key, mut sequence) = (true, 0);
    let mut seconds = Vec::new();
    for frame in 0..30 * 30usize {
        key |= world.take_plis(1) > 0;
        let temporal = [0, 2, 1, 2][frame % 4];
        for (layer, (source, packets)) in sources.iter_mut().zip([1, 3, 7]).enumerate() {
            let size = if layer > 0 { 600 } else { [960, 600, 420][usize::from(temporal)] };
            let mut content = vec![0; size];
            content[0] = layer as u8;
            let temporal = if key { 0 } else { temporal };
            // A key picture has eight times the bytes of another.
            let packets = if key { packets * 8 } else { packets };
            for packet in source.layered_frame(key, packets, &content, temporal, temporal > 0) {
                world.rtp(1, &packet);
            }
        }
        key = false;
        for step in 0..11 {
            if (frame * 33 + step * 3) % 20 < 3 {
                sequence += 1;
                let timestamp = u32::from(sequence) * 960;
                let extensions = mid_ext("a");
                let packet =
                    In { payload_type: RED, ssrc: 77, sequence, timestamp, extensions, ..In::default() };
                let before = Block { payload_type: OPUS, timestamp_offset: 960, payload: &[1; 120] };
                let mut payload = [0; 300];
                let len = red::write(&mut payload, &[before], OPUS, &[1; 120]).unwrap();
                world.rtp(1, &packet.with(&payload[..len]));
            }
            world.run_ms(3);
            link.carry(&mut world);
        }
        if frame % 30 == 29 {
            seconds.push((std::mem::take(&mut link.layers).len(), std::mem::take(&mut link.sounds)));
            let second = seconds.len() as u32;
            let block = ReportBlock {
                ssrc: 20,
                cumulative_lost: lost * second.min(3) as i32,
                extended_highest_sequence: 1000 + second * 100,
                ..ReportBlock::default()
            };
            world.rtcp(2, |writer| writer.receiver_report(77, &[block]).unwrap());
            if seconds.len() == 8 {
                world.events.clear();
            }
        }
    }
    (world, seconds)
}

#[test]
fn on_a_line_of_250_kbit_the_smallest_picture_moves_beside_sound_that_is_whole() {
    let (world, seconds) = on_a_line_of_250_kbit(0);
    // The start is faster than the line, and its queue has to empty first.
    for (pictures, (sounds, bytes)) in &seconds[8..] {
        assert!(*pictures >= 7 && (40..=60).contains(sounds), "{seconds:?}");
        assert!(*bytes < 8_000, "without its second copy: {seconds:?}");
    }
    let paused = MediaEvent::StreamState { subscription: SubscriptionId(1), paused: true };
    assert!(!world.events.contains(&paused), "{:?}", world.events);
}

#[test]
fn sound_goes_once_again_as_soon_as_the_losses_of_a_narrow_line_are_over() {
    let (_, seconds) = on_a_line_of_250_kbit(30);
    let bytes: Vec<usize> = seconds.iter().map(|(_, (_, bytes))| *bytes).collect();
    assert!(bytes[5..].iter().all(|bytes| *bytes < 8_000), "once, soon after: {bytes:?}");
}

/// One cluster of padding as it left: its bytes with the media beside it, from its first packet to its last, and how many
/// packets of padding.
#[derive(Debug)]
struct Cluster {
    begin: Instant,
    end: Instant,
    bytes: usize,
    padding: usize,
}

impl Cluster {
    /// Bits per second: the last packet's bytes leave after the time that is counted.
    fn rate(&self) -> f64 {
        let last = self.bytes as f64 / (self.padding as f64).max(1.0);
        (self.bytes as f64 - last.min(300.0)) * 8.0 / (self.end - self.begin).as_secs_f64()
    }
}

/// The clusters among packets that left, 30 ms apart at least. All padding goes on the stream of retransmissions and holds
/// nothing else, or this panics.
fn clusters(left: &[Left]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut last_number = None;
    for packet in left.iter().filter(|packet| packet.padding > 1) {
        assert_eq!((packet.ssrc, packet.payload.len()), (11, 0), "only retransmissions' stream has padding");
        let extensions =
            Packet::parse(&packet.bytes).unwrap().extensions(&subscriber_map()).transport_sequence;
        assert!(extensions.is_some(), "or nothing tells of its arrival");
        let before = last_number.replace(packet.sequence);
        assert!(before.is_none_or(|before| packet.sequence.wrapping_sub(before) == 1), "no number twice");
        match clusters.last_mut().filter(|last| packet.at - last.end < Duration::from_millis(30)) {
            Some(last) => (last.end, last.padding) = (packet.at, last.padding + 1),
            None => clusters.push(Cluster { begin: packet.at, end: packet.at, bytes: 0, padding: 1 }),
        }
    }
    for cluster in &mut clusters {
        let within = left.iter().filter(|packet| (cluster.begin..=cluster.end).contains(&packet.at));
        cluster.bytes = within.map(|packet| packet.bytes.len()).sum();
    }
    clusters
}

#[test]
fn clusters_are_padding_on_the_stream_of_retransmissions_and_reach_the_rate_that_is_tried() {
    let (mut world, mut camera) = start(plain());
    let mut link = Link::new(world.now, 1_000_000_000);
    camera.play(&mut world, &mut link, 4);
    let clusters = clusters(&link.carried);
    let rates: Vec<f64> = clusters.iter().map(|cluster| cluster.rate() / 1e6).collect();
    // Three times the start of 300 kbit/s, then six times.
    assert!((0.8..1.3).contains(&rates[0]), "{rates:?} {clusters:#?}");
    assert!((1.6..2.4).contains(&rates[1]), "{rates:?} {clusters:#?}");
    for cluster in &clusters[..2] {
        let long = cluster.end - cluster.begin;
        assert!(long >= Duration::from_millis(12) && long < Duration::from_millis(80), "{cluster:?}");
        assert!(cluster.padding >= 5, "{cluster:?}");
    }
}

#[test]
fn thirty_pictures_on_a_path_of_fifty_megabits_have_forty_of_them_within_seconds() {
    let rids = ["q", "h", "f"];
    let mut world = World::with(plain());
    let people = 10..40u64;
    let sections = people.clone().map(|one| outbound(&one.to_string(), MediaKind::Video, one));
    world.peer(2, &sections.collect::<Vec<_>>());
    let mut sources = Vec::new();
    for one in people.clone() {
        world.peer(one, &[inbound("v", MediaKind::Video, &rids)]);
        world.publish(one, one, "v", &video_spec(&rids));
        world.subscribe(one, 2, one);
        let source = |at: u64| Vp8Source::new((one * 10 + at) as u32 * 100, rid_ext("v", rids[at as usize]));
        sources.push([0, 1, 2].map(source));
    }
    world.run_ms(0);
    // With IP's and UDP's headers it would be 50.
    let mut link = Link::new(world.now, 49_000_000);
    let mut keys = vec![true; sources.len()];
    let (mut rates, mut before) = (Vec::new(), 0);
    for frame in 0..20 * 30 {
        for ((one, sources), key) in people.clone().zip(&mut sources).zip(&mut keys) {
            *key |= world.take_plis_only(one) > 0;
            // 0.14, 0.5 and 1.4 Mbit/s.
            for (source, (packets, size)) in sources.iter_mut().zip([(1, 560), (2, 1_000), (5, 1_140)]) {
                for packet in source.frame(*key, packets, &vec![0; size]) {
                    world.rtp(one, &packet);
                }
            }
            *key = false;
        }
        for _ in 0..11 {
            world.run_ms(3);
            link.carry(&mut world);
            link.carried.clear();
        }
        if frame % 30 == 29 {
            rates.push((link.delivered_bytes - before) as f64 * 8.0 / 0.99 / 1e6);
            before = link.delivered_bytes;
        }
    }
    let reached = rates.iter().position(|rate| *rate >= 40.0);
    assert!(reached.is_some_and(|second| second < 12), "{rates:.1?}, {} dropped", link.dropped);
    // And there it stays: the path has room for all thirty.
    assert!(rates[14..].iter().all(|rate| *rate >= 38.0), "{rates:.1?}, {} dropped", link.dropped);
}
