// SPDX-License-Identifier: EUPL-1.2
//! Every bound of the media engine, with its arithmetic.

use std::time::Duration;

/// What a room's media may use, and how it behaves. One for all rooms of a process.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaConfig {
    /// How long a received packet is kept for retransmission. A second covers two round trips of 500 ms.
    pub ring_duration: Duration,
    /// Packets kept per video layer at most: a second at 10 Mbit/s has 1,042 packets of 1,200 bytes, and the ring's sizes are
    /// powers of two. A slower layer's ring stays as small as its second.
    pub ring_packets_video: usize,
    /// Packets kept per audio track at most: 64 are 1.28 s of 20 ms packets.
    pub ring_packets_audio: usize,
    /// Sent packets that a subscription can send again: as [`MediaConfig::ring_packets_video`].
    pub sent_log_video: usize,
    /// The same for audio.
    pub sent_log_audio: usize,
    /// Tracks that one peer may publish: three devices and a screen with sound, in a dozen fold.
    pub max_tracks_per_peer: usize,
    /// Subscriptions of one peer: 1,000 are a large room's roster with audio and video of all.
    pub max_subscriptions_per_peer: usize,
    /// Packets per second that one track may bring: 30 Mbit/s of 1,200-byte packets are 3,125.
    pub ingress_packets_per_second: u32,
    /// Bits per second that one track may bring, all of its layers and retransmissions together.
    pub ingress_bitrate: u64,
    /// Packets per second that one track of sound may bring: frames of 10 ms are 100, and a fifth more. Sound goes before all
    /// pictures, so that what it may bring is what one can take from others.
    pub ingress_packets_per_second_audio: u32,
    /// Bits per second that one track of sound may bring: Opus at its highest, 510 kbit/s, with two earlier packets in each (RED).
    pub ingress_bitrate_audio: u64,
    /// Packets per second that all tracks of one peer may bring together.
    pub ingress_packets_per_second_peer: u32,
    /// Bits per second that all tracks of one peer may bring together: two of the largest.
    pub ingress_bitrate_peer: u64,
    /// At most one key frame is asked for per layer in this time, whoever asks.
    pub key_frame_interval: Duration,
    /// Key frames that one of several subscribers may ask for at once, and how long each takes to be earned again: more
    /// would cost the others bandwidth.
    pub key_frame_burst: u32,
    /// See [`MediaConfig::key_frame_burst`].
    pub key_frame_refill: Duration,
    /// A gap must be this old before it is reported: links reorder within a few milliseconds.
    pub nack_delay: Duration,
    /// How often a missing packet is asked for.
    pub nack_tries: u8,
    /// Missing packets tracked per layer; a larger gap asks for a key frame instead.
    pub nack_missing: usize,
    /// Retransmitted bytes to one subscriber, as a share of its media bytes.
    pub resend_share: f64,
    /// Retransmissions allowed beyond the share, so that a quiet stream can be repaired: bytes per second.
    pub resend_floor_bytes_per_second: u32,
    /// How often one packet is sent again to one subscriber.
    pub resend_tries: u8,
    /// The estimate before the first feedback, in bits per second.
    pub start_bitrate: u64,
    /// The lowest estimate, in bits per second: one audio track and a small picture.
    pub min_bitrate: u64,
    /// The highest estimate, and what is sent at most, in bits per second, whatever feedback claims. A burst goes by the
    /// estimate.
    pub max_bitrate: u64,
    /// The pacer sends at the estimate times this.
    pub pacing_factor: f64,
    /// The longest burst of video, in time at the estimate times [`MediaConfig::pacing_factor`]: at 50 Mbit/s 78 kB leave
    /// at once, a frame of 20 Mbit/s at 30 a second.
    pub pacing_burst: Duration,
    /// Packets that wait in one peer's pacer at most: 1,024 of 1,200 bytes are 3.9 s at 2.5 Mbit/s. When it is full, the
    /// track of which most wait gives way.
    pub pacer_packets: usize,
    /// For so long after connecting, no track is paused for lack of bandwidth: the estimate is still young.
    pub warm_up: Duration,
    /// How often speakers are looked at.
    pub speakers_interval: Duration,
    /// Audio counts as speech when its level is at least this loud, in −dBov (RFC 6464: 0 loudest, 127 silent).
    pub speech_level: u8,
    /// How long a speaker stays one after the last loud moment.
    pub speech_hangover: Duration,
    /// How many tracks of sound are forwarded in a room: the loudest, beside screens' sound and what a subscriber pinned. 0: all.
    pub loudest_tracks: usize,
    /// Tracks beyond those that are heard while they just begin to speak. More at once are laughter or applause.
    pub loudest_tracks_extra: usize,
    /// For so long, one who began to speak keeps the place even if it is the quietest.
    pub stage_hold: Duration,
    /// Reported losses (shares) at which sound is sent with one earlier packet, and with two. Half of it ends it again.
    pub red_loss: [f32; 2],
    /// For so long losses must have been low before there is less redundancy.
    pub red_hold: Duration,
    /// Below this estimate, in bits per second, sound goes without the redundancy that its publisher made if there are
    /// pictures too, unless more is lost than the middle of [`MediaConfig::red_loss`].
    pub red_min_bitrate: u64,
    /// Packets kept per layer whose publisher sends repair packets (FlexFEC): a repair packet's mask names 109 that follow
    /// each other, and the window is a power of two. 128 of 1,500 bytes are 192 KB.
    pub fec_packets: usize,
    /// Repair packets that wait for others per layer: sixteen are more than a key frame of a hundred packets has. With
    /// 1,500 bytes each they are 24 KB. The oldest makes room.
    pub fec_repairs: usize,
    /// Reported losses (shares) at which a subscriber's video goes with one repair packet per group of packets, and with
    /// two. Half of it ends it again. Above 1 there is none.
    pub fec_loss: [f32; 2],
    /// For so long losses must have been low before there are fewer repair packets.
    pub fec_hold: Duration,
    /// The shortest round trip over which repair packets are sent: a shorter one brings the packet itself again before its
    /// frame is late. 100 ms are three frames at 30 per second. Below three quarters of it there are none any more.
    pub fec_round_trip: Duration,
    /// Bytes of repair packets, as a share of the video's that they protect. At 0.2 five packets have one repair packet,
    /// ten have two. It comes out of the same estimate: video has a sixth less meanwhile.
    pub fec_share: f64,
    /// Reported losses (shares) at which a subscriber is told to hold its pictures so long that what was lost can be sent again
    /// once, twice, and three times.
    pub patience_loss: [f32; 3],
    /// For so long losses must have been low before it holds them less.
    pub patience_hold: Duration,
    /// It is never told to hold them longer than this. Zero: it is told nothing.
    pub patience: Duration,
    /// How often a peer's quality is told.
    pub quality_interval: Duration,
    /// A layer that is wanted anew is waited for so long, with bandwidth looked for meanwhile. Publishers that stopped it
    /// have it back in a second or two.
    pub layer_return: Duration,
    /// A layer without packets for so long is taken for dead while another of its track lives.
    pub layer_timeout: Duration,
}

