// SPDX-License-Identifier: EUPL-1.2
//! Why a meeting refuses something.

use crate::TrackSource;

/// A refusal: it changes nothing, and only the one who asked hears of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeetingError {
    /// A limit of [`crate::Limits`] would be passed.
    #[error("{what} has {actual} {unit}, at most {limit} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        actual: usize,
        /// The limit.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// The meeting has no place left.
    #[error("the meeting is full: {limit} participants are in it")]
    Full {
        /// How many it takes.
        limit: usize,
    },
    /// One participant publishes as many tracks as it may.
    #[error("{limit} tracks are published already, unpublish one first")]
    TooManyTracks {
        /// How many one may publish.
        limit: usize,
    },
    /// The meeting is over.
    #[error("the meeting has ended")]
    Ended,
    /// An identity, a name or an attribute has characters that could deceive a reader.
    #[error("{what} holds a control or text-direction character: {character:?}; remove it")]
    DeceptiveText {
        /// Which text.
        what: &'static str,
        /// The first such character.
        character: char,
    },
    /// An identity or a name that must not be empty is.
    #[error("{what} is empty")]
    Empty {
        /// Which text.
        what: &'static str,
    },
    /// The actor may not publish from this source.
    #[error("not allowed to publish {source_name}", source_name = .0.name())]
    MayNotPublish(TrackSource),
    /// The actor may not change its own name, metadata or attributes.
    #[error("not allowed to change the own name, metadata or attributes")]
    MayNotUpdateProfile,
    /// No such participant, or gone.
    #[error("no such participant")]
    NoParticipant,
    /// No such track, or not the actor's own.
    #[error("no such track")]
    NoTrack,
}
