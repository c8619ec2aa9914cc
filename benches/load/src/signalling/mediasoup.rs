// SPDX-License-Identifier: EUPL-1.2
//! The signalling of `benches/load/mediasoup/server.mjs`, the server of ours around mediasoup: one JSON object for each
//! message. mediasoup knows no descriptions; here they are made of its parameters, and its parameters of ours.
//!
//! | who | message | means |
//! |---|---|---|
//! | client | `{"join": {"room", "receives"}}` | asks to be let in |
//! | server | `{"welcome": {"receiving", "producers"}}` | its transport for receiving, and how many streams there are |
//! | client | `{"publish": {"dtls", "tracks": [{"kind", "rtpParameters"}]}}` | wants to send these |
//! | server | `{"published": {"sending"}}` | the transport for that |
//! | server | `{"consumers": [{"kind", "rtpParameters"}]}` | streams that come from now on |
//! | client | `{"receive": {"dtls"}}` | connects the transport for receiving |
//! | server | `{"error": "…"}` | what went wrong |

use std::fmt::Write;

use serde_json::{Value, json};
use tungstenite::Message;

use super::sdp::{self, Section};
use super::wire::Door;
use super::{Dialogue, Event, Guest, Out, Publication};

/// The codecs of ours that mediasoup is told of, with that of retransmissions.
const CODECS: [&str; 3] = ["opus", "VP8", "rtx"];

/// One client's side.
#[derive(Debug, Default)]
pub(super) struct Mediasoup {
    /// The transport for receiving, as the server describes it, and whether it was told to connect it.
    receiving: Value,
    connected: bool,
    /// The streams that it receives.
    consumers: Vec<Value>,
    /// The offer that waits until the server has taken it.
    offered: String,
}

impl Mediasoup {
    pub(super) fn door() -> Door {
        Door { path: "/".to_owned(), protocol: None }
    }

    /// A client that has asked to be let in.
    pub(super) fn new(guest: &Guest, out: &mut Out) -> Mediasoup {
        let join = json!({ "room": guest.room, "receives": guest.receives });
        out.say(json!({ "join": join }).to_string());
        Mediasoup::default()
    }
}

impl Dialogue for Mediasoup {
    fn hear(&mut self, message: Message, out: &mut Out) -> Result<(), String> {
        let Message::Text(text) = message else { return Ok(()) };
        let mut message: Value =
            serde_json::from_str(&text).map_err(|error| format!("{error} in {:?}", text.as_str()))?;
        if let Some(error) = message.get("error") {
            return Err(format!("the server: {error}"));
        }
        if let Some(welcome) = message.get_mut("welcome") {
            self.receiving = welcome["receiving"].take();
            out.tell(Event::Welcome { receives: welcome["producers"].as_u64().unwrap_or_default() > 0 });
        } else if let Some(published) = message.get("published") {
            let sdp = answer_to(&std::mem::take(&mut self.offered), &published["sending"])?;
            out.tell(Event::Answer { sdp });
        } else if let Some(Value::Array(consumers)) = message.get_mut("consumers") {
            self.consumers.append(consumers);
            out.tell(Event::Offer { id: 0, sdp: offer_of(&self.consumers, &self.receiving)? });
        }
        Ok(())
    }

    fn publish(&mut self, publication: &Publication<'_>, out: &mut Out) -> Result<(), String> {
        let rids = publication.rids();
        let sections = Section::all(publication.offer);
        let tracks: Vec<Value> = sections
            .iter()
            .map(|section| json!({ "kind": section.kind(), "rtpParameters": rtp_parameters(section, &rids) }))
            .collect();
        let dtls = dtls_parameters(publication.offer).ok_or("our offer has no fingerprint")?;
        out.say(json!({ "publish": { "dtls": dtls, "tracks": tracks } }).to_string());
        self.offered = sdp::with_layers(publication.offer, &rids);
        Ok(())
    }

    fn answer(&mut self, _: u32, sdp: String, out: &mut Out) -> Result<(), String> {
        if !self.connected {
            self.connected = true;
            let dtls = dtls_parameters(&sdp).ok_or("our answer has no fingerprint")?;
            out.say(json!({ "receive": { "dtls": dtls } }).to_string());
        }
        Ok(())
    }
}

/// `DtlsParameters` of whoever wrote a description, as the one who waits for a ClientHello.
fn dtls_parameters(sdp: &str) -> Option<Value> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:"))?;
    let (algorithm, value) = line.split_once(' ')?;
    Some(json!({ "role": "server", "fingerprints": [{ "algorithm": algorithm, "value": value }] }))
}

