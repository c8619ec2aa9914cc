// SPDX-License-Identifier: EUPL-1.2
//! Every call, the grant that it needs, and what it does.

use livekit_protocol as proto;

use super::{
    Method, agent_dispatch as agent, egress, elsewhere, ingress, room_service as room, sip,
    sip_trunks as trunk,
};
use crate::authority::Need;

const ROOM: &str = "RoomService";
const AGENT: &str = "AgentDispatchService";
const EGRESS: &str = "Egress";
const INGRESS: &str = "Ingress";
const SIP: &str = "SIP";

/// Path and grant of every call of the server APIs: `("/twirp/livekit.RoomService/CreateRoom", "roomCreate")`.
pub fn server_api() -> Vec<(String, &'static str)> {
    table().into_iter().map(|method| (method.path(), method.grant)).collect()
}

/// The table. Routes, tests and documentation are made from it.
pub(super) fn table() -> Vec<Method> {
    let mut table = rooms();
    table.extend(participants());
    table.extend(agents());
    table.extend(egresses());
    table.extend(ingresses());
    table.extend(telephony());
    table
}

#[rustfmt::skip]
fn rooms() -> Vec<Method> {
    vec![
        Method::new((ROOM, "CreateRoom"), "roomCreate", |_| Need::RoomCreate, room::create_room),
        Method::new((ROOM, "ListRooms"), "roomList", |_| Need::RoomList, room::list_rooms),
        Method::new((ROOM, "DeleteRoom"), "roomCreate", |_| Need::RoomCreate, room::delete_room),
        Method::new((ROOM, "UpdateRoomMetadata"), "roomAdmin", |q: &proto::UpdateRoomMetadataRequest| admin(&q.room), room::update_room_metadata),
        Method::new((ROOM, "SendData"), "roomAdmin", |q: &proto::SendDataRequest| admin(&q.room), room::send_data),
    ]
}

#[rustfmt::skip]
fn participants() -> Vec<Method> {
    vec![
        Method::new((ROOM, "ListParticipants"), "roomAdmin", |q: &proto::ListParticipantsRequest| admin(&q.room), room::list_participants),
        Method::new((ROOM, "GetParticipant"), "roomAdmin", |q: &proto::RoomParticipantIdentity| admin(&q.room), room::get_participant),
        Method::new((ROOM, "RemoveParticipant"), "roomAdmin", |q: &proto::RoomParticipantIdentity| admin(&q.room), room::remove_participant),
        Method::new((ROOM, "MutePublishedTrack"), "roomAdmin", |q: &proto::MuteRoomTrackRequest| admin(&q.room), room::mute_published_track),
        Method::new((ROOM, "UpdateParticipant"), "roomAdmin", |q: &proto::UpdateParticipantRequest| admin(&q.room), room::update_participant),
        Method::new((ROOM, "UpdateSubscriptions"), "roomAdmin", |q: &proto::UpdateSubscriptionsRequest| admin(&q.room), room::update_subscriptions),
        Method::new((ROOM, "ForwardParticipant"), "roomAdmin, destinationRoom", |q: &proto::ForwardParticipantRequest| admin_to(&q.room, &q.destination_room), elsewhere::forward_participant),
        Method::new((ROOM, "MoveParticipant"), "roomAdmin, destinationRoom", |q: &proto::MoveParticipantRequest| admin_to(&q.room, &q.destination_room), elsewhere::move_participant),
        Method::new((ROOM, "PerformRpc"), "roomAdmin", |q: &proto::PerformRpcRequest| admin(&q.room), elsewhere::perform_rpc),
    ]
}

#[rustfmt::skip]
fn agents() -> Vec<Method> {
    vec![
        Method::new((AGENT, "CreateDispatch"), "roomAdmin", |q: &proto::CreateAgentDispatchRequest| admin(&q.room), agent::create_dispatch),
        Method::new((AGENT, "DeleteDispatch"), "roomAdmin", |q: &proto::DeleteAgentDispatchRequest| admin(&q.room), agent::delete_dispatch),
        Method::new((AGENT, "ListDispatch"), "roomAdmin", |q: &proto::ListAgentDispatchRequest| admin(&q.room), agent::list_dispatch),
    ]
}

