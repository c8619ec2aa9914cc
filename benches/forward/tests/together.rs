// SPDX-License-Identifier: EUPL-1.2
//! Packets that come together are forwarded together, and leave as they would have left one by one.

use parvis_bench_forward::memory::Recording;

#[test]
fn every_receiver_gets_the_same_bytes_however_packets_were_held_back() {
    const SUBSCRIBERS: usize = 5;
    const FRAMES: u64 = 150;
    let recording = Recording::make(SUBSCRIBERS, FRAMES);
    let (together, one_by_one) = (recording.sent(false), recording.sent(true));
    assert_eq!(together.len(), SUBSCRIBERS + 1);
    let media = |datagram: &&Vec<u8>| datagram.len() > 1_000;
    let packets: usize = together.values().map(|sent| sent.iter().filter(media).count()).sum();
    assert!(packets >= FRAMES as usize / 2 * 8 * SUBSCRIBERS, "{packets}");
    for (path, sent) in &together {
        assert!(sent == &one_by_one[path], "{path:?}");
    }
}
