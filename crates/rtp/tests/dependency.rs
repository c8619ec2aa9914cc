// SPDX-License-Identifier: EUPL-1.2
//! The AV1 dependency descriptor, against bits put together as the specification spells them.

use parvis_rtp::ParseError;
use parvis_rtp::dependency::{self, Descriptor, Indication, Resolution, Structure};
use proptest::prelude::*;

/// Bits as text; a comment ends each line. The last byte is filled with zeros.
fn bytes(bits: &str) -> Vec<u8> {
    let digits = bits.lines().flat_map(|line| line.split("//").next()).flat_map(str::bytes);
    let bits: Vec<u8> = digits.filter(|bit| matches!(bit, b'0' | b'1')).map(|bit| bit - b'0').collect();
    bits.chunks(8)
        .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit) << (8 - byte.len()))
        .collect()
}

fn number(value: usize, width: usize) -> String {
    if width == 0 { String::new() } else { format!("{value:0width$b}") }
}

/// `ns(n)`, written independently of the crate: values in order get codes of w − 1 bits while those last, then w.
fn below(value: usize, limit: usize) -> String {
    let width = usize::BITS as usize - limit.leading_zeros() as usize;
    let short = (1 << width) - limit;
    if value < short { number(value, width - 1) } else { number(value + short, width) }
}

/// Two temporal layers, two decode targets, one chain; templates: key frame, base, upper.
fn two_temporal_layers() -> Vec<u8> {
    bytes(
        "1 1 000101 0000000000000111
         1 0 0 0 0                 // structure, no mask, nothing of its own
         000101 00001              // offset 5, two decode targets
         00 01 11                  // layers: T0, T0, T1
         10 10  00 11  00 01       // indications by template: SS, -R, -D; the second begins nothing for target 0
         0  1 0001 0  1 0000 0     // references: none; 2 back; 1 back
         10                        // ns(3): one chain
                                   // ns(1) twice: no bits
         0000 0010 0001            // chain diffs
         1 0000001001111111 0000000101100111 // 640 × 360",
    )
}

#[test]
fn a_key_frame_brings_the_structure_and_later_frames_refer_to_it() {
    let key = two_temporal_layers();
    let descriptor = Descriptor::parse(&key, None).unwrap();
    assert!(descriptor.start_of_frame && descriptor.end_of_frame);
    assert_eq!((descriptor.template_id, descriptor.frame_number), (5, 7));
    assert_eq!(descriptor.resolution, Some(Resolution { width: 640, height: 360 }));
    let structure = descriptor.structure.clone().unwrap();
    assert_eq!((structure.decode_target_count(), structure.chain_count()), (2, 1));
    assert_eq!(structure.all_decode_targets(), 0b11);
    assert_eq!(
        (structure.protected_by(0), structure.protected_by(1), structure.protected_by(2)),
        (Some(0), Some(0), None)
    );
    assert_eq!(structure.templates().len(), 3);
    assert_eq!(structure.decode_target_layer(0), (0, 0));
    assert_eq!(structure.decode_target_layer(1), (0, 1));
    assert_eq!(descriptor.indications.get(1), Indication::Switch);

    let upper = Descriptor::parse(&bytes("1 0 000111 0000000000001000"), Some(&structure)).unwrap();
    assert_eq!((upper.spatial, upper.temporal), (0, 1));
    assert_eq!(upper.indications.get(0), Indication::NotPresent);
    assert_eq!(upper.indications.get(1), Indication::Discardable);
    assert_eq!(upper.indications.get(40), Indication::NotPresent);
    assert_eq!((upper.frame_diffs.as_slice(), upper.chain_diffs.as_slice()), (&[1][..], &[1][..]));
    assert_eq!(dependency::peek(&bytes("1 0 000111 0000000000001000")), Some((true, false, 7, 8)));

    let missing = ParseError::Missing { what: "dependency descriptor's template structure" };
    assert_eq!(Descriptor::parse(&key[..3], None), Err(missing));
    assert!(
        Descriptor::parse(&bytes("1 0 001000 0000000000001000"), Some(&structure)).is_err(),
        "template 8"
    );
    for cut in 4..key.len() {
        assert!(Descriptor::parse(&key[..cut], None).is_err(), "cut at {cut}");
    }
}

#[test]
fn what_a_frame_has_of_its_own_goes_before_its_template() {
    let structure = Descriptor::parse(&two_temporal_layers(), None).unwrap().structure.unwrap();
    let own = bytes(
        "0 1 000110 1111111111111111
         0 1 1 1 1     // mask, indications, references, chains of its own
         01            // only the base layer is active
         11 00         // indications
         01 0011  10 00010000  11 111111111111  00 // references 4, 17 and 4096 back
         11111111      // chain diff",
    );
    let descriptor = Descriptor::parse(&own, Some(&structure)).unwrap();
    assert_eq!(descriptor.active_decode_targets, Some(0b01));
    assert_eq!(descriptor.indications.get(0), Indication::Required);
    assert_eq!(descriptor.frame_diffs.as_slice(), [4, 17, 4096]);
    assert_eq!(descriptor.chain_diffs.as_slice(), [255]);
    let mut buf = [0xff; 64];
    let len = descriptor.write(&mut buf, Some(&structure)).unwrap();
    assert_eq!(&buf[..len], own);
}

