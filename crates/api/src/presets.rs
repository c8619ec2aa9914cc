// SPDX-License-Identifier: EUPL-1.2
//! Configurations of rooms that the operator gave a name. A request to make a room (`room_preset`) and a token (`roomPreset`)
//! name one; what they say themselves goes before it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use livekit_protocol::{CreateRoomRequest, RoomConfiguration};
use parvis_signal::{RETENTION_TAG, retention_days};

/// Named configurations of rooms. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RoomPresets {
    by_name: Arc<BTreeMap<String, RoomConfiguration>>,
}

/// A name that no configuration has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no room preset {0:?}: name one of rooms.presets, or none")]
pub(crate) struct NoPreset(pub(crate) String);

impl RoomPresets {
    /// Those of these names. Times and numbers that are 0 and empty texts stand for what a preset leaves to others.
    pub fn new(by_name: BTreeMap<String, RoomConfiguration>) -> RoomPresets {
        RoomPresets { by_name: Arc::new(by_name) }
    }

    /// What is wanted of a room: what is asked for, and of the preset whatever is not asked for otherwise. An empty name is
    /// that of no preset.
    pub(crate) fn resolve(
        &self,
        name: &str,
        asked: RoomConfiguration,
    ) -> Result<RoomConfiguration, NoPreset> {
        if name.is_empty() {
            return Ok(asked);
        }
        let preset = self.by_name.get(name).ok_or_else(|| NoPreset(name.to_owned()))?;
        let or = |asked: u32, preset: u32| if asked == 0 { preset } else { asked };
        Ok(RoomConfiguration {
            empty_timeout: or(asked.empty_timeout, preset.empty_timeout),
            departure_timeout: or(asked.departure_timeout, preset.departure_timeout),
            max_participants: or(asked.max_participants, preset.max_participants),
            metadata: if asked.metadata.is_empty() { preset.metadata.clone() } else { asked.metadata },
            egress: asked.egress.or_else(|| preset.egress.clone()),
            min_playout_delay: or(asked.min_playout_delay, preset.min_playout_delay),
            max_playout_delay: or(asked.max_playout_delay, preset.max_playout_delay),
            sync_streams: asked.sync_streams || preset.sync_streams,
            agents: if asked.agents.is_empty() { preset.agents.clone() } else { asked.agents },
            name: asked.name,
            tags: with_preset(asked.tags, &preset.tags),
        })
    }
}

/// Nobody who asks for a room takes back what its preset asks of recordings; but they may be kept for a shorter time.
fn with_preset(asked: HashMap<String, String>, preset: &HashMap<String, String>) -> HashMap<String, String> {
    let days = |tags: &HashMap<String, String>| tags.get(RETENTION_TAG).and_then(|days| retention_days(days));
    let shortest = days(&asked).into_iter().chain(days(preset)).min();
    let shortest = shortest.map(|days| (RETENTION_TAG.to_owned(), days.to_string()));
    asked.into_iter().chain(preset.clone()).chain(shortest).collect()
}

/// What a request to make a room says of it.
pub(crate) fn asked(request: CreateRoomRequest) -> RoomConfiguration {
    RoomConfiguration {
        name: String::new(),
        empty_timeout: request.empty_timeout,
        departure_timeout: request.departure_timeout,
        max_participants: request.max_participants,
        metadata: request.metadata,
        egress: request.egress,
        min_playout_delay: request.min_playout_delay,
        max_playout_delay: request.max_playout_delay,
        sync_streams: request.sync_streams,
        agents: request.agents,
        tags: request.tags,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use livekit_protocol::RoomAgentDispatch;

    use super::*;

    fn agent(name: &str) -> RoomAgentDispatch {
        RoomAgentDispatch { agent_name: name.to_owned(), ..Default::default() }
    }

    fn tags(tags: &[(&str, &str)]) -> HashMap<String, String> {
        tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_asked_for_goes_before_what_the_preset_says() {
        let preset = RoomConfiguration {
            empty_timeout: 60,
            departure_timeout: 30,
            max_participants: 10,
            metadata: "a webinar".into(),
            min_playout_delay: 200,
            max_playout_delay: 1_000,
            sync_streams: true,
            agents: vec![agent("scribe")],
            tags: tags(&[("kind", "webinar")]),
            ..Default::default()
        };
        let presets = RoomPresets::new([("webinar".to_owned(), preset.clone())].into());
        assert_eq!(presets.resolve("webinar", RoomConfiguration::default()), Ok(preset.clone()));
        let asked = RoomConfiguration {
            departure_timeout: 5,
            metadata: "mine".into(),
            max_playout_delay: 400,
            agents: vec![agent("interpreter")],
            tags: tags(&[("kind", "mine"), ("colour", "red")]),
            ..Default::default()
        };
        let wanted = presets.resolve("webinar", asked.clone()).unwrap();
        assert_eq!(
            wanted,
            RoomConfiguration {
                departure_timeout: 5,
                metadata: "mine".into(),
                max_playout_delay: 400,
                agents: vec![agent("interpreter")],
                tags: tags(&[("kind", "webinar"), ("colour", "red")]),
                ..preset
            }
        );
        assert_eq!(presets.resolve("", asked.clone()), Ok(asked.clone()), "no preset is named");
        assert_eq!(presets.resolve("Webinar", asked), Err(NoPreset("Webinar".to_owned())));
    }
}