/// `RtpParameters` of what a section of ours sends, in layers with these names if there are any.
fn rtp_parameters(section: &Section<'_>, rids: &[&str]) -> Value {
    let codecs: Vec<Value> = section.attributes("rtpmap").filter_map(|map| codec(section, map)).collect();
    let extensions: Vec<Value> = section
        .attributes("extmap")
        .filter_map(|map| {
            let (id, uri) = map.split_once(' ')?;
            let id: u8 = id.split('/').next()?.parse().ok()?;
            Some(json!({ "id": id, "uri": uri }))
        })
        .collect();
    let mut cname = "";
    let mut encoding = json!({});
    if let Some((ssrc, name)) = section.attribute("ssrc").and_then(|source| source.split_once(" cname:")) {
        cname = name;
        encoding["ssrc"] = ssrc.parse::<u32>().unwrap_or_default().into();
    }
    let pair = section.attribute("ssrc-group").and_then(|group| group.strip_prefix("FID ")?.split_once(' '));
    if let Some(rtx) = pair.and_then(|(_, rtx)| rtx.parse::<u32>().ok()) {
        encoding["rtx"] = json!({ "ssrc": rtx });
    }
    let layered = section.kind() == "video" && !rids.is_empty();
    let encodings: Vec<Value> =
        if layered { rids.iter().map(|rid| json!({ "rid": rid })).collect() } else { vec![encoding] };
    json!({
        "mid": section.attribute("mid"),
        "codecs": codecs,
        "headerExtensions": extensions,
        "encodings": encodings,
        "rtcp": { "cname": cname, "reducedSize": true },
    })
}

/// `RtpCodecParameters` of a payload type, by its `a=rtpmap`; `None` of one that mediasoup need not know.
fn codec(section: &Section<'_>, map: &str) -> Option<Value> {
    let (payload_type, encoding) = map.split_once(' ')?;
    let mut parts = encoding.split('/');
    let name = parts.next().filter(|name| CODECS.contains(name))?;
    let of_it = |line: &str| line.strip_prefix(payload_type)?.strip_prefix(' ').map(str::to_owned);
    let mut parameters = serde_json::Map::new();
    for pair in section.attributes("fmtp").filter_map(of_it).flat_map(|line| {
        line.split(';').filter_map(|pair| pair.split_once('=')).map(owned).collect::<Vec<_>>()
    }) {
        let value = pair.1.parse::<u32>().map_or_else(|_| Value::from(pair.1), Value::from);
        parameters.insert(pair.0, value);
    }
    let feedback: Vec<Value> = section
        .attributes("rtcp-fb")
        .filter_map(of_it)
        .map(|line| {
            let (kind, parameter) = line.split_once(' ').unwrap_or((&line, ""));
            json!({ "type": kind, "parameter": parameter })
        })
        .collect();
    let mut codec = json!({
        "mimeType": format!("{}/{name}", section.kind()),
        "payloadType": payload_type.parse::<u8>().ok()?,
        "clockRate": parts.next()?.parse::<u32>().ok()?,
        "parameters": parameters,
        "rtcpFeedback": feedback,
    });
    if let Some(channels) = parts.next().and_then(|channels| channels.parse::<u8>().ok()) {
        codec["channels"] = channels.into();
    }
    Some(codec)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.trim().to_owned(), value.to_owned())
}

/// The description with which mediasoup would answer an offer of ours that it has taken: all of it, received.
fn answer_to(offer: &str, transport: &Value) -> Result<String, String> {
    let sections = Section::all(offer);
    let mids: Vec<&str> = sections.iter().filter_map(|section| section.attribute("mid")).collect();
    let mut text = head(&mids);
    let transport = transport_lines(transport, "active")?;
    for section in &sections {
        let _ =
            write!(text, "{}\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\na=rtcp-mux\r\n{transport}", section.head());
        for name in ["mid", "rtpmap", "fmtp", "rtcp-fb", "extmap"] {
            for value in section.attributes(name) {
                let _ = write!(text, "a={name}:{value}\r\n");
            }
        }
        for rid in section.attributes("rid") {
            let _ = write!(text, "a=rid:{}\r\n", rid.replace(" send", " recv"));
        }
        for layers in section.attributes("simulcast") {
            let _ = write!(text, "a=simulcast:{}\r\n", layers.replace("send ", "recv "));
        }
    }
    Ok(text)
}

