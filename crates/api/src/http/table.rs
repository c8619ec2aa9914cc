// SPDX-License-Identifier: EUPL-1.2
//! Every route of the participants' port that is no call of the server APIs: how it is asked for, who may, and what does it.
//! The router is made of this table and of that of [`crate::twirp`], and of nothing else, so that tests of all routes forget
//! none.

use axum::routing::{MethodRouter, delete, get, patch, post};

use super::{Shared, branding, consent, guest, health, join, live, meeting, recordings};
use crate::whip::{begin, nothing, session};
use crate::{agents, openapi, twirp};

/// Who may ask for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone: it says nothing of anybody, and changes nothing.
    Open,
    /// Whoever knows a room's link, where guests may join.
    Link,
    /// Anyone, and what it says first on the socket is what counts: a token for the room of the path, or the secret of a place at its door.
    Hello,
    /// A token that opens a room.
    Join,
    /// A token with the grant `agent`.
    Agent,
    /// The token of somebody who is in the room of the path, for itself.
    Participant,
    /// A token that allows to publish, or a stream key.
    Publish,
    /// A token that allows to subscribe in the room of the path.
    Watch,
    /// A token with the grant `roomRecord`, or `roomAdmin` for the room of the path.
    Record,
    /// Whoever has a link to a file, as long as it holds.
    FileLink,
    /// Whoever knows a live stream's key.
    LiveKey,
    /// What the session of the path was opened with, or a token of the same identity.
    Session,
    /// A call of the server APIs: a token with this grant.
    Grant(&'static str),
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Nothing that is read.
    None,
    /// Nothing, and it becomes a WebSocket.
    WebSocket,
    /// A JSON object.
    Json,
    /// A session description.
    Sdp,
    /// Changes to one (RFC 8840).
    Fragment,
    /// A protobuf message, or its JSON form.
    Call,
}

/// A route, for whoever tests all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The HTTP method.
    pub method: &'static str,
    /// The path; what stands in braces is any segment.
    pub path: String,
    /// Who may ask.
    pub access: Access,
    /// What it carries.
    pub content: Content,
}

/// All routes that the participants' port has, beside the web client's files.
pub fn routes() -> Vec<Route> {
    let own = table().into_iter().map(|row| row.route);
    let calls = twirp::server_api().into_iter().map(|(path, grant)| Route {
        method: "POST",
        path,
        access: Access::Grant(grant),
        content: Content::Call,
    });
    own.chain(calls).collect()
}

/// What surrounds a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plane {
    /// For pages of any origin.
    Signalling,
    /// The same, with the headers of WHIP and WHEP.
    Offers,
    /// For our own pages, and for whoever watches the server.
    Own,
}

/// One row of the table.
pub(super) struct Row {
    pub(super) route: Route,
    pub(super) plane: Plane,
    pub(super) handler: MethodRouter<Shared>,
}

