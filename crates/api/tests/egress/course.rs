// SPDX-License-Identifier: EUPL-1.2
//! The course of a recording: every step is kept and told, and goes on after a restart.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use livekit_protocol::{EgressInfo, EgressStatus as Status, FileInfo};
use livekit_token::TokenVerifier;
use parvis_api::{ApiConfig, EgressEngine, TenantId, WebhookConfig, Webhooks};
use serde_json::{Value, json};

use super::common::{KEY, OTHER_KEY, SECRET, start_in};
use super::{Notes, ask, composite, now, other_token, receiver, studio, token, until};

#[tokio::test]
async fn an_egress_goes_its_way_and_every_step_is_kept_and_told() {
    let (server, folder, notes) = studio().await;
    let (address, inbox) = receiver().await;
    let config = WebhookConfig { allow_internal: vec![address.to_string()], ..WebhookConfig::default() };
    server.api.tell(Webhooks::start(config, server.keys.clone(), folder.store().await).await.unwrap());
    let mut request = composite();
    request["webhooks"] = json!([
        { "url": format!("http://{address}/all"), "signingKey": KEY },
        { "url": format!("http://{address}/end"), "filterParams": { "includeEvents": ["egress_ended"] } },
    ]);
    let begun = ask(&server, "StartRoomCompositeEgress", request).await;
    assert!(begun["egressId"].as_str().unwrap().starts_with("EG_"));
    assert_eq!((&begun["roomName"], begun.get("status")), (&json!("atelier"), None), "0 is EGRESS_STARTING");
    assert_eq!(begun["fileResults"][0]["filename"], "a.mp4");
    // The engine has the secrets, nobody else sees them.
    let started = notes.started.lock().unwrap()[0].clone();
    assert!(format!("{started:?}").contains("hush") && !started.room_id.is_empty());
    assert!(!begun.to_string().contains("hush") && begun.to_string().contains("{secret}"), "{begun}");

    let listed = ask(&server, "ListEgress", json!({ "roomName": "atelier", "active": true })).await;
    assert_eq!(listed["items"][0]["egressId"], begun["egressId"]);
    assert!(!listed.to_string().contains("hush"), "{listed}");
    let changed =
        ask(&server, "UpdateLayout", json!({ "egressId": begun["egressId"], "layout": "speaker" })).await;
    assert_eq!(changed["roomComposite"]["layout"], "speaker");
    server.api.egress_is(&TenantId::default(), now(&begun, Status::EgressActive)).await.unwrap();
    let stopped = ask(&server, "StopEgress", json!({ "egressId": begun["egressId"] })).await;
    assert_eq!(stopped["status"], "EGRESS_ENDING");
    // Whoever asks twice is told the same, and the engine is asked once.
    let again = ask(&server, "StopEgress", json!({ "egressId": begun["egressId"] })).await;
    assert_eq!(again["status"], "EGRESS_ENDING");
    let file = FileInfo { filename: "a.mp4".into(), size: 1_000, ..Default::default() };
    let done = EgressInfo { file_results: vec![file], ..now(&begun, Status::EgressComplete) };
    server.api.egress_is(&TenantId::default(), done).await.unwrap();
    assert_eq!(notes.told(), ["start default atelier", "layout speaker", "stop"]);

    let listed = ask(&server, "ListEgress", json!({ "egressId": begun["egressId"] })).await;
    let kept = &listed["items"][0];
    assert_eq!(
        (&kept["status"], &kept["fileResults"][0]["size"]),
        (&json!("EGRESS_COMPLETE"), &json!("1000"))
    );
    assert!(kept["endedAt"].as_str().unwrap() >= kept["startedAt"].as_str().unwrap());
    assert_eq!(kept["roomComposite"]["layout"], "speaker", "what was asked for stays");
    let active = ask(&server, "ListEgress", json!({ "active": true })).await;
    assert_eq!(active["items"].as_array().map_or(0, Vec::len), 0);

    until("six events", || inbox.lock().unwrap().len() >= 6).await;
    let inbox = inbox.lock().unwrap().clone();
    let ended = |(_, event): &&(String, Value)| event["event"] == "egress_ended";
    assert_eq!(inbox.iter().filter(ended).count(), 2, "both are told of the end");
    let mut rest: Vec<&Value> =
        inbox.iter().map(|(_, event)| &event["event"]).filter(|name| *name != "egress_ended").collect();
    rest.dedup();
    assert_eq!(rest, ["egress_started", "egress_updated"], "one is told of the rest, in its order");
    for (signature, event) in &inbox {
        TokenVerifier::with_api_key(KEY, SECRET).verify(signature).unwrap();
        assert!(!event.to_string().contains("hush"), "{event}");
    }
}

