// SPDX-License-Identifier: EUPL-1.2
//! `livekit.SIP`: trunks and dispatch rules are kept and listed; calls need telephony, which this server does not have yet.

use livekit_protocol as proto;
use livekit_protocol::update_sip_dispatch_rule_request::Action;
use parvis_store::StoreError;

use super::Call;
use super::error::{Code, TwirpError};
use super::stored::{new_id, page};

type Result<T> = std::result::Result<T, TwirpError>;

/// Keeps a rule. One that takes the same calls as another, by trunk, number and PIN, is refused.
pub(super) async fn create_dispatch_rule(
    call: Call,
    request: proto::CreateSipDispatchRuleRequest,
) -> Result<proto::SipDispatchRuleInfo> {
    let mut rule = described(request);
    if !rule.sip_dispatch_rule_id.is_empty() {
        return Err(TwirpError::invalid("the rule's id is for the server to choose"));
    }
    check(&rule)?;
    rule.sip_dispatch_rule_id = new_id("SDR_");
    call.store()?.create_sip_dispatch_rule(&call.authority.tenant, &rule).await?;
    Ok(rule)
}

pub(super) async fn update_dispatch_rule(
    call: Call,
    request: proto::UpdateSipDispatchRuleRequest,
) -> Result<proto::SipDispatchRuleInfo> {
    let (store, tenant, id) = (call.store()?, &call.authority.tenant, request.sip_dispatch_rule_id);
    let known = store.sip_dispatch_rule(tenant, &id).await?;
    let mut rule = known.ok_or_else(|| not_found("SIP dispatch rule", &id))?;
    match request.action {
        Some(Action::Replace(replacement)) => rule = replacement,
        Some(Action::Update(update)) => {
            change_list(&mut rule.trunk_ids, update.trunk_ids)?;
            rule.rule = update.rule.or(rule.rule);
            rule.name = update.name.unwrap_or(rule.name);
            rule.metadata = update.metadata.unwrap_or(rule.metadata);
            for (key, value) in update.attributes {
                if value.is_empty() {
                    rule.attributes.remove(&key);
                } else {
                    rule.attributes.insert(key, value);
                }
            }
            rule.media = update.media.or(rule.media);
        }
        None => return Err(TwirpError::invalid("the update says neither replace nor update")),
    }
    rule.sip_dispatch_rule_id = id;
    check(&rule)?;
    store.update_sip_dispatch_rule(tenant, &rule).await?;
    Ok(rule)
}

/// All rules; or those of these ids in their order, with an empty one for each that is not there; or those of these trunks
/// and those of every trunk.
pub(super) async fn list_dispatch_rule(
    call: Call,
    request: proto::ListSipDispatchRuleRequest,
) -> Result<proto::ListSipDispatchRuleResponse> {
    let mut rules = call.store()?.list_sip_dispatch_rules(&call.authority.tenant).await?;
    if !request.dispatch_rule_ids.is_empty() {
        rules = by_id(&rules, &request.dispatch_rule_ids, |rule| &rule.sip_dispatch_rule_id);
    }
    if !request.trunk_ids.is_empty() {
        let named = |rule: &proto::SipDispatchRuleInfo| {
            rule.trunk_ids.is_empty() || rule.trunk_ids.iter().any(|trunk| request.trunk_ids.contains(trunk))
        };
        rules.retain(named);
    }
    let items = page(rules, request.page.as_ref(), |rule| &rule.sip_dispatch_rule_id);
    Ok(proto::ListSipDispatchRuleResponse { items })
}

pub(super) async fn delete_dispatch_rule(
    call: Call,
    request: proto::DeleteSipDispatchRuleRequest,
) -> Result<proto::SipDispatchRuleInfo> {
    let store = call.store()?;
    Ok(store.delete_sip_dispatch_rule(&call.authority.tenant, &request.sip_dispatch_rule_id).await?)
}

pub(super) async fn create_participant(
    _: Call,
    _: proto::CreateSipParticipantRequest,
) -> Result<proto::SipParticipantInfo> {
    Err(no_telephony())
}

