// SPDX-License-Identifier: EUPL-1.2
//! One client: its signalling, the connection that it sends on, and the one that it receives on.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parvis_peer::Received;
use parvis_peer::sdp::{CodecKind, MediaKind, Msid, SenderId, SenderSpec};
use parvis_rtp::rtcp::{self, Rtcp, Writer};
use parvis_rtp::{Packet, vp8};
use rustc_hash::FxHashMap;

use crate::connection::{Connection, Shared};
use crate::signalling::{Event, Guest, PICTURE, Publication, SOUND, Signalling};
use crate::source::{Audio, Section, Video};
use crate::stamp::{AUDIO_OFFSET, Stamp, VIDEO_OFFSET};
use crate::tally::Tally;
use crate::track::Track;
use crate::{LoadError, Scenario};

const AUDIO: SenderId = SenderId(1);
const VIDEO: SenderId = SenderId(2);
/// Between sender reports, and between receiver reports.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Between requests for a first key frame.
const KEY_FRAME_PATIENCE: Duration = Duration::from_secs(1);
/// Report blocks in a packet: five bits.
const BLOCKS: usize = 31;
const RTCP_BYTES: usize = 1_300;
/// The bit in a packet's first byte that says that padding ends it (RFC 3550 section 5.1).
const PADDED: u8 = 0x20;
/// Between 1 January 1900 and 1970, in seconds.
const NTP_OFFSET: u64 = 2_208_988_800;

/// Which of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Sending,
    Receiving,
}

/// Whether a packet was decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Opened,
    Sealed { padded: bool },
}

/// What runs once a client is on the line.
pub(crate) struct Line {
    pub(crate) begun: Instant,
    pub(crate) signalling: Signalling,
    pub(crate) sending: Option<Connection>,
    pub(crate) receiving: Connection,
}

/// One client.
pub(crate) struct Client {
    pub(crate) guest: Guest,
    pub(crate) sends: bool,
    /// Whether it decrypts what it receives.
    opens: bool,
    pub(crate) line: Option<Line>,
    pub(crate) audio: Option<(Audio, Option<Section>)>,
    pub(crate) video: Option<(Video, Option<Section>)>,
    pub(crate) tracks: FxHashMap<u32, Track>,
    /// Messages in which it was told something about participants.
    pub(crate) told: u64,
    /// Whether the server let it in with streams to receive.
    awaits_streams: bool,
    /// From the beginning until the server welcomed it, until it could send and receive, and until the first media came.
    pub(crate) welcomed: Option<Duration>,
    pub(crate) joined: Option<Duration>,
    pub(crate) first_media: Option<Duration>,
    pub(crate) trouble: Option<String>,
    next_report: Option<Instant>,
    ssrc: u32,
}

impl Client {
    /// The client with this number, in the order of joining: rooms fill in turn, senders last, as they find everyone
    /// there.
    pub(crate) fn new(scenario: &Scenario, run: &str, number: usize) -> Client {
        let (room, place) = (number % scenario.rooms, number / scenario.rooms);
        let sends = place >= scenario.subscribers;
        let receives = !sends || place < scenario.subscribers + scenario.talkers;
        // Sound and up to three layers, with retransmissions' SSRCs in between.
        let ssrc = (number as u32 + 1) * 16;
        let speaks = scenario.speaking == 0 || place - scenario.subscribers.min(place) < scenario.speaking;
        let has_audio = sends && !scenario.no_audio;
        let audio = has_audio.then(|| Audio::new(number as u32, scenario.audio_bitrate, ssrc, speaks));
        let ssrcs: Vec<u32> = (0..scenario.layers as u32).map(|layer| ssrc + 1 + 2 * layer).collect();
        let video = (sends && scenario.video_bitrate > 0)
            .then(|| Video::new(number as u32, scenario.video_bitrate, scenario.fps, &ssrcs));
        let guest =
            Guest { room: format!("load-{run}-{room}"), identity: format!("client-{number}"), receives };
        Client {
            sends,
            opens: (number / scenario.rooms).is_multiple_of(scenario.open_every),
            audio: audio.map(|audio| (audio, None)),
            video: video.map(|video| (video, None)),
            ssrc: ssrc + 15,
            ..Client::idle(guest)
        }
    }

