// SPDX-License-Identifier: EUPL-1.2
//! A trunk: the link by which a publication's decrypted packets reach another forwarder's part of the same room.
//!
//! What one forwarder has to say to another waits in a [`TrunkBatch`], which whoever runs both carries over:
//! [`crate::Forwarder::poll_trunk`] on one side, [`crate::Forwarder::handle_trunk`] on the other. Packets and what is to
//! be known of their track go down from the publisher's forwarder, wishes go up to it. A packet is copied once for
//! each forwarder, whatever the number of subscribers there. A batch that was carried is filled again: in steady state
//! nothing is allocated.
//!
//! A trunk is one hop. What came by a trunk never leaves by one, so that no two trunks loop.

use std::collections::BTreeMap;
use std::time::Duration;

use parvis_peer::sdp::{CodecKind, MediaKind};
use parvis_rtp::{AbsCaptureTime, AudioLevel, PlayoutDelay, Rid};

use crate::{ForwarderId, LayerSpec, PeerId, RoomId, TrackId};

/// What may wait for one other forwarder at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkLimits {
    /// Packets in one batch. 1,024 are 100 ms of ten speakers with three layers each at 3 Mbit/s in all.
    pub packets: usize,
    /// Their bytes: as many full packets.
    pub bytes: usize,
    /// Other messages in one batch: a state and a few wishes for each of some hundred tracks.
    pub words: usize,
    /// Emptied batches kept for filling.
    pub spare: usize,
}

impl Default for TrunkLimits {
    fn default() -> Self {
        TrunkLimits { packets: 1_024, bytes: 1_024 * 1_280, words: 4_096, spare: 16 }
    }
}

/// What goes over a trunk about one track.
#[derive(Debug, Clone, PartialEq)]
pub enum TrunkWord {
    /// Down: all that is to be known of the track; sent anew when any of it changes, and before the first packet.
    State(Box<TrackState>),
    /// Down: a packet; its dependency descriptor and payload go beside it.
    Packet(PacketHead),
    /// Down: the sender's wall clock against its RTP clock.
    Clock(TrunkClock),
    /// Down: what a layer that is not carried brings, so that the far side knows what it could ask for.
    Rates(RateSnapshot),
    /// Down: the track is over.
    Ended,
    /// Up: the far side is there and knows nothing yet.
    Open,
    /// Up: which layers the far side needs.
    Demand(Demand),
    /// Up: somebody there can't go on without a key frame.
    KeyFrame {
        /// In which layer.
        layer: u8,
    },
}

/// What the far side must know of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackState {
    /// Who publishes it.
    pub publisher: PeerId,
    /// Audio or video.
    pub kind: MediaKind,
    /// A screen.
    pub screen_share: bool,
    /// Whether it is silent.
    pub muted: bool,
    /// Its publisher wants its packets left as they are.
    pub plain: bool,
    /// Its layers as announced, lowest first.
    pub specs: Vec<LayerSpec>,
    /// Its streams, lowest first.
    pub rids: Vec<Option<Rid>>,
    /// What it may be sent in, best first.
    pub codecs: Vec<CodecKind>,
    /// What it is sent in, from its first packet on.
    pub format: Option<TrackFormat>,
}

/// The format of a track's packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackFormat {
    /// The publisher's payload type.
    pub payload_type: u8,
    /// The codec.
    pub kind: CodecKind,
    /// In Hz.
    pub rtp_clock: u32,
    /// Its format parameters.
    pub fmtp: String,
}

/// A packet without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketHead {
    /// Which stream of the track.
    pub layer: u8,
    /// Counts the unbroken runs of packets in this layer of this trunk: numbers of two runs don't compare.
    pub run: u32,
    /// As the publisher numbered it.
    pub sequence: u16,
    /// As the publisher stamped it.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// Its codec.
    pub codec: CodecKind,
    /// In Hz.
    pub rtp_clock: u32,
    /// It came as a retransmission.
    pub retransmitted: bool,
    /// Header extension (RFC 6464).
    pub audio_level: Option<AudioLevel>,
    /// Header extension.
    pub video_orientation: Option<u8>,
    /// Header extension.
    pub playout_delay: Option<PlayoutDelay>,
    /// Header extension.
    pub abs_capture_time: Option<AbsCaptureTime>,
    /// Bytes of its dependency descriptor.
    pub descriptor_len: u16,
    /// Bytes of its payload.
    pub payload_len: u16,
}

/// A sender report's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrunkClock {
    /// Which stream of the track.
    pub layer: u8,
    /// As in [`PacketHead::run`].
    pub run: u32,
    /// NTP, 32.32 fixed point seconds.
    pub ntp: u64,
    /// The RTP clock at that time.
    pub rtp: u32,
    /// How long ago the report came.
    pub age: Duration,
}

