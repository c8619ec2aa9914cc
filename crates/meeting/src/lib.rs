// SPDX-License-Identifier: EUPL-1.2
//! What a meeting is: who is in it, what they publish, who receives what, and how long it lasts. It knows no wire
//! format, no socket and no clock.
//!
//! **The invariant:** a subscription exists exactly when the track is announced, the subscriber has joined, may
//! subscribe, is allowed by the publisher, and wants it; a recorder's moreover takes the publisher's consent where the
//! meeting asks for that. Every method restores this before it returns; what changed
//! is told by [`Room::poll_event`]. The actor of every method is a [`ParticipantId`] that the caller took from its
//! own session, never from a message.
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//! use parvis_meeting::{Admission, Event, Limits, Room, State, TrackSource};
//!
//! let now = Instant::now();
//! let mut room = Room::new(Arc::new(Limits::default()), now);
//! let ada = room.admit(now, Admission::of("ada")).unwrap();
//! let bob = room.admit(now, Admission::of("bob")).unwrap();
//! room.set_state(ada, State::Joined);
//! room.set_state(bob, State::Joined);
//! let camera = room.publish(ada, TrackSource::Camera, false).unwrap();
//! room.announce(camera);
//! let events: Vec<Event> = std::iter::from_fn(|| room.poll_event()).collect();
//! assert!(events.iter().any(|event| matches!(event,
//!     Event::Subscribed { subscriber, track } if *subscriber == bob && *track == camera)));
//! ```

pub mod assembly;
mod error;
mod event;
pub mod features;
mod id;
mod limits;
mod participant;
mod room;
pub mod text;
mod track;

pub use error::MeetingError;
pub use event::{EndReason, Event};
pub use id::{ParticipantId, TrackId};
pub use limits::{Limits, MeetingStats};
pub use participant::{Consent, Kind, LeaveReason, Participant, Permissions, Profile, ProfileUpdate, State};
pub use room::{Admission, Room};
pub use track::{SubscriptionRules, Track, TrackRule, TrackSource};
