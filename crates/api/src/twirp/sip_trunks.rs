// SPDX-License-Identifier: EUPL-1.2
//! `livekit.SIP`, trunks: by whom calls come in, and by whom they would go out.

use std::collections::BTreeSet;

use livekit_protocol as proto;
use livekit_protocol::{
    update_sip_inbound_trunk_request as inbound, update_sip_outbound_trunk_request as outbound,
};
use parvis_store::SipTrunk;

use super::Call;
use super::error::TwirpError;
use super::sip::{by_id, change_list, not_found};
use super::stored::{new_id, page};

type Result<T> = std::result::Result<T, TwirpError>;

const TRUNK: &str = "SIP trunk";

pub(super) async fn create_inbound(
    call: Call,
    request: proto::CreateSipInboundTrunkRequest,
) -> Result<proto::SipInboundTrunkInfo> {
    let mut trunk = request.trunk.ok_or_else(|| TwirpError::invalid("the trunk is missing"))?;
    check_new(&trunk.sip_trunk_id)?;
    check_inbound(&trunk)?;
    trunk.sip_trunk_id = new_id("ST_");
    let _alone = call.rooms.trunk_writes.lock().await;
    refuse_conflicts(&call, &trunk).await?;
    call.store()?.create_sip_trunk(&call.authority.tenant, &SipTrunk::Inbound(trunk.clone())).await?;
    Ok(trunk)
}

pub(super) async fn create_outbound(
    call: Call,
    request: proto::CreateSipOutboundTrunkRequest,
) -> Result<proto::SipOutboundTrunkInfo> {
    let mut trunk = request.trunk.ok_or_else(|| TwirpError::invalid("the trunk is missing"))?;
    check_new(&trunk.sip_trunk_id)?;
    check_outbound(&trunk)?;
    trunk.sip_trunk_id = new_id("ST_");
    call.store()?.create_sip_trunk(&call.authority.tenant, &SipTrunk::Outbound(trunk.clone())).await?;
    Ok(trunk)
}

pub(super) async fn update_inbound(
    call: Call,
    request: proto::UpdateSipInboundTrunkRequest,
) -> Result<proto::SipInboundTrunkInfo> {
    let _alone = call.rooms.trunk_writes.lock().await;
    let id = request.sip_trunk_id;
    let mut trunk = find_inbound(&call, &id).await?;
    match request.action {
        Some(inbound::Action::Replace(replacement)) => trunk = replacement,
        Some(inbound::Action::Update(update)) => {
            change_list(&mut trunk.numbers, update.numbers)?;
            change_list(&mut trunk.allowed_addresses, update.allowed_addresses)?;
            change_list(&mut trunk.allowed_numbers, update.allowed_numbers)?;
            trunk.auth_username = update.auth_username.unwrap_or(trunk.auth_username);
            trunk.auth_password = update.auth_password.unwrap_or(trunk.auth_password);
            trunk.auth_realm = update.auth_realm.unwrap_or(trunk.auth_realm);
            trunk.name = update.name.unwrap_or(trunk.name);
            trunk.metadata = update.metadata.unwrap_or(trunk.metadata);
            trunk.media = update.media.or(trunk.media);
        }
        None => return Err(TwirpError::invalid("the update says neither replace nor update")),
    }
    trunk.sip_trunk_id = id;
    check_inbound(&trunk)?;
    refuse_conflicts(&call, &trunk).await?;
    call.store()?.update_sip_trunk(&call.authority.tenant, &SipTrunk::Inbound(trunk.clone())).await?;
    Ok(trunk)
}

pub(super) async fn update_outbound(
    call: Call,
    request: proto::UpdateSipOutboundTrunkRequest,
) -> Result<proto::SipOutboundTrunkInfo> {
    let _alone = call.rooms.trunk_writes.lock().await;
    let id = request.sip_trunk_id;
    let mut trunk = find_outbound(&call, &id).await?;
    match request.action {
        Some(outbound::Action::Replace(replacement)) => trunk = replacement,
        Some(outbound::Action::Update(update)) => {
            change_list(&mut trunk.numbers, update.numbers)?;
            trunk.address = update.address.unwrap_or(trunk.address);
            trunk.transport = update.transport.unwrap_or(trunk.transport);
            trunk.destination_country = update.destination_country.unwrap_or(trunk.destination_country);
            trunk.auth_username = update.auth_username.unwrap_or(trunk.auth_username);
            trunk.auth_password = update.auth_password.unwrap_or(trunk.auth_password);
            trunk.name = update.name.unwrap_or(trunk.name);
            trunk.metadata = update.metadata.unwrap_or(trunk.metadata);
            trunk.media = update.media.or(trunk.media);
            trunk.from_host = update.from_host.unwrap_or(trunk.from_host);
        }
        None => return Err(TwirpError::invalid("the update says neither replace nor update")),
    }
    trunk.sip_trunk_id = id;
    check_outbound(&trunk)?;
    call.store()?.update_sip_trunk(&call.authority.tenant, &SipTrunk::Outbound(trunk.clone())).await?;
    Ok(trunk)
}

