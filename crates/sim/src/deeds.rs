// SPDX-License-Identifier: EUPL-1.2
//! What happens to people, and what some of them do to others.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use livekit_protocol as proto;
use parvis_peer::{Path, Protocol};
use parvis_sfu::ForwarderId;
use rand::RngExt;

use crate::bounds;
use crate::client::{Client, ClientId};
use crate::conference::{Conference, Happening, Withdrawn};
use crate::link::{Link, LinkModel};
use crate::server;

/// What a client may do to harm others. None of it may cost them anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// It reads neither its socket nor its data channels any more.
    StopsReading,
    /// It says that all that was sent to it arrived at once: a line without end.
    ClaimsAll,
    /// It never says what arrived.
    NeverAcknowledges,
    /// It asks for a thousand key frames a second.
    AsksForKeyFrames,
    /// It asks for a thousand packets a second again.
    AsksForPackets,
    /// Bits of what it sends are flipped on the way, in one of three packets.
    Mutates,
    /// It sends two hundred packets a second each of which is of a stream of its own, that nobody announced.
    InventsStreams,
    /// It sends and reports under the SSRCs of another one in its room.
    TakesSsrcs,
    /// It opens as many data channels as it can, and sends eight hundred reliable messages of a kilobyte a second and as many
    /// lossy ones.
    FloodsData,
}

/// What a moderator may give someone, and take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To publish tracks. A simulated client doesn't publish anew when it gets it back.
    Publish,
    /// To receive tracks.
    Subscribe,
    /// To send data messages.
    SendData,
}

impl Attack {
    /// All there are.
    pub const ALL: [Attack; 9] = [
        Attack::StopsReading,
        Attack::ClaimsAll,
        Attack::NeverAcknowledges,
        Attack::AsksForKeyFrames,
        Attack::AsksForPackets,
        Attack::Mutates,
        Attack::InventsStreams,
        Attack::TakesSsrcs,
        Attack::FloodsData,
    ];
}

impl Conference {
    /// Has a client turn against the others.
    pub fn attack(&mut self, id: ClientId, attack: Attack) {
        self.tell(id, &format!("attacks: {attack:?}"));
        let room = self.people.get(id.place()).map(|(room, _)| *room);
        let in_room = |(other, client): &(ClientId, &Client)| *other != id && Some(client.room) == room;
        let other = self.clients.iter().find(in_room);
        let ssrcs = other.map(|(_, client)| client.publishing.ssrcs()).unwrap_or_default();
        if let Some(client) = self.clients.get_mut(&id) {
            client.turn(attack, &ssrcs);
        }
        self.flooded.extend(room.filter(|_| attack == Attack::FloodsData));
    }

    /// Gives someone a right, or takes it away, as a moderator does by a call.
    pub fn permit(&mut self, id: ClientId, right: Right, given: bool) {
        self.tell(id, &format!("{} the right {right:?}", if given { "is given" } else { "loses" }));
        self.later(Duration::from_millis(1), Happening::Permit(id, right, given));
    }

    /// The server carries it out: from now on what was sent before is all that may come.
    pub(crate) fn permitted(&mut self, id: ClientId, right: Right, given: bool) {
        let Some((room, profile)) = self.people.get(id.place()).copied() else { return };
        let now = self.now;
        let changed = profile.with(right, given);
        let permission = proto::ParticipantPermission {
            can_publish: changed.may_publish,
            can_subscribe: changed.may_subscribe,
            can_publish_data: changed.may_send_data,
            hidden: changed.hidden,
            ..Default::default()
        };
        if !self.server.permit(now, room, format!("c{}", id.0), permission) {
            return;
        }
        self.note_right(id, right, given);
        self.settle();
    }

    /// What the checkers hold to be someone's right from now on.
    pub(crate) fn note_right(&mut self, id: ClientId, right: Right, given: bool) {
        let now = self.now;
        let Some((_, profile)) = self.people.get_mut(id.place()) else { return };
        let had = *profile != profile.with(right, false);
        *profile = profile.with(right, given);
        if had && !given {
            self.note_withdrawn(id, right);
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.profile = client.profile.with(right, given);
            client.disturbed = client.disturbed.max(now);
        }
    }

    fn note_withdrawn(&mut self, id: ClientId, right: Right) {
        let downs = self.links.iter().map(|wire| bounds::on_its_way(&wire.models[1], right));
        let until = self.now + downs.max().unwrap_or_default();
        let said = self.clients.get(&id).map_or(0, |client| client.data_sent);
        self.withdrawn.insert((id, right), Withdrawn { until, said });
        if right == Right::SendData {
            self.clients.iter_mut().for_each(|(_, client)| {
                client.receiver.silenced.insert(id, said);
            });
        }
    }

    /// Lets someone leave as clients do: by a message.
    pub fn leave(&mut self, id: ClientId) {
        self.tell(id, "leaves");
        self.disturb_others(id);
        if let Some(client) = self.clients.get_mut(&id) {
            client.requests.push(proto::signal_request::Message::Leave(proto::LeaveRequest::default()));
            self.send_requests(id);
        }
        self.clients.remove(&id);
    }

