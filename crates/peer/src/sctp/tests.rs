// SPDX-License-Identifier: EUPL-1.2
//! A hostile peer, written by hand: what it can't make us do. Friendly peers are in `tests/sctp_link.rs`.

use super::wire::{self, Chunk, Data, Header, Init};
use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const OUR_TAG: u32 = 0x1111_1111;
const PEER_TAG: u32 = 0x2222_2222;
const PEER_TSN: u32 = 0xffff_fff0;
/// The peer's first TSN is just below the wrap, and so is ours.
const OUR_TSN: u32 = 0xffff_fffa;

/// A peer that says whatever the test wants.
struct Hostile {
    us: Association,
    now: Instant,
}

impl Hostile {
    fn idle(initiate: bool) -> Self {
        let now = Instant::now();
        let config = SctpConfig { initiate, ..Default::default() };
        Hostile { us: Association::with_identity(config, OUR_TAG, OUR_TSN, [7; 16], now), now }
    }

    /// After the handshake, with channel 0 open.
    fn established() -> Self {
        let mut peer = Hostile::idle(false);
        peer.send(0, |packet| wire::put_init(packet, wire::INIT, &peer_init()));
        let answer = peer.us.poll_transmit(peer.now).unwrap();
        let (_, chunks) = wire::parse(&answer).unwrap();
        let [Chunk::InitAck(init)] = chunks[..] else { panic!("{chunks:?}") };
        let cookie = init.cookie.unwrap().to_vec();
        assert_eq!((init.tag, init.tsn), (OUR_TAG, OUR_TSN));
        peer.send(OUR_TAG, |packet| wire::put_chunk(packet, wire::COOKIE_ECHO, 0, &[&cookie]));
        assert!(peer.us.is_established());
        let spec = ChannelSpec { label: "x".into(), ordered: true, max_retransmits: None };
        peer.data(&Data { ppid: 50, payload: &dcep::open(&spec), ..whole(0, 0) });
        assert_eq!(peer.us.poll_event(), Some(SctpEvent::Open(ChannelId(0), spec)));
        peer
    }

    fn send(&mut self, tag: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut packet = wire::start(Header { source_port: 5000, destination_port: 5000, tag });
        write(&mut packet);
        self.us.handle_packet(self.now, &wire::finish(packet));
    }

    fn data(&mut self, data: &Data<'_>) {
        self.send(OUR_TAG, |packet| wire::put_data(packet, data));
    }

    fn failure(&mut self) -> Option<String> {
        std::iter::from_fn(|| self.us.poll_event()).find_map(|event| match event {
            SctpEvent::Failed(reason) => Some(reason),
            _ => None,
        })
    }

    fn check_bounds(&self) {
        let limits = SctpLimits::default();
        assert!(self.us.held_bytes() <= limits.receive_buffer_bytes, "{} bytes held", self.us.held_bytes());
    }
}

fn peer_init() -> Init<'static> {
    Init {
        tag: PEER_TAG,
        window: 1 << 20,
        outbound_streams: 1024,
        inbound_streams: 1024,
        tsn: PEER_TSN,
        cookie: None,
        forward_tsn: true,
        reconfig: true,
    }
}

/// A whole message on stream 0, `number` chunks after the first.
fn whole(number: u32, ssn: u16) -> Data<'static> {
    Data {
        immediate: false,
        unordered: false,
        begins: true,
        ends: true,
        tsn: PEER_TSN.wrapping_add(number),
        stream: 0,
        ssn,
        ppid: 53,
        payload: b"payload",
    }
}

#[test]
fn row_25_a_message_that_grows_above_64_kib_ends_the_association() {
    let mut peer = Hostile::established();
    let payload = [0; 1024];
    for number in 1..=65 {
        peer.data(&Data { begins: number == 1, ends: false, payload: &payload, ..whole(number, 1) });
        peer.check_bounds();
    }
    let reason = peer.failure().unwrap();
    assert!(reason.contains("65536"), "{reason}");
    // Channels are closed before, the peer is told, and nothing is taken any more.
    let abort = peer.us.poll_transmit(peer.now).unwrap();
    let (header, chunks) = wire::parse(&abort).unwrap();
    assert_eq!(header.tag, PEER_TAG);
    assert!(matches!(chunks[..], [Chunk::Abort { reflected: false, .. }]));
    assert_eq!(peer.us.held_bytes(), 0);
    peer.data(&whole(66, 2));
    assert_eq!((peer.us.poll_event(), peer.us.poll_timeout()), (None, None));
}

