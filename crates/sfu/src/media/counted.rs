// SPDX-License-Identifier: EUPL-1.2
//! What all rooms of a forwarder have counted together, by name: for the metrics page, where each bound shows.

use super::MediaStats;

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        impl MediaStats {
            /// Name and value of each counter.
            pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Adds another room's counters.
            pub fn add(&mut self, other: &MediaStats) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    received_packets,
    received_bytes,
    sent_packets,
    sent_bytes,
    resent_packets,
    resent_bytes,
    padding_packets,
    nacks_sent,
    nacks_received,
    key_frame_requests_sent,
    key_frame_requests_received,
    dropped_malformed,
    dropped_unknown_stream,
    dropped_unknown_codec,
    dropped_duplicate,
    dropped_ingress_limit,
    dropped_too_late,
    dropped_pacer_full,
    dropped_expired,
    dropped_codec_mismatch,
    resend_over_budget,
    resend_suppressed,
    resend_unknown,
    nack_overflow,
    refused_limit,
    trunk_packets_out,
    trunk_packets_in,
    trunk_overflow,
    timer_visits,
    key_frame_requests_over_budget,
    resend_awaited,
    resend_prompted,
    stage_withheld,
    stage_entered,
    stage_left,
    stage_refused,
    silence_packets,
    red_made,
    red_recovered,
    fec_received,
    fec_recovered,
    fec_unneeded,
    fec_malformed,
    fec_overflow,
    fec_sent_packets,
    fec_sent_bytes,
}
