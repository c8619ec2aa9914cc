// SPDX-License-Identifier: EUPL-1.2
//! Janus' own protocol (JSON over WebSocket) with its plugin for video rooms, version 1 and newer: one connection for
//! sending, and one for all that a client receives.
//!
//! A client has a session, and in it a handle of the room, on which it publishes and hears who else does. The connection
//! for receiving hangs on a second handle, which is made with the first stream that there is to receive. Whoever comes later
//! is added to it: `subscribe`, the server's offer, `start` with our answer. One such exchange is under way at a time, and who
//! comes meanwhile is added by the next.

use serde_json::{Value, json};
use tungstenite::Message;

use super::wire::Door;
use super::{Dialogue, Event, Guest, Out, Publication, sdp};

const PLUGIN: &str = "janus.plugin.videoroom";
/// The plugin's error for a room that is there already.
const ROOM_EXISTS: u64 = 427;
/// Who may publish in a room; the plugin's own default is three.
const PUBLISHERS: u32 = 10_000;

/// One client's side.
#[derive(Debug)]
pub(super) struct Janus {
    room: String,
    display: String,
    receives: bool,
    session: Option<u64>,
    /// The handle of the room, and the one that receives.
    member: Option<u64>,
    subscriber: Option<u64>,
    /// Publishers to whom the client has not subscribed yet.
    waiting: Vec<Value>,
    /// Whether it has subscribed to anyone, and whether an exchange is under way.
    subscribed: bool,
    negotiating: bool,
}

/// What an answer of the server's answers. Its name goes with the request and comes back with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Session,
    Member,
    Room,
    Join,
    Publish,
    Subscriber,
    Subscribe,
    Start,
    Leave,
}

impl Step {
    const ALL: [Step; 9] = [
        Step::Session,
        Step::Member,
        Step::Room,
        Step::Join,
        Step::Publish,
        Step::Subscriber,
        Step::Subscribe,
        Step::Start,
        Step::Leave,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Session => "session",
            Step::Member => "member",
            Step::Room => "room",
            Step::Join => "join",
            Step::Publish => "publish",
            Step::Subscriber => "subscriber",
            Step::Subscribe => "subscribe",
            Step::Start => "start",
            Step::Leave => "leave",
        }
    }

    fn of(message: &Value) -> Option<Step> {
        let name = message["transaction"].as_str()?;
        Step::ALL.into_iter().find(|step| step.name() == name)
    }
}

impl Janus {
    pub(super) fn door() -> Door {
        Door { path: "/".to_owned(), protocol: Some("janus-protocol") }
    }

    /// A client that has asked for its session.
    pub(super) fn new(guest: &Guest, out: &mut Out) -> Janus {
        let janus = Janus {
            room: guest.room.clone(),
            display: guest.identity.clone(),
            receives: guest.receives,
            session: None,
            member: None,
            subscriber: None,
            waiting: Vec::new(),
            subscribed: false,
            negotiating: false,
        };
        janus.ask(Step::Session, json!({ "janus": "create" }), out);
        janus
    }

    fn ask(&self, step: Step, mut request: Value, out: &mut Out) {
        request["transaction"] = step.name().into();
        if let Some(session) = self.session {
            request["session_id"] = session.into();
        }
        out.say(request.to_string());
    }

    /// Asks the plugin for something on a handle.
    fn ask_plugin(&self, step: Step, handle: Option<u64>, body: Value, jsep: Option<Value>, out: &mut Out) {
        let mut request = json!({ "janus": "message", "handle_id": handle, "body": body });
        if let Some(jsep) = jsep {
            request["jsep"] = jsep;
        }
        self.ask(step, request, out);
    }

    fn attach(&self, step: Step, out: &mut Out) {
        self.ask(step, json!({ "janus": "attach", "plugin": PLUGIN }), out);
    }

