// SPDX-License-Identifier: EUPL-1.2
//! What a client sends: sound, pictures in three layers, retransmissions, sender reports.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use parvis_peer::Path;
use parvis_rtp::rtcp::{self, Rtcp, SenderInfo, Writer};
use parvis_rtp::{AudioLevel, ExtensionMap, Extensions, HeaderFields, Mid, Rid, red, write_packet};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::ClientId;
use crate::client::{Pictures, Profile, Sound, track_cid};
use crate::media::{self, Encoder, LAYERS, PICTURE_BYTES, SOUND_BYTES};
use crate::sdp::{Kind, Offered, Remote};
use crate::svc::{self, SvcEncoder, SvcPacket};
use crate::transport::Connection;

const SOUND_EVERY: Duration = Duration::from_millis(20);
/// What a packet of sound adds to the timestamp.
const SOUND_TICKS: u32 = 960;
/// Who sends discontinuously speaks for so long, and is silent for as long …
pub(crate) const SPEECH: Duration = Duration::from_secs(2);
/// … with a packet each 400 ms, as Opus has it (RFC 6716 section 2.1.9).
pub(crate) const SILENT_EVERY: Duration = Duration::from_millis(400);
const PICTURE_EVERY: Duration = Duration::from_millis(33);
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// On a narrow line pictures come so many times less often.
const SELDOMER: [u32; 5] = [1, 2, 4, 8, 16];
/// Bits of a packet on the line beside its payload: RTP with its extensions, the tag, UDP and IP.
const PACKET_BITS: u64 = (12 + 28 + 16 + 28) * 8;
/// Packets of one stream kept for retransmission: a second and a half of the lowest layer, half of one of the highest; where
/// they share a stream, a second of all.
const KEPT: usize = 48;
const KEPT_LAYERED: usize = 192;
/// Packets of invented streams beside each packet of sound.
const INVENTED: usize = 4;

pub(crate) struct Publishing {
    id: ClientId,
    /// The server's names for its tracks, by its own.
    pub(crate) sids: BTreeMap<String, String>,
    begin: Instant,
    /// What was agreed for sound and for pictures.
    sections: [Option<Section>; 2],
    sound: Stream,
    form: Sound,
    /// The place in time of the next packet of sound, in packets.
    sound_time: u32,
    /// The last packet of sound, and its place.
    last_sound: Option<(u32, Vec<u8>)>,
    /// The encoder of all sizes in one stream, which is the lowest layer's.
    svc: Option<SvcEncoder>,
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
    /// Whether its encoder makes no more than its line carries.
    adapts: bool,
    /// It sends packets of streams that nobody announced.
    pub(crate) invents: bool,
    /// How many.
    invented: u32,
    /// So many layers fit its line, lowest first, and pictures so often.
    fitting: usize,
    picture_every: Duration,
}

struct Section {
    mid: Mid,
    extensions: ExtensionMap,
    payload_type: u8,
    red: Option<u8>,
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
    kept: VecDeque<Kept>,
}

/// A packet that may be asked for again.
struct Kept {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    descriptor: Vec<u8>,
    payload: Vec<u8>,
}

impl Stream {
    fn new(random: &mut ChaCha8Rng) -> Stream {
        let [ssrc, base] = random.random();
        Stream { ssrc, sequence: random.random(), base, packets: 0, octets: 0 }
    }
}

