// SPDX-License-Identifier: EUPL-1.2
//! Calls of participants' methods, by the server and by each other.

use std::time::Duration;

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::rpc_response::Value as Answer;
use parvis_sfu::DataChannel;
use parvis_signal::{ConnectionId, RpcError};

use crate::lab::*;

fn call(lab: &mut Lab, destination: &str, payload: String, timeout: Duration, reply_id: u64) {
    lab.room.perform_rpc(lab.now, destination, "double", payload, timeout, reply_id);
    lab.pump();
}

/// The request that reached a client, and from whom.
fn request(lab: &Lab, of: ConnectionId) -> (String, proto::RpcRequest) {
    let received = lab.received(of);
    let mut requests = received.into_iter().filter_map(|(channel, packet)| match packet.value {
        Some(Value::RpcRequest(request)) => {
            assert_eq!(channel, DataChannel::Reliable);
            Some((packet.participant_identity, request))
        }
        _ => None,
    });
    requests.next_back().expect("a request came")
}

fn say(lab: &mut Lab, from: ConnectionId, to: &str, value: Value) {
    let packet = proto::DataPacket {
        destination_identities: vec![to.to_owned()],
        value: Some(value),
        ..Default::default()
    };
    lab.data(from, DataChannel::Reliable, &packet);
}

fn acknowledge(lab: &mut Lab, from: ConnectionId, to: &str, id: &str) {
    say(lab, from, to, Value::RpcAck(proto::RpcAck { request_id: id.to_owned() }));
}

fn answer(lab: &mut Lab, from: ConnectionId, to: &str, id: &str, value: Answer) {
    let response = proto::RpcResponse { request_id: id.to_owned(), value: Some(value) };
    say(lab, from, to, Value::RpcResponse(response));
}

fn code(reply: &Result<String, RpcError>) -> u32 {
    reply.as_ref().map_or_else(|error| error.code, |_| 0)
}

#[test]
fn the_server_calls_a_method_and_gets_what_it_gives_in_both_forms() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let (ada, bob) = (lab.join_by("ada", params.clone()), lab.join_by("bob", params));
        call(&mut lab, "ada", "21".into(), Duration::from_secs(5), 1);
        let (caller, asked) = request(&lab, ada);
        assert!(!caller.is_empty(), "SDKs refuse a call by nobody");
        assert_eq!((asked.method.as_str(), asked.payload.as_str(), asked.version), ("double", "21", 1));
        assert_eq!(asked.response_timeout_ms, 5000);
        assert!(lab.received(bob).is_empty(), "nobody else hears of it");
        acknowledge(&mut lab, ada, &caller, &asked.id);
        answer(&mut lab, ada, &caller, &asked.id, Answer::Payload("42".into()));
        assert_eq!(lab.replies, [(1, Ok("42".to_owned()))]);
        assert!(lab.received(bob).is_empty(), "nor of the answer");

        call(&mut lab, "ada", "x".into(), Duration::from_secs(5), 2);
        let (_, asked) = request(&lab, ada);
        let error = proto::RpcError { code: 101, message: "no number".into(), data: "x".into() };
        answer(&mut lab, ada, &caller, &asked.id, Answer::Error(error));
        let failed = RpcError { code: 101, message: "no number".into(), data: "x".into() };
        assert_eq!(lab.replies[1], (2, Err(failed)));
    }
}

#[test]
fn a_call_ends_in_time_whatever_happens() {
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    call(&mut lab, "nobody", String::new(), Duration::from_secs(5), 1);
    call(&mut lab, "ada", "x".repeat(15 * 1024 + 1), Duration::from_secs(5), 2);
    call(&mut lab, "ada", String::new(), Duration::from_secs(30), 3);
    lab.pass(Duration::from_secs(7));
    call(&mut lab, "ada", String::new(), Duration::from_secs(10), 4);
    let (caller, asked) = request(&lab, ada);
    acknowledge(&mut lab, ada, &caller, &asked.id);
    lab.pass(Duration::from_secs(10));
    call(&mut lab, "ada", String::new(), Duration::from_secs(10), 5);
    lab.remove("ada").unwrap();
    let codes: Vec<(u64, u32)> = lab.replies.iter().map(|(id, reply)| (*id, code(reply))).collect();
    assert_eq!(codes, [(1, 1401), (2, 1402), (3, 1501), (4, 1502), (5, 1503)]);
}

#[test]
fn row_31_only_who_was_called_answers() {
    let mut lab = Lab::new();
    let (ada, mallory) = (lab.join("ada"), lab.join("mallory"));
    call(&mut lab, "ada", String::new(), Duration::from_secs(5), 1);
    let (caller, asked) = request(&lab, ada);
    answer(&mut lab, mallory, &caller, &asked.id, Answer::Payload("forged".into()));
    assert!(lab.replies.is_empty());
    answer(&mut lab, ada, &caller, &asked.id, Answer::Payload("true".into()));
    answer(&mut lab, ada, &caller, &asked.id, Answer::Payload("twice".into()));
    assert_eq!(lab.replies, [(1, Ok("true".to_owned()))]);
}

#[test]
fn row_28_a_compressed_answer_is_bounded() {
    use std::io::Write;
    let deflated = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let mut lab = Lab::new();
    let ada = lab.join("ada");
    let bomb = deflated(&vec![b'x'; 32 * 1024 * 1024]);
    assert!(bomb.len() < 64 * 1024);
    for (reply_id, bytes, expected) in
        [(1, deflated(b"small"), 0), (2, bomb, 1504), (3, vec![0xff; 10], 1500)]
    {
        lab.clear();
        call(&mut lab, "ada", String::new(), Duration::from_secs(5), reply_id);
        let (caller, asked) = request(&lab, ada);
        answer(&mut lab, ada, &caller, &asked.id, Answer::CompressedPayload(bytes));
        let (id, reply) = lab.replies.last().unwrap();
        assert_eq!((*id, code(reply)), (reply_id, expected));
    }
    assert_eq!(lab.replies[0].1, Ok("small".to_owned()));
}

#[test]
fn participants_call_each_other_and_the_server_keeps_out_of_it() {
    let mut lab = Lab::new();
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    let asked = proto::RpcRequest { id: "1".into(), method: "m".into(), ..Default::default() };
    say(&mut lab, ada, "bob", Value::RpcRequest(asked));
    let (caller, asked) = request(&lab, bob);
    assert_eq!(caller, "ada");
    acknowledge(&mut lab, bob, &caller, &asked.id);
    answer(&mut lab, bob, &caller, &asked.id, Answer::Payload("p".into()));
    assert_eq!((lab.received(ada).len(), lab.received(carol).len()), (2, 0));
    assert!(lab.replies.is_empty());
}
