// SPDX-License-Identifier: EUPL-1.2
//! Telephony: trunks, and the rules by which calls come to rooms. Trunks are sealed, they carry passwords. Rules are not:
//! a PIN that people type is too short for any hash to hide.

use livekit_protocol as proto;
use livekit_protocol::sip_dispatch_rule::Rule;
use serde::{Deserialize, Serialize};

use crate::database::Transaction;
use crate::records::{Put, Table, put};
use crate::{Store, StoreError, TenantId};

pub(crate) const TRUNKS: Table =
    Table { name: "sip_trunks", what: "SIP trunk", columns: &["direction"], sealed: true };
pub(crate) const RULES: Table =
    Table { name: "sip_rules", what: "SIP dispatch rule", columns: &[], sealed: false };

/// Most ways in that one rule names: trunks × numbers.
const MAX_ENTRIES: usize = 1_000;

/// A trunk of either direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SipTrunk {
    /// Calls come in.
    Inbound(proto::SipInboundTrunkInfo),
    /// Calls go out.
    Outbound(proto::SipOutboundTrunkInfo),
}

impl SipTrunk {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            SipTrunk::Inbound(trunk) => &trunk.sip_trunk_id,
            SipTrunk::Outbound(trunk) => &trunk.sip_trunk_id,
        }
    }

    fn direction(&self) -> &'static str {
        match self {
            SipTrunk::Inbound(_) => "inbound",
            SipTrunk::Outbound(_) => "outbound",
        }
    }
}

impl Store {
    /// Keeps a trunk under its id.
    pub async fn create_sip_trunk(&self, tenant: &TenantId, trunk: &SipTrunk) -> Result<(), StoreError> {
        self.put_trunk(Put::New, tenant, trunk).await
    }

    /// Changes a trunk.
    pub async fn update_sip_trunk(&self, tenant: &TenantId, trunk: &SipTrunk) -> Result<(), StoreError> {
        self.put_trunk(Put::Changed, tenant, trunk).await
    }

    async fn put_trunk(&self, how: Put, tenant: &TenantId, trunk: &SipTrunk) -> Result<(), StoreError> {
        let draft = self.draft(&TRUNKS, tenant, trunk.id(), &[trunk.direction()], trunk)?;
        self.put(how, &TRUNKS, tenant, &draft).await
    }

    /// The trunk of this id.
    pub async fn sip_trunk(&self, tenant: &TenantId, id: &str) -> Result<Option<SipTrunk>, StoreError> {
        self.get(&TRUNKS, tenant, id).await
    }

