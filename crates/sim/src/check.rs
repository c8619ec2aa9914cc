// SPDX-License-Identifier: EUPL-1.2
//! What must hold, whoever does what. Some of it is looked at where it happens (numbers that mislead a decoder, nonces,
//! messages in order), all else every quarter of a second over everyone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use parvis_sfu::{ForwarderId, RoomId, TrunkBatch, TrunkWord};

use crate::bounds::{self, Bounds};
use crate::client::{Client, ClientId, Sound};
use crate::conference::Conference;
use crate::deeds::Right;
use crate::link::LinkModel;
use crate::memory::{self, Person};
use crate::publish;

/// A reader that others wait for starts over after so long, see `RoomConfig::slow_reader`, and is held to have been one for as
/// long again.
const SLOW_READER_AFTER: Duration = Duration::from_secs(20);

/// How often each invariant was looked at: one that never was would hold by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checks {
    /// An encoder that was told to stop a layer, and did: its receivers keep their bounds all the same.
    pub saving: u64,
    /// What someone got, or is told of, against everyone's rooms and rights.
    pub rights: u64,
    /// The longest time without sound of one to another.
    pub sounds: u64,
    /// The longest time without a decoded picture.
    pub pictures: u64,
    /// The longest time without a decoded picture, over a line with a rate or with losses in bursts.
    pub narrow: u64,
    /// How long pictures are not sent to someone whose line has room for them.
    pub pauses: u64,
    /// The place of a reliable message behind the one before.
    pub messages: u64,
    /// A frame's true references, when its numbers called it decodable.
    pub references: u64,
    /// A packet of sound, or a decoded frame, against all that came of the same track before.
    pub repeats: u64,
    /// A packet on its way from one forwarder to another, against where its track is published.
    pub trunks: u64,
    /// A packet's key and nonce.
    pub nonces: u64,
    /// How much the server's tables hold.
    pub entries: u64,
    /// How many bytes the server holds, where they are measured.
    pub bytes: u64,
    /// That nothing is left at the end.
    pub leftovers: u64,
    /// What somebody was told of a meeting's conduct bit by bit, against the whole.
    pub assemblies: u64,
}

impl Checks {
    /// Each by its name.
    pub fn each(&self) -> [(&'static str, u64); 15] {
        [
            ("saving encoders", self.saving),
            ("rights", self.rights),
            ("gaps of sound", self.sounds),
            ("gaps of pictures", self.pictures),
            ("gaps of pictures on narrow lines", self.narrow),
            ("pauses", self.pauses),
            ("order of messages", self.messages),
            ("references", self.references),
            ("repeats", self.repeats),
            ("trunks", self.trunks),
            ("nonces", self.nonces),
            ("entries", self.entries),
            ("bytes", self.bytes),
            ("leftovers", self.leftovers),
            ("states of assemblies", self.assemblies),
        ]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Checks) {
        self.saving += other.saving;
        self.rights += other.rights;
        self.sounds += other.sounds;
        self.pictures += other.pictures;
        self.narrow += other.narrow;
        self.pauses += other.pauses;
        self.messages += other.messages;
        self.references += other.references;
        self.repeats += other.repeats;
        self.trunks += other.trunks;
        self.nonces += other.nonces;
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.leftovers += other.leftovers;
        self.assemblies += other.assemblies;
    }
}

/// What a look at everyone found.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    checks: Checks,
}

impl Found {
    fn push(&mut self, what: String) {
        self.wrong.push(what);
    }
}

