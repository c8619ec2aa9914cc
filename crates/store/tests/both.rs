// SPDX-License-Identifier: EUPL-1.2
//! What the store promises, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::Home;
use livekit_protocol as proto;
use parvis_store::{
    EraseReason, Erasure, NewEvent, RoomSettings, SipTrunk, Store, StoreConfig, StoreError, StoreLimits,
    StoredKey, StoredMeeting, TenantId,
};

fn tenants() -> [TenantId; 2] {
    [TenantId::default(), TenantId::new("other")]
}

fn room(name: &str) -> RoomSettings {
    RoomSettings {
        name: name.to_owned(),
        empty_timeout: 300,
        max_participants: 25,
        metadata: "{\"a\": \"ü\"}".to_owned(),
        agents: vec![proto::RoomAgentDispatch { agent_name: "notes".to_owned(), ..Default::default() }],
        ..Default::default()
    }
}

fn ingress(id: &str, key: &str) -> proto::IngressInfo {
    proto::IngressInfo {
        ingress_id: id.to_owned(),
        stream_key: key.to_owned(),
        room_name: "atelier".to_owned(),
        enabled: Some(true),
        ..Default::default()
    }
}

fn egress(id: &str, room: &str, status: proto::EgressStatus) -> proto::EgressInfo {
    let mut info = proto::EgressInfo {
        egress_id: id.to_owned(),
        room_name: room.to_owned(),
        started_at: 1_800_000_000_123_456_789,
        ..Default::default()
    };
    info.set_status(status);
    info
}

fn erasure(id: &str, erased_ms: i64) -> Erasure {
    Erasure {
        egress_id: id.to_owned(),
        room: "atelier".to_owned(),
        started_ms: 1_800_000_000_000,
        ended_ms: 1_800_000_060_000,
        erased_ms,
        why: EraseReason::Retention,
        files: 3,
        bytes: 70_000,
    }
}

fn rule(id: &str, trunks: &[&str], pin: &str) -> proto::SipDispatchRuleInfo {
    let direct = proto::SipDispatchRuleDirect { room_name: "atelier".to_owned(), pin: pin.to_owned() };
    proto::SipDispatchRuleInfo {
        sip_dispatch_rule_id: id.to_owned(),
        trunk_ids: trunks.iter().map(|trunk| (*trunk).to_owned()).collect(),
        rule: Some(proto::SipDispatchRule {
            rule: Some(proto::sip_dispatch_rule::Rule::DispatchRuleDirect(direct)),
        }),
        ..Default::default()
    }
}

fn event(id: &str, room: &str) -> NewEvent {
    NewEvent {
        id: id.to_owned(),
        tenant: TenantId::default(),
        room: room.to_owned(),
        event: "room_started".to_owned(),
        body: format!("{{\"event\":\"room_started\",\"id\":\"{id}\"}}"),
        created_ms: 1_800_000_000_000,
        targets: Vec::new(),
    }
}

