// SPDX-License-Identifier: EUPL-1.2
//! A description as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use parvis_rtp::Mid;

use super::codecs::FLEXFEC;
use super::slot::{Body, Media, Slot};
use super::{Direction, LocalTransport, MediaKind, SenderId, SenderSpec};
use crate::{LocalCandidate, Protocol};

/// All that goes into one description.
pub(super) struct Document<'a> {
    pub(super) session_id: u64,
    pub(super) version: u64,
    /// `a=setup`.
    pub(super) setup: &'static str,
    /// `a=extmap-allow-mixed` for the whole.
    pub(super) allow_mixed: bool,
    pub(super) slots: &'a [Slot],
    pub(super) senders: &'a BTreeMap<SenderId, SenderSpec>,
    pub(super) local: &'a LocalTransport,
}

impl Document<'_> {
    pub(super) fn write(&self) -> String {
        let mut out = String::with_capacity(512 + 1024 * self.slots.len());
        // Writing to a String does not fail.
        let _ = self.write_to(&mut out);
        out
    }

    fn write_to(&self, out: &mut String) -> std::fmt::Result {
        // RFC 8829 section 5.2.1: the number has to fit 63 bits, the address means nothing.
        let session_id = self.session_id & (u64::MAX >> 1);
        write!(out, "v=0\r\no=- {session_id} {} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", self.version)?;
        out.write_str("a=group:BUNDLE")?;
        for mid in self.slots.iter().filter(|slot| !slot.is_dead()).filter_map(|slot| slot.mid) {
            write!(out, " {mid}")?;
        }
        out.write_str("\r\na=ice-lite\r\na=ice-options:trickle\r\n")?;
        if self.allow_mixed {
            out.write_str("a=extmap-allow-mixed\r\n")?;
        }
        out.write_str("a=msid-semantic: WMS *\r\n")?;
        let mut candidates = self.local.candidates.as_slice();
        for slot in self.slots {
            match (&slot.body, slot.mid) {
                (Body::Media(media), Some(mid)) => {
                    self.write_media_line(out, slot, media)?;
                    self.write_transport(out, mid, std::mem::take(&mut candidates))?;
                    self.write_media(out, media)?;
                }
                (Body::Data, Some(mid)) => {
                    write!(out, "m={} 9 {} {}\r\n", slot.media, slot.protocol, slot.format)?;
                    self.write_transport(out, mid, std::mem::take(&mut candidates))?;
                    write!(out, "a=sctp-port:{}\r\n", self.local.sctp_port)?;
                    write!(out, "a=max-message-size:{}\r\n", self.local.max_message_size)?;
                }
                _ => {
                    write!(
                        out,
                        "m={} 0 {} {}\r\nc=IN IP4 0.0.0.0\r\n",
                        slot.media, slot.protocol, slot.format
                    )?;
                    if let Some(mid) = slot.mid {
                        write!(out, "a=mid:{mid}\r\n")?;
                    }
                    out.write_str("a=inactive\r\n")?;
                }
            }
        }
        Ok(())
    }

    fn write_media_line(&self, out: &mut String, slot: &Slot, media: &Media) -> std::fmt::Result {
        write!(out, "m={} 9 {}", slot.media, slot.protocol)?;
        for codec in &media.section.codecs {
            write!(out, " {}", codec.payload_type)?;
            if let Some(rtx) = codec.rtx {
                write!(out, " {rtx}")?;
            }
        }
        if let Some(fec) = media.section.fec {
            write!(out, " {fec}")?;
        }
        out.write_str("\r\n")
    }

    /// ICE and DTLS stand in each section, not only in the first: some stacks look nowhere else. Candidates stand in
    /// the first section alone; the others share its transport.
    fn write_transport(&self, out: &mut String, mid: Mid, candidates: &[LocalCandidate]) -> std::fmt::Result {
        write!(out, "c=IN IP4 0.0.0.0\r\na=mid:{mid}\r\n")?;
        write!(out, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", self.local.ufrag, self.local.password)?;
        out.write_str("a=fingerprint:sha-256 ")?;
        for (index, byte) in self.local.fingerprint.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(out, "{colon}{byte:02X}")?;
        }
        write!(out, "\r\na=setup:{}\r\n", self.setup)?;
        for (index, candidate) in candidates.iter().enumerate() {
            write_candidate(out, candidates, index, candidate)?;
        }
        if !candidates.is_empty() {
            out.write_str("a=end-of-candidates\r\n")?;
        }
        Ok(())
    }

    fn write_media(&self, out: &mut String, media: &Media) -> std::fmt::Result {
        let section = &media.section;
        if media.allow_mixed {
            out.write_str("a=extmap-allow-mixed\r\n")?;
        }
        for line in &media.extensions {
            let suffix = line.suffix.map_or("", |direction| match direction {
                Direction::SendOnly => "/sendonly",
                Direction::RecvOnly => "/recvonly",
                Direction::SendRecv => "/sendrecv",
                Direction::Inactive => "/inactive",
            });
            write!(out, "a=extmap:{}{suffix} {}\r\n", line.id, line.extension.uri())?;
        }
        out.write_str(match section.direction {
            Direction::SendOnly => "a=sendonly\r\n",
            Direction::RecvOnly => "a=recvonly\r\n",
            Direction::SendRecv => "a=sendrecv\r\n",
            Direction::Inactive => "a=inactive\r\n",
        })?;
        out.write_str("a=rtcp-mux\r\na=rtcp-rsize\r\n")?;
        for codec in &section.codecs {
            let payload_type = codec.payload_type;
            write!(out, "a=rtpmap:{payload_type} {}/{}", codec.kind.name(), codec.clock_rate)?;
            if codec.kind.media() == MediaKind::Audio {
                write!(out, "/{}", codec.channels)?;
            }
            out.write_str("\r\n")?;
            if !codec.fmtp.is_empty() {
                write!(out, "a=fmtp:{payload_type} {}\r\n", codec.fmtp)?;
            }
            let feedback = codec.feedback;
            for (wanted, name) in [
                (feedback.transport_cc, "transport-cc"),
                (feedback.fir, "ccm fir"),
                (feedback.nack, "nack"),
                (feedback.pli, "nack pli"),
                (feedback.remb, "goog-remb"),
            ] {
                if wanted {
                    write!(out, "a=rtcp-fb:{payload_type} {name}\r\n")?;
                }
            }
            if let Some(rtx) = codec.rtx {
                write!(
                    out,
                    "a=rtpmap:{rtx} rtx/{}\r\na=fmtp:{rtx} apt={payload_type}\r\n",
                    codec.clock_rate
                )?;
            }
        }
        if let Some(fec) = section.fec {
            // The window, in microseconds, has to stand there; nobody is known to go by it.
            write!(out, "a=rtpmap:{fec} {FLEXFEC}/90000\r\na=fmtp:{fec} repair-window=10000000\r\n")?;
            if section.codecs.iter().any(|codec| codec.feedback.transport_cc) {
                write!(out, "a=rtcp-fb:{fec} transport-cc\r\n")?;
            }
        }
        for (index, rid) in section.rids.iter().enumerate() {
            if index == 0 {
                for rid in &section.rids {
                    write!(out, "a=rid:{rid} recv\r\n")?;
                }
                out.write_str("a=simulcast:recv ")?;
            }
            let end = if index + 1 == section.rids.len() { "\r\n" } else { ";" };
            write!(out, "{rid}{end}")?;
        }
        match section.sender.and_then(|id| self.senders.get(&id)) {
            Some(spec) if section.direction.sends() => write_sender(out, media, spec),
            _ => Ok(()),
        }
    }
}

