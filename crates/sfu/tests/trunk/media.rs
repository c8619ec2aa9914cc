// SPDX-License-Identifier: EUPL-1.2
//! Two rooms' media with a trunk between them, in virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::rtcp::{Rtcp, SenderInfo, Writer, packets};
use parvis_rtp::{AudioLevel, Extensions};
use parvis_sfu::media::{Egress, MediaConfig, RoomMedia};
use parvis_sfu::{
    ForwarderId, PeerId, Quality, SubscriptionId, SubscriptionSettings, TrackId, TrackSpec, TrunkWord,
};

use crate::world::*;

const HOME: ForwarderId = ForwarderId(0);
const FAR: ForwarderId = ForwarderId(1);
const CODECS: [CodecKind; 4] = [CodecKind::Vp8, CodecKind::Vp9, CodecKind::Av1, CodecKind::H264];

/// A message of a trunk: the track, the word, the descriptor, the payload.
type Message = (TrackId, TrunkWord, Vec<u8>, Vec<u8>);

/// One forwarder's end: what leaves to peers, and what waits for the trunk.
struct End {
    room: RoomMedia,
    doors: Doors,
}

struct Doors {
    out: Collected,
    trunk: Vec<Message>,
    /// Packets that may wait.
    room_for: usize,
}

impl Egress for Doors {
    fn rtp(&mut self, peer: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        self.out.rtp(peer, room, write)
    }

    fn rtcp(&mut self, peer: PeerId, compound: &[u8]) {
        self.out.rtcp(peer, compound);
    }

    fn trunk(
        &mut self,
        _: ForwarderId,
        track: TrackId,
        word: TrunkWord,
        descriptor: &[u8],
        payload: &[u8],
    ) -> bool {
        let packets = self.trunk.iter().filter(|message| matches!(message.1, TrunkWord::Packet(_))).count();
        let fits = packets < self.room_for;
        if fits {
            self.trunk.push((track, word, descriptor.to_vec(), payload.to_vec()));
        }
        fits
    }
}

struct Pair {
    now: Instant,
    home: End,
    far: End,
    /// Every message that was carried, packets as their layer alone.
    carried: Vec<(ForwarderId, TrunkWord)>,
}

impl Pair {
    /// Peer 1 at home publishes track 1; peer 2 at home and peer 3 far away may receive.
    fn new(kind: MediaKind, rids: &[&str], spec: &TrackSpec) -> Pair {
        let now = Instant::now();
        let end = |seed| {
            let config = MediaConfig { start_bitrate: 20_000_000, ..MediaConfig::default() };
            let out = Collected::new(now);
            let doors = Doors { out, trunk: Vec::new(), room_for: 1000 };
            End { room: RoomMedia::new(Arc::new(config), [seed; 32], now), doors }
        };
        let mut pair = Pair { now, home: end(1), far: end(2), carried: Vec::new() };
        let mid = if kind == MediaKind::Video { "v" } else { "a" };
        pair.home.peer(now, 1, &[inbound(mid, kind, rids)]);
        pair.home.peer(now, 2, &[outbound("0", kind, 2)]);
        pair.far.peer(now, 3, &[outbound("0", kind, 3)]);
        pair.home.room.publish(now, TrackId(1), PeerId(1), spec);
        pair.home.room.bind(now, TrackId(1), parvis_rtp::Mid::new(mid).unwrap());
        let codecs = if kind == MediaKind::Video { &CODECS[..] } else { &[CodecKind::Red, CodecKind::Opus] };
        pair.home.room.set_codecs(TrackId(1), codecs);
        assert!(pair.home.room.export(now, TrackId(1), FAR));
        pair.carry();
        pair.home.room.subscribe(now, SubscriptionId(2), PeerId(2), TrackId(1), 20, Some(21));
        pair.far.room.subscribe(now, SubscriptionId(3), PeerId(3), TrackId(1), 30, Some(31));
        pair.run_ms(0);
        pair
    }

    fn video(rids: &[&str]) -> Pair {
        Pair::new(MediaKind::Video, rids, &video_spec(rids))
    }

