// SPDX-License-Identifier: EUPL-1.2
//! What the audit log is told of a meeting.

use serde_json::json;

use super::{Person, guests, heard, hello, knock, make, start};

/// A log that keeps what it is told.
#[derive(Default)]
struct Told {
    events: std::sync::Mutex<Vec<parvis_audit::Event>>,
    closed: std::sync::atomic::AtomicBool,
}

impl parvis_audit::Sink for Told {
    fn record(&self, event: parvis_audit::Event) {
        self.events.lock().unwrap().push(event);
    }

    fn may_act(&self) -> bool {
        !self.closed.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test]
async fn what_is_done_with_a_meeting_is_told_to_the_audit_log_and_refused_where_that_takes_nothing() {
    let server = start(guests()).await;
    let told = std::sync::Arc::<Told>::default();
    server.api.log(std::sync::Arc::clone(&told) as std::sync::Arc<dyn parvis_audit::Sink>);
    let wish = json!({ "policy": { "lobby": true, "password": "open sesame" } });
    let (room, host_key) = make(&server, wish).await;
    let (_, ticket) = knock(&server, &room, json!({ "name": "Ada", "host_key": host_key })).await;
    let mut ada = Person::enter(&server, &room, &ticket).await;
    let (status, _) = knock(&server, &room, json!({ "name": "Cem", "password": "wrong" })).await;
    assert_eq!(status, 403);
    let mut waiting = Vec::new();
    for name in ["Bo", "Dora"] {
        let (_, place) = knock(&server, &room, json!({ "name": name, "password": "open sesame" })).await;
        waiting.push(hello(&server, &room, json!({ "waiting": place["waiting"] })).await);
    }
    ada.until("both", |state, _| state["lobby"]["waiting"][1]["name"] == "Dora").await;
    let place = |ada: &Person, at: usize| ada.state["lobby"]["waiting"][at]["id"].clone();
    let (bo, dora) = (place(&ada, 0), place(&ada, 1));
    ada.done(json!({ "do": "lobby.admit", "waiting": bo })).await;
    ada.done(json!({ "do": "lobby.refuse", "waiting": dora })).await;
    heard(&mut waiting[0]).await;
    let admitted = heard(&mut waiting[0]).await.unwrap();
    let mut bo = Person::enter(&server, &room, &admitted["admitted"]).await;
    let refused = bo.command(json!({ "do": "remove", "identity": ada.identity, "ban": true })).await;
    assert_eq!(refused["error"]["code"], "not_allowed");
    ada.done(json!({ "do": "role.set", "identity": bo.identity, "role": "moderator" })).await;
    ada.done(json!({ "do": "policy.set", "policy": { "locked": true } })).await;
    ada.done(json!({ "do": "remove", "identity": bo.identity, "ban": true })).await;
    let nobody = server.call_json("x.y.z", "RoomService/DeleteRoom", json!({ "room": room })).await;
    assert!(nobody.is_err());

    let events = told.events.lock().unwrap().clone();
    let guest = |identity: &str| parvis_audit::Who::person(identity);
    let conducted: Vec<(&str, bool, bool, Option<&str>)> = events
        .iter()
        .filter(|event| event.on == Some(parvis_audit::Subject::new("room", &room)))
        .map(|event| {
            let of_ada =
                matches!(&event.who, parvis_audit::Who::Person { identity, .. } if *identity == ada.identity);
            let done = event.outcome == parvis_audit::Outcome::Done;
            (event.act.as_str(), of_ada, done, event.about.as_deref())
        })
        .collect();
    let (by_ada, of_bo) = (true, Some(bo.identity.as_str()));
    let dora = conducted[7].3;
    assert_eq!(
        conducted,
        [
            ("room.make", false, true, None),
            ("token", by_ada, true, None),
            ("sign_in", by_ada, true, None),
            ("token", false, false, None),
            ("token", false, true, None),
            ("token", false, true, None),
            ("lobby.admit", by_ada, true, of_bo),
            ("lobby.refuse", by_ada, true, dora),
            ("sign_in", false, true, None),
            ("ban", false, false, Some(ada.identity.as_str())),
            ("rights", by_ada, true, of_bo),
            ("room.policy", by_ada, true, None),
            ("ban", by_ada, true, of_bo),
        ]
    );
    assert!(dora.is_some() && dora != of_bo);
    let named = events.iter().find(|event| event.who == guest(&ada.identity));
    assert!(named.is_some(), "commands say the identity alone");
    assert_eq!(events[3].why, "password_wrong");
    assert_eq!(events[3].from.map(|address| address.to_string()).as_deref(), Some("127.0.0.1"));
    let last = events.last().unwrap();
    assert_eq!(
        (last.act.as_str(), &last.who, last.why.as_str()),
        ("call", &parvis_audit::Who::Nobody, "unauthorized")
    );
    // No secret is told.
    let all = format!("{events:?}");
    assert!(!all.contains("sesame") && !all.contains(&host_key) && !all.contains(&ada.token), "{all}");

    // A log that takes nothing: who is in stays, and nobody new comes.
    told.closed.store(true, std::sync::atomic::Ordering::Relaxed);
    let (status, refusal) = knock(&server, &room, json!({ "name": "Bo", "password": "open sesame" })).await;
    assert_eq!((status, refusal["code"].as_str()), (503, Some("unavailable")));
    ada.done(json!({ "do": "policy.set", "policy": { "locked": false } })).await;
    told.closed.store(false, std::sync::atomic::Ordering::Relaxed);
    let (status, _) = knock(&server, &room, json!({ "name": "Bo", "password": "open sesame" })).await;
    assert_eq!(status, 202);
}
