// SPDX-License-Identifier: EUPL-1.2
//! Signalling: a client's WebSocket, and why it would be refused.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Extension, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use parvis_audit::{Act, Event, Who};
use parvis_signal::{Form, Join, JoinParams};

use super::{Refusal, Shared, Upgrade, door, no_websocket, token};
use crate::accept::Client;
use crate::account;
use crate::config::ConnectionLimits;
use crate::rooms::{Attached, JoinRefusal};
use crate::socket::{self, Outbound};
use crate::tenant::RoomKey;
use crate::token::{TokenError, Verified};
use crate::traces::Trace;

pub(crate) async fn dual(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    connect(Form::Dual, shared, client, headers, query, upgrade).await
}

pub(crate) async fn single(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    connect(Form::Single, shared, client, headers, query, upgrade).await
}

/// A client's WebSocket.
async fn connect(
    form: Form,
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let trace = shared.rooms.trace(Instant::now(), "join", &[("parvis.form", word_of(form))]);
    let entered = enter(&shared, form, &client, &headers, &query, upgrade, trace.as_ref()).await;
    if let (Some(trace), Err(refusal)) = (trace, &entered) {
        trace.end(Instant::now(), refusal.code, false);
    }
    let Entered { upgrade, attached, outbound, limits } = door::count(&shared, entered)?;
    let metrics = shared.rooms.metrics.clone();
    // Without permessage-deflate: axum's WebSocket does not offer it, so a message is as large as it was sent (row 28).
    let max = shared.rooms.live().config.room.message_bytes;
    Ok(socket::bounded(upgrade, max).on_upgrade(move |stream| async move {
        let _counted = client.permit;
        socket::serve(stream, attached, outbound, limits, metrics, None).await;
    }))
}

/// How a trace calls a form.
fn word_of(form: Form) -> &'static str {
    match form {
        Form::Dual => "dual",
        Form::Single => "single",
    }
}

/// A client whom its room knows, before its socket is open.
struct Entered {
    upgrade: WebSocketUpgrade,
    attached: Attached,
    outbound: Outbound,
    limits: ConnectionLimits,
}

/// Lets a client into its room before the upgrade, so that a refusal is an HTTP status.
async fn enter(
    shared: &Shared,
    form: Form,
    client: &Client,
    headers: &HeaderMap,
    query: &str,
    upgrade: Upgrade,
    trace: Option<&Trace>,
) -> Result<Entered, Refusal> {
    let begun = Instant::now();
    let admitted = admit(shared, form, client, headers, query);
    if let Err(refusal) = &admitted
        && refusal.code == "unauthorized"
    {
        let address = door::address(shared, client, headers);
        shared.rooms.note(Event::new("", Act::SignIn, Who::Nobody).from(address).refused(refusal.code));
    }
    let (address, verified, params) = admitted?;
    let anew = params.resume.is_none();
    let knows_who = Instant::now();
    if let Some(trace) = trace {
        trace.step("token", begun, knows_who);
        if !anew {
            // Its connections are there already: what is to be traced of a join is behind it.
            trace.end(knows_who, "comes back", true);
        }
    }
    let trace = trace.filter(|_| anew);
    if anew {
        // Who is in a call already comes back to it, whatever the log takes.
        shared.rooms.refuse_when_unlogged()?;
    }
    let upgrade = upgrade.map_err(no_websocket)?;
    client.permit.keep();
    let live = shared.rooms.live();
    let limits = live.config.connections.clone();
    let mut outbound = None;
    let queue = || {
        let (outgoing, end) = socket::queue(&limits);
        outbound = Some(end);
        outgoing
    };
    let opening = door::opening(&live, &verified);
    let Verified { tenant, room, grants, .. } = verified;
    let key = RoomKey::new(&tenant, &room);
    let who = Who::Person { identity: grants.identity.clone(), name: grants.name.clone() };
    let event = account::of(&key, Act::SignIn, who).from(address);
    let join = Join { grants, params, address: address.to_string() };
    let attached = shared.rooms.join(&key, opening.as_ref(), join, trace, queue).await.map_err(Refusal::from);
    if let Some(trace) = trace {
        trace.step("admission", knows_who, Instant::now());
    }
    match &attached {
        Ok(_) if anew => shared.rooms.note(event),
        Ok(_) => {}
        Err(refusal) => shared.rooms.note(event.refused(refusal.code)),
    }
    let attached = attached?;
    let outbound = outbound.ok_or(JoinRefusal::Ending)?;
    Ok(Entered { upgrade, attached, outbound, limits })
}