pub(super) async fn get_inbound(
    call: Call,
    request: proto::GetSipInboundTrunkRequest,
) -> Result<proto::GetSipInboundTrunkResponse> {
    let trunk = find_inbound(&call, &request.sip_trunk_id).await?;
    Ok(proto::GetSipInboundTrunkResponse { trunk: Some(trunk) })
}

pub(super) async fn get_outbound(
    call: Call,
    request: proto::GetSipOutboundTrunkRequest,
) -> Result<proto::GetSipOutboundTrunkResponse> {
    let trunk = find_outbound(&call, &request.sip_trunk_id).await?;
    Ok(proto::GetSipOutboundTrunkResponse { trunk: Some(trunk) })
}

pub(super) async fn list_inbound(
    call: Call,
    request: proto::ListSipInboundTrunkRequest,
) -> Result<proto::ListSipInboundTrunkResponse> {
    let mut trunks = call.store()?.list_sip_inbound_trunks(&call.authority.tenant).await?;
    if !request.trunk_ids.is_empty() {
        trunks = by_id(&trunks, &request.trunk_ids, |trunk| &trunk.sip_trunk_id);
    }
    trunks.retain(|trunk| has_number(&trunk.numbers, &request.numbers));
    let items = page(trunks, request.page.as_ref(), |trunk| &trunk.sip_trunk_id);
    Ok(proto::ListSipInboundTrunkResponse { items })
}

pub(super) async fn list_outbound(
    call: Call,
    request: proto::ListSipOutboundTrunkRequest,
) -> Result<proto::ListSipOutboundTrunkResponse> {
    let mut trunks = call.store()?.list_sip_outbound_trunks(&call.authority.tenant).await?;
    if !request.trunk_ids.is_empty() {
        trunks = by_id(&trunks, &request.trunk_ids, |trunk| &trunk.sip_trunk_id);
    }
    trunks.retain(|trunk| has_number(&trunk.numbers, &request.numbers));
    let items = page(trunks, request.page.as_ref(), |trunk| &trunk.sip_trunk_id);
    Ok(proto::ListSipOutboundTrunkResponse { items })
}

/// Trunks of both directions in the older description that has room for either.
#[allow(deprecated)]
pub(super) async fn list(
    call: Call,
    request: proto::ListSipTrunkRequest,
) -> Result<proto::ListSipTrunkResponse> {
    let (store, tenant) = (call.store()?, &call.authority.tenant);
    let inbound = store.list_sip_inbound_trunks(tenant).await?.into_iter().map(SipTrunk::Inbound);
    let outbound = store.list_sip_outbound_trunks(tenant).await?.into_iter().map(SipTrunk::Outbound);
    let trunks = inbound.chain(outbound).map(in_older_words).collect();
    let items = page(trunks, request.page.as_ref(), |trunk: &proto::SipTrunkInfo| &trunk.sip_trunk_id);
    Ok(proto::ListSipTrunkResponse { items })
}

#[allow(deprecated)]
pub(super) async fn delete(call: Call, request: proto::DeleteSipTrunkRequest) -> Result<proto::SipTrunkInfo> {
    let trunk = call.store()?.delete_sip_trunk(&call.authority.tenant, &request.sip_trunk_id).await?;
    Ok(in_older_words(trunk))
}

async fn find_inbound(call: &Call, id: &str) -> Result<proto::SipInboundTrunkInfo> {
    match call.store()?.sip_trunk(&call.authority.tenant, id).await? {
        Some(SipTrunk::Inbound(trunk)) => Ok(trunk),
        _ => Err(not_found(TRUNK, id)),
    }
}

async fn find_outbound(call: &Call, id: &str) -> Result<proto::SipOutboundTrunkInfo> {
    match call.store()?.sip_trunk(&call.authority.tenant, id).await? {
        Some(SipTrunk::Outbound(trunk)) => Ok(trunk),
        _ => Err(not_found(TRUNK, id)),
    }
}

