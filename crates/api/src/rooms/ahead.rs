// SPDX-License-Identifier: EUPL-1.2
//! Rooms that applications' servers made ahead. What such a room was made with is kept until it ends as rooms do: it comes to
//! be again with it after a restart, or when its media was lost, even where rooms don't come to be by themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use livekit_protocol::{AgentDispatch, RoomAgentDispatch, RoomConfiguration};
use parvis_store::{RoomSettings, StoreError};

use super::{Opening, Rooms};
use crate::presets::asked;
use crate::tenant::RoomKey;

/// What rooms were made with; in the store too, where there is one. No join waits for that.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    by_key: Mutex<HashMap<RoomKey, RoomConfiguration>>,
}

impl Ahead {
    fn table(&self) -> MutexGuard<'_, HashMap<RoomKey, RoomConfiguration>> {
        // Nothing in these short sections panics half way.
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a room was made with.
    pub(super) fn get(&self, key: &RoomKey) -> Option<RoomConfiguration> {
        self.table().get(key).cloned()
    }
}

impl Rooms {
    /// Keeps what a room was made with. What the store can't take is only in memory.
    pub(crate) async fn keep_ahead(&self, key: &RoomKey, wanted: RoomConfiguration) {
        {
            let mut table = self.ahead.table();
            if !table.contains_key(key) && table.len() >= self.live().config.max_rooms {
                return;
            }
            table.insert(key.clone(), wanted.clone());
        }
        let Some(store) = self.store.get() else { return };
        if let Err(error) = store.put_room(&key.tenant, &record(key, wanted)).await {
            tracing::warn!(%error, "a room that was made ahead would not outlive a restart");
        }
    }

    /// The application's text about a room that was made ahead is another one.
    pub(crate) async fn keep_metadata(&self, key: &RoomKey, metadata: String) {
        if let Some(wanted) = self.ahead.get(key) {
            self.keep_ahead(key, RoomConfiguration { metadata, ..wanted }).await;
        }
    }

    /// An agent was asked for in a room that was made ahead: with the room it is asked for again.
    pub(crate) async fn keep_agent(&self, key: &RoomKey, dispatch: &AgentDispatch) {
        let Some(mut wanted) = self.ahead.get(key) else { return };
        if wanted.agents.is_empty() {
            // A room that names none gets the one without a name, and keeps it.
            wanted.agents.push(RoomAgentDispatch::default());
        }
        wanted.agents.push(agent(dispatch));
        self.keep_ahead(key, wanted).await;
    }

    /// An agent was taken back.
    pub(crate) async fn drop_agent(&self, key: &RoomKey, dispatch: &AgentDispatch) {
        let Some(mut wanted) = self.ahead.get(key) else { return };
        let gone = agent(dispatch);
        if let Some(at) = wanted.agents.iter().position(|agent| *agent == gone) {
            wanted.agents.remove(at);
            self.keep_ahead(key, wanted).await;
        }
    }

    /// Whether a room was made ahead and has not ended.
    pub(crate) fn is_ahead(&self, key: &RoomKey) -> bool {
        self.ahead.table().contains_key(key)
    }

    /// A room has ended as rooms do: nothing of it is kept.
    pub(crate) fn forget_ahead(&self, key: &RoomKey) {
        let known = self.ahead.table().remove(key).is_some();
        let Some(store) = self.store.get().filter(|_| known).cloned() else { return };
        let key = key.clone();
        tokio::spawn(async move {
            match store.delete_room(&key.tenant, &key.name).await {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, "a room that has ended would come back after a restart"),
            }
        });
    }

    /// Opens the rooms that had been made ahead when the server was started anew.
    pub(crate) async fn recover_rooms(self: &Arc<Self>) -> Result<(), StoreError> {
        let Some(store) = self.store.get() else { return Ok(()) };
        for (tenant, room) in store.rooms().await? {
            let key = RoomKey::new(&tenant, &room.name);
            self.ahead.table().insert(key.clone(), asked(room));
            if let Err(refusal) = self.room(&key, &Opening::default()) {
                tracing::warn!(%refusal, "a room that was made ahead is not open yet");
            }
        }
        Ok(())
    }
}

fn agent(dispatch: &AgentDispatch) -> RoomAgentDispatch {
    RoomAgentDispatch {
        agent_name: dispatch.agent_name.clone(),
        metadata: dispatch.metadata.clone(),
        restart_policy: dispatch.restart_policy,
        deployment: dispatch.deployment.clone(),
        attributes: dispatch.attributes.clone(),
    }
}

/// As it is stored.
fn record(key: &RoomKey, wanted: RoomConfiguration) -> RoomSettings {
    RoomSettings {
        name: key.name.clone(),
        empty_timeout: wanted.empty_timeout,
        departure_timeout: wanted.departure_timeout,
        max_participants: wanted.max_participants,
        metadata: wanted.metadata,
        min_playout_delay: wanted.min_playout_delay,
        max_playout_delay: wanted.max_playout_delay,
        sync_streams: wanted.sync_streams,
        agents: wanted.agents,
        tags: wanted.tags,
        ..RoomSettings::default()
    }
}
