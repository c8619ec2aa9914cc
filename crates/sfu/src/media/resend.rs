// SPDX-License-Identifier: EUPL-1.2
//! Sending again what a subscriber lacks: because it asks (RFC 4585 section 6.2.1), or because its feedback on the transport
//! tells that the last packet which carried it was lost. The second is how the loss of a retransmission, or of a request, is
//! known before the subscriber asks once more.

use std::time::{Duration, Instant};

use parvis_peer::sdp::MediaKind;
use parvis_rtp::rtcp;

use super::Egress;
use super::pacer::Paced;
use super::room::RoomMedia;
use crate::bwe::Carried;

/// A repeated NACK sooner than this is an impatient one, however short the measured round trip.
const MIN_RESEND_SPACING: Duration = Duration::from_millis(5);

/// What came of a wish for a packet.
enum Wish {
    Granted,
    /// It never came to us.
    Unknown,
    Refused,
}

impl RoomMedia {
    /// A NACK of the peer's, for packets of one of its subscriptions.
    pub(super) fn on_nack(
        &mut self,
        now: Instant,
        place: usize,
        nack: &rtcp::Nack<'_>,
        egress: &mut impl Egress,
    ) {
        let Some(slot) = self.repairable(place, nack.media_ssrc) else { return };
        let spacing = self.peers[place].round_trip().max(MIN_RESEND_SPACING);
        let missing_at = self.subscriptions[slot].publication;
        let mut hurried = false;
        for sequence in nack.sequences() {
            self.stats.nacks_received += 1;
            if !matches!(self.resend(now, place, slot, sequence, spacing, egress), Wish::Unknown) {
                continue;
            }
            // Lost on its way to us: it goes on to all when it comes, so it is asked for now.
            let publication = &mut self.publications[missing_at];
            let awaited = self.subscriptions[slot].awaited(sequence).is_some_and(|(at, number)| {
                let layer = publication.layers.get_mut(at);
                layer.and_then(|layer| layer.nack.as_mut()).is_some_and(|nack| nack.hurry(now, number))
            });
            hurried |= awaited;
            self.stats.resend_awaited += u64::from(awaited);
            self.stats.resend_unknown += u64::from(!awaited);
        }
        let due = self.peers[place].pacer.poll_timeout();
        self.due_peers.no_later_than(place, due);
        self.due_publications.no_later_than(missing_at, hurried.then_some(now));
    }

    /// Feedback on the transport told that these were lost. What has been sent once more since is not sent again.
    pub(super) fn on_lost(&mut self, now: Instant, place: usize, lost: &[Carried], egress: &mut impl Egress) {
        for carried in lost {
            let Some(slot) = self.repairable(place, carried.ssrc) else { continue };
            let last = self.subscriptions[slot].requested(now, carried.sequence);
            if last.is_none_or(|(_, sent)| !sent.left || sent.resends != carried.resends) {
                continue;
            }
            if matches!(
                self.resend(now, place, slot, carried.sequence, Duration::ZERO, egress),
                Wish::Granted
            ) {
                self.stats.resend_prompted += 1;
            }
        }
        let due = self.peers[place].pacer.poll_timeout();
        self.due_peers.no_later_than(place, due);
    }

    /// The subscription that sends media on `ssrc` to the peer, if what it lost can be sent again now.
    fn repairable(&self, place: usize, ssrc: u32) -> Option<usize> {
        let peer = &self.peers[place];
        let &slot = peer.outgoing.get(&ssrc)?;
        let subscription = &self.subscriptions[slot];
        let negotiated = subscription.outlet.as_ref().is_some_and(|outlet| outlet.nack);
        let muted = self.publications[subscription.publication].muted;
        (subscription.ssrc == ssrc && negotiated && !muted && peer.is_connected()).then_some(slot)
    }

    /// Sends again what the peer calls `sequence`, unless it went out less than `spacing` ago, too often, or the peer's budget
    /// is spent.
    fn resend(
        &mut self,
        now: Instant,
        place: usize,
        slot: usize,
        sequence: u16,
        spacing: Duration,
        egress: &mut impl Egress,
    ) -> Wish {
        let peer = &mut self.peers[place];
        let subscription = &mut self.subscriptions[slot];
        let publication = &self.publications[subscription.publication];
        let moment = subscription.moment(now);
        let Some((out, sent)) = subscription.requested(now, sequence) else { return Wish::Unknown };
        let fresh = !sent.left && sent.is_padding();
        if sent.resends >= self.config.resend_tries || (!fresh && moment.since(sent.sent_at) < spacing) {
            self.stats.resend_suppressed += 1;
            return Wish::Refused;
        }
        let bytes = subscription.sent_bytes(publication, out);
        if !peer.resends.take(now, bytes) {
            self.stats.resend_over_budget += 1;
            return Wish::Refused;
        }
        if let Some(sent) = subscription.sent(out) {
            sent.resends += 1;
            sent.sent_at = moment;
        }
        if publication.kind == MediaKind::Audio || peer.pacer.is_free(now) {
            let bytes = self.sender(now, slot).emit(out, true, egress);
            self.peers[place].pacer.spend(bytes);
        } else {
            let (subscription, bytes) = (subscription.id, bytes as u32);
            let paced = Paced { slot, subscription, out, bytes, resend: true };
            self.stats.dropped_pacer_full += peer.pacer.push(paced);
        }
        Wish::Granted
    }
}
