// SPDX-License-Identifier: EUPL-1.2
//! What a verified token says.

use std::collections::BTreeMap;

use livekit_protocol::RoomConfiguration;
use parvis_meeting::{Kind, Permissions};

/// Who comes, and what it may do. Built by the caller from a token that it has verified; nothing in it is from the
/// client.
#[derive(Debug, Clone, PartialEq)]
pub struct Grants {
    /// Who it is.
    pub identity: String,
    /// Its display name.
    pub name: String,
    /// The application's own text.
    pub metadata: String,
    /// The application's own keys and values.
    pub attributes: BTreeMap<String, String>,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What it may do.
    pub permissions: Permissions,
    /// From when on the token counts (RFC 7519 section 4.1.5), in seconds of Unix time: what tells a new token from one
    /// that was revoked. 0 when it doesn't say, which is older than any revocation.
    pub not_before: u64,
    /// What the room is to be like, if it comes to be by this token.
    pub room: Option<Box<RoomConfiguration>>,
    /// What else its token allows.
    pub beside: Beside,
}

/// What a token allows beside being in its room. It counts for nothing there; the token that a client is given for its next
/// connection says the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// To moderate the room.
    pub room_admin: bool,
    /// To make and end rooms.
    pub room_create: bool,
    /// To list rooms.
    pub room_list: bool,
    /// To record rooms.
    pub room_record: bool,
    /// To make and end ingresses.
    pub ingress_admin: bool,
    /// To set telephony up.
    pub sip_admin: bool,
    /// To call out.
    pub sip_call: bool,
    /// Where it may forward and move people to; empty: nowhere.
    pub destination_room: String,
}

impl Grants {
    /// A person with the usual permissions.
    pub fn of(identity: &str) -> Grants {
        Grants {
            identity: identity.to_owned(),
            name: String::new(),
            metadata: String::new(),
            attributes: BTreeMap::new(),
            kind: Kind::Standard,
            permissions: Permissions::default(),
            not_before: 0,
            room: None,
            beside: Beside::default(),
        }
    }
}
