// SPDX-License-Identifier: EUPL-1.2
//! Several layers in one stream, told apart by dependency descriptors: what is cut must leave a stream that decodes. The
//! structures are those that the AV1 RTP specification names L2T1, L3T3 and L3T3_KEY, made from their rules.

use std::collections::BTreeSet;

use parvis_peer::sdp::MediaKind;
use parvis_rtp::dependency::{Descriptor, Structure};
use parvis_rtp::{Extensions, Packet};
use parvis_sfu::{Quality, SubscriptionId, SubscriptionSettings};

use crate::layers::Bits;
use crate::world::*;

/// A scalability mode. Temporal layers follow each other as 0 2 1 2, or there is one.
#[derive(Debug, Clone, Copy)]
struct Mode {
    spatial: u8,
    temporal: u8,
    /// Layers build upon lower ones in key pictures only.
    key_only: bool,
}

const L2T1: Mode = Mode { spatial: 2, temporal: 1, key_only: false };
const L3T3: Mode = Mode { spatial: 3, temporal: 3, key_only: false };
const L3T3_KEY: Mode = Mode { spatial: 3, temporal: 3, key_only: true };

/// What a frame is, as a template says it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    spatial: u8,
    temporal: u8,
    /// By decode target: `-`, `D`iscardable, `S`witch, `R`equired.
    indications: String,
    diffs: Vec<u64>,
    chains: Vec<u64>,
}

impl Mode {
    fn temporal_of(self, picture: u64) -> u8 {
        if self.temporal == 1 { 0 } else { [0, 2, 1, 2][picture as usize % 4] }
    }

    /// The frame of a layer in picture `picture` after the key picture.
    fn kind(self, picture: u64, spatial: u8) -> Kind {
        let (key, temporal, layers) = (picture == 0, self.temporal_of(picture), u64::from(self.spatial));
        let targets = (0..self.spatial).flat_map(|s| (0..self.temporal).map(move |t| (s, t)));
        let indication = |(s, t): (u8, u8)| match () {
            _ if temporal > t || spatial > s => '-',
            _ if self.key_only && !key && spatial != s => '-',
            _ if spatial < s && !key => 'R',
            _ if spatial == s && temporal == t && t > 0 => 'D',
            _ => 'S',
        };
        let distance = match (self.temporal, temporal) {
            (1, _) => 1,
            (_, 0) => 4,
            (_, 1) => 2,
            _ => 1,
        };
        let mut diffs = Vec::new();
        if !key {
            diffs.push(distance * layers);
        }
        if spatial > 0 && (key || !self.key_only) {
            diffs.push(1);
        }
        // A chain has its layer's base frames, and those of lower layers that they build upon.
        let frame = picture * layers + u64::from(spatial);
        let in_chain = |frame: u64, chain: u8| {
            let (picture, layer) = (frame / layers, (frame % layers) as u8);
            let builds = layer <= chain && (picture == 0 || !self.key_only);
            self.temporal_of(picture) == 0 && (layer == chain || builds)
        };
        let before = |chain| (0..frame).rev().find(|before| in_chain(*before, chain));
        let chains = (0..self.spatial).map(|chain| before(chain).map_or(0, |before| frame - before));
        // A key picture begins every chain.
        let chains = chains.map(|diff| if frame == 0 { 0 } else { diff }).collect();
        Kind { spatial, temporal, indications: targets.map(indication).collect(), diffs, chains }
    }

    fn templates(self) -> Vec<Kind> {
        let pictures = 0..9;
        let all =
            pictures.flat_map(|picture| (0..self.spatial).map(move |spatial| self.kind(picture, spatial)));
        let mut templates: Vec<Kind> = all.collect();
        templates.sort();
        templates.dedup();
        templates
    }

    fn descriptor(self, picture: u64, spatial: u8, number: u64) -> Vec<u8> {
        let kind = self.kind(if picture == 0 { 0 } else { (picture - 1) % 8 + 1 }, spatial);
        let templates = self.templates();
        let template = templates.iter().position(|template| *template == kind).unwrap();
        let mut bits = Bits::default();
        bits.put(0b11, 2).put(template as u32, 6).put(number as u32 & 0xffff, 16);
        if picture == 0 && spatial == 0 {
            bits.put(0b10000, 5);
            self.put_structure(&mut bits, &templates);
        }
        bits.bytes()
    }

    fn put_structure(self, bits: &mut Bits, templates: &[Kind]) {
        bits.put(0, 6).put(u32::from(self.spatial * self.temporal) - 1, 5);
        for (at, template) in templates.iter().enumerate() {
            let next = templates.get(at + 1).map(|next| (next.spatial, next.temporal));
            let code = match next {
                None => 3,
                Some(next) if next == (template.spatial, template.temporal) => 0,
                Some((spatial, _)) if spatial == template.spatial => 1,
                Some(_) => 2,
            };
            bits.put(code, 2);
        }
        for indication in templates.iter().flat_map(|template| template.indications.chars()) {
            bits.put("-DSR".find(indication).unwrap() as u32, 2);
        }
        for template in templates {
            for diff in &template.diffs {
                bits.put(1, 1).put(*diff as u32 - 1, 4);
            }
            bits.put(0, 1);
        }
        let chains = u32::from(self.spatial);
        bits.put_below(chains, u32::from(self.spatial * self.temporal) + 1);
        for spatial in 0..chains {
            for _ in 0..self.temporal {
                bits.put_below(spatial, chains);
            }
        }
        for diff in templates.iter().flat_map(|template| &template.chains) {
            bits.put(*diff as u32, 4);
        }
        bits.put(0, 1);
    }
}

