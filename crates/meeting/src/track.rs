// SPDX-License-Identifier: EUPL-1.2
//! Published tracks, and who may have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ParticipantId, TrackId};

/// One published track, as far as a meeting's rules need it.
#[derive(Debug, Clone)]
pub struct Track {
    /// Its name in the meeting.
    pub id: TrackId,
    /// Whose it is.
    pub publisher: ParticipantId,
    /// What it shows or lets hear.
    pub source: TrackSource,
    /// Whether it is silent.
    pub muted: bool,
    /// Whether others know of it: its media section has come up.
    pub announced: bool,
    pub(crate) subscribers: BTreeSet<ParticipantId>,
}

impl Track {
    /// Those who receive it.
    pub fn subscribers(&self) -> impl ExactSizeIterator<Item = ParticipantId> + '_ {
        self.subscribers.iter().copied()
    }
}

/// What a track shows or lets hear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrackSource {
    /// Not said.
    #[default]
    Unknown,
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A screen, a window or a tab.
    ScreenShare,
    /// The sound of a screen share.
    ScreenShareAudio,
}

impl TrackSource {
    /// Its name in tokens and in messages to people.
    pub fn name(self) -> &'static str {
        match self {
            TrackSource::Unknown => "unknown",
            TrackSource::Camera => "camera",
            TrackSource::Microphone => "microphone",
            TrackSource::ScreenShare => "screen_share",
            TrackSource::ScreenShareAudio => "screen_share_audio",
        }
    }

    /// The source of that name.
    pub fn from_name(name: &str) -> Option<TrackSource> {
        [
            TrackSource::Unknown,
            TrackSource::Camera,
            TrackSource::Microphone,
            TrackSource::ScreenShare,
            TrackSource::ScreenShareAudio,
        ]
        .into_iter()
        .find(|source| source.name() == name)
    }
}

/// Whom a publisher lets have its tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRules {
    /// Everyone may have everything; the rest then says nothing.
    pub everyone: bool,
    /// By identity, so that a rule outlives a reconnect.
    pub by_identity: BTreeMap<String, TrackRule>,
}

/// What one identity may have of a publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrackRule {
    /// Every track.
    pub all_tracks: bool,
    /// These tracks.
    pub tracks: BTreeSet<TrackId>,
}

impl Default for SubscriptionRules {
    fn default() -> Self {
        SubscriptionRules { everyone: true, by_identity: BTreeMap::new() }
    }
}

impl SubscriptionRules {
    /// Whether that identity may have that track.
    pub fn allow(&self, identity: &str, track: TrackId) -> bool {
        self.everyone
            || self
                .by_identity
                .get(identity)
                .is_some_and(|rule| rule.all_tracks || rule.tracks.contains(&track))
    }
}
