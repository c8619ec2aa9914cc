// SPDX-License-Identifier: EUPL-1.2
//! Breakout rooms: rooms of their own, for some of a meeting's people. Only those whom the meeting sends there know the name; it is no door
//! for anybody else. What people do there besides sound and pictures stays the meeting's: the meeting's own socket, opened for a breakout room,
//! is one of its meeting, by which they are sent on and back, hear how long they have, and ask for help.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parvis_meeting::assembly::{AssemblyLimits, Ban, ChatPolicy, Founding, Policy, Record, Role, Successor};
use parvis_signal::{Actor, Conduct, Grants, Instruction, Room};
use serde_json::{Value, json};

use super::{Meetings, lock};
use crate::rooms::Rooms;
use crate::tenant::RoomKey;

/// How long the token for the other room holds: a client connects at once, and tries for a while if its network is bad.
const TOKEN: Duration = Duration::from_secs(600);
/// How long those in a breakout room that is over have to come back by themselves.
const WAY_BACK: Duration = Duration::from_secs(10);
/// Bytes of 22 characters of a name.
const NAME_BYTES: usize = 16;

/// A breakout room.
#[derive(Debug, Clone)]
pub(super) struct Breakout {
    parent: RoomKey,
    id: String,
    e2ee: bool,
    policy: Policy,
    /// Who was removed from the meeting, and is so from here.
    out: BTreeSet<String>,
    /// What the meeting said last of those who were sent here; as many as its bounds let be assigned.
    words: BTreeMap<String, Instruction>,
}

/// What a meeting gives to its breakout rooms.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) key: RoomKey,
    pub(crate) e2ee: bool,
    pub(crate) policy: Policy,
}

/// All breakout rooms that there are; of each meeting as many as its bounds allow.
pub(super) type Breakouts = HashMap<RoomKey, Breakout>;

impl Meetings {
    /// The room of a meeting's breakout. From its name nobody gets to another one.
    fn breakout(&self, parent: &Parent, id: &str) -> RoomKey {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.pepper));
        for part in ["parvis breakout", parent.key.tenant.as_str(), &parent.key.name, id] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let tag = mac.sign();
        let name = URL_SAFE_NO_PAD.encode(tag.as_ref().get(..NAME_BYTES).unwrap_or(tag.as_ref()));
        let key = RoomKey::new(&parent.key.tenant, &name);
        lock(&self.breakouts).entry(key.clone()).or_insert_with(|| Breakout {
            parent: parent.key.clone(),
            id: id.to_owned(),
            e2ee: parent.e2ee,
            policy: Policy {
                lobby: false,
                locked: false,
                password: false,
                opens_with_host: false,
                // Those who are sent there speak. What each may do the meeting says, also after its policy has changed; and it
                // alone has moderators.
                default_role: Role::Speaker,
                chat: match parent.policy.chat {
                    ChatPolicy::Off => ChatPolicy::Moderators,
                    chat => chat,
                },
                files: true,
                successor: Successor::Nobody,
                ..parent.policy.clone()
            },
            out: BTreeSet::new(),
            words: BTreeMap::new(),
        });
        key
    }

    /// Whether that is a breakout room, into which nobody comes but by the word of its meeting.
    pub(super) fn is_breakout(&self, key: &RoomKey) -> bool {
        lock(&self.breakouts).contains_key(key)
    }

    /// Whose breakout room it is, if it is one.
    pub(crate) fn meeting_of(&self, key: &RoomKey) -> Option<RoomKey> {
        lock(&self.breakouts).get(key).map(|breakout| breakout.parent.clone())
    }

    /// Whether those in a breakout room alone have its key.
    pub(super) fn is_e2ee_breakout(&self, key: &RoomKey) -> bool {
        lock(&self.breakouts).get(key).is_some_and(|breakout| breakout.e2ee)
    }

    /// How a breakout room is conducted: as its meeting is, without a door.
    pub(super) fn conduct_breakout(&self, key: &RoomKey, limits: &Arc<AssemblyLimits>) -> Option<Conduct> {
        let breakouts = lock(&self.breakouts);
        let breakout = breakouts.get(key)?;
        let bans = breakout.out.iter().enumerate().map(|(number, identity)| Ban {
            id: number.to_string(),
            identity: identity.clone(),
            name: String::new(),
            seat: None,
            address: None,
        });
        let record = Record { policy: breakout.policy.clone(), bans: bans.collect(), ..Record::default() };
        Some(Conduct {
            limits: Arc::clone(limits),
            founding: Founding { title: String::new(), e2ee: breakout.e2ee, owned: false },
            policy: breakout.policy.clone(),
            record: Some(record),
        })
    }

    /// What the meeting said last of those who were sent to a breakout room.
    pub(crate) fn words_in(&self, key: &RoomKey) -> Vec<(String, Instruction)> {
        let breakouts = lock(&self.breakouts);
        let words = breakouts.get(key).into_iter().flat_map(|breakout| &breakout.words);
        words.map(|(identity, word)| (identity.clone(), *word)).collect()
    }

    fn word_on(&self, key: &RoomKey, identity: &str) -> Option<Instruction> {
        lock(&self.breakouts).get(key)?.words.get(identity).copied()
    }

    fn breakouts_of(&self, parent: &RoomKey, id: Option<&str>) -> Vec<RoomKey> {
        let breakouts = lock(&self.breakouts);
        let own = breakouts.iter().filter(|(_, breakout)| breakout.parent == *parent);
        let wanted = own.filter(|(_, breakout)| id.is_none_or(|id| breakout.id == id));
        wanted.map(|(key, _)| key.clone()).collect()
    }
}

