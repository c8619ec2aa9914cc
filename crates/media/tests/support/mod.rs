// SPDX-License-Identifier: EUPL-1.2
//! Senders for tests: they packetise frames of their own making, protect them, and say which frame is whose.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod film;
pub(crate) mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use parvis_jobs::{Codec, Kind, Origin, Profile, Protection, Quota, Source, SrtpKey, Start, UnixMicros};
use parvis_media::age::Identity;
use parvis_rtp::srtp::{Limits, MasterKey, SrtpContext};
use parvis_rtp::{ExtensionMap, Extensions, HeaderFields, write_packet};

pub(crate) const T0: u64 = 1_800_000_000_000_000;
const TAG: usize = 16;

/// A directory that goes when it is dropped.
pub(crate) struct Temp(pub(crate) PathBuf);

impl Temp {
    pub(crate) fn new() -> Temp {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("parvis-media-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Temp(path)
    }

    pub(crate) fn below(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn at(micros: u64) -> UnixMicros {
    UnixMicros(T0 + micros)
}

pub(crate) fn start(directory: &Path, identity: Option<&Identity>) -> Start {
    Start {
        job: "EG_test".to_owned(),
        directory: directory.display().to_string(),
        protection: match identity {
            Some(identity) => Protection::Age { recipients: vec![identity.recipient().to_string()] },
            None => Protection::None,
        },
        quota: Quota::default(),
        room: "standup".to_owned(),
        room_id: "RM_test".to_owned(),
        tenant: String::new(),
        started_at: UnixMicros(T0),
        restart: 0,
        capture: true,
        live: None,
    }
}

/// Sends one track.
pub(crate) struct Sender {
    pub(crate) source: Source,
    srtp: SrtpContext,
    repair: SrtpContext,
    sequence: u16,
    repairs: u16,
    pub(crate) timestamp: u32,
    sent: u64,
}

impl Sender {
    pub(crate) fn new(track: &str, codec: Codec, ssrc: u32) -> Sender {
        let key = key(ssrc as u8);
        let source = Source {
            track: track.to_owned(),
            name: "a track".to_owned(),
            participant: format!("PA_{ssrc}"),
            kind: codec.kind(),
            origin: if codec.kind() == Kind::Audio { Origin::Microphone } else { Origin::Camera },
            codec,
            clock_rate: codec.clock_rate(),
            channels: 2,
            payload_type: 96,
            red_payload_type: None,
            ssrc,
            rtx: Some((ssrc + 0x8000_0000, 97)),
            profile: Profile::Aead128Gcm,
            key: SrtpKey::new(key.clone()),
            muted: false,
            at: UnixMicros(T0),
        };
        Sender {
            source,
            srtp: context(&key),
            repair: context(&key),
            sequence: 65_500,
            repairs: 1,
            timestamp: u32::MAX - 40_000,
            sent: 0,
        }
    }

    /// Another key, as for another worker. Numbers go on.
    pub(crate) fn renew(&mut self) {
        let key = key(200);
        (self.srtp, self.repair) = (context(&key), context(&key));
        self.source.key = SrtpKey::new(key);
    }

    /// Moves time on.
    pub(crate) fn step(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }

    pub(crate) fn sequence(&self) -> u16 {
        self.sequence
    }

    /// The packets of a frame.
    pub(crate) fn payloads(&mut self, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let last = payloads.len() - 1;
        payloads.iter().enumerate().map(|(place, payload)| self.packet(payload, place == last)).collect()
    }

    /// A packet of sound, which says its number.
    pub(crate) fn sound(&mut self) -> Vec<u8> {
        let payload = numbered(&[15 << 3], self.sent, 60);
        self.sent += 1;
        self.packet(&payload, false)
    }

    /// A VP8 frame of `len` bytes, which says its number, in packets of 1,000.
    pub(crate) fn picture(&mut self, key: bool, width: u16, height: u16, len: usize) -> Vec<Vec<u8>> {
        let frame = vp8_frame(key, width, height, self.sent, len);
        self.sent += 1;
        let payloads: Vec<Vec<u8>> = frame
            .chunks(1000)
            .enumerate()
            .map(|(place, chunk)| [&[if place == 0 { 0x10 } else { 0x00 }][..], chunk].concat())
            .collect();
        self.payloads(&payloads)
    }

    pub(crate) fn packet(&mut self, payload: &[u8], marker: bool) -> Vec<u8> {
        let fields = HeaderFields {
            marker,
            payload_type: 96,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.source.ssrc,
            ..HeaderFields::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        protect(&mut self.srtp, &fields, payload)
    }

    /// The retransmission of a packet with this number, time, marker and payload.
    pub(crate) fn repair(&mut self, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let fields = HeaderFields {
            marker,
            payload_type: 97,
            sequence: self.repairs,
            timestamp,
            ssrc: self.source.rtx.unwrap().0,
            ..HeaderFields::default()
        };
        self.repairs += 1;
        protect(&mut self.repair, &fields, &[&sequence.to_be_bytes(), payload].concat())
    }
}

fn key(of: u8) -> Vec<u8> {
    (0..28).map(|byte| byte ^ of).collect()
}

fn context(key: &[u8]) -> SrtpContext {
    const PROFILE: parvis_rtp::srtp::Profile = parvis_rtp::srtp::Profile::Aead128Gcm;
    let master = MasterKey::new(PROFILE, &key[..16], &key[16..]).unwrap();
    SrtpContext::new(PROFILE, &master, Limits::SEND).unwrap()
}

fn protect(srtp: &mut SrtpContext, fields: &HeaderFields<'_>, payload: &[u8]) -> Vec<u8> {
    let mut buf = vec![0; 12 + payload.len() + TAG];
    let len =
        write_packet(&mut buf, fields, &ExtensionMap::default(), &Extensions::default(), payload).unwrap();
    let len = srtp.protect_rtp(&mut buf, len).unwrap();
    buf.truncate(len);
    buf
}

/// `head`, a number of eight bytes, and noise that depends on it, `len` bytes in all and more.
fn numbered(head: &[u8], number: u64, len: usize) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend((0..len.saturating_sub(bytes.len())).map(|at| (at as u64 * 37 + number * 11) as u8));
    bytes
}

pub(crate) fn vp8_frame(key: bool, width: u16, height: u16, number: u64, len: usize) -> Vec<u8> {
    let mut head = vec![if key { 0x10 } else { 0x11 }, 0, 0];
    if key {
        head.extend([0x9d, 0x01, 0x2a]);
        head.extend(width.to_le_bytes());
        head.extend(height.to_le_bytes());
    }
    numbered(&head, number, len)
}

/// The number that a frame of [`Sender`] says, if it is whole: its noise is checked.
pub(crate) fn number(codec: Codec, frame: &[u8]) -> Option<u64> {
    let head = match codec {
        Codec::Opus => 1,
        _ if frame.first()? & 1 == 0 => 10,
        _ => 3,
    };
    let number = u64::from_be_bytes(*frame.get(head..)?.first_chunk()?);
    (numbered(&frame[..head], number, frame.len()) == frame).then_some(number)
}
