// SPDX-License-Identifier: EUPL-1.2
//! What forwarding must know of a packet's content, read once when it comes: from the payload descriptor, or from the
//! dependency descriptor where the sender adds one (then the payload may be encrypted end to end).

use parvis_peer::sdp::CodecKind;
use parvis_rtp::{av1, h264, red, vp8, vp9};

use super::dependency::DependencyReader;
pub(crate) use super::dependency::{DependencyFacts, Targets};
use super::layer::Arrival;
use super::sequence::Unwrapper;

/// The facts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts {
    /// It begins a frame (of one spatial layer).
    pub(crate) frame_start: bool,
    /// It ends one.
    pub(crate) frame_end: bool,
    /// Its picture needs none before it.
    pub(crate) key: bool,
    /// Pictures of this stream may have several spatial layers.
    pub(crate) layered: bool,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// A decoder that got lower temporal layers only can take up this one here.
    pub(crate) temporal_sync: bool,
    /// Where the newest block of a RED payload begins; its end when the payload is malformed.
    pub(crate) red_primary: u16,
    /// It didn't come by itself but in a later packet's redundancy.
    pub(crate) recovered: bool,
    pub(crate) codec: CodecFacts,
    pub(crate) dependency: Option<DependencyFacts>,
}

/// The codec's numbers that are rewritten.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum CodecFacts {
    #[default]
    None,
    Vp8(Vp8Facts),
    Vp9(Vp9Facts),
}

/// VP8's numbers; the picture id unwrapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vp8Facts {
    pub(crate) picture: Option<u64>,
    pub(crate) tl0_index: Option<u8>,
    pub(crate) key_index: Option<u8>,
}

/// VP9's numbers; the picture id unwrapped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vp9Facts {
    pub(crate) picture: Option<u64>,
    pub(crate) tl0_index: Option<u8>,
}

/// Reads the facts of one stream's packets.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    short_pictures: Unwrapper<7>,
    long_pictures: Unwrapper<15>,
    dependency: DependencyReader,
    last_timestamp: Option<u32>,
    /// The timestamp of the last key picture whose base layer was seen.
    key_timestamp: Option<u32>,
}

impl FrameReader {
    pub(crate) fn read(&mut self, arrival: &Arrival<'_>) -> Facts {
        let mut facts = Facts { frame_end: arrival.marker, ..Facts::default() };
        if arrival.payload.is_empty() {
            return Facts::default();
        }
        let first_of_timestamp = self.last_timestamp != Some(arrival.timestamp);
        self.last_timestamp = Some(arrival.timestamp);
        if arrival.codec == CodecKind::Red {
            let primary = red::Red::parse(arrival.payload).map_or(0, |red| red.primary.payload.len());
            facts.red_primary = u16::try_from(arrival.payload.len() - primary).unwrap_or(u16::MAX);
        }
        match arrival.codec {
            CodecKind::Opus | CodecKind::Red => {
                (facts.frame_start, facts.frame_end, facts.key) = (true, true, true)
            }
            CodecKind::Vp8 => self.read_vp8(arrival.payload, &mut facts),
            CodecKind::Vp9 => self.read_vp9(arrival, &mut facts),
            CodecKind::Av1 => {
                facts.key = av1::is_keyframe(arrival.payload);
                facts.frame_start = facts.key || first_of_timestamp;
            }
            CodecKind::H264 => {
                // A decoder needs the parameter sets before the picture; senders put them right before it.
                facts.key =
                    h264::Descriptor::parse(arrival.payload).is_ok_and(|descriptor| descriptor.has_sps);
                facts.frame_start = facts.key || first_of_timestamp;
            }
        }
        if let Some(descriptor) = arrival.extensions.dependency_descriptor {
            self.dependency.read(descriptor, &mut facts);
        }
        facts
    }

    /// The decode targets of the stream, when it has dependency descriptors.
    pub(crate) fn targets(&self) -> &Targets {
        self.dependency.targets()
    }

    /// The reader that knows the stream's template structure.
    pub(crate) fn dependency(&self) -> &DependencyReader {
        &self.dependency
    }

    fn read_vp8(&mut self, payload: &[u8], facts: &mut Facts) {
        let Ok(descriptor) = vp8::Descriptor::parse(payload) else { return };
        facts.frame_start = descriptor.starts_frame();
        facts.key = descriptor.is_keyframe(payload);
        if let Some(temporal) = descriptor.temporal {
            facts.temporal = temporal.id;
            facts.temporal_sync = temporal.layer_sync;
        }
        facts.codec = CodecFacts::Vp8(Vp8Facts {
            picture: descriptor.picture_id.map(|id| self.unwrap(id)),
            tl0_index: descriptor.tl0_pic_idx,
            key_index: descriptor.key_index,
        });
    }

    fn read_vp9(&mut self, arrival: &Arrival<'_>, facts: &mut Facts) {
        let Ok(descriptor) = vp9::Descriptor::parse(arrival.payload) else { return };
        if descriptor.is_keyframe() {
            self.key_timestamp = Some(arrival.timestamp);
        }
        facts.frame_start = descriptor.start_of_frame;
        facts.frame_end = descriptor.end_of_frame;
        facts.key = self.key_timestamp == Some(arrival.timestamp);
        if let Some(layer) = descriptor.layer {
            facts.layered = true;
            facts.spatial = layer.spatial;
            facts.temporal = layer.temporal;
            facts.temporal_sync = layer.switching_up;
        }
        facts.codec = CodecFacts::Vp9(Vp9Facts {
            picture: descriptor.picture_id.map(|id| self.unwrap(id)),
            tl0_index: descriptor.tl0_pic_idx,
        });
    }

    fn unwrap(&mut self, id: vp8::PictureId) -> u64 {
        if id.long {
            self.long_pictures.unwrap(id.value.into())
        } else {
            self.short_pictures.unwrap(id.value.into())
        }
    }
}
