// SPDX-License-Identifier: EUPL-1.2
//! Encoders: which there are on this machine, which one is taken, and who goes on when it fails.
//!
//! `settings` is what we ask for, `table` what each element calls it, `apply` sets it. `running` is one encoder at work,
//! [`Encoder`] a row of them, of which the next goes on where one fails. [`probe`] finds out which work, each in a
//! process of its own, which does what [`trial`] says. [`pattern`] has the pictures for that.
//!
//! No machine with a GPU has seen this yet: `docs/hardware.md` says what is proven and how the rest can be.

pub mod pattern;
pub mod probe;
pub mod trial;

mod apply;
mod choice;
mod encoder;
mod report;
mod running;
mod settings;
mod survey;
mod table;

pub use apply::{Deviation, Why};
pub use choice::{Choice, ChoiceError, Devices, Encoders, Wanted, choose};
pub use encoder::{EncodeError, Encoder, KEY, MAX_HELD, Switch, Unit};
pub use report::text;
pub use running::{Refusal, Stage};
pub use settings::{Family, Latency, Profile, RateControl, Settings, Shape, Speed, VideoCodec};
pub use survey::Survey;
pub use table::Candidate;
