// SPDX-License-Identifier: EUPL-1.2
//! How long a gap may be in what someone receives of someone else, and the arithmetic behind it.

use std::time::Duration;

use crate::deeds::Right;
use crate::link::LinkModel;
use crate::publish::{SILENT_EVERY, SPEECH};

/// How long nothing may come of someone's sound and pictures, and how long it may take until they come at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Duration,
    pub(crate) picture: Duration,
    pub(crate) sound: Duration,
    /// How much longer no sound may come of one who sends it discontinuously.
    pub(crate) silence: Duration,
    /// How long the server may say that it sends no pictures, where the receiver's line has room for them.
    pub(crate) pause: Duration,
    /// A line has a rate, or losses in bursts.
    pub(crate) narrow: bool,
}

impl Bounds {
    /// The arithmetic, for a publisher's line and a receiver's, each up and down, and a publisher whose pictures come so much
    /// `slower` than on a line without a rate.
    ///
    /// Without loss: of four frames of 33 ms the lowest temporal layer has one, 132 ms, and the pacer may hold one back
    /// for as long again; sound comes every 20 ms, a jitter's breadth apart. It begins after the exchange of descriptions
    /// (four round trips), a handshake (four) and a key frame, asked for at most every 500 ms.
    ///
    /// With loss: a gap is given up after 800 ms, then key frames are asked for each 300 ms by the receiver and each
    /// 500 ms by the server. A key frame of twelve packets comes whole after its repair in more than half of the cases at
    /// 10 % loss on both lines: eight tries leave less than a half percent, and gaps begin seldom. Of sound, twenty
    /// losses in a row at 20 % have a chance of 1e-14. Who sends it discontinuously and is silent sends five packets in two
    /// seconds, all of which may be lost in many a silence.
    ///
    /// Losses in bursts last for ten packets, of which a fifth comes: a hundred packets in a row are lost with a chance of
    /// 0.72 to the hundredth, 5e-15. Sound has those in two seconds.
    ///
    /// A line with a rate has its queue full while the estimate looks for that rate: each datagram takes so much longer, and
    /// what comes meanwhile is lost. That is over when the estimate has gone down, a round trip and the queue later. A gap is
    /// given up after 800 ms, and two key frames may be lost in the same queue, 500 ms apart: two seconds, with four round
    /// trips of such a length. Before that six seconds leave time for the first trials of the line (three and six times
    /// the beginning's 300 kbit/s), for what they overfill, and for another one.
    /// A line that can't carry the sound and what its client sends, whatever the server does, has no bound, and nor have
    /// pictures that the server said it would not send, unless there is room for them: then its estimate has to find out.
    /// On a line without a limit four seconds are enough for the same.
    pub(crate) fn of(publisher: [LinkModel; 2], receiver: [LinkModel; 2], slower: Duration) -> Bounds {
        let lines = [publisher[0], publisher[1], receiver[0], receiver[1]];
        let queues: Duration = lines.iter().filter(|line| line.rate.is_some()).map(|line| line.queue).sum();
        let round: Duration = lines.iter().map(|line| line.delay + line.jitter).sum();
        let shaky: Duration =
            lines.iter().map(|line| line.jitter).sum::<Duration>() + Duration::from_millis(20);
        let ms = Duration::from_millis;
        let (bursts, narrow) =
            (lines.iter().any(|line| line.bursts.is_some()), lines.iter().any(|line| line.rate.is_some()));
        if lines.iter().all(is_still) && !narrow {
            return Bounds {
                start: ms(1500) + round * 8,
                picture: ms(300) + shaky,
                sound: ms(60) + shaky,
                silence: SILENT_EVERY,
                pause: ms(4000),
                narrow: false,
            };
        }
        let lost_in_a_row = if bursts { ms(2000) } else { ms(400) };
        let full = queues * 4;
        let silence = SPEECH + SILENT_EVERY;
        let sound = lost_in_a_row + shaky + queues;
        if lines.iter().all(is_still) {
            return Bounds {
                start: ms(6000) + round * 8 + full + slower * 8,
                picture: ms(2000) + round * 4 + full + slower * 8,
                sound,
                silence,
                pause: ms(6000) + round * 4 + full,
                narrow,
            };
        }
        Bounds {
            start: ms(8000) + round * 16 + full + slower * 8,
            picture: ms(5000) + round * 8 + full + slower * 8,
            sound,
            silence,
            pause: ms(10_000) + round * 8 + full,
            narrow: bursts || narrow,
        }
    }
}

/// How long after a right was taken away what was sent before may still come down a receiver's line: a packet takes its delay, and
/// twice its jitter and 10 ms where it is overtaken, and what waits for its rate; from one forwarder to another and through
/// the pacer it takes a burst's 5 ms.
///
/// A message that may be lost waits in its channel besides, with no more than 64 KiB: 1.8 s at the 300 kbit/s of the narrowest
/// line, and where something is lost there may be a timeout of one second before it and one of two (RFC 9260 section 6.3.3).
/// That makes five seconds on every line: on a clean one, too, a flood fills the channel.
pub(crate) fn on_its_way(down: &LinkModel, right: Right) -> Duration {
    let ms = Duration::from_millis;
    let waits = if down.rate.is_some() { down.queue } else { Duration::ZERO };
    let packet = down.delay + down.jitter * 2 + waits + ms(10 + 5);
    packet + if right == Right::SendData { ms(5000) } else { Duration::ZERO }
}

/// Whether a line loses nothing by chance and keeps the order.
pub(crate) fn is_still(line: &LinkModel) -> bool {
    line.loss == 0.0 && line.reorder == 0.0 && line.bursts.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::BurstLoss;

    #[test]
    fn only_lines_without_loss_and_rate_have_the_tight_bounds_and_each_queue_counts() {
        let clean = [LinkModel::default(); 2];
        let with = |line: LinkModel| Bounds::of(clean, [line; 2], Duration::ZERO);
        let tight = with(LinkModel::default());
        assert_eq!((tight.picture, tight.narrow), (Duration::from_millis(320), false));
        let lossy = with(LinkModel { loss: 0.01, ..LinkModel::default() });
        assert_eq!((lossy.sound, lossy.narrow), (Duration::from_millis(420), false));
        let bursts = BurstLoss { begin: 0.002, end: 0.1, loss: 0.8 };
        let bursts = with(LinkModel { bursts: Some(bursts), ..LinkModel::default() });
        assert_eq!((bursts.sound, bursts.narrow), (Duration::from_millis(2020), true));
        let queue = Duration::from_millis(100);
        let narrow = with(LinkModel { rate: Some(500_000), queue, ..LinkModel::default() });
        assert_eq!(narrow.sound, lossy.sound + queue * 2);
        assert!(narrow.picture > tight.picture && narrow.picture < lossy.picture, "{narrow:?}");
    }
}
