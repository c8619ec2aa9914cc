// SPDX-License-Identifier: EUPL-1.2
//! One room of a thousand who receive ten speakers, over two forwarders: everyone gets everything, what it costs in
//! memory is bounded, and once it runs nothing is allocated.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{AudioLevel, Extensions};
use parvis_sfu::media::{Egress, MediaConfig, RoomMedia};
use parvis_sfu::{ForwarderId, PeerId, SubscriptionId, TrackId, TrunkWord};

#[path = "media/world.rs"]
#[allow(dead_code)]
mod world;
use world::*;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SPEAKERS: u64 = 10;
const SUBSCRIBERS: u64 = 1_000;
const FAR: ForwarderId = ForwarderId(1);

/// Counts what leaves, and holds what is for the other forwarder in memory that is there already.
struct Door {
    buf: Vec<u8>,
    /// Packets by peer.
    left: Vec<u64>,
    trunk: Vec<(TrackId, TrunkWord, usize)>,
    bytes: Vec<u8>,
}

impl Door {
    fn new() -> Door {
        Door {
            buf: vec![0; 2048],
            left: vec![0; (SPEAKERS + SUBSCRIBERS + 1) as usize],
            trunk: Vec::with_capacity(1024),
            bytes: Vec::with_capacity(1 << 20),
        }
    }
}

impl Egress for Door {
    fn rtp(&mut self, peer: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let left = write(&mut self.buf[..room]).is_some();
        self.left[peer.0 as usize] += u64::from(left);
        left
    }

    fn rtcp(&mut self, _: PeerId, _: &[u8]) {}

    fn trunk(&mut self, to: ForwarderId, track: TrackId, word: TrunkWord, _: &[u8], payload: &[u8]) -> bool {
        assert_eq!(to, FAR);
        self.bytes.extend_from_slice(payload);
        self.trunk.push((track, word, payload.len()));
        true
    }
}

struct Part {
    room: RoomMedia,
    door: Door,
}

impl Part {
    fn new(seed: u8, now: Instant) -> Part {
        let config = MediaConfig { start_bitrate: 20_000_000, ..MediaConfig::default() };
        Part { room: RoomMedia::new(Arc::new(config), [seed; 32], now), door: Door::new() }
    }

    /// Someone who receives all speakers, sound and pictures.
    fn subscriber(&mut self, now: Instant, peer: u64) {
        let ids = |speaker: u64| (peer * 100 + speaker * 2, peer * 100 + speaker * 2 + 1);
        let sections: Vec<_> = (0..SPEAKERS)
            .flat_map(|speaker| {
                let (sound, picture) = ids(speaker);
                [
                    outbound(&format!("a{speaker}"), MediaKind::Audio, sound),
                    outbound(&format!("v{speaker}"), MediaKind::Video, picture),
                ]
            })
            .collect();
        self.room.add_peer(now, PeerId(peer));
        self.room.set_sections(now, PeerId(peer), &sections);
        self.room.set_connected(now, PeerId(peer), true);
        for speaker in 0..SPEAKERS {
            let (sound, picture) = ids(speaker);
            for (id, track) in [(sound, speaker * 2), (picture, speaker * 2 + 1)] {
                let ssrc = id as u32 * 2;
                self.room.subscribe(
                    now,
                    SubscriptionId(id),
                    PeerId(peer),
                    TrackId(track),
                    ssrc,
                    Some(ssrc + 1),
                );
            }
        }
    }
}

/// Takes what one part has for the other.
fn carry(now: Instant, home: &mut Part, far: &mut Part) {
    let mut said = std::mem::take(&mut home.door.trunk);
    home.room.settle_trunks(now, |_, track, word| {
        said.push((track, word, 0));
        true
    });
    let mut at = 0;
    for (track, word, bytes) in said.drain(..) {
        let payload = &home.door.bytes[at..at + bytes];
        at += bytes;
        match word {
            TrunkWord::State(state) => assert!(far.room.import(now, track, ForwarderId(0), &state)),
            TrunkWord::Packet(head) => {
                far.room.handle_trunk_packet(now, track, &head, (&[], payload), &mut far.door);
            }
            _ => {}
        }
    }
    home.door.bytes.clear();
    home.door.trunk = said;
    far.room
        .settle_trunks(now, |_, track, word| home.room.handle_wish(now, track, FAR, &word, &mut home.door));
}

