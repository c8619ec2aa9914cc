// SPDX-License-Identifier: EUPL-1.2
//! What people are shown: which parts of the state changed for whom, and the snapshots and patches that say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::list::Slot;
use super::{Assembly, Member, Policy, Queued, Rights, Role};
use crate::features::{Audience, CommandError, Notice};

/// Parts of a state that are no feature's, in the order in which they stand there.
const OWN_KEYS: [&str; 4] = ["you", "room", "members", "lobby"];
const YOU: usize = 0;
const ROOM: usize = 1;
const MEMBERS: usize = 2;
const LOBBY: usize = 3;

/// What has changed since people were last told, part by part.
#[derive(Debug)]
pub(super) struct Stale {
    parts: Vec<Audiences>,
    /// Whether somebody is to be sent the whole.
    whole: bool,
}

#[derive(Debug, Default)]
struct Audiences {
    everyone: bool,
    moderators: bool,
    these: BTreeSet<String>,
}

impl Stale {
    pub(super) fn of(features: &[Slot]) -> Stale {
        let parts = OWN_KEYS.len() + features.len();
        Stale { parts: std::iter::repeat_with(Audiences::default).take(parts).collect(), whole: false }
    }

    pub(super) fn you(&mut self, identity: &str) {
        self.add(YOU, Audience::These(vec![identity.to_owned()]));
    }

    pub(super) fn room(&mut self) {
        self.add(ROOM, Audience::Everyone);
    }

    pub(super) fn members(&mut self) {
        self.add(MEMBERS, Audience::Everyone);
    }

    pub(super) fn lobby(&mut self) {
        self.add(LOBBY, Audience::Moderators);
    }

    pub(super) fn feature(&mut self, place: usize, changes: Vec<Audience>) {
        for audience in changes {
            self.add(OWN_KEYS.len() + place, audience);
        }
    }

    pub(super) fn someone_whole(&mut self) {
        self.whole = true;
    }

    /// There is nobody any more to be told.
    pub(super) fn gone(&mut self, identity: &str) {
        for part in &mut self.parts {
            part.these.remove(identity);
        }
    }

    fn add(&mut self, part: usize, audience: Audience) {
        let Some(part) = self.parts.get_mut(part) else { return };
        match audience {
            Audience::Everyone => part.everyone = true,
            Audience::Moderators => part.moderators = true,
            Audience::These(identities) => part.these.extend(identities),
        }
    }

    fn is_empty(&self) -> bool {
        self.parts.iter().all(Audiences::is_empty)
    }

    fn concerns(&self, part: usize, member: &Member) -> bool {
        self.parts.get(part).is_some_and(|part| {
            part.everyone
                || (part.moderators && member.is_moderator())
                || part.these.contains(&member.identity)
        })
    }
}

impl Audiences {
    fn is_empty(&self) -> bool {
        !self.everyone && !self.moderators && self.these.is_empty()
    }
}

/// A value as JSON; `null` for one that has no such form, which none of ours is.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// The message that tells what passes.
pub(super) fn event(notice: &Notice) -> String {
    json(&json!({ "event": notice }))
}

/// The message that answers a command.
pub(super) fn answer(id: Option<u64>, result: &Result<Value, CommandError>) -> String {
    json(&match result {
        Ok(value) => json!({ "answer": { "id": id, "ok": value } }),
        Err(error) => json!({ "answer": { "id": id, "error": error } }),
    })
}

impl Queued {
    pub(super) fn is_told_to(&self, whom: &str) -> bool {
        matches!(self, Queued::Told { identity, .. } | Queued::LastWord { identity, .. } if identity == whom)
    }
}

/// What was written in one round already: views of one part that are alike, and whether they are of all of it.
type Written = BTreeMap<(usize, bool, u64), Rc<str>>;

impl Assembly {
    /// Writes what changed for those who are connected. Says whether there was anything.
    pub(super) fn write_states(&mut self) -> bool {
        let patches = !self.stale.is_empty() && self.may_patch();
        if !patches && !self.stale.whole {
            return false;
        }
        let mut written = Written::new();
        let mut states = Vec::new();
        for (identity, inside) in &self.inside {
            let (Some(socket), Some(member)) = (&inside.socket, self.members.get(identity)) else { continue };
            if let Some(state) = self.state_for(member, socket.whole, patches, &mut written) {
                let kind = if socket.whole { "snapshot" } else { "patch" };
                let version = socket.version + 1;
                let message = format!("{{\"{kind}\":{{\"version\":{version},\"state\":{{{state}}}}}}}");
                states.push((identity.clone(), message));
            }
        }
        for (identity, message) in states {
            if let Some(socket) = self.inside.get_mut(&identity).and_then(|inside| inside.socket.as_mut()) {
                socket.version += 1;
                let whole = std::mem::replace(&mut socket.whole, false);
                *(if whole { &mut self.stats.snapshots } else { &mut self.stats.patches }) += 1;
            }
            self.queue.push_back(Queued::Told { identity, message });
        }
        self.stale.whole = false;
        if patches {
            self.patched_at = self.last.map(|at| at.now);
            for (part, slot) in self.stale.parts.iter().skip(OWN_KEYS.len()).zip(&mut self.features) {
                if !part.is_empty() {
                    slot.feature.patched();
                }
            }
            self.stale.parts.iter_mut().for_each(|part| *part = Audiences::default());
        }
        true
    }

