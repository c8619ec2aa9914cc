// SPDX-License-Identifier: EUPL-1.2
//! Every bound of a meeting, in one place.

use std::time::Duration;

/// What a meeting may grow to. At the defaults the texts of one full meeting stay below
/// 500 participants × (64 KiB metadata + 64 KiB attributes + 1 KiB names) = 65 MB, reached only on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Participants at one time; hidden ones and recorders count too.
    pub participants: usize,
    /// Places for people, where whoever made the meeting said so. Programs that serve or record it don't take one.
    pub seats: Option<usize>,
    /// Tracks of one participant at one time.
    pub tracks_per_participant: usize,
    /// Characters of an identity.
    pub identity_chars: usize,
    /// Characters of a display name, of a track's name and of a stream's name.
    pub name_chars: usize,
    /// Bytes of a participant's metadata.
    pub metadata_bytes: usize,
    /// Bytes of a participant's attributes, keys and values together.
    pub attributes_bytes: usize,
    /// How long a meeting waits for its first participant.
    pub empty_timeout: Duration,
    /// How long a meeting waits after its last participant left.
    pub departure_timeout: Duration,
    /// How long a meeting may last; `None` for as long as it likes.
    pub max_duration: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            participants: 500,
            seats: None,
            tracks_per_participant: 32,
            identity_chars: 256,
            name_chars: 256,
            metadata_bytes: 64 * 1024,
            attributes_bytes: 64 * 1024,
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_duration: None,
        }
    }
}

/// How often a bound or a rule held. Each is a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MeetingStats {
    /// Participants admitted.
    pub admitted: u64,
    /// Participants refused because the meeting was full or over.
    pub refused_full: u64,
    /// Texts refused by their size or characters.
    pub refused_text: u64,
    /// Tracks refused by permission or number.
    pub refused_tracks: u64,
    /// Participants replaced by a newer one of the same identity.
    pub replaced: u64,
}