/// A layer's rates by spatial and temporal layer, in bits and frames per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateSnapshot {
    /// Which stream of the track.
    pub layer: u8,
    /// Bits per second, by spatial and then by temporal layer.
    pub bits: [[f32; 4]; 4],
    /// Frames per second, by temporal layer.
    pub frames: [f32; 4],
}

/// What of a track is needed, a bit for each of its streams, or of its layers as announced, lowest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Streams that somebody is sent now, or is to be switched to: they are carried.
    pub taken: u8,
    /// Layers that somebody would show if the bandwidth were there: the publisher should go on sending them.
    pub wanted: u8,
}

/// Messages on their way to one other forwarder, in order.
#[derive(Debug, Default)]
pub struct TrunkBatch {
    messages: Vec<Message>,
    bytes: Vec<u8>,
    packets: usize,
}

#[derive(Debug)]
struct Message {
    room: RoomId,
    track: TrackId,
    /// The bridge that it came over, if it did.
    bridge: Option<ForwarderId>,
    word: TrunkWord,
}

/// One message with what goes beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried<'a> {
    pub(crate) room: RoomId,
    pub(crate) track: TrackId,
    pub(crate) bridge: Option<ForwarderId>,
    pub(crate) word: &'a TrunkWord,
    pub(crate) descriptor: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl TrunkBatch {
    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many of the messages are packets.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// The tracks and words in order, for those who check what trunks carry.
    pub fn words(&self) -> impl Iterator<Item = (RoomId, TrackId, &TrunkWord)> {
        self.messages.iter().map(|message| (message.room, message.track, &message.word))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Carried<'_>> {
        let mut rest = self.bytes.as_slice();
        self.messages.iter().map(move |message| {
            let (descriptor_len, payload_len) = match &message.word {
                TrunkWord::Packet(head) => (head.descriptor_len.into(), head.payload_len.into()),
                _ => (0, 0),
            };
            let (descriptor, behind) = rest.split_at(descriptor_len);
            let (payload, behind) = behind.split_at(payload_len);
            rest = behind;
            let Message { room, track, bridge, word } = message;
            Carried { room: *room, track: *track, bridge: *bridge, word, descriptor, payload }
        })
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.bytes.clear();
        self.packets = 0;
    }
}

/// What waits for every other forwarder.
#[derive(Debug)]
pub(crate) struct Trunks {
    limits: TrunkLimits,
    waiting: BTreeMap<ForwarderId, TrunkBatch>,
    spare: Vec<TrunkBatch>,
    /// What stands at the far end of each bridge, by the bridge and by what it joins here.
    bridges: BTreeMap<(ForwarderId, RoomId, TrackId), FarEnd>,
    /// What waits for a room of this forwarder itself.
    here: bool,
}

/// The far end of a bridge.
#[derive(Debug, Clone, Copy)]
struct FarEnd {
    room: RoomId,
    track: TrackId,
    at: ForwarderId,
}

/// As whom this forwarder speaks to itself, from one of its rooms to another.
pub(crate) const HERE: ForwarderId = ForwarderId(u64::MAX);

impl Trunks {
    pub(crate) fn new(limits: TrunkLimits) -> Trunks {
        Trunks { limits, waiting: BTreeMap::new(), spare: Vec::new(), bridges: BTreeMap::new(), here: false }
    }

    /// Puts a message behind the others. `false` when there is no room for it.
    pub(crate) fn push(
        &mut self,
        to: ForwarderId,
        (room, track): (RoomId, TrackId),
        word: TrunkWord,
        descriptor: &[u8],
        payload: &[u8],
    ) -> bool {
        let far = if to.is_bridge() { self.bridges.get(&(to, room, track)) } else { None };
        let bridge = far.map(|_| to);
        let (to, room, track) = far.map_or((to, room, track), |far| (far.at, far.room, far.track));
        if to.is_bridge() && to != HERE {
            // The bridge is gone, and with it whoever would listen.
            return true;
        }
        let batch = self.waiting.entry(to).or_default();
        let packet = matches!(word, TrunkWord::Packet(_));
        let bytes = descriptor.len() + payload.len();
        let full = if packet {
            batch.packets >= self.limits.packets || batch.bytes.len() + bytes > self.limits.bytes
        } else {
            batch.messages.len() - batch.packets >= self.limits.words
        };
        if full {
            return false;
        }
        batch.packets += usize::from(packet);
        batch.bytes.extend_from_slice(descriptor);
        batch.bytes.extend_from_slice(payload);
        batch.messages.push(Message { room, track, bridge, word });
        self.here |= to == HERE;
        true
    }

    /// Joins a track of a room here with what it is elsewhere.
    pub(crate) fn open_bridge(
        &mut self,
        bridge: ForwarderId,
        near: (RoomId, TrackId),
        far: (RoomId, TrackId),
        at: Option<ForwarderId>,
    ) -> bool {
        let far = FarEnd { room: far.0, track: far.1, at: at.unwrap_or(HERE) };
        bridge.is_bridge() && self.bridges.insert((bridge, near.0, near.1), far).is_none()
    }

