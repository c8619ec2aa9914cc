// SPDX-License-Identifier: EUPL-1.2
//! What a client makes of what comes: streams, requests for what is missing, feedback, reports, data messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use parvis_peer::Path;
use parvis_rtp::red::Red;
use parvis_rtp::rtcp::{self, ReportBlock, Rtcp, Writer};
use parvis_rtp::{ExtensionMap, Packet, PlayoutDelay, rtx};
use rustc_hash::FxHashMap;

use crate::deeds::Attack;
use crate::media::{LAYERS, Mark};
use crate::receiver::{Reception, VideoIn};
use crate::sdp::{Kind, Remote};
use crate::transport::Connection;
use crate::{ClientId, data};

const FEEDBACK_EVERY: Duration = Duration::from_millis(50);
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// The SSRC from which every client reports: it sends nothing from it.
const OWN_SSRC: u32 = 1;
/// Different playout delays that are remembered.
const DELAYS: usize = 64;
/// Requests of a flood in one report: a thousand a second.
const FLOOD: usize = 50;

/// What was got of one publisher.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Got {
    pub(crate) sounds: u64,
    pub(crate) sound: Flow,
    pub(crate) pictures: u64,
    pub(crate) picture: Flow,
    /// Pictures as they were shown, and the longest time between two of them.
    pub(crate) shown: u64,
    pub(crate) longest_still: Duration,
    last_shown: Option<Instant>,
    pub(crate) messages: u64,
    /// The last one that had no number.
    pub(crate) last_lossy: Option<Instant>,
    /// Packets of sound that came, those that were heard at last, and frames that were decoded, by layer.
    sound_once: Once,
    heard_once: Once,
    pictures_once: [Once; LAYERS.len()],
}

/// When last something came, and the longest gap that has ended since somebody looked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flow {
    pub(crate) last: Option<Instant>,
    longest: Option<Gap>,
}

/// A time in which nothing came: since when, `None` when nothing had come before, and what came then ended it.
#[derive(Debug, Clone, Copy)]
struct Gap {
    since: Option<Instant>,
    until: Instant,
}

impl Flow {
    pub(crate) fn note(&mut self, now: Instant) {
        let gap = Gap { since: self.last.replace(now), until: now };
        if self.longest.is_none_or(|longest| longest.length() < gap.length()) {
            self.longest = Some(gap);
        }
    }

    /// The longest time without anything, of those that have ended since the last look and the one that lasts; what of it was
    /// before `begin` doesn't count.
    pub(crate) fn silent(&self, begin: Instant, now: Instant) -> Duration {
        let of = |since: Option<Instant>, until: Instant| {
            until.saturating_duration_since(since.map_or(begin, |since| since.max(begin)))
        };
        let ended = self.longest.map_or(Duration::ZERO, |gap| of(gap.since, gap.until));
        ended.max(of(self.last, now))
    }
}

impl Gap {
    fn length(&self) -> Duration {
        self.since.map_or(Duration::MAX, |since| self.until.duration_since(since))
    }
}

/// What was held against the truth, and how often.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Compared {
    /// The order of messages.
    pub(crate) messages: u64,
    /// The references of pictures.
    pub(crate) references: u64,
    /// Sound and pictures that may come once.
    pub(crate) repeats: u64,
}

/// What came of a stream whose parts are numbered, as far as its newest 64.
#[derive(Debug, Clone, Copy, Default)]
struct Once {
    highest: u32,
    seen: u64,
}

impl Once {
    /// A part came. Whether it is the first time; of an old one, nobody knows.
    fn is_first(&mut self, number: u32) -> bool {
        let ahead = number.saturating_sub(self.highest);
        self.seen = self.seen.checked_shl(ahead).unwrap_or(0);
        self.highest = self.highest.max(number);
        let Some(bit) = 1_u64.checked_shl(self.highest - number) else { return true };
        let first = self.seen & bit == 0;
        self.seen |= bit;
        first
    }
}

