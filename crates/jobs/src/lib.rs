// SPDX-License-Identifier: EUPL-1.2
//! Media jobs: the wire between the server and a media worker, and what state a job is in; no I/O.
//!
//! A job records a room. One worker process does it, started and watched by the server. They speak over a stream socket:
//! [`ToWorker`] one way, [`ToServer`] the other, each message in a frame that [`frame`] writes and reads. The tracks' RTP
//! takes another way, a datagram socket, one packet each, protected by SRTP with the key that [`Source`] brings.
//! [`Job`] is the server's half of what happens to a job: a state machine with the states that LiveKit's egress has.
//!
//! **The invariant:** nothing that the other side sends makes the reader panic or hold more than [`Limits::frame_bytes`],
//! and a job that has [ended](State::is_final) never changes again.
//!
//! ```
//! use parvis_jobs::frame::{Decoder, Limits, encode};
//! use parvis_jobs::{StopReason, ToWorker};
//!
//! let limits = Limits::default();
//! let mut wire = Vec::new();
//! encode(&ToWorker::Stop { reason: StopReason::Requested }, limits, &mut wire)?;
//!
//! let mut decoder = Decoder::new(limits);
//! decoder.push(&wire[..3])?;
//! assert_eq!(decoder.next::<ToWorker>()?, None, "not whole yet");
//! decoder.push(&wire[3..])?;
//! assert_eq!(decoder.next()?, Some(ToWorker::Stop { reason: StopReason::Requested }));
//! # Ok::<(), parvis_jobs::frame::FrameError>(())
//! ```

mod encoders;
mod film;
pub mod frame;
mod job;
mod live;
mod names;
mod push;
mod wire;

pub use encoders::{EncoderFamily, EncoderFate, EncoderNote};
pub use film::{FILM_PART_DIED, Taken};
pub use frame::Limits;
pub use job::{Action, Job, JobConfig, State, Why};
pub use live::{
    AUDIO_RENDITION, Hls, Images, LIVE_DIRECTORY, Live, LiveLayout, LiveProgress, Rendition, STREAM, Segment,
    SegmentKind,
};
pub use names::{Codec, Kind, Origin, Profile, SrtpKey, UnixMicros};
pub use push::{MAX_ORDER_BYTES, PushOrder, PushProtocol, PushTarget};
pub use wire::{
    Confinement, Failure, FailureKind, File, Hello, Message, NEWEST_VERSION, OLDEST_VERSION, Participant,
    Protection, Quota, Source, Start, StopReason, ToServer, ToWorker, TrackProgress, VersionError,
};
