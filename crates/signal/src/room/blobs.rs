// SPDX-License-Identifier: EUPL-1.2
//! Data blobs: small things that participants lay down in a room for others to fetch, such as the schema of a data track's
//! frames. Each belongs to the identity that stored it, and stays until the room ends, or until its owner has gone and its
//! place is needed.

use std::collections::BTreeMap;

use livekit_protocol as proto;
use livekit_protocol::data_blob_key::Key;
use livekit_protocol::request_response::Reason;
use livekit_protocol::signal_response::Message as Response;
use parvis_meeting::ParticipantId;
use prost::Message;

use super::Room;

/// Longest key, in bytes: a schema's name of 256 characters and its encoding's.
const MAX_KEY_BYTES: usize = 2 * 1024;

/// What is stored, by owner and by key as the wire has it.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    stored: BTreeMap<(String, Vec<u8>), Vec<u8>>,
}

impl Blobs {
    fn count_of(&self, identity: &str) -> usize {
        self.stored
            .range((identity.to_owned(), Vec::new())..)
            .take_while(|((owner, _), _)| owner == identity)
            .count()
    }
}

impl Room {
    pub(super) fn store_blob(&mut self, id: ParticipantId, request: proto::StoreDataBlobRequest) {
        let request_id = request.request_id;
        match self.take_blob(id, request) {
            Ok(key) => {
                let response = proto::StoreDataBlobResponse { request_id, key: Some(key) };
                self.send(id, Response::StoreDataBlobResponse(response));
            }
            Err((reason, message)) => self.refuse(id, request_id, reason, &message, None),
        }
    }

    fn take_blob(
        &mut self,
        id: ParticipantId,
        request: proto::StoreDataBlobRequest,
    ) -> Result<proto::DataBlobKey, (Reason, String)> {
        let participant = self.meeting.participant(id);
        let may = participant.filter(|participant| participant.permissions.can_publish_data);
        let Some(identity) = may.map(|participant| participant.identity.clone()) else {
            return Err((Reason::NotAllowed, "not allowed to publish data".to_owned()));
        };
        let blob = request.blob.unwrap_or_default();
        let key = checked_key(blob.key)?;
        let limit = self.config.blob_bytes;
        if blob.contents.len() > limit {
            let message = format!("the blob has {} bytes, at most {limit} are allowed", blob.contents.len());
            return Err((Reason::LimitExceeded, message));
        }
        let place = (identity, key.encode_to_vec());
        if !self.blobs.stored.contains_key(&place) {
            self.make_room_for_blob(&place.0)?;
        }
        self.blobs.stored.insert(place, blob.contents);
        Ok(key)
    }

    fn make_room_for_blob(&mut self, identity: &str) -> Result<(), (Reason, String)> {
        let (of_one, of_all) = (self.config.blobs_per_participant, self.config.blobs_per_room);
        if self.blobs.count_of(identity) >= of_one {
            let message = format!("{of_one} blobs are stored already, store under one of their keys");
            return Err((Reason::LimitExceeded, message));
        }
        if self.blobs.stored.len() >= of_all {
            let meeting = &self.meeting;
            let left =
                self.blobs.stored.keys().find(|(owner, _)| meeting.by_identity(owner).is_none()).cloned();
            match left {
                Some(place) => drop(self.blobs.stored.remove(&place)),
                None => {
                    return Err((Reason::LimitExceeded, "the room holds as many blobs as it may".to_owned()));
                }
            }
        }
        Ok(())
    }

    pub(super) fn fetch_blob(&mut self, id: ParticipantId, request: proto::GetDataBlobRequest) {
        let request_id = request.request_id;
        let found = self.find_blob(id, request);
        match found {
            Ok(blob) => {
                let response = proto::GetDataBlobResponse { request_id, blob: Some(blob) };
                self.send(id, Response::GetDataBlobResponse(response));
            }
            Err((reason, message)) => self.refuse(id, request_id, reason, &message, None),
        }
    }

    fn find_blob(
        &self,
        id: ParticipantId,
        request: proto::GetDataBlobRequest,
    ) -> Result<proto::DataBlob, (Reason, String)> {
        if !self.meeting.participant(id).is_some_and(|participant| participant.permissions.can_subscribe) {
            return Err((Reason::NotAllowed, "not allowed to receive".to_owned()));
        }
        let key = checked_key(request.key)?;
        let place = (request.participant_identity, key.encode_to_vec());
        let Some(contents) = self.blobs.stored.get(&place).cloned() else {
            return Err((Reason::NotFound, "no such blob".to_owned()));
        };
        Ok(proto::DataBlob { key: Some(key), contents })
    }
}

fn checked_key(key: Option<proto::DataBlobKey>) -> Result<proto::DataBlobKey, (Reason, String)> {
    let key = key.unwrap_or_default();
    let named = match &key.key {
        Some(Key::Generic(name)) => !name.is_empty(),
        Some(Key::SchemaId(schema)) => !schema.name.is_empty(),
        None => false,
    };
    if !named || key.encoded_len() > MAX_KEY_BYTES {
        let message = format!("the blob's key is missing, empty or longer than {MAX_KEY_BYTES} bytes");
        return Err((Reason::InvalidRequest, message));
    }
    Ok(key)
}
