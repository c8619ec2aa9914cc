// SPDX-License-Identifier: EUPL-1.2
//! The handshake (RFC 9260 section 5), which chunk goes where, and when a packet is due.

use super::channels::Channels;
use super::receive::{Message, Receiver, Taken};
use super::reset::{MAX_REQUEST_BYTES, Outcome, Resets};
use super::send::{MAX_FORWARD_BYTES, MESSAGE_OVERHEAD_BYTES, Sender};
use super::wire::{self, Chunk, Data, Header, Init, MAX_PACKET_BYTES};
use super::{SctpConfig, SctpEvent, SctpStats};
use crate::ChannelId;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One SCTP association with its data channels.
///
/// After every input ([`handle_packet`](Self::handle_packet), [`handle_timeout`](Self::handle_timeout), opening, sending,
/// closing) poll [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until they are empty, then
/// wait for [`poll_timeout`](Self::poll_timeout).
/// ```
/// # use parvis_peer::sctp::*;
/// # use parvis_peer::ChannelSpec;
/// # let now = std::time::Instant::now();
/// let mut server = Association::new(SctpConfig::default(), [1; 32], now);
/// let mut client = Association::new(SctpConfig { dtls_client: true, initiate: true, ..Default::default() }, [2; 32], now);
/// let channel = client.open(ChannelSpec { label: "chat".into(), ordered: true, max_retransmits: None }).unwrap();
/// loop {
///     let (to_server, to_client) = (client.poll_transmit(now), server.poll_transmit(now));
///     if to_server.is_none() && to_client.is_none() { break }
///     to_server.map(|packet| server.handle_packet(now, &packet));
///     to_client.map(|packet| client.handle_packet(now, &packet));
/// }
/// assert!(matches!(client.poll_event(), Some(SctpEvent::Open(id, _)) if id == channel));
/// ```
#[derive(Debug)]
pub struct Association {
    pub(super) config: SctpConfig,
    pub(super) state: State,
    local_tag: u32,
    local_tsn: u32,
    /// Marks a state cookie as ours. The peer is authenticated by DTLS: a cookie has nothing to prove but that.
    cookie_mark: [u8; 16],
    peer_tag: u32,
    peer_port: u16,
    pub(super) peer_streams: u16,
    pub(super) peer_resets: bool,
    peer_max_message: Option<u32>,
    receiver: Option<Receiver>,
    pub(super) sender: Sender,
    pub(super) resets: Resets,
    pub(super) channels: Channels,
    events: VecDeque<SctpEvent>,
    /// What one chunk completes; empty in between.
    messages: Vec<Message>,
    /// A channel whose messages are not given out for now, and those messages.
    held: Option<(ChannelId, VecDeque<SctpEvent>)>,
    /// Payload and overhead of the messages in `events`.
    undelivered: usize,
    /// Whole packets of the handshake.
    handshake: VecDeque<Vec<u8>>,
    /// Chunks that go with the next packet.
    replies: VecDeque<Vec<u8>>,
    init: Option<InitTimer>,
    sack: Acknowledgement,
    pub(super) stats: SctpStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waiting for the peer's INIT.
    Idle,
    CookieWait,
    CookieEchoed,
    Established,
    Ended,
}

/// T1 (RFC 9260 section 5.1): sends INIT or COOKIE ECHO again. There is no last attempt: ICE and DTLS decide whether the peer lives.
#[derive(Debug)]
struct InitTimer {
    due: Instant,
    timeout: Duration,
    packet: Vec<u8>,
}

/// When to acknowledge (RFC 9260 section 6.2).
#[derive(Debug, Default)]
struct Acknowledgement {
    packets: u8,
    due: Option<Instant>,
    at_once: bool,
}

