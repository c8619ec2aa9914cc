// SPDX-License-Identifier: EUPL-1.2
//! One track on its way to one peer: what is chosen, how it is numbered, what was sent.

use std::time::Instant;

use parvis_peer::sdp::{Codec, CodecKind, MediaKind, MediaSection};
use parvis_rtp::Mid;

use super::MediaConfig;
use super::audio::{SILENCE_FRAMES, SILENCE_PER_SECOND};
use super::fec::FecSender;
use super::keyframe::KeyFrameBudget;
use super::layer::{Layer, SenderClock};
use super::munge::{CodecNumbers, Munger};
use super::publication::Publication;
use super::ring::Stored;
use super::select::{LayerChoice, LayerFilter};
use super::sent::{Content, Moment, Munge, Sent, SentLog};
use crate::{SubscriptionId, SubscriptionSettings};

/// Packets that are made up for when the first one of a key frame is late: a large key frame and what came after it.
const MAX_MISSED: u64 = 256;

/// How many codecs there are.
const CODECS: usize = 6;
/// All of them, in the order of their discriminants.
const ALL_CODECS: [CodecKind; CODECS] =
    [CodecKind::Opus, CodecKind::Red, CodecKind::Vp8, CodecKind::Vp9, CodecKind::Av1, CodecKind::H264];

/// What the allocator grants a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The simulcast layer.
    pub(crate) stream: u8,
    /// The layer within it.
    pub(crate) choice: LayerChoice,
}

impl Grant {
    /// Grants in order of quality.
    pub(crate) fn order(self) -> (u8, u8, u8) {
        (self.stream, self.choice.spatial, self.choice.temporal)
    }
}

/// The stream that a subscription follows now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Followed {
    layer: u8,
    epoch: u32,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    /// Its peer's place.
    pub(crate) peer: usize,
    /// Its publication's place.
    pub(crate) publication: usize,
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) outlet: Option<Outlet>,
    /// The payload types to send in, by codec.
    pub(crate) types: [Option<OutgoingType>; CODECS],
    /// Redundant audio is left out: the line is narrow, and loses next to nothing.
    pub(crate) spares_red: bool,
    /// The payload type sent last, for packets of padding.
    pub(crate) last_type: Option<OutgoingType>,
    pub(crate) settings: SubscriptionSettings,
    /// What may be sent; `None` pauses it.
    pub(crate) grant: Option<Grant>,
    /// The grant changed, and nobody has noted it yet.
    regranted: bool,
    /// Not yet allocated to: its grant is the first packets' benefit of the doubt.
    pub(crate) fresh: bool,
    /// Whether the pause was told.
    pub(crate) paused: bool,
    /// The codec that was told to be none of the peer's.
    pub(crate) unsupported: Option<CodecKind>,
    /// Whether something was sent at all.
    pub(crate) started: bool,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// What the peer last reported of it.
    pub(crate) remote: RemoteReport,
    /// [`Subscription::packets`] at the last sender report.
    pub(crate) reported_packets: u32,
    rtx_sequence: u16,
    /// The SSRC of its repair packets.
    pub(crate) fec_ssrc: Option<u32>,
    /// Outlives what they are made with: no number is used twice under one key.
    fec_sequence: u16,
    /// Repair packets in the making, while losses call for some.
    pub(crate) fec: Option<Box<FecSender>>,
    pub(crate) key_frame_budget: KeyFrameBudget,
    /// Frames of silence sent since the last sound.
    silences: u8,
    followed: Option<Followed>,
    /// The layer followed last, to align the next one's timestamps.
    before: Option<Followed>,
    /// The same when it was another publication's.
    departed: Option<SenderClock>,
    filter: LayerFilter,
    munger: Munger,
    numbers: CodecNumbers,
    log: SentLog,
}

/// A subscriber's report on one subscription.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RemoteReport {
    /// Whether one came: then the peer knows which SSRC is which section, and the MID is no longer sent.
    pub(crate) seen: bool,
    /// Lost in all.
    pub(crate) cumulative_lost: i32,
    /// Highest sequence number with wraps.
    pub(crate) highest: u32,
}

