// SPDX-License-Identifier: EUPL-1.2
//! Frames that packetisers of our own cut into packets come out whole, and what isn't whole does not.

use proptest::prelude::*;

use super::*;

/// Payload and marker.
type Packets = Vec<(Vec<u8>, bool)>;

struct Feed {
    reassembler: Reassembler,
    frames: Vec<Frame>,
}

impl Feed {
    fn new(codec: Codec) -> Feed {
        Feed { reassembler: Reassembler::new(codec, 2, 111), frames: Vec::new() }
    }

    fn packets(&mut self, timestamp: u32, packets: &Packets) -> &mut Feed {
        for (payload, marker) in packets {
            self.packet(timestamp, payload, *marker, false);
        }
        self
    }

    fn packet(&mut self, timestamp: u32, payload: &[u8], marker: bool, after_loss: bool) {
        let piece = Piece { timestamp, marker, payload, after_loss };
        self.reassembler.push(piece, false, &mut self.frames);
    }

    fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }
}

/// A VP8 frame: its tag, for a key frame with start code and size, then noise.
fn vp8_frame(key: bool, width: u16, height: u16, len: usize) -> Vec<u8> {
    let mut frame = vec![if key { 0x10 } else { 0x11 }, 0, 0];
    if key {
        frame.extend([0x9d, 0x01, 0x2a]);
        frame.extend(width.to_le_bytes());
        frame.extend(height.to_le_bytes());
    }
    frame.extend((0..len).map(|at| (at * 31) as u8));
    frame
}

fn vp8_packets(frame: &[u8], size: usize) -> Packets {
    let count = frame.chunks(size).count();
    let chunks = frame.chunks(size).enumerate();
    let cut = |(place, chunk): (usize, &[u8])| {
        // S in the first packet only; X, I, and a picture id of 7 bits.
        let mut payload = vec![if place == 0 { 0x90 } else { 0x80 }, 0x80, 0x05];
        payload.extend_from_slice(chunk);
        (payload, place + 1 == count)
    };
    chunks.map(cut).collect()
}

#[test]
fn vp8_frames_come_out_as_they_were_with_their_sizes() {
    let (key, inter) = (vp8_frame(true, 640, 360, 3000), vp8_frame(false, 0, 0, 500));
    let mut feed = Feed::new(Codec::Vp8);
    feed.packets(0, &vp8_packets(&key, 1000)).packets(3000, &vp8_packets(&inter, 1000));
    let frames = feed.take();
    assert_eq!(frames.len(), 2);
    assert_eq!((&frames[0].data, frames[0].key, frames[0].timestamp), (&key, true, 0));
    assert_eq!(frames[0].visible, Some(Visible { width: 640, height: 360 }));
    assert_eq!((&frames[1].data, frames[1].key, frames[1].timestamp), (&inter, false, 3000));
    let larger = vp8_frame(true, 1280, 720, 10);
    feed.packets(6000, &vp8_packets(&larger, 1000));
    assert_eq!(feed.take()[0].visible, Some(Visible { width: 1280, height: 720 }));
    assert_eq!(feed.reassembler.dropped(), 0);
}

#[test]
fn nothing_is_kept_before_the_first_key_frame_nor_between_a_loss_and_the_next_one() {
    let (key, inter) = (vp8_frame(true, 64, 64, 2500), vp8_frame(false, 0, 0, 10));
    let mut feed = Feed::new(Codec::Vp8);
    feed.packets(0, &vp8_packets(&inter, 1000));
    assert!(feed.take().is_empty() && feed.reassembler.waits_for_key());
    feed.packets(3000, &vp8_packets(&key, 1000)).packets(6000, &vp8_packets(&inter, 1000));
    assert_eq!(feed.take().len(), 2);
    // The middle of a key frame is lost; what stands on it is left out.
    let packets = vp8_packets(&key, 1000);
    feed.packet(9000, &packets[0].0, false, false);
    feed.packet(9000, &packets[2].0, true, true);
    feed.packets(12_000, &vp8_packets(&inter, 1000));
    assert!(feed.take().is_empty());
    assert_eq!(
        feed.reassembler.dropped(),
        3,
        "one before the first key frame, one broken, one that stands on it"
    );
    feed.packets(15_000, &packets);
    assert_eq!(feed.take().len(), 1);
}

