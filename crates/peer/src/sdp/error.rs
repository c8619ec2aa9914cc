// SPDX-License-Identifier: EUPL-1.2
//! Why a description was refused, or could not be written.

use super::SignalingState;

/// What was wrong with a description, where, and what to do about it. A refused description leaves the session as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Larger than the configuration allows.
    #[error("the description has more than {limit} {what} (line {line}); send fewer, or raise the limit")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
        /// The line that went beyond, from 1; 0 when nothing was read at all.
        line: usize,
    },
    /// A line that can't be read and can't be left out.
    #[error("line {line}: {what}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and what it should be.
        what: &'static str,
    },
    /// Something is missing without which there is no connection.
    #[error("{what} is missing{}; the peer must send it", In(.mid))]
    Missing {
        /// What.
        what: &'static str,
        /// In which section; empty when in none.
        mid: String,
    },
    /// Something that contradicts what was agreed on before, or the offer that is answered.
    #[error("line {line}{}: {what}", In(.mid))]
    Mismatch {
        /// The line, from 1; 0 when it is about the description as a whole.
        line: usize,
        /// In which section; empty when in none.
        mid: String,
        /// What doesn't fit, and what would.
        what: &'static str,
    },
    /// An offer or answer that isn't due.
    #[error("{what} while {}; {}", Stands(.state), Remedy(.state))]
    State {
        /// What was asked.
        what: &'static str,
        /// Where the session stood.
        state: SignalingState,
    },
}

struct In<'a>(&'a str);

impl std::fmt::Display for In<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " in section {:?}", self.0) }
    }
}

struct Stands<'a>(&'a SignalingState);

impl std::fmt::Display for Stands<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            SignalingState::Stable => "no offer is out",
            SignalingState::HaveLocalOffer => "our own offer is out",
            SignalingState::HaveRemoteOffer => "the peer's offer waits for an answer",
        })
    }
}

struct Remedy<'a>(&'a SignalingState);

impl std::fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            SignalingState::Stable => "an offer has to come first",
            SignalingState::HaveLocalOffer => "roll it back first, or wait for its answer",
            SignalingState::HaveRemoteOffer => "answer it first, or roll it back",
        })
    }
}
