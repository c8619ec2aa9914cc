// SPDX-License-Identifier: EUPL-1.2
//! One room's task: it owns the room's state machine, gives it time and inputs, and does what it says.

mod figures;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use livekit_protocol::DisconnectReason;
use parvis_meeting::assembly::AssemblyStats;
use parvis_sfu::{Command, ForwarderId, PeerId, RoomId, Spread};
use parvis_signal::{ConnectionId, Frame, Output, RecordingNews, Room, RoomStats, RpcError};
use tokio::sync::{mpsc, oneshot};

pub(crate) use figures::{figures, meeting_figures};

use crate::conduct::Parent;
use crate::felt::Felt;
use crate::rooms::{Hello, Input, MeetRefusal, Rooms};
use crate::rpc::RpcCall;
use crate::socket::Outgoing;
use crate::tenant::RoomKey;
use crate::whip::{Arrival, Bearer, Offers, Resource};

/// Inputs handled before outputs are sent: a burst becomes fewer, larger messages.
const INPUTS_AT_ONCE: usize = 32;
/// How long to wait before a command is tried again that the forwarder had no place for, …
const RETRY: Duration = Duration::from_millis(2);
/// … and how often until the room gives up.
const RETRIES: usize = 2_500;
/// How long a token lasts that a client gets in place of an older one: long enough to come back after the network was gone.
const REFRESHED_TOKEN: Duration = Duration::from_secs(600);

/// A room and what it holds of the outer world.
pub(crate) struct RoomTask {
    rooms: Arc<Rooms>,
    id: RoomId,
    key: RoomKey,
    room: Room,
    inbox: mpsc::Receiver<Input>,
    sockets: BTreeMap<ConnectionId, Outgoing>,
    /// Whose credentials the relay takes: revoked if the room ends without its own farewell.
    relayed: BTreeSet<Arc<str>>,
    /// Clients without a socket, and the requests of theirs that wait.
    offers: Offers,
    /// Where its peers live: closed if the room ends without its own farewell.
    spread: Spread,
    participants: Arc<AtomicUsize>,
    counted_participants: usize,
    counted: RoomStats,
    counted_meeting: AssemblyStats,
    felt: Felt,
    /// Its media is gone: it ends when its clients have been told.
    lost: bool,
    /// It has ended by itself, or was ended.
    over: bool,
    /// Who waits for the answer of a participant's method.
    calls: BTreeMap<u64, oneshot::Sender<Result<String, RpcError>>>,
    last_call: u64,
}

