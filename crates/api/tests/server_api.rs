// SPDX-License-Identifier: EUPL-1.2
//! Applications' servers call, and rooms with real sockets in them do what they say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{Socket, closed, everything, grant, is_alive, next, send, start, start_with_store, until};
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_token::VideoGrants;
use parvis_api::ApiConfig;
use parvis_peer::sdp::CodecKind;
use parvis_peer::{Path, Protocol, TransportReport};
use parvis_rtp::Mid;
use parvis_sfu::{Command, DataChannel, Event, ForwarderId, RoomId};
use prost::Message as _;
use serde_json::json;

/// Reads until a message is what is looked for.
async fn find<T>(socket: &mut Socket, pick: impl Fn(&Response) -> Option<T>) -> T {
    loop {
        let message = next(socket).await.expect("the socket is open");
        if let Some(found) = pick(&message) {
            return found;
        }
    }
}

/// How a client's media connection came up.
fn report() -> TransportReport {
    let address = "127.0.0.1:7882".parse().unwrap();
    TransportReport {
        path: Path { protocol: Protocol::Udp, local: address, remote: address },
        dtls_version: "DTLSv1.3".into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        group: 0x11ec,
        srtp_profile: "AEAD_AES_128_GCM".into(),
    }
}

fn identity(room: &str, identity: &str) -> proto::RoomParticipantIdentity {
    proto::RoomParticipantIdentity { room: room.into(), identity: identity.into(), ..Default::default() }
}