impl Conference {
    /// Looks at everyone.
    pub(crate) fn check(&mut self) {
        let ids: Vec<ClientId> = self.clients.keys().collect();
        let mut found = Found::default();
        self.note_overfull(&ids);
        for id in &ids {
            let (mut news, mut told_to_leave, mut spoilt) = (false, None, Vec::new());
            if let Some(client) = self.clients.get_unmoved(id) {
                news = std::mem::take(&mut client.news);
                let wrong = client.receiver.wrong.drain(..).chain(client.failures.drain(..));
                found.wrong.extend(wrong.map(|what| format!("c{}: {what}", id.0)));
                let compared = std::mem::take(&mut client.receiver.compared);
                found.checks.messages += compared.messages;
                found.checks.references += compared.references;
                found.checks.repeats += compared.repeats;
                told_to_leave = client.told_to_leave.take().filter(|_| client.honest);
                spoilt = std::mem::take(&mut client.receiver.spoilt);
            }
            // Who invents streams for its own section takes its place from itself, time and again: what it sent before may
            // be taken for something new.
            spoilt
                .retain(|(whose, _)| !self.clients.get(whose).is_some_and(|whose| whose.publishing.invents));
            found.wrong.extend(spoilt.into_iter().map(|(_, what)| format!("c{}: {what}", id.0)));
            if let Some(leave) = told_to_leave.filter(|_| !self.may_fall_behind(*id)) {
                found.push(format!("c{} was told to leave: {:?}", id.0, leave.reason()));
            }
            let Some(client) = self.clients.get(id) else { continue };
            self.check_rights(client, &mut found);
            if news {
                self.check_roster(client, &mut found);
            }
            for publisher in ids.iter().filter(|publisher| *publisher != id) {
                if let Some(publisher) = self.clients.get(publisher) {
                    self.check_flow(publisher, client, &mut found);
                }
            }
            if let Some(client) = self.clients.get_unmoved(id) {
                client.receiver.looked_at();
            }
        }
        found.checks.entries += 1;
        let (held, most) = (self.held(), self.held_at_most());
        if held > most {
            found.push(format!("the server's tables hold {held} entries, {most} are their bound"));
        }
        if let Some(held) = self.bytes() {
            found.checks.bytes += 1;
            let most = self.bytes_at_most();
            if held > most {
                found.push(format!("the server holds {held} bytes, {most} are their bound"));
            }
        }
        self.checks.add(&found.checks);
        for what in found.wrong {
            self.fail(what);
        }
    }

    /// Whoever's line can't carry what the server may not leave away is out of count until a while after.
    fn note_overfull(&mut self, ids: &[ClientId]) {
        for id in ids {
            let (Some(client), Some([up, down])) = (self.clients.get(id), self.models(*id)) else { continue };
            // A flood of messages shares a line's queue with the media, by a congestion control of its own (SCTP's): neither
            // can be said to have a share.
            let flooded = self.flooded.contains(&client.room);
            let fits = client.publishing.fits(up.rate, client.profile.camera)
                && down.rate.is_none_or(|rate| !flooded && self.sound_bits(client) <= rate / 10 * 7);
            let now = self.now;
            if let Some(client) = self.clients.get_unmoved(id).filter(|_| !fits) {
                client.disturbed = client.disturbed.max(now);
            }
        }
    }

    /// Whether someone may be told to start over for reading too little of a flood of messages, as one does whose line has
    /// losses or a rate, or that was away a while ago.
    fn may_fall_behind(&self, id: ClientId) -> bool {
        let (Some(client), Some(lines)) = (self.clients.get(&id), self.models(id)) else { return false };
        let clean = |line: &LinkModel| bounds::is_still(line) && line.rate.is_none();
        self.flooded.contains(&client.room)
            && !(lines.iter().all(clean) && client.disturbed + SLOW_READER_AFTER < self.now)
    }

    /// The sound of all others, which is never left away, in bits a second.
    fn sound_bits(&self, receiver: &Client) -> u64 {
        let bits =
            |client: &Client| publish::sound_bits(client.profile.sound) * u64::from(client.publishing.greed);
        self.others(receiver).map(bits).sum()
    }

    /// All others of a room who send.
    fn others<'a>(&'a self, receiver: &'a Client) -> impl Iterator<Item = &'a Client> {
        let others = self.clients.iter().map(|(_, client)| client);
        others.filter(move |client| {
            client.room == receiver.room
                && client.id != receiver.id
                && client.profile.may_publish
                && !client.muted
        })
    }

