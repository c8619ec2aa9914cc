// SPDX-License-Identifier: EUPL-1.2
//! What a link does to a datagram.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;

/// A link between a client and the server, the same both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkModel {
    /// The least time that a datagram takes.
    pub delay: Duration,
    /// How much longer it may take; datagrams overtake each other within it.
    pub jitter: Duration,
    /// The share of datagrams that are lost.
    pub loss: f64,
    /// The share of datagrams that arrive twice.
    pub duplication: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        LinkModel { delay: Duration::from_millis(10), jitter: Duration::ZERO, loss: 0.0, duplication: 0.0 }
    }
}

impl LinkModel {
    /// How long each copy of a datagram takes: none when it is lost.
    pub(crate) fn travel(&self, random: &mut ChaCha20Rng) -> Vec<Duration> {
        let mut copies = Vec::with_capacity(1);
        if random.random::<f64>() < self.loss {
            return copies;
        }
        copies.push(self.once(random));
        if random.random::<f64>() < self.duplication {
            copies.push(self.once(random));
        }
        copies
    }

    fn once(&self, random: &mut ChaCha20Rng) -> Duration {
        self.delay + self.jitter.mul_f64(random.random())
    }
}