/// What the subscriber's section says.
#[derive(Debug, Clone)]
pub(crate) struct Outlet {
    pub(crate) mid: Mid,
    pub(crate) nack: bool,
    codecs: Vec<Codec>,
    fec: Option<u8>,
}

/// A payload type to send in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutgoingType {
    pub(crate) payload_type: u8,
    pub(crate) rtx: Option<u8>,
}

impl Outlet {
    pub(crate) fn new(section: &MediaSection) -> Option<Outlet> {
        section.direction.sends().then(|| Outlet {
            mid: section.mid,
            nack: section.codecs.iter().any(|codec| codec.feedback.nack),
            codecs: section.codecs.clone(),
            fec: section.fec,
        })
    }

    /// The payload type for `kind`, of the variant that `fmtp` describes as far as there are several.
    pub(crate) fn payload_type(&self, kind: CodecKind, fmtp: &str) -> Option<OutgoingType> {
        let same_kind = || self.codecs.iter().filter(|codec| codec.kind == kind);
        let variant =
            |codec: &&Codec| kind != CodecKind::H264 || h264_variant(&codec.fmtp) == h264_variant(fmtp);
        let codec = same_kind().find(variant).or_else(|| same_kind().next())?;
        Some(OutgoingType { payload_type: codec.payload_type, rtx: codec.rtx })
    }
}

/// Packetization mode and profile: what a decoder must know before it can take a stream (RFC 6184 section 8.1).
fn h264_variant(fmtp: &str) -> (bool, &str) {
    let value = |key: &str| fmtp.split(';').find_map(|pair| pair.trim().strip_prefix(key));
    let profile = value("profile-level-id=").and_then(|level| level.get(..4)).unwrap_or("4200");
    (value("packetization-mode=") == Some("1"), profile)
}

/// What became of a packet offered to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It isn't for this subscription.
    Passed,
    /// It is to be sent under this number.
    Send(u64),
    /// Its stream can't be taken up without a key frame.
    NeedsKeyFrame,
    /// The peer didn't negotiate its codec.
    NoCodec,
    /// Its place in the numbering is forgotten.
    TooLate,
}

