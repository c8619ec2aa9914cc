// SPDX-License-Identifier: EUPL-1.2
//! A transport stream (ISO/IEC 13818-1) on its way to several targets: cut where somebody who comes later can begin, and given to
//! each by a queue of its own, so that none waits for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Bytes of a packet, and what each begins with.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Packets after a program association in which the one that it stands before is looked for.
const AHEAD: usize = 16;
/// Pieces that may wait for one target: about ten seconds of a stream.
const QUEUE: usize = 256;

/// A run of whole packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Bytes,
    /// Whether it says first what the stream holds, and then begins with a key frame.
    pub(super) begins: bool,
}

/// Cuts a stream into pieces.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    rest: Vec<u8>,
}

impl Splitter {
    /// Takes what was read, and gives the pieces that it completes. What is no packet is passed over.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Piece> {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let (mut pieces, mut current, mut begins) = (Vec::new(), Vec::new(), false);
        let mut end = |current: &mut Vec<u8>, begins: bool| {
            if !current.is_empty() {
                pieces.push(Piece { bytes: Bytes::from(std::mem::take(current)), begins });
            }
        };
        let mut left = rest.as_slice();
        loop {
            let lost = left.iter().position(|byte| *byte == SYNC).unwrap_or(left.len());
            left = left.get(lost..).unwrap_or_default();
            let Some(packet) = left.first_chunk::<PACKET>() else { break };
            if pid(packet) == 0 {
                match key_frame_follows(left) {
                    Some(true) => {
                        end(&mut current, begins);
                        begins = true;
                    }
                    Some(false) => {}
                    // What it stands before is not there yet.
                    None => break,
                }
            }
            current.extend_from_slice(packet);
            left = left.get(PACKET..).unwrap_or_default();
        }
        end(&mut current, begins);
        self.rest = left.to_vec();
        pieces
    }
}

/// Whether the next frame after a program association can be begun with; `None` while that can't be said.
fn key_frame_follows(packets: &[u8]) -> Option<bool> {
    let mut following = packets.chunks_exact(PACKET).take(AHEAD);
    let starts_frame = |packet: &&[u8]| {
        let starts = packet.get(1).is_some_and(|flags| flags & 0x40 != 0);
        starts && payload(packet).is_some_and(|payload| payload.starts_with(&[0, 0, 1]))
    };
    match following.find(starts_frame) {
        // The random access indicator of its adaptation field (section 2.4.3.5).
        // Sound can be begun with anywhere; before it there are tables where there are no pictures.
        Some(packet)
            if payload(packet).and_then(|payload| payload.get(3)).is_some_and(|id| id & 0xe0 == 0xc0) =>
        {
            Some(true)
        }
        Some(packet) => {
            let adapted = packet.get(3).is_some_and(|flags| flags & 0x20 != 0);
            let has_field = packet.get(4).is_some_and(|length| *length > 0);
            Some(adapted && has_field && packet.get(5).is_some_and(|flags| flags & 0x40 != 0))
        }
        None if packets.len() >= AHEAD * PACKET => Some(false),
        None => None,
    }
}

fn pid(packet: &[u8; PACKET]) -> u16 {
    u16::from_be_bytes([packet[1] & 0x1f, packet[2]])
}

/// What a packet carries, if anything.
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let control = packet.get(3)? & 0x30;
    let skip = match control {
        0x10 => 4,
        0x30 => 5 + usize::from(*packet.get(4)?),
        _ => return None,
    };
    packet.get(skip..)
}

/// One target's end of a stream.
struct Outlet {
    queue: mpsc::Sender<Bytes>,
    /// Until a piece comes that can be begun with.
    waits: bool,
}

/// Gives pieces to all who take them.
#[derive(Default)]
pub(super) struct Fan {
    outlets: Mutex<HashMap<u64, Outlet>>,
    /// Pieces that found no place in a queue.
    pub(super) dropped: AtomicU64,
}