impl RoomTask {
    pub(crate) fn new(
        rooms: Arc<Rooms>,
        id: RoomId,
        key: RoomKey,
        participants: Arc<AtomicUsize>,
        inbox: mpsc::Receiver<Input>,
    ) -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
        let live = rooms.live();
        let (config, now) = (Arc::clone(&live.config.room), Instant::now());
        let mut room = Room::new(config, id, &key.name, rand::random(), now, unix_ms);
        room.conduct(now, rooms.meetings.open(&key, &live.config));
        for (identity, word) in rooms.meetings.words_in(&key) {
            room.instruct(now, &identity, word);
        }
        let home = rooms.forwarders.home(id);
        let spread = Spread::new(rooms.config.spread, id, home);
        let felt = Felt::new(&rooms.metrics.felt);
        RoomTask {
            rooms,
            id,
            key,
            room,
            inbox,
            sockets: BTreeMap::new(),
            relayed: BTreeSet::new(),
            offers: Offers::default(),
            spread,
            participants,
            counted_participants: 0,
            counted: RoomStats::default(),
            counted_meeting: AssemblyStats::default(),
            felt,
            lost: false,
            over: false,
            calls: BTreeMap::new(),
            last_call: 0,
        }
    }

    /// The room as it begins.
    pub(crate) fn describe(&self) -> livekit_protocol::Room {
        self.room.snapshot()
    }

    /// Runs until the room has ended.
    pub(crate) async fn run(mut self) {
        loop {
            let deadline = self.room.poll_timeout().map(tokio::time::Instant::from_std);
            let sleep = tokio::time::sleep_until(deadline.unwrap_or_else(far_future));
            tokio::select! {
                input = self.inbox.recv() => match input {
                    Some(input) => self.handle(input),
                    None => break,
                },
                () = sleep => self.room.handle_timeout(Instant::now()),
            }
            for _ in 1..INPUTS_AT_ONCE {
                let Ok(input) = self.inbox.try_recv() else { break };
                self.handle(input);
            }
            let ended = self.carry_out().await.is_break();
            self.count();
            if ended || self.lost {
                break;
            }
        }
        if self.over && !self.rooms.is_draining() {
            self.rooms.forget_ahead(&self.key);
        }
        // Who comes now finds no room of this name and makes a new one; who came already is told by the end of the inbox.
        self.rooms.forget(self.id);
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Connect { connection, join, trace, outgoing, reply } => {
                let result = self.room.connect(now, connection, *join);
                if result.is_ok() {
                    self.sockets.insert(connection, outgoing);
                    if let Some(trace) = trace {
                        self.felt.admitted(now, trace, self.room.peers_of(connection));
                    }
                }
                if reply.send(result).is_err() {
                    // Whoever asked has gone; the message that says so comes behind.
                    self.sockets.remove(&connection);
                }
            }
            Input::Meet { connection, hello, outgoing, reply } => {
                self.meet(now, connection, hello, outgoing, reply);
            }
            Input::Message(connection, Frame::Binary(bytes)) => self.room.message(now, connection, &bytes),
            Input::Message(connection, Frame::Text(text)) => self.room.text(now, connection, &text),
            Input::Disconnected(connection) => {
                self.sockets.remove(&connection);
                self.room.disconnected(now, connection);
            }
            Input::Offer(arrival) => self.take_offer(now, *arrival),
            Input::Restart { connection, ufrag, password, reply } => {
                let refused = match self.offers.wait(connection, reply) {
                    Ok(()) if self.room.restart_by_offer(now, connection, &ufrag, &password) => return,
                    Ok(()) => return self.offers.give_up(connection),
                    Err(refused) => refused,
                };
                let _ = refused.0.send(Err(refused.1));
            }
            Input::Candidates(connection, candidates) => self.room.candidates(now, connection, candidates),
            Input::HangUp(connection) => self.room.hang_up(now, connection),
            Input::Event(from, event) => {
                if let Some(event) = self.spread.event(from, event) {
                    self.felt.event(now, &event);
                    self.room.event(now, event);
                }
            }
            Input::Control { actor, control, reply } => {
                // Whoever asked may have gone; what was done stays done.
                let _ = reply.send(self.room.control(now, &actor, *control));
            }
            Input::Act(act) => act(&mut self.room, now),
            Input::Call(call) => {
                self.last_call += 1;
                let RpcCall { destination, method, payload, timeout, reply } = *call;
                self.calls.insert(self.last_call, reply);
                self.room.perform_rpc(now, &destination, &method, payload, timeout, self.last_call);
            }
            Input::CloseDoors => self.room.close_doors(),
            Input::Drain => self.room.drain(now),
            Input::MediaLost => {
                self.room.media_lost(now);
                self.lost = true;
            }
        }
    }

    /// Takes a socket of the meeting's own.
    fn meet(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        hello: Hello,
        outgoing: Outgoing,
        reply: oneshot::Sender<Result<(), MeetRefusal>>,
    ) {
        let result = match hello {
            Hello::Inside { identity, not_before } => {
                self.room.take_part(now, connection, &identity, not_before).map_err(MeetRefusal::from)
            }
            Hello::Outside { waiting } => {
                self.room.wait(now, connection, &waiting).map_err(MeetRefusal::from)
            }
        };
        if result.is_ok() {
            self.sockets.insert(connection, outgoing);
        }
        if reply.send(result).is_err() {
            // Whoever asked has gone; the message that says so comes behind.
            self.sockets.remove(&connection);
        }
    }

    /// Lets a client in that came by an offer, and lets it be found by the name of its session.
    fn take_offer(&mut self, now: Instant, arrival: Arrival) {
        let Arrival { connection, offer, bearer, mut seat, reply } = arrival;
        let identity = offer.grants.identity.clone();
        match self.room.connect_by_offer(now, connection, offer) {
            Ok(id) => {
                // Without a place in the register the room is about to go, and its clients with it.
                if let Some(inbox) = self.rooms.inbox_of(self.id) {
                    let room = self.key.clone();
                    let Bearer { hash: bearer, ingress } = bearer;
                    let resource = Resource { room, identity, bearer, connection, inbox, entity_tag: None };
                    seat.take(&id, resource);
                    if let Some(ingress) = ingress {
                        self.rooms.ingresses.expect(&id, &self.key.tenant, &ingress);
                    }
                }
                self.offers.begin(connection, id, seat, reply);
            }
            Err(error) => {
                // Whoever asked may have gone.
                let _ = reply.send(Err(error.into()));
            }
        }
    }

    /// Does what the room says, all of it.
    async fn carry_out(&mut self) -> ControlFlow<()> {
        // What an event of a forwarder's changed between forwarders.
        self.forward_spread().await?;
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Send { connection, frame } => self.send(connection, frame),
                Output::Close { connection, code, reason } => match self.sockets.remove(&connection) {
                    Some(outgoing) => outgoing.close(code, reason),
                    None => {
                        if let Some(session) = self.offers.closed(connection, reason) {
                            self.rooms.ingresses.forget(&session);
                        }
                    }
                },
                Output::Forward(command) => self.forward(command).await?,
                Output::RefreshToken { connection, grants } => {
                    let keys = &self.rooms.live().keys;
                    match keys.issue_for(&self.key.tenant, &self.key.name, &grants, REFRESHED_TOKEN) {
                        Ok(token) => self.room.refreshed(connection, token),
                        Err(error) => tracing::warn!(%error, "no fresh token"),
                    }
                }
                Output::Happened(occurrence) => self.rooms.happened(&self.key, *occurrence),
                Output::RpcReply { reply_id, result } => {
                    if let Some(reply) = self.calls.remove(&reply_id) {
                        let _ = reply.send(result);
                    }
                }
                Output::Forwarded { forward, view } => {
                    let view = view.map(|mut view| {
                        for stream in view.streams.values_mut().flatten() {
                            stream.at = self.spread.whereabouts(stream.track);
                        }
                        *view
                    });
                    self.rooms.tell_guest(forward, view);
                }
                Output::GuestGone { forward } => self.rooms.stop_forward(forward),
                Output::Recording { identity, news } => {
                    if let Some(engine) = self.rooms.egress_engine.get() {
                        engine.news(&identity, *news);
                    }
                }
                Output::StartEgress(egress) => {
                    let (rooms, key) = (Arc::clone(&self.rooms), self.key.clone());
                    tokio::spawn(async move {
                        rooms.record_by_itself(&key, *egress).await;
                    });
                }
                Output::Admit { connection, grants } => {
                    let live = self.rooms.live();
                    let (key, age) = (&self.key, live.config.guest_token);
                    match live.keys.issue_for(&key.tenant, &key.name, &grants, age) {
                        Ok(token) => self.room.admitted(connection, &token),
                        Err(error) => tracing::warn!(%error, "no token for somebody who was let in"),
                    }
                }
                Output::Conducted(record) => self.rooms.meetings.keep(&self.key, *record),
                Output::Account(account) => self.rooms.note_conducted(&self.key, *account),
                Output::Password(password) => self.rooms.set_password(&self.key, password),
                Output::Breakout { identity, breakout, grants } => {
                    let parent = self.parent();
                    let ticket = self.rooms.breakout_ticket(&parent, breakout.as_deref(), &grants);
                    if let Some(ticket) = ticket {
                        self.room.go_to(Instant::now(), &identity, breakout.as_deref(), &ticket);
                    }
                }
                Output::Instruct { identity, breakout, word } => {
                    self.rooms.instruct_breakout(&self.parent(), &breakout, identity, word);
                }
                Output::CloseBreakout { breakout } => {
                    self.rooms.close_breakouts(&self.key, Some(&breakout));
                }
                Output::PutOut { identity } => self.rooms.put_out_of_breakouts(&self.key, &identity),
                Output::RelayAllowed { sid } => {
                    if let Some(relays) = &self.rooms.config.relays {
                        relays.admit(&sid);
                        self.relayed.insert(sid);
                    }
                }
                Output::RelayRevoked { sid } => self.revoke(&sid),
                Output::Answered { connection, answer } => {
                    if !self.offers.answered(connection, answer) {
                        self.room.hang_up(Instant::now(), connection);
                    }
                }
                Output::Ended => {
                    self.over = true;
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// What this meeting gives to its breakout rooms.
    fn parent(&self) -> Parent {
        let policy = self.room.policy().clone();
        Parent { key: self.key.clone(), e2ee: self.room.is_e2ee(), policy }
    }

    fn send(&mut self, connection: ConnectionId, frame: Frame) {
        let Some(outgoing) = self.sockets.get(&connection) else { return };
        if !outgoing.send(frame) {
            // Its queue is full: what it missed can't be made good, so it starts over.
            self.sockets.remove(&connection);
            self.rooms.metrics.sockets_closed.with_label_values(&["slow"]).inc();
            self.room.disconnected(Instant::now(), connection);
        }
    }

    fn revoke(&mut self, sid: &str) {
        if let Some(relays) = self.rooms.config.relays.as_ref().filter(|_| self.relayed.remove(sid)) {
            relays.revoke(sid);
        }
    }

    /// Hands a command over, and what it takes between forwarders.
    async fn forward(&mut self, command: Command) -> ControlFlow<()> {
        self.felt.command(Instant::now(), &command);
        self.spread.command(command, || self.rooms.forwarders.open_part(self.id));
        self.forward_spread().await
    }

    async fn forward_spread(&mut self) -> ControlFlow<()> {
        while let Some((to, command)) = self.spread.poll_command() {
            self.hand_over(to, command).await?;
        }
        ControlFlow::Continue(())
    }

    /// Hands one command over, in order, and waits while the forwarder can't keep up.
    async fn hand_over(&self, to: ForwarderId, command: Command) -> ControlFlow<()> {
        let mut waiting = Box::new(command);
        for _ in 0..RETRIES {
            match self.rooms.forwarders.command(to, *waiting) {
                Ok(()) => return ControlFlow::Continue(()),
                Err(refused) => waiting = refused,
            }
            tokio::time::sleep(RETRY).await;
        }
        tracing::error!(
            room = self.id.0,
            forwarder = to.0,
            "the forwarder takes no commands; the room is given up"
        );
        self.rooms.metrics.rooms_lost.with_label_values(&["stalled"]).inc();
        ControlFlow::Break(())
    }
}

impl Drop for RoomTask {
    /// Also runs when the task was aborted, or panicked: nothing of the room stays behind.
    fn drop(&mut self) {
        self.rooms.forget(self.id);
        if self.rooms.id_of(&self.key).is_none() {
            self.rooms.meetings.closed(&self.key);
            self.rooms.close_breakouts(&self.key, None);
        }
        for occurrence in self.room.abandoned() {
            self.rooms.happened(&self.key, occurrence);
        }
        if let Some(engine) = self.rooms.egress_engine.get() {
            for identity in self.room.recorder_identities() {
                engine.news(&identity, RecordingNews::Gone(DisconnectReason::RoomClosed));
            }
        }
        self.rooms.end_forwards_of(self.id);
        self.offers.sessions().for_each(|session| self.rooms.ingresses.forget(session));
        while let Some(sid) = self.relayed.first().cloned() {
            self.revoke(&sid);
        }
        let peers: Vec<PeerId> = self.spread.peers().collect();
        for peer in peers {
            self.spread.command(Command::ClosePeer { peer }, || None);
        }
        while let Some((to, command)) = self.spread.poll_command() {
            // One that finds no place is found by the forwarder itself when its client falls silent.
            let _ = self.rooms.forwarders.command(to, command);
        }
        self.rooms.metrics.participants.sub(self.counted_participants as i64);
    }
}

fn far_future() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(3_600)
}
