// SPDX-License-Identifier: EUPL-1.2
//! Who is heard in a big room: the N loudest tracks, and whoever just began to speak.
//!
//! A place is given at the first loud packet, so that no word loses its beginning, and is kept over pauses, so that
//! none loses its middle. It is taken away only when there are more than N: first from who has been silent longest, and
//! among those who speak, from the quietest one that was heard for a while. That one comes back after a pause of its
//! own, or when it is clearly louder than somebody who is heard: nobody flaps.

use std::time::{Duration, Instant};

use super::super::MediaConfig;

/// How much louder one must be to take another's place, in dB.
const MARGIN_DB: f32 = 6.0;
/// Weight of a packet in the smoothed loudness: packets of 20 ms make it follow in 160 ms.
const SMOOTHING: f32 = 1.0 / 8.0;
/// The level of silence (RFC 6464), in −dBov.
const SILENT: u8 = 127;

/// What a packet's track is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Heard,
    /// It was just let in, perhaps in another's place.
    Entered {
        instead_of: Option<usize>,
    },
    /// `refused` when it is speech for which there was no place.
    Unheard {
        refused: bool,
    },
}

/// The stage of one room. Tracks are known by their publication's place.
#[derive(Debug)]
pub(crate) struct Stage {
    /// 0: everyone is heard.
    limit: usize,
    extra: usize,
    speech_level: u8,
    hangover: Duration,
    hold: Duration,
    /// By publication's place.
    seats: Vec<Seat>,
    /// Places of those who are heard.
    heard: Vec<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seat {
    heard: bool,
    /// Smoothed, in dB above silence.
    loudness: f32,
    last_loud: Option<Instant>,
    entered: Option<Instant>,
    left: Option<Instant>,
    /// It lost its place while it spoke, or found none: what it says now is no beginning.
    displaced: bool,
}

impl Seat {
    fn speaks(&self, now: Instant, hangover: Duration) -> bool {
        self.last_loud.is_some_and(|last| now.saturating_duration_since(last) < hangover)
    }