/// With the arguments that its backend sends: a film with a layout and encodings of its own, and sound alone, both to a storage.

#[tokio::test]
async fn a_record_never_goes_back_and_belongs_to_one_tenant() {
    let (server, _folder, _notes) = studio().await;
    let own = TenantId::default();
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    server.api.egress_is(&own, now(&begun, Status::EgressEnding)).await.unwrap();
    let foul = server.api.egress_is(&own, now(&begun, Status::EgressActive)).await.unwrap_err().to_string();
    assert!(foul.contains("EGRESS_ENDING and can't be EGRESS_ACTIVE"), "{foul}");
    let elsewhere =
        EgressInfo { room_name: "cellar".into(), request: None, ..now(&begun, Status::EgressFailed) };
    server.api.egress_is(&own, elsewhere).await.unwrap();
    for late in [Status::EgressActive, Status::EgressComplete, Status::EgressFailed] {
        server.api.egress_is(&own, now(&begun, late)).await.unwrap_err();
    }
    let kept = ask(&server, "ListEgress", json!({ "roomName": "atelier" })).await["items"][0].clone();
    assert_eq!((&kept["status"], &kept["roomName"]), (&json!("EGRESS_FAILED"), &json!("atelier")));
    assert!(kept["roomComposite"].is_object(), "{kept}");

    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    server.api.egress_is(&TenantId::new("other"), now(&begun, Status::EgressFailed)).await.unwrap_err();
    for method in ["StopEgress", "UpdateLayout", "UpdateStream"] {
        let body = json!({ "egressId": begun["egressId"] });
        let refused = server.call_json(&other_token(), &format!("Egress/{method}"), body).await.unwrap_err();
        assert!(refused.is(404, "not_found"), "{method}: {refused:?}");
    }
}

