// SPDX-License-Identifier: EUPL-1.2
//! Captions: what agents, or people's own clients, write down of what is said, put together from the packets that carry it. Those are
//! text streams of one topic, a word or more to a chunk; or the older packets of whole segments. Both may come several times for the
//! same segment while it is spoken; what counts is its last form, and the moment at which it was first heard of.
//!
//! All of it is bounded, and whoever opens too many streams loses his own first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use livekit_protocol::data_packet::Value;
use livekit_protocol::data_stream::header::ContentHeader;
use livekit_protocol::data_stream::{Chunk, CompressionType, Header, Trailer};
use parvis_meeting::ParticipantId;

/// The topic of text streams that are captions, and the attributes that say which.
const TOPIC: &str = "lk.transcription";
const SEGMENT: &str = "lk.segment_id";
const TRACK: &str = "lk.transcribed_track_id";
const FINAL: &str = "lk.transcription_final";

/// Streams that are open at one time, in a room and of one sender; at [`MAX_BYTES`] each that is a MiB in a room.
const MAX_OPEN: usize = 64;
const MAX_OPEN_EACH: usize = 8;
/// The longest caption: some minutes of speech.
const MAX_BYTES: usize = 16 * 1024;
/// Segments of which it is remembered when they began. Of others, a caption begins when it comes.
const MAX_BEGUN: usize = 256;
/// Segments that one of the older packets may have.
const MAX_SEGMENTS: usize = 64;
/// The longest id of a stream, a segment or a track.
const MAX_ID_BYTES: usize = 128;
/// What has not ended by then does so no more: its sender is gone, or forgot it.
const STALE: Duration = Duration::from_secs(300);

/// A caption that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// The track of which it is; empty where that was not said.
    pub(super) track_sid: String,
    /// Who was heard, where that was said by the identity.
    pub(super) identity: String,
    /// What was said, as it came.
    pub(super) text: String,
    /// When that began.
    pub(super) from: Instant,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Captions {
    open: VecDeque<Open>,
    begun: VecDeque<(ParticipantId, String, Instant)>,
    /// What was too much, or can't be read.
    dropped: u64,
}

/// A text stream.
#[derive(Debug)]
struct Open {
    sender: ParticipantId,
    stream: String,
    segment: String,
    track: String,
    is_final: Option<bool>,
    text: Vec<u8>,
    next: u64,
    since: Instant,
}