#[test]
fn a_whole_frame_that_was_lost_breaks_those_behind_it() {
    let (key, inter) = (vp8_frame(true, 64, 64, 10), vp8_frame(false, 0, 0, 10));
    let mut feed = Feed::new(Codec::Vp8);
    feed.packets(0, &vp8_packets(&key, 1000));
    let (payload, marker) = &vp8_packets(&inter, 1000)[0];
    feed.packet(6000, payload, *marker, true);
    assert_eq!(feed.take().len(), 1);
    assert!(feed.reassembler.waits_for_key());
}

#[test]
fn a_sender_without_markers_is_understood() {
    let key = vp8_frame(true, 64, 64, 1500);
    let mut packets = vp8_packets(&key, 1000);
    packets.iter_mut().for_each(|packet| packet.1 = false);
    let mut feed = Feed::new(Codec::Vp8);
    feed.packets(0, &packets).packets(3000, &packets);
    assert_eq!(feed.take().iter().map(|frame| &frame.data).collect::<Vec<_>>(), [&key]);
}

/// A VP9 key frame's uncompressed header, profile 0.
fn vp9_key(width: u16, height: u16, len: usize) -> Vec<u8> {
    // frame_marker 10, profile 00, show_existing 0, frame_type 0, show_frame 1, error_resilient 0; then the sync code;
    // colour space 001, range 0; then the size less one.
    let mut bits = vec![0b1000_0010, 0x49, 0x83, 0x42];
    let sizes = u64::from(0b0010_u8) << 32 | u64::from(width - 1) << 16 | u64::from(height - 1);
    bits.extend((sizes << 4).to_be_bytes()[3..].iter());
    bits.extend((0..len).map(|at| (at * 13) as u8));
    bits
}

/// One layer frame in packets; flexible mode off.
fn vp9_packets(frame: &[u8], size: usize, spatial: u8, inter: bool, last: bool) -> Packets {
    let count = frame.chunks(size).count();
    let cut = |(place, chunk): (usize, &[u8])| {
        let (begin, end) = (place == 0, place + 1 == count);
        let head = 0xa0 | u8::from(inter) << 6 | u8::from(begin) << 3 | u8::from(end) << 2;
        let mut payload = vec![head, 0x07, spatial << 1 | u8::from(spatial > 0), 9];
        payload.extend_from_slice(chunk);
        (payload, last && end)
    };
    frame.chunks(size).enumerate().map(cut).collect()
}

#[test]
fn the_layers_of_a_vp9_picture_become_one_superframe() {
    let (low, high) = (vp9_key(320, 180, 700), vp9_key(640, 360, 1800));
    let mut feed = Feed::new(Codec::Vp9);
    feed.packets(0, &vp9_packets(&low, 500, 0, false, false));
    feed.packets(0, &vp9_packets(&high, 500, 1, false, true));
    let frames = feed.take();
    assert_eq!(frames.len(), 1);
    assert!(frames[0].key);
    assert_eq!(frames[0].visible, Some(Visible { width: 640, height: 360 }));
    let both = low.len() + high.len();
    assert_eq!(frames[0].data[..low.len()], low);
    assert_eq!(frames[0].data[low.len()..both], high);
    // Marker, two sizes of two bytes, marker (annex B).
    let (a, b) = ((low.len() as u16).to_le_bytes(), (high.len() as u16).to_le_bytes());
    assert_eq!(frames[0].data[both..], [0b1100_1001, a[0], a[1], b[0], b[1], 0b1100_1001]);
}

#[test]
fn a_single_vp9_frame_stays_as_it_is() {
    let (key, inter) = (vp9_key(320, 180, 900), vec![0x86, 1, 2, 3]);
    let mut feed = Feed::new(Codec::Vp9);
    feed.packets(0, &vp9_packets(&key, 400, 0, false, true));
    feed.packets(3000, &vp9_packets(&inter, 400, 0, true, true));
    let frames = feed.take();
    assert_eq!(
        frames.iter().map(|frame| (&frame.data, frame.key)).collect::<Vec<_>>(),
        [(&key, true), (&inter, false)]
    );
    assert_eq!(frames[0].visible, Some(Visible { width: 320, height: 180 }));
}

