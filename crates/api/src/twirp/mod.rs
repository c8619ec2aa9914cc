// SPDX-License-Identifier: EUPL-1.2
//! The server APIs: calls of applications' servers over HTTP in the Twirp protocol (version 7), as LiveKit's SDKs make them.
//!
//! [`table`] is all of it: each row names a call, the grant that it needs, and what it does. Routes are made from the table
//! and from nothing else, a row without a need does not compile, and [`serve`] holds the token against the need before a
//! row's own code runs. [`body`] reads and writes bodies, [`error`] is how calls fail; each service has a file.

mod agent_dispatch;
mod body;
mod egress;
mod elsewhere;
mod error;
mod ingress;
mod room_service;
mod sip;
mod sip_trunks;
mod stored;
mod table;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, Method as HttpMethod};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use parvis_audit::{Act, Event, Who};
use parvis_signal::{Control, ControlError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::accept::Client;
use crate::authority::{Authority, Need};
use crate::http::{Shared, door, token};
use crate::rooms::{ControlFailure, Rooms};
use crate::token::TokenError;
use body::Format;
use error::{Code, TwirpError};

pub use table::server_api;

/// One call that was let in, with what it may work on.
pub(crate) struct Call {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) authority: Authority,
}

impl Call {
    /// Holds the token against what is needed, and against those that its room revoked: who was removed from there asks for
    /// nothing any more, whatever else the token allows. One for no room, or for nobody, is an application's.
    async fn check(&self, need: &Need) -> Result<(), TwirpError> {
        if !self.authority.allows(need) {
            return Err(TwirpError::denied());
        }
        let (actor, room) = (self.authority.actor(), &self.authority.video.room);
        if actor.identity.is_empty() || room.is_empty() {
            return Ok(());
        }
        let room = self.authority.room(room);
        match self.rooms.control(&room, &actor, Control::Describe).await {
            Err(failure @ ControlFailure::Refused(ControlError::Revoked)) => Err(failure.into()),
            // A room that is not there revoked nothing.
            _ => Ok(()),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Vec<u8>, TwirpError>> + Send>>;

/// One row of the table.
struct Method {
    service: &'static str,
    name: &'static str,
    /// The need in words, for people and for tests.
    grant: &'static str,
    run: Box<dyn Fn(Call, Bytes, Format) -> Answer + Send + Sync>,
}

impl Method {
    /// A call that takes `Q` and gives `A`. `need` says what it needs, by what is asked for.
    fn new<Q, A, F>(
        (service, name): (&'static str, &'static str),
        grant: &'static str,
        need: fn(&Q) -> Need,
        handler: fn(Call, Q) -> F,
    ) -> Method
    where
        Q: prost::Message + Default + DeserializeOwned + 'static,
        A: prost::Message + Serialize + 'static,
        F: Future<Output = Result<A, TwirpError>> + Send + 'static,
    {
        let run = move |call: Call, body: Bytes, format: Format| -> Answer {
            let request = format.read::<Q>(&body);
            Box::pin(async move {
                let request = request?;
                call.check(&need(&request)).await?;
                format.write(&handler(call, request).await?)
            })
        };
        Method { service, name, grant, run: Box::new(run) }
    }

    fn path(&self) -> String {
        format!("/twirp/livekit.{}/{}", self.service, self.name)
    }
}

/// The routes of all calls.
pub(crate) fn router() -> Router<Shared> {
    let mut router = Router::new().route("/twirp/{*unknown}", any(no_call));
    for method in table::table() {
        let path = method.path();
        let method = Arc::new(method);
        let handler =
            move |State(shared): State<Shared>, request: Request| serve(Arc::clone(&method), shared, request);
        router = router.route(&path, any(handler));
    }
    router
}

async fn no_call(request: Request) -> TwirpError {
    TwirpError::new(Code::BadRoute, format!("there is no call {}", request.uri().path()))
}

async fn serve(method: Arc<Method>, shared: Shared, request: Request) -> Response {
    match answer(&method, shared, request).await {
        Ok((format, body)) => {
            ([(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")], body).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// Who asks is checked before the body is read.
async fn answer(
    method: &Method,
    shared: Shared,
    mut request: Request,
) -> Result<(Format, Vec<u8>), TwirpError> {
    if request.method() != HttpMethod::POST {
        return Err(TwirpError::new(Code::BadRoute, "calls are made with POST"));
    }
    let address =
        request.extensions().get::<Client>().map(|client| door::address(&shared, client, request.headers()));
    let authority = match authority(&shared, request.headers(), request.uri().query()) {
        Ok(authority) => authority,
        Err(error) => {
            let event = Event { from: address, ..Event::new("", Act::Call, Who::Nobody) };
            let event = event.on("call", &format!("{}/{}", method.service, method.name));
            shared.rooms.note(event.refused("unauthorized"));
            return Err(error);
        }
    };
    if !shared.rooms.may_act() {
        let message =
            "the audit log takes no entries, and nothing is done that would not stand in it; try again later";
        return Err(TwirpError::new(Code::Unavailable, message));
    }
    let format = Format::of(request.headers())?;
    let limit = shared.rooms.live().config.server_api_body_bytes;
    DefaultBodyLimit::max(limit).apply(&mut request);
    let body = Bytes::from_request(request, &()).await.map_err(|_| TwirpError::too_large(limit))?;
    let call = Call { rooms: Arc::clone(&shared.rooms), authority: authority.clone() };
    let answer = (method.run)(call, body, format).await;
    let refused = answer.as_ref().err().map(TwirpError::word);
    shared.rooms.note_call(&authority, (method.service, method.name), address, refused);
    Ok((format, answer?))
}

fn authority(shared: &Shared, headers: &HeaderMap, query: Option<&str>) -> Result<Authority, TwirpError> {
    let token = token(headers, query.unwrap_or_default()).ok_or(TokenError::Missing)?;
    Ok(shared.rooms.live().keys.authority(&token)?)
}