#[test]
fn a_thousand_receive_ten_speakers_over_two_forwarders_and_nothing_is_allocated_once_it_runs() {
    let mut now = Instant::now();
    let (mut home, mut far) = (Part::new(1, now), Part::new(2, now));
    let mut sources = Vec::new();
    for speaker in 0..SPEAKERS {
        let peer = PeerId(speaker + 1);
        home.room.add_peer(now, peer);
        let sections = [inbound("v", MediaKind::Video, &[]), inbound("a", MediaKind::Audio, &[])];
        home.room.set_sections(now, peer, &sections);
        home.room.set_connected(now, peer, true);
        for (track, mid, spec, codecs) in [
            (speaker * 2, "a", audio_spec(), [CodecKind::Red, CodecKind::Opus]),
            (speaker * 2 + 1, "v", video_spec(&[]), [CodecKind::Vp8, CodecKind::Vp9]),
        ] {
            home.room.publish(now, TrackId(track), peer, &spec);
            home.room.bind(now, TrackId(track), parvis_rtp::Mid::new(mid).unwrap());
            home.room.set_codecs(TrackId(track), &codecs);
            assert!(home.room.export(now, TrackId(track), FAR));
        }
        sources.push(Vp8Source::new(1000 + speaker as u32, mid_ext("v")));
    }
    carry(now, &mut home, &mut far);
    assert_eq!(far.room.imports() as u64, SPEAKERS * 2);

    let before = BYTES.load(Ordering::Relaxed);
    for number in 0..SUBSCRIBERS {
        let part = if number % 2 == 0 { &mut home } else { &mut far };
        part.subscriber(now, SPEAKERS + 1 + number);
    }
    for part in [&mut home, &mut far] {
        part.room.handle_timeout(now, &mut part.door);
    }
    carry(now, &mut home, &mut far);
    let per_track = (BYTES.load(Ordering::Relaxed) - before) / (SUBSCRIBERS * SPEAKERS * 2);
    // Most of it is the log of what was sent.
    assert!(per_track < 40_000, "{per_track} bytes for each subscription to a track");

    // Peers that give no feedback remember what they were sent, in memory that doubles at 512 and at
    // 1,024 packets, each track's at 32 and at 64: it is measured in between.
    let (mut allocations, rounds, measured) = (0, 42u32, 8u32);
    for round in 0..rounds {
        let packets: Vec<(PeerId, Vec<u8>)> = (0..SPEAKERS)
            .flat_map(|speaker| {
                let extensions =
                    Extensions { audio_level: Some(AudioLevel { voice: true, level: 20 }), ..mid_ext("a") };
                let sound = In {
                    payload_type: OPUS,
                    ssrc: 9,
                    sequence: round as u16,
                    timestamp: round * 960,
                    extensions,
                    ..In::default()
                };
                let picture = sources[speaker as usize].frame(round == 0, 1, &[round as u8; 700]);
                let all = picture.into_iter().chain([sound.with(&[round as u8; 80])]);
                all.map(move |packet| (PeerId(speaker + 1), packet))
            })
            .collect();
        let start = ALLOCATIONS.load(Ordering::Relaxed);
        for (peer, packet) in &packets {
            home.room.handle_rtp(now, *peer, packet, &mut home.door);
        }
        carry(now, &mut home, &mut far);
        for _ in 0..4 {
            now += Duration::from_millis(5);
            for part in [&mut home, &mut far] {
                part.room.handle_timeout(now, &mut part.door);
                while part.room.poll_event().is_some() {}
            }
        }
        carry(now, &mut home, &mut far);
        if round >= rounds - measured {
            allocations += ALLOCATIONS.load(Ordering::Relaxed) - start;
        }
    }
    for number in 0..SUBSCRIBERS {
        let peer = SPEAKERS + 1 + number;
        let part = if number % 2 == 0 { &home } else { &far };
        let got = part.door.left[peer as usize];
        assert!(got >= u64::from(rounds) * SPEAKERS * 2, "peer {peer} got {got} packets");
    }
    assert_eq!(
        (home.room.stats().trunk_overflow, far.room.stats().trunk_packets_in),
        (0, 20 * u64::from(rounds))
    );
    let packets = SUBSCRIBERS * SPEAKERS * 2 * u64::from(measured);
    // Each track's ring, here and there, makes a place at its first use; beyond that there are lists of speakers alone.
    let places = u64::from(measured) * SPEAKERS * 2 * 2;
    assert!(allocations <= places + 8, "{allocations} allocations for {packets} packets");
}