/// When packets came, by their numbers on the transport, from the first one on that has not been told yet.
#[derive(Debug, Default)]
struct Arrivals {
    first: u64,
    /// The first and the last of them came.
    times: VecDeque<Option<Instant>>,
    /// The highest number that ever came.
    highest: Option<u64>,
}

impl Arrivals {
    fn note(&mut self, now: Instant, sequence: u16) {
        let number = self.highest.map_or(0x1_0000 + u64::from(sequence), |highest| {
            highest.wrapping_add_signed(i64::from(sequence.wrapping_sub(highest as u16) as i16))
        });
        self.highest = self.highest.max(Some(number));
        if self.times.is_empty() {
            self.first = number;
        }
        // One that is late, when later ones were told already.
        while number < self.first {
            self.first -= 1;
            self.times.push_front(None);
        }
        let place = (number - self.first) as usize;
        if place >= self.times.len() {
            self.times.resize(place + 1, None);
        }
        self.times[place] = Some(now);
    }

    /// So many of them, from the first on, were told.
    fn forget(&mut self, count: usize) {
        let told = count.min(self.times.len());
        let missing = self.times.iter().skip(told).take_while(|at| at.is_none()).count();
        self.times.drain(..told + missing);
        self.first += (told + missing) as u64;
    }
}

#[derive(Default)]
pub(crate) struct Receiving {
    begin: Option<Instant>,
    extensions: ExtensionMap,
    /// What an SSRC carries, or the one that it repairs.
    kinds: FxHashMap<u32, Kind>,
    repairs: FxHashMap<u32, u32>,
    /// The payload type of redundant sound.
    red: Option<u8>,
    videos: BTreeMap<u32, VideoIn>,
    receptions: BTreeMap<u32, Reception>,
    sender_reports: BTreeMap<u32, (u32, Instant)>,
    /// What packets of pictures say of how long they may be held, at least and at most; `None` where one said nothing.
    pub(crate) told_delays: BTreeSet<Option<(u16, u16)>>,
    arrivals: Arrivals,
    feedback_count: u8,
    next_feedback: Option<Instant>,
    next_report: Option<Instant>,
    pub(crate) got: BTreeMap<ClientId, Got>,
    /// The last reliable message of each sender's, by the sid under which it came: what it says when it resumes. Hidden
    /// senders have none.
    pub(crate) counts: BTreeMap<String, u32>,
    /// And by who truly sent it.
    last_of: BTreeMap<ClientId, u32>,
    /// Who lost the right to send messages after so many: those behind them are not missed, if it may send again.
    pub(crate) silenced: BTreeMap<ClientId, u32>,
    pub(crate) compared: Compared,
    pub(crate) unknown_ssrc: u64,
    pub(crate) wrong: Vec<String>,
    /// What is wrong with someone's media.
    pub(crate) spoilt: Vec<(ClientId, String)>,
}

impl Receiving {
    /// Reads in the server's description what comes.
    pub(crate) fn learn(&mut self, remote: &Remote) {
        for section in remote.sections.iter().filter(|section| section.live && section.sends) {
            let (Some(kind), Some(ssrc)) = (section.kind, section.ssrcs.first()) else { continue };
            // An id means the same in all of a BUNDLE group (RFC 8843 section 9.2).
            for (id, extension) in section.extensions.iter() {
                self.extensions.insert(id, extension);
            }
            self.red = section.red.or(self.red);
            self.kinds.insert(*ssrc, kind);
            if let Some(rtx) = section.ssrcs.get(1) {
                self.repairs.insert(*rtx, *ssrc);
            }
        }
    }

