// SPDX-License-Identifier: EUPL-1.2
//! Forwarding allocates nothing once it runs: a counting allocator says so.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parvis_peer::sdp::{MediaKind, MediaSection};
use parvis_rtp::rtcp::ReportBlock;
use parvis_rtp::{AudioLevel, Extensions};
use parvis_sfu::media::{Egress, MediaConfig, RoomMedia};
use parvis_sfu::{PeerId, SubscriptionId, TrackId};

#[path = "media/world.rs"]
#[allow(dead_code)]
mod world;
use world::*;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Writes into one buffer and counts.
struct Sink {
    buf: [u8; 2048],
    packets: u64,
}

impl Egress for Sink {
    fn rtp(&mut self, _: PeerId, room: usize, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        self.packets += 1;
        write(&mut self.buf[..room]).is_some()
    }

    fn rtcp(&mut self, _: PeerId, _: &[u8]) {}
}

#[test]
fn forwarding_one_publisher_to_twenty_allocates_nothing_in_steady_state() {
    // With repair packets for everyone, whatever is lost.
    let mut world =
        World::with(MediaConfig { fec_loss: [0.0; 2], fec_round_trip: Duration::ZERO, ..config() });
    world.peer(1, &[inbound("v", MediaKind::Video, &[]), inbound("a", MediaKind::Audio, &[])]);
    world.publish(1, 1, "v", &video_spec(&[]));
    world.publish(1, 2, "a", &audio_spec());
    for peer in 2..22 {
        let (video, audio) = (peer * 10, peer * 10 + 1);
        let video_section = MediaSection { fec: Some(89), ..outbound("0", MediaKind::Video, video) };
        world.peer(peer, &[video_section, outbound("1", MediaKind::Audio, audio)]);
        world.subscribe(video, peer, 1);
        world.room.set_repair_ssrc(SubscriptionId(video), video as u32 * 10 + 2);
        world.subscribe(audio, peer, 2);
    }
    world.run_ms(0);
    for peer in 2..22u64 {
        for at in 1..3 {
            let extended_highest_sequence = 1000 + at * 100;
            let block =
                ReportBlock { ssrc: peer as u32 * 100, extended_highest_sequence, ..ReportBlock::default() };
            world.rtcp(peer, |writer| writer.receiver_report(77, &[block]).unwrap());
        }
    }
    let mut source = Vp8Source::new(1000, mid_ext("v"));
    let mut prepared = Vec::new();
    for frame in 0..900u32 {
        let mut packets = source.frame(frame % 100 == 0, 4, &[7; 1000]);
        let level = AudioLevel { voice: true, level: (frame % 60) as u8 };
        let extensions = Extensions { audio_level: Some(level), ..mid_ext("a") };
        let voice = In {
            payload_type: OPUS,
            ssrc: 9,
            sequence: frame as u16,
            timestamp: frame * 960,
            extensions,
            ..In::default()
        };
        packets.push(voice.with(&[3; 120]));
        prepared.push(packets);
    }
    let mut sink = Sink { buf: [0; 2048], packets: 0 };
    let room: &mut RoomMedia = &mut world.room;
    let mut now = world.now;
    let mut before = (0, 0);
    let mut speakers = 0;
    for (frame, packets) in prepared.iter().enumerate() {
        if frame == 300 {
            before = (ALLOCATIONS.load(Ordering::Relaxed), sink.packets);
            speakers = 0;
        }
        for packet in packets {
            room.handle_rtp(now, PeerId(1), packet, &mut sink);
        }
        for _ in 0..10 {
            now += Duration::from_millis(2);
            room.handle_timeout(now, &mut sink);
        }
        while let Some(event) = room.poll_event() {
            // A change of speakers is told with a list of its own, three times a second at most.
            speakers += u64::from(matches!(event, parvis_sfu::media::MediaEvent::Speakers(_)));
        }
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before.0;
    let packets = sink.packets - before.1;
    assert!(packets > 600 * 5 * 19, "{packets} packets");
    assert!(speakers < 60);
    assert!(
        allocations <= speakers,
        "{allocations} allocations for {packets} packets, {speakers} lists of speakers"
    );
    let repairs = room.stats().fec_sent_packets;
    assert!(repairs > 900 * 4 / 6 * 19, "{repairs} repair packets");
    let _ = TrackId(1);
}
