// SPDX-License-Identifier: EUPL-1.2
//! Publishing and watching by one HTTP request: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep).
//!
//! `POST` brings an offer and gets an answer and the session's URL; `PATCH` there brings candidates or starts ICE anew;
//! `DELETE` ends it. [`register`] is where sessions are found by URL, [`offers`] are a room's own, [`fragment`] reads what
//! `PATCH` carries.

mod fragment;
mod ingress;
mod live_ingress;
mod offers;
mod register;
mod stream_key;

use std::net::IpAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use livekit_protocol::{IceServer, IngressInfo};
use parvis_signal::{Grants, Offer, OfferError, Purpose, Target};
use serde::Deserialize;
use tokio::sync::oneshot;
use tower_http::cors::CorsLayer;

use crate::accept::Client;
use crate::http::{Refusal, Shared, address, refuse_when_draining, throttle, token};
use crate::rooms::{Input, Opening};
use crate::tenant::RoomKey;
use crate::token::{TokenError, Verified};

use fragment::Fragment;
pub(crate) use ingress::COUNTS_FROM;
pub use ingress::IngressKeys;
pub(crate) use live_ingress::LiveIngresses;
pub(crate) use offers::{Answered, Arrival, Bearer, NoAnswer, Offers, Reply};
use register::BearerHash;
pub(crate) use register::{Resource, Resources, Taken};
pub use stream_key::{Stream, StreamKeys, StreamKeysError};

/// Media types (RFC 8866 section 5.14, RFC 8840 section 9).
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// What a client may send where (RFC 5789 section 3.1; Linked Data Platform 1.0 section 7.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// How soon one who was refused for the moment may try again, in seconds.
const RETRY_SECONDS: &str = "5";

/// The routes, for pages of any origin.
pub(crate) fn routes(shared: Shared, cors: CorsLayer) -> Router<Shared> {
    let session = || get(nothing).patch(change).delete(end);
    let cors = cors.expose_headers([LOCATION, ETAG, LINK, RETRY_AFTER, ACCEPT_PATCH, ACCEPT_POST]);
    Router::new()
        .route("/whip", post(publish).get(nothing))
        .route("/whip/v1", post(publish).get(nothing))
        .route("/whip/v1/{session}", session())
        .route("/whep/{room}", post(watch).get(nothing))
        .route("/whep/v1/{session}", session())
        .layer(middleware::from_fn_with_state(shared, bound))
        .layer(cors)
        .layer(middleware::from_fn(explain))
}

/// Bounds what is read of a body.
async fn bound(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    DefaultBodyLimit::max(shared.rooms.live().config.offers.max_bytes).apply(&mut request);
    next.run(request).await
}

/// Says in each answer what may be sent, and when one who was refused may come again.
async fn explain(request: Request, next: Next) -> Response {
    let options = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let status = response.status();
    let headers = response.headers_mut();
    if options || status == StatusCode::CREATED || status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        headers.insert(ACCEPT_POST, HeaderValue::from_static(SDP));
        headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    }
    let later = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if later.contains(&status) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// There is nothing to be read.
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

type Body = Result<Bytes, BytesRejection>;

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
    let address = address(&shared, &client, &headers);
    let comer = comer(&shared, address, &headers, query).await?;
    if !comer.grants.permissions.can_publish {
        return Err(not_allowed("the token does not allow to publish"));
    }
    let sdp = text(&headers, SDP, body)?;
    let identity = comer.grants.identity.clone();
    let answered = bring(&shared, address, comer, Purpose::Publish, sdp).await?;
    tracing::info!(%identity, session = answered.id, "publishes by an offer");
    created(&shared, "whip", answered)
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
    let address = address(&shared, &client, &headers);
    let comer = comer(&shared, address, &headers, query).await?;
    if comer.room.name != room {
        return Err(not_allowed("the token is for another room"));
    }
    if !comer.grants.permissions.can_subscribe {
        return Err(not_allowed("the token does not allow to subscribe"));
    }
    let sdp = text(&headers, SDP, body)?;
    if shared.rooms.participants(&comer.room).is_none() {
        // To look into a room is no reason for it to be.
        return Err(NoAnswer::from(OfferError::NothingToWatch).into());
    }
    let target = participant.map_or(Target::Speaker, Target::Participant);
    let answered = bring(&shared, address, comer, Purpose::Watch(target), sdp).await?;
    created(&shared, "whep", answered)
}

