// SPDX-License-Identifier: EUPL-1.2
//! An MPEG transport stream (ISO/IEC 13818-1) of H.264 and AAC, an access unit at a time: what is dropped is dropped whole.

/// The length of a packet.
pub(super) const PACKET: usize = 188;
const PMT: u16 = 0x100;
const PICTURES: u16 = 0x101;
const SOUND: u16 = 0x102;
/// Added to all times, in 90 kHz: decoders' clocks begin before the first picture.
const SHIFT: u64 = 90_000;
/// How far the clock that decoders are told is before the pictures: what a line may hold up.
const AHEAD: u64 = 45_000;

/// Makes packets.
#[derive(Debug)]
pub(super) struct Mux {
    has_pictures: bool,
    counters: [u8; 4],
}

impl Mux {
    pub(super) fn new(has_pictures: bool) -> Mux {
        Mux { has_pictures, counters: [0; 4] }
    }

    /// A picture in Annex B, shown at `pts` in 90 kHz. Before a key frame come the tables.
    pub(super) fn picture(&mut self, pts: u64, key: bool, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() + data.len() / 20 + 4 * PACKET);
        if key {
            self.tables(&mut out);
        }
        // A length of 0 is no length: pictures may be longer than the field can say.
        let pes = [&pes_head(0xe0, 0, pts)[..], data].concat();
        self.packets(PICTURES, Some(pts), key, &pes, &mut out);
        out
    }

    /// A frame of AAC without a head, 48 kHz and two channels, heard at `pts` in 90 kHz. `tables` has the tables come first.
    pub(super) fn sound(&mut self, pts: u64, tables: bool, frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(frame.len() + 4 * PACKET);
        if tables {
            self.tables(&mut out);
        }
        let frame = [&adts(frame.len())[..], frame].concat();
        let length = u16::try_from(frame.len() + 8).unwrap_or(0);
        let pes = [&pes_head(0xc0, length, pts)[..], &frame].concat();
        let clock = (!self.has_pictures).then_some(pts);
        self.packets(SOUND, clock, true, &pes, &mut out);
        out
    }

    /// Program association and program map.
    fn tables(&mut self, out: &mut Vec<u8>) {
        let [high, low] = (0xe000 | PMT).to_be_bytes();
        self.table(0, &section(0, &[0, 1, high, low]), out);
        let clock = if self.has_pictures { PICTURES } else { SOUND };
        let [high, low] = (0xe000 | clock).to_be_bytes();
        let mut map = vec![high, low, 0xf0, 0];
        for (kind, pid) in [(0x1b, PICTURES), (0x0f, SOUND)] {
            if pid == PICTURES && !self.has_pictures {
                continue;
            }
            let [high, low] = (0xe000 | pid).to_be_bytes();
            map.extend([kind, high, low, 0xf0, 0]);
        }
        self.table(PMT, &section(2, &map), out);
    }

    fn table(&mut self, pid: u16, section: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend(self.head(pid, true, 1));
        out.push(0);
        out.extend(section);
        out.resize(begin + PACKET, 0xff);
    }

    fn packets(&mut self, pid: u16, clock: Option<u64>, random: bool, pes: &[u8], out: &mut Vec<u8>) {
        let (mut rest, mut first) = (pes, true);
        while !rest.is_empty() {
            // What may be told beside the payload: that decoding can begin here, and the clock.
            let mut told = Vec::new();
            if first && (random || clock.is_some()) {
                told.push(if random { 0x40 } else { 0 } | if clock.is_some() { 0x10 } else { 0 });
                if let Some(pts) = clock {
                    let base = (pts + SHIFT - AHEAD) & 0x1_ffff_ffff;
                    told.extend((base << 15 | 0x7e00).to_be_bytes().iter().skip(2));
                }
            }
            let room = PACKET - 4 - if told.is_empty() { 0 } else { told.len() + 1 };
            let take = room.min(rest.len());
            let stuffing = room - take;
            let has_field = !told.is_empty() || stuffing > 0;
            out.extend(self.head(pid, first, if has_field { 3 } else { 1 }));
            if has_field {
                // Where nothing is told, the field's length and its flags stand in the place of stuffing.
                let length = if told.is_empty() { stuffing - 1 } else { told.len() + stuffing };
                out.push(length as u8);
                if told.is_empty() && length > 0 {
                    told.push(0);
                }
                let filled = told.len();
                out.extend(told);
                out.resize(out.len() + length - filled, 0xff);
            }
            let (taken, behind) = rest.split_at(take);
            out.extend(taken);
            (rest, first) = (behind, false);
        }
    }

    fn head(&mut self, pid: u16, first: bool, control: u8) -> [u8; 4] {
        let place = match pid {
            0 => 0,
            PMT => 1,
            PICTURES => 2,
            _ => 3,
        };
        let counter = self.counters.get_mut(place).map_or(0, |counter| {
            let now = *counter;
            *counter = (now + 1) & 0xf;
            now
        });
        let [high, low] = pid.to_be_bytes();
        [0x47, high | if first { 0x40 } else { 0 }, low, control << 4 | counter]
    }
}

