// SPDX-License-Identifier: EUPL-1.2
//! The m-lines of a peer connection: what stands in each place, dead ones included.

use parvis_rtp::{Extension, ExtensionMap, Mid};

use super::remote::RemoteSection;
use super::{Codec, Direction, ExtensionPolicy, MediaKind, MediaSection, SenderId};

/// One m-line. Its place never changes; once dead, it may become another section with another name (RFC 8829 section 5.2.2).
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) mid: Option<Mid>,
    /// The first word of the m-line, and its third; its fourth when it is dead.
    pub(super) media: String,
    pub(super) protocol: String,
    pub(super) format: String,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Media(Box<Media>),
    Data,
    /// Port 0: rejected, stopped, or nothing that we do.
    Dead,
}

/// A section of sound or pictures.
#[derive(Debug, Clone)]
pub(super) struct Media {
    /// As the caller sees it. In an offer that waits for its answer, `codecs` is what stands to choice. `sender` may name
    /// one that is gone: the section then rests for one exchange, so that the peer sees the end of the old track before
    /// the beginning of the next.
    pub(super) section: MediaSection,
    /// Whether the peer sends here, by its last word.
    pub(super) peer_sends: bool,
    /// Whether the peer receives here, by its last word.
    pub(super) peer_receives: bool,
    /// Whether the peer wrote `a=extmap-allow-mixed` here.
    pub(super) allow_mixed: bool,
    /// The extensions with their directions as we see them; `section.extensions` follows from these.
    pub(super) extensions: Vec<ExtensionLine>,
}

/// One `a=extmap` of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtensionLine {
    pub(super) id: u8,
    pub(super) extension: Extension,
    /// `None` leaves the suffix out, which is both ways (RFC 8285 section 7).
    pub(super) suffix: Option<Direction>,
}

impl Slot {
    pub(super) fn media(&self) -> Option<&Media> {
        match &self.body {
            Body::Media(media) => Some(media),
            _ => None,
        }
    }

    pub(super) fn media_mut(&mut self) -> Option<&mut Media> {
        match &mut self.body {
            Body::Media(media) => Some(media),
            _ => None,
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.body, Body::Dead)
    }

    pub(super) fn is_data(&self) -> bool {
        matches!(self.body, Body::Data)
    }

    /// The peer's section as its m-line has it, without life.
    pub(super) fn dead(remote: &RemoteSection<'_>) -> Slot {
        Slot {
            mid: remote.mid,
            media: remote.media.to_owned(),
            protocol: remote.protocol.to_owned(),
            format: remote.formats.split(' ').next().unwrap_or_default().to_owned(),
            body: Body::Dead,
        }
    }
}

impl Media {
    /// Whether a further sender may have this section.
    pub(super) fn is_free(&self) -> bool {
        self.section.sender.is_none()
    }

    /// Makes `section.extensions` say what `extensions` say.
    pub(super) fn set_extensions(&mut self, lines: Vec<ExtensionLine>) {
        self.section.extensions = ExtensionMap::default();
        self.extensions = lines;
        for line in &self.extensions {
            self.section.extensions.insert(line.id, line.extension);
        }
    }
}

/// Direction from both halves.
pub(super) fn direction(sends: bool, receives: bool) -> Direction {
    match (sends, receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// Which numbers mean what in the whole BUNDLE group: a payload type is one codec and an id one extension there
/// (RFC 9143 sections 9.1 and 9.2).
#[derive(Debug)]
pub(super) struct Numbers {
    /// By payload type; retransmissions stand under their own.
    codecs: Vec<Option<Taken>>,
    pub(super) extensions: ExtensionMap,
}

#[derive(Debug, Clone)]
enum Taken {
    Codec(Codec),
    Retransmission,
    Fec,
}

impl Numbers {
    pub(super) fn of(slots: &[Slot]) -> Numbers {
        let mut numbers = Numbers { codecs: vec![None; 128], extensions: ExtensionMap::default() };
        for media in slots.iter().filter_map(Slot::media) {
            for codec in &media.section.codecs {
                numbers.take(codec);
            }
            if let Some(fec) = media.section.fec {
                numbers.take_fec(fec);
            }
            for line in &media.extensions {
                if numbers.extensions.id(line.extension).is_none() {
                    numbers.extensions.insert(line.id, line.extension);
                }
            }
        }
        numbers
    }

    pub(super) fn take(&mut self, codec: &Codec) {
        if let Some(place) =
            self.codecs.get_mut(usize::from(codec.payload_type)).filter(|place| place.is_none())
        {
            *place = Some(Taken::Codec(codec.clone()));
        }
        if let Some(place) = codec.rtx.and_then(|rtx| self.codecs.get_mut(usize::from(rtx))) {
            *place = Some(Taken::Retransmission);
        }
    }

    pub(super) fn take_fec(&mut self, payload_type: u8) {
        if let Some(place) = self.codecs.get_mut(usize::from(payload_type)).filter(|place| place.is_none()) {
            *place = Some(Taken::Fec);
        }
    }

    /// The payload type of repair packets, if they have one.
    pub(super) fn fec(&self) -> Option<u8> {
        self.codecs.iter().position(|taken| matches!(taken, Some(Taken::Fec))).map(|place| place as u8)
    }

    /// The codec that is already known by some number.
    pub(super) fn find(&self, same: impl Fn(&Codec) -> bool) -> Option<&Codec> {
        self.codecs.iter().find_map(|taken| match taken {
            Some(Taken::Codec(codec)) if same(codec) => Some(codec),
            _ => None,
        })
    }

    /// `wanted` if it is free, or else the first free number of the dynamic ranges (RFC 3551 section 6, RFC 5761
    /// section 4: 64 to 95 would look like RTCP).
    pub(super) fn free(&self, wanted: u8) -> Option<u8> {
        let is_free = |payload_type: &u8| matches!(self.codecs.get(usize::from(*payload_type)), Some(None));
        std::iter::once(wanted).chain(96..=127).chain(35..=63).find(is_free)
    }

    /// The id of an extension in our offers.
    pub(super) fn extension_id(&mut self, policy: &ExtensionPolicy) -> Option<u8> {
        if let Some(id) = self.extensions.id(policy.extension) {
            return Some(id);
        }
        let id =
            std::iter::once(policy.id).chain(1..=14).find(|id| self.extensions.extension(*id).is_none())?;
        self.extensions.insert(id, policy.extension).then_some(id)
    }
}

/// A section as it begins, before anything is agreed.
pub(super) fn new_section(index: usize, mid: Mid, kind: MediaKind, sender: Option<SenderId>) -> MediaSection {
    MediaSection {
        index,
        mid,
        kind,
        direction: Direction::Inactive,
        codecs: Vec::new(),
        fec: None,
        extensions: ExtensionMap::default(),
        rids: Vec::new(),
        remote_streams: Vec::new(),
        remote_msid: None,
        sender,
    }
}