    fn rtp(&mut self, packet: &[u8]) {
        self.home.room.handle_rtp(self.now, PeerId(1), packet, &mut self.home.doors);
        self.carry();
    }

    fn frame(&mut self, packets: Vec<Vec<u8>>) {
        for packet in packets {
            self.rtp(&packet);
        }
    }

    fn far_rtcp(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut buf = [0; 1400];
        let mut writer = Writer::new(&mut buf);
        write(&mut writer);
        let len = writer.len();
        self.far.room.handle_rtcp(self.now, PeerId(3), &buf[..len], &mut self.far.doors);
        self.carry();
    }

    /// Lets both sides say what they have to say, and the other one hear it.
    fn carry(&mut self) {
        loop {
            let Pair { now, home, far, carried } = self;
            let down = home.take(*now);
            let up = far.take(*now);
            if down.is_empty() && up.is_empty() {
                return;
            }
            for (track, word, descriptor, payload) in down {
                match &word {
                    TrunkWord::State(state) => assert!(far.room.import(*now, track, HOME, state)),
                    TrunkWord::Packet(head) => {
                        let bytes = (descriptor.as_slice(), payload.as_slice());
                        far.room.handle_trunk_packet(*now, track, head, bytes, &mut far.doors);
                    }
                    TrunkWord::Clock(clock) => far.room.handle_trunk_clock(*now, track, clock),
                    TrunkWord::Rates(rates) => far.room.handle_trunk_rates(*now, track, rates),
                    other => panic!("{other:?} came down"),
                }
                carried.push((HOME, word));
            }
            for (track, word, _, _) in up {
                assert!(home.room.handle_wish(*now, track, FAR, &word, &mut home.doors), "{word:?}");
                carried.push((FAR, word));
            }
        }
    }

    fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        for turn in 0.. {
            assert!(turn < 100_000, "timers must not spin");
            self.carry();
            let due =
                [self.home.room.poll_timeout(), self.far.room.poll_timeout()].into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            for side in [&mut self.home, &mut self.far] {
                side.doors.out.now = self.now;
                side.room.handle_timeout(self.now, &mut side.doors);
            }
        }
        self.now = end;
        self.home.doors.out.now = end;
        self.far.doors.out.now = end;
    }

    /// Which layers' packets were carried since the last call, and how many.
    fn carried_packets(&mut self) -> [usize; 4] {
        let mut layers = [0; 4];
        for (_, word) in std::mem::take(&mut self.carried) {
            if let TrunkWord::Packet(head) = word {
                layers[usize::from(head.layer)] += 1;
            }
        }
        layers
    }

    fn configure_far(&mut self, settings: SubscriptionSettings) {
        self.far.room.configure(self.now, SubscriptionId(3), settings);
    }
}

impl End {
    fn peer(&mut self, now: Instant, peer: u64, sections: &[parvis_peer::sdp::MediaSection]) {
        self.room.add_peer(now, PeerId(peer));
        self.room.set_sections(now, PeerId(peer), sections);
        self.room.set_connected(now, PeerId(peer), true);
    }

    fn take(&mut self, now: Instant) -> Vec<Message> {
        let mut said = std::mem::take(&mut self.doors.trunk);
        self.room.settle_trunks(now, |_, track, word| {
            said.push((track, word, Vec::new(), Vec::new()));
            true
        });
        said
    }

    /// What left to a peer in its media stream, taken out: payloads without what is the subscriber's own.
    fn contents(&mut self, peer: u64) -> Vec<(bool, Vec<u8>)> {
        let (taken, rest): (Vec<Left>, _) =
            self.doors.out.rtp.drain(..).partition(|left| left.peer == PeerId(peer));
        self.doors.out.rtp = rest;
        let media = taken.iter().filter(|left| !left.payload.is_empty());
        media.map(|left| (read_vp8(&left.payload).3, read_vp8(&left.payload).4)).collect()
    }

    fn plis(&mut self, peer: u64) -> usize {
        let all = std::mem::take(&mut self.doors.out.rtcp);
        let of_peer = all.iter().filter(|(to, _)| *to == PeerId(peer));
        of_peer
            .flat_map(|(_, compound)| packets(compound).map(|packet| matches!(packet, Ok(Rtcp::Pli { .. }))))
            .filter(|pli| *pli)
            .count()
    }
}

