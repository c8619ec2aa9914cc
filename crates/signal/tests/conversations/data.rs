// SPDX-License-Identifier: EUPL-1.2
//! Messages between clients.

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::leave_request::Action;
use parvis_meeting::Permissions;
use parvis_sfu::{DataChannel, Event};
use parvis_signal::{ConnectionId, Grants, Rate, RoomConfig};
use prost::Message;

use crate::lab::*;

fn texts(lab: &Lab, of: ConnectionId) -> Vec<String> {
    lab.received(of).iter().map(|(_, packet)| text_of(packet)).collect()
}

#[test]
fn a_message_reaches_everyone_else_with_its_true_sender() {
    let mut lab = Lab::new();
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    let mut packet = message("hello", 3);
    packet.participant_identity = "bob".into();
    packet.participant_sid = lab.sid(bob);
    lab.data(ada, DataChannel::Reliable, &packet);
    lab.data(ada, DataChannel::Lossy, &message("wave", 0));
    assert!(lab.received(ada).is_empty());
    for receiver in [bob, carol] {
        let received = lab.received(receiver);
        assert_eq!(texts(&lab, receiver), ["hello", "wave"]);
        assert_eq!((received[0].0, received[1].0), (DataChannel::Reliable, DataChannel::Lossy));
        assert_eq!((received[0].1.sequence, received[0].1.kind()), (3, proto::data_packet::Kind::Reliable));
        for (_, packet) in received {
            assert_eq!(packet.participant_identity, "ada");
            assert_eq!(packet.participant_sid, lab.sid(ada));
        }
    }
}

#[test]
fn a_message_for_some_reaches_only_those() {
    let mut lab = Lab::new();
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    let to = |identities: &[&str]| proto::DataPacket {
        destination_identities: identities.iter().map(|identity| (*identity).to_owned()).collect(),
        ..message("psst", 0)
    };
    lab.data(ada, DataChannel::Reliable, &to(&["carol", "carol", "nobody", "ada"]));
    assert_eq!((texts(&lab, bob).len(), texts(&lab, carol).len(), texts(&lab, ada).len()), (0, 1, 0));
    lab.data(ada, DataChannel::Reliable, &to(&["nobody"]));
    assert_eq!((texts(&lab, bob).len(), texts(&lab, carol).len()), (0, 1), "nobody is not everybody");

    let sid = lab.sid(bob);
    let old = |identities: Vec<String>, sids: Vec<String>| proto::DataPacket {
        value: Some(Value::User(proto::UserPacket {
            payload: b"old".to_vec(),
            destination_identities: identities,
            destination_sids: sids,
            ..Default::default()
        })),
        ..Default::default()
    };
    lab.data(ada, DataChannel::Reliable, &old(vec!["bob".into()], vec![]));
    lab.data(ada, DataChannel::Reliable, &old(vec![], vec![sid]));
    assert_eq!((texts(&lab, bob).len(), texts(&lab, carol).len()), (2, 1));
}

#[test]
fn row_45_who_may_not_send_data_is_not_heard() {
    let mut lab = Lab::new();
    let permissions = Permissions { can_publish_data: false, ..Permissions::default() };
    let ada = lab.join_as(Grants { permissions, ..Grants::of("ada") });
    let bob = lab.join("bob");
    lab.data(ada, DataChannel::Reliable, &message("hello", 1));
    lab.data(ada, DataChannel::Lossy, &message("hello", 0));
    assert!(lab.received(bob).is_empty());
    assert_eq!(lab.room.stats().data_dropped, 2);
}

#[test]
fn row_31_nobody_says_for_the_server_who_speaks() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let speaker = proto::SpeakerInfo { sid: lab.sid(bob), level: 1.0, active: true };
    let update = Value::Speaker(proto::ActiveSpeakerUpdate { speakers: vec![speaker] });
    lab.data(ada, DataChannel::Lossy, &proto::DataPacket { value: Some(update), ..Default::default() });
    assert!(lab.received(bob).is_empty());
}