/// Why a client with two peer connections would be refused
///
/// Browsers hide the status of a failed WebSocket upgrade from the page: this says it.
#[utoipa::path(
    get,
    path = "/rtc/validate",
    tag = "signalling",
    params(
        ("access_token" = Option<String>, Query, description = "The token, if there is no header Authorization."),
    ),
    responses(
        (status = 200, description = "It would be let in."),
        (status = 400, description = "A parameter can't be read.", body = Refusal),
        (status = 401, description = "No token, one that does not hold, or one that was revoked.", body = Refusal),
        (status = 404, description = "There is no such room, and rooms don't come to be by themselves.", body = Refusal),
        (status = 429, description = "Too many joins from this address, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn validate_dual(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Refusal> {
    validate(Form::Dual, shared, client, headers, query).await
}

/// Why a client with one peer connection would be refused
#[utoipa::path(
    get,
    path = "/rtc/v1/validate",
    tag = "signalling",
    params(
        ("access_token" = Option<String>, Query, description = "The token, if there is no header Authorization."),
        ("join_request" = String, Query, description = "A WrappedJoinRequest in base64url."),
    ),
    responses(
        (status = 200, description = "It would be let in."),
        (status = 400, description = "A parameter can't be read.", body = Refusal),
        (status = 401, description = "No token, one that does not hold, or one that was revoked.", body = Refusal),
        (status = 404, description = "There is no such room, and rooms don't come to be by themselves.", body = Refusal),
        (status = 429, description = "Too many joins from this address, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn validate_single(
    shared: State<Shared>,
    client: Extension<Client>,
    headers: HeaderMap,
    query: RawQuery,
) -> Result<Response, Refusal> {
    validate(Form::Single, shared, client, headers, query).await
}

/// Says why a WebSocket would be refused: browsers hide the status of a failed upgrade from the page.
async fn validate(
    form: Form,
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let (_, verified, _) = admit(&shared, form, &client, &headers, &query.unwrap_or_default())?;
    door::refuse_when_draining(&shared)?;
    let key = RoomKey::new(&verified.tenant, &verified.room);
    let may_come_to_be =
        door::opening(&shared.rooms.live(), &verified).is_some() || shared.rooms.is_ahead(&key);
    if shared.rooms.participants(&key).is_none() && !may_come_to_be {
        return Err(JoinRefusal::NoRoom.into());
    }
    let grants = verified.grants;
    if let Some(Some(refused)) =
        shared.rooms.ask(&key, move |room, now| room.would_refuse(now, &grants)).await
    {
        return Err(JoinRefusal::from(refused).into());
    }
    door::refuse_when_full(&shared, &key)?;
    Ok("success".into_response())
}

/// Checks all that can be checked without the room: rate, token, parameters. Gives the address that it counts for as well.
fn admit(
    shared: &Shared,
    form: Form,
    client: &Client,
    headers: &HeaderMap,
    query: &str,
) -> Result<(IpAddr, Verified, JoinParams), Refusal> {
    let address = door::knock(shared, client, headers)?;
    let token = token(headers, query).ok_or(TokenError::Missing)?;
    let verified = shared.rooms.live().verify(&token)?;
    // A client that knows the newer form asks for it everywhere; its absence is what makes it fall back.
    let params = JoinParams::parse(form, query)?;
    Ok((address, verified, params))
}
