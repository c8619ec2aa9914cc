// SPDX-License-Identifier: EUPL-1.2
//! Configurations of rooms that have a name: `[rooms.presets.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use livekit_protocol::{RoomAgentDispatch, RoomConfiguration};
use parvis_api::{CAPTURE_LAYOUT, RoomPresets};
use parvis_meeting::text;
use parvis_signal::{CONSENT_ASK, CONSENT_TAG, RECORD_NOTHING, RECORD_TAG, RETENTION_TAG};
use serde::{Deserialize, Serialize};

use super::apply::Problem;
use super::value::{Bounded, Time};
use super::{Config, Rooms};

/// Presets that there may be.
const MAX_PRESETS: usize = 1_000;
/// Characters of a preset's name.
const MAX_NAME_CHARS: usize = 256;
/// The longest delay that a packet can ask for: 12 bits of 10 ms.
const MAX_DELAY: Duration = Duration::from_millis(40_950);

/// What rooms of that name are like. No time at all, 0 and an empty text leave it as it is for all rooms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Preset {
    pub(crate) empty_timeout: Time,
    pub(crate) departure_timeout: Time,
    pub(crate) max_participants: Bounded<0, 1_000_000>,
    pub(crate) metadata: String,
    pub(crate) min_playout_delay: Time,
    pub(crate) max_playout_delay: Time,
    pub(crate) sync_streams: bool,
    pub(crate) recording_consent: bool,
    /// A layout, or the word for none.
    pub(crate) record: String,
    /// In days; 0: as for all rooms.
    pub(crate) recording_retention: Bounded<0, 36_500>,
    pub(crate) agents: Vec<PresetAgent>,
}

/// A program that is asked for when such a room comes to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PresetAgent {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) metadata: String,
}

impl Default for Preset {
    fn default() -> Self {
        Preset {
            empty_timeout: Time::secs(0),
            departure_timeout: Time::secs(0),
            max_participants: Bounded::of(0),
            metadata: String::new(),
            min_playout_delay: Time::secs(0),
            max_playout_delay: Time::secs(0),
            sync_streams: false,
            recording_consent: false,
            record: String::new(),
            recording_retention: Bounded::of(0),
            agents: Vec::new(),
        }
    }
}

impl Config {
    /// Finds what is wrong with presets, and with the delays of all rooms.
    pub(super) fn check_presets(&self) -> Result<(), Problem> {
        let Rooms { presets, min_playout_delay, max_playout_delay, record, .. } = &self.rooms;
        check_delay("rooms", *min_playout_delay, *max_playout_delay)?;
        self.check_record("rooms", record)?;
        if presets.len() > MAX_PRESETS {
            let text = format!("there are {}, at most {MAX_PRESETS} may be; take some out", presets.len());
            return Err(("rooms.presets".to_owned(), text));
        }
        presets.iter().try_for_each(|(name, preset)| self.check_preset(name, preset))
    }

    /// Whether rooms can be recorded by themselves in this layout.
    fn check_record(&self, section: &str, layout: &str) -> Result<(), Problem> {
        let problem = |text: String| Err((format!("{section}.record"), text));
        if layout.is_empty() || layout == RECORD_NOTHING {
            return Ok(());
        }
        if !self.recording.enabled {
            return problem("nothing is recorded here; set recording.enabled, or leave it empty".to_owned());
        }
        if layout == CAPTURE_LAYOUT {
            return Ok(());
        }
        if let Err(error) = crate::recording::film_layout(layout) {
            return problem(error.to_string());
        }
        match self.recording.max_films.to_u32() {
            0 => problem(format!("recording.max_films is 0, so there are no films; use {CAPTURE_LAYOUT:?}")),
            _ => Ok(()),
        }
    }

    fn check_preset(&self, name: &str, preset: &Preset) -> Result<(), Problem> {
        let key = |last: &str| format!("rooms.presets.{name}.{last}");
        text::check_name("a preset's name", name, MAX_NAME_CHARS)
            .map_err(|error| ("rooms.presets".to_owned(), format!("{error}; choose another")))?;
        check_delay(&format!("rooms.presets.{name}"), preset.min_playout_delay, preset.max_playout_delay)?;
        self.check_record(&format!("rooms.presets.{name}"), &preset.record)?;
        let limit = self.rooms.max_metadata_bytes.size();
        if preset.metadata.len() > limit {
            let bytes = preset.metadata.len();
            let text = format!("it has {bytes} bytes, rooms.max_metadata_bytes allows {limit}; shorten it");
            return Err((key("metadata"), text));
        }
        if preset.agents.len() > self.agents.max_dispatches_per_room.size() {
            let text = "there are more than agents.max_dispatches_per_room allows; take some out".to_owned();
            return Err((key("agents"), text));
        }
        Ok(())
    }

    /// Presets in the protocol's words.
    pub(super) fn room_presets(&self) -> RoomPresets {
        let presets = self.rooms.presets.iter();
        let presets: BTreeMap<_, _> = presets.map(|(name, preset)| (name.clone(), preset.wire())).collect();
        RoomPresets::new(presets)
    }
}

impl Preset {
    fn wire(&self) -> RoomConfiguration {
        // What is shorter than a second is one: none would leave it to all rooms.
        let seconds = |time: Time| u32::try_from(time.0.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        let millis = |time: Time| u32::try_from(time.0.as_millis()).unwrap_or(u32::MAX);
        let tag = |name: &str, value: String| (name.to_owned(), value);
        let ask = self.recording_consent.then(|| tag(CONSENT_TAG, CONSENT_ASK.to_owned()));
        let record = (!self.record.is_empty()).then(|| tag(RECORD_TAG, self.record.clone()));
        let days = self.recording_retention.to_u32();
        let keep = (days > 0).then(|| tag(RETENTION_TAG, days.to_string()));
        let agent = |agent: &PresetAgent| RoomAgentDispatch {
            agent_name: agent.name.clone(),
            metadata: agent.metadata.clone(),
            ..Default::default()
        };
        RoomConfiguration {
            empty_timeout: seconds(self.empty_timeout),
            departure_timeout: seconds(self.departure_timeout),
            max_participants: self.max_participants.to_u32(),
            metadata: self.metadata.clone(),
            min_playout_delay: millis(self.min_playout_delay),
            max_playout_delay: millis(self.max_playout_delay),
            sync_streams: self.sync_streams,
            agents: self.agents.iter().map(agent).collect(),
            tags: ask.into_iter().chain(record).chain(keep).collect(),
            ..Default::default()
        }
    }
}

fn check_delay(section: &str, least: Time, most: Time) -> Result<(), Problem> {
    for (key, time) in [("min_playout_delay", least), ("max_playout_delay", most)] {
        if time.0 > MAX_DELAY {
            let text = format!("{time} is more than packets can ask for; use at most \"40950ms\"");
            return Err((format!("{section}.{key}"), text));
        }
    }
    if most.limit().is_some_and(|most| most < least.0) {
        let text = format!("{most} is less than min_playout_delay; use a longer time, or \"0\" for no limit");
        return Err((format!("{section}.max_playout_delay"), text));
    }
    Ok(())
}
