// SPDX-License-Identifier: EUPL-1.2
//! The peer itself: ties descriptions, ICE, DTLS, SRTP and SCTP together.
//!
//! [`negotiation`] takes and gives descriptions, [`transport`] takes datagrams and time and moves bytes between the
//! layers, [`channels`] holds the data channels.

mod channels;
mod config;
mod negotiation;
mod stats;
mod transport;

use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use parvis_dtls::Endpoint;
use parvis_rtp::srtp::SrtpContext;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

pub use config::{PeerConfig, PeerLimits};
pub use negotiation::NegotiationError;
pub use stats::PeerStats;

use crate::{
    CandidateError, Path, PeerEvent, TransportReport,
    ice::{Agent, Settings, check_candidate},
    sctp::{Association, SctpStats},
    sdp::{EncoderPreference, MediaSection, RemoteTransport, SenderId, SenderSpec, Session, SignalingState},
};

/// One WebRTC peer connection, ours or theirs to offer.
pub struct Peer {
    config: Arc<PeerConfig>,
    random: ChaCha20Rng,
    session: Session,
    ice: Agent,
    /// What the peer's last description said of its transport.
    remote: Option<RemoteTransport>,
    /// Our offer that is under way restarts ICE.
    offered_restart: bool,
    /// Our candidates of other protocols are not named.
    only_protocol: Option<crate::Protocol>,
    remote_candidates: usize,
    dtls: Option<Box<dyn Endpoint>>,
    /// DTLS that came from a valid path before the answer to our offer did.
    early_dtls: Vec<Vec<u8>>,
    sctp: Option<Association>,
    keys: Option<Keys>,
    report: Option<TransportReport>,
    phase: Phase,
    /// When it is too late to connect, or to come back.
    deadline: Option<Instant>,
    outgoing: VecDeque<(Path, Vec<u8>)>,
    events: VecDeque<PeerEvent>,
    stats: PeerStats,
}

/// Media keys, one context for each direction.
struct Keys {
    outbound: SrtpContext,
    inbound: SrtpContext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No keys yet.
    Connecting,
    /// Keys are there.
    Connected,
    /// Failed or closed: nothing is taken any more.
    Ended,
}

impl Peer {
    /// A peer that knows nothing of the other side yet. All its randomness comes from `seed`.
    pub fn new(config: Arc<PeerConfig>, seed: [u8; 32], _now: Instant) -> Peer {
        let mut random = ChaCha20Rng::from_seed(seed);
        let settings = Settings {
            max_paths: config.limits.paths,
            consent: config.limits.consent,
            ufrag_tag: config.ufrag_tag,
        };
        let ice = Agent::new(settings, &mut random);
        // RFC 8829 section 5.2.1: a number below 2^63.
        let session = Session::new(config.sdp.clone(), random.next_u64() >> 1);
        Peer {
            config,
            random,
            session,
            ice,
            remote: None,
            offered_restart: false,
            only_protocol: None,
            remote_candidates: 0,
            dtls: None,
            early_dtls: Vec::new(),
            sctp: None,
            keys: None,
            report: None,
            phase: Phase::Connecting,
            deadline: None,
            outgoing: VecDeque::new(),
            events: VecDeque::new(),
            stats: PeerStats::default(),
        }
    }

    /// The user fragments that STUN requests for this peer name: the current one, and during an ICE restart the
    /// former. They change with [`Peer::accept_offer`], [`Peer::create_offer`] and [`Peer::rollback`], and with the
    /// first check after a restart.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.ufrags()
    }

    /// Adds a track of ours; it gets a section with the next exchange.
    pub fn add_sender(&mut self, spec: SenderSpec) {
        self.session.add_sender(spec);
    }

    /// Removes a track of ours.
    pub fn remove_sender(&mut self, id: SenderId) {
        self.session.remove_sender(id);
    }

    /// Says how the peer's track `track` (its id in the peer's msid) is to be sent.
    pub fn prefer(&mut self, track: &str, preference: EncoderPreference) {
        self.session.prefer(track, preference);
    }

    /// Whether something changed that the peer hasn't been told of.
    pub fn needs_negotiation(&self) -> bool {
        self.session.needs_negotiation()
    }

    /// How many senders of sound and of pictures have no section.
    pub fn unplaced_senders(&self) -> (usize, usize) {
        self.session.unplaced_senders()
    }

    /// How many more receiving sections of sound and of pictures the peer must offer.
    pub fn sections_wanted(&self) -> (usize, usize) {
        self.session.sections_wanted()
    }

    /// What is agreed.
    pub fn sections(&self) -> &[MediaSection] {
        self.session.sections()
    }

    /// Where the exchange of offer and answer stands.
    pub fn signaling_state(&self) -> SignalingState {
        self.session.state()
    }

    /// Checks a candidate of the peer's, and forgets it: we never dial.
    pub fn add_remote_candidate(&mut self, candidate: &str) -> Result<(), CandidateError> {
        let limit = self.config.limits.remote_candidates;
        let checked = match self.remote_candidates < limit {
            true => check_candidate(candidate),
            false => Err(CandidateError::TooMany { limit }),
        };
        self.remote_candidates = self.remote_candidates.saturating_add(1);
        self.stats.candidates_refused += u64::from(checked.is_err());
        checked
    }

    /// Where media goes: the path that the peer nominated, or before that the newest; `None` without consent.
    pub fn send_path(&self) -> Option<Path> {
        self.ice.send_path()
    }

    /// Whether there are media keys and a path.
    pub fn is_connected(&self) -> bool {
        self.media_path().is_some()
    }

    /// Where media can go now: there are keys, and a path.
    pub fn media_path(&self) -> Option<Path> {
        self.keys.as_ref().and_then(|_| self.ice.send_path())
    }

    /// What the transport came to, once it is connected.
    pub fn transport(&self) -> Option<&TransportReport> {
        self.report.as_ref()
    }

    /// What it counted.
    pub fn stats(&self) -> PeerStats {
        let ice = self.ice.stats();
        PeerStats {
            stun_requests: ice.requests,
            role_conflicts: ice.role_conflicts,
            paths_evicted: ice.paths_evicted,
            ..self.stats
        }
    }

    /// What SCTP counted, once there is an association.
    pub fn sctp_stats(&self) -> Option<SctpStats> {
        self.sctp.as_ref().map(Association::stats)
    }

    /// The next thing to know. Empty it after each call that takes a time.
    pub fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// The next datagram to send: STUN, DTLS and what DTLS carries. Empty it after each call that takes a time.
    pub fn poll_transmit(&mut self) -> Option<(Path, Vec<u8>)> {
        self.outgoing.pop_front()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("phase", &self.phase)
            .field("ice", &self.ice)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}