fn row(
    plane: Plane,
    (method, path): (&'static str, &str),
    access: Access,
    content: Content,
    handler: MethodRouter<Shared>,
) -> Row {
    Row { route: Route { method, path: path.to_owned(), access, content }, plane, handler }
}

/// The table.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Row> {
    use Plane::{Offers, Own, Signalling};
    vec![
        row(Signalling, ("GET", "/rtc"), Access::Join, Content::WebSocket, get(join::dual)),
        row(Signalling, ("GET", "/rtc/v1"), Access::Join, Content::WebSocket, get(join::single)),
        row(Signalling, ("GET", "/rtc/validate"), Access::Join, Content::None, get(join::validate_dual)),
        row(Signalling, ("GET", "/rtc/v1/validate"), Access::Join, Content::None, get(join::validate_single)),
        row(Signalling, ("GET", "/agent"), Access::Agent, Content::WebSocket, get(agents::connect)),
        row(Offers, ("POST", "/whip"), Access::Publish, Content::Sdp, post(begin::publish)),
        row(Offers, ("GET", "/whip"), Access::Open, Content::None, get(nothing)),
        row(Offers, ("POST", "/whip/v1"), Access::Publish, Content::Sdp, post(begin::publish)),
        row(Offers, ("GET", "/whip/v1"), Access::Open, Content::None, get(nothing)),
        row(Offers, ("PATCH", "/whip/v1/{session}"), Access::Session, Content::Fragment, patch(session::change)),
        row(Offers, ("DELETE", "/whip/v1/{session}"), Access::Session, Content::None, delete(session::end)),
        row(Offers, ("GET", "/whip/v1/{session}"), Access::Open, Content::None, get(nothing)),
        row(Offers, ("POST", "/whep/{room}"), Access::Watch, Content::Sdp, post(begin::watch)),
        row(Offers, ("GET", "/whep/{room}"), Access::Open, Content::None, get(nothing)),
        row(Offers, ("PATCH", "/whep/v1/{session}"), Access::Session, Content::Fragment, patch(session::change)),
        row(Offers, ("DELETE", "/whep/v1/{session}"), Access::Session, Content::None, delete(session::end)),
        row(Offers, ("GET", "/whep/v1/{session}"), Access::Open, Content::None, get(nothing)),
        row(Own, ("POST", "/api/rooms"), Access::Link, Content::Json, post(meeting::make_room)),
        row(Own, ("GET", "/api/rooms/{room}"), Access::Link, Content::None, get(meeting::look_at_room)),
        row(Own, ("GET", "/api/rooms/{room}/meeting"), Access::Hello, Content::WebSocket, get(meeting::meet)),
        row(Own, ("POST", "/api/rooms/{room}/join"), Access::Link, Content::Json, post(guest::join_as_guest)),
        row(Own, ("POST", "/api/rooms/{room}/recordings"), Access::Record, Content::Json, post(recordings::start)),
        row(Own, ("GET", "/api/rooms/{room}/recordings"), Access::Record, Content::None, get(recordings::list)),
        row(Own, ("POST", "/api/rooms/{room}/recordings/{recording}/stop"), Access::Record, Content::None, post(recordings::stop)),
        row(Own, ("POST", "/api/rooms/{room}/recordings/{recording}/links"), Access::Record, Content::None, post(recordings::links)),
        row(Own, ("POST", "/api/rooms/{room}/recordings/{recording}/film"), Access::Record, Content::Json, post(recordings::make_film)),
        row(Own, ("GET", "/api/rooms/{room}/recordings/{recording}/film"), Access::Record, Content::None, get(recordings::film)),
        row(Signalling, ("GET", "/api/rooms/{room}/consent"), Access::Participant, Content::None, get(consent::standing)),
        row(Signalling, ("POST", "/api/rooms/{room}/consent"), Access::Participant, Content::Json, post(consent::answer)),
        row(Own, ("GET", "/api/recordings/{link}"), Access::FileLink, Content::None, get(recordings::fetch)),
        row(Signalling, ("GET", "/live/{key}/{file}"), Access::LiveKey, Content::None, get(live::watch)),
        row(Own, ("GET", "/api/branding"), Access::Open, Content::None, get(branding::look)),
        row(Own, ("GET", "/api/branding/logo"), Access::Open, Content::None, get(branding::logo)),
        row(Own, ("GET", "/api/openapi.json"), Access::Open, Content::None, get(openapi::document)),
        row(Own, ("GET", "/livez"), Access::Open, Content::None, get(health::alive)),
        row(Own, ("GET", "/readyz"), Access::Open, Content::None, get(health::ready)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_route_is_there_once() {
        let routes = routes();
        let distinct: BTreeSet<_> = routes.iter().map(|route| (route.method, &route.path)).collect();
        assert_eq!(distinct.len(), routes.len());
    }

    #[test]
    fn what_is_open_to_anyone_is_known() {
        let open = routes().into_iter().filter(|route| route.access == Access::Open);
        let open: Vec<String> = open.map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(
            open,
            [
                "GET /whip",
                "GET /whip/v1",
                "GET /whip/v1/{session}",
                "GET /whep/{room}",
                "GET /whep/v1/{session}",
                "GET /api/branding",
                "GET /api/branding/logo",
                "GET /api/openapi.json",
                "GET /livez",
                "GET /readyz",
            ]
        );
    }
}
