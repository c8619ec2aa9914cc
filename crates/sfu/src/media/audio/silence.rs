// SPDX-License-Identifier: EUPL-1.2
//! A track that stops in the middle of a sound would ring on in the receiver's concealment. So it ends in a few frames
//! of silence under the numbers that come next, whoever stopped it: a mute, or louder ones on the stage.

use std::time::{Duration, Instant};

use super::super::Egress;
use super::super::emit::Sender;
use super::super::room::RoomMedia;
use crate::TrackId;

/// 20 ms of Opus in stereo that decode to silence: CELT, full band (RFC 6716 section 3.1), an empty frame.
pub(crate) const OPUS_SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
/// Frames of silence at the end of a sound: the decoder has faded out after two.
pub(crate) const SILENCE_FRAMES: u8 = 5;
/// Frames of silence in a second.
pub(crate) const FRAME_PER_SECOND: u32 = 50;
const FRAME: Duration = Duration::from_millis(1000 / FRAME_PER_SECOND as u64);

/// A track that is ending.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hush {
    place: usize,
    /// Its place may be another's by now.
    track: TrackId,
    due: Instant,
    left: u8,
}

impl RoomMedia {
    /// Lets a track end in silence for those who heard it and no longer do.
    pub(crate) fn hush(&mut self, now: Instant, place: usize) {
        let Some(publication) = self.publications.get(place) else { return };
        if publication.plain {
            return;
        }
        self.hushes.retain(|hush| hush.place != place);
        self.hushes.push(Hush { place, track: publication.track, due: now, left: SILENCE_FRAMES });
        self.due_publications.no_later_than(place, Some(now));
    }

    /// Sends the frames of silence that are due.
    pub(crate) fn run_hushes(&mut self, now: Instant, egress: &mut impl Egress) {
        let mut hushes = std::mem::take(&mut self.hushes);
        hushes.retain_mut(|hush| {
            let publication = self.publications.get(hush.place);
            let Some(publication) = publication.filter(|publication| publication.track == hush.track) else {
                return false;
            };
            if hush.due > now {
                return true;
            }
            for &slot in &publication.subscribers {
                let subscription = &mut self.subscriptions[slot];
                let peer = &mut self.peers[subscription.peer];
                if peer.is_connected()
                    && let Some(out) = subscription.silence(now, publication.rtp_clock())
                {
                    let (stats, events) = (&mut self.stats, &mut self.events);
                    let mut sender =
                        Sender { now, epoch: self.epoch, peer, subscription, publication, stats, events };
                    sender.emit(out, false, egress);
                }
            }
            hush.left -= 1;
            hush.due += FRAME;
            hush.left > 0
        });
        self.hushes = hushes;
        for hush in &self.hushes {
            self.due_publications.no_later_than(hush.place, Some(hush.due));
        }
    }
}
