// SPDX-License-Identifier: EUPL-1.2
//! Answers that are to the event, and answers that are to the moment.

use super::*;

/// A folder, a receiver that gives this answer, and webhooks that go there.
async fn answered(name: &str, status: &'static str) -> (Folder, Receiver, Store, Webhooks) {
    let folder = Folder::new(name);
    let receiver = Receiver::start(status).await;
    let store = folder.store().await;
    let config = WebhookConfig { longest_retry: Duration::from_millis(20), ..config(&[&receiver]) };
    let webhooks = Webhooks::start(config, keys(), store.clone()).await.unwrap();
    (folder, receiver, store, webhooks)
}

#[tokio::test]
async fn what_a_target_refuses_for_what_it_is_is_given_up_after_three_tries_and_holds_nothing_up() {
    for (name, status) in [("unknown", "422 Unprocessable Content"), ("large", "413 Content Too Large")] {
        let (_folder, receiver, store, webhooks) = answered(name, status).await;
        for event_name in ["agent_job_started", "room_finished"] {
            webhooks.raise(&TenantId::default(), event("atelier", event_name));
        }
        let counted = figures(&webhooks);
        until("both are dead", || counted("parvis_webhooks_dead_total") == 2.0).await;
        let tries = names(&receiver.received());
        assert_eq!(tries, [["agent_job_started"; 3], ["room_finished"; 3]].concat(), "{status}");
        // They wait for the operator, and say why.
        let dead = store.held_events(true, 10).await.unwrap();
        assert_eq!(dead.len(), 2);
        let problem = format!("it answers {}", &status[..3]);
        assert!(dead.iter().all(|event| event.problem.starts_with(&problem)), "{dead:?}");
        // Who knows the event since, gets it.
        receiver.status.send_replace("200 OK");
        assert_eq!(store.resend_events(None).await.unwrap(), 2);
        receiver.until(8).await;
        until("they are taken", || counted("parvis_webhooks_delivered_total") == 2.0).await;
    }
}

#[tokio::test]
async fn a_key_a_path_or_a_proxy_that_somebody_mends_loses_no_event() {
    let moments = [
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "408 Request Timeout",
        "409 Conflict",
        "425 Too Early",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "501 Not Implemented",
    ];
    for status in moments {
        let (_folder, receiver, _, webhooks) = answered(&status[..3], status).await;
        webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
        let tried = receiver.until(6).await.len();
        let counted = figures(&webhooks);
        assert_eq!(counted("parvis_webhooks_dead_total"), 0.0, "{status}: after {tried} tries");
        receiver.status.send_replace("200 OK");
        until("it is taken", || counted("parvis_webhooks_delivered_total") == 1.0).await;
    }
}

#[tokio::test]
async fn how_often_what_is_refused_is_tried_is_the_operators_choice() {
    let folder = Folder::new("choice");
    let receiver = Receiver::start("400 Bad Request").await;
    let config = WebhookConfig { refused_tries: 1, ..config(&[&receiver]) };
    let webhooks = Webhooks::start(config, keys(), folder.store().await).await.unwrap();
    webhooks.raise(&TenantId::default(), event("atelier", "room_started"));
    let counted = figures(&webhooks);
    until("it is dead", || counted("parvis_webhooks_dead_total") == 1.0).await;
    assert_eq!(receiver.received().len(), 1);
}
