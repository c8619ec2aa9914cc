// SPDX-License-Identifier: EUPL-1.2
//! We offer: a section for each of our senders, and what the peer's answer leaves of it.

use std::collections::{BTreeMap, BTreeSet};

use parvis_rtp::Mid;

use super::codecs::Profile;
use super::remote::{Purpose, Remote, RemoteSection};
use super::slot::{Body, ExtensionLine, Media, Numbers, Slot, direction, new_section};
use super::{Codec, CodecKind, MediaKind, SdpError, SenderId, SenderSpec, SessionConfig, answer, codecs};

const MEDIA_PROTOCOL: &str = "UDP/TLS/RTP/SAVPF";
const DATA_PROTOCOL: &str = "UDP/DTLS/SCTP";

/// The m-lines of our offer: what was agreed, what ended, what is new.
pub(super) fn offer(
    agreed: &[Slot],
    senders: &BTreeMap<SenderId, SenderSpec>,
    waiting: &[&SenderSpec],
    wants_data: bool,
    next_mid: &mut u64,
    config: &SessionConfig,
) -> Vec<Slot> {
    let mut numbers = Numbers::of(agreed);
    let palette = palette(config, &mut numbers);
    let fec = repair_type(config, &mut numbers);
    let mut slots = agreed.to_vec();
    if wants_data && !slots.iter().any(Slot::is_data) {
        add(&mut slots, config, next_mid, |_, mid| data_slot(mid));
    }
    for spec in waiting {
        let wanted = codecs::restricted(&palette, &spec.codecs);
        if wanted.is_empty() {
            continue;
        }
        let free = slots
            .iter_mut()
            .filter_map(Slot::media_mut)
            .find(|media| media.is_free() && media.section.kind == spec.kind && !media.peer_sends);
        if let Some(media) = free {
            begin(media, spec, (wanted, fec), &mut numbers, config);
            continue;
        }
        add(&mut slots, config, next_mid, |index, mid| {
            let section = new_section(index, mid, spec.kind, Some(spec.id));
            let mut media = Media {
                section,
                peer_sends: false,
                peer_receives: true,
                allow_mixed: false,
                extensions: Vec::new(),
            };
            begin(&mut media, spec, (wanted, fec), &mut numbers, config);
            media_slot(media)
        });
    }
    for slot in &mut slots {
        let Some(media) = slot.media_mut() else { continue };
        let ended = media.section.sender.is_some_and(|id| !senders.contains_key(&id));
        if ended && !media.peer_sends {
            // Stopped (RFC 8829 section 5.2.2), and a later offer makes another section of it. To go on in the same one
            // would give the next track the id of the last: browsers name a track once for each transceiver.
            slot.body = Body::Dead;
            continue;
        }
        media.section.sender = media.section.sender.filter(|_| !ended);
        media.section.direction = direction(media.section.sender.is_some(), media.peer_sends);
    }
    slots
}

