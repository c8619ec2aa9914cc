// SPDX-License-Identifier: EUPL-1.2
//! The peer offers: which of it we take, and which of our senders find a place in it.

use std::collections::{BTreeMap, BTreeSet};

use parvis_rtp::{Extension, ExtensionMap};

use super::remote::{Purpose, Remote, RemoteExtension, RemoteSection};
use super::slot::{Body, ExtensionLine, Media, Slot, direction, new_section};
use super::{Direction, EncoderPreference, MediaKind, SdpError, SenderId, SenderSpec, SessionConfig, codecs};

/// The m-lines as the offer would have them, senders of before in their places.
pub(super) fn take_offer(
    agreed: &[Slot],
    remote: &Remote<'_>,
    config: &SessionConfig,
) -> Result<Vec<Slot>, SdpError> {
    if remote.sections.len() < agreed.len() {
        let what = "an offer has to keep the sections of the one before it; stopped ones stay with port 0";
        return Err(SdpError::Mismatch { line: 0, mid: String::new(), what });
    }
    let mut extensions = ExtensionMap::default();
    let mut slots: Vec<Slot> = Vec::with_capacity(remote.sections.len());
    let (mut has_data, mut has_any) = (false, false);
    for (index, section) in remote.sections.iter().enumerate() {
        let former = agreed.get(index).filter(|slot| !slot.is_dead());
        if let Some(former) = former.filter(|_| !section.rejected) {
            check_unchanged(former, section)?;
        }
        // Without a group there is one transport all the same: the first section's.
        let bundled = match (&remote.bundle, section.mid) {
            (_, None) => false,
            (Some(_), Some(mid)) => remote.is_bundled(mid),
            (None, Some(_)) => !has_any,
        };
        let mut slot = Slot::dead(section);
        if bundled && !section.rejected {
            match section.purpose {
                Purpose::Media(kind) if section.rtcp_mux => {
                    let media = take_media(index, kind, section, former, config, &mut extensions);
                    slot.body = media.map_or(Body::Dead, |media| Body::Media(Box::new(media)));
                }
                Purpose::Data if config.data_channels && !has_data => {
                    has_data = true;
                    slot.body = Body::Data;
                }
                _ => {}
            }
        }
        has_any |= !slot.is_dead();
        slots.push(slot);
    }
    Ok(slots)
}

fn check_unchanged(former: &Slot, section: &RemoteSection<'_>) -> Result<(), SdpError> {
    let mismatch = |what| {
        let mid = former.mid.map(|mid| mid.to_string()).unwrap_or_default();
        Err(SdpError::Mismatch { line: section.line, mid, what })
    };
    if former.mid != section.mid {
        return mismatch("a section has to keep its a=mid until it was rejected or stopped");
    }
    if former.media != section.media {
        return mismatch("a section has to keep its kind until it was rejected or stopped");
    }
    Ok(())
}

/// `None` rejects the section: it has nothing that we could forward.
fn take_media(
    index: usize,
    kind: MediaKind,
    remote: &RemoteSection<'_>,
    former: Option<&Slot>,
    config: &SessionConfig,
    known: &mut ExtensionMap,
) -> Option<Media> {
    let accepted = codecs::accept(&config.codecs, kind, &remote.codecs);
    if accepted.is_empty() {
        return None;
    }
    let former = former.and_then(Slot::media);
    let peer_sends = remote.direction.sends();
    let mut section = new_section(index, remote.mid?, kind, former.and_then(|media| media.section.sender));
    section.codecs = accepted;
    let mut media = Media {
        section,
        peer_sends,
        peer_receives: remote.direction.receives(),
        allow_mixed: remote.allow_mixed,
        extensions: Vec::new(),
    };
    let mut lines = Vec::new();
    for offered in &remote.extensions {
        let policy = config.extensions.iter().find(|policy| policy.extension == offered.extension);
        let Some(policy) = policy.filter(|policy| policy.applies_to(kind)) else { continue };
        // What we only send stays wherever we might come to send: Chromium does not offer again what it once lost.
        let send = policy.send && (policy.receive || media.peer_receives);
        let Some(line) = answer_extension(offered, send, policy.receive) else { continue };
        // One id is one extension in the whole group, and one extension has one id: who breaks it loses the later line.
        let is_new = known.id(line.extension).is_none();
        if (is_new && known.insert(line.id, line.extension)) || known.id(line.extension) == Some(line.id) {
            lines.push(line);
        }
    }
    media.set_extensions(lines);
    let section = &mut media.section;
    // Without the extension that carries them, layers can't be told apart (RFC 8853 section 5.5).
    if section.extensions.id(Extension::Rid).is_some() {
        section.rids.clone_from(&remote.rids);
    }
    // Layers told apart by name have no SSRCs that a repair packet's could be grouped with.
    if config.fec.is_some() && section.rids.is_empty() {
        section.fec = codecs::repair_type(kind, &remote.codecs);
    }
    if peer_sends {
        section.remote_msid.clone_from(&remote.msid);
        if section.rids.is_empty() {
            section.remote_streams.clone_from(&remote.streams);
        }
    }
    Some(media)
}