impl Rooms {
    /// The way into a breakout room of a meeting, or back into the meeting.
    pub(crate) fn breakout_ticket(
        &self,
        parent: &Parent,
        id: Option<&str>,
        grants: &Grants,
    ) -> Option<Value> {
        let key = id.map_or_else(|| parent.key.clone(), |id| self.meetings.breakout(parent, id));
        match self.live().keys.issue_for(&key.tenant, &key.name, grants, TOKEN) {
            Ok(token) => Some(json!({ "room": key.name, "token": token, "identity": grants.identity })),
            Err(error) => {
                tracing::warn!(%error, "no token for a breakout room");
                None
            }
        }
    }

    /// What a meeting says of somebody in one of its breakout rooms: done there now, and when they come there.
    pub(crate) fn instruct_breakout(
        self: &Arc<Self>,
        parent: &Parent,
        id: &str,
        identity: String,
        word: Instruction,
    ) {
        let key = self.meetings.breakout(parent, id);
        if let Some(breakout) = lock(&self.meetings.breakouts).get_mut(&key) {
            // What was turned off once is not off for ever.
            breakout.words.insert(identity.clone(), Instruction { off: None, ..word });
        }
        let rooms = Arc::clone(self);
        tokio::spawn(async move {
            let register = Arc::clone(&rooms);
            let place = key.clone();
            let told = move |room: &mut Room, now: Instant| {
                // Two words may overtake each other on the way here: what was said last holds.
                if let Some(last) = register.meetings.word_on(&place, &identity) {
                    room.instruct(now, &identity, Instruction { off: word.off, ..last });
                }
            };
            rooms.ask(&key, told).await;
        });
    }

    /// A breakout room of a meeting is over, or all of them with it. Those in it have a moment to go back by themselves.
    pub(crate) fn close_breakouts(self: &Arc<Self>, parent: &RoomKey, id: Option<&str>) {
        for key in self.meetings.breakouts_of(parent, id) {
            let rooms = Arc::downgrade(self);
            // Whoever still came by a token of before would find a room without rules: it is forgotten when its tokens are dead.
            tokio::spawn(async move {
                tokio::time::sleep(WAY_BACK).await;
                end(&rooms, &key).await;
                tokio::time::sleep(TOKEN).await;
                end(&rooms, &key).await;
                if let Some(rooms) = rooms.upgrade() {
                    lock(&rooms.meetings.breakouts).remove(&key);
                }
            });
        }
    }

    /// Somebody was removed from a meeting: from its breakout rooms as well, also from those that come to be later.
    pub(crate) fn put_out_of_breakouts(self: &Arc<Self>, parent: &RoomKey, identity: &str) {
        for key in self.meetings.breakouts_of(parent, None) {
            if let Some(breakout) = lock(&self.meetings.breakouts).get_mut(&key) {
                breakout.out.insert(identity.to_owned());
            }
            let (rooms, identity) = (Arc::clone(self), identity.to_owned());
            tokio::spawn(async move {
                rooms.ask(&key, move |room, now: Instant| room.expel(now, &identity)).await;
            });
        }
    }
}

async fn end(rooms: &Weak<Rooms>, key: &RoomKey) {
    if let Some(rooms) = rooms.upgrade() {
        // One in which nobody is has ended by itself.
        let _ = rooms.delete(key, &Actor::default()).await;
    }
}