#[tokio::test]
async fn streams_come_and_go_and_are_told_by_their_place() {
    let (server, _folder, notes) = studio().await;
    let request = json!({
        "roomName": "atelier", "streamOutputs": [{ "urls": ["rtmp://live.example/app/abcdefghijklmnop"] }],
    });
    let begun = ask(&server, "StartRoomCompositeEgress", request).await;
    assert_eq!(begun["streamResults"][0]["url"], "rtmp://live.example/app/{abc...nop}");
    let id = &begun["egressId"];
    let change = |add: &[&str], remove: &[&str]| json!({ "egressId": id, "addOutputUrls": add, "removeOutputUrls": remove });
    let body = change(&["srt://other.example:9000"], &["rtmp://live.example/app/abcdefghijklmnop"]);
    let changed = ask(&server, "UpdateStream", body).await;
    let states: Vec<(&Value, Option<&Value>)> = changed["streamResults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| (&stream["url"], stream.get("status")))
        .collect();
    let expected = [
        (&json!("rtmp://live.example/app/{abc...nop}"), Some(&json!("FINISHED"))),
        (&json!("srt://other.example:9000"), None),
    ];
    assert_eq!(states, expected);
    assert_eq!(
        notes.told()[1],
        "add srt://other.example:9000 remove rtmp://live.example/app/abcdefghijklmnop"
    );
    for (body, expected) in [
        (change(&["srt://other.example:9000"], &[]), "already"),
        (change(&[], &["rtmp://live.example/app/abcdefghijklmnop"]), "does not stream"),
        (change(&["ftp://a/b"], &[]), "begin it with"),
    ] {
        let refused = server.call_json(&token(), "Egress/UpdateStream", body).await.unwrap_err();
        assert!(refused.is(400, "invalid_argument") && refused.message.contains(expected), "{refused:?}");
    }
    let file = ask(&server, "StartRoomCompositeEgress", composite()).await;
    let body = json!({ "egressId": file["egressId"], "addOutputUrls": ["rtmp://a/b"] });
    let refused = server.call_json(&token(), "Egress/UpdateStream", body).await.unwrap_err();
    assert!(
        refused.is(400, "invalid_argument") && refused.message.contains("streams nowhere"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_the_server_left_goes_on_or_has_failed() {
    let (server, folder, _notes) = studio().await;
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    drop(server);

    let server = start_in(ApiConfig::default(), &folder).await;
    let kept = ask(&server, "ListEgress", json!({})).await["items"][0].clone();
    assert_eq!((&kept["status"], &kept["egressId"]), (&json!("EGRESS_FAILED"), &begun["egressId"]));
    assert!(kept["error"].as_str().unwrap().contains("the server ended"), "{kept}");

    let notes = Arc::<Notes>::default();
    server.api.record(Arc::clone(&notes) as Arc<dyn EgressEngine>);
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    notes.resumes.store(true, Ordering::Relaxed);
    server.api.recover().await.unwrap();
    assert_eq!(notes.told()[1], format!("resume {}", begun["egressId"].as_str().unwrap()));
    let active = ask(&server, "ListEgress", json!({ "active": true })).await;
    assert_eq!(active["items"][0]["egressId"], begun["egressId"]);
}

#[tokio::test]
async fn a_link_leads_to_the_storage_when_a_file_lies_only_there() {
    let (server, _folder, _) = studio().await;
    let begun = ask(&server, "StartRoomCompositeEgress", composite()).await;
    let id = begun["egressId"].as_str().unwrap();
    let file = |name: &str| FileInfo { filename: name.to_owned(), ..FileInfo::default() };
    let lies = EgressInfo {
        file_results: vec![file("film.mp4.age"), file("lost.mkv.age")],
        ..now(&begun, Status::EgressComplete)
    };
    server.api.egress_is(&TenantId::default(), lies).await.unwrap();
    let path = format!("/api/rooms/atelier/recordings/{id}/links");
    let (_, body) = server.post(&path, Some(&token()), &[], b"").await;
    let links: Value = serde_json::from_slice(&body).unwrap();
    let link = |at: usize| links["links"][at]["url"].as_str().unwrap().to_owned();
    let film = server.get(&link(0)).await;
    assert_eq!(film.status, 302, "{film:?}");
    let url = format!("https://s3.example.org/default/{id}/film.mp4.age?X-Amz-Expires=60");
    assert_eq!(film.location, url);
    assert!(film.head.contains("cache-control: no-store"), "{}", film.head);
    assert_eq!(server.get(&link(1)).await.status, 404, "it lies nowhere");
}

#[tokio::test]
async fn row_49_webhooks_of_a_request_are_bounded_and_signed_with_ones_own_key() {
    let (server, folder, notes) = studio().await;
    let webhooks = Webhooks::start(WebhookConfig::default(), server.keys.clone(), folder.store().await).await;
    server.api.tell(webhooks.unwrap());
    let url = "https://example.org/hook";
    for (hooks, expected) in [
        (
            json!([{ "url": url }, { "url": url }, { "url": url }, { "url": url }, { "url": url }]),
            "this server takes 4",
        ),
        (json!([{ "url": "file:///etc/passwd" }]), "is no URL"),
        (json!([{ "url": url, "signingKey": OTHER_KEY }]), "there is no API key"),
        (json!([{ "url": format!("{url}/{}", "x".repeat(2_048)) }]), "2048 characters"),
    ] {
        let mut request = composite();
        request["webhooks"] = hooks;
        let refused =
            server.call_json(&token(), "Egress/StartRoomCompositeEgress", request).await.unwrap_err();
        assert!(refused.is(400, "invalid_argument") && refused.message.contains(expected), "{refused:?}");
    }
    assert!(notes.told().is_empty());
}