impl Association {
    /// Starts an association; the seed decides its tag, its first TSN and its cookies.
    pub fn new(config: SctpConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let (local_tag, local_tsn) = (rng.next_u32().max(1), rng.next_u32());
        let mut cookie_mark = [0; 16];
        rng.fill_bytes(&mut cookie_mark);
        Association::with_identity(config, local_tag, local_tsn, cookie_mark, now)
    }

    pub(super) fn with_identity(
        config: SctpConfig,
        local_tag: u32,
        local_tsn: u32,
        cookie_mark: [u8; 16],
        now: Instant,
    ) -> Self {
        let mut association = Association {
            config,
            state: State::Idle,
            local_tag,
            local_tsn,
            cookie_mark,
            peer_tag: 0,
            peer_port: SCTP_PORT,
            peer_streams: u16::MAX,
            peer_resets: false,
            peer_max_message: None,
            receiver: None,
            sender: Sender::new(config.limits, local_tsn),
            resets: Resets::new(local_tsn),
            channels: Channels::default(),
            events: VecDeque::new(),
            messages: Vec::new(),
            held: None,
            undelivered: 0,
            handshake: VecDeque::new(),
            replies: VecDeque::new(),
            init: None,
            sack: Acknowledgement::default(),
            stats: SctpStats::default(),
        };
        if config.initiate {
            association.initiate(now);
        }
        association
    }

    /// Sends INIT, unless the handshake has begun: for those who learn their DTLS role late.
    pub fn initiate(&mut self, now: Instant) {
        if self.state == State::Idle {
            let mut packet = wire::start(self.header(0));
            wire::put_init(&mut packet, wire::INIT, &self.own_init(None));
            self.state = State::CookieWait;
            self.start_handshake_step(now, wire::finish(packet));
        }
    }

    /// The peer's `a=max-message-size` (RFC 8841); zero means any size.
    pub fn set_remote_max_message_size(&mut self, bytes: u32) {
        self.peer_max_message = Some(bytes).filter(|bytes| *bytes > 0);
    }