impl Subscription {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        config: &MediaConfig,
        now: Instant,
        id: SubscriptionId,
        peer: usize,
        publication: usize,
        kind: MediaKind,
        ssrcs: (u32, Option<u32>),
        random: u64,
    ) -> Subscription {
        let entries = if kind == MediaKind::Audio { config.sent_log_audio } else { config.sent_log_video };
        Subscription {
            id,
            peer,
            publication,
            kind,
            ssrc: ssrcs.0,
            rtx_ssrc: ssrcs.1,
            outlet: None,
            types: [None; CODECS],
            spares_red: false,
            last_type: None,
            settings: SubscriptionSettings::default(),
            grant: Some(Grant { stream: 0, choice: LayerChoice::ALL }),
            regranted: false,
            fresh: true,
            paused: false,
            unsupported: None,
            started: false,
            packets: 0,
            octets: 0,
            remote: RemoteReport::default(),
            reported_packets: 0,
            rtx_sequence: (random >> 48) as u16,
            fec_ssrc: None,
            fec_sequence: (random >> 32) as u16 >> 1,
            fec: None,
            key_frame_budget: KeyFrameBudget::new(now, config.key_frame_burst, config.key_frame_refill),
            silences: 0,
            followed: None,
            before: None,
            departed: None,
            filter: LayerFilter::new(LayerChoice::ALL),
            // RFC 3711 section 3.3.1: a first number in the lower half can't be mistaken for one after a wrap.
            munger: Munger::new(random as u16 >> 1, (random >> 16) as u32),
            numbers: CodecNumbers::new(),
            log: SentLog::new(entries, now),
        }
    }

    /// Takes what the peer's section says; `fmtp` is the format of what the publisher sends.
    pub(crate) fn set_outlet(&mut self, outlet: Option<Outlet>, fmtp: &str) {
        self.outlet = outlet;
        self.resolve_types(fmtp);
    }

    /// Finds the payload types anew for what the publisher sends.
    pub(crate) fn resolve_types(&mut self, fmtp: &str) {
        for kind in ALL_CODECS {
            self.types[kind as usize] =
                self.outlet.as_ref().and_then(|outlet| outlet.payload_type(kind, fmtp));
        }
    }

    /// The payload type in which this peer takes what comes as `kind`: RED falls back to the Opus within.
    pub(crate) fn outgoing_type(&self, kind: CodecKind) -> Option<OutgoingType> {
        let unmade = kind == CodecKind::Red && !self.takes_red();
        self.types[if unmade { CodecKind::Opus } else { kind } as usize]
    }

    /// Shows the subscription a packet that came on `layers[at]`.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        layers: &[Layer],
        at: usize,
        rtp_clock: u32,
        stored: &Stored,
    ) -> Offer {
        let Some(grant) = self.grant.filter(|_| self.outlet.is_some()) else { return Offer::Passed };
        let layer = &layers[at];
        let here = Followed { layer: at as u8, epoch: layer.epoch };
        if self.followed == Some(here) {
            return self.follow(now, here, grant, layer, stored);
        }
        if usize::from(grant.stream) != at || self.payload_start(stored) >= stored.payload().len() {
            return Offer::Passed;
        }
        if self.outgoing_type(stored.codec).is_none() {
            return Offer::NoCodec;
        }
        let facts = &stored.facts;
        let begins = self.kind == MediaKind::Audio || (facts.key && facts.frame_start && facts.spatial == 0);
        if !begins {
            return Offer::NeedsKeyFrame;
        }
        self.switch(now, here, grant, layers, rtp_clock, stored);
        self.follow(now, here, grant, layer, stored)
    }

    /// What follows the packet `number` in a stream that was just taken up and came before it, if it can be sent. A key
    /// frame's first packet may be late.
    pub(crate) fn missed(&self, at: usize, layers: &[Layer], number: u64) -> std::ops::RangeInclusive<u64> {
        let highest = layers[at].highest().unwrap_or(0);
        number + 1..=highest.min(number + MAX_MISSED)
    }

    /// Where the payload begins that this peer gets: RED is stripped to its newest block for those who don't take it.
    pub(crate) fn payload_start(&self, stored: &Stored) -> usize {
        let strip = stored.codec == CodecKind::Red && !self.takes_red();
        if strip { stored.facts.red_primary.into() } else { 0 }
    }

    /// Whether the peer takes redundant audio, and its line has room for it.
    pub(crate) fn takes_red(&self) -> bool {
        let spares = self.spares_red && self.types[CodecKind::Opus as usize].is_some();
        self.types[CodecKind::Red as usize].is_some() && !spares
    }

    /// Whether more of the followed stream is granted than can be sent before its next key picture.
    pub(crate) fn waits_for_key_picture(&self, layers: &[Layer]) -> bool {
        let (Some(grant), Some(at)) = (self.grant, self.followed()) else { return false };
        let targets = layers.get(at).map(|layer| layer.reader.targets());
        usize::from(grant.stream) == at
            && targets.is_some_and(|targets| self.filter.waits_for_key_picture(grant.choice, targets))
    }

    /// Whether the subscriber itself gave the track a place before others: it is then heard among however many.
    pub(crate) fn is_pinned(&self) -> bool {
        self.settings.priority > 0
    }

    /// The number of a frame of silence, when the track has stopped and hasn't yet ended.
    pub(crate) fn silence(&mut self, now: Instant, rtp_clock: u32) -> Option<u64> {
        let listens = self.followed.is_none() && self.grant.is_some() && self.outlet.is_some();
        if !listens || self.silences >= SILENCE_FRAMES || self.types[CodecKind::Opus as usize].is_none() {
            return None;
        }
        let (out, timestamp) = self.munger.append(now, rtp_clock / SILENCE_PER_SECOND)?;
        self.silences += 1;
        let sent = Sent::new(out, Content::Silence, timestamp, false, Munge::default());
        self.log.insert(now, sent).then_some(out)
    }

    /// Stops following: what comes next begins with a key frame.
    pub(crate) fn unfollow(&mut self) {
        self.before = self.followed.take().or(self.before);
    }

    /// The layer that is followed.
    pub(crate) fn followed(&self) -> Option<usize> {
        self.followed.map(|followed| usize::from(followed.layer))
    }

    /// Added to the followed layer's timestamps.
    pub(crate) fn timestamp_shift(&self) -> u32 {
        self.munger.shift()
    }

    /// The newest timestamp sent.
    pub(crate) fn last_timestamp(&self) -> u32 {
        self.munger.last_timestamp()
    }

    /// Takes what the allocator grants. Without a grant nothing more is sent, at once.
    pub(crate) fn set_grant(&mut self, grant: Option<Grant>) {
        self.regranted |= self.grant != grant;
        self.grant = grant;
        if grant.is_none() {
            self.unfollow();
        }
    }

    /// Whether its grant changed since this was last asked.
    pub(crate) fn take_regranted(&mut self) -> bool {
        std::mem::take(&mut self.regranted)
    }

    /// Whether packets of a layer may be for it: it follows the layer, or waits for a key frame of it.
    pub(crate) fn takes(&self, at: usize) -> bool {
        self.followed() == Some(at) || self.grant.is_some_and(|grant| usize::from(grant.stream) == at)
    }

    /// What comes next is another publication's: nothing sent so far can be sent again. `former` are the layers of the
    /// one before.
    pub(crate) fn change_source(&mut self, publication: usize, former: &[Layer]) {
        self.unfollow();
        self.departed = self
            .before
            .take()
            .and_then(|old| former.get(usize::from(old.layer)).filter(|layer| layer.epoch == old.epoch))
            .and_then(|layer| layer.clock);
        self.log.clear();
        self.publication = publication;
        self.grant = None;
        self.fresh = true;
    }

    /// Whether padding can be sent on its retransmission stream.
    pub(crate) fn can_probe(&self) -> bool {
        self.rtx_ssrc.is_some() && self.last_type.is_some_and(|last| last.rtx.is_some())
    }

    /// About how many bytes the packet sent as `out` has.
    pub(crate) fn sent_bytes(&mut self, publication: &Publication, out: u64) -> usize {
        const HEADER_BYTES: usize = 24;
        let stored = match self.log.get_mut(out).map(|sent| sent.content()) {
            Some(Content::Stored { layer, number }) => {
                publication.layers.get(usize::from(layer)).and_then(|layer| layer.ring.find(number))
            }
            _ => None,
        };
        HEADER_BYTES + stored.map_or(0, |stored| stored.payload().len())
    }

    /// Where the outgoing RTP clock stands, going by arrival.
    pub(crate) fn clock_at(&self, now: Instant, rtp_clock: u32) -> Option<u32> {
        self.munger.clock_at(now, rtp_clock)
    }

    /// The next number of the retransmission stream.
    pub(crate) fn next_rtx_sequence(&mut self) -> u16 {
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.rtx_sequence
    }

    /// Whether repair packets can be sent to the peer.
    pub(crate) fn takes_fec(&self) -> bool {
        self.fec_stream().is_some()
    }

    /// Payload type and SSRC of repair packets.
    pub(crate) fn fec_stream(&self) -> Option<(u8, u32)> {
        Some((self.outlet.as_ref()?.fec?, self.fec_ssrc?))
    }

    /// The next number of the repair packets' stream.
    pub(crate) fn next_fec_sequence(&mut self) -> u16 {
        self.fec_sequence = self.fec_sequence.wrapping_add(1);
        self.fec_sequence
    }

    /// The time by which its sent packets are noted.
    pub(crate) fn moment(&mut self, now: Instant) -> Moment {
        self.log.moment(now)
    }

    /// The packet sent as `out`.
    pub(crate) fn sent(&mut self, out: u64) -> Option<&mut Sent> {
        self.log.get_mut(out)
    }

    /// The packet that the peer calls `sequence`, and its number. A number that a former stream left open becomes a packet of
    /// padding, so that the peer need not wait for it.
    pub(crate) fn requested(&mut self, now: Instant, sequence: u16) -> Option<(u64, &mut Sent)> {
        let highest = self.munger.highest_out()?;
        let behind = u64::from((highest as u16).wrapping_sub(sequence));
        let out = highest.checked_sub(behind).filter(|out| *out >= self.munger.first_out())?;
        if out < self.munger.stream_start() && self.log.was_never_sent(out) {
            self.close(now, out);
        }
        Some((out, self.log.get_mut(out)?))
    }

    /// Where the packet belongs that the peer calls `sequence` and that never came: its layer, and its number there.
    pub(crate) fn awaited(&self, sequence: u16) -> Option<(usize, u64)> {
        let highest = self.munger.highest_out()?;
        let out = highest.checked_sub(u64::from((highest as u16).wrapping_sub(sequence)))?;
        Some((self.followed()?, self.munger.source(out)?))
    }

    /// Gives a number to a packet of padding.
    fn close(&mut self, now: Instant, out: u64) -> bool {
        let timestamp = self.munger.last_timestamp();
        self.log.insert(now, Sent::new(out, Content::Padding, timestamp, false, Munge::default()))
    }

    fn switch(
        &mut self,
        now: Instant,
        here: Followed,
        grant: Grant,
        layers: &[Layer],
        rtp_clock: u32,
        stored: &Stored,
    ) {
        let before = self.followed.or(self.before);
        let shift = if before == Some(here)
            && (self.kind == MediaKind::Video || self.munger.goes_on(stored.timestamp))
        {
            self.munger.shift()
        } else if before == Some(here) {
            // The sender's clock stood still while it was muted, and we had sent silence.
            self.munger.shift_for(now, stored.timestamp, rtp_clock, None, None)
        } else {
            let old = before
                .and_then(|old| layers.get(usize::from(old.layer)).filter(|layer| layer.epoch == old.epoch))
                .and_then(|layer| layer.clock.as_ref())
                .or(self.departed.as_ref().filter(|_| before.is_none()));
            let new = layers[usize::from(here.layer)].clock.as_ref();
            self.munger.shift_for(now, stored.timestamp, rtp_clock, old, new)
        };
        self.munger.switch(stored.number, shift);
        self.numbers.switch(&stored.facts);
        self.filter = LayerFilter::new(grant.choice);
        self.followed = Some(here);
        self.before = self.followed;
    }

    fn follow(
        &mut self,
        now: Instant,
        here: Followed,
        grant: Grant,
        layer: &Layer,
        stored: &Stored,
    ) -> Offer {
        let facts = &stored.facts;
        let empty = self.payload_start(stored) >= stored.payload().len();
        let targets = layer.reader.targets();
        if !self.munger.is_new(stored.number) {
            let Some((out, timestamp)) = self.munger.late(stored.number, stored.timestamp) else {
                return Offer::TooLate;
            };
            let wanted = !empty && self.filter.keeps_late(stored.timestamp, facts, targets);
            let Some(munge) = wanted.then(|| self.numbers.take(facts)).flatten() else {
                // Its place was kept, and nothing else will come for it.
                return if self.close(now, out) { Offer::Send(out) } else { Offer::TooLate };
            };
            let ends = facts.layered && facts.frame_end && facts.spatial == self.filter.current().spatial;
            return self.note(now, here, stored, out, timestamp, ends, munge);
        }
        if empty {
            self.munger.exclude(stored.number);
            return Offer::Passed;
        }
        // Another simulcast layer is granted: this one goes on in full until that one's key frame is there.
        let wanted = if grant.stream == here.layer { grant.choice } else { self.filter.current() };
        let verdict = self.filter.decide(wanted, stored.timestamp, facts, targets);
        let munge = if verdict.keep { self.numbers.take(facts) } else { None };
        let Some(mut munge) = munge else {
            self.numbers.exclude(facts);
            self.munger.exclude(stored.number);
            return Offer::Passed;
        };
        munge.active_targets = verdict.active_targets;
        let (out, timestamp) = self.munger.take(now, stored.number, stored.timestamp);
        self.note(now, here, stored, out, timestamp, verdict.ends_picture, munge)
    }

    #[allow(clippy::too_many_arguments)]
    fn note(
        &mut self,
        now: Instant,
        here: Followed,
        stored: &Stored,
        out: u64,
        timestamp: u32,
        ends_picture: bool,
        munge: Munge,
    ) -> Offer {
        self.silences = 0;
        let content = Content::Stored { layer: here.layer, number: stored.number as u32 };
        let sent = Sent::new(out, content, timestamp, stored.marker || ends_picture, munge);
        let noted = self.log.insert(now, sent);
        if noted { Offer::Send(out) } else { Offer::TooLate }
    }
}