fn write_sender(out: &mut String, media: &Media, spec: &SenderSpec) -> std::fmt::Result {
    let (stream, track) = (Token(&spec.msid.stream), Token(&spec.msid.track));
    write!(out, "a=msid:{stream} {track}\r\n")?;
    let rtx = spec.rtx_ssrc.filter(|_| media.section.codecs.iter().any(|codec| codec.rtx.is_some()));
    if let Some(rtx) = rtx {
        write!(out, "a=ssrc-group:FID {} {rtx}\r\n", spec.ssrc)?;
    }
    let fec = spec.fec_ssrc.filter(|_| media.section.fec.is_some());
    if let Some(fec) = fec {
        write!(out, "a=ssrc-group:FEC-FR {} {fec}\r\n", spec.ssrc)?;
    }
    for ssrc in std::iter::once(spec.ssrc).chain(rtx).chain(fec) {
        write!(out, "a=ssrc:{ssrc} cname:{stream}\r\na=ssrc:{ssrc} msid:{stream} {track}\r\n")?;
    }
    Ok(())
}

/// RFC 8839 section 5.1, RFC 6544 section 4.5. Earlier candidates come first, TCP after all UDP.
fn write_candidate(
    out: &mut String,
    all: &[LocalCandidate],
    index: usize,
    candidate: &LocalCandidate,
) -> std::fmt::Result {
    let LocalCandidate { protocol, address } = candidate;
    let same_base =
        |other: &LocalCandidate| other.protocol == *protocol && other.address.ip() == address.ip();
    let foundation = 1 + all.iter().position(same_base).unwrap_or(index);
    let local_preference = u32::from(u16::MAX).saturating_sub(index as u32);
    let (name, type_preference, tail) = match protocol {
        Protocol::Udp => ("udp", 126, ""),
        Protocol::Tcp => ("tcp", 90, " tcptype passive"),
    };
    let priority = (type_preference << 24) | (local_preference << 8) | 255;
    let (ip, port) = (address.ip(), address.port());
    write!(out, "a=candidate:{foundation} 1 {name} {priority} {ip} {port} typ host{tail}\r\n")
}

/// A name that people chose, made harmless: what is no `token-char` (RFC 8866 section 9) becomes `_`, so that nobody can
/// write a line into somebody else's description.
struct Token<'a>(&'a str);

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_char('-');
        }
        for letter in self.0.chars().take(MAX_TOKEN_CHARS) {
            let is_token = letter.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]".contains(letter);
            f.write_char(if is_token { letter } else { '_' })?;
        }
        Ok(())
    }
}

/// RFC 8830 section 2 has 64; identities may be longer, and browsers take them.
const MAX_TOKEN_CHARS: usize = 256;
