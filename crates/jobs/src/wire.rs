// SPDX-License-Identifier: EUPL-1.2
//! The messages between server and worker, version 1.
//!
//! Each side says [`Hello`] first, the worker at once and the server in answer; the higher of the versions that both know
//! is spoken. Then the worker says `Ready`, the server `Start`, the worker `Started`. Sources may come at any time after
//! that. The last message is the worker's: `Stopped` or `Failed`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::encoders::EncoderNote;
use crate::live::{Live, LiveLayout, LiveProgress, Segment};
use crate::names::{Codec, Kind, Origin, Profile, SrtpKey, UnixMicros};

/// The newest version of the protocol that this build speaks.
pub const NEWEST_VERSION: u16 = 1;
/// The oldest one.
pub const OLDEST_VERSION: u16 = 1;

/// Which versions of the protocol a side speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest.
    pub oldest: u16,
    /// The newest.
    pub newest: u16,
    /// The build, for logs: `parvis-media 0.1.0`.
    pub software: String,
}

/// Two sides that have no version in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the other side speaks versions {oldest} to {newest} of the job protocol, this one {OLDEST_VERSION} to \
     {NEWEST_VERSION}: install server and worker of the same release"
)]
pub struct VersionError {
    /// The other side's oldest.
    pub oldest: u16,
    /// The other side's newest.
    pub newest: u16,
}

impl Hello {
    /// What this build says.
    pub fn ours(software: &str) -> Hello {
        Hello { oldest: OLDEST_VERSION, newest: NEWEST_VERSION, software: software.to_owned() }
    }

    /// The version to speak with the side that said this.
    pub fn agree(&self) -> Result<u16, VersionError> {
        let version = self.newest.min(NEWEST_VERSION);
        if version < self.oldest.max(OLDEST_VERSION) {
            return Err(VersionError { oldest: self.oldest, newest: self.newest });
        }
        Ok(version)
    }
}

/// What the server tells a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToWorker {
    /// Which versions the server speaks.
    Hello(Hello),
    /// What to do. Once, before anything else that is not `Hello`.
    Start(Box<Start>),
    /// A track is to be captured from now on. Its packets may come before this; they are dropped.
    Source(Box<Source>),
    /// A track was unpublished, or is no longer to be captured.
    SourceEnded {
        /// Which.
        track: String,
        /// When.
        at: UnixMicros,
    },
    /// Somebody is there.
    Joined {
        /// Who.
        participant: Participant,
        /// Since when.
        at: UnixMicros,
    },
    /// Somebody left. Whoever comes back joins anew.
    Left {
        /// The participant's id.
        participant: String,
        /// When.
        at: UnixMicros,
    },
    /// Somebody has another name.
    Renamed {
        /// The participant's id.
        participant: String,
        /// The new name.
        name: String,
        /// When.
        at: UnixMicros,
    },
    /// A track was muted or unmuted.
    Muted {
        /// Which.
        track: String,
        /// Muted, or not any more.
        muted: bool,
        /// When.
        at: UnixMicros,
    },
    /// Somebody agreed to being recorded, or does so no more: evidence. What is not to be captured never comes.
    Consent {
        /// The participant's id.
        participant: String,
        /// Agreed, or refused.
        given: bool,
        /// When; before the job began, too.
        at: UnixMicros,
    },
    /// Who speaks now, the loudest first. Said when it changes.
    Speakers {
        /// The participants' ids.
        participants: Vec<String>,
        /// When.
        at: UnixMicros,
    },
    /// A source now comes in another layer. Numbers and timestamps go on without a seam.
    LayerChanged {
        /// Which track.
        track: String,
        /// Its width in samples, where known.
        width: Option<u32>,
        /// Its height in samples, where known.
        height: Option<u32>,
        /// When.
        at: UnixMicros,
    },
    /// What the room's people wrote to all, where the room allows that it is kept. A worker that is started anew is told all that is
    /// to be kept of the whole job right after `Start`: what it keeps takes the place of what those before it kept.
    Chat {
        /// In the order in which they wrote it.
        messages: Vec<Message>,
    },
    /// A message was taken back. Nothing is left of it in the end.
    ChatRetracted {
        /// Its number.
        message: u64,
        /// When.
        at: UnixMicros,
    },
    /// What somebody said was written down.
    Caption {
        /// The participant's id.
        participant: String,
        /// In which track, where that is known.
        #[serde(default)]
        track: Option<String>,
        /// What.
        text: String,
        /// Since when they said it.
        from: UnixMicros,
        /// Until when.
        at: UnixMicros,
    },
    /// A sender report of the source's sender (RFC 3550 section 6.4.1), with `ntp` as the *server's* clock had it: senders'
    /// clocks are not ours, and tracks of several senders meet in one file set.
    SenderReport {
        /// Which track.
        track: String,
        /// The RTP timestamp as the worker sees it, after whatever the server rewrote.
        rtp_timestamp: u32,
        /// The same moment.
        at: UnixMicros,
    },
    /// The live film is to be laid out otherwise from now on. Passed over where there is none.
    Layout {
        /// How.
        layout: LiveLayout,
        /// Whose identity is seen alone.
        #[serde(default)]
        subject: Option<String>,
    },
    /// Ends the job. The worker writes what it holds, and answers `Stopped`.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// A job to begin, or to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The job's id: letters, digits, `_` and `-`.
    pub job: String,
    /// The directory that the job writes to. The worker was confined to it when it was started.
    pub directory: String,
    /// Whom the files are sealed for.
    pub protection: Protection,
    /// What bounds the job.
    pub quota: Quota,
    /// The room's name.
    pub room: String,
    /// The room's id.
    pub room_id: String,
    /// The tenant; empty where there is but one.
    pub tenant: String,
    /// When the job began: the zero of the manifest's clock. The same again after a restart.
    pub started_at: UnixMicros,
    /// How often the job's worker was started before; file names go on from there.
    pub restart: u32,
    /// Whether the tracks are written to files. Without it the job keeps nothing but what `live` asks for.
    #[serde(default = "yes")]
    pub capture: bool,
    /// What is composed while the room is there. The worker must have been started with `--live`.
    #[serde(default)]
    pub live: Option<Live>,
}

