// SPDX-License-Identifier: EUPL-1.2
//! A session's beginning: an offer, its answer, and the session's URL.

use std::net::IpAddr;

use axum::extract::{Extension, Path, Query, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use livekit_protocol::IceServer;
use parvis_signal::{Grants, Offer, OfferError, Purpose, Target};
use serde::Deserialize;

use super::register;
use super::stream_key::{self, Stream};
use super::{Answered, Bearer, Body, NoAnswer, SDP, fragment, insert, not_allowed, text};
use crate::accept::Client;
use crate::http::{Refusal, Shared, door, token};
use crate::rooms::Opening;
use crate::tenant::RoomKey;
use crate::token::{TokenError, Verified};

/// Publish by an offer (WHIP, RFC 9725)
///
/// The bearer is a token that allows to publish, or the stream key of an ingress.
#[utoipa::path(
    post,
    path = "/whip/v1",
    tag = "offers",
    request_body(content = String, content_type = "application/sdp"),
    responses(
        (status = 201, description = "The answer. Location has the session's URL, ETag its ICE session.", body = String, content_type = "application/sdp"),
        (status = 400, description = "The offer can't be read or taken.", body = Refusal),
        (status = 401, description = "No token or stream key, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token does not allow it.", body = Refusal),
        (status = 404, description = "There is no such room, and rooms don't come to be by themselves.", body = Refusal),
        (status = 413, description = "The offer is too large.", body = Refusal),
        (status = 415, description = "The body is of another type.", body = Refusal),
        (status = 422, description = "The offer sends nothing that could be taken.", body = Refusal),
        (status = 429, description = "Too many joins or sessions, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn publish(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refusal> {
    let answered = door::count(&shared, publisher(&shared, &client, &headers, query, body).await)?;
    created(&shared, "whip", answered)
}

async fn publisher(
    shared: &Shared,
    client: &Client,
    headers: &HeaderMap,
    query: Option<String>,
    body: Body,
) -> Result<Answered, Refusal> {
    let comer = comer(shared, client, headers, query).await?;
    if !comer.grants.permissions.can_publish {
        return Err(not_allowed("the token does not allow to publish"));
    }
    let sdp = text(headers, SDP, body)?;
    let identity = comer.grants.identity.clone();
    let answered = bring(shared, comer, Purpose::Publish, sdp).await?;
    tracing::info!(%identity, session = answered.id, "publishes by an offer");
    Ok(answered)
}

#[derive(Deserialize)]
pub(crate) struct Watched {
    participant: Option<String>,
}

/// Watch by an offer (WHEP)
///
/// Shows whoever speaks, or the participant that is named.
#[utoipa::path(
    post,
    path = "/whep/{room}",
    tag = "offers",
    params(
        ("room" = String, Path, description = "The room's name."),
        ("participant" = Option<String>, Query, description = "The identity of the only one to watch."),
    ),
    request_body(content = String, content_type = "application/sdp"),
    responses(
        (status = 201, description = "The answer. Location has the session's URL, ETag its ICE session.", body = String, content_type = "application/sdp"),
        (status = 400, description = "The offer can't be read or taken.", body = Refusal),
        (status = 401, description = "No token, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token does not allow it, or is for another room.", body = Refusal),
        (status = 409, description = "Nobody is there to be watched.", body = Refusal),
        (status = 413, description = "The offer is too large.", body = Refusal),
        (status = 415, description = "The body is of another type.", body = Refusal),
        (status = 422, description = "The offer receives nothing that could be sent.", body = Refusal),
        (status = 429, description = "Too many joins or sessions, or the room is full.", body = Refusal),
        (status = 503, description = "The server is about to stop.", body = Refusal),
    )
)]
pub(crate) async fn watch(
    State(shared): State<Shared>,
    Extension(client): Extension<Client>,
    Path(room): Path<String>,
    Query(Watched { participant }): Query<Watched>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refusal> {
    let target = participant.map_or(Target::Speaker, Target::Participant);
    let answered = watcher(&shared, &client, &headers, query, &room, target, body).await;
    created(&shared, "whep", door::count(&shared, answered)?)
}

async fn watcher(
    shared: &Shared,
    client: &Client,
    headers: &HeaderMap,
    query: Option<String>,
    room: &str,
    target: Target,
    body: Body,
) -> Result<Answered, Refusal> {
    let comer = comer(shared, client, headers, query).await?;
    if comer.room.name != room {
        return Err(not_allowed("the token is for another room"));
    }
    if !comer.grants.permissions.can_subscribe {
        return Err(not_allowed("the token does not allow to subscribe"));
    }
    let sdp = text(headers, SDP, body)?;
    if shared.rooms.participants(&comer.room).is_none() {
        // To look into a room is no reason for it to be.
        return Err(NoAnswer::from(OfferError::NothingToWatch).into());
    }
    bring(shared, comer, Purpose::Watch(target), sdp).await
}

/// Who comes, by token or stream key.
struct Comer {
    address: IpAddr,
    room: RoomKey,
    /// What its room begins with; `None` when it may not come to be.
    opening: Option<Opening>,
    grants: Grants,
    bearer: Bearer,
}

async fn comer(
    shared: &Shared,
    client: &Client,
    headers: &HeaderMap,
    query: Option<String>,
) -> Result<Comer, Refusal> {
    let address = door::knock_anew(shared, client, headers)?;
    let bearer = token(headers, &query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    let hash = register::hash(&bearer);
    let live = shared.rooms.live();
    if bearer.contains('.') {
        let verified = live.verify(&bearer)?;
        let opening = door::opening(&live, &verified);
        let Verified { tenant, room, grants, .. } = verified;
        let bearer = Bearer { hash, ingress: None };
        return Ok(Comer { address, room: RoomKey::new(&tenant, &room), opening, grants, bearer });
    }
    let Stream { tenant, room, grants, ingress } =
        stream_key::find(shared.stream_keys.as_deref(), &bearer).await?;
    let opening = live.config.auto_create.then(Opening::default);
    let bearer = Bearer { hash, ingress };
    Ok(Comer { address, room: RoomKey::new(&tenant, &room), opening, grants, bearer })
}

async fn bring(shared: &Shared, comer: Comer, purpose: Purpose, sdp: String) -> Result<Answered, Refusal> {
    let Comer { address, room, opening, grants, bearer } = comer;
    let offer = Offer { grants, purpose, sdp, address: address.to_string() };
    shared.rooms.offer(&room, opening.as_ref(), offer, bearer, address).await
}

fn created(shared: &Shared, plane: &str, answered: Answered) -> Result<Response, Refusal> {
    let Answered { id, answer } = answered;
    let entity_tag = fragment::entity_tag(&answer.sdp);
    shared.rooms.resources.set_entity_tag(&id, entity_tag.clone());
    let headers = [(CONTENT_TYPE, SDP), (CACHE_CONTROL, "no-store")];
    let mut response = (StatusCode::CREATED, headers, answer.sdp).into_response();
    insert(&mut response, LOCATION, Some(format!("/{plane}/v1/{id}")));
    insert(&mut response, ETAG, entity_tag);
    for link in answer.ice_servers.iter().flat_map(links) {
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().append(LINK, link);
        }
    }
    Ok(response)
}

/// STUN and TURN servers as link headers (RFC 9725 section 4.6).
fn links(server: &IceServer) -> Vec<String> {
    // What would end the quotes is left out: our own credentials have none of it.
    let quoted = |text: &str| text.replace(['"', '\\'], "");
    let link = |url: &String| {
        let url: String = url.chars().filter(|c| !matches!(c, '<' | '>' | '"')).collect();
        if server.username.is_empty() {
            return format!("<{url}>; rel=\"ice-server\"");
        }
        let (username, credential) = (quoted(&server.username), quoted(&server.credential));
        format!(
            "<{url}>; rel=\"ice-server\"; username=\"{username}\"; credential=\"{credential}\"; \
             credential-type=\"password\""
        )
    };
    server.urls.iter().map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_turn_server_is_a_link() {
        let server = IceServer {
            urls: vec!["turn:a.example?transport=udp".into(), "turns:a.example:443?transport=tcp".into()],
            username: "user".into(),
            credential: "se\"cret".into(),
        };
        let links = links(&server);
        assert_eq!(
            links[0],
            "<turn:a.example?transport=udp>; rel=\"ice-server\"; username=\"user\"; credential=\"secret\"; \
             credential-type=\"password\""
        );
        assert_eq!(links.len(), 2);
    }
}
