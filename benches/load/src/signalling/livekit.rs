// SPDX-License-Identifier: EUPL-1.2
//! The LiveKit signalling protocol, as far as someone needs it who only sends and receives.

use std::time::{SystemTime, UNIX_EPOCH};

use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_token::VideoGrants;
use prost::Message as _;
use tungstenite::Message;

use super::wire::Door;
use super::{Dialogue, Event, Guest, Out, PICTURE, Publication, SOUND, sdp};
use crate::source::Video;
use crate::{LoadError, Target};

/// One client's side. What it is asked it knows by heart.
pub(super) struct LiveKit;

impl LiveKit {
    /// The request to join is that for the WebSocket.
    pub(super) fn door(target: &Target, guest: &Guest) -> Result<Door, LoadError> {
        let grants = VideoGrants { room_join: true, room: guest.room.clone(), ..VideoGrants::default() };
        let token = target.token(&guest.identity, grants)?;
        let receives = u8::from(guest.receives);
        let path = format!("/rtc?access_token={token}&protocol=16&auto_subscribe={receives}");
        Ok(Door { path, protocol: None })
    }
}

impl Dialogue for LiveKit {
    fn hear(&mut self, message: Message, out: &mut Out) -> Result<(), String> {
        let Message::Binary(bytes) = message else { return Ok(()) };
        let response = proto::SignalResponse::decode(bytes).map_err(|error| error.to_string())?;
        match response.message {
            Some(Response::Join(_)) => out.tell(Event::Welcome { receives: true }),
            Some(Response::Update(_)) => out.tell(Event::Told),
            Some(Response::Offer(offer)) => out.tell(Event::Offer { id: offer.id, sdp: offer.sdp }),
            Some(Response::Answer(answer)) => out.tell(Event::Answer { sdp: answer.sdp }),
            Some(Response::Leave(leave)) => {
                return Err(format!("the server told it to leave: {}", leave.reason().as_str_name()));
            }
            _ => {}
        }
        Ok(())
    }

    fn publish(&mut self, publication: &Publication<'_>, out: &mut Out) -> Result<(), String> {
        if publication.sound {
            say(
                out,
                Request::AddTrack(proto::AddTrackRequest {
                    cid: SOUND.to_owned(),
                    r#type: proto::TrackType::Audio.into(),
                    source: proto::TrackSource::Microphone.into(),
                    disable_red: true,
                    ..Default::default()
                }),
            );
        }
        if let Some(video) = publication.video {
            say(out, Request::AddTrack(camera(video)?));
        }
        say(
            out,
            Request::Offer(proto::SessionDescription {
                r#type: "offer".to_owned(),
                sdp: sdp::with_layers(publication.offer, &publication.rids()),
                id: 1,
                ..Default::default()
            }),
        );
        Ok(())
    }

    fn answer(&mut self, id: u32, sdp: String, out: &mut Out) -> Result<(), String> {
        let description =
            proto::SessionDescription { r#type: "answer".to_owned(), sdp, id, ..Default::default() };
        say(out, Request::Answer(description));
        Ok(())
    }

    /// As SDKs do, in both forms.
    fn ping(&mut self, out: &mut Out) {
        let timestamp = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since_1970| since_1970.as_millis() as i64);
        say(out, Request::Ping(timestamp));
        say(out, Request::PingReq(proto::Ping { timestamp, rtt: 0 }));
    }

    fn leave(&mut self, out: &mut Out) {
        say(
            out,
            Request::Leave(proto::LeaveRequest {
                reason: proto::DisconnectReason::ClientInitiated.into(),
                ..Default::default()
            }),
        );
    }
}

fn camera(video: &Video) -> Result<proto::AddTrackRequest, String> {
    let highest = video.layers.last().ok_or("no layer")?;
    let simulcast = video.layers.len() > 1;
    let qualities = [proto::VideoQuality::Low, proto::VideoQuality::Medium, proto::VideoQuality::High];
    let layers = video.layers.iter().zip(&qualities[3 - video.layers.len()..]);
    let layers = layers.map(|(layer, quality)| proto::VideoLayer {
        quality: (*quality).into(),
        width: layer.size.0.into(),
        height: layer.size.1.into(),
        bitrate: layer.bitrate,
        ssrc: if simulcast { 0 } else { layer.stream.ssrc },
        rid: if simulcast { layer.name.to_owned() } else { String::new() },
        ..Default::default()
    });
    Ok(proto::AddTrackRequest {
        cid: PICTURE.to_owned(),
        r#type: proto::TrackType::Video.into(),
        source: proto::TrackSource::Camera.into(),
        width: highest.size.0.into(),
        height: highest.size.1.into(),
        layers: layers.collect(),
        ..Default::default()
    })
}

fn say(out: &mut Out, message: Request) {
    let request = proto::SignalRequest { message: Some(message) };
    out.say(request.encode_to_vec());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(out: &mut Out) -> Vec<Request> {
        let decoded = out.messages.drain(..).map(|message| proto::SignalRequest::decode(message.into_data()));
        decoded.map(|request| request.unwrap().message.unwrap()).collect()
    }

    #[test]
    fn a_server_that_lets_in_offers_and_answers_is_understood() {
        let mut out = Out::default();
        let mut hear = |message: Response| {
            let response = proto::SignalResponse { message: Some(message) };
            let heard = LiveKit.hear(Message::Binary(response.encode_to_vec().into()), &mut out);
            heard.map(|()| out.events.pop_front())
        };
        assert_eq!(
            hear(Response::Join(proto::JoinResponse::default())),
            Ok(Some(Event::Welcome { receives: true }))
        );
        let description = |id| proto::SessionDescription { sdp: "v=0".to_owned(), id, ..Default::default() };
        let offer = Event::Offer { id: 7, sdp: "v=0".to_owned() };
        assert_eq!(hear(Response::Offer(description(7))), Ok(Some(offer)));
        assert_eq!(hear(Response::Answer(description(1))), Ok(Some(Event::Answer { sdp: "v=0".to_owned() })));
        assert_eq!(hear(Response::Pong(1)), Ok(None));
        let left = hear(Response::Leave(proto::LeaveRequest::default())).unwrap_err();
        assert!(left.contains("leave"), "{left}");
        assert!(LiveKit.hear(Message::Binary(vec![0xff].into()), &mut out).is_err());
    }

    #[test]
    fn layers_are_named_from_the_lowest_and_the_offer_comes_last() {
        let video = Video::new(1, 900_000, 30, &[1, 3, 5]);
        let publication = Publication { offer: "v=0\r\nm=video 9\r\n", sound: true, video: Some(&video) };
        let mut out = Out::default();
        LiveKit.publish(&publication, &mut out).unwrap();
        let [Request::AddTrack(sound), Request::AddTrack(picture), Request::Offer(offer)] =
            &requests(&mut out)[..]
        else {
            panic!("three requests");
        };
        assert_eq!((sound.cid.as_str(), picture.cid.as_str(), picture.layers.len()), (SOUND, PICTURE, 3));
        assert!(offer.sdp.ends_with("a=simulcast:send q;h;f\r\n"), "{}", offer.sdp);
    }
}
