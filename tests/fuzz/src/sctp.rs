// SPDX-License-Identifier: EUPL-1.2
//! A hostile SCTP peer: packets whose header and checksum are right and whose chunks are anything, in every state.

use parvis_peer::sctp::{Association, SctpConfig, SctpEvent, SctpLimits};
use std::time::{Duration, Instant};

const PEER_TAG: u32 = 0x0102_0304;
const PEER_TSN: u32 = 100;

/// The first byte chooses the state; then come packets. A chunk's first four bytes after its header count from the
/// numbers that are expected, so that most of them mean something.
pub fn packets(data: &[u8]) {
    let Some((&state, data)) = data.split_first() else { return };
    let mut peer = if state % 4 == 0 { Hostile::new(state & 8 != 0) } else { Hostile::established() };
    let mut channel = None;
    for piece in crate::pieces(data) {
        let Some((&[what, tag], chunks)) = piece.split_first_chunk() else { continue };
        let chunks = if what & 1 == 0 { peer.aligned(chunks) } else { chunks.to_vec() };
        peer.send(if tag == 0 { 0 } else { peer.our_tag }, &chunks);
        if what & 2 != 0 {
            peer.now += Duration::from_millis(u64::from(what) * 10);
            peer.us.handle_timeout(peer.now);
        }
        while let Some(event) = peer.us.poll_event() {
            if let SctpEvent::Open(id, _) = event {
                channel = Some(id);
            }
        }
        if let Some(id) = channel.filter(|_| what & 4 != 0) {
            let _ = peer.us.send(id, &[what; 3000]);
        }
        if let Some(id) = channel.filter(|_| what & 8 != 0) {
            peer.us.close(id);
        }
        peer.drain();
        assert!(peer.us.held_bytes() <= SctpLimits::default().receive_buffer_bytes);
    }
}

/// DCEP messages on channels of their own.
pub fn dcep(data: &[u8]) {
    let mut peer = Hostile::established();
    for (number, message) in crate::pieces(data).enumerate().filter(|(_, message)| !message.is_empty()) {
        let mut chunk = Vec::new();
        chunk.extend_from_slice(&PEER_TSN.wrapping_add(number as u32).to_be_bytes());
        chunk.extend_from_slice(&(number as u16 / 2).to_be_bytes());
        chunk.extend_from_slice(&(number as u16 % 2).to_be_bytes());
        chunk.extend_from_slice(&50u32.to_be_bytes());
        chunk.extend_from_slice(message);
        peer.send(peer.our_tag, &framed(0, 3, &chunk));
        let opened =
            std::iter::from_fn(|| peer.us.poll_event()).filter(|event| matches!(event, SctpEvent::Open(..)));
        assert!(opened.count() <= 1);
        peer.drain();
    }
}

struct Hostile {
    us: Association,
    our_tag: u32,
    now: Instant,
}

impl Hostile {
    fn new(initiate: bool) -> Self {
        let now = Instant::now();
        let mut us = Association::new(SctpConfig { initiate, ..Default::default() }, [6; 32], now);
        if initiate {
            let _ = us.poll_transmit(now);
        }
        // The seed is always the same, and so is the tag, which an INIT ACK tells.
        let mut other = Association::new(SctpConfig::default(), [6; 32], now);
        other.handle_packet(now, &packet(0, &init()));
        let answer = other.poll_transmit(now).expect("an INIT ACK");
        let our_tag = u32::from_be_bytes(answer[16..20].try_into().expect("four bytes"));
        Hostile { us, our_tag, now }
    }

    fn established() -> Self {
        let mut peer = Hostile::new(false);
        peer.send(0, &init());
        let answer = peer.us.poll_transmit(peer.now).expect("an INIT ACK");
        // Its parameters: find the cookie (type 7).
        let mut rest = &answer[32..];
        let cookie = loop {
            let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            if rest[..2] == [0, 7] {
                break rest[4..length].to_vec();
            }
            rest = &rest[length.next_multiple_of(4)..];
        };
        peer.send(peer.our_tag, &framed(10, 0, &cookie));
        assert!(peer.us.is_established());
        peer.drain();
        peer
    }

    fn send(&mut self, tag: u32, chunks: &[u8]) {
        self.us.handle_packet(self.now, &packet(tag, chunks));
    }

    /// Makes chunks of the bytes: type, flags, length; numbers are taken as offsets.
    fn aligned(&self, mut bytes: &[u8]) -> Vec<u8> {
        let mut chunks = Vec::new();
        while let Some((&[kind, flags, length], rest)) = bytes.split_first_chunk() {
            let (value, rest) = rest.split_at(usize::from(length).min(rest.len()));
            bytes = rest;
            let mut value = value.to_vec();
            if let Some(number) = value.first_chunk_mut::<4>().filter(|number| number[0] == 0) {
                *number = PEER_TSN.wrapping_add(u32::from_be_bytes(*number)).to_be_bytes();
            }
            let kind = if kind & 0x40 == 0 { kind % 15 } else { [130, 192][usize::from(kind % 2)] };
            chunks.extend(framed(kind, flags, &value));
        }
        chunks
    }

    fn drain(&mut self) {
        let mut sent = 0;
        while let Some(packet) = self.us.poll_transmit(self.now) {
            assert!(packet.len() <= 1180);
            sent += 1;
            assert!(sent < 400, "it never stops sending");
        }
    }
}

fn init() -> Vec<u8> {
    let mut value = PEER_TAG.to_be_bytes().to_vec();
    value.extend_from_slice(&(1u32 << 20).to_be_bytes());
    value.extend_from_slice(&[1, 0, 1, 0]);
    value.extend_from_slice(&PEER_TSN.to_be_bytes());
    value.extend_from_slice(&[0x80, 0x08, 0, 6, 130, 192, 0, 0, 0xc0, 0, 0, 4]);
    framed(1, 0, &value)
}

fn framed(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&((value.len() + 4) as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn packet(tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(chunks);
    let mut crc = u32::MAX;
    for &byte in &packet {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
    packet
}