    pub(crate) fn rtp(&mut self, now: Instant, bytes: &[u8]) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let extensions = packet.extensions(&self.extensions);
        if let Some(sequence) = extensions.transport_sequence {
            self.arrivals.note(now, sequence);
        }
        if let Some(media) = self.repairs.get(&packet.ssrc).copied() {
            if let Some((sequence, payload)) = rtx::split(packet.payload) {
                if !payload.is_empty() {
                    self.tell_delay(media, extensions.playout_delay);
                }
                let place = (sequence, packet.marker, packet.timestamp);
                self.video(now, media, place, extensions.dependency_descriptor, payload);
            }
            return;
        }
        match self.kinds.get(&packet.ssrc) {
            Some(Kind::Video) => {
                self.receptions.entry(packet.ssrc).or_default().on(&packet);
                if !packet.payload.is_empty() {
                    self.tell_delay(packet.ssrc, extensions.playout_delay);
                }
                let place = (packet.sequence, packet.marker, packet.timestamp);
                self.video(now, packet.ssrc, place, extensions.dependency_descriptor, packet.payload);
            }
            Some(_) => {
                self.receptions.entry(packet.ssrc).or_default().on(&packet);
                self.sound(now, packet.payload_type, packet.payload);
            }
            None => {
                self.unknown_ssrc += 1;
                self.sound(now, packet.payload_type, packet.payload);
            }
        }
    }

    pub(crate) fn rtcp(&mut self, now: Instant, compound: &[u8]) {
        for packet in rtcp::packets(compound).map_while(Result::ok) {
            if let Rtcp::SenderReport(report) = packet {
                self.sender_reports.insert(report.ssrc, ((report.info.ntp >> 16) as u32, now));
            }
        }
    }

    pub(crate) fn message(&mut self, now: Instant, label: &str, message: &[u8]) {
        let Some((from, sid, count)) = data::read(message) else { return };
        let got = self.got.entry(from).or_default();
        got.messages += 1;
        if label != "_reliable" {
            got.last_lossy = Some(now);
            return;
        }
        let last = self.last_of.entry(from).or_default();
        self.compared.messages += u64::from(*last != 0);
        // Replayed after a resume, it may come twice; it may never come late.
        let silenced = self.silenced.get(&from).is_some_and(|said| *last <= *said && *said < count);
        if *last != 0 && count > *last + 1 && !silenced {
            self.wrong.push(format!("reliable message {count} of {from:?} came after {last}"));
        }
        *last = count.max(*last);
        if sid.is_empty() {
            return;
        }
        match self.counts.get_mut(sid) {
            Some(count) => *count = *last,
            None => {
                self.counts.insert(sid.to_owned(), *last);
            }
        }
    }

    /// The number of the last reliable message that came of someone; 0 before the first.
    pub(crate) fn last_message(&self, from: ClientId) -> u32 {
        self.last_of.get(&from).copied().unwrap_or_default()
    }

    /// Somebody looked: gaps that ended until now are known.
    pub(crate) fn looked_at(&mut self) {
        for got in self.got.values_mut() {
            (got.sound.longest, got.picture.longest) = (None, None);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next_feedback
    }

    pub(crate) fn act(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        attack: Option<Attack>,
        out: &mut Vec<(Path, Vec<u8>)>,
    ) {
        if !connection.is_up() {
            // One that the server has closed is due for nothing any more.
            self.next_feedback = None;
            return;
        }
        self.begin.get_or_insert(now);
        self.show(now);
        if self.next_feedback.is_some_and(|due| due > now) {
            return;
        }
        self.next_feedback = Some(now + FEEDBACK_EVERY);
        if attack == Some(Attack::NeverAcknowledges) {
            return;
        }
        let mut buf = [0; 1300];
        let mut writer = Writer::new(&mut buf);
        if self.next_report.is_none_or(|due| due <= now) {
            self.next_report = Some(now + REPORT_EVERY);
            self.report(now, &mut writer);
        }
        self.feedback(attack == Some(Attack::ClaimsAll), &mut writer);
        self.flood(attack, &mut writer);
        for (ssrc, video) in &mut self.videos {
            let (sequences, key) = video.ask(now);
            if !sequences.is_empty() {
                let _ = writer.nack(OWN_SSRC, *ssrc, sequences);
            }
            if key {
                let _ = writer.pli(OWN_SSRC, *ssrc);
            }
        }
        let len = writer.len();
        if len > 0
            && let Some(len) = connection.protect(&mut buf, len, true)
        {
            out.push((connection.path, buf[..len].to_vec()));
        }
    }

    fn sound(&mut self, now: Instant, payload_type: u8, payload: &[u8]) {
        let red = Some(payload_type) == self.red;
        let Some(red) = red.then(|| Red::parse(payload).ok()).flatten() else {
            return self.hear(now, payload, true);
        };
        red.redundant().for_each(|block| self.hear(now, block.payload, false));
        self.hear(now, red.primary.payload, true);
    }

    /// Sound that came by itself (`primary`), or once more with a later one.
    fn hear(&mut self, now: Instant, payload: &[u8], primary: bool) {
        let Some(mark) = Mark::read(payload) else { return };
        let got = self.got.entry(ClientId(mark.publisher)).or_default();
        if mark.video {
            return;
        }
        got.sound.note(now);
        got.sounds += u64::from(got.heard_once.is_first(mark.frame));
        self.compared.repeats += u64::from(primary);
        if primary && !got.sound_once.is_first(mark.frame) {
            let whose = ClientId(mark.publisher);
            self.spoilt.push((whose, format!("sound {} of c{} came twice", mark.frame, whose.0)));
        }
    }

    fn video(
        &mut self,
        now: Instant,
        ssrc: u32,
        place: (u16, bool, u32),
        descriptor: Option<&[u8]>,
        payload: &[u8],
    ) {
        if let Some(mark) = Mark::read(payload) {
            self.got.entry(ClientId(mark.publisher)).or_default();
        }
        let video = self.videos.entry(ssrc).or_default();
        video.take(now, place, descriptor, payload);
        self.spoilt.extend(video.wrong.take().map(|(whose, what)| (ClientId(whose), what)));
        for (mark, timestamp) in video.decoded.drain(..) {
            video.playout.decoded(now, timestamp);
            self.compared.references += 1;
            self.compared.repeats += 1;
            let got = self.got.entry(ClientId(mark.publisher)).or_default();
            got.pictures += 1;
            got.picture.note(now);
            let once = got.pictures_once.get_mut(usize::from(mark.layer));
            if once.is_some_and(|once| !once.is_first(mark.frame)) {
                self.spoilt.push((ClientId(mark.publisher), format!("frame {mark:?} was decoded twice")));
            }
            video.whose = Some(mark.publisher);
        }
        self.show(now);
    }

    /// A packet of a stream says how long its picture may be held, or nothing of it.
    fn tell_delay(&mut self, ssrc: u32, delay: Option<PlayoutDelay>) {
        if self.told_delays.len() < DELAYS {
            self.told_delays.insert(delay.map(|delay| (delay.min, delay.max)));
        }
        self.videos.entry(ssrc).or_default().playout.told(delay);
    }

    /// Shows the pictures whose time has come.
    fn show(&mut self, now: Instant) {
        for video in self.videos.values_mut() {
            let Some(got) = video.whose.and_then(|whose| self.got.get_mut(&ClientId(whose))) else {
                continue;
            };
            while let Some(at) = video.playout.shown(now) {
                let still = got.last_shown.replace(at).map_or(Duration::ZERO, |last| at - last);
                got.shown += 1;
                got.longest_still = got.longest_still.max(still);
            }
        }
    }

    /// A thousand requests a second for what is not missing.
    fn flood(&self, attack: Option<Attack>, writer: &mut Writer<'_>) {
        let videos = self.kinds.iter().filter(|(_, kind)| **kind == Kind::Video).map(|(ssrc, _)| *ssrc);
        match attack {
            Some(Attack::AsksForKeyFrames) => {
                for ssrc in videos.cycle().take(FLOOD) {
                    let _ = writer.pli(OWN_SSRC, ssrc);
                }
            }
            Some(Attack::AsksForPackets) => {
                for ssrc in videos {
                    let Some(highest) = self.receptions.get(&ssrc).and_then(Reception::highest) else {
                        continue;
                    };
                    let _ = writer.nack(
                        OWN_SSRC,
                        ssrc,
                        (0..FLOOD as u16).map(|back| highest.wrapping_sub(FLOOD as u16 - back)),
                    );
                }
            }
            _ => {}
        }
    }

    /// Transport-wide feedback on what came since the last; a liar's says that everything came at one time.
    fn feedback(&mut self, lies: bool, writer: &mut Writer<'_>) {
        let Some(begin) = self.begin.filter(|_| !self.arrivals.times.is_empty()) else { return };
        let ticks = |at: Instant| (at.saturating_duration_since(begin).as_micros() / 250) as i64;
        let times = self.arrivals.times.iter();
        let mut statuses: Vec<Option<i64>> = times.map(|at| at.map(ticks)).collect();
        if let Some(claim) = statuses.first().copied().flatten().filter(|_| lies) {
            statuses.fill(Some(claim));
        }
        let (count, first) = (self.feedback_count, self.arrivals.first as u16);
        if let Ok(covered) = writer.transport_feedback(OWN_SSRC, 0, count, first, &statuses) {
            self.feedback_count = count.wrapping_add(1);
            self.arrivals.forget(covered);
        }
    }

    fn report(&mut self, now: Instant, writer: &mut Writer<'_>) {
        let mut blocks = Vec::new();
        for (ssrc, reception) in &mut self.receptions {
            let Some((fraction_lost, cumulative_lost, highest)) = reception.report() else { continue };
            let (last_sr, at) = self.sender_reports.get(ssrc).copied().unwrap_or((0, now));
            let since = (now.duration_since(at).as_micros() * 65_536 / 1_000_000) as u32;
            blocks.push(ReportBlock {
                ssrc: *ssrc,
                fraction_lost,
                cumulative_lost,
                extended_highest_sequence: highest,
                jitter: 0,
                last_sr,
                delay_since_last_sr: if last_sr == 0 { 0 } else { since },
            });
        }
        blocks.truncate(31);
        let _ = writer.receiver_report(OWN_SSRC, &blocks);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Arrivals, Flow, Once};

    #[test]
    fn what_came_is_told_once_and_from_the_first_that_came_to_the_last() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut arrivals = Arrivals::default();
        for (ms, sequence) in [(1, 65_534), (2, 0), (3, 65_535), (4, 3)] {
            arrivals.note(at(ms), sequence);
        }
        assert_eq!(arrivals.first, 0x1_fffe);
        assert_eq!(arrivals.times, [Some(at(1)), Some(at(3)), Some(at(2)), None, None, Some(at(4))]);
        arrivals.forget(3);
        assert_eq!(
            (arrivals.first, arrivals.times.len()),
            (0x2_0003, 1),
            "a gap is not told at the beginning"
        );
        arrivals.forget(1);
        assert!(arrivals.times.is_empty());
        arrivals.note(at(5), 5);
        arrivals.note(at(6), 1);
        assert_eq!(arrivals.first, 0x2_0001);
        assert_eq!(arrivals.times, [Some(at(6)), None, None, None, Some(at(5))], "a late one is told, too");
    }

    #[test]
    fn a_gap_that_ended_between_two_looks_is_told_and_what_of_it_was_before_the_begin_is_not() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let silent = |flow: &Flow, begin, now| flow.silent(at(begin), at(now)).as_millis();
        let mut flow = Flow::default();
        assert_eq!(silent(&flow, 10, 250), 240, "nothing ever came");
        [100, 120, 140, 340, 360, 480].into_iter().for_each(|ms| flow.note(at(ms)));
        assert_eq!(silent(&flow, 10, 500), 90, "until the first one, which is the longest: it has no begin");
        flow.longest = None;
        [490, 690, 710, 810].into_iter().for_each(|ms| flow.note(at(ms)));
        assert_eq!(silent(&flow, 0, 820), 200);
        assert_eq!(silent(&flow, 600, 820), 90);
        assert_eq!(silent(&flow, 0, 1110), 300, "the one that lasts is longer");
    }

    #[test]
    fn what_came_is_known_again_and_a_late_one_is_no_repeat() {
        let mut once = Once::default();
        let first: Vec<bool> = [1, 2, 4, 3, 4, 70, 4, 7, 7, 2, 500].map(|n| once.is_first(n)).to_vec();
        assert_eq!(
            first,
            [true, true, true, true, false, true, true, true, false, true, true],
            "4 and 2 are too old to tell when they come again"
        );
    }
}