    fn is_settled(&self, now: Instant, hold: Duration) -> bool {
        self.entered.is_none_or(|entered| now.saturating_duration_since(entered) >= hold)
    }
}

impl Stage {
    pub(crate) fn new(config: &MediaConfig) -> Stage {
        Stage {
            limit: config.loudest_tracks,
            extra: config.loudest_tracks_extra,
            speech_level: config.speech_level,
            hangover: config.speech_hangover,
            hold: config.stage_hold,
            seats: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// A packet came on the track at `place`, `level` loud (−dBov).
    pub(super) fn on_packet(&mut self, now: Instant, place: usize, level: u8) -> Standing {
        if self.limit == 0 {
            return Standing::Heard;
        }
        if self.seats.len() <= place {
            self.seats.resize(place + 1, Seat::default());
        }
        let loud = level <= self.speech_level;
        let seat = &mut self.seats[place];
        seat.loudness += (f32::from(SILENT - level.min(SILENT)) - seat.loudness) * SMOOTHING;
        if !seat.speaks(now, self.hangover) {
            seat.displaced = false;
        }
        if loud {
            seat.last_loud = Some(now);
        }
        if seat.heard {
            return Standing::Heard;
        }
        let begins = loud && !seat.displaced;
        let loudness = seat.loudness;
        let free = self.heard.len() < self.limit || (begins && self.heard.len() < self.limit + self.extra);
        if free {
            self.enter(now, place);
            return Standing::Entered { instead_of: None };
        }
        if !loud {
            return Standing::Unheard { refused: false };
        }
        let silent = self.longest_silent(now).filter(|_| begins || self.heard.len() <= self.limit);
        let other = silent.or_else(|| {
            let weakest = self.weakest_settled(now)?;
            (loudness > self.seats[weakest].loudness + MARGIN_DB).then_some(weakest)
        });
        match other {
            Some(other) => {
                self.leave(now, other);
                self.enter(now, place);
                Standing::Entered { instead_of: Some(other) }
            }
            None => {
                self.seats[place].displaced = true;
                Standing::Unheard { refused: begins }
            }
        }
    }

    /// Takes one who is too many off the stage, if there is one.
    pub(super) fn trim(&mut self, now: Instant) -> Option<usize> {
        if self.limit == 0 || self.heard.len() <= self.limit {
            return None;
        }
        // Who has just begun is heard beside the loudest, for a while.
        let settled = self.heard.iter().filter(|at| self.seats[**at].is_settled(now, self.hold)).count();
        let weakest = || self.weakest_settled(now).filter(|_| settled > self.limit);
        let place = self.longest_silent(now).or_else(weakest)?;
        self.leave(now, place);
        Some(place)
    }

    /// Forgets a track that was muted or is gone.
    pub(super) fn remove(&mut self, place: usize) {
        self.heard.retain(|other| *other != place);
        if let Some(seat) = self.seats.get_mut(place) {
            *seat = Seat::default();
        }
    }

    /// When a track lost its place last: what came before that was forwarded.
    pub(super) fn left_at(&self, place: usize) -> Option<Instant> {
        self.seats.get(place)?.left
    }

    fn enter(&mut self, now: Instant, place: usize) {
        self.seats[place].heard = true;
        self.seats[place].entered = Some(now);
        self.heard.push(place);
    }

    fn leave(&mut self, now: Instant, place: usize) {
        self.heard.retain(|other| *other != place);
        let speaks = self.seats[place].speaks(now, self.hangover);
        let seat = &mut self.seats[place];
        (seat.heard, seat.left, seat.displaced) = (false, Some(now), speaks);
    }

    fn longest_silent(&self, now: Instant) -> Option<usize> {
        let silent = self.heard.iter().copied().filter(|at| !self.seats[*at].speaks(now, self.hangover));
        silent.min_by_key(|at| (self.seats[*at].last_loud, *at))
    }

    fn weakest_settled(&self, now: Instant) -> Option<usize> {
        let settled = self.heard.iter().copied().filter(|at| self.seats[*at].is_settled(now, self.hold));
        settled.min_by(|a, b| self.seats[*a].loudness.total_cmp(&self.seats[*b].loudness).then(a.cmp(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: u8 = 90;

    fn stage(limit: usize) -> Stage {
        Stage::new(&MediaConfig { loudest_tracks: limit, loudest_tracks_extra: 2, ..MediaConfig::default() })
    }

    /// Everybody sends a packet each 20 ms; returns who entered and who left.
    fn talk(stage: &mut Stage, from: Instant, packets: u32, levels: &[u8]) -> (Instant, usize) {
        let (mut now, mut changes) = (from, 0);
        for packet in 0..packets {
            for (place, level) in levels.iter().enumerate() {
                changes +=
                    usize::from(matches!(stage.on_packet(now, place, *level), Standing::Entered { .. }));
            }
            if packet % 5 == 4 {
                while stage.trim(now).is_some() {
                    changes += 1;
                }
            }
            now += Duration::from_millis(20);
        }
        (now, changes)
    }

    fn heard(stage: &Stage) -> Vec<usize> {
        let mut heard = stage.heard.clone();
        heard.sort_unstable();
        heard
    }

    #[test]
    fn whoever_begins_to_speak_is_heard_from_the_first_loud_packet_and_the_silent_make_room() {
        let mut stage = stage(2);
        let (now, _) = talk(&mut stage, Instant::now(), 50, &[QUIET, QUIET, QUIET, QUIET]);
        assert_eq!(heard(&stage), [0, 1], "the first to come, while nobody speaks");
        assert_eq!(stage.on_packet(now, 3, 20), Standing::Entered { instead_of: None });
        let (now, _) = talk(&mut stage, now, 10, &[QUIET, QUIET, QUIET, 20]);
        assert_eq!(heard(&stage), [1, 3]);
        talk(&mut stage, now, 10, &[QUIET, QUIET, 20, 20]);
        assert_eq!(heard(&stage), [2, 3]);
    }

    #[test]
    fn a_pause_between_words_costs_nobody_a_place() {
        let mut stage = stage(2);
        let (now, _) = talk(&mut stage, Instant::now(), 50, &[20, 20, QUIET]);
        let (now, _) = talk(&mut stage, now, 20, &[20, QUIET, QUIET]);
        let (now, changes) = talk(&mut stage, now, 20, &[20, QUIET, 20]);
        assert_eq!(
            (heard(&stage), changes),
            (vec![0, 1, 2], 1),
            "400 ms of silence, then a third speaks too"
        );
        talk(&mut stage, now, 20, &[20, QUIET, 20]);
        assert_eq!(heard(&stage), [0, 2], "after the hangover the silent one makes room");
    }

    #[test]
    fn when_too_many_speak_the_quietest_leaves_and_does_not_flap() {
        let mut stage = stage(2);
        let (now, _) = talk(&mut stage, Instant::now(), 50, &[10, 20, 30]);
        assert_eq!(heard(&stage), [0, 1, 2], "the third is heard at first");
        let (now, _) = talk(&mut stage, now, 100, &[10, 20, 30]);
        assert_eq!(heard(&stage), [0, 1]);
        let (now, changes) = talk(&mut stage, now, 500, &[10, 20, 30]);
        assert_eq!(changes, 0, "what it says in the same breath is no new beginning");
        let (now, changes) = talk(&mut stage, now, 500, &[10, 20, 17]);
        assert_eq!(changes, 0, "three dB more are not clearly louder");
        let (now, changes) = talk(&mut stage, now, 500, &[10, 20, 12]);
        assert_eq!((heard(&stage), changes), (vec![0, 2], 1), "eight dB more are");
        let (now, _) = talk(&mut stage, now, 60, &[10, QUIET, 12]);
        let (_, changes) = talk(&mut stage, now, 5, &[10, 30, 12]);
        assert_eq!((heard(&stage), changes), (vec![0, 1, 2], 1), "after a pause one begins anew");
    }

    #[test]
    fn applause_brings_no_more_than_the_bound() {
        let mut stage = stage(3);
        let levels = [15; 200];
        let (now, _) = talk(&mut stage, Instant::now(), 1, &[QUIET; 200]);
        let (now, _) = talk(&mut stage, now, 3, &levels);
        assert_eq!(stage.heard.len(), 5);
        talk(&mut stage, now, 200, &levels);
        assert_eq!(stage.heard.len(), 3);
    }

    #[test]
    fn the_muted_leave_at_once_and_without_a_limit_everyone_is_heard() {
        let mut stage = stage(1);
        let (now, _) = talk(&mut stage, Instant::now(), 5, &[20, QUIET]);
        stage.remove(0);
        assert_eq!(stage.on_packet(now, 1, QUIET), Standing::Entered { instead_of: None });
        let mut all = Stage::new(&MediaConfig { loudest_tracks: 0, ..MediaConfig::default() });
        assert!((0..1000).all(|place| all.on_packet(now, place, QUIET) == Standing::Heard));
    }
}
