// SPDX-License-Identifier: EUPL-1.2
//! How much a path can carry.
//!
//! [`Receiver`] reports to a peer which of its packets arrived and when; [`Sender`] reads such reports of a peer and
//! estimates what can be sent to it. The estimate follows draft-ietf-rmcat-gcc-02: one controller watches how delays
//! grow (`trend`, steered by `aimd`), one watches losses (`loss`), and the lower of the two counts. What was
//! acknowledged (`rate`) bounds it from above, so that nobody is believed to take more than was ever tried; `probe`
//! tries more, most of all while the application sends less than it may (`limited`). All of it belongs to one transport and knows nothing of streams.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use parvis_sfu::bwe::{Sender, SenderConfig, SentKind};
//!
//! let now = Instant::now();
//! let mut sender = Sender::new(SenderConfig::default(), now);
//! let transport_sequence = sender.on_sent(now, 1200, SentKind::Media, None);
//! assert_eq!((transport_sequence, sender.estimate()), (0, 300_000));
//! ```

mod aimd;
mod history;
mod limited;
mod loss;
mod probe;
mod rate;
mod receiver;
mod sender;
mod trend;

pub use probe::Probe;
pub use receiver::Receiver;
pub use sender::{Carried, Sender, SenderConfig, SenderStats, SentKind};

#[cfg(test)]
mod tests;
