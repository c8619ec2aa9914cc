// SPDX-License-Identifier: EUPL-1.2
//! Once its streams are known, nothing on a packet's way allocates.
#![allow(unsafe_code)] // a counting allocator is an unsafe trait

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use parvis_rtp::dependency::Descriptor;
use parvis_rtp::rtcp::{self, ReportBlock, Rtcp};
use parvis_rtp::srtp::{KeyingMaterial, Limits, Profile, SrtpContext};
use parvis_rtp::{
    AudioLevel, Extension, ExtensionMap, Extensions, HeaderFields, Name, Packet, vp8, vp9, write_packet,
};

struct Counting;

thread_local! {
    // Per thread: the test harness allocates on threads of its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator unchanged; the counter is a plain thread-local cell without
// destructor, so that it can be touched at any time.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_packet_is_read_rewritten_protected_and_unprotected_without_allocation() {
    for profile in Profile::ALL {
        let material: Vec<u8> = (0..profile.keying_len() as u8).collect();
        let (key, _) = KeyingMaterial::split(profile, &material).unwrap();
        let mut sender = SrtpContext::new(profile, &key, Limits::SEND).unwrap();
        let mut receiver = SrtpContext::new(profile, &key, Limits::RECEIVE).unwrap();
        let mut map = ExtensionMap::default();
        for (id, extension) in (1..).zip(Extension::ALL) {
            map.insert(id, extension);
        }
        let extensions = Extensions {
            audio_level: Some(AudioLevel { voice: true, level: 20 }),
            mid: Name::new("12"),
            transport_sequence: Some(1),
            dependency_descriptor: Some(&[0xc0, 0, 1]),
            ..Extensions::default()
        };
        let mut payload = [0xaa; 1000];
        payload[..6].copy_from_slice(&[0x90, 0xf0, 0x92, 0x67, 12, 0x23]);
        let mut buf = [0; 1472];
        let mut round = |sequence: u16| {
            let fields = HeaderFields { sequence, ssrc: 1, payload_type: 96, ..HeaderFields::default() };
            let len = write_packet(&mut buf, &fields, &map, &extensions, &payload).unwrap();
            let len = sender.protect_rtp(&mut buf, len).unwrap();
            let len = receiver.unprotect_rtp(&mut buf[..len]).unwrap();
            let packet = Packet::parse(&buf[..len]).unwrap();
            assert_eq!(packet.extensions(&map).mid, extensions.mid);
            let header_len = packet.header_len;
            assert!(vp8::Descriptor::parse(packet.payload).unwrap().picture_id.is_some());
            let _ = vp9::Descriptor::parse(packet.payload);
            let to = vp8::Rewrite { picture_id: Some(sequence), ..vp8::Rewrite::default() };
            vp8::rewrite(&mut buf[header_len..len], &to).unwrap();
            // Refusals cost nothing either.
            assert!(receiver.unprotect_rtp(&mut buf[..len]).is_err());
        };
        round(1);
        let allocated = allocations_of(|| (2..500).for_each(&mut round));
        assert_eq!(allocated, 0, "{profile:?}");
    }
}

#[test]
fn reports_are_written_protected_and_read_without_allocation() {
    for profile in Profile::ALL {
        let material: Vec<u8> = (0..profile.keying_len() as u8).collect();
        let (key, _) = KeyingMaterial::split(profile, &material).unwrap();
        let mut sender = SrtpContext::new(profile, &key, Limits::SEND).unwrap();
        let mut receiver = SrtpContext::new(profile, &key, Limits::RECEIVE).unwrap();
        let mut buf = [0; 1472];
        let arrivals: [Option<i64>; 60] = std::array::from_fn(|at| (at % 7 != 3).then_some(at as i64 * 90));
        let mut round = |base: u16| {
            let mut writer = rtcp::Writer::new(&mut buf);
            writer.receiver_report(1, &[ReportBlock::default(); 3]).unwrap();
            writer.cname(1, b"parvis").unwrap();
            writer.nack(1, 2, base..base + 20).unwrap();
            writer.transport_feedback(1, 2, 0, base, &arrivals).unwrap();
            let len = writer.len();
            let len = sender.protect_rtcp(&mut buf, len).unwrap();
            let len = receiver.unprotect_rtcp(&mut buf[..len]).unwrap();
            let read: usize = rtcp::packets(&buf[..len])
                .map(|packet| match packet.unwrap() {
                    Rtcp::Nack(nack) => nack.sequences().count(),
                    Rtcp::TransportFeedback(feedback) => feedback.arrivals().flat_map(|(_, at)| at).count(),
                    _ => 0,
                })
                .sum();
            assert_eq!(read, 20 + 51);
        };
        round(0);
        let allocated = allocations_of(|| (1..500).for_each(&mut round));
        assert_eq!(allocated, 0, "{profile:?}");
    }
}

#[test]
fn a_dependency_descriptor_allocates_for_a_new_structure_only() {
    // One decode target, one template, no chains.
    let key = [0xc0, 0, 1, 0b1000_0000, 0b0000_0000, 0b1110_0000];
    let structure = Descriptor::parse(&key, None).unwrap().structure.unwrap();
    let allocated = allocations_of(|| {
        for number in 0..200 {
            let descriptor = Descriptor::parse(&[0xc0, 0, number], Some(&structure)).unwrap();
            let mut buf = [0; 8];
            descriptor.write(&mut buf, Some(&structure)).unwrap();
        }
    });
    assert_eq!(allocated, 0);
}
