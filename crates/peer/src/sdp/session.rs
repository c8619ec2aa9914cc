// SPDX-License-Identifier: EUPL-1.2
//! The negotiation of one BUNDLEd peer connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::reader::Text;
use super::remote::Remote;
use super::slot::{Slot, direction};
use super::write::Document;
use super::{
    DtlsRole, EncoderPreference, LocalTransport, MediaKind, MediaSection, RemoteTransport, SdpError,
    SenderId, SenderSpec, SessionConfig, SignalingState, answer, offer,
};

/// The largest message of a peer that doesn't say (RFC 8841 section 6.1).
const DEFAULT_MAX_MESSAGE_SIZE: u32 = 65_536;

/// The state of offer and answer (RFC 8829) for one peer connection whose sections all share one transport.
#[derive(Debug, Clone)]
pub struct Session {
    config: Arc<SessionConfig>,
    session_id: u64,
    /// Counts the descriptions that we wrote.
    version: u64,
    next_mid: u64,
    agreed: Agreement,
    pending: Pending,
    /// `agreed` as the caller sees it.
    sections: Vec<MediaSection>,
    senders: BTreeMap<SenderId, SenderSpec>,
    /// Senders whose section the peer rejected. They are not offered again.
    refused: BTreeSet<SenderId>,
    preferences: BTreeMap<String, EncoderPreference>,
    wants_data: bool,
    stats: SdpStats,
}

/// What a session passed over or refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SdpStats {
    /// Descriptions that were refused.
    pub refused: u64,
    /// Simulcast layers and SSRCs beyond [`super::SdpLimits`].
    pub ignored: u64,
}

#[derive(Debug, Clone, Default)]
struct Agreement {
    slots: Vec<Slot>,
    transport: Option<RemoteTransport>,
}

#[derive(Debug, Clone)]
enum Pending {
    Nothing,
    Offered {
        slots: Vec<Slot>,
    },
    /// The peer's offer, with whether it allows mixed extension headers for the whole.
    Received {
        agreement: Agreement,
        allow_mixed: bool,
    },
}

/// A description of the peer's that holds.
struct Taken {
    agreement: Agreement,
    transport: RemoteTransport,
    /// Senders whose section it rejects.
    refused: Vec<SenderId>,
    ignored: u64,
    allow_mixed: bool,
}

impl Session {
    /// A session without sections. `session_id` goes into `o=`; it should be random.
    pub fn new(config: Arc<SessionConfig>, session_id: u64) -> Session {
        Session {
            config,
            session_id,
            version: 0,
            next_mid: 0,
            agreed: Agreement::default(),
            pending: Pending::Nothing,
            sections: Vec::new(),
            senders: BTreeMap::new(),
            refused: BTreeSet::new(),
            preferences: BTreeMap::new(),
            wants_data: false,
            stats: SdpStats::default(),
        }
    }

    /// Reads the peer's offer. [`Session::write_answer`] comes next; nothing is agreed before.
    pub fn accept_offer(&mut self, sdp: &str) -> Result<RemoteTransport, SdpError> {
        let taken = match self.state() {
            SignalingState::HaveLocalOffer => {
                Err(SdpError::State { what: "an offer came", state: SignalingState::HaveLocalOffer })
            }
            _ => self.read_offer(sdp),
        };
        self.stats.refused += u64::from(taken.is_err());
        let Taken { agreement, transport, ignored, allow_mixed, .. } = taken?;
        self.stats.ignored += ignored;
        self.pending = Pending::Received { agreement, allow_mixed };
        Ok(transport)
    }

    fn read_offer(&self, sdp: &str) -> Result<Taken, SdpError> {
        let text = Text::read(sdp, &self.config.limits)?;
        let remote = Remote::read(&text, &self.config.limits)?;
        let slots = answer::take_offer(&self.agreed.slots, &remote, &self.config)?;
        self.taken(&remote, slots, Vec::new())
    }

    /// What a first offer would have us agree to, without agreeing to it: its living media sections, each in the widest
    /// direction that an answer may give it. For whoever has to know what a client brings before its connection is made.
    pub fn preview(config: &Arc<SessionConfig>, sdp: &str) -> Result<Vec<MediaSection>, SdpError> {
        let taken = Session::new(Arc::clone(config), 0).read_offer(sdp)?;
        let media = taken.agreement.slots.iter().filter_map(Slot::media);
        Ok(media
            .map(|media| MediaSection {
                direction: direction(media.peer_receives, media.peer_sends),
                ..media.section.clone()
            })
            .collect())
    }

    /// Answers the offer read last, placing our waiting senders into its free sections.
    pub fn write_answer(&mut self, local: &LocalTransport) -> Result<String, SdpError> {
        let pending = std::mem::replace(&mut self.pending, Pending::Nothing);
        let Pending::Received { mut agreement, allow_mixed } = pending else {
            self.pending = pending;
            return Err(SdpError::State { what: "an answer was asked for", state: self.state() });
        };
        answer::settle(&mut agreement.slots, &self.senders, &self.preferences);
        let setup = match agreement.transport.as_ref().map(|transport| transport.dtls_role) {
            Some(DtlsRole::Client) => "active",
            _ => "passive",
        };
        self.commit(agreement);
        self.version += 1;
        Ok(self.document(&self.agreed.slots, setup, allow_mixed, local))
    }