fn yes() -> bool {
    true
}

/// How files are protected at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "with", rename_all = "snake_case")]
pub enum Protection {
    /// Sealed by age (<https://age-encryption.org/v1>) for these X25519 recipients, each `age1…`. None at all is an error.
    Age {
        /// The recipients.
        recipients: Vec<String>,
    },
    /// In the clear. Only where the configuration says so.
    None,
}

/// What bounds a job. Zero is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes on disk, all files together.
    pub bytes: u64,
    /// Bytes that must stay free on the file system.
    pub keep_free_bytes: u64,
    /// How long the job may last, in seconds.
    pub seconds: u64,
    /// Tracks at the same time.
    pub tracks: u32,
}

/// A track to capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The track's id.
    pub track: String,
    /// Its name.
    pub name: String,
    /// Whose it is: the participant's id, told by `Joined` before.
    pub participant: String,
    /// Sound or pictures.
    pub kind: Kind,
    /// Camera, microphone or screen.
    pub origin: Origin,
    /// The codec.
    pub codec: Codec,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// 1 or 2; sound only.
    pub channels: u8,
    /// The payload type on the trunk.
    pub payload_type: u8,
    /// The payload type of RED (RFC 2198), where the sender uses it.
    pub red_payload_type: Option<u8>,
    /// The SSRC on the trunk.
    pub ssrc: u32,
    /// SSRC and payload type of retransmissions (RFC 4588): a packet is never protected twice by one key and number. What
    /// is repeated there is of `payload_type`, not RED.
    pub rtx: Option<(u32, u8)>,
    /// How its packets are protected.
    pub profile: Profile,
    /// The key. Each source has its own, and a new one for each worker: so rollover counters begin at 0 on both sides,
    /// whatever the sequence numbers are.
    pub key: SrtpKey,
    /// Muted from the beginning.
    pub muted: bool,
    /// Since when.
    pub at: UnixMicros,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Its id, new with each join.
    pub id: String,
    /// Its identity, the same when it comes back.
    pub identity: String,
    /// Its name.
    pub name: String,
}

/// What somebody wrote to all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its number: later ones have greater ones.
    pub message: u64,
    /// The participant's id.
    pub participant: String,
    /// The identity.
    pub identity: String,
    /// Their name then.
    pub name: String,
    /// What.
    pub text: String,
    /// When.
    pub at: UnixMicros,
}