    /// The inside of one person's state, or of what changed of it; nothing if that is nothing.
    fn state_for(
        &self,
        member: &Member,
        whole: bool,
        patches: bool,
        written: &mut Written,
    ) -> Option<String> {
        let mut state = String::new();
        for part in 0..self.stale.parts.len() {
            let concerned = whole || (patches && self.stale.concerns(part, member));
            let Some(key) = self.key(part).filter(|_| concerned) else { continue };
            let Some(value) = self.part_for(part, member, whole, written) else { continue };
            let comma = if state.is_empty() { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(state, "{comma}\"{key}\":{value}");
        }
        (!state.is_empty()).then_some(state)
    }

    fn key(&self, part: usize) -> Option<&'static str> {
        OWN_KEYS.get(part).copied().or_else(|| self.features.get(part - OWN_KEYS.len())?.key)
    }

    fn part_for(&self, part: usize, member: &Member, whole: bool, written: &mut Written) -> Option<Rc<str>> {
        let conducts = member.is_moderator();
        let class = match part {
            YOU => None,
            ROOM => Some(0),
            MEMBERS => Some(u64::from(conducts)),
            LOBBY if conducts => Some(0),
            LOBBY => return None,
            feature => self.features.get(feature - OWN_KEYS.len())?.feature.view_class(member),
        };
        if let Some(alike) = class.and_then(|class| written.get(&(part, whole, class))) {
            return Some(alike.clone());
        }
        let value: Rc<str> = match part {
            YOU => json(&You { identity: &member.identity, role: member.role, rights: member.rights }),
            ROOM => json(&self.room_view()),
            MEMBERS => json(&self.members_view(conducts)),
            LOBBY => json(&self.lobby_view()),
            feature => self.features.get(feature - OWN_KEYS.len())?.feature.view(member, whole),
        }
        .into();
        if let Some(class) = class {
            written.insert((part, whole, class), value.clone());
        }
        Some(value)
    }

    fn room_view(&self) -> RoomView<'_> {
        let owner = self.founding.owned;
        RoomView { title: &self.founding.title, e2ee: self.founding.e2ee, owner, policy: &self.policy }
    }

    fn members_view(&self, conducts: bool) -> MembersView<'_> {
        let listed = self.members.iter().filter(|(_, member)| member.is_moderator());
        let banned =
            self.bans.iter().map(|ban| Known { id: &ban.id, name: &ban.name, since_ms: None, note: None });
        MembersView {
            roles: listed.map(|(identity, member)| (identity.as_str(), member.role)).collect(),
            spotlight: &self.spotlight,
            viewers: self.members.values().filter(|member| member.role == Role::Viewer).count(),
            banned: conducts.then(|| banned.collect()),
        }
    }

    fn lobby_view(&self) -> LobbyView<'_> {
        let known = self.lobby.seen().map(|place| Known {
            id: &place.id,
            name: &place.name,
            since_ms: Some(place.since_ms),
            note: Some(place.note.as_str()).filter(|note| !note.is_empty()),
        });
        LobbyView { waiting: known.collect() }
    }

    /// Whether it is time for patches: the more people are connected, the longer is the time between two.
    fn may_patch(&self) -> bool {
        match (self.next_patches(), self.last) {
            (Some(due), Some(at)) => due <= at.now,
            _ => true,
        }
    }

    fn next_patches(&self) -> Option<Instant> {
        let connected = self.inside.values().filter(|inside| inside.socket.is_some()).count();
        let beyond = u32::try_from(connected).unwrap_or(u32::MAX).saturating_sub(self.limits.patch_free);
        let pause = self.limits.patch_pace.checked_mul(beyond).unwrap_or(Duration::MAX);
        self.patched_at?.checked_add(pause)
    }

    /// When patches are due for which it was not time yet.
    pub(super) fn patches_due(&self) -> Option<Instant> {
        if self.stale.is_empty() { None } else { self.next_patches() }
    }
}

#[derive(Serialize)]
struct You<'a> {
    identity: &'a str,
    role: Role,
    rights: Rights,
}

#[derive(Serialize)]
struct RoomView<'a> {
    title: &'a str,
    e2ee: bool,
    owner: bool,
    policy: &'a Policy,
}

#[derive(Serialize)]
struct MembersView<'a> {
    roles: BTreeMap<&'a str, Role>,
    spotlight: &'a [String],
    viewers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    banned: Option<Vec<Known<'a>>>,
}

#[derive(Serialize)]
struct LobbyView<'a> {
    waiting: Vec<Known<'a>>,
}

#[derive(Serialize)]
struct Known<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}
