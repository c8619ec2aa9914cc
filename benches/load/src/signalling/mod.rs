// SPDX-License-Identifier: EUPL-1.2
//! What clients and servers say to each other besides media: the one seam at which the load knows whose server it is on.
//!
//! Everything behind it, ICE, DTLS, what is sent, received and counted, is the same for every server. A `Dialogue` is one
//! client's side of a protocol, without a socket: `livekit`, `janus` and `mediasoup` are those that there are. `wire` is the
//! WebSocket that carries all of them, `sdp` what they do to descriptions.
//!
//! A few threads open connections, because that waits for the server; from then on the one thread of the media reads
//! and writes them without waiting.

mod janus;
mod livekit;
mod mediasoup;
mod sdp;
mod wire;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use tungstenite::Message;

use self::janus::Janus;
use self::livekit::LiveKit;
use self::mediasoup::Mediasoup;
use self::wire::Wire;
use crate::source::Video;
use crate::{LoadError, Scenario, Target};

/// Connections that are being opened at the same time.
const THREADS: usize = 4;
/// The names of both tracks of a client in descriptions.
pub(crate) const SOUND: &str = "sound";
pub(crate) const PICTURE: &str = "picture";

/// What a server is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The LiveKit signalling protocol (`/rtc`): Parvis and LiveKit.
    #[value(name = "livekit")]
    LiveKit,
    /// Janus' own, with its plugin for video rooms.
    Janus,
    /// That of the server around mediasoup in `benches/load/mediasoup`, which is ours.
    Mediasoup,
}

/// Who joins where.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) room: String,
    pub(crate) identity: String,
    pub(crate) receives: bool,
}

/// What a server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It has let the client in. `receives`: there will be a connection for receiving now, rather than with the first
    /// stream of someone who is still to come.
    Welcome { receives: bool },
    /// It told something about participants.
    Told,
    /// It offers the connection for receiving, for the first time or with other streams.
    Offer { id: u32, sdp: String },
    /// It answers the offer of a publication.
    Answer { sdp: String },
}

/// What a client wants to send.
pub(crate) struct Publication<'a> {
    /// Its offer, in which layers have no names yet.
    pub(crate) offer: &'a str,
    /// Whether a section of it is for sound.
    pub(crate) sound: bool,
    pub(crate) video: Option<&'a Video>,
}

impl Publication<'_> {
    /// The names of the layers, lowest first; none where there is but one.
    fn rids(&self) -> Vec<&'static str> {
        let layers = self.video.map(|video| video.layers.as_slice()).unwrap_or_default();
        if layers.len() > 1 { layers.iter().map(|layer| layer.name).collect() } else { Vec::new() }
    }
}

/// One client's side of a protocol: messages and wishes go in, messages and events come out. It has no socket.
trait Dialogue: Send {
    /// A message came. An error ends the client.
    fn hear(&mut self, message: Message, out: &mut Out) -> Result<(), String>;

    /// The client wants to publish; it was welcomed.
    fn publish(&mut self, publication: &Publication<'_>, out: &mut Out) -> Result<(), String>;

    /// The client's answer to the offer with this id.
    fn answer(&mut self, id: u32, sdp: String, out: &mut Out) -> Result<(), String>;

    /// The client is still there.
    fn ping(&mut self, _out: &mut Out) {}

    /// The client goes.
    fn leave(&mut self, _out: &mut Out) {}
}

/// What comes out of a dialogue, in order.
#[derive(Debug, Default)]
struct Out {
    messages: VecDeque<Message>,
    events: VecDeque<Event>,
}

impl Out {
    fn say(&mut self, message: impl Into<Message>) {
        self.messages.push_back(message.into());
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

/// An open connection, and when it was begun.
pub(crate) struct Opened {
    pub(crate) client: usize,
    pub(crate) begun: Instant,
    pub(crate) result: Result<Signalling, LoadError>,
}

/// Opens a connection for each guest, `join_rate` in a second.
pub(crate) fn open_all(scenario: &Scenario, guests: Vec<Guest>) -> mpsc::Receiver<Opened> {
    let (sender, receiver) = mpsc::channel();
    let (guests, next) = (Arc::new(guests), Arc::new(AtomicUsize::new(0)));
    let start = Instant::now();
    for _ in 0..THREADS {
        let (sender, guests, next) = (sender.clone(), guests.clone(), next.clone());
        let scenario = scenario.clone();
        std::thread::spawn(move || {
            loop {
                let client = next.fetch_add(1, Ordering::Relaxed);
                let Some(guest) = guests.get(client) else { return };
                let due = start + Duration::from_secs_f64(client as f64 / f64::from(scenario.join_rate));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let begun = Instant::now();
                let opened = Opened { client, begun, result: Signalling::open(&scenario.target, guest) };
                if sender.send(opened).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// One client's connection.
pub(crate) struct Signalling {
    wire: Wire,
    dialogue: Box<dyn Dialogue>,
    out: Out,
}

impl Signalling {
    pub(crate) fn open(target: &Target, guest: &Guest) -> Result<Signalling, LoadError> {
        let mut out = Out::default();
        let (door, dialogue): (_, Box<dyn Dialogue>) = match target.protocol {
            Protocol::LiveKit => (LiveKit::door(target, guest)?, Box::new(LiveKit)),
            Protocol::Janus => (Janus::door(), Box::new(Janus::new(guest, &mut out))),
            Protocol::Mediasoup => (Mediasoup::door(), Box::new(Mediasoup::new(guest, &mut out))),
        };
        let mut signalling = Signalling { wire: Wire::open(target, &door)?, dialogue, out };
        signalling.speak().map_err(|cause| LoadError::Connect { server: target.server.clone(), cause })?;
        Ok(signalling)
    }

    /// What epoll watches.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.wire.socket()
    }

    /// The next event, if one is there.
    pub(crate) fn receive(&mut self) -> Result<Option<Event>, String> {
        loop {
            if let Some(event) = self.out.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(message) = self.wire.receive()? else { return Ok(None) };
            self.dialogue.hear(message, &mut self.out)?;
            self.speak()?;
        }
    }

    /// Publishes what the server has not been told of.
    pub(crate) fn publish(&mut self, publication: &Publication<'_>) -> Result<(), String> {
        self.dialogue.publish(publication, &mut self.out)?;
        self.speak()
    }

    /// Answers an offer.
    pub(crate) fn answer(&mut self, id: u32, sdp: String) -> Result<(), String> {
        self.dialogue.answer(id, sdp, &mut self.out)?;
        self.speak()
    }

    /// Says that the client is there.
    pub(crate) fn ping(&mut self) -> Result<(), String> {
        self.dialogue.ping(&mut self.out);
        self.speak()
    }

    /// Says farewell.
    pub(crate) fn leave(&mut self) -> Result<(), String> {
        self.dialogue.leave(&mut self.out);
        self.speak()
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        self.wire.flush()
    }

    fn speak(&mut self) -> Result<(), String> {
        while let Some(message) = self.out.messages.pop_front() {
            self.wire.send(message)?;
        }
        Ok(())
    }
}
