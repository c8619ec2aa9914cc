// SPDX-License-Identifier: EUPL-1.2
//! One published track: its layers, its loudness, and who subscribed to it.

use std::time::Instant;

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{Mid, Rid};

use super::MediaConfig;
use super::audio::{Loudness, RedPlan};
use super::demux::{IncomingType, LearnedLayer, ReceivingSection};
use super::export::Export;
use super::import::Import;
use super::ingress::IngressLimit;
use super::layer::Layer;
use super::nack::NackGenerator;
use crate::{LayerSpec, TrackId, TrackSpec};

/// Simulcast layers of one track: three are in use, the fourth is room.
pub(crate) const MAX_LAYERS: usize = 4;

/// One published track.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) track: TrackId,
    /// Its peer's place.
    pub(crate) peer: usize,
    pub(crate) kind: MediaKind,
    pub(crate) screen_share: bool,
    pub(crate) muted: bool,
    /// As announced, lowest first.
    pub(crate) specs: Vec<LayerSpec>,
    pub(crate) mid: Option<Mid>,
    /// The codec that it is sent in, from its first packet on.
    pub(crate) codec: Option<IncomingFormat>,
    /// Lowest first.
    pub(crate) layers: Vec<Layer>,
    /// Places of its subscriptions, in the order of subscribing.
    pub(crate) subscribers: Vec<usize>,
    /// How many of them pinned it.
    pub(crate) pinned: usize,
    pub(crate) loudness: Loudness,
    /// When a subscriber last changed what it shows of it: a layer may come that nobody wanted before.
    pub(crate) raised_at: Option<Instant>,
    /// Others are heard in its stead: it goes only to those who pinned it.
    pub(crate) withheld: bool,
    /// Packets before this one came while it was muted: they are for nobody.
    pub(crate) heard_from: u64,
    /// Its publisher wants it left as it is: no redundancy and no frames of ours. End-to-end encryption asks for that.
    pub(crate) plain: bool,
    pub(crate) red: RedPlan,
    pub(crate) ingress: IngressLimit,
    /// What it may be sent in, best first, once it is bound.
    pub(crate) codecs: Vec<CodecKind>,
    /// Other forwarders that have it from here.
    pub(crate) exports: Vec<Export>,
    /// Set when it is published at another forwarder.
    pub(crate) import: Option<Import>,
    nack: bool,
}

/// What a track is sent in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncomingFormat {
    pub(crate) payload_type: u8,
    pub(crate) kind: CodecKind,
    pub(crate) rtp_clock: u32,
    pub(crate) fmtp: String,
}

impl Publication {
    pub(crate) fn new(
        config: &MediaConfig,
        now: Instant,
        track: TrackId,
        peer: usize,
        spec: &TrackSpec,
    ) -> Publication {
        let mut publication = Publication {
            track,
            peer,
            kind: spec.kind,
            screen_share: spec.screen_share,
            muted: spec.muted,
            specs: spec.layers.iter().take(MAX_LAYERS).cloned().collect(),
            mid: None,
            codec: None,
            layers: Vec::new(),
            subscribers: Vec::new(),
            pinned: 0,
            loudness: Loudness::default(),
            raised_at: None,
            withheld: false,
            heard_from: 0,
            plain: spec.encoder.codec == Some(CodecKind::Opus),
            red: RedPlan::default(),
            ingress: IngressLimit::of_track(config, spec.kind, now),
            codecs: Vec::new(),
            exports: Vec::new(),
            import: None,
            nack: false,
        };
        publication.specs.sort_by_key(|spec| spec.quality);
        let rids: Vec<Rid> = publication.specs.iter().filter_map(|spec| spec.rid).collect();
        publication.set_layers(config, now, &rids);
        publication
    }

