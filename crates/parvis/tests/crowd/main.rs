// SPDX-License-Identifier: EUPL-1.2
//! A running server and very many: connections that say nothing, messages without end, people in one room, and clients of
//! a relay that others wrote. One after the other, since each takes the machine for itself.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../common/mod.rs"]
mod common;

mod flood;
mod hall;
mod idle;
mod people;
mod turn_clients;