#[test]
fn row_26_a_message_in_one_byte_fragments_ends_the_association_after_512() {
    let mut peer = Hostile::established();
    for number in 1..=513 {
        assert!(peer.us.is_established());
        // From behind, so that the run grows at its front.
        peer.data(&Data { begins: false, ends: false, payload: &[1], ..whole(1000 - number, 1) });
    }
    let reason = peer.failure().unwrap();
    assert!(reason.contains("512"), "{reason}");
}

#[test]
fn row_26_fragments_out_of_order_are_kept_within_bounds_and_the_rest_is_not_acknowledged() {
    let mut peer = Hostile::established();
    let payload = [0; 1000];
    // Every second TSN, never the ones between: nothing can be put together.
    for number in 0..100_000u32 {
        peer.data(&Data { begins: false, ends: false, payload: &payload, ..whole(3 + number * 2, 1) });
        peer.check_bounds();
    }
    assert!(peer.us.is_established());
    let kept = 100_000 - peer.us.stats().chunks_without_room;
    assert!((700..=1100).contains(&kept), "{kept} chunks were kept");
    let sack = peer.us.poll_transmit(peer.now).unwrap();
    let (_, chunks) = wire::parse(&sack).unwrap();
    let sack = chunks
        .iter()
        .find_map(|chunk| if let Chunk::Sack(sack) = chunk { Some(sack) } else { None })
        .unwrap();
    assert_eq!(sack.cumulative, PEER_TSN);
    assert!(sack.window < 1 << 19 && sack.gaps().count() == 64);
}

#[test]
fn row_26_one_byte_messages_behind_a_gap_are_kept_within_bounds() {
    let mut peer = Hostile::established();
    for number in 2..20_000u32 {
        peer.data(&Data { payload: &[1], ..whole(number, number as u16) });
    }
    let refused = peer.us.stats().chunks_without_room;
    assert!(refused > 20_000 - 4096, "{refused} were refused");
    // The gap closes: all that was kept comes out in order.
    peer.data(&Data { payload: &[1], ..whole(1, 1) });
    let messages = std::iter::from_fn(|| peer.us.poll_event()).count() as u64;
    assert_eq!(messages, 20_000 - 1 - refused);
    assert_eq!(peer.us.held_bytes(), 0);
}

#[test]
fn row_26_ordered_messages_whose_turn_never_comes_fill_the_buffer_and_end_the_association() {
    let mut peer = Hostile::established();
    let payload = [0; 1000];
    for number in 1..2000u32 {
        // Sequence numbers all over the circle, number 1 never.
        peer.data(&Data {
            payload: &payload,
            ..whole(number, 2 + (number as u16).wrapping_mul(12_345) % 30_000)
        });
        peer.check_bounds();
    }
    let reason = peer.failure().unwrap();
    assert!(reason.contains("full"), "{reason}");
}

#[test]
fn row_26_messages_on_65_536_streams_are_dropped_beyond_the_limit() {
    let mut peer = Hostile::established();
    for stream in 1..=u16::MAX {
        // Number 1 before number 0: each stream would have to be remembered.
        peer.data(&Data { stream, payload: &[1], ..whole(u32::from(stream), 1) });
        peer.check_bounds();
        while peer.us.poll_event().is_some() {}
    }
    assert!(peer.us.is_established());
    assert_eq!(peer.us.stats().orphan_messages, 65_535 - 127);
}

#[test]
fn row_25_opening_every_stream_leaves_64_channels_and_a_bounded_number_of_refusals() {
    let mut peer = Hostile::established();
    let spec = ChannelSpec { label: "more".into(), ordered: true, max_retransmits: None };
    let open = dcep::open(&spec);
    for stream in 1..=1000 {
        peer.data(&Data { stream, ppid: 50, payload: &open, ..whole(u32::from(stream), 0) });
    }
    let opened = std::iter::from_fn(|| peer.us.poll_event()).count();
    assert_eq!(opened, 63);
    // Streams beyond those whose order is kept don't even get as far as a refusal.
    assert_eq!((peer.us.stats().refused_channels, peer.us.stats().orphan_messages), (64, 1001 - 128));
    let mut packets = 0;
    while peer.us.poll_transmit(peer.now).is_some() {
        packets += 1;
        assert!(packets < 10);
    }
}

#[test]
fn fragments_that_do_not_belong_together_end_the_association() {
    let begin = Data { ends: false, ..whole(1, 1) };
    for odd in [
        Data { begins: true, ..whole(2, 2) },
        Data { begins: false, stream: 1, ..whole(2, 1) },
        Data { begins: false, ssn: 2, ..whole(2, 1) },
        Data { begins: false, unordered: true, ..whole(2, 1) },
    ] {
        let mut peer = Hostile::established();
        peer.data(&begin);
        peer.data(&odd);
        assert!(peer.failure().unwrap().contains("fragments"));
    }
    let mut peer = Hostile::established();
    peer.data(&Data { payload: &[], ..whole(1, 1) });
    assert!(peer.failure().unwrap().contains("without data"));
}