    fn bytes_at_most(&self) -> i64 {
        let mut rooms: BTreeMap<RoomId, Vec<Person>> = BTreeMap::new();
        for (place, (room, profile)) in self.people.iter().enumerate() {
            let id = ClientId::at(place);
            let greed = self.clients.get(&id).map_or(1, |client| client.publishing.greed);
            let flooded = self.flooded.contains(room);
            rooms.entry(*room).or_default().push(Person { greed, camera: profile.camera, flooded });
        }
        memory::most(rooms.into_values(), self.server.forwarders(), self.passed())
    }

    /// Nothing of one room in another, nothing to or of someone without the right to it.
    fn check_rights(&self, client: &Client, found: &mut Found) {
        let who = client.id.0;
        found.checks.rights += client.receiver.got.len() as u64;
        for (from, got) in &client.receiver.got {
            let Some((room, profile)) = self.people.get(from.place()) else {
                found.push(format!("c{who} got something of nobody: {from:?}"));
                continue;
            };
            if *room != client.room {
                found.push(format!("c{who} of {:?} got something of c{} of {room:?}", client.room, from.0));
            }
            if *from == client.id {
                found.push(format!("c{who} got what it sent itself"));
            }
            let media = got.sound.last.max(got.picture.last);
            let (publishes, receives) = ((*from, Right::Publish), (client.id, Right::Subscribe));
            let forbidden = self.is_late(media, profile.may_publish, publishes)
                || self.is_late(media, client.profile.may_subscribe, receives);
            if forbidden {
                found.push(format!("c{who} got media of c{} without the right to it", from.0));
            }
            let said = self.withdrawn.get(&(*from, Right::SendData)).map(|withdrawn| withdrawn.said);
            // Those that have numbers may wait for long; but what it said since has a higher number.
            let numbered = client.receiver.last_message(*from) > said.unwrap_or_default();
            if !profile.may_send_data && numbered
                || self.is_late(got.last_lossy, profile.may_send_data, (*from, Right::SendData))
            {
                found.push(format!("c{who} got messages of c{}, who may send none", from.0));
            }
        }
    }

    /// Whether what last came to a receiver needed a right that was not `given`, or was taken away longer ago than what was sent
    /// before can take.
    fn is_late(&self, last: Option<Instant>, given: bool, whose: (ClientId, Right)) -> bool {
        let until = self.withdrawn.get(&whose).map(|withdrawn| withdrawn.until);
        !given && last.is_some_and(|last| until.is_none_or(|until| last > until))
    }

    /// Nobody is told of someone elsewhere, or of one who is hidden. Who may be seen never changes: it is enough to look when
    /// one is told.
    fn check_roster(&self, client: &Client, found: &mut Found) {
        let who = client.id.0;
        found.checks.rights += client.roster.len() as u64;
        for identity in client.roster.keys() {
            let person = identity.strip_prefix('c').and_then(|id| id.parse().ok()).map(ClientId);
            let known = person.and_then(|person| self.people.get(person.place()));
            if !known.is_some_and(|(room, profile)| *room == client.room && !profile.hidden) {
                found.push(format!("c{who} is told of {identity}"));
            }
        }
    }

