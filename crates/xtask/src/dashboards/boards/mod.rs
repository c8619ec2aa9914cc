// SPDX-License-Identifier: EUPL-1.2
//! What is to be seen, one file for each dashboard. `$instance` stands for the servers that were chosen, `$__rate_interval` for
//! a time that holds at least four scrapes.

mod appliance;
mod forwarding;
mod overview;
mod quality;
mod recording;
mod rooms;
mod security;

use super::Board;

/// All of them, in the order of a look from above to below.
pub(super) const ALL: &[Board] = &[
    overview::BOARD,
    rooms::BOARD,
    quality::BOARD,
    forwarding::BOARD,
    recording::BOARD,
    appliance::BOARD,
    security::BOARD,
];