    /// All trunks for calls that come in, the oldest first.
    pub async fn list_sip_inbound_trunks(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<proto::SipInboundTrunkInfo>, StoreError> {
        let trunks = self.list(&TRUNKS, tenant, &[("direction", "inbound")]).await?.into_iter();
        Ok(trunks
            .filter_map(|trunk| if let SipTrunk::Inbound(trunk) = trunk { Some(trunk) } else { None })
            .collect())
    }

    /// All trunks for calls that go out, the oldest first.
    pub async fn list_sip_outbound_trunks(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<proto::SipOutboundTrunkInfo>, StoreError> {
        let trunks = self.list(&TRUNKS, tenant, &[("direction", "outbound")]).await?.into_iter();
        Ok(trunks
            .filter_map(|trunk| if let SipTrunk::Outbound(trunk) = trunk { Some(trunk) } else { None })
            .collect())
    }

    /// Takes a trunk out.
    pub async fn delete_sip_trunk(&self, tenant: &TenantId, id: &str) -> Result<SipTrunk, StoreError> {
        self.delete(&TRUNKS, tenant, id).await
    }

    /// Keeps a rule under its id; [`StoreError::Exists`] if another rule takes the same calls: the same trunk, number and
    /// PIN.
    pub async fn create_sip_dispatch_rule(
        &self,
        tenant: &TenantId,
        rule: &proto::SipDispatchRuleInfo,
    ) -> Result<(), StoreError> {
        self.put_rule(Put::New, tenant, rule).await
    }

    /// Changes a rule; [`StoreError::Exists`] as in [`Store::create_sip_dispatch_rule`].
    pub async fn update_sip_dispatch_rule(
        &self,
        tenant: &TenantId,
        rule: &proto::SipDispatchRuleInfo,
    ) -> Result<(), StoreError> {
        self.put_rule(Put::Changed, tenant, rule).await
    }

    /// The rule of this id.
    pub async fn sip_dispatch_rule(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<proto::SipDispatchRuleInfo>, StoreError> {
        self.get(&RULES, tenant, id).await
    }

    /// All rules, the oldest first.
    pub async fn list_sip_dispatch_rules(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<proto::SipDispatchRuleInfo>, StoreError> {
        self.list(&RULES, tenant, &[]).await
    }

    /// Takes a rule out; its ways in are free for others.
    pub async fn delete_sip_dispatch_rule(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<proto::SipDispatchRuleInfo, StoreError> {
        self.delete(&RULES, tenant, id).await
    }

    async fn put_rule(
        &self,
        how: Put,
        tenant: &TenantId,
        rule: &proto::SipDispatchRuleInfo,
    ) -> Result<(), StoreError> {
        let draft = self.draft(&RULES, tenant, &rule.sip_dispatch_rule_id, &[], rule)?;
        let (database, limit) = (self.database(), self.limits().rows);
        let work = async {
            let (_alone, mut open) = database.write().await?;
            put(&mut open, how, &RULES, limit, tenant, &draft).await?;
            claim_entries(&mut open, tenant, rule).await?;
            open.commit().await
        };
        database.timed(work).await
    }
}

/// Takes the ways in that a rule names, in place of those that it had.
async fn claim_entries(
    open: &mut Transaction,
    tenant: &TenantId,
    rule: &proto::SipDispatchRuleInfo,
) -> Result<(), StoreError> {
    let id = &rule.sip_dispatch_rule_id;
    let forget = "DELETE FROM sip_rule_entries WHERE tenant = $1 AND rule = $2";
    open.execute(forget, &[tenant.as_str().into(), id.into()]).await?;
    for (trunk, number, pin) in entries(rule)? {
        let claim = "INSERT INTO sip_rule_entries (tenant, trunk, number, pin, rule) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT DO NOTHING";
        let values = [tenant.as_str().into(), (&trunk).into(), (&number).into(), (&pin).into(), id.into()];
        if open.execute(claim, &values).await? == 0 {
            let owner = "SELECT rule FROM sip_rule_entries \
                         WHERE tenant = $1 AND trunk = $2 AND number = $3 AND pin = $4";
            let rows = open.rows(owner, &values[..4]).await?;
            let owner = rows.first().map(|row| row.text(0)).transpose()?.unwrap_or_default();
            return Err(StoreError::Exists {
                what: "SIP dispatch rule for this trunk, number and PIN",
                id: owner,
            });
        }
    }
    Ok(())
}

/// Trunk, number and PIN of each way in; what is not named is the empty text, and stands for all. A caller's number is told
/// from the number that was called.
fn entries(rule: &proto::SipDispatchRuleInfo) -> Result<Vec<(String, String, String)>, StoreError> {
    let pin = match rule.rule.as_ref().and_then(|rule| rule.rule.as_ref()) {
        Some(Rule::DispatchRuleDirect(direct)) => direct.pin.clone(),
        Some(Rule::DispatchRuleIndividual(individual)) => individual.pin.clone(),
        Some(Rule::DispatchRuleCallee(callee)) => callee.pin.clone(),
        None => String::new(),
    };
    let callers = rule.inbound_numbers.iter().map(|number| format!("from {number}"));
    let trunks = unique(rule.trunk_ids.iter().cloned());
    let numbers = unique(rule.numbers.iter().cloned().chain(callers));
    let count = trunks.len().saturating_mul(numbers.len());
    if count > MAX_ENTRIES {
        return Err(StoreError::TooLarge {
            what: "list of trunks times numbers",
            bytes: count,
            limit: MAX_ENTRIES,
        });
    }
    let each = |trunk: &String| {
        let (trunk, pin) = (trunk.clone(), pin.clone());
        numbers.iter().map(move |number| (trunk.clone(), number.clone(), pin.clone())).collect::<Vec<_>>()
    };
    Ok(trunks.iter().flat_map(each).collect())
}

/// Each text once; the one that stands for all if there is none.
fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() { vec![String::new()] } else { texts }
}