    /// Takes what its section says: which layers there are, and whether losses may be reported.
    pub(crate) fn set_section(&mut self, config: &MediaConfig, now: Instant, section: &ReceivingSection) {
        self.nack = section.nack;
        // The announced qualities order the RIDs; those that were not announced follow as the section has them.
        let mut rids: Vec<Rid> = section.rids.iter().copied().take(MAX_LAYERS).collect();
        rids.sort_by_key(|rid| {
            self.specs.iter().position(|spec| spec.rid == Some(*rid)).unwrap_or(MAX_LAYERS)
        });
        if self.layers.iter().all(|layer| layer.last_packet.is_none()) {
            self.set_layers(config, now, &rids);
        }
        for layer in &mut self.layers {
            if layer.nack.is_some() != self.nack {
                layer.nack = new_nack(config, self.nack);
            }
        }
    }

    /// Takes the streams that the track has where it is published, unless packets came already.
    pub(crate) fn set_streams(&mut self, config: &MediaConfig, now: Instant, rids: &[Option<Rid>]) {
        let same = self.layers.iter().map(|layer| layer.rid).eq(rids.iter().copied());
        if !same && self.layers.iter().all(|layer| layer.last_packet.is_none()) {
            let rids: Vec<Rid> = rids.iter().flatten().copied().collect();
            self.set_layers(config, now, &rids);
        }
    }

    fn set_layers(&mut self, config: &MediaConfig, now: Instant, rids: &[Rid]) {
        let audio = self.kind == MediaKind::Audio;
        let layer = |rid| Layer::new(config, now, audio, rid);
        self.layers.clear();
        match rids {
            [_, ..] if !audio => {
                self.layers.extend(rids.iter().take(MAX_LAYERS).map(|rid| layer(Some(*rid))))
            }
            _ => self.layers.push(layer(None)),
        }
    }

    /// The place of the layer that a packet names, which is made if there is room for it.
    pub(crate) fn layer_at(
        &mut self,
        config: &MediaConfig,
        now: Instant,
        named: LearnedLayer,
    ) -> Option<usize> {
        match named {
            LearnedLayer::Rid(rid) => self.layers.iter().position(|layer| layer.rid == Some(rid)),
            LearnedLayer::Index(index) => {
                let index = usize::from(index);
                // Simulcast announced by SSRCs alone.
                while self.layers.len() <= index {
                    if self.layers.len() >= MAX_LAYERS || self.kind == MediaKind::Audio {
                        return None;
                    }
                    let mut layer = Layer::new(config, now, false, None);
                    layer.nack = new_nack(config, self.nack);
                    self.layers.push(layer);
                }
                Some(index)
            }
        }
    }

    /// Takes note of the format of a packet; whether it is another than before.
    pub(crate) fn set_format(&mut self, payload_type: u8, incoming: &IncomingType) -> bool {
        // Audio changes between RED and Opus from packet to packet, and nothing hangs on it.
        let audio = self.kind == MediaKind::Audio;
        if self.codec.as_ref().is_some_and(|codec| audio || codec.payload_type == payload_type) {
            return false;
        }
        self.codec = Some(IncomingFormat {
            payload_type,
            kind: incoming.kind,
            rtp_clock: incoming.rtp_clock,
            fmtp: incoming.fmtp.clone(),
        });
        true
    }

    /// The format parameters of what it is sent in.
    pub(crate) fn fmtp(&self) -> &str {
        self.codec.as_ref().map_or("", |codec| &codec.fmtp)
    }

    /// The RTP clock of what it is sent in.
    pub(crate) fn rtp_clock(&self) -> u32 {
        let default = if self.kind == MediaKind::Audio { 48_000 } else { 90_000 };
        self.codec.as_ref().map_or(default, |codec| codec.rtp_clock.max(1))
    }
}

fn new_nack(config: &MediaConfig, agreed: bool) -> Option<NackGenerator> {
    agreed.then(|| NackGenerator::new(config.nack_missing, config.nack_tries, config.nack_delay))
}