/// The peer's direction turned to ours (RFC 8285 section 7). Copied as it stands it would say the opposite, and Firefox
/// would then send no RID.
fn answer_extension(offered: &RemoteExtension, send: bool, receive: bool) -> Option<ExtensionLine> {
    let ours = direction(send && offered.direction.receives(), receive && offered.direction.sends());
    let suffix = match (offered.direction, ours) {
        (_, Direction::Inactive) => return None,
        // What both might use both ways is left as the peer wrote it: our policy shows in what we do.
        (Direction::SendRecv, _) => None,
        (_, ours) => Some(ours),
    };
    Some(ExtensionLine { id: offered.id, extension: offered.extension, suffix })
}

/// Settles what we answer: places senders that have no section, lets sections whose sender is gone rest, and keeps each
/// section's codecs to what its sender may be sent in.
pub(super) fn settle(
    slots: &mut [Slot],
    senders: &BTreeMap<SenderId, SenderSpec>,
    preferences: &BTreeMap<String, EncoderPreference>,
) {
    let waiting = unplaced(slots, senders);
    place(slots, &waiting);
    for media in slots.iter_mut().filter_map(Slot::media_mut) {
        let spec = media.section.sender.and_then(|id| senders.get(&id));
        // A peer that came to take other codecs than its sender's gets nothing, and keeps the section.
        let restricted = spec.map(|spec| codecs::restricted(&media.section.codecs, &spec.codecs));
        let sends = media.peer_receives && restricted.as_ref().is_some_and(|codecs| !codecs.is_empty());
        if let Some(restricted) = restricted.filter(|_| sends && !media.peer_sends) {
            media.section.codecs = restricted;
        }
        media.section.sender = spec.map(|spec| spec.id);
        media.section.direction = direction(sends, media.peer_sends);
        let track = media.section.remote_msid.as_ref().map(|msid| msid.track.as_str());
        if let Some(preference) = track.and_then(|track| preferences.get(track)) {
            codecs::prefer(&mut media.section.codecs, *preference);
        }
    }
}

/// Senders without a section, in their order.
pub(super) fn unplaced<'s>(
    slots: &[Slot],
    senders: &'s BTreeMap<SenderId, SenderSpec>,
) -> Vec<&'s SenderSpec> {
    let placed: BTreeSet<SenderId> =
        slots.iter().filter_map(Slot::media).filter_map(|media| media.section.sender).collect();
    senders.values().filter(|spec| !placed.contains(&spec.id)).collect()
}

/// Gives each sender the first free section that the peer receives in and whose codecs fit, preferring those that carry
/// nothing from the peer.
fn place(slots: &mut [Slot], waiting: &[&SenderSpec]) {
    for spec in waiting {
        let mut best: Option<usize> = None;
        for (index, slot) in slots.iter().enumerate() {
            let Some(media) = slot.media() else { continue };
            if !fits(media, spec) {
                continue;
            }
            if !media.peer_sends {
                best = Some(index);
                break;
            }
            best = best.or(Some(index));
        }
        if let Some(media) = best.and_then(|index| slots.get_mut(index)).and_then(Slot::media_mut) {
            media.section.sender = Some(spec.id);
        }
    }
}

/// Whether the sender could go into this section.
pub(super) fn fits(media: &Media, spec: &SenderSpec) -> bool {
    media.is_free()
        && media.section.kind == spec.kind
        && media.peer_receives
        && media.section.codecs.iter().any(|codec| spec.codecs.contains(&codec.kind))
}