#[test]
fn subscribers_here_and_far_away_see_the_same_bytes() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    for frame in 0..60u8 {
        let packets = source.frame(frame == 0, 3, &[frame; 500]);
        pair.frame(packets);
        pair.run_ms(33);
    }
    let (here, there) = (pair.home.contents(2), pair.far.contents(3));
    assert_eq!(here.len(), 180);
    assert_eq!(here, there);
    assert!(there[0].0, "the first thing seen is a key frame");
    let stats = pair.far.room.stats();
    assert_eq!((stats.trunk_packets_in, pair.home.room.stats().trunk_packets_out), (180, 180));
}

#[test]
fn a_switch_far_away_asks_the_publisher_for_a_key_frame_and_only_what_is_taken_is_carried() {
    let rids = ["q", "h", "f"];
    let mut pair = Pair::video(&rids);
    pair.configure_far(SubscriptionSettings { quality: Some(Quality::Low), ..Default::default() });
    let mut sources: Vec<_> = rids
        .iter()
        .enumerate()
        .map(|(at, rid)| Vp8Source::new(1000 + at as u32, rid_ext("v", rid)))
        .collect();
    let mut send = |pair: &mut Pair, frames: usize, key: &dyn Fn(usize, usize) -> bool| {
        for frame in 0..frames {
            for (at, source) in sources.iter_mut().enumerate() {
                let packets = source.frame(key(frame, at), 1, &[at as u8; 300]);
                pair.frame(packets);
            }
            pair.run_ms(33);
        }
    };
    send(&mut pair, 30, &|frame, _| frame == 0);
    let [low, medium, high, _] = pair.carried_packets();
    assert!(low >= 29, "{low} of the low layer");
    assert_eq!((medium, high), (0, 0), "nobody far away takes them");
    assert!(pair.far.contents(3).iter().all(|(_, content)| content[0] == 0));
    assert_eq!(pair.home.room.wanted_elsewhere(TrackId(1)), 0b001);

    pair.home.plis(1);
    pair.configure_far(SubscriptionSettings::default());
    send(&mut pair, 3, &|_, _| false);
    assert_eq!(pair.home.room.wanted_elsewhere(TrackId(1)), 0b111);
    assert!(pair.home.plis(1) >= 1, "the publisher is asked for a key frame of what is wanted far away");
    send(&mut pair, 40, &|frame, _| frame == 0);
    pair.far.contents(3);
    pair.carried_packets();
    send(&mut pair, 30, &|_, _| false);
    assert_eq!(pair.carried_packets(), [0, 0, 30, 0], "what was left is no longer carried");
    assert!(pair.far.contents(3).iter().all(|(_, content)| content[0] == 2));
}

#[test]
fn a_layer_that_is_carried_again_begins_anew_wherever_its_numbers_are_by_then() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    pair.frame(source.frame(true, 1, b"first"));
    pair.run_ms(10);
    assert_eq!(pair.far.contents(3).len(), 1);
    pair.configure_far(SubscriptionSettings { enabled: false, ..Default::default() });
    pair.run_ms(200);
    pair.carried_packets();
    // Meanwhile the numbers go nearly once round: they come to stand a little before those that were carried.
    for _ in 0..32 {
        source.sequence = source.sequence.wrapping_add(1999);
        pair.frame(source.frame(false, 1, b"unseen"));
        pair.run_ms(10);
    }
    assert_eq!(pair.carried_packets(), [0; 4]);
    pair.configure_far(SubscriptionSettings::default());
    pair.run_ms(10);
    for frame in 0..40 {
        pair.frame(source.frame(frame == 0, 1, b"again"));
        pair.run_ms(10);
    }
    assert_eq!(pair.far.contents(3).len(), 40, "none is taken for one that came before");
}

