// SPDX-License-Identifier: EUPL-1.2
//! What happened in the room, one JSON object a line; sealed like the tracks, for it says who was there.

use serde::{Deserialize, Serialize};

/// A line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds since the recording's start; negative for what was so before it.
    pub at: i64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The first line of each run.
    Room {
        /// The room's name.
        room: String,
    },
    /// Somebody came.
    Joined {
        /// The participant's id, new with each join.
        participant: String,
        /// The identity, the same when somebody comes back.
        identity: String,
        /// The name.
        name: String,
    },
    /// Somebody went.
    Left {
        /// The participant's id.
        participant: String,
    },
    /// Somebody is called otherwise.
    Renamed {
        /// The participant's id.
        participant: String,
        /// The new name.
        name: String,
    },
    /// A track came.
    Published {
        /// The track's id.
        track: String,
        /// Its name.
        name: String,
        /// Whose it is.
        participant: String,
    },
    /// A track went.
    Unpublished {
        /// The track's id.
        track: String,
    },
    /// A track was muted or unmuted.
    Muted {
        /// The track's id.
        track: String,
        /// Whether it is muted now.
        muted: bool,
    },
    /// Somebody agreed to being recorded, or does so no more.
    Consent {
        /// The participant's id.
        participant: String,
        /// Agreed, or refused.
        given: bool,
    },
    /// Who speaks, the loudest first; holds until the next such line.
    Speakers {
        /// The participants' ids.
        participants: Vec<String>,
    },
    /// The layer of a track that is captured changed.
    Layer {
        /// The track's id.
        track: String,
        /// Width in samples, where known.
        width: Option<u32>,
        /// Height in samples, where known.
        height: Option<u32>,
    },
    /// Somebody wrote something to all. In a file of its own, as is what follows.
    Chat {
        /// Its number.
        message: u64,
        /// The participant's id.
        participant: String,
        /// The identity.
        identity: String,
        /// Their name then.
        name: String,
        /// What.
        text: String,
    },
    /// A message before it was taken back. It stands only in files of workers that were killed.
    ChatRetracted {
        /// Its number.
        message: u64,
    },
    /// What somebody said from then on was written down.
    Caption {
        /// The participant's id.
        participant: String,
        /// In which track, where that is known.
        track: Option<String>,
        /// Until when, in microseconds since the recording's start.
        until: i64,
        /// What.
        text: String,
    },
}
