// SPDX-License-Identifier: EUPL-1.2
//! What a room and its meeting count, by name, and how that is added to the server's metrics.

use std::sync::atomic::Ordering;

use parvis_meeting::assembly::AssemblyStats;
use parvis_signal::RoomStats;

use super::RoomTask;

impl RoomTask {
    /// Adds what the room has counted since the last time.
    pub(super) fn count(&mut self) {
        let participants = self.room.sessions();
        self.participants.store(participants, Ordering::Relaxed);
        let metrics = &self.rooms.metrics;
        metrics.participants.add(participants as i64 - self.counted_participants as i64);
        self.counted_participants = participants;
        let (now, before) = (self.room.stats(), self.counted);
        for ((what, now), (_, before)) in figures(&now).into_iter().zip(figures(&before)) {
            if now > before {
                metrics.signal.with_label_values(&[what]).inc_by(now - before);
            }
        }
        self.counted = now;
        let (now, before) = (self.room.assembly_stats(), self.counted_meeting);
        for ((what, now), (_, before)) in meeting_figures(&now).into_iter().zip(meeting_figures(&before)) {
            if now > before {
                metrics.meetings.with_label_values(&[what]).inc_by(now - before);
            }
        }
        for ((bound, now), (_, before)) in now.bounds.by_name().zip(before.bounds.by_name()) {
            if now > before {
                metrics.bounds.with_label_values(&[bound]).inc_by(now - before);
            }
        }
        self.counted_meeting = now;
    }
}

/// What a room counts, by name.
pub(crate) fn figures(stats: &RoomStats) -> [(&'static str, u64); 18] {
    [
        ("joins", stats.joins),
        ("joins_refused", stats.joins_refused),
        ("revoked_refused", stats.revoked_refused),
        ("resumes", stats.resumes),
        ("resumes_refused", stats.resumes_refused),
        ("sessions_lost", stats.sessions_lost),
        ("requests", stats.requests),
        ("requests_unknown", stats.requests_unknown),
        ("requests_refused", stats.requests_refused),
        ("malformed", stats.malformed),
        ("floods", stats.floods),
        ("data_messages", stats.data_messages),
        ("data_dropped", stats.data_dropped),
        ("captions_dropped", stats.captions_dropped),
        ("track_packets", stats.track_packets),
        ("senders_held", stats.senders_held),
        ("slow_readers", stats.slow_readers),
        ("media_failures", stats.media_failures),
    ]
}

/// What a meeting counts, by name.
pub(crate) fn meeting_figures(stats: &AssemblyStats) -> [(&'static str, u64); 17] {
    [
        ("knocks", stats.knocks),
        ("told_to_wait", stats.told_to_wait),
        ("refused_password", stats.refused_password),
        ("refused_locked", stats.refused_locked),
        ("refused_banned", stats.refused_banned),
        ("refused_full", stats.refused_full),
        ("waiting_expired", stats.waiting_expired),
        ("commands", stats.commands),
        ("commands_malformed", stats.commands_malformed),
        ("commands_too_many", stats.commands_too_many),
        ("commands_refused", stats.commands_refused),
        ("reactions_dropped", stats.reactions_dropped),
        ("snapshots", stats.snapshots),
        ("patches", stats.patches),
        ("removed", stats.removed),
        ("forgotten", stats.forgotten),
        ("handed_over", stats.handed_over),
    ]
}