/// The description with which mediasoup would offer all that a client receives.
fn offer_of(consumers: &[Value], transport: &Value) -> Result<String, String> {
    let mids: Vec<&str> =
        consumers.iter().filter_map(|consumer| consumer["rtpParameters"]["mid"].as_str()).collect();
    if mids.len() < consumers.len() {
        return Err("a consumer has no mid".to_owned());
    }
    let mut text = head(&mids);
    let transport = transport_lines(transport, "actpass")?;
    for (consumer, mid) in consumers.iter().zip(mids) {
        let parameters = &consumer["rtpParameters"];
        let codecs = list(&parameters["codecs"]);
        let types: Vec<String> = codecs.iter().map(|codec| codec["payloadType"].to_string()).collect();
        let kind = consumer["kind"].as_str().unwrap_or_default();
        let _ = write!(text, "m={kind} 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\n", types.join(" "));
        let _ = write!(text, "a=mid:{mid}\r\na=sendonly\r\na=rtcp-mux\r\n{transport}");
        for (codec, payload_type) in codecs.iter().zip(&types) {
            codec_lines(&mut text, codec, payload_type);
        }
        for extension in list(&parameters["headerExtensions"]) {
            let _ = write!(text, "a=extmap:{} {}\r\n", extension["id"], plain(&extension["uri"]));
        }
        for encoding in list(&parameters["encodings"]) {
            let (ssrc, rtx) = (&encoding["ssrc"], &encoding["rtx"]["ssrc"]);
            if !rtx.is_null() {
                let _ = write!(text, "a=ssrc-group:FID {ssrc} {rtx}\r\n");
            }
            for ssrc in [ssrc, rtx].into_iter().filter(|ssrc| !ssrc.is_null()) {
                let _ = write!(text, "a=ssrc:{ssrc} cname:{}\r\n", plain(&parameters["rtcp"]["cname"]));
            }
        }
    }
    Ok(text)
}