fn sent_to(targets: &[String], events: impl IntoIterator<Item = NewEvent>) -> Vec<NewEvent> {
    events.into_iter().map(|event| NewEvent { targets: targets.to_vec(), ..event }).collect()
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

async fn limited(home: &Home, limits: StoreLimits) -> Store {
    Store::open(StoreConfig { limits, ..home.config() }).await.unwrap()
}

/// The ids of a target's first events, in the order in which they may be tried.
async fn first(store: &Store, target: &str) -> Vec<String> {
    store.first_events(target, 100).await.unwrap().into_iter().map(|event| event.id).collect()
}

both! {
    async fn what_was_written_is_there_after_a_restart(home: &Home) {
        let [own, _] = tenants();
        let store = home.open().await;
        store.create_room(&own, &room("atelier")).await.unwrap();
        store.create_ingress(&own, &ingress("IN_1", "key one")).await.unwrap();
        store.close().await;
        assert!(store.ping().await.is_err(), "a closed store says so");
        let store = home.open().await;
        assert_eq!(store.room(&own, "atelier").await.unwrap(), Some(room("atelier")));
        assert_eq!(store.ingress(&own, "IN_1").await.unwrap(), Some(ingress("IN_1", "key one")));
        store.ping().await.unwrap();
        assert!(store.stats().operations >= 3);
    }

    async fn rooms_are_made_changed_listed_and_deleted(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        store.create_room(&own, &room("atelier")).await.unwrap();
        let again = store.create_room(&own, &room("atelier")).await.unwrap_err();
        assert_eq!(again, StoreError::Exists { what: "room", id: "atelier".to_owned() });
        store.create_room(&other, &room("atelier")).await.unwrap();
        let changed = RoomSettings { max_participants: 3, ..room("atelier") };
        store.put_room(&own, &changed).await.unwrap();
        store.put_room(&own, &room("studio")).await.unwrap();
        assert_eq!(store.list_rooms(&own).await.unwrap(), [changed.clone(), room("studio")]);
        assert_eq!(store.list_rooms(&other).await.unwrap(), [room("atelier")], "another tenant's is another");
        assert_eq!(store.delete_room(&own, "atelier").await.unwrap(), changed);
        let gone = store.delete_room(&own, "atelier").await.unwrap_err();
        assert_eq!(gone, StoreError::NotFound { what: "room", id: "atelier".to_owned() });
        assert_eq!(store.update_room(&own, &room("atelier")).await.unwrap_err(), gone);
        assert_eq!(store.room(&other, "atelier").await.unwrap(), Some(room("atelier")));
    }

    async fn what_all_tenants_have_is_found_at_a_start(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        for tenant in [&other, &own] {
            store.create_room(tenant, &room("a")).await.unwrap();
            for (id, status) in [("EG_1", proto::EgressStatus::EgressActive), ("EG_2", proto::EgressStatus::EgressFailed)] {
                let egress = proto::EgressInfo { egress_id: id.into(), status: status.into(), ..Default::default() };
                store.create_egress(tenant, &egress).await.unwrap();
            }
        }
        let mut rooms: Vec<_> = store.rooms().await.unwrap().into_iter().map(|(tenant, room)| (tenant, room.name)).collect();
        rooms.sort();
        let mut expected = vec![(own.clone(), "a".to_owned()), (other.clone(), "a".to_owned())];
        expected.sort();
        assert_eq!(rooms, expected);
        let mut active: Vec<_> =
            store.active_egresses().await.unwrap().into_iter().map(|(tenant, egress)| (tenant, egress.egress_id)).collect();
        active.sort();
        let mut expected = vec![(own, "EG_1".to_owned()), (other, "EG_1".to_owned())];
        expected.sort();
        assert_eq!(active, expected);
    }

    async fn a_key_belongs_to_one_tenant_and_its_name_to_all(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        let key = |tenant: &TenantId, name: &str| StoredKey {
            tenant: tenant.clone(),
            name: name.to_owned(),
            secret: format!("secret of {name}"),
        };
        store.create_key(&key(&own, "main")).await.unwrap();
        store.create_key(&key(&other, "theirs")).await.unwrap();
        let taken = store.create_key(&key(&other, "main")).await.unwrap_err();
        assert_eq!(taken, StoreError::Exists { what: "API key", id: "main".to_owned() });
        assert_eq!(store.keys().await.unwrap(), [key(&own, "main"), key(&other, "theirs")]);
        assert!(matches!(store.delete_key(&other, "main").await, Err(StoreError::NotFound { .. })));
        assert_eq!(store.delete_key(&own, "main").await.unwrap(), key(&own, "main"));
        assert!(!format!("{:?}", key(&own, "main")).contains("secret of"));
    }

    async fn dispatches_are_found_by_their_room(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        let dispatch = |id: &str, room: &str| proto::AgentDispatch {
            id: id.to_owned(),
            room: room.to_owned(),
            agent_name: "notes".to_owned(),
            ..Default::default()
        };
        for (id, room) in [("AD_1", "atelier"), ("AD_2", "studio"), ("AD_3", "atelier")] {
            store.create_dispatch(&own, &dispatch(id, room)).await.unwrap();
        }
        let of = async |tenant: &TenantId, room: Option<&str>| -> Vec<String> {
            store.list_dispatches(tenant, room).await.unwrap().into_iter().map(|dispatch| dispatch.id).collect()
        };
        assert_eq!(of(&own, Some("atelier")).await, ["AD_1", "AD_3"]);
        assert_eq!(of(&own, None).await, ["AD_1", "AD_2", "AD_3"]);
        assert!(of(&other, None).await.is_empty());
        let moved = dispatch("AD_2", "atelier");
        store.update_dispatch(&own, &moved).await.unwrap();
        assert_eq!(of(&own, Some("atelier")).await.len(), 3);
        assert_eq!(store.delete_dispatch(&own, "AD_2").await.unwrap(), moved);
        assert_eq!(store.dispatch(&own, "AD_2").await.unwrap(), None);
    }

    async fn a_stream_key_opens_its_ingress_and_no_other(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        store.create_ingress(&own, &ingress("IN_1", "key one")).await.unwrap();
        store.create_ingress(&other, &ingress("IN_2", "key two")).await.unwrap();
        for id in ["IN_3", "IN_4"] {
            store.create_ingress(&own, &ingress(id, "")).await.unwrap();
        }
        let by = async |key: &str| store.ingress_by_stream_key(key).await.unwrap();
        assert_eq!(by("key one").await, Some((own.clone(), ingress("IN_1", "key one"))));
        assert_eq!(by("key two").await, Some((other.clone(), ingress("IN_2", "key two"))));
        for key in ["", "key", "none/default/IN_3", "%"] {
            assert_eq!(by(key).await, None, "{key}");
        }
        let taken = store.create_ingress(&other, &ingress("IN_5", "key one")).await;
        assert!(matches!(taken, Err(StoreError::Exists { .. })), "{taken:?}");
        store.update_ingress(&own, &ingress("IN_1", "key three")).await.unwrap();
        assert_eq!(by("key one").await, None);
        assert_eq!(by("key three").await.unwrap().1.ingress_id, "IN_1");
        assert_eq!(store.list_ingresses(&own, Some("atelier")).await.unwrap().len(), 3);
        assert_eq!(store.list_ingresses(&own, Some("studio")).await.unwrap().len(), 0);
        store.delete_ingress(&own, "IN_1").await.unwrap();
        assert_eq!(by("key three").await, None);
    }

    async fn egresses_are_found_by_room_and_by_whether_they_go_on(home: &Home) {
        use proto::EgressStatus::{EgressActive, EgressComplete, EgressStarting};
        let [own, _] = tenants();
        let store = home.open().await;
        for (id, room, status) in
            [("EG_1", "atelier", EgressComplete), ("EG_2", "atelier", EgressStarting), ("EG_3", "studio", EgressActive)]
        {
            store.create_egress(&own, &egress(id, room, status)).await.unwrap();
        }
        let of = async |room: Option<&str>, active: bool| -> Vec<String> {
            store.list_egresses(&own, room, active).await.unwrap().into_iter().map(|egress| egress.egress_id).collect()
        };
        assert_eq!(of(Some("atelier"), false).await, ["EG_1", "EG_2"]);
        assert_eq!(of(None, true).await, ["EG_2", "EG_3"]);
        let ended = egress("EG_2", "atelier", EgressComplete);
        store.update_egress(&own, &ended).await.unwrap();
        assert_eq!(of(Some("atelier"), true).await, [""; 0]);
        assert_eq!(store.egress(&own, "EG_2").await.unwrap(), Some(ended), "to the nanosecond");
    }

    async fn a_full_table_of_egresses_forgets_those_that_ended(home: &Home) {
        use proto::EgressStatus::{EgressActive, EgressFailed};
        let [own, other] = tenants();
        let store = limited(home, StoreLimits { rows: 3, ..StoreLimits::default() }).await;
        for number in 0..5 {
            store.create_egress(&own, &egress(&format!("EG_{number}"), "a", EgressFailed)).await.unwrap();
        }
        assert!(store.list_egresses(&own, None, false).await.unwrap().len() <= 3);
        for number in 5..8 {
            store.create_egress(&own, &egress(&format!("EG_{number}"), "a", EgressActive)).await.unwrap();
        }
        let full = store.create_egress(&own, &egress("EG_8", "a", EgressActive)).await.unwrap_err();
        assert!(matches!(full, StoreError::Full { what: "egresses", limit: 3 }), "{full}");
        assert_eq!(store.list_egresses(&own, None, true).await.unwrap().len(), 3, "what goes on stays");
        store.create_egress(&other, &egress("EG_8", "a", EgressActive)).await.unwrap();
    }

    async fn an_egress_ended_when_it_did_wherever_its_files_are_brought(home: &Home) {
        use proto::EgressStatus::EgressComplete;
        let [own, _] = tenants();
        let store = home.open().await;
        let mut known = egress("EG_1", "atelier", EgressComplete);
        store.create_egress(&own, &known).await.unwrap();
        let ended_ms = now_ms();
        while now_ms() <= ended_ms {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        known.manifest_location = "https://s3.example.org/meetings/EG_1/manifest.json".to_owned();
        store.relocate_egress(&own, &known).await.unwrap();
        assert_eq!(store.egress(&own, "EG_1").await.unwrap(), Some(known.clone()));
        assert_eq!(store.ended_egresses(ended_ms).await.unwrap(), [(own.clone(), "EG_1".to_owned())]);
        known.egress_id = "EG_2".to_owned();
        let unknown = store.relocate_egress(&own, &known).await;
        assert!(matches!(unknown, Err(StoreError::NotFound { .. })), "{unknown:?}");
    }

    async fn what_was_erased_is_gone_and_written_down(home: &Home) {
        use proto::EgressStatus::{EgressActive, EgressComplete};
        let [own, other] = tenants();
        let store = home.open().await;
        let before = now_ms();
        for (tenant, id, status) in
            [(&own, "EG_1", EgressComplete), (&own, "EG_2", EgressActive), (&other, "EG_1", EgressComplete)]
        {
            store.create_egress(tenant, &egress(id, "atelier", status)).await.unwrap();
        }
        assert_eq!(store.ended_egresses(before - 1).await.unwrap(), []);
        let mut ended = store.ended_egresses(now_ms()).await.unwrap();
        ended.sort();
        assert_eq!(ended, [(own.clone(), "EG_1".to_owned()), (other.clone(), "EG_1".to_owned())]);
        assert_eq!(store.tenants_of_egress("EG_1").await.unwrap(), [own.clone(), other.clone()]);

        store.erase_egress(&own, &erasure("EG_1", 7)).await.unwrap();
        assert_eq!(store.egress(&own, "EG_1").await.unwrap(), None);
        assert!(store.egress(&other, "EG_1").await.unwrap().is_some(), "another tenant's stays");
        assert_eq!(store.erasure(&own, "EG_1").await.unwrap(), Some(erasure("EG_1", 7)));
        assert_eq!(store.erasure(&other, "EG_1").await.unwrap(), None);
        assert_eq!(store.tenants_of_egress("EG_1").await.unwrap(), [own.clone(), other], "it is still found");

        let refused = store.erase_egress(&own, &erasure("EG_2", 8)).await.unwrap_err();
        assert!(refused.to_string().contains("EG_2 has not ended"), "{refused}");
        assert_eq!(store.egresses().await.unwrap().len(), 2, "what goes on stays");
        // Files without a record are written down too, and once more when they come back.
        for erased_ms in [9, 10] {
            store.erase_egress(&own, &erasure("EG_3", erased_ms)).await.unwrap();
        }
        let all = store.erasures().await.unwrap();
        assert_eq!(all, [(own.clone(), erasure("EG_1", 7)), (own, erasure("EG_3", 10))]);
    }

    async fn a_full_table_of_erasures_forgets_the_oldest(home: &Home) {
        let [own, _] = tenants();
        let store = limited(home, StoreLimits { rows: 3, ..StoreLimits::default() }).await;
        for number in 0..5 {
            store.erase_egress(&own, &erasure(&format!("EG_{number}"), number)).await.unwrap();
        }
        let left = store.erasures().await.unwrap();
        assert!(left.len() <= 3, "{left:?}");
        assert_eq!(left.last().map(|(_, erasure)| erasure.egress_id.as_str()), Some("EG_4"));
    }

    async fn a_meeting_is_kept_by_its_room_and_its_last_word_counts(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        let meeting = |title: &str| StoredMeeting {
            room: "b3Vt5nqXb0".to_owned(),
            record: serde_json::json!({ "title": title, "banned": ["a seat"] }),
        };
        for title in ["Council", "Council, budget"] {
            store.put_meeting(&own, &meeting(title)).await.unwrap();
        }
        store.put_meeting(&other, &meeting("Another's")).await.unwrap();
        let room = "b3Vt5nqXb0".to_owned();
        let all = [
            (own.clone(), room.clone(), Ok(meeting("Council, budget"))),
            (other.clone(), room, Ok(meeting("Another's"))),
        ];
        assert_eq!(store.meetings().await.unwrap(), all);
        assert_eq!(store.meeting(&own, "b3Vt5nqXb0").await.unwrap(), Some(meeting("Council, budget")));
        assert_eq!(store.delete_meeting(&own, "b3Vt5nqXb0").await.unwrap(), meeting("Council, budget"));
        assert_eq!(store.meeting(&own, "b3Vt5nqXb0").await.unwrap(), None);
        assert!(store.meeting(&other, "b3Vt5nqXb0").await.unwrap().is_some(), "another tenant's stays");
    }

    async fn two_rules_never_take_the_same_call(home: &Home) {
        let [own, other] = tenants();
        let store = home.open().await;
        store.create_sip_dispatch_rule(&own, &rule("SDR_1", &["ST_1", "ST_2"], "1234")).await.unwrap();
        let same = store.create_sip_dispatch_rule(&own, &rule("SDR_2", &["ST_2"], "1234")).await.unwrap_err();
        let what = "SIP dispatch rule for this trunk, number and PIN";
        assert_eq!(same, StoreError::Exists { what, id: "SDR_1".to_owned() });
        assert_eq!(store.sip_dispatch_rule(&own, "SDR_2").await.unwrap(), None, "nothing of it stayed");
        store.create_sip_dispatch_rule(&own, &rule("SDR_2", &["ST_2"], "4321")).await.unwrap();
        store.create_sip_dispatch_rule(&own, &rule("SDR_3", &[], "1234")).await.unwrap();
        store.create_sip_dispatch_rule(&other, &rule("SDR_1", &["ST_2"], "1234")).await.unwrap();
        let same = store.create_sip_dispatch_rule(&own, &rule("SDR_4", &[], "1234")).await.unwrap_err();
        assert_eq!(same, StoreError::Exists { what, id: "SDR_3".to_owned() });
        let called = proto::SipDispatchRuleInfo { numbers: vec!["+4930".into()], ..rule("SDR_4", &[], "1234") };
        store.create_sip_dispatch_rule(&own, &called).await.unwrap();
        // A rule that changes gives up what it had, and one that is deleted too.
        store.update_sip_dispatch_rule(&own, &rule("SDR_1", &["ST_1"], "1234")).await.unwrap();
        store.update_sip_dispatch_rule(&own, &rule("SDR_2", &["ST_2"], "1234")).await.unwrap();
        store.delete_sip_dispatch_rule(&own, "SDR_1").await.unwrap();
        store.create_sip_dispatch_rule(&own, &rule("SDR_5", &["ST_1"], "1234")).await.unwrap();
        let ids: Vec<String> =
            store.list_sip_dispatch_rules(&own).await.unwrap().into_iter().map(|rule| rule.sip_dispatch_rule_id).collect();
        assert_eq!(ids, ["SDR_2", "SDR_3", "SDR_4", "SDR_5"]);
    }

    async fn trunks_are_of_one_direction(home: &Home) {
        let [own, _] = tenants();
        let store = home.open().await;
        let inbound = proto::SipInboundTrunkInfo {
            sip_trunk_id: "ST_1".to_owned(),
            numbers: vec!["+4930".to_owned()],
            auth_password: "a password".to_owned(),
            ..Default::default()
        };
        let outbound = proto::SipOutboundTrunkInfo { sip_trunk_id: "ST_2".to_owned(), ..Default::default() };
        store.create_sip_trunk(&own, &SipTrunk::Inbound(inbound.clone())).await.unwrap();
        store.create_sip_trunk(&own, &SipTrunk::Outbound(outbound.clone())).await.unwrap();
        assert_eq!(store.list_sip_inbound_trunks(&own).await.unwrap(), std::slice::from_ref(&inbound));
        assert_eq!(store.list_sip_outbound_trunks(&own).await.unwrap(), std::slice::from_ref(&outbound));
        assert_eq!(store.sip_trunk(&own, "ST_2").await.unwrap(), Some(SipTrunk::Outbound(outbound)));
        assert_eq!(store.delete_sip_trunk(&own, "ST_1").await.unwrap(), SipTrunk::Inbound(inbound));
        assert!(store.list_sip_inbound_trunks(&own).await.unwrap().is_empty());
    }

    async fn row_41_tables_and_records_have_bounds(home: &Home) {
        let [own, other] = tenants();
        let limits = StoreLimits { rows: 2, record_bytes: 1_000, ..StoreLimits::default() };
        let store = limited(home, limits).await;
        for name in ["a", "b"] {
            store.create_room(&own, &room(name)).await.unwrap();
        }
        let full = store.create_room(&own, &room("c")).await.unwrap_err();
        assert_eq!(full, StoreError::Full { what: "rooms", limit: 2 });
        assert_eq!(store.list_rooms(&own).await.unwrap().len(), 2, "nothing of it stayed");
        assert!(matches!(store.create_room(&own, &room("a")).await, Err(StoreError::Exists { .. })));
        store.create_room(&other, &room("c")).await.unwrap();
        let large = RoomSettings { metadata: "x".repeat(1_000), ..room("a") };
        let refused = store.update_room(&own, &large).await.unwrap_err();
        assert!(matches!(refused, StoreError::TooLarge { what: "room", limit: 1_000, .. }), "{refused}");
        assert_eq!(store.room(&own, "a").await.unwrap(), Some(room("a")));
        assert_eq!(store.stats().full, 2);
        // Bounds may change while it is open.
        store.set_limits(StoreLimits { rows: 3, ..limits });
        store.create_room(&own, &room("c")).await.unwrap();
        assert!(matches!(store.create_room(&own, &room("d")).await, Err(StoreError::Full { limit: 3, .. })));
    }

    async fn a_lane_keeps_its_order_and_holds_up_no_other(home: &Home) {
        let store = home.open().await;
        let targets = ["one".to_owned(), "two".to_owned()];
        store.add_events(&sent_to(&targets, [event("EV_1", "a"), event("EV_2", "a"), event("EV_3", "b")])).await.unwrap();
        store.add_events(&sent_to(&targets[..1], [event("EV_4", "b")])).await.unwrap();
        assert_eq!(first(&store, "one").await, ["EV_1", "EV_3"]);
        store.put_event_off("EV_1", "one", 5_000, "it answers 503").await.unwrap();
        let due = store.first_events("one", 100).await.unwrap();
        let seen: Vec<(&str, i64, u32)> =
            due.iter().map(|event| (event.id.as_str(), event.next_ms, event.attempts)).collect();
        assert_eq!(seen, [("EV_3", 0, 0), ("EV_1", 5_000, 1)]);
        assert_eq!(due[0].body, "{\"event\":\"room_started\",\"id\":\"EV_3\"}");
        store.event_delivered("EV_3", "one").await.unwrap();
        let next = store.first_of_lane("one", &due[0].lane).await.unwrap();
        assert_eq!(next.unwrap().id, "EV_4");
        assert_eq!(first(&store, "two").await, ["EV_1", "EV_3"], "another target has its own");
        store.give_event_up("EV_1", "one", "it answers 503").await.unwrap();
        assert_eq!(first(&store, "one").await, ["EV_2", "EV_4"]);
        assert_eq!(store.outbox_counts().await.unwrap(), (5, 1));
        assert_eq!(store.event_targets().await.unwrap(), ["one", "two"]);
    }

    async fn dead_events_are_seen_resent_and_dropped(home: &Home) {
        let store = home.open().await;
        let targets = ["one".to_owned()];
        store.add_events(&sent_to(&targets, [event("EV_1", "a"), event("EV_2", "a"), event("EV_3", "a")])).await.unwrap();
        for id in ["EV_1", "EV_2"] {
            store.give_event_up(id, "one", "it answers 404").await.unwrap();
        }
        let dead = store.held_events(true, 10).await.unwrap();
        assert_eq!(dead.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["EV_1", "EV_2"]);
        assert_eq!((dead[0].problem.as_str(), dead[0].attempts), ("it answers 404", 1));
        assert!(dead[0].dead_ms.is_some());
        assert_eq!(store.held_events(false, 10).await.unwrap().len(), 3);
        assert_eq!(store.resend_events(Some("EV_1")).await.unwrap(), 1);
        assert_eq!(first(&store, "one").await, ["EV_1"], "it is the first again");
        let due = store.first_of_lane("one", &format!("{}/a", TenantId::default())).await.unwrap().unwrap();
        assert!(due.created_ms > 1_800_000_000_000 - 400_000_000_000 && due.attempts == 0, "{due:?}");
        assert!(matches!(store.resend_events(Some("EV_1")).await, Err(StoreError::NotFound { .. })));
        assert_eq!(store.drop_events(None).await.unwrap(), 1);
        assert_eq!(store.outbox_counts().await.unwrap(), (2, 0));
        assert_eq!(store.give_target_up("one", "gone").await.unwrap(), 2);
        assert_eq!(store.resend_events(None).await.unwrap(), 2);
        assert_eq!(store.drop_events(None).await.unwrap(), 0);
    }

    async fn row_41_a_full_outbox_lets_dead_events_go_first(home: &Home) {
        let store = limited(home, StoreLimits { outbox_rows: 2, ..StoreLimits::default() }).await;
        let targets = ["one".to_owned()];
        store.add_events(&sent_to(&targets, [event("EV_1", "a"), event("EV_2", "a")])).await.unwrap();
        let full = store.add_events(&sent_to(&targets, [event("EV_3", "a")])).await.unwrap_err();
        assert!(matches!(full, StoreError::Full { limit: 2, .. }), "{full}");
        store.give_event_up("EV_1", "one", "no").await.unwrap();
        store.add_events(&sent_to(&targets, [event("EV_3", "a")])).await.unwrap();
        assert_eq!(store.outbox_counts().await.unwrap(), (2, 0));
        // The same event again is the same.
        store.event_delivered("EV_2", "one").await.unwrap();
        store.add_events(&sent_to(&targets, [event("EV_3", "a")])).await.unwrap();
        assert_eq!(store.outbox_counts().await.unwrap(), (1, 0));
    }

    async fn what_happened_is_kept_only_where_it_is_wished(home: &Home) {
        let [own, _] = tenants();
        let store = home.open().await;
        store.add_events(&sent_to(&[], [event("EV_0", "a")])).await.unwrap();
        assert!(store.list_events(&own, None, 0, 100).await.unwrap().is_empty());
        store.close().await;
        let store = limited(home, StoreLimits { events: 3, ..StoreLimits::default() }).await;
        for number in 1..=5 {
            let room = if number % 2 == 0 { "a" } else { "b" };
            store.add_events(&sent_to(&[], [event(&format!("EV_{number}"), room)])).await.unwrap();
        }
        let ids = async |room: Option<&str>, after: i64| -> Vec<(i64, String)> {
            let past = store.list_events(&own, room, after, 100).await.unwrap();
            past.into_iter().map(|past| (past.seq, past.event.id)).collect()
        };
        let all = ids(None, 0).await;
        assert_eq!(all.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(), ["EV_3", "EV_4", "EV_5"]);
        assert_eq!(ids(Some("a"), 0).await.len(), 1);
        assert_eq!(ids(None, all[1].0).await, all[2..]);
    }

    async fn many_who_write_at_one_time_all_succeed(home: &Home) {
        let store = home.open().await;
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let store = store.clone();
                tokio::spawn(async move {
                    let tenant = TenantId::default();
                    store.create_room(&tenant, &room(&number.to_string())).await.unwrap();
                    let events = [event(&format!("EV_{number}"), "a")];
                    store.add_events(&sent_to(&["one".to_owned()], events)).await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(store.list_rooms(&TenantId::default()).await.unwrap().len(), 40);
        assert_eq!(store.outbox_counts().await.unwrap(), (40, 0));
    }
}