impl Captions {
    /// Forgets what is on its way.
    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.begun.clear();
    }

    /// How often something of them was too much, or could not be read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a message to all; gives what is whole with it.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        sender: ParticipantId,
        packet: &proto::DataPacket,
    ) -> Vec<Heard> {
        self.open.retain(|open| now.saturating_duration_since(open.since) < STALE);
        match &packet.value {
            Some(Value::StreamHeader(header)) if header.topic == TOPIC => {
                self.begins(now, sender, header).into_iter().collect()
            }
            Some(Value::StreamChunk(chunk)) => {
                self.goes_on(sender, chunk);
                Vec::new()
            }
            Some(Value::StreamTrailer(trailer)) => self.ends(sender, trailer).into_iter().collect(),
            Some(Value::Transcription(whole)) => self.segments(now, sender, whole),
            _ => Vec::new(),
        }
    }

    fn begins(&mut self, now: Instant, sender: ParticipantId, header: &Header) -> Option<Heard> {
        #[allow(deprecated, reason = "senders of before say it there")]
        let sealed = header.encryption_type != i32::from(proto::encryption::Type::None);
        let is_text = matches!(header.content_header, Some(ContentHeader::TextHeader(_)));
        let attribute = |name: &str| header.attributes.get(name).cloned().unwrap_or_default();
        let (segment, track) = (attribute(SEGMENT), attribute(TRACK));
        let segment = if segment.is_empty() { header.stream_id.clone() } else { segment };
        let ids = [&header.stream_id, &segment, &track];
        if sealed || !is_text || ids.iter().any(|id| id.len() > MAX_ID_BYTES) {
            self.dropped += 1;
            return None;
        }
        let mut open = Open {
            sender,
            stream: header.stream_id.clone(),
            segment,
            track,
            is_final: is_final(&header.attributes),
            text: Vec::new(),
            next: 0,
            since: now,
        };
        // A short one is whole in its header.
        if let Some(content) = &header.inline_content {
            if header.compression != i32::from(CompressionType::None) || content.len() > MAX_BYTES {
                self.dropped += 1;
                return None;
            }
            open.text.clone_from(content);
            return self.whole(open);
        }
        self.make_room(sender);
        self.open.push_back(open);
        None
    }

    fn goes_on(&mut self, sender: ParticipantId, chunk: &Chunk) {
        let is_it = |open: &Open| open.sender == sender && open.stream == chunk.stream_id;
        let Some(place) = self.open.iter().position(is_it) else { return };
        let Some(open) = self.open.get_mut(place) else { return };
        if open.next != chunk.chunk_index || open.text.len() + chunk.content.len() > MAX_BYTES {
            self.dropped += 1;
            self.open.remove(place);
            return;
        }
        open.next += 1;
        open.text.extend_from_slice(&chunk.content);
    }

    fn ends(&mut self, sender: ParticipantId, trailer: &Trailer) -> Option<Heard> {
        let is_it = |open: &Open| open.sender == sender && open.stream == trailer.stream_id;
        let place = self.open.iter().position(is_it)?;
        let open = self.open.remove(place)?;
        // A reason is why it was broken off.
        if !trailer.reason.is_empty() {
            self.dropped += 1;
            return None;
        }
        let is_final = is_final(&trailer.attributes).or(open.is_final);
        self.whole(Open { is_final, ..open })
    }

    /// All of a stream is there.
    fn whole(&mut self, open: Open) -> Option<Heard> {
        let Open { sender, segment, track, is_final, text, since, .. } = open;
        let from = self.begun(sender, &segment).unwrap_or(since);
        if is_final == Some(false) {
            self.remember(sender, segment, from);
            return None;
        }
        let Ok(text) = String::from_utf8(text) else {
            self.dropped += 1;
            return None;
        };
        Some(Heard { track_sid: track, identity: String::new(), text, from })
    }

    fn segments(&mut self, now: Instant, sender: ParticipantId, whole: &proto::Transcription) -> Vec<Heard> {
        let (track, identity) = (&whole.track_id, &whole.transcribed_participant_identity);
        let mut heard = Vec::new();
        for (place, segment) in whole.segments.iter().enumerate() {
            let ids = [&segment.id, track];
            if place >= MAX_SEGMENTS
                || segment.text.len() > MAX_BYTES
                || ids.iter().any(|id| id.len() > MAX_ID_BYTES)
            {
                self.dropped += 1;
                continue;
            }
            let from = self.begun(sender, &segment.id).unwrap_or(now);
            if !segment.r#final {
                self.remember(sender, segment.id.clone(), from);
                continue;
            }
            heard.push(Heard {
                track_sid: track.clone(),
                identity: identity.clone(),
                text: segment.text.clone(),
                from,
            });
        }
        heard
    }

    /// When a segment was first heard of, which is then forgotten.
    fn begun(&mut self, sender: ParticipantId, segment: &str) -> Option<Instant> {
        let place = self.begun.iter().position(|(of, id, _)| *of == sender && id == segment)?;
        self.begun.remove(place).map(|(.., since)| since)
    }

    fn remember(&mut self, sender: ParticipantId, segment: String, since: Instant) {
        if self.begun.len() >= MAX_BEGUN {
            self.begun.pop_front();
        }
        self.begun.push_back((sender, segment, since));
    }

    /// Lets go of a stream where there are too many: of the sender's own, or of whoever has most.
    fn make_room(&mut self, sender: ParticipantId) {
        let mut counts: BTreeMap<ParticipantId, usize> = BTreeMap::new();
        for open in &self.open {
            *counts.entry(open.sender).or_default() += 1;
        }
        let own = counts.get(&sender).copied().unwrap_or_default();
        let loser = match (own >= MAX_OPEN_EACH, self.open.len() >= MAX_OPEN) {
            (true, _) => Some(sender),
            (false, true) => counts.into_iter().max_by_key(|(_, count)| *count).map(|(sender, _)| sender),
            (false, false) => None,
        };
        let place = loser.and_then(|loser| self.open.iter().position(|open| open.sender == loser));
        if let Some(place) = place {
            self.open.remove(place);
            self.dropped += 1;
        }
    }
}