impl Publishing {
    pub(crate) fn new(id: ClientId, profile: Profile, random: &mut ChaCha8Rng, now: Instant) -> Publishing {
        let layers = (0..LAYERS.len()).map(|layer| Layer {
            encoder: Encoder::new(layer as u8, random.random()),
            on: true,
            stream: Stream::new(random),
            rtx: Stream::new(random),
            kept: VecDeque::new(),
        });
        let layers = layers.collect();
        let svc = (profile.pictures == Pictures::Layers).then(|| SvcEncoder::new(id.0 << 12));
        Publishing {
            id,
            sids: BTreeMap::new(),
            begin: now,
            sections: [None, None],
            sound: Stream::new(random),
            form: profile.sound,
            sound_time: 0,
            last_sound: None,
            svc,
            layers,
            next_sound: now,
            next_picture: now,
            next_report: now + REPORT_EVERY,
            transport_sequence: 0,
            resend: Vec::new(),
            greed: 1,
            obeys: random.random_bool(0.7),
            adapts: random.random_bool(0.8),
            invents: false,
            invented: 0,
            fitting: LAYERS.len(),
            picture_every: PICTURE_EVERY,
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
            let agreed = Section { mid, extensions: section.extensions, payload_type, red: section.red, rtx };
            self.sections[place] = (section.live && section.receives).then_some(agreed);
        }
    }

    /// Its line up carries so many bits a second. An encoder that adapts leaves a quarter of them free, as one does that follows
    /// an estimate: it sends the layers that fit, and seldomer where not even the lowest does.
    pub(crate) fn fit(&mut self, rate: Option<u64>) {
        let rate = rate.filter(|_| self.adapts);
        let budget = rate.map_or(u64::MAX, |rate| (rate / 4 * 3).saturating_sub(sound_bits(self.form)));
        let most = if self.svc.is_some() { 1 } else { LAYERS.len() };
        let fitting = (1..=most).rev().find(|layers| self.picture_bits(*layers) <= budget).unwrap_or(1);
        for layer in self.layers.iter_mut().take(fitting).skip(self.fitting) {
            layer.encoder.key_wanted = true;
        }
        let bits = self.picture_bits(fitting);
        let seldomer = SELDOMER.into_iter().find(|times| bits / u64::from(*times) <= budget);
        self.fitting = fitting;
        self.picture_every = PICTURE_EVERY * seldomer.unwrap_or(SELDOMER[SELDOMER.len() - 1]);
    }

    /// Whether what it sends, with a camera or without, fits a line of so many bits a second.
    pub(crate) fn fits(&self, rate: Option<u64>, camera: bool) -> bool {
        rate.is_none_or(|rate| self.adapts || !camera && sound_bits(self.form) <= rate / 4 * 3)
    }

    /// How much longer it takes from picture to picture than on a line without a limit.
    pub(crate) fn slower(&self) -> Duration {
        self.picture_every - PICTURE_EVERY
    }

