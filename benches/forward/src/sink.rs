// SPDX-License-Identifier: EUPL-1.2
//! A subscriber: it reads no more of a packet than its header, and answers as a receiver does: transport feedback
//! every 50 to 100 ms, and a report each second.

use std::time::{Duration, Instant};

use parvis_peer::Received;
use parvis_rtp::rtcp::{ReportBlock, Writer};
use parvis_rtp::{ExtensionMap, Packet};
use parvis_sfu::bwe::Receiver;

use crate::client::Client;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Our own SSRC in feedback.
const SSRC: u32 = 0x5155_4e4b;

/// One subscriber.
pub struct Sink {
    /// Its connection.
    pub client: Client,
    /// Media packets that came.
    pub received: u64,
    receiver: Receiver,
    extensions: Option<ExtensionMap>,
    media_ssrc: u32,
    highest: u16,
    next_report: Instant,
}

impl Sink {
    /// A subscriber over this connection.
    pub fn new(client: Client, now: Instant) -> Sink {
        Sink {
            client,
            received: 0,
            receiver: Receiver::new(),
            extensions: None,
            media_ssrc: 0,
            highest: 0,
            next_report: now + REPORT_INTERVAL,
        }
    }

    /// Takes a datagram of the server's. Header extensions are in the clear, so that media needs no key.
    pub fn take(&mut self, now: Instant, datagram: &mut [u8]) {
        if let [128..=191, 0..=191 | 224.., ..] = datagram {
            let Ok(packet) = Packet::parse(datagram) else { return };
            let map = self.extensions.get_or_insert_with(|| {
                let sections = self.client.peer.sections();
                sections.first().map(|section| section.extensions).unwrap_or_default()
            });
            if let Some(sequence) = packet.extensions(map).transport_sequence {
                self.receiver.on_packet(now, sequence);
            }
            (self.media_ssrc, self.highest) = (packet.ssrc, packet.sequence);
            // Padding that probes the path is not what is forwarded.
            self.received += u64::from(packet.payload.len() > crate::PACKET_BYTES / 2);
        } else if let Received::Dropped(_) = self.client.take(now, datagram) {
            // A report on a stream that it knows nothing of, or a late part of the handshake.
        }
    }

    /// Sends what is due now.
    pub fn act(&mut self, now: Instant, mut send: impl FnMut(&[u8])) {
        let mut buf = [0; 1400];
        while let Some(len) = self.receiver.write_feedback(now, SSRC, self.media_ssrc, &mut buf[..1200]) {
            if let Some(len) = self.client.peer.protect_rtcp(&mut buf, len) {
                send(&buf[..len]);
            }
        }
        if self.next_report <= now && self.media_ssrc != 0 {
            self.next_report = now + REPORT_INTERVAL;
            let block = ReportBlock {
                ssrc: self.media_ssrc,
                extended_highest_sequence: self.highest.into(),
                ..ReportBlock::default()
            };
            let mut writer = Writer::new(&mut buf);
            if writer.receiver_report(SSRC, &[block]).is_ok() {
                let len = writer.len();
                if let Some(len) = self.client.peer.protect_rtcp(&mut buf, len) {
                    send(&buf[..len]);
                }
            }
        }
    }

    /// When [`Sink::act`] is next due.
    pub fn next(&self) -> Option<Instant> {
        [self.receiver.poll_timeout(), Some(self.next_report)].into_iter().flatten().min()
    }
}