    /// Offers all that we have and want. A further offer before the answer takes the place of the first.
    pub fn write_offer(&mut self, local: &LocalTransport) -> Result<String, SdpError> {
        if self.state() == SignalingState::HaveRemoteOffer {
            return Err(SdpError::State {
                what: "an offer was asked for",
                state: SignalingState::HaveRemoteOffer,
            });
        }
        let slots = offer::offer(
            &self.agreed.slots,
            &self.senders,
            &offer::waiting(&self.agreed.slots, &self.senders, &self.refused),
            self.wants_data,
            &mut self.next_mid,
            &self.config,
        );
        self.version += 1;
        let sdp = self.document(&slots, "actpass", true, local);
        self.pending = Pending::Offered { slots };
        Ok(sdp)
    }

    /// Reads the answer to our offer; then its sections are agreed.
    pub fn accept_answer(&mut self, sdp: &str) -> Result<RemoteTransport, SdpError> {
        let taken = match &self.pending {
            Pending::Offered { slots } => self.read_answer(sdp, slots),
            _ => Err(SdpError::State { what: "an answer came", state: self.state() }),
        };
        self.stats.refused += u64::from(taken.is_err());
        let Taken { agreement, transport, refused, ignored, .. } = taken?;
        self.stats.ignored += ignored;
        self.refused.extend(refused.into_iter().filter(|id| self.senders.contains_key(id)));
        self.pending = Pending::Nothing;
        self.commit(agreement);
        Ok(transport)
    }

    fn read_answer(&self, sdp: &str, offered: &[Slot]) -> Result<Taken, SdpError> {
        let text = Text::read(sdp, &self.config.limits)?;
        let remote = Remote::read(&text, &self.config.limits)?;
        let (slots, refused) = offer::take_answer(offered, &remote)?;
        self.taken(&remote, slots, refused)
    }

    fn taken(
        &self,
        remote: &Remote<'_>,
        slots: Vec<Slot>,
        refused: Vec<SenderId>,
    ) -> Result<Taken, SdpError> {
        let transport = self.remote_transport(remote, &slots)?;
        let agreement = Agreement { slots, transport: Some(transport.clone()) };
        Ok(Taken { agreement, transport, refused, ignored: remote.ignored, allow_mixed: remote.allow_mixed })
    }

    /// Takes back the offer that is under way, whosever it is.
    pub fn rollback(&mut self) {
        self.pending = Pending::Nothing;
    }

    /// Adds a track of ours; it gets a section with the next exchange.
    pub fn add_sender(&mut self, spec: SenderSpec) {
        self.senders.insert(spec.id, spec);
    }

    /// Removes a track of ours. With the next exchange its section ends: in our offer it stops (port 0) and its m-line
    /// later becomes another section; in our answer it goes inactive and serves another sender after the next offer.
    pub fn remove_sender(&mut self, id: SenderId) {
        self.senders.remove(&id);
        self.refused.remove(&id);
        for section in self.sections.iter_mut().filter(|section| section.sender == Some(id)) {
            section.sender = None;
        }
    }

    /// Makes our offers have a section for data channels.
    pub fn offer_data_channels(&mut self) {
        self.wants_data = true;
    }

    /// Says how the peer's track `track` (its id in the peer's msid) is to be sent; our answers ask for it. As many
    /// tracks are remembered as there may be sections.
    pub fn prefer(&mut self, track: &str, preference: EncoderPreference) {
        if self.preferences.len() < self.config.limits.sections || self.preferences.contains_key(track) {
            self.preferences.insert(track.to_owned(), preference);
        } else {
            self.stats.ignored += 1;
        }
    }

    /// What is agreed: the sections of sound and pictures, in the order of their m-lines, without dead ones.
    pub fn sections(&self) -> &[MediaSection] {
        &self.sections
    }

    /// Whether something changed that the peer hasn't been told of in the last offer or answer: a sender came for which
    /// there can be a section, one went, or data channels are wanted.
    pub fn needs_negotiation(&self) -> bool {
        let slots = self.latest();
        let has_ended = |slot: &Slot| {
            let sender = slot.media().and_then(|media| media.section.sender);
            sender.is_some_and(|id| !self.senders.contains_key(&id))
        };
        let waits = |spec: &&SenderSpec| offer::has_room(slots, spec, &self.config);
        slots.iter().any(has_ended)
            || (self.wants_data
                && !slots.iter().any(Slot::is_data)
                && slots.len() < self.config.limits.sections)
            || offer::waiting(slots, &self.senders, &self.refused).iter().any(waits)
    }

