// SPDX-License-Identifier: EUPL-1.2
//! Data blobs: stored by one, fetched by others.

use livekit_protocol as proto;
use livekit_protocol::data_blob_key::Key;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::Permissions;
use parvis_signal::{ConnectionId, Grants, RoomConfig};

use crate::lab::*;

fn generic(name: &str) -> Option<proto::DataBlobKey> {
    Some(proto::DataBlobKey { key: Some(Key::Generic(name.into())) })
}

fn store(
    lab: &mut Lab,
    of: ConnectionId,
    key: Option<proto::DataBlobKey>,
    contents: &[u8],
) -> Option<Reason> {
    lab.clear();
    let blob = Some(proto::DataBlob { key: key.clone(), contents: contents.to_vec() });
    lab.send(of, Request::StoreDataBlobRequest(proto::StoreDataBlobRequest { request_id: 7, blob }));
    let stored = lab.client(of).find(|message| match message {
        Response::StoreDataBlobResponse(response) => Some((response.request_id, response.key.clone())),
        _ => None,
    });
    match stored {
        Some(stored) => {
            assert_eq!(stored, (7, key));
            None
        }
        None => {
            let refusal = lab.client(of).refusal().unwrap();
            assert_eq!(refusal.request_id, 7);
            Some(refusal.reason())
        }
    }
}

fn fetch(
    lab: &mut Lab,
    by: ConnectionId,
    of: &str,
    key: Option<proto::DataBlobKey>,
) -> Result<Vec<u8>, Reason> {
    lab.clear();
    let request = proto::GetDataBlobRequest { request_id: 8, participant_identity: of.into(), key };
    lab.send(by, Request::GetDataBlobRequest(request));
    let found = lab.client(by).find(|message| match message {
        Response::GetDataBlobResponse(response) if response.request_id == 8 => response.blob.clone(),
        _ => None,
    });
    found.map(|blob| blob.contents).ok_or_else(|| lab.client(by).refusal().unwrap().reason())
}

#[test]
fn what_one_stores_others_fetch_by_owner_and_key_in_both_forms() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let (ada, bob) = (lab.join_by("ada", params.clone()), lab.join_by("bob", params));
        let schema = proto::DataTrackSchemaId { name: "pose".into(), encoding: None };
        let schema = Some(proto::DataBlobKey { key: Some(Key::SchemaId(schema)) });
        assert_eq!(store(&mut lab, ada, generic("pose"), b"one"), None);
        assert_eq!(store(&mut lab, ada, schema.clone(), b"two"), None);
        assert_eq!(store(&mut lab, bob, generic("pose"), b"three"), None);
        assert_eq!(fetch(&mut lab, bob, "ada", generic("pose")), Ok(b"one".to_vec()));
        assert_eq!(fetch(&mut lab, bob, "ada", schema), Ok(b"two".to_vec()));
        assert_eq!(fetch(&mut lab, ada, "bob", generic("pose")), Ok(b"three".to_vec()));
        assert_eq!(store(&mut lab, ada, generic("pose"), b"newer"), None);
        assert_eq!(fetch(&mut lab, bob, "ada", generic("pose")), Ok(b"newer".to_vec()));
        assert_eq!(fetch(&mut lab, bob, "ada", generic("speed")), Err(Reason::NotFound));
        assert_eq!(fetch(&mut lab, bob, "carol", generic("pose")), Err(Reason::NotFound));
    }
}

#[test]
fn row_41_blobs_are_bounded_in_size_and_number_and_the_present_go_before_the_absent() {
    let mut lab = Lab::with(RoomConfig {
        blob_bytes: 10,
        blobs_per_participant: 2,
        blobs_per_room: 3,
        ..RoomConfig::default()
    });
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    assert_eq!(store(&mut lab, ada, generic("large"), &[0; 11]), Some(Reason::LimitExceeded));
    assert_eq!(store(&mut lab, ada, generic("a"), &[0; 10]), None);
    assert_eq!(store(&mut lab, ada, generic("b"), b""), None);
    assert_eq!(store(&mut lab, ada, generic("c"), b""), Some(Reason::LimitExceeded));
    assert_eq!(store(&mut lab, ada, generic("a"), b"x"), None, "in place of its own");
    assert_eq!(store(&mut lab, bob, generic("a"), b"y"), None);
    assert_eq!(store(&mut lab, bob, generic("b"), b"y"), Some(Reason::LimitExceeded), "the room is full");
    lab.send(ada, Request::Leave(proto::LeaveRequest::default()));
    assert_eq!(fetch(&mut lab, bob, "ada", generic("a")), Ok(b"x".to_vec()), "they outlive their owner");
    assert_eq!(store(&mut lab, bob, generic("b"), b"y"), None);
    assert_eq!(fetch(&mut lab, bob, "ada", generic("a")), Err(Reason::NotFound));
}

#[test]
fn row_45_rights_and_keys_are_looked_at() {
    let mut lab = Lab::new();
    let mute = Permissions { can_publish_data: false, ..Permissions::default() };
    let deaf = Permissions { can_subscribe: false, ..Permissions::default() };
    let mute = lab.join_as(Grants { permissions: mute, ..Grants::of("mute") });
    let deaf = lab.join_as(Grants { permissions: deaf, ..Grants::of("deaf") });
    assert_eq!(store(&mut lab, mute, generic("a"), b"x"), Some(Reason::NotAllowed));
    assert_eq!(store(&mut lab, deaf, generic("a"), b"x"), None);
    assert_eq!(fetch(&mut lab, deaf, "deaf", generic("a")), Err(Reason::NotAllowed));
    assert_eq!(fetch(&mut lab, mute, "deaf", generic("a")), Ok(b"x".to_vec()));
    for key in [None, generic(""), generic(&"k".repeat(3000)), Some(proto::DataBlobKey { key: None })] {
        assert_eq!(store(&mut lab, deaf, key.clone(), b"x"), Some(Reason::InvalidRequest));
        assert_eq!(fetch(&mut lab, mute, "deaf", key), Err(Reason::InvalidRequest));
    }
}
