// SPDX-License-Identifier: EUPL-1.2
//! An ICE-lite agent (RFC 8445 section 2.5): it answers checks and never sends one, so it can't be made to probe or
//! to flood anyone (RFC 8445 section 19.5.1).
//!
//! [`stun`] reads and writes messages, [`credentials`] makes user fragment and password, [`candidate`] checks
//! candidates that the peer names (and nothing more), [`agent`] keeps the paths that the peer has proved.

mod agent;
mod candidate;
mod credentials;
pub mod stun;

pub(crate) use agent::{Agent, AgentEvent, Settings};
pub use candidate::CandidateError;
pub(crate) use candidate::check_candidate;
pub use credentials::local_ufrag_tag;
pub use stun::stun_local_ufrag;