impl Fan {
    /// Begins anew for a target. What it had in its queue before is given up with the queue.
    pub(super) fn open(&self, target: u64) -> mpsc::Receiver<Bytes> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        self.outlets().insert(target, Outlet { queue, waits: true });
        waiting
    }

    /// Gives nothing more to a target.
    pub(super) fn close(&self, target: u64) {
        self.outlets().remove(&target);
    }

    /// Gives nothing more to anybody.
    pub(super) fn end(&self) {
        self.outlets().clear();
    }

    /// Gives a piece to each. Who does not take it goes on where one can begin.
    pub(super) fn give(&self, piece: &Piece) {
        for outlet in self.outlets().values_mut() {
            outlet.waits &= !piece.begins;
            if !outlet.waits && outlet.queue.try_send(piece.bytes.clone()).is_err() {
                outlet.waits = true;
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn outlets(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Outlet>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pid: u16, key: bool, frame: bool, mark: u8) -> Vec<u8> {
        let mut packet = vec![SYNC, (pid >> 8) as u8 | if frame { 0x40 } else { 0 }, pid as u8];
        if key {
            packet.extend([0x30, 1, 0x40]);
        } else {
            packet.push(0x10);
        }
        if frame {
            packet.extend([0, 0, 1, if pid == 66 { 0xc0 } else { 0xe0 }]);
        }
        packet.resize(PACKET, mark);
        packet
    }

    /// PAT, PMT, key frame, rest of it, another frame.
    fn group(mark: u8) -> Vec<u8> {
        [
            packet(0, false, false, mark),
            packet(32, false, false, mark),
            packet(65, true, true, mark),
            packet(65, false, false, mark),
            packet(66, false, true, mark),
        ]
        .concat()
    }

    #[test]
    fn a_stream_is_cut_before_what_can_be_begun_with_however_it_comes() {
        let delta = [packet(0, false, false, 7), packet(65, false, true, 7)].concat();
        let stream = [packet(65, false, false, 9), group(1), delta.clone(), group(2)].concat();
        for size in [1, 100, PACKET, 400, stream.len()] {
            let mut splitter = Splitter::default();
            let pieces: Vec<Piece> = stream.chunks(size).flat_map(|chunk| splitter.push(chunk)).collect();
            let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.to_vec()).collect();
            assert_eq!(all, stream, "in pieces of {size}: nothing is lost or changed");
            let begins = pieces.iter().filter(|piece| piece.begins).count();
            assert!(pieces.iter().all(|piece| piece.bytes.len() % PACKET == 0));
            assert!(!pieces[0].begins, "the end of a frame is no beginning");
            let at = pieces.iter().position(|piece| piece.begins).unwrap();
            assert!(pieces[at].bytes.starts_with(&packet(0, false, false, 1)));
            if size == stream.len() {
                assert_eq!(begins, 2);
                assert!(pieces[2].bytes.starts_with(&packet(0, false, false, 2)));
                assert!(pieces[1].bytes.ends_with(&delta), "tables before another frame begin nothing");
            }
        }
        let mut splitter = Splitter::default();
        let garbled = [&b"no packets "[..], &group(1)].concat();
        assert!(splitter.push(&garbled)[0].begins, "what is no packet is passed over");
        let sound = [packet(0, false, false, 1), packet(66, false, true, 1)].concat();
        assert!(Splitter::default().push(&sound)[0].begins, "sound alone");
    }

    #[test]
    fn whoever_takes_nothing_loses_to_the_next_key_frame_and_the_others_nothing() {
        let fan = Fan::default();
        let (mut quick, mut slow) = (fan.open(1), fan.open(2));
        let piece = |begins, mark| Piece { bytes: Bytes::from(vec![mark; PACKET]), begins };
        fan.give(&piece(false, 0));
        assert!(quick.try_recv().is_err(), "nothing before something to begin with");
        let mut had = 0;
        for at in 0..=QUEUE {
            fan.give(&piece(at == 0, 1));
            had += usize::from(quick.try_recv().is_ok());
        }
        assert_eq!((had, fan.dropped.load(Ordering::Relaxed)), (QUEUE + 1, 1));
        while slow.try_recv().is_ok() {}
        fan.give(&piece(false, 2));
        assert!(slow.try_recv().is_err(), "it has lost what this stands on");
        assert_eq!(quick.try_recv().unwrap()[0], 2);
        fan.give(&piece(true, 3));
        assert_eq!(slow.try_recv().unwrap()[0], 3);
        drop(quick);
        fan.give(&piece(false, 4));
        assert_eq!(slow.try_recv().unwrap()[0], 4, "one that is gone stops nobody");
        fan.end();
        assert!(slow.try_recv().is_err() && slow.is_closed());
    }
}
