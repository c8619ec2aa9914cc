// SPDX-License-Identifier: EUPL-1.2
//! What a room's media has counted.

/// Counters since the room began. Each bound of [`crate::media::MediaConfig`] has one that shows it being hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MediaStats {
    /// Packets received and kept.
    pub received_packets: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Packets sent, retransmissions and padding included.
    pub sent_packets: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Packets sent again, because of a NACK or because feedback on the transport told of their loss.
    pub resent_packets: u64,
    /// Their bytes.
    pub resent_bytes: u64,
    /// Padding packets sent to probe for bandwidth or to fill a sequence number that holds nothing.
    pub padding_packets: u64,
    /// Missing packets asked for.
    pub nacks_sent: u64,
    /// Missing packets that subscribers asked for.
    pub nacks_received: u64,
    /// Key frames asked for.
    pub key_frame_requests_sent: u64,
    /// Key frames that subscribers asked for.
    pub key_frame_requests_received: u64,
    /// Those beyond what one subscriber may ask for by itself.
    pub key_frame_requests_over_budget: u64,
    /// Malformed RTP packets.
    pub dropped_malformed: u64,
    /// RTP whose SSRC belongs to no bound track.
    pub dropped_unknown_stream: u64,
    /// RTP in a payload type that wasn't negotiated.
    pub dropped_unknown_codec: u64,
    /// RTP that came twice.
    pub dropped_duplicate: u64,
    /// RTP beyond a track's or its publisher's ingress limits.
    pub dropped_ingress_limit: u64,
    /// Packets too late for a subscription's sequence map.
    pub dropped_too_late: u64,
    /// Packets that found a full pacer.
    pub dropped_pacer_full: u64,
    /// Packets that had left the ring before the pacer released them.
    pub dropped_expired: u64,
    /// Packets that a subscriber can't take because it didn't negotiate the codec.
    pub dropped_codec_mismatch: u64,
    /// Retransmissions refused because the subscriber's budget was spent.
    pub resend_over_budget: u64,
    /// Retransmissions refused because the packet went out less than a round trip ago or too often.
    pub resend_suppressed: u64,
    /// Retransmissions that nobody asked for: feedback on the transport had told of the loss.
    pub resend_prompted: u64,
    /// Retransmissions asked for packets that never came to us and go on when they do.
    pub resend_awaited: u64,
    /// Retransmissions asked for packets that are no longer kept.
    pub resend_unknown: u64,
    /// Packets of sound not forwarded because louder tracks are heard.
    pub stage_withheld: u64,
    /// Tracks let among those that are heard.
    pub stage_entered: u64,
    /// Tracks that lost that place to others.
    pub stage_left: u64,
    /// Times that somebody began to speak and found no place.
    pub stage_refused: u64,
    /// Frames of silence sent where a track stopped.
    pub silence_packets: u64,
    /// Packets sent with redundancy of our making.
    pub red_made: u64,
    /// Packets lost on their way to us and found in a later one's redundancy.
    pub red_recovered: u64,
    /// Repair packets received.
    pub fec_received: u64,
    /// Packets lost on their way to us and made again from repair packets.
    pub fec_recovered: u64,
    /// Repair packets of which nothing was missing.
    pub fec_unneeded: u64,
    /// Repair packets that couldn't be read, or didn't go with the packets that they name.
    pub fec_malformed: u64,
    /// Repair packets pushed out by newer ones before they were of use.
    pub fec_overflow: u64,
    /// Repair packets sent.
    pub fec_sent_packets: u64,
    /// Their bytes.
    pub fec_sent_bytes: u64,
    /// Gaps larger than the NACK list.
    pub nack_overflow: u64,
    /// Tracks, subscriptions or layers refused for their number.
    pub refused_limit: u64,
    /// Packets carried to other forwarders.
    pub trunk_packets_out: u64,
    /// Packets that came from other forwarders.
    pub trunk_packets_in: u64,
    /// Packets for another forwarder that found its trunk full.
    pub trunk_overflow: u64,
    /// Peers and publications looked at because time had come: all of them at a tick, else who is due.
    pub timer_visits: u64,
    /// SSRCs known at this moment.
    pub known_ssrcs: usize,
}
