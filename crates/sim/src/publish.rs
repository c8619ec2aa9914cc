// SPDX-License-Identifier: EUPL-1.2
//! What a client sends: sound, pictures in three layers, retransmissions, sender reports.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use parvis_peer::Path;
use parvis_rtp::rtcp::{self, Rtcp, SenderInfo, Writer};
use parvis_rtp::{AudioLevel, ExtensionMap, Extensions, HeaderFields, Mid, Rid, write_packet};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::ClientId;
use crate::client::track_cid;
use crate::media::{self, Encoder, LAYERS};
use crate::sdp::{Kind, Offered, Remote};
use crate::transport::Connection;

const SOUND_EVERY: Duration = Duration::from_millis(20);
const PICTURE_EVERY: Duration = Duration::from_millis(33);
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Packets of one layer kept for retransmission: a second and a half of the lowest, half of one of the highest.
const KEPT: usize = 48;

pub(crate) struct Publishing {
    id: ClientId,
    /// The server's names for its tracks, by its own.
    pub(crate) sids: BTreeMap<String, String>,
    begin: Instant,
    /// What was agreed for sound and for pictures.
    sections: [Option<Section>; 2],
    sound: Stream,
    layers: Vec<Layer>,
    next_sound: Instant,
    next_picture: Instant,
    next_report: Instant,
    transport_sequence: u16,
    resend: Vec<(usize, u16)>,
    /// It sends this many times of what it should: 1 for honest clients.
    pub(crate) greed: u32,
    /// Whether its encoder stops layers that nobody wants (dynacast).
    obeys: bool,
}

struct Section {
    mid: Mid,
    extensions: ExtensionMap,
    payload_type: u8,
    rtx: Option<u8>,
}

#[derive(Default)]
struct Stream {
    ssrc: u32,
    sequence: u16,
    base: u32,
    packets: u32,
    octets: u32,
}

struct Layer {
    encoder: Encoder,
    /// It is encoded.
    on: bool,
    stream: Stream,
    rtx: Stream,
    kept: VecDeque<(u16, u32, bool, Vec<u8>)>,
}

impl Stream {
    fn new(random: &mut ChaCha8Rng) -> Stream {
        let [ssrc, base] = random.random();
        Stream { ssrc, sequence: random.random(), base, packets: 0, octets: 0 }
    }
}

impl Publishing {
    pub(crate) fn new(id: ClientId, random: &mut ChaCha8Rng, now: Instant) -> Publishing {
        let layers = (0..LAYERS.len()).map(|layer| Layer {
            encoder: Encoder::new(layer as u8, random.random()),
            on: true,
            stream: Stream::new(random),
            rtx: Stream::new(random),
            kept: VecDeque::new(),
        });
        let layers = layers.collect();
        Publishing {
            id,
            sids: BTreeMap::new(),
            begin: now,
            sections: [None, None],
            sound: Stream::new(random),
            layers,
            next_sound: now,
            next_picture: now,
            next_report: now + REPORT_EVERY,
            transport_sequence: 0,
            resend: Vec::new(),
            greed: 1,
            obeys: random.random_bool(0.7),
        }
    }

    /// Reads in the server's answer what it takes.
    pub(crate) fn learn(&mut self, remote: &Remote, offered: &[Offered]) {
        for (section, offered) in remote.sections.iter().zip(offered) {
            let place = match offered.kind {
                Kind::Audio => 0,
                Kind::Video => 1,
                Kind::Data => continue,
            };
            let (Some(_), Some(payload_type), Some(mid)) =
                (&offered.sends, section.payload_type, Mid::new(&section.mid))
            else {
                continue;
            };
            let rtx = section.rtx.iter().find(|(_, media)| *media == payload_type).map(|(rtx, _)| *rtx);
            let agreed = Section { mid, extensions: section.extensions, payload_type, rtx };
            self.sections[place] = (section.live && section.receives).then_some(agreed);
        }
    }

