// SPDX-License-Identifier: EUPL-1.2
//! Publishing and watching by one HTTP request: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep).
//!
//! `POST` brings an offer and gets an answer and the session's URL ([`begin`]); `PATCH` there brings candidates or starts ICE
//! anew; `DELETE` ends it ([`session`]). [`register`] is where sessions are found by URL, [`offers`] are a room's own,
//! [`fragment`] reads what `PATCH` carries, [`live_ingress`] tells of ingresses that are in use.

pub(crate) mod begin;
mod fragment;
mod ingress;
mod live_ingress;
mod offers;
mod register;
pub(crate) mod session;
mod stream_key;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::cors::CorsLayer;

use crate::http::{Refusal, Shared};

pub(crate) use ingress::COUNTS_FROM;
pub use ingress::IngressKeys;
pub(crate) use live_ingress::LiveIngresses;
pub(crate) use offers::{Answered, Arrival, Bearer, NoAnswer, Offers, Reply};
pub(crate) use register::{Resource, Resources, Seat, Taken};
pub use stream_key::{Stream, StreamKeys, StreamKeysError};

/// Media types (RFC 8866 section 5.14, RFC 8840 section 9).
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// What a client may send where (RFC 5789 section 3.1; Linked Data Platform 1.0 section 7.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// How soon one who was refused for the moment may try again, in seconds.
const RETRY_SECONDS: &str = "5";

/// Puts around the routes what pages of any origin and encoders need to know of their answers.
pub(crate) fn dressed(routes: Router<Shared>, shared: Shared, cors: CorsLayer) -> Router<Shared> {
    let cors = cors.expose_headers([LOCATION, ETAG, LINK, RETRY_AFTER, ACCEPT_PATCH, ACCEPT_POST]);
    routes
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
pub(crate) async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

type Body = Result<Bytes, BytesRejection>;

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