    /// Something worked at once.
    fn on_success(&mut self, message: &Value, out: &mut Out) -> Result<(), String> {
        let made = || message["data"]["id"].as_u64().ok_or_else(|| format!("no id in {message}"));
        match Step::of(message) {
            Some(Step::Session) => {
                self.session = Some(made()?);
                self.attach(Step::Member, out);
            }
            Some(Step::Member) => {
                self.member = Some(made()?);
                let body = json!({ "request": "create", "room": self.room, "publishers": PUBLISHERS, "videocodec": "vp8" });
                self.ask_plugin(Step::Room, self.member, body, None, out);
            }
            Some(Step::Room) => {
                let answer = &message["plugindata"]["data"];
                if answer["error_code"].as_u64().is_some_and(|code| code != ROOM_EXISTS) {
                    return Err(format!("the room: {answer}"));
                }
                let body = json!({ "request": "join", "ptype": "publisher", "room": self.room, "display": self.display });
                self.ask_plugin(Step::Join, self.member, body, None, out);
            }
            Some(Step::Subscriber) => {
                self.subscriber = Some(made()?);
                self.subscribe(out);
            }
            _ => {}
        }
        Ok(())
    }

    /// The plugin said something.
    fn on_event(&mut self, message: &Value, out: &mut Out) -> Result<(), String> {
        let data = &message["plugindata"]["data"];
        if !data["error"].is_null() {
            let step = Step::of(message).map_or("", Step::name);
            return Err(format!("{step}: {} ({})", data["error"], data["error_code"]));
        }
        if let Some(publishers) = data["publishers"].as_array().filter(|_| self.receives) {
            self.waiting.extend(publishers.iter().map(|publisher| publisher["id"].clone()));
        }
        if data["videoroom"] == "joined" {
            out.tell(Event::Welcome { receives: !self.waiting.is_empty() });
        }
        let jsep = &message["jsep"];
        match (jsep["type"].as_str(), jsep["sdp"].as_str()) {
            (Some("answer"), Some(sdp)) => out.tell(Event::Answer { sdp: sdp.to_owned() }),
            (Some("offer"), Some(sdp)) => out.tell(Event::Offer { id: 0, sdp: sdp.to_owned() }),
            // An exchange that changes nothing has no offer.
            _ if data["videoroom"] == "updated" || data["started"] == "ok" => self.negotiating = false,
            _ => {}
        }
        self.subscribe(out);
        Ok(())
    }

    /// Subscribes to those who wait, if nothing else is under way.
    fn subscribe(&mut self, out: &mut Out) {
        if self.waiting.is_empty() || (self.negotiating && self.subscriber.is_none()) {
            return;
        }
        if self.subscriber.is_none() {
            self.negotiating = true;
            return self.attach(Step::Subscriber, out);
        }
        if self.subscribed && self.negotiating {
            return;
        }
        let streams: Vec<Value> = self.waiting.drain(..).map(|feed| json!({ "feed": feed })).collect();
        let body = if self.subscribed {
            json!({ "request": "subscribe", "streams": streams })
        } else {
            json!({ "request": "join", "ptype": "subscriber", "room": self.room, "streams": streams })
        };
        (self.subscribed, self.negotiating) = (true, true);
        self.ask_plugin(Step::Subscribe, self.subscriber, body, None, out);
    }
}

impl Dialogue for Janus {
    fn hear(&mut self, message: Message, out: &mut Out) -> Result<(), String> {
        let Message::Text(text) = message else { return Ok(()) };
        let message: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error} in {:?}", text.as_str()))?;
        match message["janus"].as_str() {
            Some("success") => self.on_success(&message, out),
            Some("event") => self.on_event(&message, out),
            Some("error") => Err(format!("the server refused: {}", message["error"])),
            Some("hangup") => Err(format!("the server hung up: {}", message["reason"])),
            Some("timeout") => Err("the server ended its session".to_owned()),
            // "ack", "webrtcup", "media", "slowlink", "detached": nothing follows from them.
            _ => Ok(()),
        }
    }

    fn publish(&mut self, publication: &Publication<'_>, out: &mut Out) -> Result<(), String> {
        // The plugin takes the first name for that of the highest layer.
        let mut rids = publication.rids();
        rids.reverse();
        let sdp = sdp::with_layers(publication.offer, &rids);
        self.ask_plugin(
            Step::Publish,
            self.member,
            json!({ "request": "publish" }),
            Some(jsep("offer", &sdp)),
            out,
        );
        Ok(())
    }

    fn answer(&mut self, _: u32, sdp: String, out: &mut Out) -> Result<(), String> {
        self.ask_plugin(
            Step::Start,
            self.subscriber,
            json!({ "request": "start" }),
            Some(jsep("answer", &sdp)),
            out,
        );
        Ok(())
    }

    fn ping(&mut self, out: &mut Out) {
        self.ask(Step::Session, json!({ "janus": "keepalive" }), out);
    }

    fn leave(&mut self, out: &mut Out) {
        self.ask(Step::Leave, json!({ "janus": "destroy" }), out);
    }
}