    /// The server says which layers are wanted. One that begins anew does so with a key frame.
    pub(crate) fn obey(&mut self, update: &proto::SubscribedQualityUpdate) {
        let camera = track_cid(self.id, "cam");
        if !self.obeys || self.sids.get(&camera) != Some(&update.track_sid) {
            return;
        }
        let codec = update.subscribed_codecs.iter().find(|codec| codec.codec.eq_ignore_ascii_case("vp8"));
        for wanted in codec.iter().flat_map(|codec| &codec.qualities) {
            let Some(layer) = usize::try_from(wanted.quality).ok().and_then(|at| self.layers.get_mut(at))
            else {
                continue;
            };
            layer.encoder.key_wanted |= wanted.enabled && !layer.on;
            layer.on = wanted.enabled;
        }
    }

    /// Whether its encoder stopped a layer.
    pub(crate) fn saves(&self) -> bool {
        self.layers.iter().any(|layer| !layer.on)
    }

    /// Feedback of the server's.
    pub(crate) fn rtcp(&mut self, compound: &[u8]) {
        for packet in rtcp::packets(compound).map_while(Result::ok) {
            match packet {
                Rtcp::Pli { media_ssrc, .. } => self.want_key(media_ssrc),
                Rtcp::Fir(fir) => fir.entries().for_each(|entry| self.want_key(entry.ssrc)),
                Rtcp::Nack(nack) => {
                    let layer = self.layers.iter().position(|layer| layer.stream.ssrc == nack.media_ssrc);
                    if let Some(layer) = layer {
                        self.resend.extend(nack.sequences().map(|sequence| (layer, sequence)));
                    }
                }
                _ => {}
            }
        }
    }

    pub(crate) fn next(&self) -> Instant {
        self.next_sound.min(self.next_picture)
    }

    pub(crate) fn act(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        muted: bool,
        camera: bool,
        out: &mut Vec<(Path, Vec<u8>)>,
    ) {
        if self.next_sound <= now {
            self.next_sound = now + SOUND_EVERY;
            for _ in 0..self.greed {
                self.send_sound(connection, muted, out);
            }
        }
        if self.next_picture <= now {
            self.next_picture = now + PICTURE_EVERY;
            if camera && !muted && connection.is_up() && self.sections[1].is_some() {
                for _ in 0..self.greed {
                    self.send_picture(now, connection, out);
                }
            }
        }
        for (layer, sequence) in std::mem::take(&mut self.resend) {
            self.send_again(layer, sequence, connection, out);
        }
        if self.next_report <= now {
            self.next_report = now + REPORT_EVERY;
            self.report(now, connection, out);
        }
    }

    fn want_key(&mut self, ssrc: u32) {
        for layer in self.layers.iter_mut().filter(|layer| layer.stream.ssrc == ssrc) {
            layer.encoder.key_wanted = true;
        }
    }

    fn send_sound(&mut self, connection: &mut Connection, muted: bool, out: &mut Vec<(Path, Vec<u8>)>) {
        let Some(section) = self.sections[0].as_ref().filter(|_| !muted && connection.is_up()) else {
            return;
        };
        let stream = &mut self.sound;
        stream.packets += 1;
        let payload = media::sound(self.id.0, stream.packets);
        let timestamp = stream.base.wrapping_add(stream.packets.wrapping_mul(960));
        let extensions = Extensions {
            audio_level: Some(AudioLevel { voice: true, level: 20 }),
            transport_sequence: Some(next(&mut self.transport_sequence)),
            ..Extensions::default()
        };
        let packet = (section.payload_type, timestamp, false, extensions);
        send(connection, section, stream, packet, &payload, out);
    }

