// SPDX-License-Identifier: EUPL-1.2
//! A client's end of one peer connection: a full ICE agent, the DTLS client, SRTP and SCTP, tied together without
//! [`parvis_peer::Peer`], so that the server's is not tested against itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parvis_dtls::{Endpoint, Event, Factory, Role};
use parvis_peer::sctp::{Association, SctpConfig, SctpEvent, SctpLimits};
use parvis_peer::{ChannelId, ChannelSpec, Path};
use parvis_rtp::srtp::{KeyingMaterial, Limits, Profile, SrtpContext};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::sdp::{Local, Remote};
use crate::stun;

/// How often a client checks its path: often before it is answered, then as browsers do.
const CHECK_FAST: Duration = Duration::from_millis(50);
const CHECK_SLOW: Duration = Duration::from_millis(2500);
/// A Binding success response (RFC 8489 section 5).
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];

/// What came in a datagram.
pub(crate) enum Incoming {
    Rtp(usize),
    Rtcp(usize),
    Other,
}

/// One peer connection.
pub(crate) struct Connection {
    /// As the server sees it.
    pub(crate) path: Path,
    pub(crate) local: Local,
    remote: Option<(String, String, [u8; 32])>,
    factory: Arc<dyn Factory>,
    dtls: Option<Box<dyn Endpoint>>,
    /// What the DTLS endpoint has to send, until this end acts.
    outgoing: VecDeque<Vec<u8>>,
    keys: Option<(SrtpContext, SrtpContext)>,
    sctp: Association,
    /// It may have something to send.
    sctp_touched: bool,
    channels: BTreeMap<Arc<str>, ChannelId>,
    pub(crate) messages: VecDeque<(Arc<str>, Bytes)>,
    answered: bool,
    pub(crate) handshakes: u32,
    pub(crate) closed: bool,
    next_check: Instant,
}

impl Connection {
    pub(crate) fn new(
        path: Path,
        factory: Arc<dyn Factory>,
        random: &mut ChaCha8Rng,
        now: Instant,
    ) -> Connection {
        let (ufrag, password) = credentials(random);
        let local = Local { ufrag, password, fingerprint: factory.fingerprint_sha256() };
        // The server refuses what is too much, not this end.
        let limits = SctpLimits { channels: 1024, ..SctpLimits::default() };
        let config = SctpConfig { dtls_client: true, initiate: true, limits };
        Connection {
            path,
            local,
            remote: None,
            factory,
            dtls: None,
            outgoing: VecDeque::new(),
            keys: None,
            sctp: Association::new(config, random.random(), now),
            sctp_touched: true,
            channels: BTreeMap::new(),
            messages: VecDeque::new(),
            answered: false,
            handshakes: 0,
            closed: false,
            next_check: now,
        }
    }

    /// Opens a data channel as soon as there is an association.
    pub(crate) fn open_channel(&mut self, label: &str, reliable: bool) {
        let max_retransmits = (!reliable).then_some(0);
        let spec = ChannelSpec { label: label.to_owned(), ordered: reliable, max_retransmits };
        let _ = self.sctp.open(spec);
    }

    /// The server's credentials are known, or they changed: then ours change too (RFC 8445 section 9).
    pub(crate) fn set_remote(&mut self, now: Instant, remote: &Remote) {
        if let Some(address) = remote.address {
            self.path.local = address;
        }
        let new = (remote.ufrag.clone(), remote.password.clone(), remote.fingerprint);
        if self.remote.as_ref() != Some(&new) {
            self.remote = Some(new);
            self.answered = false;
            self.next_check = now;
        }
    }

    /// Whether the server's description has other credentials than the last: an ICE restart.
    pub(crate) fn is_restart(&self, remote: &Remote) -> bool {
        self.remote.as_ref().is_some_and(|(ufrag, _, _)| *ufrag != remote.ufrag)
    }

    /// Fresh credentials of ours.
    pub(crate) fn renew(&mut self, random: &mut ChaCha8Rng) {
        (self.local.ufrag, self.local.password) = credentials(random);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.keys.is_some() && !self.closed
    }

    pub(crate) fn check_now(&mut self, now: Instant) {
        self.next_check = now;
    }

    /// Sends a message, when its channel is open and has room.
    pub(crate) fn send(&mut self, label: &str, message: &[u8]) -> bool {
        self.sctp_touched = true;
        self.channels.get(label).is_some_and(|channel| self.sctp.send(*channel, message).is_ok())
    }

    /// Protects the first `len` bytes of `buf`.
    pub(crate) fn protect(&mut self, buf: &mut [u8], len: usize, rtcp: bool) -> Option<usize> {
        let (outbound, _) = self.keys.as_mut()?;
        if rtcp { outbound.protect_rtcp(buf, len).ok() } else { outbound.protect_rtp(buf, len).ok() }
    }

