// SPDX-License-Identifier: EUPL-1.2
//! A client with two peer connections, as on `/rtc`: it offers what it sends, and answers what it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_peer::{Path, Peer, PeerConfig, PeerEvent, Protocol, Received};
use parvis_rtp::{AudioLevel, Extensions, HeaderFields, Packet, rtcp, write_packet};
use parvis_sfu::{PeerId, RoomId, TrackId};
use rand::RngExt;
use rand_chacha::ChaCha20Rng;

use crate::media::{self, PACKETS_PER_FRAME, Stream};
use crate::stun;

/// Names one simulated client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub usize);

/// How often a client checks its path: often before it is connected, then as browsers do.
const CHECK_FAST: Duration = Duration::from_millis(50);
const CHECK_SLOW: Duration = Duration::from_millis(2500);
const SOUND_EVERY: Duration = Duration::from_millis(20);
const PICTURE_EVERY: Duration = Duration::from_millis(33);

/// The ids by which the two streams of a client are known in its offer.
pub(crate) const CIDS: [(&str, MediaKind); 2] = [("sound", MediaKind::Audio), ("picture", MediaKind::Video)];

pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) room: RoomId,
    pub(crate) tracks: [TrackId; 2],
    pub(crate) sending: Connection,
    pub(crate) receiving: Connection,
    /// Packets of sound and first packets of pictures that came, by sender.
    pub(crate) heard: BTreeMap<ClientId, u64>,
    pub(crate) seen: BTreeMap<ClientId, u64>,
    /// The highest sound of each sender so far, and how often one came that was not higher.
    last_sound: BTreeMap<ClientId, u32>,
    pub(crate) out_of_order: u64,
    /// Pictures whose sender started them with a key frame because we asked.
    key_wanted: bool,
    sounds: u32,
    frames: u32,
    next_sound: Instant,
    next_picture: Instant,
    ssrcs: [u32; 2],
}

/// One peer connection with its ICE checks.
pub(crate) struct Connection {
    pub(crate) id: PeerId,
    pub(crate) peer: Peer,
    pub(crate) path: Path,
    /// The server's ufrag and password, once known.
    remote: Option<(String, String)>,
    /// Our own.
    local: Option<(String, String)>,
    pub(crate) connected: bool,
    pub(crate) connected_times: u32,
    next_check: Instant,
}

impl Connection {
    pub(crate) fn new(
        id: PeerId,
        config: Arc<PeerConfig>,
        addresses: (SocketAddr, SocketAddr),
        random: &mut ChaCha20Rng,
        now: Instant,
    ) -> Connection {
        Connection {
            id,
            peer: Peer::new(config, random.random(), now),
            path: Path { protocol: Protocol::Udp, local: addresses.0, remote: addresses.1 },
            remote: None,
            local: None,
            connected: false,
            connected_times: 0,
            next_check: now,
        }
    }

    /// Reads the server's credentials from its description; checks begin.
    pub(crate) fn learn_remote(&mut self, now: Instant, sdp: &str) {
        self.remote = credentials(sdp);
        self.next_check = now;
    }

    /// Reads our own from ours.
    pub(crate) fn learn_local(&mut self, sdp: &str) {
        self.local = credentials(sdp);
    }

    /// Has a check sent at once.
    pub(crate) fn check_now(&mut self, now: Instant) {
        self.next_check = now;
    }

    /// The datagrams that are due now.
    fn act(&mut self, now: Instant, random: &mut ChaCha20Rng, out: &mut Vec<(Path, Vec<u8>)>) {
        if self.peer.poll_timeout().is_some_and(|at| at <= now) {
            self.peer.handle_timeout(now);
        }
        if let (true, Some((ufrag, password)), Some((own, own_password))) =
            (self.next_check <= now, &self.remote, &self.local)
        {
            out.push((self.path, stun::check(ufrag, own, password, random.random())));
            // Ours is a lite agent too: it takes DTLS only from where a check came from, and the server sends none.
            // The simulated client vouches for the server's path itself; the answer to that goes nowhere.
            let mut vouched = stun::check(own, ufrag, own_password, random.random());
            let path = Path { local: self.path.remote, remote: self.path.local, ..self.path };
            self.peer.handle_datagram(now, path, &mut vouched);
            self.next_check = now + if self.connected { CHECK_SLOW } else { CHECK_FAST };
        }
        while let Some(event) = self.peer.poll_event() {
            if let PeerEvent::Connected(_) = event {
                self.connected = true;
                self.connected_times += 1;
            }
        }
        while let Some((_, datagram)) = self.peer.poll_transmit() {
            if datagram.first().is_some_and(|first| *first > 3) {
                out.push((self.path, datagram));
            }
        }
    }

    fn next(&self) -> Option<Instant> {
        let check = self.remote.is_some().then_some(self.next_check);
        [check, self.peer.poll_timeout()].into_iter().flatten().min()
    }
}

impl Client {
    pub(crate) fn new(
        id: ClientId,
        room: RoomId,
        tracks: [TrackId; 2],
        sending: Connection,
        receiving: Connection,
        now: Instant,
    ) -> Client {
        Client {
            id,
            room,
            tracks,
            sending,
            receiving,
            heard: BTreeMap::new(),
            seen: BTreeMap::new(),
            last_sound: BTreeMap::new(),
            out_of_order: 0,
            key_wanted: true,
            sounds: 0,
            frames: 0,
            next_sound: now,
            next_picture: now,
            ssrcs: [0; 2],
        }
    }