    /// Cuts a client's socket, and has it take its session up again by a new one after a while; one that
    /// never heard from the server joins anew.
    pub fn drop_socket(&mut self, id: ClientId, away: Duration) {
        self.tell(id, "loses its socket");
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(connection) = client.socket else { return };
        client.socket_lost();
        client.disturbed = client.disturbed.max(self.now + away);
        let room = client.room;
        self.sockets.remove(&connection);
        self.later(Duration::from_millis(5), Happening::Dropped(connection, room));
        if let Some(client) = self.clients.get_mut(&id) {
            client.resumes_at = Some(self.now + away);
        }
    }

    /// Moves a client's connections to new addresses, as a NAT or a change of network does.
    pub fn rebind(&mut self, id: ClientId) {
        self.tell(id, "moves to another address");
        let port = 20_000 + (self.fresh() % 20_000) as u16;
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.disturbed = client.disturbed.max(self.now);
        let connections = std::iter::once(&mut client.sending).chain(&mut client.receiving);
        for (place, connection) in connections.enumerate() {
            let owner = self.addresses.get(&connection.path.remote).copied();
            connection.path.remote.set_port(port + place as u16);
            connection.check_now(self.now);
            if let Some(owner) = owner {
                self.addresses.insert(connection.path.remote, owner);
            }
        }
    }

    /// Mutes all that a client sends, or unmutes it.
    pub fn mute(&mut self, id: ClientId, muted: bool) {
        self.tell(id, if muted { "mutes" } else { "unmutes" });
        if let Some(client) = self.clients.get_mut(&id) {
            client.mute(self.now, muted);
            self.send_requests(id);
        }
    }

    /// Has a client offer anew without its pictures.
    pub fn stop_pictures(&mut self, id: ClientId) {
        self.tell(id, "offers without its pictures");
        if let Some(client) = self.clients.get_mut(&id) {
            client.stop_pictures(self.now);
            self.send_requests(id);
        }
    }

    /// Has a client do nothing for a while. Its socket buffers fill, and overflow.
    pub fn freeze(&mut self, id: ClientId, time: Duration) {
        self.tell(id, &format!("freezes for {time:?}"));
        if let Some(client) = self.clients.get_mut(&id) {
            // What it sleeps through already comes when it was to come.
            client.frozen_until = client.frozen_until.max(Some(self.now + time));
            client.disturbed = client.disturbed.max(self.now + time);
        }
    }

    /// Has the server do nothing for a while.
    pub fn freeze_server(&mut self, time: Duration) {
        self.narrate_line(&format!("the server freezes for {time:?}"));
        // What is held already comes when it was to come: a later, shorter sleep would have what is sent now overtake it.
        self.server_frozen_until = self.server_frozen_until.max(Some(self.now + time));
        let until = self.now + time;
        self.clients.iter_mut().for_each(|(_, client)| client.disturbed = client.disturbed.max(until));
    }

    /// Gives a client's line other models.
    pub fn change_link(&mut self, id: ClientId, models: [LinkModel; 2]) {
        self.tell(id, &format!("has another line: {models:?}"));
        let seeds: [u64; 2] = self.random.random();
        let Some(wire) = self.links.get_mut(id.place()) else { return };
        wire.models = models;
        wire.links = [Link::new(models[0], seeds[0]), Link::new(models[1], seeds[1])];
        self.disturb_others(id);
        if let Some(client) = self.clients.get_mut(&id) {
            client.disturbed = client.disturbed.max(self.now);
            client.publishing.fit(models[0].rate);
        }
    }

    /// Has a client send so many times of what it should.
    pub fn be_greedy(&mut self, id: ClientId, greed: u32) {
        self.tell(id, &format!("sends {greed} times of what it should"));
        if let Some(client) = self.clients.get_mut(&id) {
            client.publishing.greed = greed;
            client.honest = false;
        }
    }

    /// Has everyone in a client's room show all pictures in this size from now on, as those do who have many on a page.
    pub fn watch(&mut self, id: ClientId, quality: proto::VideoQuality) {
        self.tell(id, &format!("and all in its room watch in {quality:?}"));
        let Some((room, _)) = self.people.get(id.place()).copied() else { return };
        let here: Vec<ClientId> =
            self.clients.iter().filter(|(_, client)| client.room == room).map(|(id, _)| id).collect();
        for id in here {
            if let Some(client) = self.clients.get_mut(&id) {
                client.watch(quality);
                self.send_requests(id);
            }
        }
    }

    /// Sends the server random bytes, of strangers and from a client's own address.
    pub fn send_garbage(&mut self, id: ClientId, datagrams: usize) {
        self.tell(id, &format!("sends {datagrams} datagrams of garbage, as do strangers"));
        let own = self.clients.get(&id).map(|client| client.sending.path);
        for _ in 0..datagrams {
            let bytes: usize = self.random.random_range(1..1400);
            let mut garbage: Vec<u8> = (0..bytes).map(|_| self.random.random()).collect();
            // Half of it looks like something.
            if self.random.random() {
                let looks = [0, 1, 22, 23, 128, 129, 144, 255];
                garbage[0] = looks[self.random.random_range(0..looks.len())];
            }
            let port = self.random.random();
            let stranger = SocketAddr::from((Ipv4Addr::new(203, 0, 113, self.random.random()), port));
            let local = server::address(ForwarderId(0));
            let strange = Path { protocol: Protocol::Udp, local, remote: stranger };
            let path = own.filter(|_| self.random.random()).unwrap_or(strange);
            self.later(Duration::from_millis(1), Happening::ToServer(path, garbage));
        }
    }
}