#[test]
fn a_vp9_picture_that_is_called_a_key_picture_and_is_none_is_kept_as_what_it_is() {
    let (key, inter) = (vp9_key(320, 180, 900), vec![0x86, 1, 2, 3]);
    let mut feed = Feed::new(Codec::Vp9);
    feed.packets(0, &vp9_packets(&inter, 400, 0, false, true));
    assert!(feed.take().is_empty(), "decoding can't begin there");
    feed.packets(3000, &vp9_packets(&key, 400, 0, false, true));
    feed.packets(6000, &vp9_packets(&inter, 400, 0, false, true));
    assert_eq!(feed.take().iter().map(|frame| frame.key).collect::<Vec<_>>(), [true, false]);
}

/// Made from the specification, bit by bit: profile 0, level 4 (3.0), 640x360, order hints, eight bits, 4:2:0.
fn av1_sequence() -> Vec<u8> {
    let mut bits = String::new();
    let mut put = |value: u32, count: usize| bits.push_str(&format!("{value:0count$b}"));
    put(0, 3); // profile
    put(0, 1); // still picture
    put(0, 1); // reduced header
    put(0, 1); // timing info
    put(0, 1); // display delay
    put(0, 5); // one operating point
    put(0, 12);
    put(4, 5); // level
    put(9, 4); // width has 10 bits
    put(8, 4); // height has 9 bits
    put(639, 10);
    put(359, 9);
    put(0, 1); // frame ids
    put(0, 3);
    put(0, 4);
    put(1, 1); // order hints
    put(0, 2);
    put(1, 1); // choose screen content tools
    put(1, 1); // choose integer motion vectors
    put(6, 3); // order hint bits
    put(0, 3);
    put(0, 1); // eight bits
    put(0, 1); // not monochrome
    put(0, 1); // no description
    put(1, 1); // full range
    put(2, 2); // sample position: colocated
    put(0, 1); // film grain
    bits.push('1');
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    bits.as_bytes().chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'))).collect()
}

/// OBUs without their sizes, as elements over packets of `size` bytes, each element behind its length.
fn av1_packets(obus: &[Vec<u8>], size: usize, new_sequence: bool) -> Packets {
    let mut packets: Packets = Vec::new();
    let (mut body, mut continues) = (Vec::new(), false);
    let mut finish = |body: &mut Vec<u8>, continues: bool, continued: bool, last: bool| {
        let first = packets.is_empty() && new_sequence;
        let mut payload = vec![u8::from(continues) << 7 | u8::from(continued) << 6 | u8::from(first) << 3];
        payload.append(body);
        packets.push((payload, last));
    };
    for (place, obu) in obus.iter().enumerate() {
        let mut rest = &obu[..];
        loop {
            let room = size.saturating_sub(body.len() + 2).min(rest.len());
            body.extend([(room & 0x7f) as u8 | 0x80, (room >> 7) as u8]);
            body.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
            if rest.is_empty() {
                break;
            }
            finish(&mut body, continues, true, false);
            continues = true;
        }
        if place + 1 == obus.len() {
            finish(&mut body, continues, false, true);
        } else if body.len() + 3 >= size {
            finish(&mut body, continues, false, false);
            continues = false;
        }
    }
    packets
}

/// As a file has it: with its size.
fn sized(obu: &[u8]) -> Vec<u8> {
    let body = &obu[1..];
    let mut out = vec![obu[0] | 2];
    out.extend(if body.len() < 128 {
        vec![body.len() as u8]
    } else {
        vec![(body.len() & 0x7f) as u8 | 0x80, (body.len() >> 7) as u8]
    });
    out.extend_from_slice(body);
    out
}