fn is_final(attributes: &HashMap<String, String>) -> Option<bool> {
    attributes.get(FINAL).map(|value| value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: ParticipantId = ParticipantId(1);
    const OTHER: ParticipantId = ParticipantId(2);

    fn packet(value: Value) -> proto::DataPacket {
        proto::DataPacket { value: Some(value), ..Default::default() }
    }

    fn header(stream: &str, attributes: &[(&str, &str)]) -> Header {
        Header {
            stream_id: stream.to_owned(),
            topic: TOPIC.to_owned(),
            attributes: attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            content_header: Some(ContentHeader::TextHeader(Default::default())),
            ..Default::default()
        }
    }

    fn chunk(stream: &str, chunk_index: u64, text: &str) -> proto::DataPacket {
        let content = text.as_bytes().to_vec();
        packet(Value::StreamChunk(Chunk {
            stream_id: stream.to_owned(),
            chunk_index,
            content,
            ..Default::default()
        }))
    }

    fn trailer(stream: &str, reason: &str) -> proto::DataPacket {
        let (stream_id, reason) = (stream.to_owned(), reason.to_owned());
        packet(Value::StreamTrailer(Trailer { stream_id, reason, ..Default::default() }))
    }

    /// A stream from its header to its end.
    fn tell(captions: &mut Captions, now: Instant, stream: &str, attributes: &[(&str, &str)]) -> Vec<Heard> {
        let header = packet(Value::StreamHeader(header(stream, attributes)));
        assert_eq!(captions.hear(now, AGENT, &header), []);
        assert_eq!(captions.hear(now, AGENT, &chunk(stream, 0, "Good ")), []);
        assert_eq!(captions.hear(now, AGENT, &chunk(stream, 1, "morning")), []);
        captions.hear(now, AGENT, &trailer(stream, ""))
    }

    #[test]
    fn a_segment_counts_in_its_last_form_and_from_its_first_word_on() {
        let (mut captions, begun) = (Captions::default(), Instant::now());
        let of = |last: &'static str| [(SEGMENT, "SG_1"), (TRACK, "TR_1"), (FINAL, last)];
        assert_eq!(tell(&mut captions, begun, "a", &of("false")), []);
        let later = begun + Duration::from_secs(1);
        assert_eq!(tell(&mut captions, later, "b", &of("false")), []);
        let end = begun + Duration::from_secs(2);
        let heard = tell(&mut captions, end, "c", &of("true"));
        let whole = Heard {
            track_sid: "TR_1".to_owned(),
            identity: String::new(),
            text: "Good morning".to_owned(),
            from: begun,
        };
        assert_eq!(heard, [whole]);
        assert!(captions.open.is_empty() && captions.begun.is_empty());
        assert_eq!(tell(&mut captions, end, "d", &[]).len(), 1, "one that doesn't say is the last form");
    }

    #[test]
    fn packets_of_segments_and_streams_of_one_packet_count_too() {
        let (mut captions, begun) = (Captions::default(), Instant::now());
        let segment = |text: &str, last| proto::TranscriptionSegment {
            id: "SG_1".to_owned(),
            text: text.to_owned(),
            r#final: last,
            ..Default::default()
        };
        let whole = |segments| {
            let transcribed_participant_identity = "ada".to_owned();
            let track_id = "TR_1".to_owned();
            let whole = proto::Transcription { transcribed_participant_identity, track_id, segments };
            packet(Value::Transcription(whole))
        };
        assert_eq!(captions.hear(begun, AGENT, &whole(vec![segment("Goo", false)])), []);
        let heard = captions.hear(begun + STALE, AGENT, &whole(vec![segment("Good", true)]));
        assert_eq!(
            (heard[0].text.as_str(), heard[0].identity.as_str(), heard[0].from),
            ("Good", "ada", begun)
        );
        let inline = Header { inline_content: Some(b"short".to_vec()), ..header("a", &[]) };
        let heard = captions.hear(begun, AGENT, &packet(Value::StreamHeader(inline.clone())));
        assert_eq!(heard[0].text, "short");
        let compressed = Header { compression: CompressionType::DeflateRaw.into(), ..inline };
        assert_eq!(captions.hear(begun, AGENT, &packet(Value::StreamHeader(compressed))), []);
        assert_eq!(captions.dropped, 1);
    }

    #[test]
    fn what_is_no_caption_or_no_whole_one_is_none() {
        let (mut captions, now) = (Captions::default(), Instant::now());
        let file = Header { topic: "files".to_owned(), ..header("f", &[]) };
        captions.hear(now, AGENT, &packet(Value::StreamHeader(file)));
        captions.hear(now, AGENT, &packet(Value::StreamHeader(header("a", &[]))));
        assert_eq!(captions.open.len(), 1);
        captions.hear(now, OTHER, &chunk("a", 0, "forged"));
        assert_eq!(captions.hear(now, OTHER, &trailer("a", "")), [], "another one's stream is not his");
        captions.hear(now, AGENT, &chunk("a", 1, "a gap before it"));
        assert_eq!(captions.hear(now, AGENT, &trailer("a", "")), []);
        captions.hear(now, AGENT, &packet(Value::StreamHeader(header("b", &[]))));
        assert_eq!(captions.hear(now, AGENT, &trailer("b", "broken off")), []);
        captions.hear(now, AGENT, &packet(Value::StreamHeader(header("c", &[]))));
        captions.hear(
            now,
            AGENT,
            &packet(Value::StreamChunk(Chunk {
                stream_id: "c".to_owned(),
                content: vec![0xff],
                ..Default::default()
            })),
        );
        assert_eq!(captions.hear(now, AGENT, &trailer("c", "")), [], "no text");
        assert_eq!((captions.open.len(), captions.dropped), (0, 3));
    }

    #[test]
    fn whoever_opens_too_many_loses_his_own_and_nobody_elses() {
        let (mut captions, now) = (Captions::default(), Instant::now());
        captions.hear(now, AGENT, &packet(Value::StreamHeader(header("caption", &[]))));
        for number in 0..10 * MAX_OPEN {
            let header = packet(Value::StreamHeader(header(&format!("flood-{number}"), &[])));
            captions.hear(now, OTHER, &header);
        }
        assert_eq!(captions.open.len(), 1 + MAX_OPEN_EACH);
        for crowd in 3..20 * MAX_OPEN as u64 {
            let header = packet(Value::StreamHeader(header("one each", &[])));
            captions.hear(now, ParticipantId(crowd), &header);
        }
        assert_eq!(captions.open.len(), MAX_OPEN);
        let long = "x".repeat(MAX_BYTES / 2 + 1);
        captions.hear(now, OTHER, &packet(Value::StreamHeader(header("long", &[]))));
        captions.hear(now, OTHER, &chunk("long", 0, &long));
        captions.hear(now, OTHER, &chunk("long", 1, &long));
        assert_eq!(captions.hear(now, OTHER, &trailer("long", "")), []);
        for number in 0..2 * MAX_BEGUN {
            captions.remember(OTHER, number.to_string(), now);
        }
        assert_eq!(captions.begun.len(), MAX_BEGUN);
        captions.hear(now + STALE, AGENT, &chunk("nothing", 0, ""));
        assert!(captions.open.is_empty(), "and what never ends is forgotten");
    }
}