    /// Forgets one end of a bridge.
    pub(crate) fn close_bridge(&mut self, bridge: ForwarderId, near: (RoomId, TrackId)) -> bool {
        self.bridges.remove(&(bridge, near.0, near.1)).is_some()
    }

    /// How many ends of bridges there are.
    pub(crate) fn bridges(&self) -> usize {
        self.bridges.len()
    }

    /// Takes what waits for this forwarder itself.
    pub(crate) fn take_here(&mut self) -> Option<TrunkBatch> {
        std::mem::take(&mut self.here).then(|| self.take(HERE)).flatten()
    }

    /// Takes what waits for a forwarder.
    pub(crate) fn take(&mut self, to: ForwarderId) -> Option<TrunkBatch> {
        let batch = self.waiting.get_mut(&to).filter(|batch| !batch.is_empty())?;
        Some(std::mem::replace(batch, self.spare.pop().unwrap_or_default()))
    }

    /// Puts back what could not be carried, before what came since.
    pub(crate) fn put_back(&mut self, to: ForwarderId, batch: TrunkBatch) {
        let waiting = self.waiting.entry(to).or_default();
        let mut since = std::mem::replace(waiting, batch);
        waiting.messages.append(&mut since.messages);
        waiting.bytes.append(&mut since.bytes);
        waiting.packets += since.packets;
        self.recycle(since);
    }

    /// Takes an emptied batch to fill it again.
    pub(crate) fn recycle(&mut self, mut batch: TrunkBatch) {
        if self.spare.len() < self.limits.spare {
            batch.clear();
            self.spare.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: ForwarderId = ForwarderId(1);
    const ABOUT: (RoomId, TrackId) = (RoomId(1), TrackId(2));

    fn packet(sequence: u16, descriptor: &[u8], payload: &[u8]) -> TrunkWord {
        TrunkWord::Packet(PacketHead {
            layer: 0,
            run: 1,
            sequence,
            timestamp: 0,
            marker: false,
            codec: CodecKind::Vp8,
            rtp_clock: 90_000,
            retransmitted: false,
            audio_level: None,
            video_orientation: None,
            playout_delay: None,
            abs_capture_time: None,
            descriptor_len: descriptor.len() as u16,
            payload_len: payload.len() as u16,
        })
    }

    fn push(trunks: &mut Trunks, sequence: u16, descriptor: &[u8], payload: &[u8]) -> bool {
        trunks.push(TO, ABOUT, packet(sequence, descriptor, payload), descriptor, payload)
    }

    #[test]
    fn bytes_stay_with_their_packets_whatever_is_said_between() {
        let mut trunks = Trunks::new(TrunkLimits::default());
        assert!(push(&mut trunks, 1, b"dd", b"first"));
        assert!(trunks.push(TO, ABOUT, TrunkWord::Ended, &[], &[]));
        assert!(push(&mut trunks, 2, b"", b"second"));
        let batch = trunks.take(TO).unwrap();
        assert!(push(&mut trunks, 3, b"d", b"third"));
        trunks.put_back(TO, batch);
        let batch = trunks.take(TO).unwrap();
        let read: Vec<_> = batch.iter().map(|carried| (carried.descriptor, carried.payload)).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"dd", b"first"), (b"", b""), (b"", b"second"), (b"d", b"third")];
        assert_eq!(read, expected);
        assert_eq!((batch.len(), batch.packets()), (4, 3));
    }

    #[test]
    fn a_full_batch_takes_no_more_packets_and_still_some_words() {
        let mut trunks = Trunks::new(TrunkLimits { packets: 3, bytes: 100, words: 1, spare: 1 });
        assert!(push(&mut trunks, 1, b"", &[0; 60]));
        assert!(!push(&mut trunks, 2, b"", &[0; 60]), "bytes");
        assert!(push(&mut trunks, 2, b"", &[0; 10]) && push(&mut trunks, 3, b"", &[0; 10]));
        assert!(!push(&mut trunks, 4, b"", b""), "packets");
        assert!(trunks.push(TO, ABOUT, TrunkWord::Open, &[], &[]));
        assert!(!trunks.push(TO, ABOUT, TrunkWord::Open, &[], &[]), "words");
    }

    #[test]
    fn an_emptied_batch_is_filled_again_in_the_same_memory() {
        let mut trunks = Trunks::new(TrunkLimits::default());
        let mut places = Vec::new();
        for _ in 0..6 {
            for sequence in 0..100 {
                assert!(push(&mut trunks, sequence, b"", &[7; 1000]));
            }
            let batch = trunks.take(TO).unwrap();
            places.push((batch.bytes.as_ptr(), batch.messages.as_ptr()));
            trunks.recycle(batch);
        }
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 2, "one is filled while the other is away");
    }
}