    /// How many senders of sound and of pictures have no section.
    pub fn unplaced_senders(&self) -> (usize, usize) {
        count(answer::unplaced(self.latest(), &self.senders).into_iter().map(|spec| spec.kind))
    }

    /// How many more receiving sections of sound and of pictures the peer must offer so that each sender finds one:
    /// those without a section, less those that fit into one that is free when the peer offers anew.
    pub fn sections_wanted(&self) -> (usize, usize) {
        let slots = self.latest();
        let mut free: Vec<_> = slots.iter().filter_map(Slot::media).collect();
        count(answer::unplaced(slots, &self.senders).into_iter().filter_map(|spec| {
            match free.iter().position(|media| answer::fits(media, spec)) {
                Some(index) => {
                    free.swap_remove(index);
                    None
                }
                None => Some(spec.kind),
            }
        }))
    }

    /// Senders whose section the peer rejected, for want of a codec as a rule. They are not offered again.
    pub fn refused_senders(&self) -> impl Iterator<Item = SenderId> + '_ {
        self.refused.iter().copied()
    }

    /// Where the exchange stands.
    pub fn state(&self) -> SignalingState {
        match self.pending {
            Pending::Nothing => SignalingState::Stable,
            Pending::Offered { .. } => SignalingState::HaveLocalOffer,
            Pending::Received { .. } => SignalingState::HaveRemoteOffer,
        }
    }

    /// What was refused and passed over so far.
    pub fn stats(&self) -> SdpStats {
        self.stats
    }

    /// The m-lines of the description under way, or else of the agreement.
    fn latest(&self) -> &[Slot] {
        match &self.pending {
            Pending::Nothing => &self.agreed.slots,
            Pending::Offered { slots } => slots,
            Pending::Received { agreement, .. } => &agreement.slots,
        }
    }

    fn commit(&mut self, agreement: Agreement) {
        self.agreed = agreement;
        let media = self.agreed.slots.iter().filter_map(Slot::media);
        self.sections = media.map(|media| media.section.clone()).collect();
        for section in &mut self.sections {
            section.sender = section.sender.filter(|id| self.senders.contains_key(id));
        }
    }

    fn document(
        &self,
        slots: &[Slot],
        setup: &'static str,
        allow_mixed: bool,
        local: &LocalTransport,
    ) -> String {
        let document = Document {
            session_id: self.session_id,
            version: self.version,
            setup,
            allow_mixed,
            slots,
            senders: &self.senders,
            local,
        };
        document.write()
    }

    /// The one transport of the group: of the first living section that describes it, or else of the whole.
    fn remote_transport(&self, remote: &Remote<'_>, slots: &[Slot]) -> Result<RemoteTransport, SdpError> {
        let former = self.agreed.transport.as_ref();
        let living = || slots.iter().zip(&remote.sections).filter(|(slot, _)| !slot.is_dead());
        let data_channels = slots.iter().any(Slot::is_data);
        if let (None, Some(former)) = (living().next(), former) {
            return Ok(RemoteTransport { data_channels, ice_restarted: false, ..former.clone() });
        }
        let described = living().find(|(_, section)| section.transport.ufrag.is_some());
        let (mid, section) = match described.or_else(|| living().next()) {
            Some((slot, section)) => (slot.mid.map(|mid| mid.to_string()), Some(&section.transport)),
            None => (None, None),
        };
        let missing = |what| SdpError::Missing { what, mid: mid.clone().unwrap_or_default() };
        let whole = &remote.transport;
        let ufrag =
            section.and_then(|own| own.ufrag).or(whole.ufrag).ok_or_else(|| missing("a=ice-ufrag"))?;
        let password =
            section.and_then(|own| own.password).or(whole.password).ok_or_else(|| missing("a=ice-pwd"))?;
        let fingerprint = section
            .and_then(|own| own.fingerprint)
            .or(whole.fingerprint)
            .ok_or_else(|| missing("a=fingerprint with sha-256"))?;
        // We wait for the ClientHello unless the peer, offering or answering our actpass, insists on waiting.
        let role = match section.and_then(|own| own.setup).or(whole.setup) {
            Some("passive") => DtlsRole::Client,
            _ => DtlsRole::Server,
        };
        let max_message_size =
            living().filter(|(slot, _)| slot.is_data()).find_map(|(_, section)| section.max_message_size);
        Ok(RemoteTransport {
            ufrag: ufrag.to_owned(),
            password: password.to_owned(),
            fingerprint,
            max_message_size: max_message_size.unwrap_or(DEFAULT_MAX_MESSAGE_SIZE),
            data_channels,
            ice_restarted: former.is_some_and(|former| former.ufrag != ufrag || former.password != password),
            dtls_role: former.map_or(role, |former| former.dtls_role),
        })
    }
}

fn count(kinds: impl Iterator<Item = MediaKind>) -> (usize, usize) {
    kinds.fold((0, 0), |(audio, video), kind| match kind {
        MediaKind::Audio => (audio + 1, video),
        MediaKind::Video => (audio, video + 1),
    })
}
