// SPDX-License-Identifier: EUPL-1.2
//! What applications' servers and agents may ask for.

use parvis_api::{AgentLimits, ApiConfig};
use serde::{Deserialize, Serialize};

use super::value::{Bounded, Bytes, Count, Time};
use super::{Config, Rate, bytes, count, rate};

/// Calls of applications' servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ServerApi {
    pub(crate) max_body_bytes: Bytes,
    pub(crate) whip_url: String,
}

/// Programs that take part in meetings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Agents {
    pub(crate) max_workers: Count,
    pub(crate) max_dispatches_per_room: Count,
    pub(crate) max_jobs: Count,
    pub(crate) max_name_bytes: Bounded<1, 4_096>,
    pub(crate) max_metadata_bytes: Bytes,
    pub(crate) max_message_bytes: Bytes,
    pub(crate) messages: Rate,
    pub(crate) answer_timeout: Time,
    pub(crate) token_age: Time,
}

impl Default for ServerApi {
    fn default() -> Self {
        let api = ApiConfig::default();
        ServerApi { max_body_bytes: bytes(api.server_api_body_bytes), whip_url: api.whip_url }
    }
}

impl Default for Agents {
    fn default() -> Self {
        let limits = AgentLimits::default();
        Agents {
            max_workers: count(limits.workers),
            max_dispatches_per_room: count(limits.dispatches_per_room),
            max_jobs: count(limits.jobs),
            max_name_bytes: Bounded::of(i64::try_from(limits.name_bytes).unwrap_or(i64::MAX)),
            max_metadata_bytes: bytes(limits.metadata_bytes),
            max_message_bytes: bytes(limits.message_bytes),
            messages: rate(limits.messages),
            answer_timeout: Time(limits.answer),
            token_age: Time(limits.token),
        }
    }
}

impl Config {
    /// Bounds of agents.
    pub(super) fn agent_limits(&self) -> AgentLimits {
        let agents = &self.agents;
        AgentLimits {
            workers: agents.max_workers.size(),
            dispatches_per_room: agents.max_dispatches_per_room.size(),
            jobs: agents.max_jobs.size(),
            name_bytes: agents.max_name_bytes.size(),
            metadata_bytes: agents.max_metadata_bytes.size(),
            message_bytes: agents.max_message_bytes.size(),
            messages: parvis_signal::Rate {
                burst: agents.messages.burst.to_u32(),
                per_second: agents.messages.per_second.to_u32(),
            },
            answer: agents.answer_timeout.0,
            token: agents.token_age.0,
        }
    }
}