    fn send_picture(&mut self, now: Instant, connection: &mut Connection, out: &mut Vec<(Path, Vec<u8>)>) {
        let Some(section) = &self.sections[1] else { return };
        let ticks = (now.duration_since(self.begin).as_micros() * 9 / 100) as u32;
        for (layer, rid) in self.layers.iter_mut().zip(LAYERS).filter(|(layer, _)| layer.on) {
            let payloads = layer.encoder.frame(self.id.0);
            let last = payloads.len() - 1;
            for (place, payload) in payloads.into_iter().enumerate() {
                let extensions = Extensions {
                    rid: Rid::new(rid),
                    transport_sequence: Some(next(&mut self.transport_sequence)),
                    ..Extensions::default()
                };
                let timestamp = layer.stream.base.wrapping_add(ticks);
                let sequence = layer.stream.sequence;
                let packet = (section.payload_type, timestamp, place == last, extensions);
                layer.stream.packets += 1;
                layer.stream.octets += payload.len() as u32;
                send(connection, section, &mut layer.stream, packet, &payload, out);
                layer.kept.push_back((sequence, timestamp, place == last, payload));
                if layer.kept.len() > KEPT {
                    layer.kept.pop_front();
                }
            }
        }
    }

    fn send_again(
        &mut self,
        layer: usize,
        sequence: u16,
        connection: &mut Connection,
        out: &mut Vec<(Path, Vec<u8>)>,
    ) {
        let Some(section) = &self.sections[1] else { return };
        let (layer, rid) = (&mut self.layers[layer], LAYERS[layer]);
        let kept = layer.kept.iter().find(|kept| kept.0 == sequence);
        let (Some((_, timestamp, marker, payload)), Some(rtx)) = (kept, section.rtx) else { return };
        let extensions = Extensions {
            repaired_rid: Rid::new(rid),
            transport_sequence: Some(next(&mut self.transport_sequence)),
            ..Extensions::default()
        };
        let body = [&sequence.to_be_bytes()[..], payload].concat();
        send(connection, section, &mut layer.rtx, (rtx, *timestamp, *marker, extensions), &body, out);
    }

    fn report(&mut self, now: Instant, connection: &mut Connection, out: &mut Vec<(Path, Vec<u8>)>) {
        let passed = now.duration_since(self.begin);
        let ntp = (3_900_000_000_u64 << 32)
            + (passed.as_secs() << 32)
            + (u64::from(passed.subsec_nanos()) << 32) / 1_000_000_000;
        let ticks = (passed.as_micros() * 9 / 100) as u32;
        let mut buf = [0; 512];
        let mut writer = Writer::new(&mut buf);
        for layer in self.layers.iter().filter(|layer| layer.stream.packets > 0) {
            let (packets, octets) = (layer.stream.packets, layer.stream.octets);
            let rtp_timestamp = layer.stream.base.wrapping_add(ticks);
            let info = SenderInfo { ntp, rtp_timestamp, packets, octets };
            let _ = writer.sender_report(layer.stream.ssrc, &info, &[]);
        }
        let len = writer.len();
        if len > 0
            && let Some(len) = connection.protect(&mut buf, len, true)
        {
            out.push((connection.path, buf[..len].to_vec()));
        }
    }
}

fn next(number: &mut u16) -> u16 {
    *number = number.wrapping_add(1);
    *number
}

fn send(
    connection: &mut Connection,
    section: &Section,
    stream: &mut Stream,
    (payload_type, timestamp, marker, extensions): (u8, u32, bool, Extensions<'_>),
    payload: &[u8],
    out: &mut Vec<(Path, Vec<u8>)>,
) {
    let sequence = stream.sequence;
    stream.sequence = sequence.wrapping_add(1);
    let fields = HeaderFields {
        marker,
        payload_type,
        sequence,
        timestamp,
        ssrc: stream.ssrc,
        ..HeaderFields::default()
    };
    let extensions = Extensions { mid: Some(section.mid), ..extensions };
    let mut packet = vec![0; payload.len() + 128];
    let written = write_packet(&mut packet, &fields, &section.extensions, &extensions, payload);
    if let Some(len) = written.ok().and_then(|len| connection.protect(&mut packet, len, false)) {
        packet.truncate(len);
        out.push((connection.path, packet));
    }
}