    /// Bits a second of pictures in so many layers, as often as they come without a limit.
    fn picture_bits(&self, layers: usize) -> u64 {
        let packets =
            if self.svc.is_some() { svc::packets_per_picture() } else { media::packets_per_picture(layers) };
        packets as u64 * lowest_layer_bits()
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

    /// When [`Publishing::act`] is due for one who has a camera or none.
    pub(crate) fn next(&self, camera: bool) -> Instant {
        if camera { self.next_sound.min(self.next_picture) } else { self.next_sound }
    }

    /// Whether it was asked for packets that it has yet to send again.
    pub(crate) fn has_to_resend(&self) -> bool {
        !self.resend.is_empty()
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
                self.send_sound(now, connection, muted, out);
            }
            if self.invents && connection.is_up() {
                self.invent(connection, out);
            }
        }
        if self.next_picture <= now {
            self.next_picture = now + self.picture_every;
            if camera && !muted && connection.is_up() && self.sections[1].is_some() {
                for _ in 0..self.greed {
                    match self.svc {
                        Some(_) => self.send_layers(now, connection, out),
                        None => self.send_picture(now, connection, out),
                    }
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

    /// The SSRCs of its sound, of its layers, and of their retransmissions.
    pub(crate) fn ssrcs(&self) -> Vec<u32> {
        let layers = self.layers.iter().flat_map(|layer| [layer.stream.ssrc, layer.rtx.ssrc]);
        std::iter::once(self.sound.ssrc).chain(layers).collect()
    }

    /// Sends under these SSRCs from now on, in the order of [`Publishing::ssrcs`].
    pub(crate) fn take_ssrcs(&mut self, ssrcs: &[u32]) {
        let layers = self.layers.iter_mut().flat_map(|layer| [&mut layer.stream, &mut layer.rtx]);
        for (stream, ssrc) in std::iter::once(&mut self.sound).chain(layers).zip(ssrcs) {
            stream.ssrc = *ssrc;
        }
    }

    /// Packets of streams that never were before: one in its section of sound, one in that of pictures under a RID of its own, and
    /// two that belong to no section, as long as its own end of SRTP knows so many.
    fn invent(&mut self, connection: &mut Connection, out: &mut Vec<(Path, Vec<u8>)>) {
        let nowhere = Mid::new("77");
        for place in 0..INVENTED {
            let Some(agreed) = self.sections[place % 2].as_ref() else { continue };
            self.invented += 1;
            let mid = nowhere.filter(|_| place > 1).unwrap_or(agreed.mid);
            let section = Section { mid, red: None, rtx: None, ..*agreed };
            // A step of the golden ratio: none comes twice.
            let ssrc = self.sound.base.wrapping_add(self.invented.wrapping_mul(0x9e37_79b9));
            let mut stream = Stream { ssrc, sequence: self.invented as u16, ..Stream::default() };
            let name = format!("r{}", self.invented);
            let extensions = Extensions {
                rid: Rid::new(&name).filter(|_| place % 2 == 1),
                transport_sequence: Some(next(&mut self.transport_sequence)),
                ..Extensions::default()
            };
            let packet = (section.payload_type, self.invented, true, extensions);
            send(connection, &section, &mut stream, packet, &[0x55; SOUND_BYTES], out);
        }
    }

    fn want_key(&mut self, ssrc: u32) {
        for layer in self.layers.iter_mut().filter(|layer| layer.stream.ssrc == ssrc) {
            layer.encoder.key_wanted = true;
            self.svc.iter_mut().for_each(|svc| svc.key_wanted = true);
        }
    }

    fn send_sound(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        muted: bool,
        out: &mut Vec<(Path, Vec<u8>)>,
    ) {
        let Some(section) = self.sections[0].as_ref().filter(|_| !muted && connection.is_up()) else {
            return;
        };
        let passed = now.duration_since(self.begin);
        let silent = self.form == Sound::Discontinuous && passed.as_secs() / SPEECH.as_secs() % 2 == 1;
        let time = self.sound_time;
        self.sound_time += 1;
        if silent && passed.as_millis() % SILENT_EVERY.as_millis() >= SOUND_EVERY.as_millis() {
            return;
        }
        let stream = &mut self.sound;
        stream.packets += 1;
        let sound = media::sound(self.id.0, stream.packets);
        let redundant = section.red.filter(|_| self.form == Sound::Redundant);
        let (payload_type, payload) = match redundant {
            None => (section.payload_type, sound),
            Some(red) => {
                let earlier = self.last_sound.replace((time, sound.clone()));
                (red, with_earlier(section.payload_type, time, earlier, &sound))
            }
        };
        let timestamp = stream.base.wrapping_add(time.wrapping_mul(SOUND_TICKS));
        let level = if silent { 127 } else { 20 };
        let extensions = Extensions {
            audio_level: Some(AudioLevel { voice: !silent, level }),
            transport_sequence: Some(next(&mut self.transport_sequence)),
            ..Extensions::default()
        };
        let packet = (payload_type, timestamp, false, extensions);
        send(connection, section, stream, packet, &payload, out);
    }

    fn send_picture(&mut self, now: Instant, connection: &mut Connection, out: &mut Vec<(Path, Vec<u8>)>) {
        let Some(section) = &self.sections[1] else { return };
        let ticks = (now.duration_since(self.begin).as_micros() * 9 / 100) as u32;
        let fitting = self.layers.iter_mut().zip(LAYERS).take(self.fitting);
        for (layer, rid) in fitting.filter(|(layer, _)| layer.on) {
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
                let marker = place == last;
                layer.kept.push_back(Kept { sequence, timestamp, marker, descriptor: Vec::new(), payload });
                if layer.kept.len() > KEPT {
                    layer.kept.pop_front();
                }
            }
        }
    }

    /// A picture in all its sizes, in one stream.
    fn send_layers(&mut self, now: Instant, connection: &mut Connection, out: &mut Vec<(Path, Vec<u8>)>) {
        let (Some(section), Some(svc)) = (&self.sections[1], &mut self.svc) else { return };
        let Some(layer) = self.layers.first_mut() else { return };
        let ticks = (now.duration_since(self.begin).as_micros() * 9 / 100) as u32;
        let timestamp = layer.stream.base.wrapping_add(ticks);
        for SvcPacket { descriptor, payload, last } in svc.picture(self.id.0) {
            let extensions = Extensions {
                transport_sequence: Some(next(&mut self.transport_sequence)),
                dependency_descriptor: Some(&descriptor[..]),
                ..Extensions::default()
            };
            let sequence = layer.stream.sequence;
            let packet = (section.payload_type, timestamp, last, extensions);
            layer.stream.packets += 1;
            layer.stream.octets += payload.len() as u32;
            send(connection, section, &mut layer.stream, packet, &payload, out);
            layer.kept.push_back(Kept { sequence, timestamp, marker: last, descriptor, payload });
            if layer.kept.len() > KEPT_LAYERED {
                layer.kept.pop_front();
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
        let kept = layer.kept.iter().find(|kept| kept.sequence == sequence);
        let (Some(kept), Some(rtx)) = (kept, section.rtx) else { return };
        let extensions = Extensions {
            repaired_rid: if self.svc.is_some() { None } else { Rid::new(rid) },
            transport_sequence: Some(next(&mut self.transport_sequence)),
            dependency_descriptor: (!kept.descriptor.is_empty()).then_some(&kept.descriptor[..]),
            ..Extensions::default()
        };
        let body = [&sequence.to_be_bytes()[..], &kept.payload].concat();
        let packet = (rtx, kept.timestamp, kept.marker, extensions);
        send(connection, section, &mut layer.rtx, packet, &body, out);
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

/// What sound takes of a line at most, in bits a second.
pub(crate) fn sound_bits(form: Sound) -> u64 {
    // Its descriptions of the blocks have five bytes.
    let payload = if form == Sound::Redundant { 2 * SOUND_BYTES + 5 } else { SOUND_BYTES };
    (payload as u64 * 8 + PACKET_BITS) * 1000 / SOUND_EVERY.as_millis() as u64
}

/// What the lowest layer of pictures takes of a line at most, in bits a second: a packet for each picture.
pub(crate) fn lowest_layer_bits() -> u64 {
    (PICTURE_BYTES as u64 * 8 + PACKET_BITS) * 1000 / PICTURE_EVERY.as_millis() as u64
}

/// A packet of sound behind the one before it, if that is not too long ago to be named.
fn with_earlier(payload_type: u8, time: u32, earlier: Option<(u32, Vec<u8>)>, sound: &[u8]) -> Vec<u8> {
    let block = earlier.as_ref().and_then(|(then, payload)| {
        let ticks = (time - then).checked_mul(SOUND_TICKS)?;
        let timestamp_offset = u16::try_from(ticks).ok().filter(|offset| *offset <= red::MAX_OFFSET)?;
        Some(red::Block { payload_type, timestamp_offset, payload })
    });
    let blocks = block.as_slice();
    let mut payload = vec![0; red::len(blocks, sound.len())];
    // Both blocks are some eighty bytes long, which can be named.
    let _ = red::write(&mut payload, blocks, payload_type, sound);
    payload
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
    let descriptor_len = extensions.dependency_descriptor.map_or(0, <[u8]>::len);
    let mut packet = vec![0; payload.len() + descriptor_len + 128];
    let written = write_packet(&mut packet, &fields, &section.extensions, &extensions, payload);
    if let Some(len) = written.ok().and_then(|len| connection.protect(&mut packet, len, false)) {
        packet.truncate(len);
        out.push((connection.path, packet));
    }
}
