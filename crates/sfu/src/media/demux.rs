// SPDX-License-Identifier: EUPL-1.2
//! Which stream an incoming packet belongs to (RFC 8843 section 9.2): by MID and RID in its header extensions, by
//! `a=ssrc` lines, or by a payload type that only one section has. What was learned is kept by SSRC.
//!
//! Only bound tracks have entries, at most one SSRC for each role per layer: a peer that makes up
//! SSRCs replaces its own entries and fills nothing (row 23). The table is a peer's own, so equal SSRCs of two peers
//! never meet (row 24).

use parvis_peer::sdp::{CodecKind, MediaSection, RemoteStream};
use parvis_rtp::{Extensions, Mid, Rid};
use rustc_hash::FxHashMap;

/// What a payload type means in what a peer sends us.
#[derive(Debug, Clone)]
pub(crate) struct IncomingType {
    pub(crate) kind: CodecKind,
    pub(crate) rtp_clock: u32,
    /// Set for a retransmission: the payload type within.
    pub(crate) repairs: Option<u8>,
    pub(crate) fmtp: String,
}

/// Where packets of an SSRC go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamRef {
    /// The publication's place.
    pub(crate) publication: usize,
    pub(crate) layer: u8,
    pub(crate) role: Role,
}

/// What packets of an SSRC are to their layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Media,
    /// RFC 4588.
    Retransmission,
    /// FlexFEC.
    Repair,
}

/// A section in which the peer sends.
#[derive(Debug, Clone)]
pub(crate) struct ReceivingSection {
    pub(crate) mid: Mid,
    pub(crate) rids: Vec<Rid>,
    pub(crate) nack: bool,
    streams: Vec<RemoteStream>,
    payload_types: Vec<u8>,
    /// The payload type of repair packets.
    fec: Option<u8>,
}

/// One peer's table.
#[derive(Debug)]
pub(crate) struct Demux {
    /// Place in `types` plus one, by payload type.
    type_index: [u8; 128],
    types: Vec<IncomingType>,
    sections: Vec<ReceivingSection>,
    bound: Vec<(Mid, usize)>,
    streams: FxHashMap<u32, StreamRef>,
}

/// What is known of a packet of an unknown SSRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Learned {
    /// The publication's place.
    pub(crate) publication: usize,
    pub(crate) layer: LearnedLayer,
    pub(crate) role: Role,
}

/// How the layer is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LearnedLayer {
    Rid(Rid),
    Index(u8),
}

impl Demux {
    pub(crate) fn new() -> Demux {
        Demux {
            type_index: [0; 128],
            types: Vec::new(),
            sections: Vec::new(),
            bound: Vec::new(),
            streams: FxHashMap::default(),
        }
    }

    /// Takes a new agreement. What was learned by SSRC stays.
    pub(crate) fn set_sections(&mut self, sections: &[MediaSection]) {
        self.type_index = [0; 128];
        self.types.clear();
        self.sections.clear();
        for section in sections.iter().filter(|section| section.direction.receives()) {
            let mut payload_types = Vec::new();
            for codec in &section.codecs {
                let incoming = IncomingType {
                    kind: codec.kind,
                    rtp_clock: codec.clock_rate,
                    repairs: None,
                    fmtp: codec.fmtp.clone(),
                };
                if let Some(rtx) = codec.rtx {
                    payload_types.push(rtx);
                    self.add_type(
                        rtx,
                        IncomingType { repairs: Some(codec.payload_type), ..incoming.clone() },
                    );
                }
                payload_types.push(codec.payload_type);
                self.add_type(codec.payload_type, incoming);
            }
            payload_types.extend(section.fec);
            self.sections.push(ReceivingSection {
                mid: section.mid,
                rids: section.rids.clone(),
                nack: section.codecs.iter().any(|codec| codec.feedback.nack),
                streams: section.remote_streams.clone(),
                payload_types,
                fec: section.fec,
            });
        }
    }

    fn add_type(&mut self, payload_type: u8, incoming: IncomingType) {
        // Within a BUNDLE group a payload type has one meaning (RFC 8843 section 9.1): the first one counts.
        if let Some(index @ 0) = self.type_index.get_mut(usize::from(payload_type))
            && self.types.len() < 255
        {
            self.types.push(incoming);
            *index = self.types.len() as u8;
        }
    }

