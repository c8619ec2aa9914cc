// SPDX-License-Identifier: EUPL-1.2
//! The way into a room, one for all who come: a guest by a link, a client by its socket, an encoder or a screen by an offer.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};

use super::{Refusal, Shared};
use crate::accept::{Client, client_ip};
use crate::live::InForce;
use crate::rooms::{JoinRefusal, Opening};
use crate::tenant::RoomKey;
use crate::token::Verified;

/// The address that a request counts for.
pub(crate) fn address(shared: &Shared, client: &Client, headers: &HeaderMap) -> IpAddr {
    // Some proxies write into the line that a client sent, others put one of their own after it.
    let lines = headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or_default());
    client_ip(client.peer.ip(), lines, &shared.rooms.live().config.trusted_proxies)
}

/// Someone knocks. Gives the address that it counts for, unless too many came from there.
pub(crate) fn knock(shared: &Shared, client: &Client, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
    let address = address(shared, client, headers);
    let rate = shared.rooms.live().config.connections.joins;
    if shared.joins.admit(rate, address, Instant::now()) {
        return Ok(address);
    }
    let message = "too many joins from this address; wait a moment";
    Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message))
}

/// Someone knocks as [`knock`] says who has no session to take up: a server that is about to stop lets none in.
pub(crate) fn knock_anew(shared: &Shared, client: &Client, headers: &HeaderMap) -> Result<IpAddr, Refusal> {
    let address = knock(shared, client, headers)?;
    refuse_when_draining(shared)?;
    shared.rooms.refuse_when_unlogged()?;
    Ok(address)
}

pub(crate) fn refuse_when_draining(shared: &Shared) -> Result<(), Refusal> {
    if shared.rooms.is_draining() { Err(JoinRefusal::Draining.into()) } else { Ok(()) }
}

/// What a room begins with for whoever has this token; `None` when it may not come to be by it.
pub(crate) fn opening(live: &InForce, verified: &Verified) -> Option<Opening> {
    let may = live.config.auto_create || verified.may_create;
    may.then(|| Opening { agents: verified.agents.clone() })
}

/// Says at the door what the room would say: that as many are there as it takes.
pub(crate) fn refuse_when_full(shared: &Shared, room: &RoomKey) -> Result<(), Refusal> {
    let limit = shared.rooms.live().config.room.meeting.participants;
    if shared.rooms.participants(room).is_some_and(|there| there >= limit) {
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "room_full", "the room is full"));
    }
    Ok(())
}

/// Counts who came in, and who was refused and why.
pub(crate) fn count<T>(shared: &Shared, came: Result<T, Refusal>) -> Result<T, Refusal> {
    let outcome = came.as_ref().map_or_else(|refusal| refusal.code, |_| "ok");
    shared.rooms.metrics.joins.with_label_values(&[outcome]).inc();
    came
}
