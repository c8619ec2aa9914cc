// SPDX-License-Identifier: EUPL-1.2
//! A meeting in real time: people who send pictures and sound to a worker, over a way that loses some, with clocks that run
//! apart.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parvis_jobs::{Codec, Participant, ToServer, ToWorker, UnixMicros};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::Fallible;
use crate::input::{Frames, RATE, SOUND_DELAY, SOUND_MS};
use crate::sender::Sender;
use crate::worker::Worker;

/// Sender reports are so far apart.
const REPORTS: Duration = Duration::from_secs(1);
/// How long it takes until a packet that was lost comes again.
const REPAIR: Duration = Duration::from_millis(60);
/// How often what is due is looked for.
const STEP: Duration = Duration::from_millis(2);

/// What the way and the clocks do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// The share of packets that are lost.
    pub(crate) loss: f64,
    /// Millionths by which the clock of pictures runs ahead, and that of sound behind.
    pub(crate) drift: f64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) repaired: u64,
    /// The last that the worker told of itself.
    pub(crate) progress: Option<ToServer>,
    /// How late the latest step was, in milliseconds: beyond some, the machine was too busy to say anything.
    pub(crate) latest_ms: f64,
}

struct Track {
    sender: Sender,
    frames: Vec<Vec<u8>>,
    /// Frames a second.
    rate: u64,
    sent: u64,
    /// How much faster than time the clock runs.
    clock: f64,
    /// By how much what is sent is older than when it leaves its encoder, in seconds.
    delay: f64,
}

/// See the module's page.
pub(crate) struct Meeting {
    tracks: Vec<Track>,
    begun: Instant,
    way: Way,
    random: ChaCha8Rng,
    /// Packets that come again, by when.
    late: BTreeMap<(Instant, u64), Vec<u8>>,
    reported: Instant,
    pub(crate) counted: Counted,
}

pub(crate) fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(0))
}

impl Meeting {
    /// All come, and begin to send.
    pub(crate) fn begin(worker: &mut Worker, people: Vec<Frames>, way: Way) -> Fallible<Meeting> {
        let mut tracks = Vec::new();
        for (number, Frames { pictures, sounds }) in people.into_iter().enumerate() {
            let id = format!("PA_{number}");
            let name = format!("Person {number}");
            let participant = Participant { id: id.clone(), identity: id.clone(), name };
            worker.say(&ToWorker::Joined { participant, at: now() })?;
            let ssrc = u32::try_from(number)? * 2 + 1;
            let ahead = way.drift / 1e6;
            for (codec, ssrc, frames, rate, clock, delay) in [
                (Codec::Vp8, ssrc, pictures, RATE, 1.0 + ahead, 0.0),
                (Codec::Opus, ssrc + 1, sounds, 1_000 / SOUND_MS, 1.0 - ahead, SOUND_DELAY),
            ] {
                let sender = Sender::new(&id, codec, ssrc, now())?;
                worker.say(&ToWorker::Source(Box::new(sender.source.clone())))?;
                tracks.push(Track { sender, frames, rate, sent: 0, clock, delay });
            }
        }
        // Control and media are two ways: sources are known once progress tells of them.
        let count = tracks.len();
        worker
            .until(|message| matches!(message, ToServer::Progress { tracks, .. } if tracks.len() == count))?;
        worker.stop_waiting()?;
        let begun = Instant::now();
        Ok(Meeting {
            tracks,
            begun,
            way,
            random: ChaCha8Rng::seed_from_u64(1),
            late: BTreeMap::new(),
            reported: begun,
            counted: Counted::default(),
        })
    }

    /// Goes on until so long after its beginning.
    pub(crate) fn go_on(&mut self, worker: &mut Worker, until: Duration) -> Fallible<()> {
        worker.heard()?;
        while self.begun.elapsed() < until {
            let started = Instant::now();
            self.send(worker)?;
            self.listen(worker)?;
            let late = started.elapsed().as_secs_f64() * 1e3;
            self.counted.latest_ms = self.counted.latest_ms.max(late);
            std::thread::sleep(STEP.saturating_sub(started.elapsed()));
        }
        Ok(())
    }

    fn send(&mut self, worker: &mut Worker) -> Fallible<()> {
        let elapsed = self.begun.elapsed();
        for track in &mut self.tracks {
            while Duration::from_nanos(track.sent * 1_000_000_000 / track.rate) <= elapsed {
                let place = usize::try_from(track.sent)? % track.frames.len().max(1);
                let frame = track.frames.get(place).ok_or("no frames")?;
                let seconds = track.sent as f64 / track.rate as f64;
                let timestamp = track.timestamp(seconds - track.delay);
                for packet in track.sender.packets(frame, timestamp)? {
                    self.counted.packets += 1;
                    if self.random.random_bool(self.way.loss) {
                        self.counted.lost += 1;
                    } else {
                        worker.send(&packet)?;
                    }
                }
                track.sent += 1;
            }
        }
        let now = Instant::now();
        while let Some(entry) = self.late.first_entry().filter(|entry| entry.key().0 <= now) {
            worker.send(&entry.remove())?;
            self.counted.repaired += 1;
        }
        if now.duration_since(self.reported) >= REPORTS {
            self.reported = now;
            for track in &self.tracks {
                let rtp_timestamp = track.timestamp(self.begun.elapsed().as_secs_f64());
                let at = self::now();
                worker.say(&ToWorker::SenderReport {
                    track: track.sender.source.track.clone(),
                    rtp_timestamp,
                    at,
                })?;
            }
        }
        Ok(())
    }

    fn listen(&mut self, worker: &mut Worker) -> Fallible<()> {
        for message in worker.heard()? {
            match message {
                ToServer::Nack { track, sequences } => {
                    let track = self.tracks.iter_mut().find(|one| one.sender.source.track == track);
                    let Some(track) = track else { continue };
                    for sequence in sequences {
                        let Some(packet) = track.sender.again(sequence)? else { continue };
                        if !self.random.random_bool(self.way.loss) {
                            let number = self.counted.repaired + self.late.len() as u64;
                            self.late.insert((Instant::now() + REPAIR, number), packet);
                        }
                    }
                }
                ToServer::Failed(failure) => return Err(failure.into()),
                progress @ ToServer::Progress { .. } => self.counted.progress = Some(progress),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Track {
    /// What the sender's clock shows so many seconds after the beginning, at which it showed a second.
    fn timestamp(&self, seconds: f64) -> u32 {
        let ticks = (1.0 + seconds) * self.clock * f64::from(self.sender.source.clock_rate);
        // A clock of 32 bits begins anew.
        (ticks as u64 & u64::from(u32::MAX)) as u32
    }
}
