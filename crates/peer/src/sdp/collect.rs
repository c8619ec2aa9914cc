// SPDX-License-Identifier: EUPL-1.2
//! Attributes that only make sense together: those of payload types, of simulcast layers, of SSRCs.

use std::collections::{BTreeMap, BTreeSet};

use parvis_rtp::Rid;

use super::remote::{Purpose, RemoteCodec, parse_msid};
use super::{Feedback, Msid, RemoteStream};

const PAYLOAD_TYPES: usize = 128;

/// How many SSRCs, and how many RIDs, a section may name before the rest is passed over. Four layers with their
/// retransmissions are eight; Firefox names them twice.
const MAX_REMEMBERED: usize = 32;

/// `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` of the payload types on the m-line. Those of others are passed over: Firefox
/// leaves such lines behind when codecs are taken out.
pub(super) struct PayloadTypes<'a, 'c> {
    codecs: &'c mut Vec<RemoteCodec<'a>>,
    index: [Option<u8>; PAYLOAD_TYPES],
    for_all: Feedback,
}

impl<'a, 'c> PayloadTypes<'a, 'c> {
    pub(super) fn new(codecs: &'c mut Vec<RemoteCodec<'a>>, purpose: Purpose, formats: &'a str) -> Self {
        let mut index = [None; PAYLOAD_TYPES];
        if matches!(purpose, Purpose::Media(_)) {
            for payload_type in formats.split_ascii_whitespace().filter_map(|word| word.parse::<u8>().ok()) {
                let Some(place) = index.get_mut(usize::from(payload_type)).filter(|place| place.is_none())
                else {
                    continue;
                };
                *place = Some(codecs.len() as u8);
                codecs.push(RemoteCodec {
                    payload_type,
                    name: "",
                    clock_rate: 0,
                    channels: 0,
                    fmtp: "",
                    feedback: Feedback::default(),
                });
            }
        }
        PayloadTypes { codecs, index, for_all: Feedback::default() }
    }

    fn codec(&mut self, payload_type: &str) -> Option<&mut RemoteCodec<'a>> {
        let payload_type: usize = payload_type.parse().ok()?;
        let index = (*self.index.get(payload_type)?)?;
        self.codecs.get_mut(usize::from(index))
    }

    /// `<payload type> <name>/<clock rate>[/<channels>]`.
    pub(super) fn map(&mut self, value: &'a str) {
        let Some((payload_type, rest)) = value.split_once(' ') else { return };
        let Some(codec) = self.codec(payload_type) else { return };
        let mut parts = rest.trim().split('/');
        codec.name = parts.next().unwrap_or_default();
        codec.clock_rate = parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(0);
        codec.channels = parts.next().map_or(1, |channels| channels.parse().unwrap_or(0));
    }

    /// `<payload type> <parameters>`.
    pub(super) fn parameters(&mut self, value: &'a str) {
        let Some((payload_type, rest)) = value.split_once(' ') else { return };
        if let Some(codec) = self.codec(payload_type) {
            codec.fmtp = rest.trim();
        }
    }

    /// `<payload type or *> <what> [<more>]`.
    pub(super) fn feedback(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let Some(payload_type) = words.next() else { return };
        let feedback = match payload_type {
            "*" => &mut self.for_all,
            _ => match self.codec(payload_type) {
                Some(codec) => &mut codec.feedback,
                None => return,
            },
        };
        match (words.next(), words.next()) {
            (Some("nack"), None) => feedback.nack = true,
            (Some("nack"), Some("pli")) => feedback.pli = true,
            (Some("ccm"), Some("fir")) => feedback.fir = true,
            (Some("transport-cc"), _) => feedback.transport_cc = true,
            (Some("goog-remb"), _) => feedback.remb = true,
            _ => {}
        }
    }

    pub(super) fn finish(self) {
        for codec in self.codecs {
            codec.feedback = codec.feedback.or(self.for_all);
        }
    }
}