    /// Takes the plaintext of one DTLS record.
    pub fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        if self.state == State::Ended {
            return;
        }
        let Ok((header, chunks)) = wire::parse(packet) else {
            self.stats.malformed_packets += 1;
            return;
        };
        let tag = match chunks.first() {
            // Alone, and the only one without a tag (RFC 9260 section 8.5.1).
            Some(Chunk::Init(_)) if chunks.len() == 1 => 0,
            Some(Chunk::Abort { reflected: true, .. } | Chunk::ShutdownComplete { reflected: true }) => {
                self.peer_tag
            }
            _ => self.local_tag,
        };
        if header.tag != tag {
            self.stats.wrong_tags += 1;
            return;
        }
        let mut has_data = false;
        for chunk in chunks {
            has_data |= matches!(chunk, Chunk::Data(_));
            self.handle_chunk(now, header, chunk);
            if self.state == State::Ended {
                return;
            }
        }
        if has_data {
            self.note_data_packet(now);
        }
        self.settle();
    }

    /// One SCTP packet of at most 1,180 bytes for one DTLS record.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        if let Some(packet) = self.handshake.pop_front() {
            return Some(packet);
        }
        let leaves = !self.replies.is_empty() || self.sack.at_once;
        if self.state != State::Established
            || !(leaves || self.sender.wants_to_send() || self.resets.wants_to_send())
        {
            return None;
        }
        let mut packet = wire::start(self.header(self.peer_tag));
        let room = |packet: &Vec<u8>, bytes: usize| packet.len() + bytes <= MAX_PACKET_BYTES;
        while self.replies.front().is_some_and(|reply| room(&packet, reply.len()))
            && let Some(reply) = self.replies.pop_front()
        {
            packet.extend_from_slice(&reply);
        }
        let mut leaves = packet.len() > wire::COMMON_HEADER_BYTES;
        // A SACK that waits goes along with whatever leaves.
        let mut acknowledges = false;
        if (self.sack.at_once || self.sack.due.is_some())
            && let Some(receiver) = &self.receiver
        {
            let value = receiver.sack(self.undelivered);
            if room(&packet, 4 + value.len()) {
                wire::put_chunk(&mut packet, wire::SACK, 0, &[&value]);
                acknowledges = true;
                leaves |= self.sack.at_once;
            }
        }
        let length = packet.len();
        if room(&packet, MAX_REQUEST_BYTES)
            && let Some(value) = self.resets.take_request(now, self.sender.last_tsn(), self.sender.rto())
        {
            wire::put_chunk(&mut packet, wire::RECONFIG, 0, &[&value]);
        }
        if room(&packet, MAX_FORWARD_BYTES)
            && let Some(value) = self.sender.take_forward()
        {
            wire::put_chunk(&mut packet, wire::FORWARD_TSN, 0, &[&value]);
        }
        self.sender.fill(now, &mut packet);
        if !leaves && packet.len() == length {
            return None;
        }
        if acknowledges {
            self.sack = Acknowledgement::default();
        }
        Some(wire::finish(packet))
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Ended {
            return;
        }
        if let Some(timer) = self.init.as_mut().filter(|timer| timer.due <= now) {
            timer.timeout = (timer.timeout * 2).min(MAX_INIT_TIMEOUT);
            timer.due = now + timer.timeout;
            if self.handshake.len() < MAX_HANDSHAKE_PACKETS {
                self.handshake.push_back(timer.packet.clone());
            }
        }
        if self.sack.due.is_some_and(|due| due <= now) {
            self.sack.at_once = true;
        }
        if self.state == State::Established {
            self.sender.handle_timeout(now);
            self.resets.handle_timeout(now);
            self.settle();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Ended {
            return None;
        }
        let sack = self.sack.due.filter(|_| !self.sack.at_once);
        let established = self.state == State::Established;
        let rest = [sack, self.sender.poll_timeout(), self.resets.poll_timeout()]
            .into_iter()
            .filter(|_| established);
        rest.chain([self.init.as_ref().map(|timer| timer.due)]).flatten().min()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<SctpEvent> {
        let event = self.events.pop_front()?;
        if let SctpEvent::Message { payload, .. } = &event {
            let before = self.undelivered;
            self.undelivered -= payload.len() + MESSAGE_OVERHEAD_BYTES;
            // The window opens again: the peer has to be told (RFC 9260 section 6.2).
            let half = self.config.limits.receive_buffer_bytes / 2;
            if before >= half && self.undelivered < half {
                self.sack.at_once = true;
            }
        }
        Some(event)
    }

    /// Gives out no message of this channel until [`release`](Self::release): they wait here, the announced window
    /// shrinks by them, and in the end the peer stops sending. Other channels go on for as long as there is a window. At
    /// most one channel is held; holding another releases the first.
    pub fn hold(&mut self, channel: ChannelId) {
        if let Some(former) = self.held.as_ref().map(|(held, _)| *held) {
            if former == channel {
                return;
            }
            self.release(former);
        }
        self.held = Some((channel, VecDeque::new()));
    }

    /// Gives out what was held, in order, and all that follows.
    pub fn release(&mut self, channel: ChannelId) {
        if let Some((_, messages)) = self.held.take_if(|(held, _)| *held == channel) {
            self.events.extend(messages);
        }
    }

    /// Whether the handshake is done and the association has not ended.
    pub fn is_established(&self) -> bool {
        self.state == State::Established
    }

    /// Counters.
    pub fn stats(&self) -> SctpStats {
        SctpStats {
            retransmissions: self.sender.retransmissions,
            abandoned_messages: self.sender.abandoned_messages,
            orphan_messages: self.stats.orphan_messages
                + self.receiver.as_ref().map_or(0, |receiver| receiver.orphans),
            ..self.stats
        }
    }

    /// Bytes that the peer makes us hold: fragments, messages behind a gap, messages not polled.
    pub fn held_bytes(&self) -> usize {
        self.receiver.as_ref().map_or(0, Receiver::buffered_bytes) + self.undelivered
    }

    /// The largest message that both sides take.
    pub(super) fn message_limit(&self) -> usize {
        let ours = self.config.limits.message_bytes;
        self.peer_max_message.map_or(ours, |theirs| ours.min(theirs as usize))
    }

    pub(super) fn push_event(&mut self, event: SctpEvent) {
        match &event {
            SctpEvent::Message { channel, payload, .. } => {
                self.undelivered += payload.len() + MESSAGE_OVERHEAD_BYTES;
                if let Some((_, messages)) = self.held.as_mut().filter(|(held, _)| held == channel) {
                    return messages.push_back(event);
                }
            }
            // What came before the end comes out before it.
            SctpEvent::Closed(channel) => self.release(*channel),
            _ => {}
        }
        self.events.push_back(event);
    }

    fn handle_chunk(&mut self, now: Instant, header: Header, chunk: Chunk<'_>) {
        match chunk {
            Chunk::Init(init) => self.handle_init(header, &init),
            Chunk::InitAck(init) => self.handle_init_ack(now, header, &init),
            Chunk::CookieEcho(cookie) => self.handle_cookie_echo(header, cookie),
            Chunk::CookieAck if self.state == State::CookieEchoed => self.establish(),
            Chunk::Data(data) => self.handle_data(&data),
            Chunk::ForwardTsn { cumulative, streams } => self.handle_forward(cumulative, streams),
            Chunk::Sack(sack) if self.state == State::Established => self.sender.sack(now, &sack),
            Chunk::Reconfig(value) if self.state == State::Established => self.handle_reconfig(value),
            Chunk::Heartbeat(value) if value.len() <= MAX_HEARTBEAT_BYTES => {
                self.reply(wire::chunk_bytes(wire::HEARTBEAT_ACK, 0, &[value]));
            }
            Chunk::Abort { causes, .. } => {
                let cause = wire::parameters(causes).next().and_then(Result::ok).map_or(0, |(code, _)| code);
                self.end(format!(
                    "the peer aborted the association, error cause {cause} (RFC 9260 section 3.3.10)"
                ));
            }
            Chunk::Shutdown | Chunk::ShutdownAck => {
                let answer =
                    if chunk == Chunk::Shutdown { wire::SHUTDOWN_ACK } else { wire::SHUTDOWN_COMPLETE };
                let mut packet = wire::start(self.header(self.peer_tag));
                wire::put_chunk(&mut packet, answer, 0, &[]);
                self.end("the peer shut the association down".into());
                self.handshake.push_back(wire::finish(packet));
            }
            Chunk::ShutdownComplete { .. } => self.end("the peer shut the association down".into()),
            Chunk::CookieAck | Chunk::Sack(_) | Chunk::Reconfig(_) | Chunk::Heartbeat(_) | Chunk::Skipped => {
            }
        }
    }

    /// Answers INIT in any state (RFC 9260 sections 5.1, 5.2.1, 5.2.2) but one: a peer that starts anew within the same
    /// DTLS connection, which WebRTC doesn't know.
    fn handle_init(&mut self, header: Header, init: &Init<'_>) {
        if self.state == State::Established && init.tag != self.peer_tag {
            self.stats.wrong_tags += 1;
            return;
        }
        self.peer_port = header.source_port;
        let cookie = self.cookie(init);
        let mut packet = wire::start(self.header(init.tag));
        wire::put_init(&mut packet, wire::INIT_ACK, &self.own_init(Some(&cookie)));
        if self.handshake.len() < MAX_HANDSHAKE_PACKETS {
            self.handshake.push_back(wire::finish(packet));
        } else {
            self.stats.dropped_replies += 1;
        }
    }

    fn handle_init_ack(&mut self, now: Instant, header: Header, init: &Init<'_>) {
        let Some(cookie) =
            init.cookie.filter(|cookie| self.state == State::CookieWait && cookie.len() <= MAX_COOKIE_BYTES)
        else {
            return;
        };
        self.peer_port = header.source_port;
        self.adopt(init);
        let mut packet = wire::start(self.header(init.tag));
        wire::put_chunk(&mut packet, wire::COOKIE_ECHO, 0, &[cookie]);
        self.state = State::CookieEchoed;
        self.start_handshake_step(now, wire::finish(packet));
    }

    fn handle_cookie_echo(&mut self, header: Header, cookie: &[u8]) {
        let Some(init) = self.open_cookie(cookie) else { return };
        if self.state == State::Established {
            // Our COOKIE ACK was lost.
            if init.tag != self.peer_tag {
                self.stats.wrong_tags += 1;
                return;
            }
        } else {
            self.peer_port = header.source_port;
            let known = self.receiver.is_some() && self.peer_tag == init.tag;
            if !known {
                self.adopt(&init);
            }
            self.establish();
        }
        self.reply(wire::chunk_bytes(wire::COOKIE_ACK, 0, &[]));
    }

    /// Takes over what the peer said of itself.
    fn adopt(&mut self, init: &Init<'_>) {
        self.peer_tag = init.tag;
        self.peer_streams = init.inbound_streams;
        self.peer_resets = init.reconfig;
        self.receiver = Some(Receiver::new(self.config.limits, init.tsn));
        self.sender.established(init.window, init.forward_tsn);
        self.resets.established(init.tsn);
    }

    fn establish(&mut self) {
        self.state = State::Established;
        self.init = None;
        self.handshake.clear();
    }

    fn handle_data(&mut self, data: &Data<'_>) {
        let Some(receiver) = &mut self.receiver else { return };
        let mut messages = std::mem::take(&mut self.messages);
        let taken = receiver.data(data, self.undelivered, &mut messages);
        match taken {
            Ok(Taken::Stored) => self.sack.at_once |= data.immediate || receiver.has_gaps(),
            Ok(Taken::Duplicate) => {
                self.stats.duplicate_chunks += 1;
                self.sack.at_once = true;
            }
            Ok(Taken::NoRoom) => {
                self.stats.chunks_without_room += 1;
                self.sack.at_once = true;
            }
            Err(violation) => {
                self.abort(&violation.to_string());
                return;
            }
        }
        for message in messages.drain(..) {
            self.handle_message(message);
        }
        self.messages = messages;
    }

    fn handle_forward(&mut self, cumulative: u32, streams: &[u8]) {
        let Some(receiver) = &mut self.receiver else { return };
        let mut messages = Vec::new();
        receiver.forward(cumulative, streams, &mut messages);
        self.sack.at_once = true;
        for message in messages {
            self.handle_message(message);
        }
    }

    fn handle_reconfig(&mut self, value: &[u8]) {
        let Some(receiver) = &mut self.receiver else { return };
        let mut reply = Vec::new();
        let outcomes = self.resets.handle(value, receiver.cumulative() as u32, &mut reply);
        for outcome in &outcomes {
            if let Outcome::PeerReset(streams) = outcome {
                receiver.reset(streams);
            }
        }
        if !reply.is_empty() {
            self.reply(wire::chunk_bytes(wire::RECONFIG, 0, &[&reply]));
        }
        for outcome in outcomes {
            self.handle_reset(outcome);
        }
    }

    /// Ends the association by our own will, and says so.
    fn abort(&mut self, reason: &str) {
        let mut packet = wire::start(self.header(self.peer_tag));
        let mut cause = Vec::new();
        wire::put_parameter(&mut cause, PROTOCOL_VIOLATION, &[]);
        wire::put_chunk(&mut packet, wire::ABORT, 0, &[&cause]);
        self.end(format!("we aborted the association: {reason}"));
        self.handshake.push_back(wire::finish(packet));
    }

    fn end(&mut self, reason: String) {
        self.state = State::Ended;
        self.init = None;
        self.handshake.clear();
        self.receiver = None;
        self.sender = Sender::new(self.config.limits, self.local_tsn);
        self.close_all_channels();
        self.push_event(SctpEvent::Failed(reason));
    }

    fn note_data_packet(&mut self, now: Instant) {
        self.sack.packets = self.sack.packets.saturating_add(1);
        if self.sack.packets >= PACKETS_PER_SACK {
            self.sack.at_once = true;
        }
        self.sack.due.get_or_insert(now + SACK_DELAY);
    }

    fn reply(&mut self, chunk: Vec<u8>) {
        if self.replies.len() < MAX_REPLIES {
            self.replies.push_back(chunk);
        } else {
            self.stats.dropped_replies += 1;
        }
    }

    fn start_handshake_step(&mut self, now: Instant, packet: Vec<u8>) {
        self.init =
            Some(InitTimer { due: now + INIT_TIMEOUT, timeout: INIT_TIMEOUT, packet: packet.clone() });
        self.handshake.push_back(packet);
    }

    fn header(&self, tag: u32) -> Header {
        Header { source_port: SCTP_PORT, destination_port: self.peer_port, tag }
    }

    fn own_init<'a>(&self, cookie: Option<&'a [u8]>) -> Init<'a> {
        Init {
            tag: self.local_tag,
            window: self.config.limits.receive_buffer_bytes as u32,
            outbound_streams: u16::MAX,
            inbound_streams: u16::MAX,
            tsn: self.local_tsn,
            cookie,
            forward_tsn: true,
            reconfig: true,
        }
    }

    /// All that has to be known of a peer's INIT, so that nothing is kept between it and COOKIE ECHO.
    fn cookie(&self, init: &Init<'_>) -> Vec<u8> {
        let mut cookie = self.cookie_mark.to_vec();
        cookie.extend_from_slice(&init.tag.to_be_bytes());
        cookie.extend_from_slice(&init.window.to_be_bytes());
        cookie.extend_from_slice(&init.outbound_streams.to_be_bytes());
        cookie.extend_from_slice(&init.inbound_streams.to_be_bytes());
        cookie.extend_from_slice(&init.tsn.to_be_bytes());
        cookie.extend_from_slice(&[u8::from(init.forward_tsn), u8::from(init.reconfig), 0, 0]);
        cookie
    }

    fn open_cookie(&self, cookie: &[u8]) -> Option<Init<'static>> {
        let body = cookie.strip_prefix(&self.cookie_mark[..]).filter(|body| body.len() == 20)?;
        Some(Init {
            tag: wire::be32(body, 0),
            window: wire::be32(body, 4),
            outbound_streams: wire::be16(body, 8),
            inbound_streams: wire::be16(body, 10),
            tsn: wire::be32(body, 12),
            cookie: None,
            forward_tsn: body.get(16) == Some(&1),
            reconfig: body.get(17) == Some(&1),
        })
    }
}

/// WebRTC's SCTP port on both ends (RFC 8841 section 5.2 lets it be another; ours is this, the peer's is seen in its INIT).
const SCTP_PORT: u16 = 5000;
const INIT_TIMEOUT: Duration = Duration::from_millis(500);
const MAX_INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A SACK for every second packet, or after this time; RFC 9260 section 6.2 allows 500 ms.
const SACK_DELAY: Duration = Duration::from_millis(50);
const PACKETS_PER_SACK: u8 = 2;
/// Answers that wait for the next packet, of 1,000 bytes at most.
const MAX_REPLIES: usize = 16;
const MAX_HANDSHAKE_PACKETS: usize = 4;
const MAX_HEARTBEAT_BYTES: usize = 1000;
/// dcsctp's has 36 bytes, usrsctp's about 500.
const MAX_COOKIE_BYTES: usize = 1100;
/// RFC 9260 section 3.3.10.13.
const PROTOCOL_VIOLATION: u16 = 13;
