// SPDX-License-Identifier: EUPL-1.2
//! Who is in a meeting, and what they may do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::{ParticipantId, SubscriptionRules, TrackId, TrackSource};

/// One participant, as the meeting knows it.
#[derive(Debug, Clone)]
pub struct Participant {
    /// Its name in the meeting.
    pub id: ParticipantId,
    /// Who it is; unique among those present.
    pub identity: String,
    /// What it shows of itself.
    pub profile: Profile,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What it may do.
    pub permissions: Permissions,
    /// How far it has come.
    pub state: State,
    /// Grows with each change that others can see.
    pub version: u32,
    /// When it was admitted.
    pub joined_at: Instant,
    /// Whether it wants every track that it doesn't refuse.
    pub auto_subscribe: bool,
    /// What it answered to being recorded; `None` before.
    pub consent: Option<Consent>,
    pub(crate) tracks: BTreeSet<TrackId>,
    pub(crate) wishes: BTreeMap<TrackId, bool>,
    /// What it wanted and was told that it may not have.
    pub(crate) barred: BTreeSet<TrackId>,
    pub(crate) subscribed: BTreeSet<TrackId>,
    pub(crate) rules: SubscriptionRules,
}

impl Participant {
    /// The tracks that it publishes, announced or not.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> + '_ {
        self.tracks.iter().copied()
    }

    /// The tracks that it receives.
    pub fn subscribed(&self) -> impl Iterator<Item = TrackId> + '_ {
        self.subscribed.iter().copied()
    }

    /// Whether recorders may have its tracks where people are asked. A program is not asked, and silence is no consent.
    pub(crate) fn may_be_recorded(&self) -> bool {
        self.consent.map_or(!self.kind.is_asked(), |consent| consent.given)
    }

    /// Whether it is there to take part: others see it, and it counts.
    pub fn counts(&self) -> bool {
        !self.permissions.hidden && self.kind.keeps_open()
    }
}

/// An answer to being recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// Whether it agreed.
    pub given: bool,
    /// When it said so.
    pub at: Instant,
}

/// What a participant shows of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its display name.
    pub name: String,
    /// The application's own text.
    pub metadata: String,
    /// The application's own keys and values.
    pub attributes: BTreeMap<String, String>,
}

/// What a participant changes of its profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileUpdate {
    /// The new name; `None` keeps the old one.
    pub name: Option<String>,
    /// The new metadata; `None` keeps the old.
    pub metadata: Option<String>,
    /// Attributes to be set; an empty value removes its key, others stay.
    pub attributes: BTreeMap<String, String>,
}

/// What kind of thing takes part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person's client.
    #[default]
    Standard,
    /// Only sends: a stream from elsewhere.
    Ingress,
    /// Only receives: a recording.
    Egress,
    /// A telephone.
    Sip,
    /// A program that serves the meeting.
    Agent,
    /// A link to another system.
    Connector,
    /// A link to another meeting.
    Bridge,
}

impl Kind {
    /// Whether its presence keeps a meeting from ending: a recording alone does not.
    pub fn keeps_open(self) -> bool {
        !matches!(self, Kind::Egress | Kind::Agent)
    }

    /// Whether there is somebody behind it whom a recording takes consent of. A telephone's caller, too: nobody has asked it.
    pub fn is_asked(self) -> bool {
        !matches!(self, Kind::Egress | Kind::Agent | Kind::Ingress)
    }
}

/// What a participant may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Publish tracks.
    pub can_publish: bool,
    /// Publish from these sources only; empty for any.
    pub can_publish_sources: BTreeSet<TrackSource>,
    /// Receive tracks.
    pub can_subscribe: bool,
    /// Send data messages.
    pub can_publish_data: bool,
    /// Change its own name, metadata and attributes.
    pub can_update_profile: bool,
    /// Receive what others' clients measure.
    pub can_subscribe_metrics: bool,
    /// Others don't see it.
    pub hidden: bool,
    /// It records: others are told that a recording goes on.
    pub recorder: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Permissions {
            can_publish: true,
            can_publish_sources: BTreeSet::new(),
            can_subscribe: true,
            can_publish_data: true,
            can_update_profile: false,
            can_subscribe_metrics: false,
            hidden: false,
            recorder: false,
        }
    }
}

impl Permissions {
    /// Whether a track from this source may be published. A list of sources is exact: `Unknown` is not in it.
    pub fn may_publish(&self, source: TrackSource) -> bool {
        self.can_publish
            && (self.can_publish_sources.is_empty() || self.can_publish_sources.contains(&source))
    }
}

/// How far a participant has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Admitted, not told yet.
    Joining,
    /// Told of the meeting; its media connection comes up.
    Joined,
    /// Its media connection is up.
    Active,
}

/// Why a participant is no longer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaveReason {
    /// It said so.
    Client,
    /// A newer participant has its identity.
    Replaced,
    /// Someone with the right to do so removed it.
    Removed,
    /// The meeting ended.
    Ended,
    /// Its media connection never came up.
    JoinFailed,
    /// Its connection was lost and not resumed in time.
    ConnectionLost,
    /// Its media connection failed.
    MediaFailed,
    /// It broke the protocol or a limit.
    Violation,
    /// The server stops.
    Shutdown,
    /// It starts over with a fresh connection, and will be back at once.
    Reconnect,
    /// It goes on in another meeting.
    Moved,
}
