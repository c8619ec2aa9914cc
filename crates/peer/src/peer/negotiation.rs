// SPDX-License-Identifier: EUPL-1.2
//! Offers and answers.

use std::time::Instant;

use super::{Peer, Phase};
use crate::sdp::{LocalTransport, RemoteTransport, SdpError};
use crate::{LocalCandidate, Protocol};

/// The SCTP port that all of WebRTC uses (RFC 8841 section 5.1).
const SCTP_PORT: u16 = 5000;

/// Why a description was not accepted or not written. Everything stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The description, or when it came.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// Another certificate than that of the running association.
    #[error("the fingerprint changed within a connection; the peer must start a new connection instead")]
    FingerprintChanged,
    /// The peer has failed or is closed.
    #[error("the connection has ended; make a new one")]
    Ended,
}

impl Peer {
    /// Takes the peer's offer and answers it.
    pub fn accept_offer(&mut self, now: Instant, sdp: &str) -> Result<String, NegotiationError> {
        self.check_running()?;
        let mut session = self.session.clone();
        let remote = session.accept_offer(sdp)?;
        self.check_fingerprint(&remote)?;
        let restart = self.remote.is_some() && remote.ice_restarted;
        if restart {
            self.ice.restart(&mut self.random);
        }
        match session.write_answer(&self.local_transport()) {
            Ok(answer) => {
                self.session = session;
                self.take_remote(now, remote);
                Ok(answer)
            }
            Err(error) => {
                if restart {
                    self.ice.undo_restart();
                }
                Err(error.into())
            }
        }
    }

    /// Offers all that we have and want; with `ice_restart`, under fresh ICE credentials.
    pub fn create_offer(&mut self, _now: Instant, ice_restart: bool) -> Result<String, NegotiationError> {
        self.check_running()?;
        let mut session = self.session.clone();
        // A second restart before the answer to the first goes on with the same credentials.
        let restart = ice_restart && self.remote.is_some() && !self.offered_restart;
        if restart {
            self.ice.restart(&mut self.random);
        }
        match session.write_offer(&self.local_transport()) {
            Ok(offer) => {
                self.session = session;
                self.offered_restart |= restart;
                Ok(offer)
            }
            Err(error) => {
                if restart {
                    self.ice.undo_restart();
                }
                Err(error.into())
            }
        }
    }

    /// Takes the answer to our offer.
    pub fn accept_answer(&mut self, now: Instant, sdp: &str) -> Result<(), NegotiationError> {
        self.check_running()?;
        let mut session = self.session.clone();
        let remote = session.accept_answer(sdp)?;
        self.check_fingerprint(&remote)?;
        self.session = session;
        self.offered_restart = false;
        self.take_remote(now, remote);
        Ok(())
    }

    /// Names only candidates of this protocol from the next description on, if there are any: a client then goes that way,
    /// at the latest with its next ICE restart.
    pub fn offer_only(&mut self, protocol: Protocol) {
        self.only_protocol = Some(protocol);
    }

    /// Takes back the offer that is under way.
    pub fn rollback(&mut self) {
        self.session.rollback();
        if std::mem::take(&mut self.offered_restart) {
            self.ice.undo_restart();
        }
    }

    fn check_running(&self) -> Result<(), NegotiationError> {
        match self.phase {
            Phase::Ended => Err(NegotiationError::Ended),
            Phase::Connecting | Phase::Connected => Ok(()),
        }
    }

    /// RFC 8842 section 4 would have a new DTLS association for a new certificate; no browser ever changes it.
    fn check_fingerprint(&self, remote: &RemoteTransport) -> Result<(), NegotiationError> {
        let before = self.remote.as_ref().filter(|_| self.dtls.is_some());
        match before.is_some_and(|before| before.fingerprint != remote.fingerprint) {
            true => Err(NegotiationError::FingerprintChanged),
            false => Ok(()),
        }
    }

    fn take_remote(&mut self, now: Instant, remote: RemoteTransport) {
        if self.remote.is_none() {
            self.deadline = Some(now + self.config.limits.connect);
        }
        self.remote_candidates = 0;
        self.remote = Some(remote);
        self.tell_max_message_size();
        self.remote_is_known(now);
    }

    fn candidates(&self) -> Vec<LocalCandidate> {
        let all = self.config.local_candidates.iter().copied();
        let of_protocol: Vec<LocalCandidate> =
            all.clone().filter(|candidate| Some(candidate.protocol) == self.only_protocol).collect();
        if of_protocol.is_empty() { all.collect() } else { of_protocol }
    }

    fn local_transport(&self) -> LocalTransport {
        let credentials = self.ice.credentials();
        LocalTransport {
            ufrag: credentials.ufrag.clone(),
            password: credentials.password.clone(),
            fingerprint: self.config.dtls.fingerprint_sha256(),
            candidates: self.candidates(),
            sctp_port: SCTP_PORT,
            max_message_size: u32::try_from(self.config.sctp.message_bytes).unwrap_or(u32::MAX),
        }
    }
}
