// SPDX-License-Identifier: EUPL-1.2
//! What the audit log is told of recordings.

use std::sync::{Arc, Mutex};

use parvis_audit::{Act, Event, Outcome, Sink, Who};

use super::{studio, token};

/// A log that keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl Sink for Told {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    fn may_act(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn who_begins_reads_and_ends_a_recording_is_told_to_the_audit_log() {
    let (server, _folder, notes) = studio().await;
    let told = Arc::<Told>::default();
    server.api.log(Arc::clone(&told) as Arc<dyn Sink>);
    let head = ["Content-Type: application/json".to_owned()];
    let post = async |path: String| {
        let path = format!("/api/rooms/atelier/recordings{path}");
        server.post(&path, Some(&token()), &head, b"{}").await.0
    };
    assert_eq!(post(String::new()).await, 201);
    let id = notes.started.lock().unwrap().last().unwrap().egress_id.clone();
    assert_eq!(post(format!("/{id}/links")).await, 200);
    assert_eq!(post(format!("/{id}/stop")).await, 200);
    // What isn't there is neither read nor ended.
    assert_eq!(post("/EG_none/stop".to_owned()).await, 404);
    let events = told.0.lock().unwrap().clone();
    let acts: Vec<Act> = events.iter().map(|event| event.act).collect();
    assert_eq!(acts, [Act::RecordingStart, Act::RecordingRead, Act::RecordingStop]);
    for event in &events {
        assert_eq!((event.outcome, event.tenant.as_str()), (Outcome::Done, "default"), "{event:?}");
        assert!(event.who != Who::Nobody && event.who != Who::Server, "{event:?}");
        assert_eq!(event.on.as_ref().unwrap().name, id, "{event:?}");
    }
}
