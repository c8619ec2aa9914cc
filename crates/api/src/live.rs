// SPDX-License-Identifier: EUPL-1.2
//! What may change while the server runs: keys, and the configuration as far as nothing was made with it.

use std::sync::{Arc, PoisonError, RwLock};

use parvis_signal::RoomConfig;

use crate::config::ApiConfig;
use crate::http::Refusal;
use crate::token::{Keys, Verified};

/// What is in force now. Whoever took it before a change finishes with it.
pub(crate) struct Live {
    now: RwLock<Arc<InForce>>,
}

/// What was in force at one moment.
pub(crate) struct InForce {
    pub(crate) keys: Keys,
    pub(crate) config: ApiConfig,
}

impl InForce {
    /// What comes after a start with `started`: what stands before HTTP, the relay and how rooms spread are there from the
    /// start to the end.
    pub(crate) fn after(started: &ApiConfig, config: &ApiConfig, keys: Keys) -> InForce {
        let room = RoomConfig { relay: started.room.relay.clone(), ..RoomConfig::clone(&config.room) };
        let config = ApiConfig {
            room: Arc::new(room),
            spread: started.spread,
            front: started.front.clone(),
            relays: started.relays.clone(),
            ..config.clone()
        };
        InForce { keys, config }
    }
}

impl InForce {
    /// Checks a token and reads it, and puts what it says of its room on top of the preset that it names.
    pub(crate) fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        let mut verified = self.keys.verify(token)?;
        if !verified.preset.is_empty() {
            let asked = verified.grants.room.take().map(|asked| *asked).unwrap_or_default();
            let wanted = self.config.presets.resolve(&verified.preset, asked)?;
            verified.agents.clone_from(&wanted.agents);
            verified.grants.room = Some(Box::new(wanted));
        }
        Ok(verified)
    }
}

impl Live {
    pub(crate) fn new(now: InForce) -> Live {
        Live { now: RwLock::new(Arc::new(now)) }
    }

    pub(crate) fn get(&self) -> Arc<InForce> {
        // Nothing panics while the lock is held.
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, next: InForce) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}