fn check_new(id: &str) -> Result<()> {
    if id.is_empty() {
        Ok(())
    } else {
        Err(TwirpError::invalid("the trunk's id is for the server to choose"))
    }
}

/// A trunk that anyone could call in by is refused.
fn check_inbound(trunk: &proto::SipInboundTrunkInfo) -> Result<()> {
    let open = trunk.auth_username.is_empty() && trunk.auth_password.is_empty();
    if open && trunk.allowed_addresses.is_empty() && trunk.numbers.is_empty() {
        let message = "the trunk takes calls from anyone: set auth_username and auth_password, allowed_addresses or numbers";
        return Err(TwirpError::invalid(message));
    }
    Ok(())
}

fn check_outbound(trunk: &proto::SipOutboundTrunkInfo) -> Result<()> {
    if trunk.numbers.is_empty() {
        return Err(TwirpError::invalid("the trunk has no number to call from"));
    }
    if trunk.address.is_empty()
        || trunk.address.contains("://")
        || trunk.address.contains(char::is_whitespace)
    {
        return Err(TwirpError::invalid(
            "the trunk's address is a host name or an IP address, with a port or without",
        ));
    }
    Ok(())
}

/// Of two trunks for the same number and the same callers nobody could say which one a call comes by.
async fn refuse_conflicts(call: &Call, trunk: &proto::SipInboundTrunkInfo) -> Result<()> {
    let others = call.store()?.list_sip_inbound_trunks(&call.authority.tenant).await?;
    let same = others.iter().find(|other| {
        other.sip_trunk_id != trunk.sip_trunk_id
            && overlap(&other.numbers, &trunk.numbers)
            && overlap(&other.allowed_numbers, &trunk.allowed_numbers)
    });
    match same {
        Some(other) => {
            let id = &other.sip_trunk_id;
            Err(TwirpError::invalid(format!(
                "trunk {id} takes calls to the same numbers from the same callers"
            )))
        }
        None => Ok(()),
    }
}

/// Whether two lists of numbers have one in common. An empty list stands for all that no other names: only two empty ones
/// overlap.
fn overlap(a: &[String], b: &[String]) -> bool {
    let normal =
        |numbers: &[String]| numbers.iter().map(|number| digits(number)).collect::<BTreeSet<String>>();
    a.is_empty() && b.is_empty() || !normal(a).is_disjoint(&normal(b))
}

/// A number without what people write between its digits.
fn digits(number: &str) -> String {
    number.chars().filter(|character| !matches!(character, ' ' | '-' | '(' | ')' | '.' | '+')).collect()
}

/// Whether a trunk has one of these numbers, or takes all.
fn has_number(own: &[String], wanted: &[String]) -> bool {
    wanted.is_empty() || own.is_empty() || overlap(own, wanted)
}

#[allow(deprecated)]
fn in_older_words(trunk: SipTrunk) -> proto::SipTrunkInfo {
    use proto::sip_trunk_info::TrunkKind;
    let first = |numbers: Vec<String>| numbers.into_iter().next().unwrap_or_default();
    match trunk {
        SipTrunk::Inbound(trunk) => proto::SipTrunkInfo {
            sip_trunk_id: trunk.sip_trunk_id,
            kind: TrunkKind::TrunkInbound.into(),
            outbound_number: first(trunk.numbers),
            inbound_addresses: trunk.allowed_addresses,
            inbound_numbers: trunk.allowed_numbers,
            inbound_username: trunk.auth_username,
            inbound_password: trunk.auth_password,
            name: trunk.name,
            metadata: trunk.metadata,
            ..Default::default()
        },
        SipTrunk::Outbound(trunk) => proto::SipTrunkInfo {
            sip_trunk_id: trunk.sip_trunk_id,
            kind: TrunkKind::TrunkOutbound.into(),
            outbound_address: trunk.address,
            outbound_number: first(trunk.numbers),
            transport: trunk.transport,
            outbound_username: trunk.auth_username,
            outbound_password: trunk.auth_password,
            name: trunk.name,
            metadata: trunk.metadata,
            ..Default::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_overlap_however_they_are_written() {
        let list = |numbers: &[&str]| numbers.iter().map(|number| (*number).to_owned()).collect::<Vec<_>>();
        assert!(overlap(&list(&["+49 (30) 123-45"]), &list(&["1", "493012345"])));
        assert!(!overlap(&list(&["+4930"]), &list(&["+4931"])));
        assert!(overlap(&[], &[]) && !overlap(&list(&["+49"]), &[]));
    }
}
