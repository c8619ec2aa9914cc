// SPDX-License-Identifier: EUPL-1.2
//! Reports on their way out (RFC 3550 section 6.4): a sender report with CNAME for each subscription that sends, a
//! receiver report on each stream that comes in, and the answer to reference times (RFC 3611 section 4.5).

use std::time::Instant;

use parvis_rtp::WriteError;
use parvis_rtp::rtcp::{Dlrr, ReportBlock, SenderInfo, Writer};

use super::layer::Layer;
use super::peer::MediaPeer;
use super::publication::Publication;
use super::room::RoomMedia;
use super::subscription::Subscription;
use super::timers::RTCP_BYTES;
use super::{Egress, ntp};
use crate::PeerId;

/// Blocks in one receiver report: five bits.
const MAX_BLOCKS: usize = 31;
/// A sender report without blocks and its CNAME: 28 + 4 + 4 + 2 + 16 + padding.
const SENDER_REPORT_BYTES: usize = 60;

impl RoomMedia {
    /// Sends all reports of one peer.
    pub(super) fn send_reports(&mut self, now: Instant, place: usize, egress: &mut impl Egress) {
        let mut buf = [0; RTCP_BYTES];
        let mut writer = Writer::new(&mut buf);
        let peer_id = self.peers[place].id;
        for at in 0..self.peers[place].subscriptions.len() {
            let subscription = &mut self.subscriptions[self.peers[place].subscriptions[at]];
            if subscription.packets == subscription.reported_packets {
                continue;
            }
            subscription.reported_packets = subscription.packets;
            let publication = &self.publications[subscription.publication];
            let publisher = &self.peers[publication.peer];
            if writer.len() + SENDER_REPORT_BYTES > RTCP_BYTES {
                let len = writer.len();
                egress.rtcp(peer_id, &buf[..len]);
                writer = Writer::new(&mut buf);
            }
            let subscription = &self.subscriptions[self.peers[place].subscriptions[at]];
            // A report that doesn't fit is left out; there is room, by the check above.
            let _ = write_sender_report(&mut writer, now, self.epoch, subscription, publication, publisher);
        }
        self.write_receiver_reports(now, place, &mut writer);
        let len = writer.len();
        if len > 0 {
            egress.rtcp(peer_id, &buf[..len]);
        }
    }

    fn write_receiver_reports(&mut self, now: Instant, place: usize, writer: &mut Writer<'_>) {
        let peer = &mut self.peers[place];
        let mut blocks = [ReportBlock::default(); MAX_BLOCKS];
        let mut count = 0;
        for &publication in &peer.publications {
            for layer in &mut self.publications[publication].layers {
                if count < MAX_BLOCKS
                    && let Some(block) = report_block(now, layer)
                {
                    blocks[count] = block;
                    count += 1;
                }
            }
        }
        if count > 0 && writer.receiver_report(peer.ssrc, &blocks[..count]).is_ok() {
            let _ = writer.cname(peer.ssrc, &cname(peer.id));
            let _ = writer.receiver_reference_time(peer.ssrc, ntp::at(self.epoch, now));
        }
        if let Some((ssrc, last_rr, arrival)) = peer.reference_time.take() {
            let delay_since_last_rr = ntp::short(now.saturating_duration_since(arrival));
            let _ = writer.dlrr(peer.ssrc, &[Dlrr { ssrc, last_rr, delay_since_last_rr }]);
        }
    }
}

fn write_sender_report(
    writer: &mut Writer<'_>,
    now: Instant,
    epoch: Instant,
    subscription: &Subscription,
    publication: &Publication,
    publisher: &MediaPeer,
) -> Result<(), WriteError> {
    let ntp = ntp::at(epoch, now);
    let rtp_clock = publication.rtp_clock();
    // One offset for all tracks of a publisher keeps them in step with each other: lip sync.
    let by_publisher = || {
        let layer = publication.layers.get(subscription.followed()?)?;
        let theirs = ntp.wrapping_add_signed(publisher.clock_offset?.wrapping_neg());
        Some(layer.clock?.rtp_at(theirs, rtp_clock).wrapping_add(subscription.timestamp_shift()))
    };
    let Some(rtp_timestamp) = by_publisher().or_else(|| subscription.clock_at(now, rtp_clock)) else {
        return Ok(());
    };
    let info = SenderInfo { ntp, rtp_timestamp, packets: subscription.packets, octets: subscription.octets };
    writer.sender_report(subscription.ssrc, &info, &[])?;
    writer.cname(subscription.ssrc, &cname(publisher.id))
}

fn report_block(now: Instant, layer: &mut Layer) -> Option<ReportBlock> {
    let ssrc = layer.ssrc?;
    let reception = layer.reception.report()?;
    let clock = layer.clock.as_ref();
    Some(ReportBlock {
        ssrc,
        fraction_lost: reception.fraction_lost,
        cumulative_lost: reception.cumulative_lost,
        extended_highest_sequence: reception.highest,
        jitter: reception.jitter,
        last_sr: clock.map_or(0, |clock| (clock.ntp >> 16) as u32),
        delay_since_last_sr: clock
            .map_or(0, |clock| ntp::short(now.saturating_duration_since(clock.arrival))),
    })
}

/// A peer's name in reports: its number in hexadecimal digits.
fn cname(peer: PeerId) -> [u8; 16] {
    let mut name = [0; 16];
    for (place, digit) in name.iter_mut().enumerate() {
        let nibble = (peer.0 >> (60 - 4 * place)) as u8 & 0xf;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    }
    name
}