#[rustfmt::skip]
fn egresses() -> Vec<Method> {
    vec![
        Method::new((EGRESS, "StartEgress"), "roomRecord", |_| Need::RoomRecord, egress::start_egress),
        Method::new((EGRESS, "StartRoomCompositeEgress"), "roomRecord", |_| Need::RoomRecord, egress::start_room_composite),
        Method::new((EGRESS, "StartWebEgress"), "roomRecord", |_| Need::RoomRecord, egress::start_web),
        Method::new((EGRESS, "StartParticipantEgress"), "roomRecord", |_| Need::RoomRecord, egress::start_participant),
        Method::new((EGRESS, "StartTrackCompositeEgress"), "roomRecord", |_| Need::RoomRecord, egress::start_track_composite),
        Method::new((EGRESS, "StartTrackEgress"), "roomRecord", |_| Need::RoomRecord, egress::start_track),
        Method::new((EGRESS, "UpdateLayout"), "roomRecord", |_| Need::RoomRecord, egress::update_layout),
        Method::new((EGRESS, "UpdateStream"), "roomRecord", |_| Need::RoomRecord, egress::update_stream),
        Method::new((EGRESS, "ListEgress"), "roomRecord", |_| Need::RoomRecord, egress::list_egress),
        Method::new((EGRESS, "StopEgress"), "roomRecord", |_| Need::RoomRecord, egress::stop_egress),
    ]
}

#[rustfmt::skip]
fn ingresses() -> Vec<Method> {
    vec![
        Method::new((INGRESS, "CreateIngress"), "ingressAdmin", |_| Need::IngressAdmin, ingress::create_ingress),
        Method::new((INGRESS, "UpdateIngress"), "ingressAdmin", |_| Need::IngressAdmin, ingress::update_ingress),
        Method::new((INGRESS, "ListIngress"), "ingressAdmin", |_| Need::IngressAdmin, ingress::list_ingress),
        Method::new((INGRESS, "DeleteIngress"), "ingressAdmin", |_| Need::IngressAdmin, ingress::delete_ingress),
    ]
}

#[rustfmt::skip]
fn telephony() -> Vec<Method> {
    vec![
        Method::new((SIP, "ListSIPTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::list),
        Method::new((SIP, "CreateSIPInboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::create_inbound),
        Method::new((SIP, "CreateSIPOutboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::create_outbound),
        Method::new((SIP, "UpdateSIPInboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::update_inbound),
        Method::new((SIP, "UpdateSIPOutboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::update_outbound),
        Method::new((SIP, "GetSIPInboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::get_inbound),
        Method::new((SIP, "GetSIPOutboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::get_outbound),
        Method::new((SIP, "ListSIPInboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::list_inbound),
        Method::new((SIP, "ListSIPOutboundTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::list_outbound),
        Method::new((SIP, "DeleteSIPTrunk"), "sip.admin", |_| Need::SipAdmin, trunk::delete),
        Method::new((SIP, "CreateSIPDispatchRule"), "sip.admin", |_| Need::SipAdmin, sip::create_dispatch_rule),
        Method::new((SIP, "UpdateSIPDispatchRule"), "sip.admin", |_| Need::SipAdmin, sip::update_dispatch_rule),
        Method::new((SIP, "ListSIPDispatchRule"), "sip.admin", |_| Need::SipAdmin, sip::list_dispatch_rule),
        Method::new((SIP, "DeleteSIPDispatchRule"), "sip.admin", |_| Need::SipAdmin, sip::delete_dispatch_rule),
        Method::new((SIP, "CreateSIPParticipant"), "sip.call", |_| Need::SipCall, sip::create_participant),
        Method::new((SIP, "TransferSIPParticipant"), "sip.call", |_| Need::SipCall, sip::transfer_participant),
    ]
}

fn admin(room: &str) -> Need {
    Need::RoomAdmin(room.to_owned())
}

fn admin_to(room: &str, to: &str) -> Need {
    Need::RoomAdminTo(room.to_owned(), to.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_path_is_there_once_and_names_a_grant() {
        let api = server_api();
        let paths: BTreeSet<&str> = api.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths.len(), api.len());
        assert!(api.iter().all(|(_, grant)| !grant.is_empty()));
        // As many as the protocol's services have.
        for (service, calls) in [(ROOM, 14), (AGENT, 3), (EGRESS, 10), (INGRESS, 4), (SIP, 16)] {
            let own = format!("/twirp/livekit.{service}/");
            assert_eq!(paths.iter().filter(|path| path.starts_with(&own)).count(), calls, "{service}");
        }
    }
}