    /// Offers one stream of sound and one of pictures.
    pub(crate) fn offer(&mut self, now: Instant, random: &mut ChaCha20Rng) -> Option<String> {
        for (place, (cid, kind)) in CIDS.into_iter().enumerate() {
            let codec = if kind == MediaKind::Audio { CodecKind::Opus } else { CodecKind::Vp8 };
            self.ssrcs[place] = random.random();
            self.sending.peer.add_sender(SenderSpec {
                id: SenderId(place as u64 + 1),
                kind,
                codecs: vec![codec],
                msid: Msid { stream: "stream".to_owned(), track: cid.to_owned() },
                ssrc: self.ssrcs[place],
                rtx_ssrc: (kind == MediaKind::Video).then(|| random.random()),
                fec_ssrc: None,
            });
        }
        let offer = self.sending.peer.create_offer(now, false).ok()?;
        self.sending.learn_local(&offer);
        Some(offer)
    }

    /// Offers anew, without the pictures.
    pub(crate) fn offer_without_pictures(&mut self, now: Instant) -> Option<String> {
        self.sending.peer.remove_sender(SenderId(2));
        self.sending.peer.create_offer(now, false).ok()
    }

    /// Takes a datagram of the server's on the connection that `local` is bound to.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        let sending = path == self.sending.path;
        let connection = if sending { &mut self.sending } else { &mut self.receiving };
        let path = Path { local: path.remote, remote: path.local, ..path };
        match connection.peer.handle_datagram(now, path, datagram) {
            Received::Rtp { len } if !sending => self.take(&datagram[..len]),
            Received::Rtcp { len } if sending => {
                self.key_wanted |= rtcp::packets(&datagram[..len])
                    .any(|packet| matches!(packet, Ok(rtcp::Rtcp::Pli { .. } | rtcp::Rtcp::Fir(_))));
            }
            _ => {}
        }
    }

    fn take(&mut self, packet: &[u8]) {
        let Some((from, picture, count)) =
            Packet::parse(packet).ok().and_then(|packet| media::read(packet.payload))
        else {
            return;
        };
        if picture {
            *self.seen.entry(from).or_default() += 1;
            return;
        }
        *self.heard.entry(from).or_default() += 1;
        let last = self.last_sound.entry(from).or_default();
        if count <= *last && count != 0 {
            self.out_of_order += 1;
        }
        *last = count.max(*last);
    }

    /// What is due now: checks, handshakes, sound and pictures.
    pub(crate) fn act(&mut self, now: Instant, random: &mut ChaCha20Rng) -> Vec<(Path, Vec<u8>)> {
        let mut out = Vec::new();
        self.sending.act(now, random, &mut out);
        self.receiving.act(now, random, &mut out);
        if self.next_sound <= now {
            self.next_sound += SOUND_EVERY;
            self.send_sound(&mut out);
        }
        if self.next_picture <= now {
            self.next_picture += PICTURE_EVERY;
            self.send_picture(&mut out);
        }
        out
    }

    /// When [`Client::act`] is next due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let media = Some(self.next_sound.min(self.next_picture));
        [media, self.sending.next(), self.receiving.next()].into_iter().flatten().min()
    }

    fn send_sound(&mut self, out: &mut Vec<(Path, Vec<u8>)>) {
        let Some(stream) = self.stream(0) else { return };
        self.sounds += 1;
        let payload = media::sound(self.id, self.sounds);
        self.send(stream, self.sounds as u16, self.sounds.wrapping_mul(960), false, &payload, out);
    }

    fn send_picture(&mut self, out: &mut Vec<(Path, Vec<u8>)>) {
        let key = self.key_wanted;
        for part in 0..PACKETS_PER_FRAME {
            let Some(stream) = self.stream(1) else { return };
            let sequence = (self.frames as u16).wrapping_mul(PACKETS_PER_FRAME).wrapping_add(part);
            let payload = media::picture(self.id, self.frames, part, key);
            let last = part + 1 == PACKETS_PER_FRAME;
            self.send(stream, sequence, self.frames.wrapping_mul(2970), last, &payload, out);
        }
        self.frames += 1;
        self.key_wanted = false;
    }

    /// The stream in the section of our sender number `place + 1`, once it is agreed and there are keys.
    fn stream(&self, place: usize) -> Option<Stream> {
        let sections = self.sending.peer.sections();
        let section = sections.iter().find(|section| section.sender == Some(SenderId(place as u64 + 1)))?;
        let payload_type = section.codecs.first()?.payload_type;
        let (ssrc, mid, extensions) = (self.ssrcs[place], section.mid, section.extensions);
        self.sending.connected.then_some(Stream { ssrc, mid, payload_type, extensions })
    }

    fn send(
        &mut self,
        stream: Stream,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        out: &mut Vec<(Path, Vec<u8>)>,
    ) {
        let fields = HeaderFields {
            marker,
            payload_type: stream.payload_type,
            sequence,
            timestamp,
            ssrc: stream.ssrc,
            ..HeaderFields::default()
        };
        let extensions = Extensions {
            mid: Some(stream.mid),
            audio_level: Some(AudioLevel { voice: true, level: 20 }),
            ..Extensions::default()
        };
        let mut packet = [0; 1400];
        let Ok(len) = write_packet(&mut packet, &fields, &stream.extensions, &extensions, payload) else {
            return;
        };
        if let Some(len) = self.sending.peer.protect_rtp(&mut packet, len) {
            out.push((self.sending.path, packet[..len].to_vec()));
        }
    }
}

/// The first ufrag and password of a description.
fn credentials(sdp: &str) -> Option<(String, String)> {
    let line = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    Some((line("a=ice-ufrag:")?, line("a=ice-pwd:")?))
}