    /// One who is there, ready to receive, and sends nothing.
    pub(crate) fn idle(guest: Guest) -> Client {
        Client {
            guest,
            sends: false,
            opens: true,
            line: None,
            audio: None,
            video: None,
            tracks: FxHashMap::default(),
            told: 0,
            awaits_streams: false,
            welcomed: None,
            joined: None,
            first_media: None,
            trouble: None,
            next_report: None,
            ssrc: 15,
        }
    }

    /// Its connection for signalling is open.
    pub(crate) fn begin(
        &mut self,
        shared: &Shared,
        begun: Instant,
        signalling: Signalling,
    ) -> Result<(), LoadError> {
        let now = Instant::now();
        let sending = if self.sends { Some(Connection::new(shared, now)?) } else { None };
        self.line = Some(Line { begun, signalling, sending, receiving: Connection::new(shared, now)? });
        Ok(())
    }

    /// Reads what the server says.
    pub(crate) fn listen(&mut self, now: Instant) {
        loop {
            let Some(line) = &mut self.line else { return };
            let handled = match line.signalling.receive() {
                Ok(Some(event)) => self.on_event(now, event),
                Ok(None) => return,
                Err(error) => Err(format!("signalling: {error}")),
            };
            if let Err(trouble) = handled {
                self.trouble.get_or_insert(trouble);
                return;
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) -> Result<(), String> {
        match event {
            Event::Welcome { receives } => {
                self.welcomed = self.line.as_ref().map(|line| now.duration_since(line.begun));
                self.awaits_streams = self.guest.receives && receives;
                if self.sends { self.publish(now) } else { Ok(()) }
            }
            Event::Told => {
                self.told += 1;
                Ok(())
            }
            Event::Offer { id, sdp } => {
                let Some(line) = &mut self.line else { return Ok(()) };
                let connection = &mut line.receiving;
                let answer =
                    connection.peer.accept_offer(now, &sdp).map_err(|error| format!("the offer: {error}"))?;
                connection.settle(now, &answer, &sdp).map_err(|error| error.to_string())?;
                line.signalling.answer(id, answer)
            }
            Event::Answer { sdp } => self.on_answer(now, &sdp),
        }
    }

    fn publish(&mut self, now: Instant) -> Result<(), String> {
        let Some(Line { sending: Some(connection), signalling, .. }) = &mut self.line else { return Ok(()) };
        let spec = |id, kind, codec, track: &str, ssrc, rtx_ssrc| SenderSpec {
            id,
            kind,
            codecs: vec![codec],
            msid: Msid { stream: "stream".to_owned(), track: track.to_owned() },
            ssrc,
            rtx_ssrc,
            fec_ssrc: None,
        };
        if let Some((audio, _)) = &self.audio {
            let ssrc = audio.stream.ssrc;
            connection.peer.add_sender(spec(AUDIO, MediaKind::Audio, CodecKind::Opus, SOUND, ssrc, None));
        }
        let video = self.video.as_ref().map(|(video, _)| video);
        if let Some(lowest) = video.and_then(|video| video.layers.first()) {
            let ssrc = lowest.stream.ssrc;
            let sender = spec(VIDEO, MediaKind::Video, CodecKind::Vp8, PICTURE, ssrc, Some(ssrc + 1));
            connection.peer.add_sender(sender);
        }
        let offer =
            connection.peer.create_offer(now, false).map_err(|error| format!("our offer: {error}"))?;
        let publication = Publication { offer: &offer, sound: self.audio.is_some(), video };
        signalling.publish(&publication)?;
        connection.offered = offer;
        Ok(())
    }

    fn on_answer(&mut self, now: Instant, sdp: &str) -> Result<(), String> {
        let Some(Line { sending: Some(connection), .. }) = &mut self.line else { return Ok(()) };
        connection.peer.accept_answer(now, sdp).map_err(|error| format!("the answer: {error}"))?;
        let own = std::mem::take(&mut connection.offered);
        connection.settle(now, &own, sdp).map_err(|error| error.to_string())?;
        if let Some((_, section)) = &mut self.audio {
            *section = connection.section(AUDIO);
        }
        if let Some((_, section)) = &mut self.video {
            *section = connection.section(VIDEO);
        }
        Ok(())
    }

    /// Whether it can send and receive as it should.
    fn is_ready(&self) -> bool {
        let Some(line) = &self.line else { return false };
        let sends = line.sending.as_ref().is_none_or(|sending| sending.connected);
        self.welcomed.is_some() && sends && (!self.awaits_streams || line.receiving.connected)
    }

    /// What it still waits for, for someone who wonders why it does not join.
    pub(crate) fn waits_for(&self) -> String {
        let Some(line) = &self.line else { return "the server's answer to its request to join".to_owned() };
        if let Some(trouble) = &self.trouble {
            return format!("nothing any more: {trouble}");
        }
        let side = |name: &str, connection: &Connection| match (&connection.failed, connection.connected) {
            (Some(failed), _) => format!("its {name} connection failed: {failed}"),
            (None, false) => format!("its {name} connection ({})", connection.stage()),
            (None, true) => String::new(),
        };
        let sending = line.sending.as_ref().map(|sending| side("sending", sending)).unwrap_or_default();
        match (self.welcomed, sending.is_empty()) {
            (None, _) => "being let in".to_owned(),
            (Some(_), true) => side("receiving", &line.receiving),
            (Some(_), false) => sending,
        }
    }

    /// Takes a datagram of the server's.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        side: Side,
        from: SocketAddr,
        datagram: &mut [u8],
        tally: &mut Tally,
    ) {
        let Some(line) = &mut self.line else { return };
        let connection = match (side, &mut line.sending) {
            (Side::Sending, Some(sending)) => sending,
            _ => &mut line.receiving,
        };
        let opened = match *datagram {
            [128..=191, second, ..] if !self.opens && side == Side::Receiving => {
                (192..=223).contains(&second)
            }
            _ => true,
        };
        if !opened {
            // How much of it is padding stands at its end, still encrypted: what has any is taken for padding alone.
            let padded = datagram[0] & PADDED != 0;
            datagram[0] &= !PADDED;
            return self.on_rtp(now, datagram, Form::Sealed { padded }, tally);
        }
        match connection.handle_datagram(now, from, datagram) {
            Received::Rtp { len } => self.on_rtp(now, &datagram[..len], Form::Opened, tally),
            Received::Rtcp { len } => self.on_rtcp(now, &datagram[..len]),
            Received::Dropped(reason) => {
                tally.dropped += 1;
                self.trouble.get_or_insert_with(|| format!("a datagram was refused: {reason:?}"));
            }
            Received::Handled => {}
        }
    }

    fn on_rtp(&mut self, now: Instant, bytes: &[u8], form: Form, tally: &mut Tally) {
        let (Some(line), Ok(packet)) = (&mut self.line, Packet::parse(bytes)) else { return };
        let connection = &mut line.receiving;
        let formats = &connection.formats;
        let extensions = packet.extensions(&formats.extensions);
        if let Some(number) = extensions.transport_sequence {
            connection.feedback.on_packet(now, number);
        }
        let payload_type = usize::from(packet.payload_type);
        if formats.retransmission[payload_type] {
            tally.retransmissions += 1;
            return;
        }
        let video = formats.video[payload_type];
        let track = self.tracks.entry(packet.ssrc).or_insert_with(|| Track::new(video));
        track.on_packet(packet.sequence);
        let padding = match form {
            Form::Opened => packet.payload.is_empty(),
            Form::Sealed { padded } => padded,
        };
        if padding {
            tally.padding += 1;
            return;
        }
        if self.first_media.is_none() {
            self.first_media = Some(now.duration_since(line.begun));
        }
        tally.on_media(bytes.len(), video);
        if form != Form::Opened {
            track.key_seen = true;
            return;
        }
        let offset = if video {
            let Ok(descriptor) = vp8::Descriptor::parse(packet.payload) else { return };
            track.key_seen |= descriptor.is_keyframe(packet.payload);
            descriptor.len + VIDEO_OFFSET
        } else {
            AUDIO_OFFSET
        };
        match packet.payload.get(offset..).and_then(Stamp::read) {
            Some(stamp) => {
                track.on_stamp(now, &stamp);
                tally.on_stamp(now, &stamp, video);
            }
            None => tally.unstamped += 1,
        }
    }

    fn on_rtcp(&mut self, now: Instant, bytes: &[u8]) {
        for packet in rtcp::packets(bytes).map_while(Result::ok) {
            match (packet, &mut self.video) {
                (Rtcp::Pli { media_ssrc, .. }, Some((video, _))) => video.want_key_frame(media_ssrc),
                (Rtcp::Fir(fir), Some((video, _))) => {
                    fir.entries().for_each(|entry| video.want_key_frame(entry.ssrc));
                }
                (Rtcp::SenderReport(report), _) => {
                    if let Some(track) = self.tracks.get_mut(&report.ssrc) {
                        track.on_sender_report(now, report.info.ntp);
                    }
                }
                _ => {}
            }
        }
    }

    /// Does what is due besides media. Says whether the client became ready just now.
    pub(crate) fn act(&mut self, now: Instant) -> bool {
        let Some(line) = &mut self.line else { return false };
        if let Err(error) = line.signalling.flush() {
            self.trouble.get_or_insert_with(|| format!("signalling: {error}"));
        }
        for connection in line.sending.iter_mut().chain([&mut line.receiving]) {
            connection.act(now);
            if let Some(failed) = &connection.failed {
                self.trouble.get_or_insert_with(|| format!("its connection failed: {failed}"));
            }
        }
        if line.receiving.connected {
            self.give_feedback(now);
            if self.next_report.is_none_or(|at| at <= now) {
                self.next_report = Some(now + REPORT_EVERY);
                self.report(now);
            }
        } else if self.next_report.is_none_or(|at| at <= now) {
            self.next_report = Some(now + REPORT_EVERY);
            self.report_sent();
        }
        let begun = self.line.as_ref().map(|line| line.begun);
        if let (None, true, Some(begun)) = (self.joined, self.is_ready(), begun) {
            self.joined = Some(now.duration_since(begun));
            return true;
        }
        false
    }

    /// Says that it is there, as SDKs do.
    pub(crate) fn ping(&mut self) {
        let Some(line) = &mut self.line else { return };
        if let Err(error) = line.signalling.ping() {
            self.trouble.get_or_insert_with(|| format!("signalling: {error}"));
        }
    }

    /// Says farewell and closes its sockets.
    pub(crate) fn leave(&mut self, now: Instant) -> Result<(), String> {
        // What is unread would turn the end of the connection into its loss.
        self.listen(now);
        let Some(mut line) = self.line.take() else { return Ok(()) };
        line.signalling.leave()
    }

    fn give_feedback(&mut self, now: Instant) {
        let Some(Line { receiving, .. }) = &mut self.line else { return };
        let media = self.tracks.keys().next().copied().unwrap_or_default();
        let mut buf = [0; RTCP_BYTES];
        let room = RTCP_BYTES - 64;
        while let Some(len) = receiving.feedback.write_feedback(now, self.ssrc, media, &mut buf[..room]) {
            receiving.send_rtcp(&mut buf, len);
        }
    }

    /// Sender reports on one connection, receiver reports and requests for first key frames on the other.
    fn report(&mut self, now: Instant) {
        self.report_sent();
        let Some(Line { receiving, .. }) = &mut self.line else { return };
        let blocks: Vec<_> =
            self.tracks.iter_mut().filter_map(|(ssrc, track)| track.report(now, *ssrc)).collect();
        for blocks in blocks.chunks(BLOCKS) {
            let mut buf = [0; RTCP_BYTES];
            let mut writer = Writer::new(&mut buf);
            if writer.receiver_report(self.ssrc, blocks).is_ok() {
                let len = writer.len();
                receiving.send_rtcp(&mut buf, len);
            }
        }
        for (ssrc, track) in &mut self.tracks {
            let due = track.key_asked.is_none_or(|at| now.duration_since(at) >= KEY_FRAME_PATIENCE);
            if track.video && !track.key_seen && due {
                track.key_asked = Some(now);
                let mut buf = [0; 64];
                let mut writer = Writer::new(&mut buf);
                if writer.pli(self.ssrc, *ssrc).is_ok() {
                    let len = writer.len();
                    receiving.send_rtcp(&mut buf, len);
                }
            }
        }
    }

    fn report_sent(&mut self) {
        let Some(Line { sending: Some(sending), .. }) = &mut self.line else { return };
        if !sending.connected {
            return;
        }
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ntp = ((since_1970.as_secs() + NTP_OFFSET) << 32)
            | (u64::from(since_1970.subsec_nanos()) * (1 << 32) / 1_000_000_000);
        let mut buf = [0; RTCP_BYTES];
        let mut writer = Writer::new(&mut buf);
        if let Some((audio, _)) = &self.audio {
            audio.stream.report(ntp, &mut writer);
        }
        for layer in self.video.iter().flat_map(|(video, _)| &video.layers) {
            layer.stream.report(ntp, &mut writer);
        }
        let len = writer.len();
        if len > 0 {
            sending.send_rtcp(&mut buf, len);
        }
    }
}
