// SPDX-License-Identifier: EUPL-1.2
//! Time that goes on: what is due, whom it reaches, and what that sets off.

use std::hash::Hash;
use std::time::Instant;

use livekit_protocol as proto;
use parvis_meeting::Permissions;
use parvis_peer::Path;
use parvis_signal::Grants;
use prost::Message;
use rand::RngExt;

use super::{
    CHECK_EVERY, Conference, HEADER_BYTES, Happening, SOCKET_BUFFER, SPARE, STILL_HAPPENINGS, TRUNK_DELAY,
};
use crate::client::{Client, ClientId};
use crate::deeds::Attack;
use crate::server::Effect;

impl Conference {
    /// Who wants to be woken at once.
    pub(super) fn who_waits(&mut self) -> String {
        let mut waits = self.server.who_waits(self.now);
        waits.extend(self.clients.due(self.now).iter().map(|id| format!("c{}", id.0)));
        if let Some(at) = self.under_way.next().filter(|at| *at <= self.now) {
            waits.push(format!("a datagram or message of {:?} ago", self.now - at));
        }
        waits.join(", ")
    }

    pub(super) fn next(&mut self) -> Option<Instant> {
        let under_way = self.under_way.next();
        let clients = self.clients.next(self.now);
        let server = self.server.poll_timeout(self.now);
        let server = server.map(|at| self.server_frozen_until.map_or(at, |frozen| at.max(frozen)));
        [under_way, clients, server, Some(self.next_check)].into_iter().flatten().min()
    }

    /// Everything that is due now.
    pub(super) fn step(&mut self) {
        if self.server_frozen_until.is_some_and(|until| until <= self.now) {
            self.server_frozen_until = None;
        }
        let (mut held, mut happened) = (0, 0);
        while happened < STILL_HAPPENINGS
            && let Some(what) = self.under_way.pop_due(self.now)
        {
            happened += 1;
            self.happen(what, &mut held);
        }
        if happened == STILL_HAPPENINGS && self.under_way.next().is_some_and(|at| at <= self.now) {
            self.fail(format!("time stands still: {STILL_HAPPENINGS} arrivals at once and more"));
        }
        if self.server_frozen_until.is_none() && self.server.handle_timeout(self.now) {
            self.settle();
        }
        for id in self.clients.due(self.now) {
            self.act(id);
        }
        if self.next_check <= self.now {
            self.next_check = self.now + CHECK_EVERY;
            self.check();
        }
    }

    pub(super) fn act(&mut self, id: ClientId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.frozen_until = client.frozen_until.filter(|until| *until > now);
        if client.resumes_at.is_some_and(|at| at <= now) {
            let resume = !client.sid.is_empty();
            self.open_socket(id, resume);
        }
        let mut out = std::mem::take(&mut self.out);
        if let Some(client) = self.clients.get_mut(&id) {
            client.act(now, &mut out);
        }
        for (path, bytes) in out.drain(..) {
            self.launch(id, path, &bytes, true);
            self.recycle(bytes);
        }
        self.out = out;
        self.send_requests(id);
    }

    pub(super) fn happen(&mut self, what: Happening, held: &mut usize) {
        let now = self.now;
        if let Some(until) = self.server_frozen_until.filter(|_| what.is_for_server()) {
            *held += usize::from(matches!(what, Happening::ToServer(..)));
            if *held <= SOCKET_BUFFER {
                let number = self.fresh();
                self.under_way.insert(until, number, what);
            }
            return;
        }
        match what {
            Happening::ToServer(path, mut bytes) => {
                self.server.datagram(now, path, &mut bytes);
                self.recycle(bytes);
                self.settle();
            }
            Happening::ToClient(id, path, mut bytes) => {
                let awake = |client: &&mut Client| client.frozen_until.is_none_or(|until| until <= now);
                if let Some(client) = self.clients.get_unmoved(&id).filter(awake)
                    && client.datagram(now, path, &mut bytes)
                {
                    self.clients.touch(id);
                }
                self.recycle(bytes);
            }
            Happening::Connect(id, connection, params) => {
                let Some((room, profile)) = self.people.get(id.place()).copied() else { return };
                let permissions = Permissions {
                    can_publish: profile.may_publish,
                    can_subscribe: profile.may_subscribe,
                    can_publish_data: profile.may_send_data,
                    hidden: profile.hidden,
                    ..Permissions::default()
                };
                let grants = Grants { permissions, ..Grants::of(&format!("c{}", id.0)) };
                match self.server.connect(now, room, connection, (&grants, &params)) {
                    Some(Ok(())) => self.settle(),
                    Some(Err(error)) => self.fail(format!("c{} was refused: {error}", id.0)),
                    None => self.fail(format!("c{} comes to a room that has ended", id.0)),
                }
            }
            Happening::Request(connection, room, bytes) => {
                self.server.message(now, room, connection, &bytes);
                self.settle();
            }
            Happening::Dropped(connection, room) => {
                self.server.disconnected(now, room, connection);
                self.settle();
            }
            Happening::Permit(id, right, given) => self.permitted(id, right, given),
            Happening::Trunk(from, to, batch) => {
                self.server.trunk(now, from, to, batch);
                self.settle();
            }
            Happening::Response(connection, bytes) => {
                let Some(client) = self.sockets.get(&connection).and_then(|id| self.clients.get_mut(id))
                else {
                    return;
                };
                if client.attack == Some(Attack::StopsReading) {
                    return;
                }
                if let Some(until) = client.frozen_until.filter(|until| *until > now) {
                    let number = self.fresh();
                    self.under_way.insert(until, number, Happening::Response(connection, bytes));
                    return;
                }
                let response =
                    proto::SignalResponse::decode(bytes).ok().and_then(|response| response.message);
                if let Some(response) = response {
                    client.message(now, response);
                    client.wake = true;
                }
            }
            Happening::Closed(connection) => {
                if let Some(client) =
                    self.sockets.remove(&connection).and_then(|id| self.clients.get_mut(&id))
                {
                    client.socket_lost();
                    client.closed_by_server = true;
                }
            }
        }
    }