#[test]
fn the_structures_are_those_of_the_specification() {
    let line = |kind: &Kind| {
        format!("{}{} {} {:?} {:?}", kind.spatial, kind.temporal, kind.indications, kind.diffs, kind.chains)
    };
    let l2t1: Vec<String> = L2T1.templates().iter().map(line).collect();
    assert_eq!(l2t1, ["00 SR [2] [2, 1]", "00 SS [] [0, 0]", "10 -S [1] [1, 1]", "10 -S [2, 1] [1, 1]"]);
    let l3t3: Vec<String> = L3T3.templates().iter().map(line).collect();
    assert_eq!(l3t3.len(), 15);
    for expected in [
        "00 SSSSSSSSS [] [0, 0, 0]",
        "00 SSSRRRRRR [12] [12, 11, 10]",
        "01 -DS-RR-RR [6] [6, 5, 4]",
        "02 --D--R--R [3] [9, 8, 7]",
        "10 ---SSSRRR [12, 1] [1, 1, 1]",
        "12 -----D--R [3, 1] [4, 3, 2]",
        "20 ------SSS [1] [2, 1, 1]",
        "22 --------D [3, 1] [11, 10, 9]",
    ] {
        assert!(l3t3.iter().any(|line| line == expected), "{expected} is not in {l3t3:#?}");
    }
    let key: Vec<String> = L3T3_KEY.templates().iter().map(line).collect();
    assert!(key.contains(&"00 SSS------ [12] [12, 11, 10]".to_owned()), "{key:#?}");
    assert!(key.contains(&"10 ---SSS--- [12] [1, 12, 11]".to_owned()), "{key:#?}");
}

/// An encoder, the engine, and a receiver that knows what can be decoded.
struct Stage {
    mode: Mode,
    world: World,
    number: u64,
    sequence: u16,
    /// Pictures since the last key picture, and since the beginning.
    picture: u64,
    pictures: u32,
    structure: Option<Box<Structure>>,
    /// Frames that arrived, by the number that the receiver sees.
    arrived: BTreeSet<u64>,
    last_sequence: Option<u16>,
    mask: u32,
}

impl Stage {
    fn new(mode: Mode) -> Stage {
        let mut world = World::new();
        world.peer(1, &[inbound("v", MediaKind::Video, &[])]);
        world.peer(2, &[outbound("0", MediaKind::Video, 1)]);
        world.publish(1, 1, "v", &video_spec(&[]));
        world.subscribe(1, 2, 1);
        world.run_ms(0);
        Stage {
            mode,
            world,
            number: 65_500,
            sequence: 65_500,
            picture: 0,
            pictures: 0,
            structure: None,
            arrived: BTreeSet::new(),
            last_sequence: None,
            mask: 0,
        }
    }

    /// Plays so many pictures and checks everything that arrives. For each picture the layers that arrived, as
    /// (spatial, temporal).
    fn play(&mut self, pictures: u32) -> Vec<Vec<(u8, u8)>> {
        let mut seen = Vec::new();
        for _ in 0..pictures {
            for spatial in 0..self.mode.spatial {
                let descriptor = self.mode.descriptor(self.picture, spatial, self.number);
                let extensions = Extensions { dependency_descriptor: Some(&descriptor), ..mid_ext("v") };
                let packet = In {
                    payload_type: AV1,
                    sequence: self.sequence,
                    timestamp: self.pictures * 3000,
                    marker: spatial + 1 == self.mode.spatial,
                    extensions,
                    ..In::default()
                };
                self.world.hold(1, &packet.with(&[&[0xff, spatial][..], &[7; 400]].concat()));
                self.sequence = self.sequence.wrapping_add(1);
                self.number += 1;
            }
            self.world.forward_held();
            self.picture += 1;
            self.pictures += 1;
            self.world.run_ms(33);
            seen.push(self.receive());
        }
        seen
    }

    fn key_picture(&mut self) {
        self.picture = 0;
    }

