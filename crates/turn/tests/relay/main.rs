// SPDX-License-Identifier: EUPL-1.2
//! A TURN server, spoken to by clients that know nothing but its messages.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lab;
mod methods;
mod rows;
