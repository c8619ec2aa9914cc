// SPDX-License-Identifier: EUPL-1.2
//! The server of a run: forwarders, the rooms that are spread over them, and the trunks between them. All of it is what
//! runs in production; here it is called from one thread, and tells what is to leave it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use parvis_dtls::Factory;
use parvis_peer::sctp::SctpLimits;
use parvis_peer::sdp::SessionConfig;
use parvis_peer::{LocalCandidate, Path, PeerConfig, PeerLimits, Protocol};
use parvis_sfu::media::MediaConfig;
use parvis_sfu::{
    Command, Forwarder, ForwarderConfig, ForwarderId, ForwarderStats, Outbox, PeerId, PeerRole, RoomId,
    Spread, SpreadConfig, TrackId, TrunkBatch,
};
use parvis_signal::{
    Actor, ConnectError, ConnectionId, Control, Frame, Grants, Join, JoinParams, Output, Room, RoomConfig,
};

use crate::conference::Dtls;
use crate::sleepers::{Sleeper, Sleepers};

/// The first forwarder's port; each has one of its own.
const FIRST_PORT: u16 = 7882;
/// What a wall clock shows when a run begins.
const UNIX_MS: i64 = 1_800_000_000_000;
/// Batches under way from one forwarder to another: more wait where they are.
pub(crate) const BATCHES: usize = 8;

/// What the server of a run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerModel {
    /// Which DTLS it speaks.
    pub dtls: Dtls,
    /// Its forwarders, each of which would have a thread of its own.
    pub forwarders: u8,
    /// Peer connections of one room on one forwarder before the next ones go elsewhere.
    pub peers_per_part: usize,
    /// How long its rooms have pictures held before they are shown, at least and at most; nothing for zero.
    pub playout_delay: (Duration, Duration),
}

impl Default for ServerModel {
    /// One forwarder, whose bytes are the same for the same seed.
    fn default() -> Self {
        let SpreadConfig { peers_per_part } = SpreadConfig::default();
        ServerModel {
            dtls: Dtls::StandIn,
            forwarders: 1,
            peers_per_part,
            playout_delay: (Duration::ZERO, Duration::ZERO),
        }
    }
}

/// What is to leave the server.
pub(crate) enum Effect {
    /// A message to a client.
    Send(ConnectionId, Bytes),
    /// The end of a client's socket, with its code.
    Close(ConnectionId, u16),
    /// What one forwarder says to another.
    Trunk(ForwarderId, ForwarderId, TrunkBatch),
}

pub(crate) struct Server {
    spread: SpreadConfig,
    playout_delay: (Duration, Duration),
    forwarders: Vec<Forwarder>,
    rooms: Sleepers<RoomId, Room>,
    spreads: BTreeMap<RoomId, Spread>,
    /// Where each track is published.
    homes: BTreeMap<TrackId, ForwarderId>,
    /// How many batches are under way.
    carried: BTreeMap<(ForwarderId, ForwarderId), usize>,
    effects: VecDeque<Effect>,
    /// Datagrams that are to leave.
    pub(crate) outbox: Outbox,
    meter: Option<Meter>,
    /// What it holds in bytes, as far as that is measured.
    bytes: i64,
    /// What a test has it hold for nothing.
    hoard: Vec<u8>,
}

/// Calls what it is given, and says how many more bytes are allocated on this thread after that than before.
pub type Meter = fn(&mut dyn FnMut()) -> i64;

impl Sleeper for Room {
    fn wakes_at(&self, _: Instant) -> Option<Instant> {
        self.poll_timeout()
    }
}