#[test]
fn a_loss_between_the_far_subscriber_and_its_forwarder_is_repaired_from_there() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    for frame in 0..10u8 {
        pair.frame(source.frame(frame == 0, 2, &[frame; 500]));
        pair.run_ms(33);
    }
    let sent: Vec<Left> = pair.far.doors.out.rtp.drain(..).collect();
    let lost = &sent[13];
    pair.carried.clear();
    pair.run_ms(200);
    pair.far_rtcp(|writer| writer.nack(99, 30, [lost.sequence]).unwrap());
    pair.run_ms(20);
    let again: Vec<Left> = pair.far.doors.out.rtp.drain(..).filter(|left| left.ssrc == 31).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].payload[2..], lost.payload[..], "the same packet, behind its number (RFC 4588)");
    assert!(
        pair.carried.iter().all(|(from, _)| *from != FAR),
        "nothing of it went up the trunk: {:?}",
        pair.carried
    );
}

#[test]
fn a_far_subscribers_key_frame_request_reaches_the_publisher_once_in_its_interval() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    pair.frame(source.frame(true, 1, b"first"));
    pair.run_ms(1000);
    pair.home.plis(1);
    for _ in 0..50 {
        pair.far_rtcp(|writer| writer.pli(99, 30).unwrap());
        pair.run_ms(4);
    }
    assert_eq!(pair.home.plis(1), 1);
}

#[test]
fn mute_and_a_change_of_codec_cross_the_trunk() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    pair.frame(source.frame(true, 1, b"seen"));
    pair.run_ms(10);
    assert_eq!(pair.far.contents(3).len(), 1);
    pair.home.room.set_muted(pair.now, TrackId(1), true);
    pair.carry();
    pair.frame(source.frame(true, 1, b"unseen"));
    pair.run_ms(600);
    assert_eq!(pair.far.contents(3), []);
    pair.home.room.set_muted(pair.now, TrackId(1), false);
    pair.frame(source.frame(true, 1, b"seen again"));
    pair.run_ms(10);
    let seen = pair.far.contents(3);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(&seen[0].1[..10], b"seen again");

    // H.264 with parameter sets: a key frame of another codec.
    let packet =
        In { payload_type: H264, sequence: 40_000, extensions: mid_ext("v"), ssrc: 1000, ..In::default() };
    for (offset, nal) in [0x67u8, 0x65].into_iter().enumerate() {
        let sequence = source.sequence.wrapping_add(offset as u16);
        pair.rtp(&In { sequence, ..packet }.with(&[nal, 1, 2, 3]));
    }
    pair.run_ms(10);
    let got: Vec<u8> = pair.far.doors.out.rtp.iter().map(|left| left.payload_type).collect();
    assert_eq!(got, [H264 + SUB_SHIFT, H264 + SUB_SHIFT], "in the subscriber's own payload type");
}

#[test]
fn a_full_trunk_drops_and_counts_and_the_publisher_is_asked_for_a_key_frame() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    pair.frame(source.frame(true, 1, b"first"));
    pair.run_ms(1000);
    pair.home.plis(1);
    pair.far.contents(3);
    pair.home.doors.room_for = 4;
    // Nobody carries in between.
    for packet in source.frame(false, 10, &[1; 100]) {
        pair.home.room.handle_rtp(pair.now, PeerId(1), &packet, &mut pair.home.doors);
    }
    pair.carry();
    pair.run_ms(50);
    assert_eq!(pair.home.room.stats().trunk_overflow, 6);
    assert_eq!(pair.far.contents(3).len(), 4);
    assert_eq!(pair.home.plis(1), 1);
    pair.home.doors.room_for = 1000;
    pair.frame(source.frame(true, 1, b"anew"));
    pair.run_ms(50);
    assert_eq!(pair.far.contents(3).len(), 1, "it goes on from the next key frame");
}

#[test]
fn what_came_by_a_trunk_never_leaves_by_one() {
    let mut pair = Pair::video(&[]);
    assert_eq!(pair.far.room.imports(), 1);
    assert!(!pair.far.room.export(pair.now, TrackId(1), HOME));
    assert!(!pair.far.room.export(pair.now, TrackId(1), ForwarderId(2)));
    assert_eq!(pair.far.room.exports(TrackId(1)).count(), 0);
    // And a name that is published here is not taken from elsewhere.
    let state = pair.carried.iter().find_map(|(_, word)| match word {
        TrunkWord::State(state) => Some(state.clone()),
        _ => None,
    });
    assert!(!pair.home.room.import(pair.now, TrackId(1), FAR, &state.unwrap()));
}