#[test]
fn av1_temporal_units_come_out_with_sizes_and_without_delimiters() {
    let mut sequence = vec![1 << 3];
    sequence.extend(av1_sequence());
    let delimiter = vec![2 << 3];
    let frame: Vec<u8> = std::iter::once(6 << 3).chain((0..2500).map(|at| (at * 11) as u8)).collect();
    for size in [200, 700, 1200, 4000] {
        let mut feed = Feed::new(Codec::Av1);
        feed.packets(0, &av1_packets(&[delimiter.clone(), sequence.clone(), frame.clone()], size, true));
        feed.packets(3000, &av1_packets(std::slice::from_ref(&frame), size, false));
        let frames = feed.take();
        assert_eq!(frames.len(), 2, "packets of {size}");
        let expected: Vec<u8> = [sized(&sequence), sized(&frame)].concat();
        assert_eq!(frames[0].data, expected, "packets of {size}");
        assert_eq!((frames[0].key, frames[1].key), (true, false));
        assert_eq!(frames[1].data, sized(&frame));
        assert_eq!(frames[0].visible, Some(Visible { width: 640, height: 360 }));
        let private = frames[0].private.as_ref().unwrap();
        // Version 1; profile 0, level 4; eight bits, 4:2:0, colocated; no delay told; then the sequence header.
        assert_eq!(private[..4], [0x81, 4, 0b0000_1110, 0]);
        assert_eq!(private[4..], sized(&sequence));
        assert!(frames[1].private.is_none());
    }
}

#[test]
fn an_av1_packet_whose_beginning_is_missing_is_no_frame() {
    let mut sequence = vec![1 << 3];
    sequence.extend(av1_sequence());
    let frame: Vec<u8> = std::iter::once(6 << 3).chain((0..900).map(|at| at as u8)).collect();
    let packets = av1_packets(&[sequence, frame], 300, true);
    let mut feed = Feed::new(Codec::Av1);
    for (place, (payload, marker)) in packets.iter().enumerate().skip(1) {
        feed.packet(0, payload, *marker, place == 1);
    }
    assert!(feed.take().is_empty());
    feed.packets(3000, &packets);
    assert_eq!(feed.take().len(), 1);
}

/// A sequence parameter set of the baseline profile, 640x480 (x264's), and a picture parameter set.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x3d, 0xa1, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x03,
    0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

fn h264_packets(units: &[&[u8]], size: usize) -> Packets {
    let mut packets: Packets = Vec::new();
    // The small ones in one STAP-A, the large ones in FU-A.
    let small: Vec<&&[u8]> = units.iter().filter(|unit| unit.len() < 100).collect();
    if !small.is_empty() {
        let mut payload = vec![24 | 0x60];
        for unit in small {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend_from_slice(unit);
        }
        packets.push((payload, false));
    }
    for unit in units.iter().filter(|unit| unit.len() >= 100) {
        if unit.len() <= size {
            packets.push((unit.to_vec(), false));
            continue;
        }
        let chunks: Vec<&[u8]> = unit[1..].chunks(size).collect();
        for (place, chunk) in chunks.iter().enumerate() {
            let (begin, end) = (place == 0, place + 1 == chunks.len());
            let mut payload =
                vec![unit[0] & 0xe0 | 28, u8::from(begin) << 7 | u8::from(end) << 6 | unit[0] & 0x1f];
            payload.extend_from_slice(chunk);
            packets.push((payload, false));
        }
    }
    if let Some(last) = packets.last_mut() {
        last.1 = true;
    }
    packets
}

fn slice(kind: u8, len: usize) -> Vec<u8> {
    std::iter::once(0x60 | kind).chain((0..len).map(|at| 0x80 | (at * 7) as u8)).collect()
}

fn behind_length(unit: &[u8]) -> Vec<u8> {
    [&(unit.len() as u32).to_be_bytes()[..], unit].concat()
}

#[test]
fn h264_units_stand_behind_their_lengths_and_the_sets_in_avcc() {
    let (idr, inter) = (slice(5, 3000), slice(1, 800));
    let mut feed = Feed::new(Codec::H264);
    feed.packets(0, &h264_packets(&[SPS, PPS, &idr], 1000)).packets(3000, &h264_packets(&[&inter], 1000));
    let frames = feed.take();
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].key, &frames[0].data), (true, &behind_length(&idr)));
    assert_eq!((frames[1].key, &frames[1].data), (false, &behind_length(&inter)));
    assert_eq!(frames[0].visible, Some(Visible { width: 640, height: 480 }));
    let mut avcc = vec![1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, SPS.len() as u8];
    avcc.extend_from_slice(SPS);
    avcc.extend([1, 0, PPS.len() as u8]);
    avcc.extend_from_slice(PPS);
    assert_eq!(frames[0].private.as_ref(), Some(&avcc));
    // Another set with the same id: the next key frame says so.
    let other: Vec<u8> =
        SPS.iter().enumerate().map(|(at, byte)| if at == 3 { 0x1f } else { *byte }).collect();
    feed.packets(6000, &h264_packets(&[&other, PPS, &idr], 1000));
    assert_ne!(feed.take()[0].private.as_ref(), Some(&avcc));
}