impl Server {
    /// A server without rooms, whose forwarders are made of these seeds.
    pub(crate) fn new(model: &ServerModel, dtls: &Arc<dyn Factory>, seeds: &[[u8; 32]]) -> Server {
        let media = Arc::new(MediaConfig::default());
        let forwarders = seeds.iter().enumerate().map(|(place, seed)| {
            let address = address(ForwarderId(place as u64));
            let peers = PeerConfig {
                local_candidates: Arc::new([LocalCandidate { protocol: Protocol::Udp, address }]),
                dtls: dtls.clone(),
                sdp: Arc::new(SessionConfig::default()),
                sctp: SctpLimits::default(),
                limits: PeerLimits::default(),
                ufrag_tag: None,
            };
            Forwarder::new(ForwarderConfig::new(Arc::new(peers), media.clone()), *seed)
        });
        Server {
            spread: SpreadConfig { peers_per_part: model.peers_per_part },
            playout_delay: model.playout_delay,
            forwarders: forwarders.collect(),
            rooms: Sleepers::new(),
            spreads: BTreeMap::new(),
            homes: BTreeMap::new(),
            carried: BTreeMap::new(),
            effects: VecDeque::new(),
            outbox: Outbox::default(),
            meter: None,
            bytes: 0,
            hoard: Vec::new(),
        }
    }

    /// Measures from now on what it holds.
    pub(crate) fn measure(&mut self, meter: Meter) {
        self.meter = Some(meter);
    }

    /// What it came to hold in bytes since it is measured; `None` when it is not.
    pub(crate) fn bytes(&self) -> Option<i64> {
        self.meter.map(|_| self.bytes)
    }

    pub(crate) fn open_room(&mut self, now: Instant, id: RoomId, seed: [u8; 32]) {
        self.measured(|server| {
            let config = RoomConfig { playout_delay: server.playout_delay, ..RoomConfig::default() };
            let room = Room::new(Arc::new(config), id, "atelier", seed, now, UNIX_MS);
            server.rooms.insert(id, room);
            let home = ForwarderId(id.0 % server.forwarders.len() as u64);
            server.spreads.insert(id, Spread::new(server.spread, id, home));
        });
    }

