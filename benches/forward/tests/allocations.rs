// SPDX-License-Identifier: EUPL-1.2
//! A whole forwarder allocates nothing once it runs: decrypting, forwarding, encrypting, the outbox, feedback and timers.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parvis_bench_forward::memory::{Kind, Recording};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with. What is not said here (`realloc`)
// goes through `alloc`.
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

#[test]
fn a_whole_forwarder_allocates_nothing_for_a_packet_that_it_forwards() {
    const SUBSCRIBERS: usize = 10;
    // Half of them are not counted: these 13 s are enough for the estimates to rise, and then for 5 s of sent packets,
    // which is how many are remembered, at the full rate.
    const FRAMES: u64 = 800;
    let recording = Recording::make(SUBSCRIBERS, FRAMES);
    let mut by_kind: BTreeMap<Kind, (u64, u64, u64)> =
        [Kind::Media, Kind::Feedback, Kind::Time, Kind::Control].map(|kind| (kind, (0, 0, 0))).into();
    let mut before = None;
    recording.replay_each(|kind, sent| {
        let now = ALLOCATIONS.load(Ordering::Relaxed);
        let sums = by_kind.get_mut(&kind).unwrap();
        // The first input of the steady part comes after the other half and the copies of both.
        sums.0 += now - before.unwrap_or(now);
        sums.1 += 1;
        sums.2 += sent;
        before = Some(ALLOCATIONS.load(Ordering::Relaxed));
    });
    let sent: u64 = by_kind.values().map(|(_, _, sent)| sent).sum();
    assert!(sent >= FRAMES / 2 * 8 * SUBSCRIBERS as u64 * 95 / 100, "{sent} packets: {by_kind:?}");
    assert!(by_kind[&Kind::Media].1 >= FRAMES / 2 * 8);
    assert!(by_kind[&Kind::Feedback].1 >= 10 * SUBSCRIBERS as u64, "{by_kind:?}");
    for kind in [Kind::Media, Kind::Feedback, Kind::Time] {
        assert_eq!(by_kind[&kind].0, 0, "allocations for {kind:?}: {by_kind:?}");
    }
}