/// What the answer leaves of our offer. `Ok` also names the senders whose section the peer rejected.
pub(super) fn take_answer(
    offered: &[Slot],
    remote: &Remote<'_>,
) -> Result<(Vec<Slot>, Vec<SenderId>), SdpError> {
    let mismatch = |line, mid: Option<Mid>, what| {
        let mid = mid.map(|mid| mid.to_string()).unwrap_or_default();
        Err(SdpError::Mismatch { line, mid, what })
    };
    if remote.sections.len() != offered.len() {
        return mismatch(0, None, "an answer has to have as many sections as its offer");
    }
    let mut slots = Vec::with_capacity(offered.len());
    let mut refused = Vec::new();
    let mut has_any = false;
    for (slot, section) in offered.iter().zip(&remote.sections) {
        if slot.is_dead() || section.rejected {
            refused.extend(slot.media().and_then(|media| media.section.sender));
            slots.push(Slot { body: Body::Dead, ..slot.clone() });
            continue;
        }
        if section.mid.is_some() && section.mid != slot.mid {
            return mismatch(section.line, slot.mid, "the answer has another a=mid here");
        }
        let bundled = match &remote.bundle {
            Some(_) => section.mid.is_some_and(|mid| remote.is_bundled(mid)),
            None => !has_any,
        };
        if !bundled {
            return mismatch(
                section.line,
                slot.mid,
                "the answer has to keep the section in its BUNDLE group",
            );
        }
        has_any = true;
        let body = match (&slot.body, section.purpose) {
            (Body::Data, Purpose::Data) => Body::Data,
            (Body::Media(media), Purpose::Media(kind)) if kind == media.section.kind => {
                if !section.rtcp_mux {
                    return mismatch(section.line, slot.mid, "a=rtcp-mux has to stay in the answer");
                }
                match answered(media, section) {
                    Some(media) => Body::Media(Box::new(media)),
                    None => return mismatch(section.line, slot.mid, "the answer has no codec of the offer"),
                }
            }
            _ => {
                return mismatch(
                    section.line,
                    slot.mid,
                    "the answer's m-line is of another kind than the offer's",
                );
            }
        };
        slots.push(Slot { body, ..slot.clone() });
    }
    Ok((slots, refused))
}

fn answered(offered: &Media, remote: &RemoteSection<'_>) -> Option<Media> {
    let mut media = offered.clone();
    media.peer_sends = remote.direction.sends();
    media.peer_receives = remote.direction.receives();
    media.allow_mixed = remote.allow_mixed;
    media.section.codecs = codecs::intersect(&offered.section.codecs, &remote.codecs);
    let fec = codecs::repair_type(media.section.kind, &remote.codecs);
    media.section.fec = offered.section.fec.filter(|offered| fec == Some(*offered));
    let ours = offered.section.direction;
    media.section.direction =
        direction(ours.sends() && media.peer_receives, ours.receives() && media.peer_sends);
    let is_answered = |line: &ExtensionLine| {
        remote
            .extensions
            .iter()
            .any(|answered| answered.id == line.id && answered.extension == line.extension)
    };
    media.set_extensions(offered.extensions.iter().copied().filter(is_answered).collect());
    media.section.remote_msid = remote.msid.clone().filter(|_| media.section.direction.receives());
    media.section.remote_streams =
        if media.section.direction.receives() { remote.streams.clone() } else { Vec::new() };
    Some(media).filter(|media| !media.section.codecs.is_empty())
}

/// Puts a sender into a section that is new or was free.
fn begin(
    media: &mut Media,
    spec: &SenderSpec,
    (codecs, fec): (Vec<Codec>, Option<u8>),
    numbers: &mut Numbers,
    config: &SessionConfig,
) {
    media.section.sender = Some(spec.id);
    media.section.codecs = codecs;
    media.section.fec = fec.filter(|_| spec.kind == MediaKind::Video && spec.fec_ssrc.is_some());
    media.peer_receives = true;
    let policies = config.extensions.iter().filter(|policy| policy.send && policy.applies_to(spec.kind));
    let lines = policies.filter_map(|policy| {
        let id = numbers.extension_id(policy)?;
        Some(ExtensionLine { id, extension: policy.extension, suffix: None })
    });
    media.set_extensions(lines.collect());
}

/// Adds a section in the place of a dead one, or at the end as long as the peer may be asked for more.
fn add(
    slots: &mut Vec<Slot>,
    config: &SessionConfig,
    next_mid: &mut u64,
    make: impl FnOnce(usize, Mid) -> Slot,
) -> bool {
    let index = slots.iter().position(Slot::is_dead).unwrap_or(slots.len());
    if index >= config.limits.sections {
        return false;
    }
    let mid = loop {
        let name = Mid::new(&next_mid.to_string());
        *next_mid += 1;
        match name {
            Some(mid) if slots.iter().any(|slot| slot.mid == Some(mid)) => {}
            Some(mid) => break mid,
            None => return false,
        }
    };
    let slot = make(index, mid);
    match slots.get_mut(index) {
        Some(place) => *place = slot,
        None => slots.push(slot),
    }
    true
}