/// Send candidates or restart ICE (RFC 9725 section 4.3)
///
/// A session that watches is changed at `/whep/v1/{session}`.
#[utoipa::path(
    patch,
    path = "/whip/v1/{session}",
    tag = "offers",
    params(
        ("session" = String, Path, description = "The session, as Location named it."),
        ("If-Match" = String, Header, description = "The ETag of the ICE session, or * to start it anew."),
    ),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses(
        (status = 200, description = "Our credentials and candidates after a restart.", body = String, content_type = "application/trickle-ice-sdpfrag"),
        (status = 204, description = "The candidates were taken."),
        (status = 400, description = "The fragment can't be read.", body = Refusal),
        (status = 401, description = "No token or stream key, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token is not that of this session.", body = Refusal),
        (status = 404, description = "There is no such session.", body = Refusal),
        (status = 409, description = "An earlier request is not answered yet.", body = Refusal),
        (status = 412, description = "Another ICE session is meant than the one that runs.", body = Refusal),
        (status = 415, description = "The body is of another type.", body = Refusal),
        (status = 428, description = "If-Match is missing.", body = Refusal),
    )
)]
pub(crate) async fn change(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refusal> {
    let resource = owned(&shared, &session, &headers, query)?;
    let body = text(&headers, FRAGMENT, body)?;
    let wanted = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()).map(str::trim);
    let Some(wanted) = wanted else {
        let message = "If-Match is missing: send the ETag of the ICE session, or \"*\" to start it anew";
        return Err(Refusal::new(StatusCode::PRECONDITION_REQUIRED, "no_if_match", message));
    };
    let fragment = Fragment::parse(&body).map_err(|problem| {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "bad_fragment",
            format!("the fragment can't be read: {problem}"),
        )
    })?;
    if wanted == "*" {
        return restart(&shared, &session, resource, fragment).await;
    }
    let known = resource.entity_tag.as_deref();
    if known.is_none_or(|known| wanted.trim_matches('"') != known.trim_matches('"')) {
        let message = "If-Match names another ICE session than the one that runs";
        return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "other_ice_session", message));
    }
    let input = Input::Candidates(resource.connection, fragment.candidates);
    if resource.inbox.send(input).await.is_err() {
        return Err(no_session());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn restart(
    shared: &Shared,
    session: &str,
    resource: Resource,
    fragment: Fragment,
) -> Result<Response, Refusal> {
    let Some((ufrag, password)) = fragment.credentials else {
        let message = "to start ICE anew the fragment needs a=ice-ufrag and a=ice-pwd";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "bad_fragment", message));
    };
    let (reply, answer) = oneshot::channel();
    let input = Input::Restart { connection: resource.connection, ufrag, password, reply };
    if resource.inbox.send(input).await.is_err() {
        return Err(no_session());
    }
    let answered = answer.await.map_err(|_| no_session())?.map_err(Refusal::from)?;
    if resource.inbox.send(Input::Candidates(resource.connection, fragment.candidates)).await.is_err() {
        return Err(no_session());
    }
    let sdp = &answered.answer.sdp;
    let entity_tag = fragment::entity_tag(sdp);
    shared.rooms.resources.set_entity_tag(session, entity_tag.clone());
    let mut response = ([(CONTENT_TYPE, FRAGMENT)], fragment::of_answer(sdp)).into_response();
    insert(&mut response, ETAG, entity_tag);
    Ok(response)
}

/// End a session
///
/// A session that watches is ended at `/whep/v1/{session}`.
#[utoipa::path(
    delete,
    path = "/whip/v1/{session}",
    tag = "offers",
    params(("session" = String, Path, description = "The session, as Location named it.")),
    responses(
        (status = 200, description = "It has ended."),
        (status = 401, description = "No token or stream key, or one that does not hold.", body = Refusal),
        (status = 403, description = "The token is not that of this session.", body = Refusal),
        (status = 404, description = "There is no such session.", body = Refusal),
    )
)]
pub(crate) async fn end(
    State(shared): State<Shared>,
    Path(session): Path<String>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let resource = owned(&shared, &session, &headers, query)?;
    if resource.inbox.send(Input::HangUp(resource.connection)).await.is_err() {
        return Err(no_session());
    }
    Ok(StatusCode::OK.into_response())
}

/// Who comes, by token or stream key.
struct Comer {
    room: RoomKey,
    /// What its room begins with; `None` when it may not come to be.
    opening: Option<Opening>,
    grants: Grants,
    bearer: BearerHash,
    /// Whose stream key it brought.
    ingress: Option<Box<IngressInfo>>,
}

