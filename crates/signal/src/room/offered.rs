// SPDX-License-Identifier: EUPL-1.2
//! Clients that come by one offer over HTTP and have no socket: those that publish (WHIP, RFC 9725) and those that watch
//! (WHEP, draft-ietf-wish-whep). Each is a participant like any other. Its tracks are made from what its offer sends, and
//! its session ends by its own request, with its peer connection, or as anyone's.

use std::sync::Arc;
use std::time::Instant;

use livekit_protocol as proto;
use livekit_protocol::VideoQuality;
use livekit_protocol::video_layer::Mode;
use parvis_meeting::{Kind, LeaveReason, Participant, ParticipantId, State, TrackSource};
use parvis_peer::sdp::{self, MediaKind, MediaSection, SessionConfig};
use parvis_sfu::Command;

use super::request::is_candidate;
use super::{ConnectError, ConnectionId, Room};
use crate::session::Resource;
use crate::wire;
use crate::{Answer, Grants, JoinParams, Output};

/// A client that comes by an offer.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What its token says, verified.
    pub grants: Grants,
    /// What it wants.
    pub purpose: Purpose,
    /// Its session description.
    pub sdp: String,
    /// Where it connects from, for people who debug; not shown to other clients.
    pub address: String,
}

/// What a client that comes by an offer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Publish everything that its offer sends.
    Publish,
    /// Receive one participant's sound and picture.
    Watch(Target),
}

/// Whom a client watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Whoever has this identity.
    Participant(String),
    /// Whoever speaks.
    Speaker,
}