    /// What a payload type means.
    pub(crate) fn incoming_type(&self, payload_type: u8) -> Option<&IncomingType> {
        let index = *self.type_index.get(usize::from(payload_type))?;
        self.types.get(usize::from(index).checked_sub(1)?)
    }

    /// The section named `mid`.
    pub(crate) fn section(&self, mid: Mid) -> Option<&ReceivingSection> {
        self.sections.iter().find(|section| section.mid == mid)
    }

    /// Says that the publication at `publication` comes in the section named `mid`.
    pub(crate) fn bind(&mut self, mid: Mid, publication: usize) {
        self.bound.retain(|(bound, other)| *bound != mid && *other != publication);
        self.bound.push((mid, publication));
        self.streams.retain(|_, stream| stream.publication != publication);
    }

    /// Forgets a publication.
    pub(crate) fn unbind(&mut self, publication: usize) {
        self.bound.retain(|(_, bound)| *bound != publication);
        self.streams.retain(|_, stream| stream.publication != publication);
    }

    /// Where packets of `ssrc` go, if that was learned.
    pub(crate) fn stream(&self, ssrc: u32) -> Option<StreamRef> {
        self.streams.get(&ssrc).copied()
    }

    /// SSRCs known.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Keeps what was learned of `ssrc`, in place of the SSRC that brought the same before.
    pub(crate) fn insert(&mut self, ssrc: u32, before: Option<u32>, stream: StreamRef) {
        if let Some(before) = before
            && self.streams.get(&before) == Some(&stream)
        {
            self.streams.remove(&before);
        }
        self.streams.insert(ssrc, stream);
    }

    /// Finds out what a packet of an unknown SSRC is.
    pub(crate) fn learn(&self, ssrc: u32, payload_type: u8, extensions: &Extensions<'_>) -> Option<Learned> {
        let is_repair = self.sections.iter().any(|section| section.fec == Some(payload_type));
        let (role, rid) = match self.incoming_type(payload_type) {
            Some(incoming) if incoming.repairs.is_some() => (Role::Retransmission, extensions.repaired_rid),
            Some(_) => (Role::Media, extensions.rid),
            None if is_repair => (Role::Repair, None),
            None => return None,
        };
        if rid.is_none()
            && let Some((section, index, role)) = self.by_announcement(ssrc)
        {
            let layer = LearnedLayer::Index(index);
            return Some(Learned { publication: self.publication(section.mid)?, layer, role });
        }
        let section = match extensions.mid {
            Some(mid) => self.section(mid)?,
            None => self.only_section_with(payload_type)?,
        };
        let publication = self.publication(section.mid)?;
        let layer = match rid {
            Some(rid) => LearnedLayer::Rid(rid),
            // Without RIDs there is one layer; with them, a packet without one can't be told.
            None if section.rids.is_empty() => LearnedLayer::Index(0),
            None => return None,
        };
        Some(Learned { publication, layer, role })
    }

    fn by_announcement(&self, ssrc: u32) -> Option<(&ReceivingSection, u8, Role)> {
        self.sections.iter().find_map(|section| {
            let of = |stream: &RemoteStream| match ssrc {
                _ if stream.ssrc == ssrc => Some(Role::Media),
                _ if stream.rtx == Some(ssrc) => Some(Role::Retransmission),
                _ if stream.fec == Some(ssrc) => Some(Role::Repair),
                _ => None,
            };
            let (index, role) =
                section.streams.iter().enumerate().find_map(|(index, stream)| Some((index, of(stream)?)))?;
            Some((section, u8::try_from(index).ok()?, role))
        })
    }

    fn only_section_with(&self, payload_type: u8) -> Option<&ReceivingSection> {
        let mut with = self.sections.iter().filter(|section| {
            section.payload_types.contains(&payload_type) && self.publication(section.mid).is_some()
        });
        with.next().filter(|_| with.next().is_none())
    }

    fn publication(&self, mid: Mid) -> Option<usize> {
        self.bound.iter().find(|(bound, _)| *bound == mid).map(|(_, publication)| *publication)
    }
}