#[test]
fn every_kind_of_message_passes_as_it_is() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let header =
        proto::data_stream::Header { stream_id: "s".into(), topic: "t".into(), ..Default::default() };
    let kinds = [
        Value::ChatMessage(proto::ChatMessage { message: "hi".into(), ..Default::default() }),
        Value::RpcRequest(proto::RpcRequest { id: "1".into(), method: "m".into(), ..Default::default() }),
        Value::StreamHeader(header),
        Value::StreamChunk(proto::data_stream::Chunk { content: vec![7; 15_000], ..Default::default() }),
        Value::EncryptedPacket(proto::EncryptedPacket {
            encrypted_value: vec![1, 2, 3],
            ..Default::default()
        }),
        Value::SipDtmf(proto::SipDtmf { code: 5, digit: "5".into() }),
    ];
    for value in &kinds {
        let packet = proto::DataPacket { value: Some(value.clone()), ..Default::default() };
        lab.data(ada, DataChannel::Reliable, &packet);
    }
    let received: Vec<Value> = lab.received(bob).into_iter().filter_map(|(_, packet)| packet.value).collect();
    assert_eq!(received, kinds);
}

#[test]
fn messages_wait_until_the_receivers_channel_is_open() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bob = lab.connect(Grants::of("bob"), dual());
    lab.data(ada, DataChannel::Reliable, &message("early", 1));
    lab.data(ada, DataChannel::Lossy, &message("lost", 0));
    assert!(lab.received(bob).is_empty());
    lab.bring_up(bob);
    assert_eq!(texts(&lab, bob), ["early"]);
}

#[test]
fn row_30_a_malformed_or_huge_message_is_dropped_and_nobody_is_disturbed() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let peer = lab.publisher(ada);
    lab.event(Event::Data { peer, channel: DataChannel::Reliable, payload: vec![0xff; 40].into() });
    let huge = message(&"x".repeat(300 * 1024), 1).encode_to_vec();
    lab.event(Event::Data { peer, channel: DataChannel::Reliable, payload: huge.into() });
    lab.data(ada, DataChannel::Reliable, &message("fine", 2));
    assert_eq!(texts(&lab, bob), ["fine"]);
    assert_eq!(lab.client(ada).closed, None);
}

#[test]
fn row_29_a_flood_of_messages_ends_its_sender_alone_and_lossy_ones_are_dropped() {
    let rate = Rate { burst: 10, per_second: 1 };
    let mut lab = Lab::with(RoomConfig { reliable_data: rate, lossy_data: rate, ..RoomConfig::default() });
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    for _ in 0..100 {
        lab.data(ada, DataChannel::Lossy, &message("x", 0));
    }
    assert_eq!(texts(&lab, bob).len(), 10);
    assert_eq!(lab.client(ada).closed, None);
    let peer = lab.publisher(ada);
    for _ in 0..100 {
        let payload = message("y", 0).encode_to_vec().into();
        lab.event(Event::Data { peer, channel: DataChannel::Reliable, payload });
    }
    assert_eq!(texts(&lab, bob).len(), 20);
    assert_eq!(lab.client(ada).closed.as_ref().unwrap().0, 1008);
    assert_eq!(lab.client(bob).closed, None);
}

#[test]
fn a_reader_that_is_too_slow_starts_over_and_nobody_waits_for_it() {
    let mut lab = Lab::with(RoomConfig { replay_messages: 5, ..RoomConfig::default() });
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    lab.event(Event::PeerDisconnected { peer: lab.primary(bob) });
    for sequence in 1..=6 {
        lab.data(ada, DataChannel::Reliable, &message("x", sequence));
    }
    assert_eq!(lab.client(bob).leave().unwrap().action(), Action::Reconnect);
    assert_eq!(texts(&lab, carol).len(), 6);
    let peer = lab.primary(carol);
    lab.event(Event::DataOverflow { peer, channel: DataChannel::Lossy });
    assert_eq!(lab.client(carol).leave(), None, "lossy is lossy");
    lab.event(Event::DataOverflow { peer, channel: DataChannel::Reliable });
    assert_eq!(lab.client(carol).leave().unwrap().action(), Action::Reconnect);
    assert_eq!(lab.room.stats().slow_readers, 2);
}

#[test]
fn row_45_a_hidden_sender_stays_hidden() {
    let mut lab = Lab::new();
    let permissions = Permissions { hidden: true, ..Permissions::default() };
    let ghost = lab.join_as(Grants { permissions, ..Grants::of("ghost") });
    let bob = lab.join("bob");
    lab.data(ghost, DataChannel::Reliable, &message("boo", 1));
    let (_, packet) = &lab.received(bob)[0];
    assert_eq!((packet.participant_identity.as_str(), packet.participant_sid.as_str()), ("", ""));
}
