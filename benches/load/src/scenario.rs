// SPDX-License-Identifier: EUPL-1.2
//! What a run is: who joins, what they send, for how long.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::{LoadError, Target};

/// What a run is.
#[derive(Debug, Clone, Args, Serialize)]
pub struct Scenario {
    /// On whom.
    #[command(flatten)]
    #[serde(flatten)]
    pub target: Target,
    /// How many rooms.
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// In each room, so many who send and receive.
    #[arg(long, default_value_t = 0)]
    pub talkers: usize,
    /// In each room, so many who only send.
    #[arg(long, default_value_t = 0)]
    pub publishers: usize,
    /// In each room, so many who only receive.
    #[arg(long, default_value_t = 0)]
    pub subscribers: usize,
    /// Send no sound.
    #[arg(long)]
    pub no_audio: bool,
    /// Bits per second of sound, in packets of 20 ms.
    #[arg(long, default_value_t = 32_000, value_name = "BITS")]
    pub audio_bitrate: u32,
    /// In each room, so many of the senders speak; the others send a packet of silence each 400 ms. 0: all speak.
    #[arg(long, default_value_t = 0)]
    pub speaking: usize,
    /// Bits per second of a picture's highest layer; 0 sends no pictures.
    #[arg(long, default_value_t = 1_000_000, value_name = "BITS")]
    pub video_bitrate: u32,
    /// Simulcast layers, 1 to 3; each lower one has a third of the bits.
    #[arg(long, default_value_t = 1)]
    pub layers: usize,
    /// Frames per second.
    #[arg(long, default_value_t = 30)]
    pub fps: u32,
    /// Clients that join in a second.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub join_rate: u32,
    /// Seconds in which all must have joined.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub join_timeout: u64,
    /// Seconds between the last one's joining and the measurement.
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS")]
    pub settle: f64,
    /// Seconds of measurement; with --ramp-to, of each step.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// Raises the pictures' bits step by step from --video-bitrate to this, until packets are late or missing.
    #[arg(long, value_name = "BITS")]
    pub ramp_to: Option<u32>,
    /// What each step multiplies the bits by.
    #[arg(long, default_value_t = 1.25, value_name = "FACTOR")]
    pub ramp_factor: f64,
    /// One of so many receivers decrypts what it gets and reads the stamps in it; the others read headers only.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub open_every: usize,
}

impl Scenario {
    /// How many join in all.
    pub fn clients(&self) -> usize {
        self.rooms * self.clients_per_room()
    }

    /// How many join each room.
    pub fn clients_per_room(&self) -> usize {
        self.talkers + self.publishers + self.subscribers
    }

    /// In each room, how many receive what `sender_receives` or not sends.
    pub(crate) fn receivers(&self, sender_receives: bool) -> usize {
        self.talkers + self.subscribers - usize::from(sender_receives)
    }

    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), LoadError> {
        let wrong = |what: &str| Err(LoadError::Scenario(what.to_owned()));
        if self.rooms == 0 || self.clients_per_room() == 0 {
            return wrong("nobody joins: give --rooms and --talkers, --publishers or --subscribers");
        }
        if self.talkers + self.publishers == 0 {
            return wrong("nobody sends: give --talkers or --publishers");
        }
        if self.talkers + self.subscribers == 0 {
            return wrong("nobody receives: give --talkers or --subscribers");
        }
        if self.no_audio && self.video_bitrate == 0 {
            return wrong("--no-audio and --video-bitrate 0 leave nothing to send");
        }
        if !(1..=3).contains(&self.layers) {
            return wrong("--layers is 1, 2 or 3");
        }
        if !(1..=120).contains(&self.fps) {
            return wrong("--fps is 1 to 120");
        }
        if self.open_every == 0 || self.join_rate == 0 {
            return wrong("--open-every and --join-rate are at least 1");
        }
        let (least, most) = (12_000, 400_000);
        if !self.no_audio && !(least..=most).contains(&self.audio_bitrate) {
            return wrong(
                "--audio-bitrate is 12000 to 400000: a stamp must fit into a packet, and a packet into 1,200 bytes",
            );
        }
        if self.video_bitrate.max(self.ramp_to.unwrap_or(0)) > 200_000_000 {
            return wrong("--video-bitrate and --ramp-to are at most 200000000");
        }
        if self.ramp_to.is_some_and(|to| self.video_bitrate == 0 || to < self.video_bitrate) {
            return wrong("--ramp-to is --video-bitrate or more, and that is not 0");
        }
        if !(1.05..=4.0).contains(&self.ramp_factor) {
            return wrong("--ramp-factor is 1.05 to 4");
        }
        if !(self.seconds > 0.0 && self.seconds <= 86_400.0 && (0.0..=3_600.0).contains(&self.settle)) {
            return wrong("--seconds is above 0 and at most a day, --settle at most an hour");
        }
        self.target.check()
    }

    /// The pictures' bits in the step after that of `bits`; `None` when it was the last.
    pub(crate) fn step_after(&self, bits: u32) -> Option<u32> {
        let to = self.ramp_to.filter(|to| bits < *to)?;
        Some(((f64::from(bits) * self.ramp_factor) as u32).min(to))
    }

    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn settled(&self) -> Duration {
        Duration::from_secs_f64(self.settle)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        scenario: Scenario,
    }

    fn of(arguments: &str) -> Scenario {
        Line::parse_from(["load"].into_iter().chain(arguments.split_whitespace())).scenario
    }

    #[test]
    fn a_scenario_that_makes_no_sense_says_what_to_do() {
        for (arguments, part) in [
            ("", "nobody joins"),
            ("--subscribers 3", "nobody sends"),
            ("--publishers 3", "nobody receives"),
            ("--talkers 2 --no-audio --video-bitrate 0", "nothing to send"),
            ("--talkers 2 --layers 4", "--layers"),
            ("--talkers 2 --seconds 0", "--seconds"),
            ("--talkers 2 --audio-bitrate 1000", "--audio-bitrate"),
            ("--talkers 2 --server http://x", "ws://"),
            ("--talkers 2 --video-bitrate 500000 --ramp-to 400000", "--ramp-to"),
            ("--talkers 2 --ramp-to 2000000 --ramp-factor 1", "--ramp-factor"),
        ] {
            let error = of(arguments).check().unwrap_err().to_string();
            assert!(error.contains(part), "{arguments}: {error}");
        }
        let good = of("--rooms 10 --talkers 6 --publishers 1 --subscribers 2");
        good.check().unwrap();
        assert_eq!((good.clients(), good.receivers(true), good.receivers(false)), (90, 7, 8));
    }

    #[test]
    fn steps_end_at_the_bits_that_were_named() {
        let ramp = of("--talkers 2 --video-bitrate 100000 --ramp-to 350000 --ramp-factor 2");
        ramp.check().unwrap();
        let steps: Vec<u32> =
            std::iter::successors(Some(ramp.video_bitrate), |bits| ramp.step_after(*bits)).collect();
        assert_eq!(steps, [100_000, 200_000, 350_000]);
        assert_eq!(of("--talkers 2").step_after(100_000), None);
    }
}
