// SPDX-License-Identifier: EUPL-1.2
//! What is done with sound alone: who speaks (`loudness`), who is heard in a big room (`stage`), what is sent when a
//! track falls silent (`silence`), and redundancy made, used and taken off again (`red`, `redundancy`).

mod loudness;
mod red;
mod redundancy;
mod silence;
mod stage;

use std::time::{Duration, Instant};

pub(crate) use loudness::Loudness;
pub(crate) use red::RedPlan;
pub(crate) use redundancy::Redundancy;
pub(super) use silence::Hush;
pub(crate) use silence::{FRAME_PER_SECOND as SILENCE_PER_SECOND, OPUS_SILENCE, SILENCE_FRAMES};
pub(super) use stage::Stage;

use self::stage::Standing;
use super::Egress;
use super::layer::Arrival;
use super::room::RoomMedia;

/// An Opus packet of so few bytes is comfort noise or nothing (RFC 6716 section 3.1: one byte is a frame of no data).
const SILENT_BYTES: usize = 3;
/// Packets from before a track was let onto the stage that go with the first loud one: a soft beginning of a word.
const LEAD_PACKETS: u64 = 2;
/// An older one than this belongs to no word that begins now.
const LEAD_TIME: Duration = Duration::from_millis(80);

impl RoomMedia {
    /// Forwards a kept packet of sound, if its track is heard.
    pub(super) fn forward_audio(
        &mut self,
        now: Instant,
        place: usize,
        number: u64,
        arrival: &Arrival<'_>,
        egress: &mut impl Egress,
    ) {
        let standing = if self.publications[place].screen_share {
            Standing::Heard
        } else {
            let level = self.level_of(arrival);
            self.stage.on_packet(now, place, level)
        };
        let entered = matches!(standing, Standing::Entered { .. });
        match standing {
            Standing::Heard => self.publications[place].withheld = false,
            Standing::Entered { instead_of } => {
                self.stats.stage_entered += 1;
                self.publications[place].withheld = false;
                if let Some(other) = instead_of {
                    self.withhold(now, other);
                }
            }
            Standing::Unheard { refused } => {
                self.stats.stage_refused += u64::from(refused);
                self.stats.stage_withheld += 1;
                self.publications[place].withheld = true;
                if self.publications[place].pinned == 0 {
                    return;
                }
            }
        }
        let (recovered, count) = self.recover(now, place, number);
        if entered {
            self.let_in(now, place, number, &recovered[..count], egress);
            return;
        }
        for number in &recovered[..count] {
            self.forward(now, place, 0, *number..=*number, egress);
        }
        self.forward(now, place, 0, number..=number, egress);
    }

    /// Who lost a place on the stage while others spoke; once per tick.
    pub(super) fn run_stage(&mut self, now: Instant) {
        while let Some(place) = self.stage.trim(now) {
            self.withhold(now, place);
        }
    }

    /// Takes a track off the stage that is muted or gone.
    pub(super) fn leave_stage(&mut self, place: usize) {
        self.stage.remove(place);
        if let Some(publication) = self.publications.get_mut(place) {
            publication.withheld = false;
        }
    }

    /// Stops forwarding a track to all who didn't pin it, and lets it end in silence.
    fn withhold(&mut self, now: Instant, place: usize) {
        self.stats.stage_left += 1;
        let Some(publication) = self.publications.get_mut(place) else { return };
        publication.withheld = true;
        for &slot in &publication.subscribers {
            let subscription = &mut self.subscriptions[slot];
            if !subscription.is_pinned() {
                subscription.unfollow();
            }
        }
        self.hush(now, place);
    }

    /// Forwards the packet that let a track onto the stage, after what came right before it.
    fn let_in(
        &mut self,
        now: Instant,
        place: usize,
        number: u64,
        recovered: &[u64],
        egress: &mut impl Egress,
    ) {
        let publication = &self.publications[place];
        let layer = &publication.layers[0];
        let left = self.stage.left_at(place);
        let belongs = |number: &u64| {
            *number >= publication.heard_from
                && layer.ring.get(*number).is_some_and(|stored| {
                    now.saturating_duration_since(stored.arrival) <= LEAD_TIME
                        && left.is_none_or(|left| stored.arrival > left)
                })
        };
        let first = (number.saturating_sub(LEAD_PACKETS)..number).find(belongs).unwrap_or(number);
        // The loud packet may be a late one.
        let last = layer.highest().unwrap_or(number).clamp(number, number + LEAD_PACKETS);
        for index in 0..self.publications[place].subscribers.len() {
            let slot = self.publications[place].subscribers[index];
            if self.subscriptions[slot].followed().is_some() {
                // It pinned the track and has what came before.
                for number in recovered.iter().chain([&number]) {
                    self.offer(now, slot, 0, *number, egress);
                }
                continue;
            }
            for number in first..=last {
                self.offer(now, slot, 0, number, egress);
            }
        }
    }

    /// How loud a packet is, in −dBov. A sender that doesn't tell counts as speaking while it sends sound.
    fn level_of(&self, arrival: &Arrival<'_>) -> u8 {
        match arrival.extensions.audio_level {
            Some(level) => level.level,
            None if arrival.payload.len() <= SILENT_BYTES => 127,
            None => self.config.speech_level,
        }
    }
}