/// Why a job ends or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked for it.
    Requested,
    /// The room is over.
    RoomEnded,
    /// The server stops.
    Shutdown,
    /// Consent was refused or withdrawn where all must give it.
    ConsentWithdrawn,
    /// [`Quota::seconds`] are over.
    DurationReached,
    /// [`Quota::bytes`] are used.
    QuotaReached,
    /// The disk is full, or [`Quota::keep_free_bytes`] begin.
    DiskFull,
    /// The server is gone: the stream ended without `Stop`.
    ServerGone,
}

impl StopReason {
    /// Whether a limit ended the job.
    pub fn is_limit(self) -> bool {
        matches!(self, StopReason::DurationReached | StopReason::QuotaReached | StopReason::DiskFull)
    }
}

/// What a worker tells the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToServer {
    /// Which versions the worker speaks.
    Hello(Hello),
    /// The worker is confined and waits for `Start`.
    Ready {
        /// What holds it.
        confinement: Confinement,
    },
    /// The job runs: from here on what comes is kept.
    Started,
    /// A source that can't be captured. The others go on.
    SourceRefused {
        /// Which track.
        track: String,
        /// Why, in words.
        why: String,
    },
    /// The source's next key frame is needed: at its beginning, or after a loss.
    KeyFrameWanted {
        /// Which track.
        track: String,
    },
    /// Packets that the trunk lacks (RFC 4585 section 6.2.1): please send them again.
    Nack {
        /// Which track.
        track: String,
        /// Their sequence numbers.
        sequences: Vec<u16>,
    },
    /// How it goes; once a second, also when nothing comes.
    Progress {
        /// Bytes on disk.
        bytes: u64,
        /// Since the job began, in microseconds.
        duration_micros: u64,
        /// Each open track.
        tracks: Vec<TrackProgress>,
        /// Packets that no source claimed, or whose tag didn't hold.
        strays: u64,
        /// The live film, while there is one.
        #[serde(default)]
        live: Option<LiveProgress>,
    },
    /// A file of the live film is whole.
    Segment(Segment),
    /// A single picture is whole.
    Image {
        /// Its name in `live/`.
        name: String,
        /// Its number, from `first_image` on.
        number: u64,
        /// The moment that it shows.
        at: UnixMicros,
    },
    /// An encoder of the live film failed, and another one goes on.
    Encoder(EncoderNote),
    /// The live film has ended for good; the capture goes on. After this no more is told of the film.
    LiveFailed(Failure),
    /// The job ended in order.
    Stopped {
        /// Why.
        reason: StopReason,
        /// Everything that was written.
        files: Vec<File>,
    },
    /// The job can't go on. What was written is whole.
    Failed(Failure),
}

/// What holds a worker back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// No network, no new programs: the list of system calls is in force.
    pub seccomp: bool,
    /// Files outside the job's directory are out of reach.
    pub landlock: bool,
    /// Privileges can't be gained.
    pub no_new_privileges: bool,
    /// What is missing and why, in words; empty when nothing is.
    pub missing: Vec<String>,
}

/// How a track goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackProgress {
    /// Which.
    pub track: String,
    /// Packets that came.
    pub packets: u64,
    /// Packets that never came, after all repair.
    pub lost: u64,
    /// Frames that were written.
    pub frames: u64,
    /// Frames that were incomplete, or stood on one that was, and were left out.
    pub dropped_frames: u64,
}

/// A file that a job wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name in the job's directory.
    pub name: String,
    /// Its size in bytes, as it lies on disk.
    pub bytes: u64,
    /// SHA-256 of it as it lies on disk, in lower case hex.
    pub sha256: String,
}

/// Why a job can't go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{place}: {what}; {remedy}")]
pub struct Failure {
    /// What kind of fault it is.
    pub kind: FailureKind,
    /// What went wrong.
    pub what: String,
    /// Where: a file, a message, a track.
    pub place: String,
    /// What to do.
    pub remedy: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No recipient, or one that can't be used.
    KeyMissing,
    /// A file couldn't be written, for another reason than a full disk.
    Storage,
    /// A message out of turn, or one that says what can't be.
    Protocol,
    /// The kernel can't hold the worker back as the configuration demands.
    Confinement,
    /// No version in common.
    Version,
    /// The live film can't be composed.
    Compose,
}

impl FailureKind {
    /// Whether the same job may fare better in a new worker.
    pub fn may_pass(self) -> bool {
        matches!(self, FailureKind::Storage)
    }
}

impl Quota {
    /// [`Quota::seconds`], where there is a bound.
    pub fn duration(&self) -> Option<Duration> {
        (self.seconds > 0).then(|| Duration::from_secs(self.seconds))
    }
}
