// SPDX-License-Identifier: EUPL-1.2
//! What a server and a composer of films know of each other beyond the command line.

/// What a composer ends with of which a process that made a part of the film died: another composer goes on from there, and may fare
/// better. One that says why the film can't be made ends with 1.
pub const FILM_PART_DIED: u8 = 71;