/// Why an offer is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The room does not let its sender in.
    #[error(transparent)]
    Refused(#[from] ConnectError),
    /// It is no session description.
    #[error("the offer can't be read: {0}")]
    Malformed(String),
    /// It sends nothing that could be taken.
    #[error("the offer sends no audio or video in a codec that this server takes")]
    NothingSent,
    /// It receives nothing that could be sent.
    #[error("the offer receives no audio or video in a codec that this server sends")]
    NothingReceived,
    /// Its sender may not do that.
    #[error("the token does not allow to {0}")]
    NotAllowed(&'static str),
    /// Nobody is there to be watched.
    #[error("nobody in the room publishes what is to be watched; try again when someone does")]
    NothingToWatch,
}

impl OfferError {
    /// The HTTP status that says so.
    pub fn status(&self) -> u16 {
        match self {
            OfferError::Refused(error) => error.status(),
            OfferError::Malformed(_) => 400,
            OfferError::NothingSent | OfferError::NothingReceived => 422,
            OfferError::NotAllowed(_) => 403,
            OfferError::NothingToWatch => 409,
        }
    }
}

impl Room {
    /// Takes a client in that came by an offer; gives its sid. [`Output::Answered`] has the answer. An error has no effect
    /// on anyone.
    pub fn connect_by_offer(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        offer: Offer,
    ) -> Result<String, OfferError> {
        let result = self.take_offer(now, connection, offer).inspect_err(|_| self.stats.joins_refused += 1);
        self.settle(now);
        result
    }

    /// Starts ICE anew under the client's new credentials; everything else stays as it was agreed (RFC 9725 section
    /// 4.3.3). [`Output::Answered`] has ours. `false` when there is no such client, or an offer of its is unanswered.
    pub fn restart_by_offer(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        ufrag: &str,
        password: &str,
    ) -> bool {
        let Some(id) = self.by_connection.get(&connection).copied() else { return false };
        let offer = self.sessions.get(&id).filter(|session| !session.links.publisher.offer_pending);
        let offer = offer.and_then(|session| session.resource.as_ref()).map(|resource| &resource.offer);
        let Some(sdp) = offer.map(|offer| with_credentials(offer, ufrag, password)) else { return false };
        if self.charge(now, id, 10) {
            self.offer(now, id, proto::SessionDescription { sdp, ..Default::default() });
        }
        self.settle(now);
        true
    }

    /// Candidates of a client that came by an offer, each as `candidate:…`.
    pub fn candidates(&mut self, now: Instant, connection: ConnectionId, candidates: Vec<String>) {
        let Some(id) = self.by_connection.get(&connection).copied() else { return };
        for candidate in candidates {
            let Some(peer) = self.sessions.get(&id).map(|session| session.links.publisher.peer) else {
                break;
            };
            if self.charge(now, id, 1) && is_candidate(&candidate) {
                self.command(Command::RemoteCandidate { peer, candidate });
            }
        }
        self.settle(now);
    }

    /// A client that came by an offer leaves.
    pub fn hang_up(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(id) = self.by_connection.get(&connection).copied() {
            self.meeting.leave(now, id, LeaveReason::Client);
        }
        self.settle(now);
    }

    /// The forwarder answered, or refused, what such a client offered.
    pub(super) fn answered(&mut self, now: Instant, id: ParticipantId, answer: Result<String, String>) {
        let Some(session) = self.sessions.get(&id) else { return };
        if let Some(connection) = session.resource.as_ref().map(|resource| resource.id) {
            let ice_servers = self.ice_servers(now, &session.sid);
            let answer = answer.map(|sdp| Answer { sdp, ice_servers });
            self.outputs.push_back(Output::Answered { connection, answer });
        }
    }

    fn take_offer(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        offer: Offer,
    ) -> Result<String, OfferError> {
        if self.by_connection.contains_key(&connection) {
            return Err(ConnectError::InUse.into());
        }
        self.check_revoked(&offer.grants)?;
        let Offer { grants, purpose, sdp, address } = offer;
        if self.is_e2ee() {
            return Err(ConnectError::Encrypted.into());
        }
        let grants = self.as_decided(grants);
        if sdp.len() > self.config.sdp_bytes {
            return Err(OfferError::Malformed(format!("it has more than {} bytes", self.config.sdp_bytes)));
        }
        let sections = sdp::Session::preview(&Arc::new(SessionConfig::default()), &sdp)
            .map_err(|error| OfferError::Malformed(error.to_string()))?;
        let (grants, tracks, watches) = match purpose {
            Purpose::Publish => {
                let tracks = self.tracks_of(&sections, &grants)?;
                (publisher(grants), tracks, None)
            }
            Purpose::Watch(target) => {
                self.check_watch(&sections, &grants, &target)?;
                (watcher(grants), Vec::new(), Some(target))
            }
        };
        let id = self.enter(now, grants, &JoinParams::silent(), &address)?;
        let Some(session) = self.sessions.get_mut(&id) else { return Err(ConnectError::Draining.into()) };
        let sid = session.sid.to_string();
        session.resource = Some(Resource { id: connection, offer: sdp.clone(), watches });
        self.by_connection.insert(connection, id);
        self.meeting.set_state(id, State::Joined);
        self.begin();
        self.create_peers(id);
        self.start_watching(id, &sections);
        // The subscriptions go first, so that the answer has them in it.
        self.settle(now);
        if self.sees_nothing(id) {
            // Those whom it could watch let it have nothing.
            self.meeting.leave(now, id, LeaveReason::Client);
            return Err(OfferError::NothingToWatch);
        }
        for track in tracks {
            let cid = track.cid.clone();
            if let Err((_, problem)) = self.publish(id, track) {
                tracing::debug!(room = %self.sid, %sid, cid, problem, "a track of an offer is left out");
            }
        }
        self.offer(now, id, proto::SessionDescription { sdp, ..Default::default() });
        Ok(sid)
    }

    /// What an offer sends, as a client that signals would announce it.
    fn tracks_of(
        &self,
        sections: &[MediaSection],
        grants: &Grants,
    ) -> Result<Vec<proto::AddTrackRequest>, OfferError> {
        let sent: Vec<&MediaSection> = sections
            .iter()
            .filter(|section| section.direction.receives() && self.takes_a_codec_of(section))
            .collect();
        if sent.is_empty() {
            return Err(OfferError::NothingSent);
        }
        let mut sources: Vec<TrackSource> = Vec::new();
        let mut tracks = Vec::new();
        for section in sent {
            let source = match section.kind {
                MediaKind::Audio => TrackSource::Microphone,
                MediaKind::Video => TrackSource::Camera,
            };
            // A second camera is one that nobody knows the place of.
            let source = if sources.contains(&source) { TrackSource::Unknown } else { source };
            if grants.permissions.may_publish(source) {
                sources.push(source);
                tracks.push(track_of(section, source));
            }
        }
        if tracks.is_empty() {
            Err(OfferError::NotAllowed("publish what the offer sends"))
        } else {
            Ok(tracks)
        }
    }

    fn takes_a_codec_of(&self, section: &MediaSection) -> bool {
        let enabled = |mime: &str| self.config.publish_codecs.iter().any(|(codec, _)| codec == mime);
        section.codecs.iter().any(|codec| enabled(wire::codec_mime(codec.kind)))
    }

    /// Sees that there is something to watch, before anybody hears of who wants to.
    fn check_watch(
        &self,
        sections: &[MediaSection],
        grants: &Grants,
        target: &Target,
    ) -> Result<(), OfferError> {
        if !grants.permissions.can_subscribe {
            return Err(OfferError::NotAllowed("subscribe"));
        }
        if !sections.iter().any(|section| section.direction.sends()) {
            return Err(OfferError::NothingReceived);
        }
        let own = self.meeting.by_identity(&grants.identity).map(|participant: &Participant| participant.id);
        let kinds = sections.iter().filter(|section| section.direction.sends()).map(|section| section.kind);
        let found = kinds.into_iter().any(|kind| !self.to_watch(own, target, kind).is_empty());
        if found { Ok(()) } else { Err(OfferError::NothingToWatch) }
    }
}

/// What a client that only sends may do.
fn publisher(mut grants: Grants) -> Grants {
    grants.kind = Kind::Ingress;
    grants.permissions.can_subscribe = false;
    grants.permissions.can_publish_data = false;
    grants
}

/// What a client that only receives may do.
fn watcher(mut grants: Grants) -> Grants {
    grants.permissions.can_publish = false;
    grants.permissions.can_publish_data = false;
    grants
}

fn track_of(section: &MediaSection, source: TrackSource) -> proto::AddTrackRequest {
    let cid = match &section.remote_msid {
        Some(msid) => msid.track.clone(),
        None => section.mid.to_string(),
    };
    let (kind, layers) = match section.kind {
        MediaKind::Audio => (proto::TrackType::Audio, Vec::new()),
        MediaKind::Video => (proto::TrackType::Video, layers_of(section)),
    };
    let source = match source {
        TrackSource::Microphone => proto::TrackSource::Microphone,
        TrackSource::Camera => proto::TrackSource::Camera,
        _ => proto::TrackSource::Unknown,
    };
    // Of several codecs the first packet tells which one it is.
    let mut kinds = section.codecs.iter().map(|codec| codec.kind);
    let only = kinds.next().filter(|first| kinds.all(|kind| kind == *first));
    let mode = if section.rids.is_empty() { Mode::Unused } else { Mode::OneSpatialLayerPerStream };
    let simulcast_codecs = match (section.kind, only) {
        (MediaKind::Video, Some(codec)) => vec![proto::SimulcastCodec {
            codec: wire::codec_mime(codec).to_owned(),
            cid: cid.clone(),
            layers: layers.clone(),
            video_layer_mode: mode.into(),
        }],
        _ => Vec::new(),
    };
    proto::AddTrackRequest {
        cid,
        r#type: kind.into(),
        source: source.into(),
        layers,
        simulcast_codecs,
        ..Default::default()
    }
}

/// The simulcast layers of a section, lowest first. Three at most have a name in the protocol: of more, the ends and the
/// one below the highest.
fn layers_of(section: &MediaSection) -> Vec<proto::VideoLayer> {
    let mut rids: Vec<String> = section.rids.iter().map(ToString::to_string).collect();
    if highest_first(&rids) {
        rids.reverse();
    }
    if rids.len() > 3 {
        rids.drain(1..rids.len() - 2);
    }
    let qualities: &[VideoQuality] = match rids.len() {
        0 => &[],
        1 => &[VideoQuality::High],
        2 => &[VideoQuality::Low, VideoQuality::High],
        _ => &[VideoQuality::Low, VideoQuality::Medium, VideoQuality::High],
    };
    let layer = |(rid, quality): (String, &VideoQuality)| proto::VideoLayer {
        quality: (*quality).into(),
        rid,
        ..Default::default()
    };
    rids.into_iter().zip(qualities).map(layer).collect()
}

/// Whether layers stand with the highest first. No standard says what a layer's name means: OBS counts from 0 at the
/// highest up, others write the first letters of full, half and quarter or of high, medium and low in either order.
/// Where no name tells, the lowest stands first, as in browsers.
fn highest_first(rids: &[String]) -> bool {
    const NAMES: [[&str; 3]; 4] =
        [["q", "h", "f"], ["l", "m", "h"], ["low", "medium", "high"], ["2", "1", "0"]];
    let (Some(first), Some(last)) = (rids.first(), rids.last()) else { return false };
    let known = NAMES.iter().find(|names| rids.iter().all(|rid| names.contains(&rid.as_str())));
    let rank = |rid: &String| known.and_then(|names| names.iter().position(|name| *name == rid.as_str()));
    rank(first) > rank(last)
}

/// An offer with other ICE credentials and without candidates, which belong to the former ones.
fn with_credentials(offer: &str, ufrag: &str, password: &str) -> String {
    let mut sdp = String::with_capacity(offer.len() + 64);
    for line in offer.lines() {
        let line = line.trim_end();
        if line.starts_with("a=candidate:") || line == "a=end-of-candidates" {
            continue;
        }
        let name = ["a=ice-ufrag:", "a=ice-pwd:"].into_iter().find(|name| line.starts_with(name));
        match name {
            Some("a=ice-ufrag:") => sdp.extend(["a=ice-ufrag:", ufrag]),
            Some(_) => sdp.extend(["a=ice-pwd:", password]),
            None => sdp.push_str(line),
        }
        sdp.push_str("\r\n");
    }
    sdp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rids: &[&str]) -> bool {
        highest_first(&rids.iter().map(|rid| (*rid).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn layers_are_ordered_by_the_names_that_encoders_give_them() {
        assert!(order(&["0", "1", "2"]), "as OBS has them");
        assert!(!order(&["2", "1", "0"]));
        assert!(!order(&["q", "h", "f"]) && order(&["f", "h", "q"]) && order(&["f", "q"]));
        assert!(!order(&["l", "m", "h"]) && order(&["h", "m", "l"]));
        assert!(
            !order(&["a", "b", "c"]) && !order(&[]),
            "unknown names: the lowest is first, as browsers have it"
        );
    }

    #[test]
    fn a_restart_changes_the_credentials_everywhere_and_nothing_else() {
        let offer = "v=0\r\na=ice-ufrag:old\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-pwd:secret\r\n\
                     a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\na=ice-ufrag:old\r\na=mid:0\r\n";
        let expected = "v=0\r\na=ice-ufrag:new\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-pwd:word\r\n\
                        a=ice-ufrag:new\r\na=mid:0\r\n";
        assert_eq!(with_credentials(offer, "new", "word"), expected);
    }
}