    /// What is sent arrives, with no gap beyond its bound.
    fn check_flow(&self, publisher: &Client, receiver: &Client, found: &mut Found) {
        let (from, to) = (publisher.profile, receiver.profile);
        let expected = !publisher.muted
            && publisher.room == receiver.room
            && (from.may_publish && to.may_subscribe)
            && (publisher.honest && receiver.honest);
        let away = |client: &Client| client.frozen_until.is_some() || client.closed_by_server;
        if !expected || away(publisher) || away(receiver) {
            return;
        }
        let lines = self.models(publisher.id).zip(self.models(receiver.id));
        let Some(bounds) = lines.map(|(from, to)| Bounds::of(from, to, publisher.publishing.slower())) else {
            return;
        };
        let begin = publisher.disturbed.max(receiver.disturbed) + bounds.start;
        if begin > self.now {
            return;
        }
        let tracks = receiver.roster.get(&publisher.identity()).into_iter().flatten();
        let told = tracks.filter_map(|track| receiver.paused.get(track)).max().copied();
        let (paused, since) = told.map_or((false, None), |(paused, since)| (paused, Some(since)));
        let got = receiver.receiver.got.get(&publisher.id).copied().unwrap_or_default();
        let (who, whose) = (receiver.id.0, publisher.id.0);
        found.checks.saving += u64::from(publisher.publishing.saves());
        found.checks.sounds += 1;
        let discontinuous = from.sound == Sound::Discontinuous;
        let most = bounds.sound + if discontinuous { bounds.silence } else { Duration::ZERO };
        let silent = got.sound.silent(begin, self.now);
        if silent > most {
            found.push(format!("c{who} has not heard c{whose} for {silent:?}, {most:?} are its bound"));
        }
        if !from.camera {
            return;
        }
        if !paused {
            // After a pause pictures begin as they did at first.
            let begin = since.map_or(begin, |since| begin.max(since + bounds.start));
            let blind = got.picture.silent(begin, self.now);
            found.checks.pictures += u64::from(begin <= self.now);
            found.checks.narrow += u64::from(begin <= self.now && bounds.narrow);
            if blind > bounds.picture {
                found.push(format!(
                    "c{who} has decoded no picture of c{whose} for {blind:?}, {:?} are its bound",
                    bounds.picture
                ));
            }
        }
        if self.has_room(receiver) {
            found.checks.pauses += 1;
            let lasts = self.now.saturating_duration_since(since.map_or(begin, |since| since.max(begin)));
            let pause = if paused { lasts } else { Duration::ZERO };
            if pause > bounds.pause {
                found.push(format!(
                    "c{who} is sent no picture of c{whose} for {pause:?} though its line has room, {:?} are its bound",
                    bounds.pause
                ));
            }
        }
    }

    /// Whether a receiver's line loses nothing and carries twice what the sound and the lowest layers of all take.
    fn has_room(&self, receiver: &Client) -> bool {
        let Some(lines @ [_, down]) = self.models(receiver.id) else { return false };
        let shown = self.others(receiver).filter(|client| client.profile.camera);
        let pictures: u64 =
            shown.map(|client| publish::lowest_layer_bits() * u64::from(client.publishing.greed)).sum();
        let wanted = self.sound_bits(receiver) + pictures;
        lines.iter().all(bounds::is_still) && down.rate.is_none_or(|rate| wanted <= rate / 2)
    }

    /// No two trunks loop: a packet leaves by one from where its track is published and from nowhere else, so that what came
    /// by a trunk never leaves by one.
    pub(crate) fn check_trunk(&mut self, from: ForwarderId, to: ForwarderId, batch: &TrunkBatch) {
        let packets = batch.words().filter(|(_, _, word)| matches!(word, TrunkWord::Packet(_)));
        let mut astray = BTreeSet::new();
        for (_, track, _) in packets {
            self.checks.trunks += 1;
            let home = self.server.home(track);
            if home != Some(from) || home == Some(to) {
                astray.insert((track, home));
            }
        }
        for (track, home) in astray {
            self.fail(format!("{track:?}, published at {home:?}, goes from {from:?} to {to:?}"));
        }
    }

    /// Everyone leaves, and the meetings' time is over: nothing may be left.
    pub fn finish(&mut self) {
        let ids: Vec<ClientId> = self.clients.keys().collect();
        for id in ids {
            self.leave(id);
        }
        // A meeting ends 20 s after its last participant left; a room that nobody entered, after 300 s.
        let idle = Duration::from_secs(400);
        self.run_for(idle);
        self.idle += idle;
        self.checks.leftovers += 1;
        let held = self.held();
        if held > 0 {
            let stats = format!("{:?}", self.stats().collect::<Vec<_>>());
            self.fail(format!("{held} entries are left after everyone has gone: {stats}"));
        }
        let most = memory::left(self.server.forwarders());
        if let Some(bytes) = self.bytes().filter(|bytes| *bytes > most) {
            self.fail(format!("{bytes} bytes are left after everyone has gone, {most} are their bound"));
        }
    }
}