async fn comer(
    shared: &Shared,
    address: IpAddr,
    headers: &HeaderMap,
    query: Option<String>,
) -> Result<Comer, Refusal> {
    throttle(shared, address)?;
    refuse_when_draining(shared)?;
    let bearer = token(headers, &query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    let hash = register::hash(&bearer);
    let live = shared.rooms.live();
    if bearer.contains('.') {
        let Verified { tenant, room, may_create, agents, grants, .. } = live.verify(&bearer)?;
        let opening = (live.config.auto_create || may_create).then_some(Opening { agents });
        let room = RoomKey::new(&tenant, &room);
        return Ok(Comer { room, opening, grants, bearer: hash, ingress: None });
    }
    let Stream { tenant, room, grants, ingress } =
        stream_key::find(shared.stream_keys.as_deref(), &bearer).await?;
    let opening = live.config.auto_create.then(Opening::default);
    Ok(Comer { room: RoomKey::new(&tenant, &room), opening, grants, bearer: hash, ingress })
}

/// The session of this name, for whoever brought what it was opened with, or a token of the same identity and room.
fn owned(
    shared: &Shared,
    session: &str,
    headers: &HeaderMap,
    query: Option<String>,
) -> Result<Resource, Refusal> {
    let bearer = token(headers, &query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    let resource = shared.rooms.resources.find(session);
    let same = |resource: &Resource| resource.bearer == register::hash(&bearer);
    if let Some(resource) = resource.as_ref().filter(|resource| same(resource)) {
        return Ok(resource.clone());
    }
    let Verified { tenant, room, grants, .. } = shared.rooms.live().keys.verify(&bearer)?;
    let resource = resource.ok_or_else(no_session)?;
    if resource.room != RoomKey::new(&tenant, &room) || resource.identity != grants.identity {
        return Err(not_allowed("the token is not that of this session"));
    }
    Ok(resource)
}

/// A body of text of the media type that is expected.
fn text(headers: &HeaderMap, expected: &str, body: Body) -> Result<String, Refusal> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if !given.eq_ignore_ascii_case(expected) {
        let message = format!("the content type must be {expected}");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", message));
    }
    let body =
        body.map_err(|rejection| Refusal::new(rejection.status(), "bad_body", rejection.body_text()))?;
    String::from_utf8(body.into())
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "bad_body", "the body is no UTF-8 text"))
}

async fn bring(
    shared: &Shared,
    address: IpAddr,
    comer: Comer,
    purpose: Purpose,
    sdp: String,
) -> Result<Answered, Refusal> {
    let metrics = &shared.rooms.metrics;
    let Comer { room, opening, grants, bearer, ingress } = comer;
    let offer = Offer { grants, purpose, sdp, address: address.to_string() };
    let answered =
        shared.rooms.offer(&room, opening.as_ref(), offer, Bearer { hash: bearer, ingress }, address).await;
    answered.inspect(|_| metrics.joins.with_label_values(&["ok"]).inc()).inspect_err(|refusal| {
        metrics.joins.with_label_values(&[refusal.code]).inc();
    })
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

fn insert(response: &mut Response, name: HeaderName, value: Option<String>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
        response.headers_mut().insert(name, value);
    }
}

fn not_allowed(message: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "not_allowed", message)
}

fn no_session() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no_session", "there is no such session, or it has ended")
}

impl From<NoAnswer> for Refusal {
    fn from(error: NoAnswer) -> Self {
        let (status, code) = match &error {
            NoAnswer::Refused(refused) => {
                let status = StatusCode::from_u16(refused.status()).unwrap_or(StatusCode::BAD_REQUEST);
                let code = match status {
                    StatusCode::FORBIDDEN => "not_allowed",
                    StatusCode::CONFLICT => "nothing_to_watch",
                    StatusCode::TOO_MANY_REQUESTS => "room_full",
                    StatusCode::SERVICE_UNAVAILABLE => "draining",
                    _ => "bad_offer",
                };
                (status, code)
            }
            NoAnswer::Unanswerable(_) => (StatusCode::BAD_REQUEST, "bad_offer"),
            NoAnswer::Ended(_) => (StatusCode::NOT_FOUND, "no_session"),
            NoAnswer::Busy => (StatusCode::CONFLICT, "busy"),
        };
        Refusal::new(status, code, error)
    }
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
