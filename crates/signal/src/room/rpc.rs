// SPDX-License-Identifier: EUPL-1.2
//! Calls of a participant's methods by the server. Between participants such calls are messages like any other; here the
//! server is the caller: it sends the request, waits for the acknowledgement and the answer, and bounds both in time.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::rpc_response::Value as Answer;
use parvis_meeting::ParticipantId;
use prost::Message;

use super::Room;
use crate::Output;
use crate::mailbox::Letter;

/// As whom the server calls. SDKs refuse a call by nobody.
const CALLER: &str = "parvis:server";
/// How long an acknowledgement may take, as between participants.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(7);
/// Longest payload either way, in bytes: what one message carries by the protocol's first version of calls.
const PAYLOAD_BYTES: usize = 15 * 1024;
/// Calls of one room at a time.
const MAX_CALLS: usize = 1000;

/// Why a call has no answer, in the protocol's numbers; those of an application are its own, below 1,400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// Which error.
    pub code: u32,
    /// In words.
    pub message: String,
    /// What the method says besides.
    pub data: String,
}

impl RpcError {
    fn new(code: u32, message: &str) -> RpcError {
        RpcError { code, message: message.to_owned(), data: String::new() }
    }
}

/// Calls under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    under_way: BTreeMap<String, Call>,
}

#[derive(Debug)]
struct Call {
    reply_id: u64,
    destination: ParticipantId,
    /// By when it must be acknowledged; `None` when it is.
    acknowledge_by: Option<Instant>,
    answer_by: Instant,
}

impl Call {
    fn due(&self) -> Instant {
        self.acknowledge_by.map_or(self.answer_by, |at| at.min(self.answer_by))
    }
}

impl Room {
    /// Calls a method of whoever bears the identity `destination`. [`Output::RpcReply`] with `reply_id` follows, in any case
    /// and at most `timeout` later.
    pub fn perform_rpc(
        &mut self,
        now: Instant,
        destination: &str,
        method: &str,
        payload: String,
        timeout: Duration,
        reply_id: u64,
    ) {
        if let Err(error) = self.call(now, destination, method, payload, timeout, reply_id) {
            self.outputs.push_back(Output::RpcReply { reply_id, result: Err(error) });
        }
        self.settle(now);
    }

    fn call(
        &mut self,
        now: Instant,
        destination: &str,
        method: &str,
        payload: String,
        timeout: Duration,
        reply_id: u64,
    ) -> Result<(), RpcError> {
        let destination = self.meeting.by_identity(destination).map(|participant| participant.id);
        let destination = destination.ok_or_else(|| RpcError::new(1401, "Recipient not found"))?;
        if payload.len() > PAYLOAD_BYTES {
            return Err(RpcError::new(1402, "Request payload too large"));
        }
        if self.calls.under_way.len() >= MAX_CALLS {
            return Err(RpcError::new(1405, "Failed to send: too many calls are under way"));
        }
        let id = self.make_sid("RPC_");
        let request = proto::RpcRequest {
            id: id.clone(),
            method: method.to_owned(),
            payload,
            response_timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            version: 1,
            compressed_payload: Vec::new(),
        };
        let packet = proto::DataPacket {
            participant_identity: CALLER.to_owned(),
            value: Some(Value::RpcRequest(request)),
            ..Default::default()
        };
        let call = Call {
            reply_id,
            destination,
            acknowledge_by: Some(now + ACKNOWLEDGEMENT),
            answer_by: now + timeout,
        };
        self.calls.under_way.insert(id, call);
        let payload = Bytes::from(packet.encode_to_vec());
        self.post(now, destination, Letter { publisher_sid: "".into(), sequence: 0, payload, at: now });
        Ok(())
    }

    /// Takes a message that belongs to a call of the server's; says whether it does. Whose answer counts is decided by
    /// whom was called, not by what the message says.
    pub(super) fn take_rpc(&mut self, sender: ParticipantId, packet: &proto::DataPacket) -> bool {
        let id = match &packet.value {
            Some(Value::RpcAck(ack)) => &ack.request_id,
            Some(Value::RpcResponse(response)) => &response.request_id,
            _ => return false,
        };
        let Some(call) = self.calls.under_way.get_mut(id).filter(|call| call.destination == sender) else {
            return false;
        };
        if let Some(Value::RpcResponse(response)) = &packet.value {
            let result = read_answer(response.value.as_ref());
            self.outputs.push_back(Output::RpcReply { reply_id: call.reply_id, result });
            self.calls.under_way.remove(id);
        } else {
            call.acknowledge_by = None;
        }
        true
    }

    /// When a call runs out of time.
    pub(super) fn calls_due(&self) -> Option<Instant> {
        self.calls.under_way.values().map(Call::due).min()
    }

    pub(super) fn end_late_calls(&mut self, now: Instant) {
        self.end_calls(|call| {
            (call.due() <= now).then(|| match call.acknowledge_by {
                Some(_) => RpcError::new(1501, "Connection timeout"),
                None => RpcError::new(1502, "Response timeout"),
            })
        });
    }

    /// Someone left who may have been called.
    pub(super) fn end_calls_of(&mut self, id: ParticipantId) {
        self.end_calls(|call| {
            (call.destination == id).then(|| RpcError::new(1503, "Recipient disconnected"))
        });
    }

    fn end_calls(&mut self, over: impl Fn(&Call) -> Option<RpcError>) {
        let outputs = &mut self.outputs;
        self.calls.under_way.retain(|_, call| match over(call) {
            Some(error) => {
                outputs.push_back(Output::RpcReply { reply_id: call.reply_id, result: Err(error) });
                false
            }
            None => true,
        });
    }
}

fn read_answer(value: Option<&Answer>) -> Result<String, RpcError> {
    match value {
        Some(Answer::Payload(payload)) => Ok(payload.clone()),
        Some(Answer::CompressedPayload(bytes)) => inflate(bytes),
        Some(Answer::Error(error)) => {
            Err(RpcError { code: error.code, message: error.message.clone(), data: error.data.clone() })
        }
        None => Ok(String::new()),
    }
}

/// Raw DEFLATE (RFC 1951), bounded: row 28.
fn inflate(bytes: &[u8]) -> Result<String, RpcError> {
    const MOST: u64 = 1024 * 1024;
    let mut text = String::new();
    let read = flate2::read::DeflateDecoder::new(bytes).take(MOST + 1).read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 <= MOST => Ok(text),
        Ok(_) => Err(RpcError::new(1504, "Response payload too large")),
        Err(_) => Err(RpcError::new(1500, "Application error in method: the answer can't be read")),
    }
}