    pub(crate) fn send_requests(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.wake = false;
        let (Some(connection), room) = (client.socket, client.room) else { return };
        for request in std::mem::take(&mut client.requests) {
            let bytes = proto::SignalRequest { message: Some(request) }.encode_to_vec();
            self.by_socket(id, 0, Happening::Request(connection, room, bytes));
        }
    }

    /// Puts a datagram on a client's line.
    fn launch(&mut self, id: ClientId, path: Path, bytes: &[u8], to_server: bool) {
        let mutates = |client: &Client| client.attack == Some(Attack::Mutates);
        let mutated = to_server && !bytes.is_empty() && self.clients.get(&id).is_some_and(mutates);
        let Some(wire) = self.links.get_mut(id.place()) else { return };
        if !to_server && wire.withheld_until.is_some_and(|until| self.now < until) {
            return;
        }
        let link = &mut wire.links[usize::from(!to_server)];
        for at in link.send(self.now, bytes.len() + HEADER_BYTES).into_iter().flatten() {
            self.last_id += 1;
            let mut bytes = self.copy(bytes);
            if mutated && self.random.random_range(0..3) == 0 {
                for _ in 0..self.random.random_range(1..8) {
                    let bit = self.random.random_range(0..bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            let what = if to_server {
                Happening::ToServer(path, bytes)
            } else {
                Happening::ToClient(id, path, bytes)
            };
            self.under_way.insert(at, self.last_id, what);
        }
    }

    /// The same bytes, in memory that has served before.
    fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(bytes);
        copy
    }

    fn recycle(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(bytes);
        }
    }

    /// Passes on what the server has to send and to say, until nothing moves.
    pub(crate) fn settle(&mut self) {
        while let Some(effect) = self.server.poll(self.now) {
            self.send_outbox();
            match effect {
                Effect::Send(connection, bytes) => {
                    self.note(bytes.len(), &bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>());
                    let bytes = self.server.hand_out(bytes);
                    if let Some(id) = self.sockets.get(&connection).copied() {
                        self.by_socket(id, 1, Happening::Response(connection, bytes));
                    }
                }
                Effect::Close(connection, code) => {
                    self.note(usize::from(code), &connection.0);
                    if let Some(id) = self.sockets.get(&connection).copied() {
                        self.by_socket(id, 1, Happening::Closed(connection));
                    }
                }
                Effect::Trunk(from, to, batch) => {
                    self.check_trunk(from, to, &batch);
                    self.later(TRUNK_DELAY, Happening::Trunk(from, to, batch));
                }
            }
        }
        self.send_outbox();
    }

    pub(super) fn send_outbox(&mut self) {
        if self.server.outbox.is_empty() {
            return;
        }
        let mut outbox = std::mem::take(&mut self.server.outbox);
        for (path, bytes) in outbox.iter() {
            path.hash(&mut self.trace);
            self.note(bytes.len(), bytes);
            self.packets += 1;
            let Some((id, key)) = self.addresses.get(&path.remote).copied() else { continue };
            self.checks.nonces += 1;
            if let Some(reuse) = self.nonces.on(key, bytes) {
                self.fail(reuse);
            }
            self.launch(id, path, bytes, false);
        }
        outbox.clear();
        self.server.outbox = outbox;
    }

    pub(super) fn note(&mut self, what: usize, content: &(impl Hash + ?Sized)) {
        (self.now - self.start).hash(&mut self.trace);
        what.hash(&mut self.trace);
        content.hash(&mut self.trace);
    }
}