/// `length` is that of what stands behind the field; 0 for none.
fn pes_head(stream: u8, length: u16, pts: u64) -> [u8; 14] {
    let pts = (pts + SHIFT) & 0x1_ffff_ffff;
    let [high, low] = length.to_be_bytes();
    let bits = |shift: u32| ((pts >> shift) & 0x7f) as u8;
    [
        0,
        0,
        1,
        stream,
        high,
        low,
        0x84,
        0x80,
        5,
        0x21 | ((pts >> 30) as u8 & 7) << 1,
        (pts >> 22) as u8,
        bits(15) << 1 | 1,
        (pts >> 7) as u8,
        bits(0) << 1 | 1,
    ]
}

/// A head for a frame of AAC-LC at 48 kHz with two channels (ISO/IEC 13818-7, 6.2).
fn adts(frame: usize) -> [u8; 7] {
    let length = frame + 7;
    [
        0xff,
        0xf1,
        // Low complexity, 48 kHz, and two channels, whose number's last bits come next.
        0x4c,
        0x80 | (length >> 11) as u8 & 3,
        (length >> 3) as u8,
        (length << 5) as u8 | 0x1f,
        0xfc,
    ]
}

/// A table's section with its checksum; program and stream are number 1.
fn section(table: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (0xb000 | (content.len() as u16 + 9)).to_be_bytes();
    let mut out = vec![table, high, low, 0, 1, 0xc1, 0, 0];
    out.extend(content);
    out.extend(crc(&out).to_be_bytes());
    out
}

/// CRC-32/MPEG-2 (ISO/IEC 13818-1, annex A).
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_standard() {
        assert_eq!(crc(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn whatever_the_length_packets_are_whole_and_the_payload_comes_out_again() {
        for length in (0..600).chain([60_000, 70_000]) {
            let (mut mux, data) = (Mux::new(true), (0..length).map(|byte| byte as u8).collect::<Vec<_>>());
            let out = mux.picture(3000, length % 2 == 0, &data);
            assert_eq!(out.len() % PACKET, 0);
            let mut payload: Vec<u8> = Vec::new();
            for packet in out.chunks(PACKET) {
                assert_eq!(packet[0], 0x47);
                if u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) != PICTURES {
                    continue;
                }
                let field = if packet[3] & 0x20 == 0 { 0 } else { usize::from(packet[4]) + 1 };
                payload.extend(&packet[4 + field..]);
            }
            assert_eq!(payload[14..], data, "{length}");
        }
    }

    #[test]
    fn a_key_frame_comes_behind_its_tables() {
        let mut mux = Mux::new(true);
        let pids = |out: &[u8]| -> Vec<u16> {
            out.chunks(PACKET).map(|packet| u16::from_be_bytes([packet[1] & 0x1f, packet[2]])).collect()
        };
        assert_eq!(pids(&mux.picture(0, true, &[1; 10])), [0, PMT, PICTURES]);
        assert_eq!(pids(&mux.picture(3000, false, &[1; 300])), [PICTURES, PICTURES]);
        assert_eq!(pids(&mux.sound(0, false, &[1; 10])), [SOUND]);
    }
}
