// SPDX-License-Identifier: EUPL-1.2
//! Losses made good, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use parvis_rtp::flexfec::{Builder, MAX_SPAN, Repair, repairs_of};
use parvis_rtp::{HeaderFields, ParseError, write_packet};
use proptest::prelude::*;

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let fields = HeaderFields {
        marker,
        payload_type: 96,
        sequence,
        timestamp,
        ssrc: 0x1234,
        ..HeaderFields::default()
    };
    let mut buf = [0; 1500];
    let len = write_packet(&mut buf, &fields, &Default::default(), &Default::default(), payload).unwrap();
    buf[..len].to_vec()
}

fn write(builder: &Builder) -> Vec<u8> {
    let mut buf = [0; 1600];
    let len = builder.write(&mut buf).unwrap();
    buf[..len].to_vec()
}

/// Makes good whatever can be, one packet after another.
fn repair(have: &mut BTreeMap<u16, Vec<u8>>, repairs: &[Vec<u8>]) {
    loop {
        let mut progress = false;
        for payload in repairs {
            let repair = Repair::parse(payload).unwrap();
            let missing: Vec<u16> =
                repair.sequences().filter(|sequence| !have.contains_key(sequence)).collect();
            if let [missing] = missing[..] {
                let others =
                    repair.sequences().filter_map(|sequence| have.get(&sequence)).map(|packet| &packet[..]);
                let mut buf = [0; 1500];
                let len = repair.recover(missing, others, &mut buf).unwrap();
                have.insert(missing, buf[..len].to_vec());
                progress = true;
            }
        }
        if !progress {
            return;
        }
    }
}

#[test]
fn the_header_is_what_the_draft_draws() {
    let mut builder = Builder::new();
    assert!(builder.add(&packet(0x1000, 0x0102_0304, true, &[1, 2, 3])));
    assert!(builder.add(&packet(0x100e, 0x0102_0304, false, &[1, 2])));
    let bytes = write(&builder);
    let expected = [
        0,
        0x80,
        0,
        3 ^ 2,
        0,
        0,
        0,
        0, // marker and lengths differ; timestamps cancel out
        1,
        0,
        0,
        0,
        0,
        0,
        0x12,
        0x34,
        0x10,
        0, // one stream, its SSRC, the base
        0xc0,
        0x01, // K, bit 0, bit 14
        0,
        0,
        3, // what is left of the payloads
    ];
    assert_eq!(bytes, expected);
    assert!(builder.add(&packet(0x100f, 0, false, &[])));
    assert_eq!(write(&builder)[18..24], [0x40, 0x01, 0xc0, 0, 0, 0], "bit 15 needs the second word");
    assert!(builder.add(&packet(0x1000 + 46, 0, false, &[])));
    assert_eq!(write(&builder)[18..32], [0x40, 0x01, 0x40, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn what_does_not_belong_is_refused() {
    let mut builder = Builder::new();
    assert!(builder.is_empty());
    assert!(builder.write(&mut [0; 100]).is_err());
    assert!(builder.add(&packet(10, 0, false, b"x")));
    assert!(!builder.add(&packet(10, 0, false, b"x")), "twice");
    assert!(!builder.add(&packet(9, 0, false, b"x")), "before the base");
    assert!(!builder.add(&packet(10 + MAX_SPAN, 0, false, b"x")), "too far");
    assert!(!builder.add(&[0x80; 11]), "no header");
    let mut payload = write(&builder);
    let repair = Repair::parse(&payload).unwrap();
    assert_eq!(repair.recover(10, [].into_iter(), &mut [0; 12]), None, "no room");
    let longer = packet(11, 0, false, b"longer");
    assert_eq!(repair.recover(10, [&longer[..]].into_iter(), &mut [0; 100]), None, "not what was protected");
    payload[8] = 2;
    assert!(matches!(Repair::parse(&payload), Err(ParseError::Invalid { what: "FlexFEC SSRC count", .. })));
    payload[8] = 1;
    payload[0] |= 0x40;
    assert!(Repair::parse(&payload).is_err());
    for len in 0..18 {
        assert!(Repair::parse(&payload[..len]).is_err());
    }
    builder.clear();
    assert!(builder.is_empty());
}

proptest! {
    /// Any one or two lost packets of a group come back as they were, with as many repair packets as the group needs.
    #[test]
    fn any_two_losses_of_a_group_are_made_good(
        base in any::<u16>(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..15),
        timestamp in any::<u32>(),
        lost in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let packets: Vec<_> = payloads.iter().zip(0u16..).map(|(payload, at)| {
            let marker = usize::from(at) + 1 == payloads.len();
            packet(base.wrapping_add(at), timestamp.wrapping_add(u32::from(at / 3) * 3000), marker, payload)
        }).collect();
        let repairs = (1..).find(|repairs| (1usize << repairs) > packets.len()).unwrap();
        let mut written = Vec::new();
        for repair in 0..repairs {
            let mut builder = Builder::new();
            for (place, packet) in packets.iter().enumerate() {
                if repairs_of(place, repairs) >> repair & 1 != 0 {
                    prop_assert!(builder.add(packet));
                }
            }
            if !builder.is_empty() {
                written.push(write(&builder));
            }
        }
        let lost = [lost.0.index(packets.len()), lost.1.index(packets.len())];
        let mut have: BTreeMap<u16, Vec<u8>> = packets.iter().zip(0u16..)
            .filter(|(_, at)| !lost.contains(&usize::from(*at)))
            .map(|(packet, at)| (base.wrapping_add(at), packet.clone()))
            .collect();
        repair(&mut have, &written);
        for (packet, at) in packets.iter().zip(0u16..) {
            prop_assert_eq!(have.get(&base.wrapping_add(at)), Some(packet));
        }
    }

    /// Whatever a mask names is read as it was written.
    #[test]
    fn masks_of_any_width_survive(base in any::<u16>(), ahead in prop::collection::btree_set(1..MAX_SPAN, 0..40)) {
        let mut builder = Builder::new();
        let expected: Vec<u16> =
            std::iter::once(0).chain(ahead).map(|ahead| base.wrapping_add(ahead)).collect();
        for sequence in &expected {
            prop_assert!(builder.add(&packet(*sequence, 1, false, b"x")));
        }
        let written = write(&builder);
        let repair = Repair::parse(&written).unwrap();
        prop_assert_eq!(repair.sequences().collect::<Vec<_>>(), expected);
        prop_assert_eq!((repair.ssrc, repair.base), (0x1234, base));
    }

    /// Bytes from anywhere are read or refused, and never make a packet longer than there is room.
    #[test]
    fn garbage_makes_no_packet_that_is_not_there(bytes in prop::collection::vec(any::<u8>(), 0..120), other in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(repair) = Repair::parse(&bytes) {
            let mut buf = [0; 100];
            if let Some(len) = repair.recover(1, [&other[..]].into_iter(), &mut buf) {
                prop_assert!((12..=buf.len()).contains(&len));
            }
        }
    }
}