#[test]
fn a_packet_of_another_association_changes_nothing() {
    let mut peer = Hostile::established();
    peer.send(OUR_TAG ^ 1, |packet| wire::put_chunk(packet, wire::ABORT, 0, &[]));
    peer.send(OUR_TAG, |packet| wire::put_chunk(packet, wire::ABORT, 1, &[]));
    peer.send(0, |packet| wire::put_init(packet, wire::INIT, &Init { tag: 5, ..peer_init() }));
    assert_eq!(peer.us.stats().wrong_tags, 3);
    assert!(peer.us.is_established());
    peer.send(PEER_TAG, |packet| wire::put_chunk(packet, wire::ABORT, 1, &[]));
    assert!(peer.failure().is_some());
}

#[test]
fn a_cookie_that_is_not_ours_opens_nothing_and_ours_twice_is_acknowledged_twice() {
    let mut peer = Hostile::idle(false);
    peer.send(OUR_TAG, |packet| wire::put_chunk(packet, wire::COOKIE_ECHO, 0, &[&[9; 36]]));
    assert!(!peer.us.is_established());

    let mut peer = Hostile::established();
    while peer.us.poll_transmit(peer.now).is_some() {}
    peer.send(0, |packet| wire::put_init(packet, wire::INIT, &peer_init()));
    let answer = peer.us.poll_transmit(peer.now).unwrap();
    let (_, chunks) = wire::parse(&answer).unwrap();
    let [Chunk::InitAck(Init { cookie: Some(cookie), .. })] = chunks[..] else { panic!("{chunks:?}") };
    peer.send(OUR_TAG, |packet| wire::put_chunk(packet, wire::COOKIE_ECHO, 0, &[cookie]));
    let answer = peer.us.poll_transmit(peer.now).unwrap();
    assert_eq!(wire::parse(&answer).unwrap().1, [Chunk::CookieAck]);
}