fn codec_lines(text: &mut String, codec: &Value, payload_type: &str) {
    let name = codec["mimeType"].as_str().and_then(|mime| mime.split('/').nth(1)).unwrap_or_default();
    let _ = write!(text, "a=rtpmap:{payload_type} {name}/{}", codec["clockRate"]);
    match codec["channels"].as_u64().filter(|channels| *channels > 1) {
        Some(channels) => drop(write!(text, "/{channels}\r\n")),
        None => text.push_str("\r\n"),
    }
    let parameters: Vec<String> = codec["parameters"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", plain(value)))
        .collect();
    if !parameters.is_empty() {
        let _ = write!(text, "a=fmtp:{payload_type} {}\r\n", parameters.join(";"));
    }
    for feedback in list(&codec["rtcpFeedback"]) {
        let line = format!("{} {}", plain(&feedback["type"]), plain(&feedback["parameter"]));
        let _ = write!(text, "a=rtcp-fb:{payload_type} {}\r\n", line.trim_end());
    }
}

/// What stands before all sections, of which these are the names.
fn head(mids: &[&str]) -> String {
    let bundle = mids.join(" ");
    format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {bundle}\r\na=ice-lite\r\n")
}

/// ICE and DTLS of a transport, by what the server told of it.
fn transport_lines(transport: &Value, setup: &str) -> Result<String, String> {
    let missing = |what: &str| format!("the server told no {what} of a transport: {transport}");
    let ice = &transport["iceParameters"];
    let ufrag = ice["usernameFragment"].as_str().ok_or_else(|| missing("ICE user fragment"))?;
    let password = ice["password"].as_str().ok_or_else(|| missing("ICE password"))?;
    let fingerprints = list(&transport["dtlsParameters"]["fingerprints"]);
    let is_sha_256 = |fingerprint: &&Value| fingerprint["algorithm"] == "sha-256";
    let fingerprint = fingerprints.iter().find(is_sha_256).ok_or_else(|| missing("SHA-256 fingerprint"))?;
    let mut text = format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n",
        plain(&fingerprint["value"])
    );
    for candidate in list(&transport["iceCandidates"]) {
        let part = |name: &str| plain(&candidate[name]);
        // What was `ip` became `address` later.
        let address = if candidate["address"].is_null() { part("ip") } else { part("address") };
        let (foundation, protocol) = (part("foundation"), part("protocol"));
        let (priority, port) = (part("priority"), part("port"));
        let _ =
            write!(text, "a=candidate:{foundation} 1 {protocol} {priority} {address} {port} typ host\r\n");
    }
    Ok(text)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A value as a description has it: texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Instant;

    use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};

    use super::*;
    use crate::connection::{Connection, Shared};
    use crate::source::Video;

    fn transport() -> Value {
        let digits = vec!["AB"; 32].join(":");
        json!({
            "iceParameters": { "usernameFragment": "abcd", "password": "a-password-of-22-letters", "iceLite": true },
            "iceCandidates": [{ "foundation": "udpcandidate", "protocol": "udp", "priority": 1_076_302_079, "ip": "127.0.0.1", "port": 40_000, "type": "host" }],
            "dtlsParameters": { "role": "auto", "fingerprints": [
                { "algorithm": "sha-1", "value": "AB" },
                { "algorithm": "sha-256", "value": digits },
            ] },
        })
    }

    fn sender(id: u64, kind: MediaKind, codec: CodecKind, ssrc: u32) -> SenderSpec {
        SenderSpec {
            id: SenderId(id),
            kind,
            codecs: vec![codec],
            msid: Msid { stream: "stream".to_owned(), track: format!("track{id}") },
            ssrc,
            rtx_ssrc: (kind == MediaKind::Video).then_some(ssrc + 1),
            fec_ssrc: None,
        }
    }

    fn said(out: &mut Out) -> Vec<Value> {
        out.messages
            .drain(..)
            .map(|message| serde_json::from_str(message.to_text().unwrap()).unwrap())
            .collect()
    }

    fn hear(side: &mut Mediasoup, out: &mut Out, message: &Value) -> Result<(), String> {
        side.hear(Message::Text(message.to_string().into()), out)
    }

    fn welcomed(producers: u32) -> (Mediasoup, Out) {
        let mut out = Out::default();
        let guest = Guest { room: "r".to_owned(), identity: "i".to_owned(), receives: true };
        let mut side = Mediasoup::new(&guest, &mut out);
        assert_eq!(said(&mut out), [json!({ "join": { "room": "r", "receives": true } })]);
        let welcome = json!({ "receiving": transport(), "producers": producers });
        hear(&mut side, &mut out, &json!({ "welcome": welcome })).unwrap();
        assert_eq!(out.events.pop_front(), Some(Event::Welcome { receives: producers > 0 }));
        (side, out)
    }

    /// What is published, and whether our own peer takes the answer that is made of it.
    fn publish(layers: u32) -> Value {
        let now = Instant::now();
        let (mut side, mut out) = welcomed(0);
        let mut connection = Connection::new(&Shared::new(Ipv4Addr::LOCALHOST).unwrap(), now).unwrap();
        connection.peer.add_sender(sender(1, MediaKind::Audio, CodecKind::Opus, 10));
        connection.peer.add_sender(sender(2, MediaKind::Video, CodecKind::Vp8, 11));
        let offer = connection.peer.create_offer(now, false).unwrap();
        let ssrcs: Vec<u32> = (0..layers).map(|layer| 11 + 2 * layer).collect();
        let video = Video::new(1, 900_000, 30, &ssrcs);
        let publication = Publication { offer: &offer, sound: true, video: Some(&video) };
        side.publish(&publication, &mut out).unwrap();
        let mut asked = said(&mut out);
        hear(&mut side, &mut out, &json!({ "published": { "sending": transport() } })).unwrap();
        let Some(Event::Answer { sdp }) = out.events.pop_front() else { panic!("an answer") };
        let layered = sdp.contains("a=rid:q recv\r\n") && sdp.contains("a=simulcast:recv q;h;f\r\n");
        assert_eq!(layered, layers == 3, "{sdp}");
        connection.peer.accept_answer(now, &sdp).unwrap();
        connection.settle(now, &offer, &sdp).unwrap();
        for id in [1, 2] {
            let section = connection.section(SenderId(id)).unwrap();
            assert!(section.extensions.iter().count() > 2, "{sdp}");
        }
        assert_eq!(connection.stage(), "no path yet", "it knows whom to check");
        asked.remove(0)["publish"].take()
    }

    #[test]
    fn one_layer_is_published_by_its_ssrc_and_several_by_their_names() {
        let single = publish(1);
        assert_eq!(single["dtls"]["role"], "server");
        assert_eq!(single["dtls"]["fingerprints"][0]["value"].as_str().unwrap().len(), 95);
        let [sound, picture] = &single["tracks"].as_array().unwrap()[..] else { panic!("two tracks") };
        let opus = &sound["rtpParameters"]["codecs"][0];
        assert_eq!(
            (&opus["mimeType"], &opus["payloadType"], &opus["channels"]),
            (&json!("audio/opus"), &json!(111), &json!(2))
        );
        assert_eq!(opus["parameters"]["useinbandfec"], 1);
        assert_eq!(sound["rtpParameters"]["encodings"], json!([{ "ssrc": 10 }]));
        let codecs: Vec<&str> = list(&picture["rtpParameters"]["codecs"])
            .iter()
            .filter_map(|codec| codec["mimeType"].as_str())
            .collect();
        assert_eq!(codecs, ["video/VP8", "video/rtx"]);
        assert_eq!(picture["rtpParameters"]["codecs"][1]["parameters"], json!({ "apt": 96 }));
        assert!(
            list(&picture["rtpParameters"]["codecs"][0]["rtcpFeedback"])
                .contains(&json!({ "type": "nack", "parameter": "pli" }))
        );
        assert_eq!(picture["rtpParameters"]["encodings"], json!([{ "ssrc": 11, "rtx": { "ssrc": 12 } }]));
        let layered = publish(3);
        let encodings = &layered["tracks"][1]["rtpParameters"]["encodings"];
        assert_eq!(*encodings, json!([{ "rid": "q" }, { "rid": "h" }, { "rid": "f" }]));
    }

    #[test]
    fn streams_that_come_later_are_offered_with_the_earlier_ones_and_the_transport_is_connected_once() {
        let now = Instant::now();
        let (mut side, mut out) = welcomed(1);
        let mut connection = Connection::new(&Shared::new(Ipv4Addr::LOCALHOST).unwrap(), now).unwrap();
        let consumer = |mid: &str, kind: &str, codec: Value, ssrc: u32| {
            json!({ "kind": kind, "rtpParameters": {
                "mid": mid,
                "codecs": [codec],
                "headerExtensions": [
                    { "id": 1, "uri": "urn:ietf:params:rtp-hdrext:sdes:mid" },
                    { "id": 5, "uri": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01" },
                ],
                "encodings": [{ "ssrc": ssrc }],
                "rtcp": { "cname": "c" },
            } })
        };
        let opus = json!({ "mimeType": "audio/opus", "payloadType": 100, "clockRate": 48_000, "channels": 2, "parameters": { "useinbandfec": 1 }, "rtcpFeedback": [{ "type": "transport-cc", "parameter": "" }] });
        let vp8 = json!({ "mimeType": "video/VP8", "payloadType": 101, "clockRate": 90_000, "parameters": {}, "rtcpFeedback": [{ "type": "nack", "parameter": "pli" }] });
        let mut offered = |side: &mut Mediasoup, out: &mut Out, consumer: Value| {
            hear(side, out, &json!({ "consumers": [consumer] })).unwrap();
            let Some(Event::Offer { sdp, .. }) = out.events.pop_front() else { panic!("an offer") };
            let answer = connection.peer.accept_offer(now, &sdp).unwrap();
            connection.settle(now, &answer, &sdp).unwrap();
            side.answer(0, answer, out).unwrap();
            (connection.peer.sections().to_vec(), connection.stage(), said(out))
        };
        let (sections, stage, asked) = offered(&mut side, &mut out, consumer("0", "audio", opus, 7));
        assert_eq!((sections.len(), stage), (1, "no path yet"));
        assert_eq!((sections[0].codecs[0].kind, sections[0].codecs[0].payload_type), (CodecKind::Opus, 100));
        assert_eq!(asked[0]["receive"]["dtls"]["role"], "server");
        let (sections, _, asked) = offered(&mut side, &mut out, consumer("1", "video", vp8, 8));
        assert_eq!((sections.len(), asked.len()), (2, 0));
        assert_eq!(sections[1].codecs[0].kind, CodecKind::Vp8);
        assert_eq!(sections[1].extensions.iter().count(), 2);
    }

    #[test]
    fn what_is_wrong_or_lacks_something_is_told() {
        let (mut side, mut out) = welcomed(0);
        let error = hear(&mut side, &mut out, &json!({ "error": "no such room" })).unwrap_err();
        assert!(error.contains("no such room"), "{error}");
        assert!(side.hear(Message::Text("{".into()), &mut out).is_err());
        side.receiving["iceParameters"] = Value::Null;
        let consumers = json!({ "consumers": [{ "kind": "audio", "rtpParameters": { "mid": "0" } }] });
        let error = hear(&mut side, &mut out, &consumers).unwrap_err();
        assert!(error.contains("ICE user fragment"), "{error}");
    }
}