#[test]
fn the_active_mask_is_rewritten_without_touching_the_rest() {
    let key = two_temporal_layers();
    let original = Descriptor::parse(&key, None).unwrap();
    let structure = original.structure.clone().unwrap();
    let mut buf = [0xff; 64];
    // A key frame: the mask follows the structure.
    let mut masked = original.clone();
    masked.active_decode_targets = Some(0b01);
    let len = masked.write(&mut buf, None).unwrap();
    let read = Descriptor::parse(&buf[..len], None).unwrap();
    assert_eq!(read, masked);
    // A plain frame grows by one byte.
    let plain = bytes("1 1 000110 0000000000001001");
    let mut descriptor = Descriptor::parse(&plain, Some(&structure)).unwrap();
    assert_eq!(descriptor.write(&mut buf, Some(&structure)), Ok(3));
    assert_eq!(buf[..3], plain);
    descriptor.active_decode_targets = Some(0b10);
    let len = descriptor.write(&mut buf, Some(&structure)).unwrap();
    assert_eq!(&buf[..len], bytes("1 1 000110 0000000000001001  0 1 0 0 0  10"));
    assert!(descriptor.write(&mut buf[..3], Some(&structure)).is_err(), "no room");
    assert!(descriptor.write(&mut buf, None).is_err(), "no structure");
}

/// A structure as text, field by field.
fn structure_bits() -> impl Strategy<Value = String> {
    let template =
        (0usize..3, any::<[u8; 32]>(), proptest::collection::vec(0usize..16, 0..8), any::<[u8; 32]>());
    let templates = proptest::collection::vec(template, 1..12);
    let sizes = proptest::option::of(any::<[(u16, u16); 12]>());
    (0usize..64, 1usize..33, templates, 0usize..33, any::<[u8; 32]>(), sizes).prop_map(
        |(offset, targets, templates, chains, protected_by, sizes)| {
            let chains = chains.min(targets);
            let mut bits = number(offset, 6) + &number(targets - 1, 5);
            let mut spatial_layers = 1;
            for (place, (next, ..)) in templates.iter().enumerate() {
                // The same layer again, the next temporal one, the next spatial one.
                let last = place + 1 == templates.len();
                spatial_layers += usize::from(!last && *next == 2);
                bits += &number(if last { 3 } else { *next }, 2);
            }
            for (_, indications, ..) in &templates {
                indications[..targets]
                    .iter()
                    .for_each(|indication| bits += &number(usize::from(indication % 4), 2));
            }
            for (_, _, references, _) in &templates {
                references.iter().for_each(|reference| bits += &format!("1{}", number(*reference, 4)));
                bits += "0";
            }
            bits += &below(chains, targets + 1);
            if chains > 0 {
                protected_by[..targets]
                    .iter()
                    .for_each(|chain| bits += &below(usize::from(*chain) % chains, chains));
                for (_, _, _, diffs) in &templates {
                    diffs[..chains].iter().for_each(|diff| bits += &number(usize::from(diff % 16), 4));
                }
            }
            bits += if sizes.is_some() { "1" } else { "0" };
            for (width, height) in sizes.iter().flatten().take(spatial_layers) {
                bits += &(number(usize::from(*width), 16) + &number(usize::from(*height), 16));
            }
            format!("11{}0000000000000001 10000 {bits}", number(offset, 6))
        },
    )
}

proptest! {
    #[test]
    fn any_structure_is_written_as_it_was_read(bits in structure_bits()) {
        let wire = bytes(&bits);
        let descriptor = Descriptor::parse(&wire, None).unwrap();
        let mut buf = [0xff; 2048];
        let len = descriptor.write(&mut buf, None).unwrap();
        prop_assert_eq!(&buf[..len], &wire[..]);
        let structure = descriptor.structure.unwrap();
        for target in 0..structure.decode_target_count() {
            prop_assert!(structure.protected_by(target).is_none_or(|chain| chain < structure.chain_count()));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut wire in proptest::collection::vec(any::<u8>(), 0..100), structured: bool) {
        if structured && wire.len() > 3 { wire[3] |= 0x80; }
        let known = Descriptor::parse(&two_temporal_layers(), None).unwrap().structure;
        for current in [None, known.as_deref()] {
            if let Ok(descriptor) = Descriptor::parse(&wire, current) {
                // What could be read can be written, and means the same.
                let mut buf = [0; 400];
                let len = descriptor.write(&mut buf, current).unwrap();
                prop_assert_eq!(&Descriptor::parse(&buf[..len], current).unwrap(), &descriptor);
                let structure: Option<&Structure> = descriptor.structure.as_deref().or(current);
                structure.unwrap().decode_target_layer(31);
            }
        }
    }
}
