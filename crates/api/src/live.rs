// SPDX-License-Identifier: EUPL-1.2
//! What may change while the server runs: keys, and what rooms that begin later may grow to.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use parvis_signal::RoomConfig;

use crate::config::ApiConfig;
use crate::token::Keys;

/// What is in force now. Whoever took it before a change finishes with it.
pub(crate) struct Live {
    now: RwLock<Arc<InForce>>,
}

/// What was in force at one moment.
pub(crate) struct InForce {
    pub(crate) keys: Keys,
    pub(crate) room: Arc<RoomConfig>,
    pub(crate) auto_create: bool,
    pub(crate) max_rooms: usize,
    pub(crate) guests: bool,
    pub(crate) guest_room_chars: usize,
    pub(crate) guest_token: Duration,
}

impl InForce {
    pub(crate) fn of(config: &ApiConfig, keys: Keys) -> InForce {
        InForce {
            keys,
            room: Arc::clone(&config.room),
            auto_create: config.auto_create,
            max_rooms: config.max_rooms,
            guests: config.guests,
            guest_room_chars: config.guest_room_chars,
            guest_token: config.guest_token,
        }
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
