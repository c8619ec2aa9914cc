// SPDX-License-Identifier: EUPL-1.2
//! Frames on the stream between server and worker: four bytes of length in network order, then one message in JSON.
//!
//! JSON because messages are few (packets go another way), people read them in a trace, and a field that is new to one
//! side is passed over by the other.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of length before each message.
pub const LENGTH_BYTES: usize = 4;

/// What a frame may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes. A reader never holds more than this and what one read brought.
    pub frame_bytes: usize,
}

impl Default for Limits {
    /// 256 KiB: a `Stopped` of 1,000 files has some 150 KiB.
    fn default() -> Limits {
        Limits { frame_bytes: 256 * 1024 }
    }
}

/// Why a frame was refused. The stream can't be read on after that: end it.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than allowed, or empty.
    #[error(
        "a frame of {length} bytes: 1 to {limit} are allowed; raise the frame limit on both sides, or end the stream"
    )]
    Length {
        /// What the frame's head says.
        length: usize,
        /// [`Limits::frame_bytes`].
        limit: usize,
    },
    /// No message that this side knows.
    #[error("a frame that is no message of this direction and version: {0}")]
    Message(#[from] serde_json::Error),
    /// More was pushed than a frame and one read hold: the reader doesn't take what comes.
    #[error("{held} bytes wait to be read, {limit} are allowed; take the messages before pushing more")]
    Flooded {
        /// Bytes that would be held.
        held: usize,
        /// The bound: twice a frame.
        limit: usize,
    },
}

/// Appends `message` to `wire`. On an error `wire` is as it was.
pub fn encode<T: Serialize>(message: &T, limits: Limits, wire: &mut Vec<u8>) -> Result<(), FrameError> {
    let body = serde_json::to_vec(message)?;
    let length = check(body.len(), limits)?;
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(&body);
    Ok(())
}

/// Takes bytes as they come and gives messages.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    held: Vec<u8>,
    /// Where in `held` the next frame begins.
    at: usize,
}

impl Decoder {
    /// One that holds nothing yet.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, held: Vec::new(), at: 0 }
    }

    /// Takes what a read brought. Refuses a frame that is too long before anything of it is kept, so long as each push
    /// is followed by [`Decoder::next`] until there is none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.held.drain(..self.at);
        self.at = 0;
        let (held, limit) = (self.held.len() + bytes.len(), 2 * (self.limits.frame_bytes + LENGTH_BYTES));
        if held > limit {
            return Err(FrameError::Flooded { held, limit });
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole message.
    #[expect(clippy::should_implement_trait, reason = "the type of message is the caller's choice")]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = self.held.get(self.at..).unwrap_or_default();
        let Some((head, body)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        check(length, self.limits)?;
        let Some(body) = body.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.at += LENGTH_BYTES + length;
        Ok(Some(message))
    }

    /// How many bytes wait for the rest of their frame.
    pub fn waiting(&self) -> usize {
        self.held.len() - self.at
    }
}

fn check(length: usize, limits: Limits) -> Result<u32, FrameError> {
    let refused = FrameError::Length { length, limit: limits.frame_bytes };
    if length == 0 || length > limits.frame_bytes {
        return Err(refused);
    }
    u32::try_from(length).map_err(|_| refused)
}
