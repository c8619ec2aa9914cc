// SPDX-License-Identifier: EUPL-1.2
//! Datagrams and time: which layer takes a datagram, and what follows from it.

use std::time::Instant;

use parvis_dtls::{Connected, Event, Role};
use parvis_rtp::srtp::{KeyingMaterial, Limits as SrtpLimits, Profile, SrtpContext, SrtpError};
use rand_chacha::rand_core::Rng;

use super::{Keys, Peer, Phase};
use crate::{
    DropReason, FailReason, Path, PeerEvent, Received, TransportReport, ice::AgentEvent, sctp::Association,
    sdp::DtlsRole,
};

impl Peer {
    /// Takes a datagram (or a frame, over TCP) that came on `path`. RTP and RTCP are decrypted in place.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) -> Received {
        let received = match self.phase {
            Phase::Ended => Err(DropReason::NoKeys),
            // RFC 7983 section 7, RFC 5761 section 4.
            _ => match *datagram {
                [0..=3, ..] => self.handle_stun(now, path, datagram),
                [20..=63, ..] => self.handle_dtls(now, path, datagram),
                [128..=191, 192..=223, ..] => self.handle_rtcp(now, path, datagram),
                [128..=191, ..] => self.handle_rtp(now, path, datagram),
                _ => Err(DropReason::Unknown),
            },
        };
        received.unwrap_or_else(|reason| {
            self.stats.count_drop(reason);
            Received::Dropped(reason)
        })
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        self.ice.handle_timeout(now);
        self.take_ice_events(now);
        if let Some(dtls) = &mut self.dtls {
            let result = dtls.handle_timeout(now);
            self.take_dtls_output(now, result);
        }
        self.handle_sctp_timeout(now);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(FailReason::Timeout);
        }
    }

    /// When [`Peer::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Ended {
            return None;
        }
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.poll_timeout());
        let sctp = self.sctp.as_ref().filter(|_| self.keys.is_some()).and_then(Association::poll_timeout);
        [self.ice.poll_timeout(), dtls, sctp, self.deadline].into_iter().flatten().min()
    }

    /// The connection that carried `path` is closed (TCP).
    pub fn path_closed(&mut self, now: Instant, path: Path) {
        self.ice.path_closed(path);
        self.take_ice_events(now);
    }

    /// Protects the RTP packet in the first `len` bytes of `buf`, in place; `buf` has room for the tag. Returns its
    /// new length; `None` without keys, or when SRTP refuses (counted).
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Option<usize> {
        let protected = self.keys.as_mut()?.outbound.protect_rtp(buf, len);
        if protected.is_err() {
            self.stats.protect_failures += 1;
        }
        protected.ok()
    }

    /// As [`Peer::protect_rtp`], for a compound RTCP packet.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Option<usize> {
        let protected = self.keys.as_mut()?.outbound.protect_rtcp(buf, len);
        if protected.is_err() {
            self.stats.protect_failures += 1;
        }
        protected.ok()
    }

    /// Ends the connection, and tells the peer by an alert.
    pub fn close(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
            self.send_dtls();
        }
        self.end();
    }

    /// The peer's description is there: DTLS can begin.
    pub(super) fn remote_is_known(&mut self, now: Instant) {
        self.start_client(now);
        for datagram in std::mem::take(&mut self.early_dtls) {
            self.feed_dtls(now, &datagram);
        }
    }

    fn handle_stun(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<Received, DropReason> {
        // The answer leaves at once and to the source: Chromium sends its ClientHello as soon as it comes.
        if let Some(answer) = self.ice.handle(now, path, datagram)? {
            self.outgoing.push_back((path, answer));
        }
        self.take_ice_events(now);
        self.start_client(now);
        Ok(Received::Handled)
    }

    fn handle_dtls(&mut self, now: Instant, path: Path, datagram: &[u8]) -> Result<Received, DropReason> {
        if !self.ice.is_valid(path) {
            return Err(DropReason::UnvalidatedPath);
        }
        if self.remote.is_none() {
            let kept: usize = self.early_dtls.iter().map(Vec::len).sum();
            if kept + datagram.len() > self.config.limits.early_dtls_bytes {
                return Err(DropReason::Limit);
            }
            self.early_dtls.push(datagram.to_vec());
        } else {
            self.feed_dtls(now, datagram);
        }
        Ok(Received::Handled)
    }

    fn handle_rtp(&mut self, now: Instant, path: Path, packet: &mut [u8]) -> Result<Received, DropReason> {
        let len = self.inbound(path)?.unprotect_rtp(packet).map_err(drop_reason)?;
        self.ice.heard(now, path);
        Ok(Received::Rtp { len })
    }

    fn handle_rtcp(&mut self, now: Instant, path: Path, packet: &mut [u8]) -> Result<Received, DropReason> {
        let len = self.inbound(path)?.unprotect_rtcp(packet).map_err(drop_reason)?;
        self.ice.heard(now, path);
        Ok(Received::Rtcp { len })
    }

    fn inbound(&mut self, path: Path) -> Result<&mut SrtpContext, DropReason> {
        if !self.ice.is_valid(path) {
            return Err(DropReason::UnvalidatedPath);
        }
        self.keys.as_mut().map(|keys| &mut keys.inbound).ok_or(DropReason::NoKeys)
    }

    fn take_ice_events(&mut self, now: Instant) {
        while let Some(event) = self.ice.poll_event() {
            self.events.push_back(match event {
                AgentEvent::Validated(path) => PeerEvent::PathValidated(path),
                AgentEvent::Removed(path) => PeerEvent::PathRemoved(path),
                AgentEvent::Disconnected => {
                    if self.phase == Phase::Connected {
                        self.deadline = Some(now + self.config.limits.reconnect);
                    }
                    PeerEvent::Disconnected
                }
                AgentEvent::Resumed => {
                    if self.phase == Phase::Connected {
                        self.deadline = None;
                    }
                    PeerEvent::Resumed
                }
            });
        }
    }

    /// As DTLS client we begin, once there is a path to begin on.
    fn start_client(&mut self, now: Instant) {
        let client = self.remote.as_ref().is_some_and(|remote| remote.dtls_role == DtlsRole::Client);
        if client && self.dtls.is_none() && self.ice.send_path().is_some() {
            self.make_endpoint(now, Role::Client);
            self.take_dtls_output(now, Ok(()));
        }
    }

    fn make_endpoint(&mut self, now: Instant, role: Role) {
        let Some(remote) = &self.remote else { return };
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        match self.config.dtls.endpoint(role, remote.fingerprint, seed, now) {
            Ok(endpoint) => self.dtls = Some(endpoint),
            Err(error) => self.fail(FailReason::Handshake(error.to_string())),
        }
    }

    /// Gives a datagram from a valid path to DTLS. A server's endpoint comes to be with the first one.
    fn feed_dtls(&mut self, now: Instant, datagram: &[u8]) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.dtls.is_none() {
            self.make_endpoint(now, Role::Server);
        }
        if let Some(dtls) = &mut self.dtls {
            let result = dtls.handle_datagram(now, datagram);
            self.take_dtls_output(now, result);
        }
    }

    /// Takes what DTLS has after a call that came to `result`.
    fn take_dtls_output(&mut self, now: Instant, result: Result<(), parvis_dtls::Error>) {
        self.send_dtls();
        while let Some(event) = self.dtls.as_mut().and_then(|dtls| dtls.poll_event()) {
            match event {
                Event::Connected(connected) => {
                    self.take_keys(&connected);
                    self.start_sctp(now);
                }
                Event::Data(packet) => self.handle_sctp(now, &packet),
                Event::Closed => self.fail(FailReason::Closed),
            }
        }
        match result {
            Ok(()) => {}
            Err(parvis_dtls::Error::Fingerprint) => self.fail(FailReason::Fingerprint),
            Err(error) => self.fail(FailReason::Handshake(error.to_string())),
        }
    }

    /// Moves DTLS's datagrams to the sending path. Without one they are lost, as on any network.
    pub(super) fn send_dtls(&mut self) {
        let path = self.ice.send_path();
        let Some(dtls) = &mut self.dtls else { return };
        while let Some(datagram) = dtls.poll_transmit() {
            if let Some(path) = path {
                self.outgoing.push_back((path, datagram));
            }
        }
    }

    fn take_keys(&mut self, connected: &Connected) {
        let Some(path) = self.ice.send_path() else { return self.fail(FailReason::Timeout) };
        let we_are_client = self.remote.as_ref().is_some_and(|remote| remote.dtls_role == DtlsRole::Client);
        match keys(connected, we_are_client) {
            Ok(keys) => self.keys = Some(keys),
            Err(error) => return self.fail(FailReason::Handshake(error)),
        }
        let report = TransportReport {
            path,
            dtls_version: connected.version.clone(),
            cipher: connected.cipher.clone(),
            group: connected.group,
            srtp_profile: connected.srtp_profile.iana_name().to_owned(),
        };
        self.phase = Phase::Connected;
        self.deadline = None;
        self.report = Some(report.clone());
        self.events.push_back(PeerEvent::Connected(Box::new(report)));
    }

    pub(super) fn fail(&mut self, reason: FailReason) {
        if self.phase != Phase::Ended {
            self.end();
            self.events.push_back(PeerEvent::Failed(reason));
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.keys = None;
        self.dtls = None;
        self.sctp = None;
        self.deadline = None;
        self.early_dtls.clear();
    }
}

/// RFC 5764 section 4.2: each side writes with its own key.
fn keys(connected: &Connected, we_are_client: bool) -> Result<Keys, String> {
    let profile = Profile::from_id(connected.srtp_profile.id()).ok_or("unknown SRTP profile")?;
    let contexts = || {
        let (client, server) = KeyingMaterial::split(profile, &connected.keying_material)?;
        let (ours, theirs) = if we_are_client { (client, server) } else { (server, client) };
        Ok(Keys {
            outbound: SrtpContext::new(profile, &ours, SrtpLimits::SEND)?,
            inbound: SrtpContext::new(profile, &theirs, SrtpLimits::RECEIVE)?,
        })
    };
    contexts().map_err(|error: SrtpError| error.to_string())
}

fn drop_reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::BadTag | SrtpError::Unencrypted => DropReason::BadTag,
        SrtpError::Replayed { .. } | SrtpError::TooOld { .. } => DropReason::Replayed,
        SrtpError::TooManyStreams { .. } => DropReason::Limit,
        _ => DropReason::Malformed,
    }
}
