// SPDX-License-Identifier: EUPL-1.2
//! How the room is conducted: the [`Assembly`] decides who comes in and who may do what, and here it is done. [`door`] lets people
//! in or has them wait, [`sockets`] carries the meeting's own messages, [`presence`] tells who is there, [`enforce`] does what was
//! decided to sessions and tracks: what somebody may not do is not left to their client.
//!
//! Decisions are carried out when outputs are taken ([`Room::poll_output`]), so that all that one burst of inputs changes is one message for
//! each person.

mod door;
mod enforce;
mod presence;
mod sockets;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_meeting::assembly::{Assembly, AssemblyLimits, AssemblyStats, Facts, Founding, Policy, Record};

use super::{ConnectionId, Room};
use crate::RoomConfig;

pub(super) use door::Outside;
pub use door::{Caller, NoPlace};

/// Close codes of the meeting's sockets, of those that are left to applications (RFC 6455 section 7.4.2): another socket of the same person
/// has taken this one's place, …
pub(super) const CLOSE_REPLACED: u16 = 4001;
/// … and who it says to be is not let in, or no more.
pub(super) const CLOSE_REFUSED: u16 = 4003;

/// What identities of guests begin with: we make their tokens, by our own clock and at the meeting's own door.
const GUEST: &str = "guest-";

/// How long a socket of the meeting may be there without its person, who may be on the way in, or back in.
const ABSENT: Duration = Duration::from_secs(30);
/// How long somebody who was let in while the socket was gone may take to come back for it.
const FETCHED: Duration = Duration::from_secs(60);

/// What a room is conducted by.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// How large it may become.
    pub limits: Arc<AssemblyLimits>,
    /// What it was made as.
    pub founding: Founding,
    /// What holds in it at first.
    pub policy: Policy,
    /// How it stood when it was open the last time, if it was.
    pub record: Option<Record>,
}

/// The meeting behind the sessions.
#[derive(Debug)]
pub(super) struct Conducted {
    pub(super) assembly: Assembly,
    e2ee: bool,
    /// The socket of each person.
    sockets: BTreeMap<String, MeetingSocket>,
    by_connection: BTreeMap<ConnectionId, Side>,
    /// Those who wait, by their secret.
    outside: BTreeMap<String, Outside>,
    /// Who has come in and was not told of yet.
    entered: BTreeSet<String>,
    /// When it was last heard who speaks.
    heard_at: Option<Instant>,
    /// When the last input came.
    pub(super) now: Instant,
}

#[derive(Debug)]
struct MeetingSocket {
    connection: ConnectionId,
    /// Since when nobody of this identity is in the room.
    absent_since: Option<Instant>,
}

/// Which side of the door a socket is on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// In the room, by identity.
    Inside(String),
    /// Outside, by the secret.
    Outside(String),
}

impl Conducted {
    /// As rooms are that nobody made anything else of.
    pub(super) fn new(config: &RoomConfig, now: Instant) -> Conducted {
        let founding = Founding { title: String::new(), e2ee: false, owned: false };
        Conducted {
            assembly: Assembly::new(limits_for(&config.assembly, config), founding, config.policy.clone()),
            e2ee: false,
            sockets: BTreeMap::new(),
            by_connection: BTreeMap::new(),
            outside: BTreeMap::new(),
            entered: BTreeSet::new(),
            heard_at: None,
            now,
        }
    }

    /// When something of it is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let absent = self.sockets.values().filter_map(|socket| Some(socket.absent_since? + ABSENT));
        let gone = self.outside.values().filter_map(|outside| Some(outside.gone_since? + FETCHED));
        absent.chain(gone).chain(self.assembly.poll_timeout()).min()
    }
}

/// The limits for rooms of that configuration: whom the room takes the meeting knows.
fn limits_for(limits: &Arc<AssemblyLimits>, config: &RoomConfig) -> Arc<AssemblyLimits> {
    let people = config.meeting.participants;
    if limits.people >= people {
        return Arc::clone(limits);
    }
    let people_remembered = limits.people_remembered.max(people);
    Arc::new(AssemblyLimits { people, people_remembered, ..AssemblyLimits::clone(limits) })
}

impl Room {
    /// Says how the room is conducted, before anybody is in it or at its door.
    pub fn conduct(&mut self, now: Instant, conduct: Conduct) {
        let Conduct { limits, founding, policy, record } = conduct;
        self.conducted.e2ee = founding.e2ee;
        let limits = limits_for(&limits, &self.config);
        self.conducted.assembly = match record {
            Some(record) => Assembly::restore(limits, founding, record),
            None => Assembly::new(limits, founding, policy),
        };
        self.settle(now);
    }

    /// What may be known of the meeting from outside.
    pub fn facts(&self) -> Facts {
        self.conducted.assembly.facts()
    }

    /// Whether nobody but its people can know what is said in it.
    pub fn is_e2ee(&self) -> bool {
        self.conducted.e2ee
    }

    /// Counters of how it is conducted.
    pub fn assembly_stats(&self) -> AssemblyStats {
        self.conducted.assembly.stats()
    }

    /// Sees to it that a meeting doesn't end for want of people for which somebody waits, or of which all are in breakout rooms.
    pub(super) fn hold_for_members(&mut self, now: Instant) {
        let assembly = &self.conducted.assembly;
        let held = assembly.waiting() > 0 || assembly.members().len() > 0;
        self.meeting.hold_open(now, held);
    }

    /// The moment, in the words that people are told of it.
    fn clock(&self, now: Instant) -> u64 {
        u64::try_from(self.unix_ms(now)).unwrap_or_default()
    }

    /// Does what is due of it.
    pub(super) fn conduct_timeouts(&mut self, now: Instant) {
        let unix_ms = self.clock(now);
        self.conducted.assembly.handle_timeout(now, unix_ms);
        self.drop_absent(now);
        self.forget_waiting(now);
    }
}