#[tokio::test]
async fn a_room_is_made_ahead_listed_changed_and_ended() {
    let server = start(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let request = proto::CreateRoomRequest {
        name: "atelier".into(),
        empty_timeout: 600,
        departure_timeout: 30,
        max_participants: 2,
        metadata: "agenda".into(),
        ..Default::default()
    };
    let room: proto::Room = server.call(&token, "RoomService/CreateRoom", &request).await.unwrap();
    assert_eq!((room.name.as_str(), room.metadata.as_str()), ("atelier", "agenda"));
    assert_eq!((room.empty_timeout, room.departure_timeout, room.max_participants), (600, 30, 2));
    assert!(room.sid.starts_with("RM_") && room.creation_time > 1_700_000_000);

    let (mut ada, join) = server.join("atelier", "ada").await;
    assert_eq!(join.room.unwrap().sid, room.sid, "she comes into that room");
    let (_bob, _) = server.join("atelier", "bob").await;
    let path = format!("/rtc?access_token={}&protocol=16", server.token("atelier", "carol"));
    assert_eq!(server.open(&path).await.err(), Some(429), "it has two places");

    let list = proto::ListRoomsRequest::default();
    let rooms: proto::ListRoomsResponse = server.call(&token, "RoomService/ListRooms", &list).await.unwrap();
    assert_eq!(rooms.rooms.len(), 1);
    assert_eq!((rooms.rooms[0].sid.as_str(), rooms.rooms[0].num_participants), (room.sid.as_str(), 2));
    let names = proto::ListRoomsRequest { names: vec!["elsewhere".into()] };
    let rooms: proto::ListRoomsResponse = server.call(&token, "RoomService/ListRooms", &names).await.unwrap();
    assert!(rooms.rooms.is_empty());

    // Made again it is the same room, with the settings that are named.
    let again =
        proto::CreateRoomRequest { name: "atelier".into(), max_participants: 3, ..Default::default() };
    let again: proto::Room = server.call(&token, "RoomService/CreateRoom", &again).await.unwrap();
    assert_eq!((again.sid, again.max_participants, again.empty_timeout), (room.sid, 3, 600));

    let metadata = proto::UpdateRoomMetadataRequest { room: "atelier".into(), metadata: "minutes".into() };
    let changed: proto::Room =
        server.call(&token, "RoomService/UpdateRoomMetadata", &metadata).await.unwrap();
    assert_eq!(changed.metadata, "minutes");
    let told = |message: &Response| match message {
        Response::RoomUpdate(update) => Some(update.room.clone()?.metadata).filter(|text| text == "minutes"),
        _ => None,
    };
    find(&mut ada, told).await;

    let delete = proto::DeleteRoomRequest { room: "atelier".into() };
    let _: proto::DeleteRoomResponse = server.call(&token, "RoomService/DeleteRoom", &delete).await.unwrap();
    let rooms: proto::ListRoomsResponse = server.call(&token, "RoomService/ListRooms", &list).await.unwrap();
    assert!(rooms.rooms.is_empty(), "it is gone when the answer comes");
    let reason =
        |message: &Response| if let Response::Leave(leave) = message { Some(leave.reason()) } else { None };
    assert_eq!(find(&mut ada, reason).await, proto::DisconnectReason::RoomDeleted);
    let gone = server.call::<proto::DeleteRoomResponse>(&token, "RoomService/DeleteRoom", &delete).await;
    assert!(gone.unwrap_err().is(404, "not_found"));
}

#[tokio::test]
async fn json_says_the_same_as_protobuf_in_either_way_to_write_a_field() {
    let server = start(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    for request in [
        json!({ "name": "atelier", "emptyTimeout": 77, "unknown": { "of": ["a newer", "protocol"] } }),
        json!({ "name": "atelier", "empty_timeout": 77 }),
    ] {
        let room = server.call_json(&token, "RoomService/CreateRoom", request).await.unwrap();
        assert_eq!((room["name"].as_str(), room["emptyTimeout"].as_u64()), (Some("atelier"), Some(77)));
    }
    let refused =
        server.call_json(&token, "RoomService/CreateRoom", json!({ "name": "" })).await.unwrap_err();
    assert!(refused.is(400, "invalid_argument"), "{refused:?}");
    let wrong = server.call_json(&token, "RoomService/CreateRoom", json!({ "name": 7 })).await.unwrap_err();
    assert!(wrong.is(400, "malformed"), "{wrong:?}");
    let (status, _) = server.post("/twirp/livekit.RoomService/Conquer", Some(&token), &[], b"").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn participants_are_found_changed_told_and_removed() {
    let server = start(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let (mut ada, join) = server.join("atelier", "ada").await;
    let (mut bob, _) = server.join("atelier", "bob").await;
    let own = join.participant.unwrap();

    let list = proto::ListParticipantsRequest { room: "atelier".into() };
    let all: proto::ListParticipantsResponse =
        server.call(&token, "RoomService/ListParticipants", &list).await.unwrap();
    assert_eq!(all.participants.iter().map(|p| p.identity.as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
    let found: proto::ParticipantInfo =
        server.call(&token, "RoomService/GetParticipant", &identity("atelier", "ada")).await.unwrap();
    assert_eq!(found.sid, own.sid);

    let update = proto::UpdateParticipantRequest {
        room: "atelier".into(),
        identity: "ada".into(),
        metadata: "{\"hand\":true}".into(),
        name: "Ada".into(),
        attributes: [("role".to_owned(), "speaker".to_owned())].into(),
        permission: Some(proto::ParticipantPermission { can_subscribe: true, ..Default::default() }),
    };
    let changed: proto::ParticipantInfo =
        server.call(&token, "RoomService/UpdateParticipant", &update).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.metadata.as_str()), ("Ada", "{\"hand\":true}"));
    assert!(!changed.permission.unwrap().can_publish);
    let seen = find(&mut bob, |message| match message {
        Response::Update(update) => update.participants.iter().find(|p| p.name == "Ada").cloned(),
        _ => None,
    });
    assert_eq!(seen.await.attributes["role"], "speaker");

    let removed: Result<proto::RemoveParticipantResponse, _> =
        server.call(&token, "RoomService/RemoveParticipant", &identity("atelier", "ada")).await;
    removed.unwrap();
    let reason =
        |message: &Response| if let Response::Leave(leave) = message { Some(leave.reason()) } else { None };
    assert_eq!(find(&mut ada, reason).await, proto::DisconnectReason::ParticipantRemoved);
    assert!(closed(&mut ada).await.is_some());
    assert!(is_alive(&mut bob).await);

    for method in ["GetParticipant", "RemoveParticipant"] {
        let absent = server
            .call::<proto::ParticipantInfo>(
                &token,
                &format!("RoomService/{method}"),
                &identity("atelier", "ada"),
            )
            .await;
        assert!(absent.clone().unwrap_err().is(404, "not_found"), "{method}: {absent:?}");
    }
    let elsewhere = grant(everything("elsewhere"));
    let nobody: proto::ListParticipantsResponse = server
        .call(
            &elsewhere,
            "RoomService/ListParticipants",
            &proto::ListParticipantsRequest { room: "elsewhere".into() },
        )
        .await
        .unwrap();
    assert!(nobody.participants.is_empty(), "in a room that is not there nobody is");
}

#[tokio::test]
async fn row_44_who_was_removed_is_out_by_token_by_resume_and_by_every_call() {
    let server = start(ApiConfig::default()).await;
    let admin = grant(everything("atelier"));
    let (_ada, _) = server.join("atelier", "ada").await;
    let eve = livekit_token::AccessToken::with_api_key(common::KEY, common::SECRET)
        .with_identity("eve")
        .with_ttl(Duration::from_secs(600))
        .with_grants(VideoGrants { room_join: true, ..everything("atelier") })
        .to_jwt()
        .unwrap();
    let path = format!("/rtc?access_token={eve}&protocol=16");
    let mut socket = server.open(&path).await.unwrap();
    let Some(Response::Join(join)) = next(&mut socket).await else { panic!("no join response") };
    let sid = join.participant.unwrap().sid;
    let removed: Result<proto::RemoveParticipantResponse, _> =
        server.call(&admin, "RoomService/RemoveParticipant", &identity("atelier", "eve")).await;
    removed.unwrap();
    assert!(closed(&mut socket).await.is_some());
    // Its media is closed by the time that the answer is there.
    until("its peers are closed", || {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().filter(|(_, command)| matches!(command, Command::ClosePeer { .. })).count() == 2
    })
    .await;

    assert_eq!(server.open(&path).await.err(), Some(401));
    assert_eq!(server.open(&format!("{path}&reconnect=1&sid={sid}")).await.err(), Some(401));
    let list = proto::ListParticipantsRequest { room: "atelier".into() };
    let refused =
        server.call::<proto::ListParticipantsResponse>(&eve, "RoomService/ListParticipants", &list).await;
    assert!(refused.unwrap_err().is(401, "unauthenticated"), "a moderator who was removed moderates no more");
    let all: proto::ListParticipantsResponse =
        server.call(&admin, "RoomService/ListParticipants", &list).await.unwrap();
    assert_eq!(all.participants.len(), 1);
}

/// Publishes a microphone; gives its sid.
async fn publish(server: &common::Server, socket: &mut Socket, room: u64) -> String {
    let add = proto::AddTrackRequest {
        cid: "mic".into(),
        source: proto::TrackSource::Microphone.into(),
        ..Default::default()
    };
    send(socket, Request::AddTrack(add)).await;
    let sid = find(socket, |message| match message {
        Response::TrackPublished(published) => published.track.as_ref().map(|track| track.sid.clone()),
        _ => None,
    })
    .await;
    let track = {
        let commands = server.notebook.commands.lock().unwrap();
        let published = commands.iter().find_map(|(_, command)| match command {
            Command::Publish { track, .. } => Some(*track),
            _ => None,
        });
        published.unwrap()
    };
    let bound =
        Event::TrackBound { track, mid: Mid::new("0").unwrap(), codec: CodecKind::Opus, simulcast: false };
    server.api.event(ForwarderId(room), RoomId(room), bound);
    sid
}

#[tokio::test]
async fn tracks_are_muted_and_subscriptions_changed() {
    let server = start(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let (mut ada, _) = server.join("atelier", "ada").await;
    let (mut bob, _) = server.join("atelier", "bob").await;
    let sid = publish(&server, &mut ada, 1).await;
    find(&mut bob, |message| match message {
        Response::Update(update) => update.participants.iter().find(|p| !p.tracks.is_empty()).cloned(),
        _ => None,
    })
    .await;
    let mut mute = proto::MuteRoomTrackRequest {
        room: "atelier".into(),
        identity: "ada".into(),
        track_sid: sid.clone(),
        muted: true,
    };
    let muted: proto::MuteRoomTrackResponse =
        server.call(&token, "RoomService/MutePublishedTrack", &mute).await.unwrap();
    assert!(muted.track.unwrap().muted);
    let told =
        find(&mut ada, |message| if let Response::Mute(mute) = message { Some(mute.clone()) } else { None });
    assert_eq!(told.await, proto::MuteTrackRequest { sid: sid.clone(), muted: true });
    mute.muted = false;
    let unmuted =
        server.call::<proto::MuteRoomTrackResponse>(&token, "RoomService/MutePublishedTrack", &mute).await;
    assert!(unmuted.unwrap_err().is(412, "failed_precondition"));
    mute.track_sid = "TR_nothing".into();
    let unknown =
        server.call::<proto::MuteRoomTrackResponse>(&token, "RoomService/MutePublishedTrack", &mute).await;
    assert!(unknown.unwrap_err().is(404, "not_found"));

    let unsubscribe = proto::UpdateSubscriptionsRequest {
        room: "atelier".into(),
        identity: "bob".into(),
        track_sids: vec![sid],
        ..Default::default()
    };
    let done: Result<proto::UpdateSubscriptionsResponse, _> =
        server.call(&token, "RoomService/UpdateSubscriptions", &unsubscribe).await;
    done.unwrap();
    until("bob no longer receives it", || {
        let commands = server.notebook.commands.lock().unwrap();
        commands.iter().any(|(_, command)| matches!(command, Command::Unsubscribe { .. }))
    })
    .await;
}

#[tokio::test]
async fn a_message_of_the_servers_goes_out_on_the_channel_of_whom_it_is_for() {
    let server = start(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let (_ada, _) = server.join("atelier", "ada").await;
    let (_bob, _) = server.join("atelier", "bob").await;
    let peers: Vec<parvis_sfu::PeerId> = {
        let commands = server.notebook.commands.lock().unwrap();
        let peer = |command: &Command| {
            if let Command::CreatePeer { peer, .. } = command { Some(*peer) } else { None }
        };
        commands.iter().filter_map(|(_, command)| peer(command)).collect()
    };
    for peer in peers.iter().copied() {
        let event = |event| server.api.event(ForwarderId(1), RoomId(1), event);
        event(Event::PeerConnected { peer, report: Box::new(report()) });
        event(Event::ChannelsOpen { peer });
    }
    let request = proto::SendDataRequest {
        room: "atelier".into(),
        data: b"{\"type\":\"lowerHand\"}".to_vec(),
        destination_identities: vec!["bob".into()],
        topic: Some("app".into()),
        ..Default::default()
    };
    let done: Result<proto::SendDataResponse, _> =
        server.call(&token, "RoomService/SendData", &request).await;
    done.unwrap();
    let sent = || {
        let commands = server.notebook.commands.lock().unwrap();
        let data = |command: &Command| match command {
            Command::SendData { peer, channel, payload } => Some((*peer, *channel, payload.clone())),
            _ => None,
        };
        commands.iter().filter_map(|(_, command)| data(command)).collect::<Vec<_>>()
    };
    until("it is sent", || !sent().is_empty()).await;
    let [(peer, channel, payload)] = &sent()[..] else { panic!("more than one: {:?}", sent()) };
    // Bob came last; of his two connections he is sent to on the one that the server offers.
    assert_eq!((Some(peer), *channel), (peers.last(), DataChannel::Reliable));
    let packet = proto::DataPacket::decode(payload.clone()).unwrap();
    let Some(proto::data_packet::Value::User(user)) = packet.value else { panic!("no user packet") };
    assert_eq!((user.payload.as_slice(), user.topic.as_deref()), (request.data.as_slice(), Some("app")));
    let large = proto::SendDataRequest { data: vec![0; 256 * 1024 + 1], ..request };
    let refused = server.call::<proto::SendDataResponse>(&token, "RoomService/SendData", &large).await;
    assert!(refused.unwrap_err().is(400, "invalid_argument"));
}

#[tokio::test]
async fn row_41_rooms_made_by_calls_are_capped_too() {
    let server = start(ApiConfig { max_rooms: 3, ..ApiConfig::default() }).await;
    let token = grant(everything("atelier"));
    for number in 0..5 {
        let request = proto::CreateRoomRequest { name: format!("room{number}"), ..Default::default() };
        let made = server.call::<proto::Room>(&token, "RoomService/CreateRoom", &request).await;
        match number {
            0..3 => assert!(made.is_ok(), "{number}: {made:?}"),
            _ => assert!(made.unwrap_err().is(429, "resource_exhausted")),
        }
    }
}

#[tokio::test]
async fn row_41_without_auto_create_only_rooms_that_were_made_are_joined() {
    let server = start(ApiConfig { auto_create: false, ..ApiConfig::default() }).await;
    let path = format!("access_token={}&protocol=16", server.token("atelier", "ada"));
    assert_eq!(server.open(&format!("/rtc?{path}")).await.err(), Some(404));
    assert_eq!(server.get(&format!("/rtc/validate?{path}")).await.status, 404);
    let request = proto::CreateRoomRequest { name: "atelier".into(), ..Default::default() };
    let token = grant(everything("atelier"));
    let _: proto::Room = server.call(&token, "RoomService/CreateRoom", &request).await.unwrap();
    server.open(&format!("/rtc?{path}")).await.unwrap();
    // A token that may make rooms makes its own.
    let grants =
        VideoGrants { room_join: true, room: "own".into(), room_create: true, ..VideoGrants::default() };
    let token = livekit_token::AccessToken::with_api_key(common::KEY, common::SECRET)
        .with_identity("bob")
        .with_ttl(Duration::from_secs(600))
        .with_grants(grants)
        .to_jwt()
        .unwrap();
    server.open(&format!("/rtc?access_token={token}&protocol=16")).await.unwrap();
    let dispatch = proto::CreateAgentDispatchRequest { room: "nowhere".into(), ..Default::default() };
    let nowhere = grant(everything("nowhere"));
    let refused =
        server.call::<proto::AgentDispatch>(&nowhere, "AgentDispatchService/CreateDispatch", &dispatch).await;
    assert!(refused.unwrap_err().is(404, "not_found"));
}

#[tokio::test]
async fn row_54_two_tenants_have_each_their_own_room_of_one_name() {
    let server = start(ApiConfig::default()).await;
    let (mut ada, first) = server.join("atelier", "ada").await;
    let other = livekit_token::AccessToken::with_api_key(common::OTHER_KEY, common::OTHER_SECRET)
        .with_identity("ada")
        .with_ttl(Duration::from_secs(600))
        .with_grants(VideoGrants { room_join: true, ..everything("atelier") })
        .to_jwt()
        .unwrap();
    let mut twin = server.open(&format!("/rtc?access_token={other}&protocol=16")).await.unwrap();
    let Some(Response::Join(second)) = next(&mut twin).await else { panic!("no join response") };
    assert_ne!(first.room.unwrap().sid, second.room.unwrap().sid);
    assert!(second.other_participants.is_empty());
    let delete = proto::DeleteRoomRequest { room: "atelier".into() };
    let _: proto::DeleteRoomResponse = server.call(&other, "RoomService/DeleteRoom", &delete).await.unwrap();
    assert!(is_alive(&mut ada).await, "the other tenant's room is not hers");
}

#[tokio::test]
async fn ingresses_are_kept_with_keys_that_nobody_guesses() {
    let (server, _folder) =
        start_with_store(ApiConfig { whip_url: "https://meet.example/whip".into(), ..ApiConfig::default() })
            .await;
    let token = grant(everything("atelier"));
    let request = proto::CreateIngressRequest {
        input_type: proto::IngressInput::WhipInput.into(),
        name: "stage".into(),
        room_name: "atelier".into(),
        participant_identity: "camera".into(),
        ..Default::default()
    };
    let made: proto::IngressInfo = server.call(&token, "Ingress/CreateIngress", &request).await.unwrap();
    assert!(made.ingress_id.starts_with("IN_") && made.stream_key.len() == 24);
    assert_eq!((made.url.as_str(), made.reusable), ("https://meet.example/whip", true));
    let second: proto::IngressInfo = server.call(&token, "Ingress/CreateIngress", &request).await.unwrap();
    assert_ne!(made.stream_key, second.stream_key);

    let update = proto::UpdateIngressRequest {
        ingress_id: made.ingress_id.clone(),
        room_name: "kitchen".into(),
        ..Default::default()
    };
    let changed: proto::IngressInfo = server.call(&token, "Ingress/UpdateIngress", &update).await.unwrap();
    assert_eq!((changed.room_name.as_str(), changed.name.as_str()), ("kitchen", "stage"));
    let list = proto::ListIngressRequest { room_name: "kitchen".into(), ..Default::default() };
    let listed: proto::ListIngressResponse = server.call(&token, "Ingress/ListIngress", &list).await.unwrap();
    assert_eq!(listed.items, [changed]);
    let delete = proto::DeleteIngressRequest { ingress_id: made.ingress_id.clone() };
    let _: proto::IngressInfo = server.call(&token, "Ingress/DeleteIngress", &delete).await.unwrap();
    let gone = server.call::<proto::IngressInfo>(&token, "Ingress/DeleteIngress", &delete).await;
    assert!(gone.unwrap_err().is(404, "not_found"));

    for input in [proto::IngressInput::RtmpInput, proto::IngressInput::UrlInput] {
        let refused = proto::CreateIngressRequest { input_type: input.into(), ..request.clone() };
        let refused = server.call::<proto::IngressInfo>(&token, "Ingress/CreateIngress", &refused).await;
        assert!(refused.unwrap_err().is(501, "unimplemented"));
    }
    let nobody = proto::CreateIngressRequest { participant_identity: String::new(), ..request };
    let refused = server.call::<proto::IngressInfo>(&token, "Ingress/CreateIngress", &nobody).await;
    assert!(refused.unwrap_err().is(400, "invalid_argument"));
}

#[tokio::test]
async fn a_second_rule_for_the_same_trunk_and_pin_is_there_already() {
    let (server, _folder) = start_with_store(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let rule = |pin: &str| json!({ "rule": { "dispatchRuleDirect": { "roomName": "atelier", "pin": pin } }, "name": "by phone" });
    let made = server.call_json(&token, "SIP/CreateSIPDispatchRule", rule("1234")).await.unwrap();
    let again = server.call_json(&token, "SIP/CreateSIPDispatchRule", rule("1234")).await.unwrap_err();
    assert!(again.is(409, "already_exists"), "{again:?}");
    server.call_json(&token, "SIP/CreateSIPDispatchRule", rule("5678")).await.unwrap();
    let listed = server.call_json(&token, "SIP/ListSIPDispatchRule", json!({})).await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let id = made["sipDispatchRuleId"].as_str().unwrap();
    let renamed = json!({ "sipDispatchRuleId": id, "update": { "name": "renamed" } });
    let renamed = server.call_json(&token, "SIP/UpdateSIPDispatchRule", renamed).await.unwrap();
    assert_eq!(renamed["name"], "renamed");
    let delete = json!({ "sipDispatchRuleId": id });
    server.call_json(&token, "SIP/DeleteSIPDispatchRule", delete.clone()).await.unwrap();
    let gone = server.call_json(&token, "SIP/DeleteSIPDispatchRule", delete).await.unwrap_err();
    assert!(gone.is(404, "not_found"));
    server.call_json(&token, "SIP/CreateSIPDispatchRule", rule("1234")).await.unwrap();
    let nowhere = server.call_json(&token, "SIP/CreateSIPDispatchRule", json!({})).await.unwrap_err();
    assert!(nowhere.is(400, "invalid_argument"));
    let call = json!({ "sipTrunkId": "ST_1", "sipCallTo": "+4930", "roomName": "atelier" });
    let transfer = json!({ "participantIdentity": "ada", "roomName": "atelier", "transferTo": "tel:+4930" });
    for (name, request) in [("CreateSIPParticipant", call), ("TransferSIPParticipant", transfer)] {
        let refused = server.call_json(&token, &format!("SIP/{name}"), request).await.unwrap_err();
        assert!(refused.is(501, "unimplemented"), "{name}: {refused:?}");
        assert!(refused.message.contains("no telephony yet"), "{name} says why: {refused:?}");
    }
}

#[tokio::test]
async fn trunks_are_kept_and_two_for_the_same_calls_are_refused() {
    let (server, _folder) = start_with_store(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let inbound = |numbers: &[&str]| json!({ "trunk": { "name": "in", "numbers": numbers } });
    let made = server.call_json(&token, "SIP/CreateSIPInboundTrunk", inbound(&["+49 30 1"])).await.unwrap();
    let id = made["sipTrunkId"].as_str().unwrap().to_owned();
    let same = server.call_json(&token, "SIP/CreateSIPInboundTrunk", inbound(&["+49301"])).await.unwrap_err();
    assert!(same.is(400, "invalid_argument"));
    let open = server.call_json(&token, "SIP/CreateSIPInboundTrunk", inbound(&[])).await.unwrap_err();
    assert!(open.is(400, "invalid_argument"), "anyone could call in by it");
    let update = json!({ "sipTrunkId": id, "update": { "numbers": { "add": ["+49302"] } } });
    let changed = server.call_json(&token, "SIP/UpdateSIPInboundTrunk", update).await.unwrap();
    assert_eq!(changed["numbers"], json!(["+49 30 1", "+49302"]));
    let outbound = json!({ "trunk": { "name": "out", "address": "sip.example.org", "numbers": ["+49303"] } });
    server.call_json(&token, "SIP/CreateSIPOutboundTrunk", outbound).await.unwrap();
    let all = server.call_json(&token, "SIP/ListSIPTrunk", json!({})).await.unwrap();
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    let found =
        server.call_json(&token, "SIP/GetSIPInboundTrunk", json!({ "sipTrunkId": id })).await.unwrap();
    assert_eq!(found["trunk"]["name"], "in");
    let wrong =
        server.call_json(&token, "SIP/GetSIPOutboundTrunk", json!({ "sipTrunkId": id })).await.unwrap_err();
    assert!(wrong.is(404, "not_found"));
    server.call_json(&token, "SIP/DeleteSIPTrunk", json!({ "sipTrunkId": id })).await.unwrap();
    let left = server.call_json(&token, "SIP/ListSIPInboundTrunk", json!({})).await.unwrap();
    assert_eq!(left["items"].as_array().map_or(0, Vec::len), 0);
}

#[tokio::test]
async fn recordings_are_listed_and_starting_one_says_what_is_missing() {
    let (server, _folder) = start_with_store(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let listed =
        server.call_json(&token, "Egress/ListEgress", json!({ "roomName": "atelier" })).await.unwrap();
    assert_eq!(listed["items"].as_array().map_or(0, Vec::len), 0);
    server.call_json(&token, "RoomService/CreateRoom", json!({ "name": "atelier" })).await.unwrap();
    let start =
        json!({ "roomName": "atelier", "layout": "speaker-light", "fileOutputs": [{ "filepath": "a.mp4" }] });
    let refused = server.call_json(&token, "Egress/StartRoomCompositeEgress", start).await.unwrap_err();
    assert!(
        refused.is(412, "failed_precondition") && refused.message.contains("media worker"),
        "{refused:?}"
    );
    let web = json!({ "url": "https://example.org" });
    let refused = server.call_json(&token, "Egress/StartWebEgress", web).await.unwrap_err();
    assert!(refused.is(501, "unimplemented") && refused.message.contains("browser"), "{refused:?}");
    let stop =
        server.call_json(&token, "Egress/StopEgress", json!({ "egressId": "EG_1" })).await.unwrap_err();
    assert!(stop.is(404, "not_found"));
}

#[tokio::test]
async fn without_a_store_records_are_refused_and_rooms_work() {
    let server = start(ApiConfig::default()).await;
    let token = grant(everything("atelier"));
    let refused = server.call_json(&token, "Egress/ListEgress", json!({})).await.unwrap_err();
    assert!(refused.is(412, "failed_precondition"));
    server.call_json(&token, "RoomService/CreateRoom", json!({ "name": "atelier" })).await.unwrap();
}