impl Default for MediaConfig {
    fn default() -> Self {
        MediaConfig {
            ring_duration: Duration::from_secs(1),
            ring_packets_video: 2048,
            ring_packets_audio: 64,
            sent_log_video: 2048,
            sent_log_audio: 64,
            max_tracks_per_peer: 48,
            max_subscriptions_per_peer: 2000,
            ingress_packets_per_second: 3125,
            ingress_bitrate: 30_000_000,
            ingress_packets_per_second_audio: 120,
            ingress_bitrate_audio: 1_600_000,
            ingress_packets_per_second_peer: 6500,
            ingress_bitrate_peer: 60_000_000,
            key_frame_interval: Duration::from_millis(500),
            key_frame_burst: 8,
            key_frame_refill: Duration::from_secs(2),
            nack_delay: Duration::from_millis(10),
            nack_tries: 10,
            nack_missing: 256,
            resend_share: 0.3,
            resend_floor_bytes_per_second: 12_500,
            resend_tries: 8,
            start_bitrate: 300_000,
            min_bitrate: 100_000,
            max_bitrate: 50_000_000,
            pacing_factor: 2.5,
            pacing_burst: Duration::from_millis(5),
            pacer_packets: 1024,
            warm_up: Duration::from_secs(3),
            speakers_interval: Duration::from_millis(300),
            speech_level: 35,
            speech_hangover: Duration::from_millis(900),
            loudest_tracks: 0,
            loudest_tracks_extra: 4,
            stage_hold: Duration::from_secs(2),
            red_loss: [0.03, 0.1],
            red_hold: Duration::from_secs(10),
            red_min_bitrate: 400_000,
            fec_packets: 128,
            fec_repairs: 16,
            fec_loss: [0.03, 0.1],
            fec_hold: Duration::from_secs(10),
            fec_round_trip: Duration::from_millis(100),
            fec_share: 0.2,
            patience_loss: [0.005, 0.03, 0.08],
            patience_hold: Duration::from_secs(10),
            patience: Duration::from_millis(500),
            quality_interval: Duration::from_secs(5),
            layer_return: Duration::from_secs(5),
            layer_timeout: Duration::from_secs(1),
        }
    }
}
