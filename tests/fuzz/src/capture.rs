// SPDX-License-Identifier: EUPL-1.2
//! What the media worker reads: packets of the trunk, and files that someone hands it.

use std::path::PathBuf;

use parvis_jobs::{
    Codec, Origin, Profile, Protection, Quota, Source, SrtpKey, Start, StopReason, ToWorker, UnixMicros,
};
use parvis_media::age::{Identity, Opener};
use parvis_media::capture::{Capture, Settings};
use parvis_media::codec::{Piece, Reassembler};
use parvis_media::manifest::Manifest;
use parvis_media::mkv::{Reader, ReaderLimits};
use parvis_media::recording::{self, State};
use parvis_rtp::srtp::{Limits, MasterKey, SrtpContext};
use parvis_rtp::{ExtensionMap, Extensions, HeaderFields, write_packet};

/// Payloads, each behind a byte that says what else there is to say of it.
pub fn depacketise(data: &[u8]) {
    for codec in Codec::ALL {
        let mut reassembler = Reassembler::new(codec, 2, 111);
        let (mut frames, mut sent, mut packets) = (Vec::new(), 0, 0);
        for piece in crate::pieces(data) {
            let Some((&head, payload)) = piece.split_first() else { continue };
            let timestamp = u32::from(head >> 3);
            let piece = Piece { timestamp, marker: head & 1 != 0, payload, after_loss: head & 2 != 0 };
            reassembler.push(piece, head & 4 != 0, &mut frames);
            (sent, packets) = (sent + payload.len(), packets + 1);
        }
        let made: usize = frames.iter().map(|frame| frame.data.len()).sum();
        assert!(made <= 6 * sent + 64 * packets, "{made} bytes of {sent}");
    }
}

/// Packets of a sender that has the keys, and of one that hasn't: whatever they are, what lies there is whole.
pub fn trunk(data: &[u8]) {
    let folder = Folder::new();
    let key = [7; 28];
    let master =
        MasterKey::new(parvis_rtp::srtp::Profile::Aead128Gcm, &key[..16], &key[16..]).expect("a key");
    let mut srtp =
        SrtpContext::new(parvis_rtp::srtp::Profile::Aead128Gcm, &master, Limits::SEND).expect("keys");
    let start = Start {
        job: "EG_1".to_owned(),
        directory: String::new(),
        protection: Protection::None,
        quota: Quota { tracks: 5, ..Quota::default() },
        room: "r".to_owned(),
        room_id: "RM_1".to_owned(),
        tenant: String::new(),
        started_at: UnixMicros(0),
        restart: 0,
        capture: true,
        live: None,
    };
    let mut now = 1_000_000;
    let mut capture =
        Capture::start(&start, &folder.0, "fuzz", Settings::default(), UnixMicros(now)).expect("it starts");
    for (place, codec) in Codec::ALL.into_iter().enumerate() {
        let source = Source {
            track: format!("TR_{place}"),
            name: String::new(),
            participant: "PA_1".to_owned(),
            kind: codec.kind(),
            origin: Origin::Unknown,
            codec,
            clock_rate: codec.clock_rate(),
            channels: 2,
            payload_type: 96,
            red_payload_type: Some(63),
            ssrc: place as u32,
            rtx: Some((100 + place as u32, 97)),
            profile: Profile::Aead128Gcm,
            key: SrtpKey::new(key.to_vec()),
            muted: false,
            at: UnixMicros(now),
        };
        capture.message(UnixMicros(now), ToWorker::Source(Box::new(source)));
    }
    for piece in crate::pieces(data) {
        let Some((&[kind, ssrc, high, low, stamp, time], payload)) = piece.split_first_chunk::<6>() else {
            continue;
        };
        now += u64::from(time) * 4000;
        let fields = HeaderFields {
            marker: kind & 1 != 0,
            payload_type: [96, 97, 63, 5][usize::from(kind >> 1 & 3)],
            sequence: u16::from_be_bytes([high, low]),
            timestamp: u32::from(stamp) << if kind & 8 != 0 { 24 } else { 8 },
            ssrc: u32::from(ssrc % 5) + if kind & 2 != 0 { 100 } else { 0 },
            ..HeaderFields::default()
        };
        let mut buf = [0; 4096];
        let Ok(len) =
            write_packet(&mut buf, &fields, &ExtensionMap::default(), &Extensions::default(), payload)
        else {
            continue;
        };
        let len = if kind & 0x80 == 0 { srtp.protect_rtp(&mut buf, len).unwrap_or(len) } else { len };
        capture.datagram(UnixMicros(now), &mut buf[..len]);
        if kind & 0x40 != 0 {
            let at = UnixMicros(now.wrapping_add_signed(i64::from(stamp as i8) * 100_000));
            let track = format!("TR_{}", ssrc % 5);
            capture.message(
                UnixMicros(now),
                ToWorker::SenderReport { track, rtp_timestamp: fields.timestamp, at },
            );
        }
        capture.tick(UnixMicros(now));
        let _ = capture.outgoing().count();
    }
    capture.stop(UnixMicros(now), StopReason::Requested);
    let checked = recording::verify(&folder.0, &[]).expect("a manifest");
    assert!(checked.iter().all(|file| file.state == State::Whole), "{checked:?}");
}

/// A manifest: one that reads is written and reads the same again.
pub fn manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::from_json(data) {
        let again = serde_json::to_vec(&manifest).expect("what was read is written");
        assert_eq!(Manifest::from_json(&again).expect("it reads again"), manifest);
    }
}

/// A file in the clear, and one that claims to be sealed.
pub fn file(data: &[u8]) {
    if let Ok(mut reader) = Reader::new(data, ReaderLimits::default()) {
        let mut last = 0;
        while let Ok(Some(cluster)) = reader.next_cluster() {
            assert!(cluster.blocks.iter().all(|block| block.timestamp >= last));
            last = cluster.blocks.last().map_or(last, |block| block.timestamp);
        }
    }
    const SECRET: &str = "AGE-SECRET-KEY-1J0XGVS3JQWK8PD9F8YACHXGHWQ6SXKCGQZQWK5VYKQ7907X4H5USTV86W0";
    let identity: Identity = SECRET.parse().expect("an identity");
    if let Ok(mut opener) = Opener::new(data, &[identity]) {
        while let Ok(Some(_)) = opener.next_chunk() {}
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let memory = PathBuf::from("/dev/shm");
        let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = root.join(format!("parvis-fuzz-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