/// A description with all of its candidates in it.
fn jsep(kind: &str, sdp: &str) -> Value {
    json!({ "type": kind, "sdp": sdp, "trickle": false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Video;

    fn guest(receives: bool) -> Guest {
        Guest { room: "r".to_owned(), identity: "i".to_owned(), receives }
    }

    fn said(out: &mut Out) -> Vec<Value> {
        out.messages
            .drain(..)
            .map(|message| serde_json::from_str(message.to_text().unwrap()).unwrap())
            .collect()
    }

    fn hear(janus: &mut Janus, out: &mut Out, message: &Value) -> Result<Vec<Value>, String> {
        janus.hear(Message::Text(message.to_string().into()), out)?;
        Ok(said(out))
    }

    fn event(handle: u64, transaction: Option<&str>, data: Value, jsep: Option<Value>) -> Value {
        let mut event = json!({
            "janus": "event", "session_id": 1, "sender": handle,
            "plugindata": { "plugin": PLUGIN, "data": data },
        });
        if let Some(transaction) = transaction {
            event["transaction"] = transaction.into();
        }
        if let Some(jsep) = jsep {
            event["jsep"] = jsep;
        }
        event
    }

    /// A client in its room, where these already publish.
    fn joined(receives: bool, publishers: &Value) -> (Janus, Out, Vec<Value>) {
        let mut out = Out::default();
        let mut janus = Janus::new(&guest(receives), &mut out);
        assert_eq!(said(&mut out), [json!({ "janus": "create", "transaction": "session" })]);
        let success =
            |step: &str, id: u64| json!({ "janus": "success", "transaction": step, "data": { "id": id } });
        let asked = hear(&mut janus, &mut out, &success("session", 1)).unwrap();
        assert_eq!(asked[0]["plugin"], PLUGIN);
        let asked = hear(&mut janus, &mut out, &success("member", 20)).unwrap();
        assert_eq!((&asked[0]["body"]["request"], &asked[0]["handle_id"]), (&json!("create"), &json!(20)));
        let exists = json!({
            "janus": "success", "transaction": "room",
            "plugindata": { "data": { "videoroom": "event", "error_code": 427, "error": "Room r already exists" } },
        });
        let asked = hear(&mut janus, &mut out, &exists).unwrap();
        let join = json!({ "request": "join", "ptype": "publisher", "room": "r", "display": "i" });
        assert_eq!((&asked[0]["body"], &asked[0]["session_id"]), (&join, &json!(1)));
        let data = json!({ "videoroom": "joined", "room": "r", "id": "me", "publishers": publishers });
        assert_eq!(hear(&mut janus, &mut out, &json!({ "janus": "ack", "transaction": "join" })), Ok(vec![]));
        let asked = hear(&mut janus, &mut out, &event(20, Some("join"), data, None)).unwrap();
        (janus, out, asked)
    }

    #[test]
    fn a_room_that_is_there_is_joined_and_layers_are_published_from_the_highest() {
        let (mut janus, mut out, asked) = joined(true, &json!([]));
        assert!(asked.is_empty(), "{asked:?}");
        assert_eq!(out.events.pop_front(), Some(Event::Welcome { receives: false }));
        let video = Video::new(1, 900_000, 30, &[1, 3, 5]);
        let publication = Publication { offer: "v=0\r\nm=video 9\r\n", sound: false, video: Some(&video) };
        janus.publish(&publication, &mut out).unwrap();
        let asked = said(&mut out);
        let sdp = asked[0]["jsep"]["sdp"].as_str().unwrap();
        assert!(
            sdp.ends_with("a=rid:f send\r\na=rid:h send\r\na=rid:q send\r\na=simulcast:send f;h;q\r\n"),
            "{sdp}"
        );
        assert_eq!(
            (&asked[0]["body"]["request"], &asked[0]["jsep"]["trickle"]),
            (&json!("publish"), &json!(false))
        );
        let answer = json!({ "type": "answer", "sdp": "v=0" });
        let data = json!({ "videoroom": "event", "room": "r", "configured": "ok" });
        hear(&mut janus, &mut out, &event(20, Some("publish"), data, Some(answer))).unwrap();
        assert_eq!(out.events.pop_front(), Some(Event::Answer { sdp: "v=0".to_owned() }));
    }

    #[test]
    fn one_exchange_is_under_way_and_who_comes_meanwhile_is_in_the_next() {
        let (mut janus, mut out, asked) = joined(true, &json!([{ "id": "a" }, { "id": "b" }]));
        assert_eq!(out.events.pop_front(), Some(Event::Welcome { receives: true }));
        assert_eq!((asked.len(), &asked[0]["transaction"]), (1, &json!("subscriber")));
        let news =
            |id: &str| event(20, None, json!({ "videoroom": "event", "publishers": [{ "id": id }] }), None);
        assert_eq!(hear(&mut janus, &mut out, &news("c")), Ok(vec![]), "no second handle");
        let made = json!({ "janus": "success", "transaction": "subscriber", "data": { "id": 30 } });
        let asked = hear(&mut janus, &mut out, &made).unwrap();
        let streams = json!([{ "feed": "a" }, { "feed": "b" }, { "feed": "c" }]);
        let body = json!({ "request": "join", "ptype": "subscriber", "room": "r", "streams": streams });
        assert_eq!((&asked[0]["body"], &asked[0]["handle_id"]), (&body, &json!(30)));
        assert_eq!(hear(&mut janus, &mut out, &news("d")), Ok(vec![]));
        let offer = Some(json!({ "type": "offer", "sdp": "v=1" }));
        let attached = event(30, Some("subscribe"), json!({ "videoroom": "attached" }), offer);
        assert_eq!(hear(&mut janus, &mut out, &attached), Ok(vec![]));
        assert_eq!(out.events.pop_front(), Some(Event::Offer { id: 0, sdp: "v=1".to_owned() }));
        janus.answer(0, "v=2".to_owned(), &mut out).unwrap();
        let asked = said(&mut out);
        assert_eq!(
            (&asked[0]["body"]["request"], &asked[0]["jsep"]["sdp"]),
            (&json!("start"), &json!("v=2"))
        );
        let started = event(30, Some("start"), json!({ "videoroom": "event", "started": "ok" }), None);
        let asked = hear(&mut janus, &mut out, &started).unwrap();
        assert_eq!(asked[0]["body"], json!({ "request": "subscribe", "streams": [{ "feed": "d" }] }));
        let nothing = event(30, Some("subscribe"), json!({ "videoroom": "updated", "room": "r" }), None);
        assert_eq!(hear(&mut janus, &mut out, &nothing), Ok(vec![]));
        let asked = hear(&mut janus, &mut out, &news("e")).unwrap();
        assert_eq!(asked[0]["body"]["streams"], json!([{ "feed": "e" }]), "nothing was under way any more");
    }

    #[test]
    fn who_only_sends_subscribes_to_nobody_and_what_fails_is_told() {
        let (mut janus, mut out, asked) = joined(false, &json!([{ "id": "a" }]));
        assert!(asked.is_empty(), "{asked:?}");
        assert_eq!(out.events.pop_front(), Some(Event::Welcome { receives: false }));
        for (message, part) in [
            (
                json!({ "janus": "error", "error": { "code": 458, "reason": "No such session" } }),
                "No such session",
            ),
            (json!({ "janus": "hangup", "reason": "DTLS alert" }), "DTLS alert"),
            (json!({ "janus": "timeout" }), "ended its session"),
            (
                event(20, Some("publish"), json!({ "error_code": 432, "error": "Maximum number" }), None),
                "publish: \"Maximum",
            ),
        ] {
            let error = hear(&mut janus, &mut out, &message).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(janus.hear(Message::Text("{".into()), &mut out).is_err());
        let mut new = Janus::new(&guest(false), &mut out);
        let refused = json!({
            "janus": "success", "transaction": "room",
            "plugindata": { "data": { "error_code": 433, "error": "Unauthorized" } },
        });
        assert!(hear(&mut new, &mut out, &refused).unwrap_err().contains("Unauthorized"));
    }
}