    fn receive(&mut self) -> Vec<(u8, u8)> {
        let left = self.world.take_rtp(2);
        let mut layers = Vec::new();
        for (at, packet) in left.iter().enumerate() {
            if let Some(last) = self.last_sequence.replace(packet.sequence) {
                assert_eq!(packet.sequence, last.wrapping_add(1), "no gap is left by what was cut");
            }
            assert_eq!(
                packet.marker,
                at + 1 == left.len(),
                "the marker ends what this subscriber gets: {:?} picture {} {at} of {}",
                self.mode,
                self.pictures,
                left.len()
            );
            let parsed = Packet::parse(&packet.bytes).unwrap();
            let bytes = parsed.extensions(&subscriber_map()).dependency_descriptor.unwrap();
            let descriptor = Descriptor::parse(bytes, self.structure.as_deref()).unwrap();
            if let Some(structure) = descriptor.structure.clone() {
                self.mask = structure.all_decode_targets();
                self.structure = Some(structure);
            }
            self.mask = descriptor.active_decode_targets.unwrap_or(self.mask);
            let last = self.arrived.last().copied().unwrap_or(u64::from(descriptor.frame_number));
            let step = descriptor.frame_number.wrapping_sub(last as u16);
            let frame = last + u64::from(step);
            for diff in descriptor.frame_diffs.as_slice() {
                assert!(
                    self.arrived.contains(&(frame - u64::from(*diff))),
                    "frame {frame} lacks {diff} back"
                );
            }
            // The chains of what is active are whole.
            let structure = self.structure.as_deref().unwrap();
            for target in (0..structure.decode_target_count()).filter(|target| self.mask >> target & 1 != 0) {
                let chain = usize::from(structure.protected_by(target).unwrap());
                let diff = u64::from(descriptor.chain_diffs.as_slice()[chain]);
                assert!(
                    diff == 0 || self.arrived.contains(&(frame - diff)),
                    "chain {chain} is broken at {frame}: {diff} back, {descriptor:?} {:?}",
                    self.arrived
                );
            }
            self.arrived.insert(frame);
            layers.push((descriptor.spatial, descriptor.temporal));
        }
        layers
    }

    fn want(&mut self, quality: Quality, fps: Option<u32>) {
        let settings =
            SubscriptionSettings { quality: Some(quality), fps, ..SubscriptionSettings::default() };
        self.world.room.configure(self.world.now, SubscriptionId(1), settings);
        self.world.run_ms(0);
    }

    /// The decode targets that receivers are told of, as (spatial, temporal).
    fn active(&self) -> (u8, u8) {
        let structure = self.structure.as_deref().unwrap();
        let highest = (0..structure.decode_target_count()).rev().find(|target| self.mask >> target & 1 != 0);
        structure.decode_target_layer(highest.unwrap())
    }

    fn highest(seen: &[Vec<(u8, u8)>]) -> (u8, u8) {
        let spatial = seen.iter().flatten().map(|(spatial, _)| *spatial).max().unwrap();
        (spatial, seen.iter().flatten().map(|(_, temporal)| *temporal).max().unwrap())
    }
}

#[test]
fn every_cut_of_every_structure_decodes_and_says_what_is_left() {
    for mode in [L2T1, L3T3, L3T3_KEY] {
        let mut stage = Stage::new(mode);
        let (top, fastest) = (mode.spatial - 1, mode.temporal - 1);
        assert_eq!(Stage::highest(&stage.play(60)), (top, fastest), "{mode:?}");
        assert_eq!(stage.active(), (top, fastest));

        // Down at once, with the next picture; where sizes stand alone, with a key picture that is asked for.
        stage.want(Quality::Low, None);
        if mode.key_only {
            stage.world.take_plis(1);
            assert_eq!(Stage::highest(&stage.play(8)).0, top, "{mode:?}");
            assert!(stage.world.take_plis(1) >= 1);
            stage.key_picture();
        }
        let seen = stage.play(16);
        assert_eq!(Stage::highest(&seen), (0, fastest), "{mode:?}");
        assert!(seen.iter().all(|layers| layers.len() == 1), "every picture, in its base layer");
        assert_eq!(stage.active(), (0, fastest));

        // Up with a key picture only, which is asked for.
        stage.want(Quality::High, None);
        stage.world.take_plis(1);
        assert_eq!(Stage::highest(&stage.play(8)).0, 0, "{mode:?}");
        assert!(stage.world.take_plis(1) >= 1);
        stage.key_picture();
        let seen = stage.play(16);
        assert_eq!(seen[0].len(), usize::from(mode.spatial), "{mode:?}");
        assert_eq!(stage.active(), (top, fastest));
    }
}

#[test]
fn temporal_layers_go_at_once_and_come_back_where_the_structure_lets_them() {
    for mode in [L3T3, L3T3_KEY] {
        let mut stage = Stage::new(mode);
        stage.play(60);
        stage.want(Quality::High, Some(7));
        let seen = stage.play(16);
        assert_eq!(
            seen.iter().filter(|layers| !layers.is_empty()).count(),
            4,
            "{mode:?}: a quarter of the pictures"
        );
        assert_eq!((Stage::highest(&seen), stage.active()), ((2, 0), (2, 0)));
        stage.want(Quality::High, Some(15));
        stage.play(8);
        let seen = stage.play(16);
        assert_eq!(seen.iter().filter(|layers| !layers.is_empty()).count(), 8, "{mode:?}: half of them");
        assert_eq!(stage.active(), (2, 1));
        stage.want(Quality::High, None);
        stage.play(8);
        let seen = stage.play(16);
        assert!(
            seen.iter().all(|layers| layers.len() == if mode.key_only { 1 } else { 3 }),
            "{mode:?}: all, without a key picture: {seen:?}"
        );
        assert_eq!(stage.active(), (2, 2));
    }
}