    /// A datagram reaches the forwarder that has its address.
    pub(crate) fn datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        let place = usize::from(path.local.port().wrapping_sub(FIRST_PORT));
        self.measured(|server| {
            if let Some(forwarder) = server.forwarders.get_mut(place) {
                forwarder.handle_datagram(now, path, datagram, &mut server.outbox);
            }
        });
    }

    /// Someone comes to a room; `None` when it has ended.
    pub(crate) fn connect(
        &mut self,
        now: Instant,
        room: RoomId,
        connection: ConnectionId,
        (grants, params): (&Grants, &JoinParams),
    ) -> Option<Result<(), ConnectError>> {
        self.measured(|server| {
            let room = server.rooms.get_mut(&room)?;
            let join = Join { grants: grants.clone(), params: params.clone(), address: String::new() };
            Some(room.connect(now, connection, join))
        })
    }

    pub(crate) fn message(&mut self, now: Instant, room: RoomId, connection: ConnectionId, bytes: &[u8]) {
        self.measured(|server| {
            if let Some(room) = server.rooms.get_mut(&room) {
                room.message(now, connection, bytes);
            }
        });
    }

    /// What an application's server asks for: other permissions for someone. Whether someone with this name is there.
    pub(crate) fn permit(
        &mut self,
        now: Instant,
        room: RoomId,
        identity: String,
        permission: proto::ParticipantPermission,
    ) -> bool {
        let request =
            proto::UpdateParticipantRequest { identity, permission: Some(permission), ..Default::default() };
        self.measured(|server| {
            let room = server.rooms.get_mut(&room);
            let update = Control::UpdateParticipant(Box::new(request));
            let actor = Actor { identity: String::new(), not_before: 0 };
            room.is_some_and(|room| room.control(now, &actor, update).is_ok())
        })
    }

    pub(crate) fn disconnected(&mut self, now: Instant, room: RoomId, connection: ConnectionId) {
        self.measured(|server| {
            if let Some(room) = server.rooms.get_mut(&room) {
                room.disconnected(now, connection);
            }
        });
    }

    /// What one forwarder said reaches another.
    pub(crate) fn trunk(&mut self, now: Instant, from: ForwarderId, to: ForwarderId, batch: TrunkBatch) {
        self.measured(|server| {
            if let Some(forwarder) = server.forwarders.get_mut(to.0 as usize) {
                forwarder.handle_trunk(now, from, &batch, &mut server.outbox);
            }
            if let Some(forwarder) = server.forwarders.get_mut(from.0 as usize) {
                forwarder.recycle_trunk(batch);
            }
            *server.carried.entry((from, to)).or_default() -= 1;
        });
    }

    /// A copy of what leaves, which is none of the server's bytes any more, where these are measured.
    pub(crate) fn hand_out(&mut self, bytes: Bytes) -> Bytes {
        if self.meter.is_none() {
            return bytes;
        }
        let copy = Bytes::copy_from_slice(&bytes);
        self.measured(|_| drop(bytes));
        copy
    }

    /// When [`Server::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let forwarders = self.forwarders.iter().filter_map(Forwarder::poll_timeout).min();
        forwarders.into_iter().chain(self.rooms.next(now)).min()
    }

    /// Does what is due. Whether anything was.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.poll_timeout(now).is_none_or(|at| at > now) {
            return false;
        }
        self.measured(|server| {
            for forwarder in &mut server.forwarders {
                if forwarder.poll_timeout().is_some_and(|at| at <= now) {
                    forwarder.handle_timeout(now, &mut server.outbox);
                }
            }
            for id in server.rooms.due(now) {
                if let Some(room) = server.rooms.get_mut(&id) {
                    room.handle_timeout(now);
                }
            }
        });
        true
    }

    /// Lets things move inside until something is to leave; `None` when nothing moves any more.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Effect> {
        self.measured(|server| {
            loop {
                if let Some(effect) = server.effects.pop_front() {
                    return Some(effect);
                }
                if !(server.take_event(now) || server.take_output(now) || server.take_batch()) {
                    return None;
                }
            }
        })
    }

    /// Who wants to be woken at once.
    pub(crate) fn who_waits(&mut self, now: Instant) -> Vec<String> {
        let forwarders = self.forwarders.iter().enumerate();
        let forwarders =
            forwarders.filter(|(_, forwarder)| forwarder.poll_timeout().is_some_and(|at| at <= now));
        let mut waits: Vec<String> = forwarders.map(|(place, _)| format!("forwarder {place}")).collect();
        waits.extend(self.rooms.due(now).into_iter().map(|id| format!("{id:?}")));
        waits
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = RoomId> + '_ {
        self.rooms.keys()
    }

    pub(crate) fn forwarders(&self) -> usize {
        self.forwarders.len()
    }

    /// Where a track is published.
    pub(crate) fn home(&self, track: TrackId) -> Option<ForwarderId> {
        self.homes.get(&track).copied()
    }

    /// Has its first forwarder keep so many peer connections that no room knows of: see [`crate::Fault::Leaks`].
    pub(crate) fn leak(&mut self, now: Instant, peers: u64) {
        for place in 0..peers {
            let peer = PeerId(u64::MAX - place);
            let command = Command::CreatePeer { room: RoomId(u64::MAX), peer, role: PeerRole::Publisher };
            self.forwarders[0].handle_command(now, command, &mut self.outbox);
        }
    }

    /// Has it hold so many bytes for nothing: see [`crate::Fault::Hoards`].
    pub(crate) fn hoard(&mut self, bytes: usize) {
        self.measured(|server| server.hoard = vec![1; bytes]);
    }

    /// Has it believe that each track is published on the next forwarder: see [`crate::Fault::Rehomes`].
    pub(crate) fn rehome(&mut self) {
        let count = self.forwarders.len() as u64;
        self.homes.values_mut().for_each(|home| home.0 = (home.0 + 1) % count);
    }

    /// How many entries all its tables hold.
    pub(crate) fn held(&self) -> usize {
        let spreads = self.spreads.values().map(|spread| spread.peers().count() + spread.trunks().count());
        let forwarders = self.forwarders.iter().map(Forwarder::held);
        forwarders.chain(spreads).sum::<usize>() + self.rooms.len()
    }

    pub(crate) fn stats(&self) -> impl Iterator<Item = &ForwarderStats> {
        self.forwarders.iter().map(Forwarder::stats)
    }

    fn measured<T: Default>(&mut self, act: impl FnOnce(&mut Server) -> T) -> T {
        let Some(meter) = self.meter else { return act(self) };
        let (mut act, mut result) = (Some(act), T::default());
        let more = meter(&mut || {
            if let Some(act) = act.take() {
                result = act(self);
            }
        });
        self.bytes += more;
        result
    }

    /// Tells a room what a forwarder has to say. Whether there was something.
    fn take_event(&mut self, now: Instant) -> bool {
        let mut forwarders = self.forwarders.iter_mut().enumerate();
        let event = forwarders.find_map(|(place, forwarder)| {
            let (room, event) = forwarder.poll_event()?;
            Some((ForwarderId(place as u64), room, event))
        });
        let Some((from, room, event)) = event else { return false };
        let event = self.spreads.get_mut(&room).and_then(|spread| spread.event(from, event));
        self.carry_out(now, room);
        if let (Some(event), Some(room)) = (event, self.rooms.get_mut(&room)) {
            room.event(now, event);
        }
        true
    }

    /// Does what a room wants done. Whether there was something.
    fn take_output(&mut self, now: Instant) -> bool {
        let output = self.rooms.iter_mut().find_map(|(id, room)| Some((id, room.poll_output()?)));
        let Some((id, output)) = output else { return false };
        match output {
            Output::Forward(command) => self.command(now, id, command),
            Output::Send { connection, frame } => {
                let bytes = match frame {
                    Frame::Binary(bytes) => bytes,
                    Frame::Text(text) => Bytes::from(text),
                };
                self.effects.push_back(Effect::Send(connection, bytes));
            }
            Output::Close { connection, code, .. } => {
                self.effects.push_back(Effect::Close(connection, code));
            }
            Output::RefreshToken { connection, .. } => {
                if let Some(room) = self.rooms.get_mut(&id) {
                    room.refreshed(connection, "token".to_owned());
                }
            }
            // Nobody outside listens.
            Output::Happened(_) => {}
            // Nobody calls methods here or is forwarded, and tokens ask for nothing.
            Output::RpcReply { .. }
            | Output::StartEgress(_)
            | Output::Recording { .. }
            | Output::Forwarded { .. }
            | Output::GuestGone { .. } => {}
            // Nobody here knocks or opens a meeting's own socket, and nothing outlives a room.
            Output::Admit { .. }
            | Output::Conducted(_)
            | Output::Account(_)
            | Output::Password(_)
            | Output::Breakout { .. }
            | Output::CloseBreakout { .. }
            | Output::Instruct { .. }
            | Output::PutOut { .. } => {}
            // Nobody here comes by an offer over HTTP.
            Output::Answered { .. } => {}
            // There is no relay in these networks.
            Output::RelayAllowed { .. } | Output::RelayRevoked { .. } => {}
            Output::Ended => {
                self.rooms.remove(&id);
                self.spreads.remove(&id);
            }
        }
        true
    }

    /// Takes what a forwarder has to say to another. Whether there was something.
    fn take_batch(&mut self) -> bool {
        let count = self.forwarders.len();
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            let names = (ForwarderId(from as u64), ForwarderId(to as u64));
            let Some(batch) = self.forwarders[from].poll_trunk(names.1) else { continue };
            let under_way = self.carried.entry(names).or_default();
            if *under_way < BATCHES {
                *under_way += 1;
                self.effects.push_back(Effect::Trunk(names.0, names.1, batch));
                return true;
            }
            self.forwarders[from].refuse_trunk(names.1, batch);
        }
        false
    }

    fn command(&mut self, now: Instant, room: RoomId, command: Command) {
        let Some(spread) = self.spreads.get_mut(&room) else { return };
        let mut others = (0..self.forwarders.len() as u64).map(ForwarderId);
        let parts: Vec<ForwarderId> = match command {
            Command::CreatePeer { .. } => spread.parts().collect(),
            _ => Vec::new(),
        };
        spread.command(command, || others.find(|id| !parts.contains(id)));
        self.carry_out(now, room);
    }

    fn carry_out(&mut self, now: Instant, room: RoomId) {
        while let Some((to, command)) = self.spreads.get_mut(&room).and_then(Spread::poll_command) {
            if let Command::Publish { track, .. } = &command {
                self.homes.insert(*track, to);
            }
            if let Some(forwarder) = self.forwarders.get_mut(to.0 as usize) {
                forwarder.handle_command(now, command, &mut self.outbox);
            }
        }
    }
}

/// Where a forwarder receives.
pub(crate) fn address(forwarder: ForwarderId) -> SocketAddr {
    let port = FIRST_PORT + forwarder.0 as u16;
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port))
}
