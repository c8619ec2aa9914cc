// SPDX-License-Identifier: EUPL-1.2
//! What a token lets its bearer ask of the server APIs. Every call names its need in the table of [`crate::twirp`], and this
//! is the one place that compares both.

use livekit_token::{SIPGrants, VideoGrants};
use parvis_signal::Actor;

use crate::tenant::{RoomKey, TenantId};

/// What a token that holds says.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    /// Whose key signed it.
    pub(crate) tenant: TenantId,
    /// The name of that key.
    pub(crate) key: String,
    /// Who it is for; empty for an application's server.
    pub(crate) identity: String,
    /// From when on it counts, in seconds of Unix time.
    pub(crate) not_before: u64,
    pub(crate) video: VideoGrants,
    pub(crate) sip: SIPGrants,
}

/// What a call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// `roomCreate`: to make rooms and to end them.
    RoomCreate,
    /// `roomList`: to see which rooms there are.
    RoomList,
    /// `roomAdmin` for exactly this room.
    RoomAdmin(String),
    /// `roomAdmin` for exactly the first room, and `destinationRoom` the second.
    RoomAdminTo(String, String),
    /// `roomRecord`: to record and to stream.
    RoomRecord,
    /// `ingressAdmin`: to bring in streams.
    IngressAdmin,
    /// `sip.admin`: to set telephony up.
    SipAdmin,
    /// `sip.call`: to call out.
    SipCall,
}

impl Authority {
    /// Whether it is enough.
    pub(crate) fn allows(&self, need: &Need) -> bool {
        let video = &self.video;
        // No pattern, no prefix, and an empty name is no room: one token, one room.
        let admin = |room: &str| video.room_admin && !room.is_empty() && video.room == room;
        match need {
            Need::RoomCreate => video.room_create,
            Need::RoomList => video.room_list,
            Need::RoomAdmin(room) => admin(room),
            Need::RoomAdminTo(room, to) => admin(room) && !to.is_empty() && video.destination_room == *to,
            Need::RoomRecord => video.room_record,
            Need::IngressAdmin => video.ingress_admin,
            Need::SipAdmin => self.sip.admin,
            Need::SipCall => self.sip.call,
        }
    }

    /// A room of its tenant's.
    pub(crate) fn room(&self, name: &str) -> RoomKey {
        RoomKey::new(&self.tenant, name)
    }

    /// Who asks, as rooms remember it.
    pub(crate) fn actor(&self) -> Actor {
        Actor { identity: self.identity.clone(), not_before: self.not_before }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(video: VideoGrants, sip: SIPGrants) -> Authority {
        Authority {
            tenant: TenantId::default(),
            key: "key".to_owned(),
            identity: String::new(),
            not_before: 0,
            video,
            sip,
        }
    }

    fn needs() -> [Need; 8] {
        let (room, to) = ("atelier".to_owned(), "kitchen".to_owned());
        [
            Need::RoomCreate,
            Need::RoomList,
            Need::RoomAdmin(room.clone()),
            Need::RoomAdminTo(room, to),
            Need::RoomRecord,
            Need::IngressAdmin,
            Need::SipAdmin,
            Need::SipCall,
        ]
    }

    #[test]
    fn row_54_each_grant_opens_what_it_names_and_nothing_else() {
        let video = VideoGrants::default;
        let admin = || VideoGrants { room_admin: true, room: "atelier".into(), ..video() };
        let sip = SIPGrants::default;
        let table = [
            (with(VideoGrants { room_create: true, ..video() }, sip()), vec![0]),
            (with(VideoGrants { room_list: true, ..video() }, sip()), vec![1]),
            (with(admin(), sip()), vec![2]),
            (with(VideoGrants { destination_room: "kitchen".into(), ..admin() }, sip()), vec![2, 3]),
            (with(VideoGrants { destination_room: "cellar".into(), ..admin() }, sip()), vec![2]),
            (with(VideoGrants { room_record: true, ..video() }, sip()), vec![4]),
            (with(VideoGrants { ingress_admin: true, ..video() }, sip()), vec![5]),
            (with(video(), SIPGrants { admin: true, call: false }), vec![6]),
            (with(video(), SIPGrants { admin: false, call: true }), vec![7]),
            (with(VideoGrants { room_join: true, room: "atelier".into(), ..video() }, sip()), vec![]),
            (with(VideoGrants { room: String::new(), ..admin() }, sip()), vec![]),
            (with(VideoGrants { room: "*".into(), ..admin() }, sip()), vec![]),
            (with(VideoGrants { room: "atelier2".into(), ..admin() }, sip()), vec![]),
        ];
        for (authority, allowed) in table {
            let all = needs();
            let found: Vec<usize> = (0..all.len()).filter(|at| authority.allows(&all[*at])).collect();
            assert_eq!(found, allowed, "{authority:?}");
        }
        let nowhere = with(VideoGrants { room: String::new(), ..admin() }, sip());
        assert!(!nowhere.allows(&Need::RoomAdmin(String::new())), "no name is no room");
    }
}