    /// Takes a datagram of the server's.
    pub(crate) fn handle(&mut self, now: Instant, random: &mut ChaCha8Rng, datagram: &mut [u8]) -> Incoming {
        match *datagram {
            [0..=3, ..] if datagram.starts_with(&BINDING_SUCCESS) && !self.answered => {
                self.answered = true;
                self.start(now, random);
                self.collect();
            }
            [20..=63, ..] => {
                if let Some(dtls) = &mut self.dtls {
                    let _ = dtls.handle_datagram(now, datagram);
                    self.take_dtls(now);
                    self.collect();
                }
            }
            [128..=191, kind, ..] => {
                let Some((_, inbound)) = &mut self.keys else { return Incoming::Other };
                if (192..=223).contains(&kind) {
                    return inbound.unprotect_rtcp(datagram).map_or(Incoming::Other, Incoming::Rtcp);
                }
                return inbound.unprotect_rtp(datagram).map_or(Incoming::Other, Incoming::Rtp);
            }
            _ => {}
        }
        Incoming::Other
    }

    /// Does what is due; datagrams go to `out`.
    pub(crate) fn act(&mut self, now: Instant, random: &mut ChaCha8Rng, out: &mut Vec<(Path, Vec<u8>)>) {
        if let Some((ufrag, password, _)) =
            self.remote.as_ref().filter(|_| self.next_check <= now && !self.closed)
        {
            out.push((self.path, stun::check(ufrag, &self.local.ufrag, password, random.random())));
            self.next_check = now + if self.answered { CHECK_SLOW } else { CHECK_FAST };
        }
        if let Some(dtls) = self.dtls.as_mut().filter(|dtls| dtls.poll_timeout().is_some_and(|at| at <= now))
        {
            let _ = dtls.handle_timeout(now);
            self.take_dtls(now);
        }
        if self.keys.is_some() {
            if self.sctp.poll_timeout().is_some_and(|at| at <= now) {
                self.sctp.handle_timeout(now);
                self.sctp_touched = true;
            }
            if std::mem::take(&mut self.sctp_touched) {
                self.send_sctp(now);
            }
        }
        self.collect();
        out.extend(self.outgoing.drain(..).map(|datagram| (self.path, datagram)));
    }

    /// Whether something waits for [`Connection::act`].
    pub(crate) fn has_output(&self) -> bool {
        !self.outgoing.is_empty()
    }

    fn collect(&mut self) {
        self.outgoing
            .extend(self.dtls.iter_mut().flat_map(|dtls| std::iter::from_fn(move || dtls.poll_transmit())));
    }

    /// When [`Connection::act`] is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let check = self.remote.is_some().then_some(self.next_check);
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.poll_timeout());
        let sctp = self.keys.as_ref().and_then(|_| self.sctp.poll_timeout());
        [check, dtls, sctp].into_iter().flatten().min().filter(|_| !self.closed)
    }

    fn start(&mut self, now: Instant, random: &mut ChaCha8Rng) {
        let Some((_, _, fingerprint)) = self.remote.as_ref().filter(|_| self.dtls.is_none()) else { return };
        self.dtls = self.factory.endpoint(Role::Client, *fingerprint, random.random(), now).ok();
    }

    fn take_dtls(&mut self, now: Instant) {
        while let Some(event) = self.dtls.as_mut().and_then(|dtls| dtls.poll_event()) {
            match event {
                Event::Connected(connected) => {
                    self.handshakes += 1;
                    self.keys = keys(connected.srtp_profile.id(), &connected.keying_material);
                    self.sctp.initiate(now);
                }
                Event::Data(packet) => self.sctp.handle_packet(now, &packet),
                Event::Closed => self.closed = true,
            }
        }
        self.send_sctp(now);
        while let Some(event) = self.sctp.poll_event() {
            match event {
                SctpEvent::Open(channel, spec) => {
                    self.channels.insert(spec.label.into(), channel);
                }
                SctpEvent::Message { channel, payload, .. } => {
                    let label = self.channels.iter().find(|(_, known)| **known == channel);
                    if let Some((label, _)) = label {
                        self.messages.push_back((label.clone(), payload));
                    }
                }
                SctpEvent::Writable(_) | SctpEvent::Closed(_) | SctpEvent::Failed(_) => {}
            }
        }
        self.send_sctp(now);
    }

    fn send_sctp(&mut self, now: Instant) {
        while let Some(packet) = self.sctp.poll_transmit(now) {
            if let Some(dtls) = &mut self.dtls {
                let _ = dtls.send(now, &packet);
            }
        }
    }
}

fn credentials(random: &mut ChaCha8Rng) -> (String, String) {
    let (ufrag, password): (u32, u128) = (random.random(), random.random());
    (format!("{ufrag:08x}"), format!("{password:032x}"))
}

/// RFC 5764 section 4.2: the client writes with the first key. Outbound, then inbound.
fn keys(profile: u16, material: &[u8]) -> Option<(SrtpContext, SrtpContext)> {
    let profile = Profile::from_id(profile)?;
    let (client, server) = KeyingMaterial::split(profile, material).ok()?;
    Some((
        SrtpContext::new(profile, &client, Limits::SEND).ok()?,
        SrtpContext::new(profile, &server, Limits::RECEIVE).ok()?,
    ))
}