#[test]
fn sound_crosses_whole_with_its_levels() {
    let mut pair = Pair::new(MediaKind::Audio, &[], &audio_spec());
    for count in 0..50u16 {
        let level = Some(AudioLevel { voice: true, level: 20 });
        let extensions = Extensions { audio_level: level, ..mid_ext("a") };
        let packet = In {
            payload_type: OPUS,
            ssrc: 9,
            sequence: 65_500u16.wrapping_add(count),
            timestamp: u32::from(count) * 960,
            extensions,
            ..In::default()
        };
        pair.rtp(&packet.with(&count.to_be_bytes()));
        pair.run_ms(20);
    }
    let got: Vec<Vec<u8>> = pair.far.doors.out.rtp.iter().map(|left| left.payload.clone()).collect();
    assert_eq!(got, (0..50u16).map(|count| count.to_be_bytes().to_vec()).collect::<Vec<_>>());
    let last = pair.far.doors.out.rtp.last().unwrap();
    let packet = parvis_rtp::Packet::parse(&last.bytes).unwrap();
    assert_eq!(packet.extensions(&subscriber_map()).audio_level, Some(AudioLevel { voice: true, level: 20 }));
}

#[test]
fn a_senders_clock_reaches_far_subscribers_under_the_publishers_name() {
    let mut pair = Pair::video(&[]);
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    pair.frame(source.frame(true, 1, b"first"));
    let mut buf = [0; 200];
    let mut writer = Writer::new(&mut buf);
    let info = SenderInfo { ntp: 77 << 32, rtp_timestamp: source.timestamp, packets: 1, octets: 5 };
    writer.sender_report(1000, &info, &[]).unwrap();
    let len = writer.len();
    pair.home.room.handle_rtcp(pair.now, PeerId(1), &buf[..len], &mut pair.home.doors);
    pair.carry();
    assert!(
        pair.carried.iter().any(|(_, word)| matches!(word, TrunkWord::Clock(clock) if clock.ntp == 77 << 32))
    );
    for _ in 0..60 {
        pair.frame(source.frame(false, 1, b"more"));
        pair.run_ms(33);
    }
    let report = |end: &End, peer: u64, ssrc: u32| {
        let compounds = end.doors.out.rtcp.iter().filter(|(to, _)| *to == PeerId(peer));
        let reports = compounds.flat_map(|(_, compound)| {
            packets(compound).filter_map(|packet| match packet {
                Ok(Rtcp::SenderReport(report)) if report.ssrc == ssrc => Some(report.info),
                _ => None,
            })
        });
        reports.last().expect("a sender report")
    };
    let (here, there) = (report(&pair.home, 2, 20), report(&pair.far, 3, 30));
    assert_eq!(here.ntp, there.ntp, "both rooms began at one time, and reports are due at the same moments");
    let first = |end: &End, peer: u64| {
        end.doors.out.rtp.iter().find(|left| left.peer == PeerId(peer)).map(|left| left.timestamp).unwrap()
    };
    let ticks = |info: SenderInfo, end: &End, peer: u64| info.rtp_timestamp.wrapping_sub(first(end, peer));
    let (here, there) = (ticks(here, &pair.home, 2), ticks(there, &pair.far, 3));
    assert!(here.abs_diff(there) <= 2, "{here} and {there} ticks since the first picture");
}

#[test]
fn when_an_import_ends_nothing_of_it_stays() {
    let mut pair = Pair::video(&[]);
    pair.far.room.unimport(pair.now, TrackId(1));
    assert!(pair.home.room.unexport(TrackId(1), FAR));
    assert_eq!((pair.far.room.imports(), pair.home.room.exports(TrackId(1)).count()), (0, 0));
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    pair.frame(source.frame(true, 1, b"alone"));
    pair.run_ms(1000);
    assert_eq!(pair.carried_packets(), [0; 4]);
    assert_eq!((pair.home.contents(2).len(), pair.far.contents(3).len()), (1, 0));
}