fn media_slot(media: Media) -> Slot {
    let name = match media.section.kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    Slot {
        mid: Some(media.section.mid),
        media: name.to_owned(),
        protocol: MEDIA_PROTOCOL.to_owned(),
        format: "0".to_owned(),
        body: Body::Media(Box::new(media)),
    }
}

fn data_slot(mid: Mid) -> Slot {
    Slot {
        mid: Some(mid),
        media: "application".to_owned(),
        protocol: DATA_PROTOCOL.to_owned(),
        format: "webrtc-datachannel".to_owned(),
        body: Body::Data,
    }
}

/// Every codec of the policy under its number in this session: the one by which both sides know it already, or else the
/// policy's own, or else a free one.
fn palette(config: &SessionConfig, numbers: &mut Numbers) -> Vec<Codec> {
    let mut palette: Vec<Codec> = Vec::with_capacity(config.codecs.len());
    for policy in &config.codecs {
        let profile = Profile::of(policy.kind, &policy.fmtp);
        let known = numbers
            .find(|codec| codec.kind == policy.kind && Profile::of(codec.kind, &codec.fmtp) == profile);
        let known = known.map(|codec| (codec.payload_type, codec.rtx));
        let Some(payload_type) =
            known.map_or_else(|| numbers.free(policy.payload_type), |(known, _)| Some(known))
        else {
            continue;
        };
        let mut codec = Codec {
            payload_type,
            kind: policy.kind,
            clock_rate: policy.kind.clock_rate(),
            channels: policy.kind.channels(),
            fmtp: policy.fmtp.clone(),
            rtx: None,
            feedback: policy.feedback,
        };
        numbers.take(&codec);
        codec.rtx = match (known.and_then(|(_, rtx)| rtx), policy.rtx) {
            (known, Some(rtx)) => known.or_else(|| numbers.free(rtx)),
            (_, None) => None,
        };
        numbers.take(&codec);
        palette.push(codec);
    }
    let opus = palette.iter().find(|codec| codec.kind == CodecKind::Opus).map(|codec| codec.payload_type);
    palette.retain_mut(|codec| match (codec.kind, opus) {
        (CodecKind::Red, Some(opus)) => {
            codec.fmtp = format!("{opus}/{opus}");
            true
        }
        (CodecKind::Red, None) => false,
        _ => true,
    });
    palette
}

/// The number of repair packets in this session.
fn repair_type(config: &SessionConfig, numbers: &mut Numbers) -> Option<u8> {
    let wanted = config.fec?;
    let number = numbers.fec().or_else(|| numbers.free(wanted))?;
    numbers.take_fec(number);
    Some(number)
}

/// Whether an offer of ours could give a section to one more sender.
pub(super) fn has_room(slots: &[Slot], spec: &SenderSpec, config: &SessionConfig) -> bool {
    let is_possible = config
        .codecs
        .iter()
        .any(|policy| spec.codecs.contains(&policy.kind) && policy.kind.media() == spec.kind);
    let is_free = |slot: &Slot| {
        slot.is_dead() || slot.media().is_some_and(|media| media.is_free() && media.section.kind == spec.kind)
    };
    is_possible && (slots.len() < config.limits.sections || slots.iter().any(is_free))
}

/// Senders without a section whose section the peer did not reject.
pub(super) fn waiting<'s>(
    slots: &[Slot],
    senders: &'s BTreeMap<SenderId, SenderSpec>,
    refused: &BTreeSet<SenderId>,
) -> Vec<&'s SenderSpec> {
    let mut waiting = answer::unplaced(slots, senders);
    waiting.retain(|spec| !refused.contains(&spec.id));
    waiting
}