pub(super) async fn transfer_participant(
    _: Call,
    _: proto::TransferSipParticipantRequest,
) -> Result<proto::TransferSipParticipantResponse> {
    Err(no_telephony())
}

fn no_telephony() -> TwirpError {
    let message = "this server has no telephony yet: trunks and rules are kept, calls can't be made";
    TwirpError::new(Code::Unimplemented, message)
}

pub(super) fn not_found(what: &'static str, id: &str) -> TwirpError {
    StoreError::NotFound { what, id: id.to_owned() }.into()
}

/// The rule that a request describes: whole, or field by field as older SDKs do.
#[allow(deprecated)]
fn described(request: proto::CreateSipDispatchRuleRequest) -> proto::SipDispatchRuleInfo {
    request.dispatch_rule.unwrap_or_else(|| proto::SipDispatchRuleInfo {
        rule: request.rule,
        trunk_ids: request.trunk_ids,
        hide_phone_number: request.hide_phone_number,
        inbound_numbers: request.inbound_numbers,
        name: request.name,
        metadata: request.metadata,
        attributes: request.attributes,
        room_preset: request.room_preset,
        room_config: request.room_config,
        ..Default::default()
    })
}

fn check(rule: &proto::SipDispatchRuleInfo) -> Result<()> {
    use proto::sip_dispatch_rule::Rule;
    let missing = || TwirpError::invalid("the dispatch rule says not where calls go: give it a rule");
    match rule.rule.as_ref().and_then(|rule| rule.rule.as_ref()).ok_or_else(missing)? {
        Rule::DispatchRuleDirect(direct) if direct.room_name.is_empty() => {
            Err(TwirpError::invalid("the direct dispatch rule names no room"))
        }
        _ => Ok(()),
    }
}

/// Changes a list as a request says: to another, or by what is added and taken out.
pub(super) fn change_list(list: &mut Vec<String>, update: Option<proto::ListUpdate>) -> Result<()> {
    let Some(update) = update else { return Ok(()) };
    let differs = !update.add.is_empty() || !update.remove.is_empty();
    if (update.clear || !update.set.is_empty()) && differs || update.clear && !update.set.is_empty() {
        return Err(TwirpError::invalid(
            "a list is set, cleared, or changed by add and remove; not several of these",
        ));
    }
    if update.clear || !update.set.is_empty() {
        *list = update.set;
        return Ok(());
    }
    list.retain(|item| !update.remove.contains(item));
    for item in update.add {
        if !list.contains(&item) {
            list.push(item);
        }
    }
    Ok(())
}

/// Those of these ids, in their order; what is not there is an empty one, as the protocol has it.
pub(super) fn by_id<T: Clone + Default>(items: &[T], ids: &[String], id: impl Fn(&T) -> &String) -> Vec<T> {
    ids.iter()
        .map(|wanted| items.iter().find(|item| id(item) == wanted).cloned().unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_changed_in_one_way_at_a_time() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let change = |update: proto::ListUpdate| {
            let mut list = texts(&["a", "b"]);
            change_list(&mut list, Some(update)).map(|()| list)
        };
        let update = proto::ListUpdate::default;
        assert_eq!(change(update()), Ok(texts(&["a", "b"])));
        assert_eq!(change(proto::ListUpdate { set: texts(&["c"]), ..update() }), Ok(texts(&["c"])));
        assert_eq!(change(proto::ListUpdate { clear: true, ..update() }), Ok(texts(&[])));
        let both = proto::ListUpdate { add: texts(&["b", "c"]), remove: texts(&["a"]), ..update() };
        assert_eq!(change(both), Ok(texts(&["b", "c"])));
        for wrong in [
            proto::ListUpdate { set: texts(&["c"]), clear: true, ..update() },
            proto::ListUpdate { set: texts(&["c"]), add: texts(&["d"]), ..update() },
            proto::ListUpdate { clear: true, remove: texts(&["a"]), ..update() },
        ] {
            assert!(change(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