/// `a=rid` and `a=simulcast` (RFC 8851, RFC 8853).
#[derive(Default)]
pub(super) struct Layers<'a> {
    sent: BTreeSet<&'a str>,
    order: Option<&'a str>,
}

impl<'a> Layers<'a> {
    pub(super) fn rid(&mut self, value: &'a str) {
        let mut words = value.split_ascii_whitespace();
        if let (Some(rid), Some("send")) = (words.next(), words.next())
            && self.sent.len() < MAX_REMEMBERED
        {
            self.sent.insert(rid);
        }
    }

    /// `send q;~h;f recv …`, either part alone, in either order.
    pub(super) fn simulcast(&mut self, value: &'a str) {
        let mut words = value.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if word == "send" {
                self.order = words.next();
            }
        }
    }

    /// The layers in their order. A layer that starts paused (`~`) is a layer like any other: the peer says by sending
    /// when it goes on. Of alternatives (`q,r`) the first is taken.
    pub(super) fn finish(self, limit: usize, ignored: &mut u64) -> Vec<Rid> {
        let Some(order) = self.order else { return Vec::new() };
        let mut rids = Vec::new();
        for layer in order.split(';') {
            let first = layer.split(',').next().unwrap_or_default();
            let name = first.strip_prefix('~').unwrap_or(first);
            let Some(rid) = Rid::new(name) else { continue };
            if rids.contains(&rid) || !self.sent.contains(name) {
                continue;
            }
            if rids.len() == limit {
                *ignored += 1;
                continue;
            }
            rids.push(rid);
        }
        rids
    }
}

/// `a=ssrc` and `a=ssrc-group` (RFC 5576).
#[derive(Default)]
pub(super) struct Sources {
    /// In the order of first mention, each with the SSRCs of its retransmissions and of its repair packets.
    order: Vec<u32>,
    seen: BTreeMap<u32, Role>,
    /// Mentions beyond [`MAX_REMEMBERED`].
    forgotten: u64,
    pub(super) msid: Option<Msid>,
}

#[derive(Clone, Copy)]
enum Role {
    Media {
        rtx: Option<u32>,
        fec: Option<u32>,
    },
    /// Another's retransmissions or repair packets.
    Companion,
}

impl Sources {
    /// `<ssrc> <attribute>[:<value>]`; the msid of old clients stands here.
    pub(super) fn source(&mut self, value: &str) {
        let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
        let Ok(ssrc) = ssrc.parse() else { return };
        self.mention(ssrc);
        if self.msid.is_none() {
            self.msid = attribute.trim().strip_prefix("msid:").and_then(parse_msid);
        }
    }

    /// `FID <ssrc> <ssrc of its retransmissions>`, `FEC-FR <ssrc> <ssrc of its repair packets>`; other groups only tell
    /// an order.
    pub(super) fn group(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace();
        let meaning = words.next();
        let mut ssrcs = words.filter_map(|word| word.parse().ok());
        if let Some(meaning @ ("FID" | "FEC-FR")) = meaning {
            if let (Some(media), Some(companion), None) = (ssrcs.next(), ssrcs.next(), ssrcs.next()) {
                self.mention(media);
                self.mention(companion);
                let known = self.seen.contains_key(&companion);
                if let (true, Some(Role::Media { rtx, fec })) = (known, self.seen.get_mut(&media)) {
                    *(if meaning == "FID" { rtx } else { fec }) = Some(companion);
                    self.seen.insert(companion, Role::Companion);
                }
            }
        } else if meaning == Some("SIM") {
            ssrcs.for_each(|ssrc| self.mention(ssrc));
        }
    }

    fn mention(&mut self, ssrc: u32) {
        if self.seen.len() >= MAX_REMEMBERED && !self.seen.contains_key(&ssrc) {
            self.forgotten += 1;
            return;
        }
        self.seen.entry(ssrc).or_insert_with(|| {
            self.order.push(ssrc);
            Role::Media { rtx: None, fec: None }
        });
    }