#[test]
fn a_flood_of_heartbeats_is_answered_within_bounds() {
    let mut peer = Hostile::established();
    for _ in 0..1000 {
        peer.send(OUR_TAG, |packet| wire::put_chunk(packet, wire::HEARTBEAT, 0, &[&[5; 600]]));
    }
    let mut packets = 0;
    while peer.us.poll_transmit(peer.now).is_some() {
        packets += 1;
    }
    assert!(packets <= 18, "{packets} packets");
    assert!(peer.us.stats().dropped_replies >= 980);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_ignored() {
    let mut peer = Hostile::established();
    while peer.us.poll_transmit(peer.now).is_some() {}
    peer.us.send(ChannelId(0), b"one").unwrap();
    assert!(peer.us.poll_transmit(peer.now).is_some());
    let held = peer.us.buffered_bytes(ChannelId(0));
    let sack = |cumulative: u32, gaps: &[u8]| {
        let mut value = cumulative.to_be_bytes().to_vec();
        value.extend_from_slice(&(1u32 << 20).to_be_bytes());
        value.extend_from_slice(&((gaps.len() / 4) as u16).to_be_bytes());
        value.extend_from_slice(&[0, 0]);
        value.extend_from_slice(gaps);
        value
    };
    for value in [
        sack(OUR_TSN.wrapping_add(2), &[]),
        sack(OUR_TSN.wrapping_sub(2), &[]),
        sack(OUR_TSN.wrapping_add(1 << 31), &[]),
        sack(OUR_TSN.wrapping_sub(1), &[0, 9, 0, 2]),
        sack(OUR_TSN.wrapping_sub(1), &[0, 0, 0, 9]),
        sack(OUR_TSN.wrapping_sub(1), &[0, 7, 255, 255]),
    ] {
        peer.send(OUR_TAG, |packet| wire::put_chunk(packet, wire::SACK, 0, &[&value]));
        assert_eq!(peer.us.buffered_bytes(ChannelId(0)), held);
    }
    peer.send(OUR_TAG, |packet| {
        wire::put_chunk(packet, wire::SACK, 0, &[&sack(OUR_TSN.wrapping_add(1), &[])])
    });
    assert_eq!(peer.us.buffered_bytes(ChannelId(0)), 0);
}

#[test]
fn numbers_wrap_without_anybody_noticing() {
    // Both first TSNs are just below 2^32, and 66,000 messages take the sequence numbers around as well.
    let now = Instant::now();
    let client = SctpConfig { dtls_client: true, initiate: true, ..Default::default() };
    let mut ends = [
        Association::with_identity(client, 1, u32::MAX - 3, [1; 16], now),
        Association::with_identity(SctpConfig::default(), 2, u32::MAX - 3, [2; 16], now),
    ];
    let spec = ChannelSpec { label: "w".into(), ordered: true, max_retransmits: None };
    let id = ends[0].open(spec).unwrap();
    let (mut sent, mut received, mut now) = (0u32, 0u32, now);
    while received < 66_000 {
        while sent < 66_000 && ends[0].send(id, &sent.to_be_bytes()).is_ok() {
            sent += 1;
        }
        for (from, to) in [(0, 1), (1, 0)] {
            while let Some(packet) = ends[from].poll_transmit(now) {
                ends[to].handle_packet(now, &packet);
            }
        }
        while let Some(event) = ends[1].poll_event() {
            if let SctpEvent::Message { payload, .. } = event {
                assert_eq!(payload[..], received.to_be_bytes());
                received += 1;
            }
        }
        now += Duration::from_millis(60);
        for end in &mut ends {
            end.handle_timeout(now);
        }
    }
    assert_eq!(ends[0].stats().retransmissions, 0);
}

/// Chunks that are nearly right: numbers close to the ones expected, flags and lengths of any kind.
fn chunk() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    let kind = prop::sample::select(vec![
        0, 0, 0, 0, 1, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 14, 130, 130, 192, 192, 63, 128,
    ]);
    let near = |base: u32| (-20i32..40).prop_map(move |offset| base.wrapping_add_signed(offset));
    let head = prop_oneof![near(PEER_TSN), near(OUR_TSN), any::<u32>()];
    let rest = prop_oneof![
        prop::collection::vec(0u8..4, 0..40),
        prop::collection::vec(any::<u8>(), 0..60),
        // A reset request for a few streams.
        near(PEER_TSN).prop_map(|tsn| {
            let mut value = vec![0, 0, 0, 0, 0, 0, 0, 0];
            value.extend_from_slice(&tsn.to_be_bytes());
            value.extend_from_slice(&[0, 0, 0, 1]);
            value
        }),
    ];
    (kind, any::<u8>(), head, rest).prop_map(|(kind, flags, head, rest)| {
        let mut value = Vec::new();
        if kind == wire::RECONFIG {
            let mut body = head.to_be_bytes().to_vec();
            body.extend_from_slice(&rest);
            wire::put_parameter(&mut value, 13 + u16::from(flags % 6), &body);
        } else {
            value.extend_from_slice(&head.to_be_bytes());
            value.extend_from_slice(&rest);
        }
        (kind, flags, value)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn row_26_no_sequence_of_chunks_panics_or_breaks_a_bound_in_any_state(
        state in 0..4,
        packets in prop::collection::vec(prop::collection::vec(chunk(), 1..4), 1..60),
    ) {
        let mut peer = match state {
            0 => Hostile::idle(false),
            1 => Hostile::idle(true),
            _ => Hostile::established(),
        };
        for (number, chunks) in packets.iter().enumerate() {
            if state == 3 {
                let _ = peer.us.send(ChannelId(0), &[3; 2000]);
            }
            if number % 16 == 9 {
                peer.us.close(ChannelId(0));
            }
            let tag = if chunks[0].0 == wire::INIT { 0 } else { OUR_TAG };
            peer.send(tag, |packet| for (kind, flags, value) in chunks {
                wire::put_chunk(packet, *kind, *flags, &[value]);
            });
            peer.now += Duration::from_millis(100);
            peer.us.handle_timeout(peer.now);
            let mut out = 0;
            while let Some(packet) = peer.us.poll_transmit(peer.now) {
                prop_assert!(packet.len() <= wire::MAX_PACKET_BYTES && wire::parse(&packet).is_ok());
                out += 1;
                prop_assert!(out < 100);
            }
            if number % 3 == 0 {
                while peer.us.poll_event().is_some() {}
            }
            peer.check_bounds();
        }
    }

    #[test]
    fn row_26_no_bytes_panic_in_any_state(
        state in 0..3,
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..20),
    ) {
        let mut peer = match state {
            0 => Hostile::idle(false),
            1 => Hostile::idle(true),
            _ => Hostile::established(),
        };
        for bytes in packets {
            // As it is: the checksum stops it. And with header and checksum made right.
            peer.us.handle_packet(peer.now, &bytes);
            peer.send(OUR_TAG, |packet| packet.extend_from_slice(&bytes));
        }
        peer.check_bounds();
    }
}
