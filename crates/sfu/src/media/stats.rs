// SPDX-License-Identifier: EUPL-1.2
//! What a room's media has counted, and what all rooms of a forwarder have counted together: for the metrics page, where
//! each bound shows.

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// Counters since the room began. Each bound of [`crate::media::MediaConfig`] has one that shows it being hit.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct MediaStats {
            /// SSRCs known at this moment.
            pub known_ssrcs: usize,
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl MediaStats {
            /// Name, meaning and value of each counter.
            pub fn counters(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + use<> {
                [$((stringify!($name), concat!($($doc),+), self.$name),)*].into_iter()
            }

            /// Adds another room's counters.
            pub fn add(&mut self, other: &MediaStats) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

stats! {
    /// Packets received and kept.
    received_packets,
    /// Bytes of the packets received and kept.
    received_bytes,
    /// Packets sent, retransmissions and padding included.
    sent_packets,
    /// Bytes of the packets sent.
    sent_bytes,
    /// Packets sent again, because of a NACK or because feedback on the transport told of their loss.
    resent_packets,
    /// Bytes of the packets sent again.
    resent_bytes,
    /// Padding packets sent to probe for bandwidth or to fill a sequence number that holds nothing.
    padding_packets,
    /// Missing packets asked for.
    nacks_sent,
    /// Missing packets that subscribers asked for.
    nacks_received,
    /// Key frames asked for.
    key_frame_requests_sent,
    /// Key frames that subscribers asked for.
    key_frame_requests_received,
    /// Malformed RTP packets.
    dropped_malformed,
    /// RTP whose SSRC belongs to no bound track.
    dropped_unknown_stream,
    /// RTP in a payload type that wasn't negotiated.
    dropped_unknown_codec,
    /// RTP that came twice.
    dropped_duplicate,
    /// RTP beyond a track's or its publisher's ingress limits.
    dropped_ingress_limit,
    /// Packets too late for a subscription's sequence map.
    dropped_too_late,
    /// Packets that found a full pacer.
    dropped_pacer_full,
    /// Packets that had left the ring before the pacer released them.
    dropped_expired,
    /// Packets that a subscriber can't take because it didn't negotiate the codec.
    dropped_codec_mismatch,
    /// Retransmissions refused because the subscriber's budget was spent.
    resend_over_budget,
    /// Retransmissions refused because the packet went out less than a round trip ago or too often.
    resend_suppressed,
    /// Retransmissions asked for packets that are no longer kept.
    resend_unknown,
    /// Gaps larger than the NACK list.
    nack_overflow,
    /// Tracks, subscriptions or layers refused for their number.
    refused_limit,
    /// Packets carried to other forwarders.
    trunk_packets_out,
    /// Packets that came from other forwarders.
    trunk_packets_in,
    /// Packets for another forwarder that found its trunk full.
    trunk_overflow,
    /// Peers and publications looked at because time had come: all of them at a tick, else who is due.
    timer_visits,
    /// Those beyond what one subscriber may ask for by itself.
    key_frame_requests_over_budget,
    /// Retransmissions asked for packets that never came to us and go on when they do.
    resend_awaited,
    /// Retransmissions that nobody asked for: feedback on the transport had told of the loss.
    resend_prompted,
    /// Packets of sound not forwarded because louder tracks are heard.
    stage_withheld,
    /// Tracks let among those that are heard.
    stage_entered,
    /// Tracks that lost that place to others.
    stage_left,
    /// Times that somebody began to speak and found no place.
    stage_refused,
    /// Frames of silence sent where a track stopped.
    silence_packets,
    /// Packets sent with redundancy of our making.
    red_made,
    /// Packets lost on their way to us and found in a later one's redundancy.
    red_recovered,
    /// Repair packets received.
    fec_received,
    /// Packets lost on their way to us and made again from repair packets.
    fec_recovered,
    /// Repair packets of which nothing was missing.
    fec_unneeded,
    /// Repair packets that couldn't be read, or didn't go with the packets that they name.
    fec_malformed,
    /// Repair packets pushed out by newer ones before they were of use.
    fec_overflow,
    /// Repair packets sent.
    fec_sent_packets,
    /// Bytes of the repair packets sent.
    fec_sent_bytes,
}