    pub(super) fn finish(&self, limit: usize, ignored: &mut u64) -> Vec<RemoteStream> {
        *ignored += self.forgotten;
        let mut streams = Vec::new();
        for ssrc in &self.order {
            let Some(Role::Media { rtx, fec }) = self.seen.get(ssrc) else { continue };
            if streams.len() == limit {
                *ignored += 1;
                continue;
            }
            streams.push(RemoteStream { ssrc: *ssrc, rtx: *rtx, fec: *fec });
        }
        streams
    }
}

impl Feedback {
    fn or(self, other: Feedback) -> Feedback {
        Feedback {
            nack: self.nack || other.nack,
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            transport_cc: self.transport_cc || other.transport_cc,
            remb: self.remb || other.remb,
        }
    }

    /// What both sides have.
    pub(super) fn and(self, other: Feedback) -> Feedback {
        Feedback {
            nack: self.nack && other.nack,
            pli: self.pli && other.pli,
            fir: self.fir && other.fir,
            transport_cc: self.transport_cc && other.transport_cc,
            remb: self.remb && other.remb,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(simulcast: &str, sent: &[&str]) -> (Vec<String>, u64) {
        let mut layers = Layers::default();
        let lines: Vec<_> = sent.iter().map(|rid| format!("{rid} send")).collect();
        lines.iter().for_each(|line| layers.rid(line));
        layers.simulcast(simulcast);
        let mut ignored = 0;
        let rids = layers.finish(4, &mut ignored);
        (rids.iter().map(Rid::to_string).collect(), ignored)
    }

    #[test]
    fn layers_keep_the_order_of_the_simulcast_line_paused_or_not() {
        assert_eq!(layers("send q;~h;f", &["f", "h", "q"]), (vec!["q".into(), "h".into(), "f".into()], 0));
        assert_eq!(
            layers("recv x send 2,9;1;0", &["0", "1", "2"]),
            (vec!["2".into(), "1".into(), "0".into()], 0)
        );
        assert_eq!(layers("recv q;h", &["q", "h"]).0, Vec::<String>::new());
        assert_eq!(
            layers("send q;h;q", &["q"]).0,
            ["q"],
            "a layer without its a=rid is none, nor is one twice"
        );
    }

    #[test]
    fn a_fifth_layer_is_ignored_and_counted() {
        assert_eq!(layers("send a;b;c;d;e", &["a", "b", "c", "d", "e"]).0, ["a", "b", "c", "d"]);
        assert_eq!(layers("send a;b;c;d;e", &["a", "b", "c", "d", "e"]).1, 1);
    }

    #[test]
    fn retransmissions_are_found_whether_the_group_comes_first_or_last() {
        let mut ignored = 0;
        for lines in [["g FID 1 2", "1 cname:x", "2 cname:x"], ["1 cname:x", "2 msid:s t", "g FID 1 2"]] {
            let mut sources = Sources::default();
            for line in lines {
                match line.strip_prefix("g ") {
                    Some(group) => sources.group(group),
                    None => sources.source(line),
                }
            }
            assert_eq!(sources.finish(8, &mut ignored), [RemoteStream { ssrc: 1, rtx: Some(2), fec: None }]);
        }
        let mut sources = Sources::default();
        (0..20).for_each(|ssrc| sources.source(&format!("{ssrc} cname:x")));
        assert_eq!(sources.finish(8, &mut ignored).len(), 8);
        assert_eq!(ignored, 12);
        (0..100).for_each(|ssrc| sources.group(&format!("FID {ssrc} {}", 1000 + ssrc)));
        assert_eq!(sources.finish(8, &mut ignored)[7], RemoteStream { ssrc: 7, rtx: Some(1007), fec: None });
        assert!(sources.seen.len() <= MAX_REMEMBERED);
    }
}