#[test]
fn an_h264_key_frame_without_parameter_sets_is_none() {
    let mut feed = Feed::new(Codec::H264);
    feed.packets(0, &h264_packets(&[&slice(5, 300)], 1000));
    assert!(feed.take().is_empty() && feed.reassembler.waits_for_key());
}

#[test]
fn each_opus_packet_is_a_frame_and_red_fills_what_was_lost() {
    let mut feed = Feed::new(Codec::Opus);
    feed.packet(0, b"\x78one", true, false);
    let mut red = [0; 100];
    let block =
        |payload, timestamp_offset| parvis_rtp::red::Block { payload_type: 111, timestamp_offset, payload };
    // 960 and 1920 were lost, and come again with 2880.
    let again = [block(&b"\x78two"[..], 1920), block(&b"\x78three"[..], 960)];
    let len = parvis_rtp::red::write(&mut red, &again, 111, b"\x78four").unwrap();
    let piece = Piece { timestamp: 2880, marker: false, payload: &red[..len], after_loss: true };
    feed.reassembler.push(piece, true, &mut feed.frames);
    // Nothing was lost before the next one: what it brings again is there already.
    let len = parvis_rtp::red::write(&mut red, &[block(&b"\x78four"[..], 960)], 111, b"\x78five").unwrap();
    let piece = Piece { timestamp: 3840, marker: false, payload: &red[..len], after_loss: false };
    feed.reassembler.push(piece, true, &mut feed.frames);
    let frames: Vec<_> =
        feed.take().into_iter().map(|frame| (frame.timestamp, frame.data[1..].to_vec())).collect();
    let expected: Vec<(u32, Vec<u8>)> =
        [(0, "one"), (960, "two"), (1920, "three"), (2880, "four"), (3840, "five")]
            .map(|(at, text)| (at, text.as_bytes().to_vec()))
            .to_vec();
    assert_eq!(frames, expected);
}

#[test]
fn opus_tells_how_long_its_packets_are() {
    // RFC 6716 section 3.1: configuration 15 is hybrid of 20 ms, 3 SILK of 60, 16 CELT of 2.5.
    assert_eq!(packet_samples(&[15 << 3]), Some(960));
    assert_eq!(packet_samples(&[3 << 3 | 1]), Some(5760));
    assert_eq!(packet_samples(&[16 << 3 | 3, 4]), Some(480));
    assert_eq!(packet_samples(&[3 << 3 | 3, 3]), None, "more than 120 ms");
    assert_eq!(packet_samples(&[]), None);
}

proptest! {
    #[test]
    fn noise_makes_no_codec_panic_or_hold_more_than_it_may(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..60), any::<[bool; 3]>(), 0_u32..4), 0..60),
    ) {
        for codec in Codec::ALL {
            let mut feed = Feed::new(codec);
            for (payload, [marker, lost, red], timestamp) in &packets {
                let piece = Piece { timestamp: *timestamp, marker: *marker, payload, after_loss: *lost };
                feed.reassembler.push(piece, *red, &mut feed.frames);
            }
            let bytes: usize = feed.frames.iter().map(|frame| frame.data.len()).sum();
            let sent: usize = packets.iter().map(|packet| packet.0.len()).sum();
            // Sizes before OBUs and units, and an index behind superframes.
            prop_assert!(bytes <= 6 * sent + 64 * packets.len());
        }
    }

    #[test]
    fn vp8_frames_survive_whatever_size_their_packets_have(len in 1_usize..5000, size in 20_usize..1400) {
        let key = vp8_frame(true, 320, 180, len);
        let mut feed = Feed::new(Codec::Vp8);
        feed.packets(1, &vp8_packets(&key, size));
        prop_assert_eq!(&feed.take()[0].data, &key);
    }
}
