// SPDX-License-Identifier: EUPL-1.2
//! RTCP: what the writer writes, the reader reads; and the reader survives anything.

use parvis_rtp::rtcp::{self, Dlrr, FirEntry, ReportBlock, Rtcp, SenderInfo, Writer, XrBlock};
use proptest::prelude::*;

fn report_block() -> impl Strategy<Value = ReportBlock> {
    (any::<u32>(), any::<u8>(), -(1i32 << 23)..(1 << 23), any::<[u32; 4]>()).prop_map(
        |(ssrc, fraction_lost, cumulative_lost, [highest, jitter, last_sr, delay])| ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost,
            extended_highest_sequence: highest,
            jitter,
            last_sr,
            delay_since_last_sr: delay,
        },
    )
}

#[allow(clippy::unwrap_used)] // a test's helper
fn read(bytes: &[u8]) -> Vec<Rtcp<'_>> {
    rtcp::packets(bytes).collect::<Result<_, _>>().unwrap()
}

proptest! {
    #[test]
    fn reports_are_read_as_written(
        ssrc: u32, ntp: u64, words: [u32; 3], blocks in proptest::collection::vec(report_block(), 0..32),
        cname in proptest::collection::vec(any::<u8>(), 0..256), streams in proptest::collection::vec(any::<u32>(), 0..32),
    ) {
        let info = SenderInfo { ntp, rtp_timestamp: words[0], packets: words[1], octets: words[2] };
        let mut buf = [0xff; 4096];
        let mut writer = Writer::new(&mut buf);
        writer.sender_report(ssrc, &info, &blocks).unwrap();
        writer.receiver_report(ssrc, &blocks).unwrap();
        writer.cname(ssrc, &cname).unwrap();
        writer.bye(&streams).unwrap();
        let len = writer.len();
        let packets = read(&buf[..len]);
        prop_assert_eq!(packets.len(), 4);
        let Rtcp::SenderReport(report) = packets[0] else { panic!("{packets:?}") };
        prop_assert_eq!((report.ssrc, report.info), (ssrc, info));
        prop_assert_eq!(report.blocks.iter().collect::<Vec<_>>(), blocks.clone());
        let Rtcp::ReceiverReport(report) = packets[1] else { panic!("{packets:?}") };
        prop_assert_eq!(report.blocks.iter().collect::<Vec<_>>(), blocks);
        let Rtcp::Sdes(sdes) = packets[2] else { panic!("{packets:?}") };
        prop_assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(ssrc, &cname[..])]);
        let Rtcp::Bye(bye) = packets[3] else { panic!("{packets:?}") };
        prop_assert_eq!(bye.ssrcs().collect::<Vec<_>>(), streams);
    }

    #[test]
    fn a_nack_asks_for_exactly_what_was_lost(lost in proptest::collection::btree_set(any::<u16>(), 1..80), from: u16) {
        // In the order of a sequence space that begins at `from`, so that the wrap is in it.
        let mut lost: Vec<u16> = lost.into_iter().collect();
        lost.sort_by_key(|sequence| sequence.wrapping_sub(from));
        let mut buf = [0; 1200];
        let mut writer = Writer::new(&mut buf);
        writer.nack(1, 2, lost.iter().copied()).unwrap();
        let len = writer.len();
        let Rtcp::Nack(nack) = read(&buf[..len])[0] else { panic!() };
        prop_assert_eq!((nack.sender_ssrc, nack.media_ssrc), (1, 2));
        prop_assert_eq!(nack.sequences().collect::<Vec<_>>(), lost);
    }

    #[test]
    fn picture_requests_and_estimates_are_read_as_written(
        sender: u32, media: u32, bitrate: u64, ssrcs in proptest::collection::vec(any::<u32>(), 0..20), sequence: u8, ntp: u64,
    ) {
        let mut buf = [0xff; 1200];
        let mut writer = Writer::new(&mut buf);
        writer.pli(sender, media).unwrap();
        let entry = FirEntry { ssrc: media, sequence };
        writer.fir(sender, &[entry]).unwrap();
        writer.remb(sender, bitrate, &ssrcs).unwrap();
        writer.receiver_reference_time(sender, ntp).unwrap();
        let delay = Dlrr { ssrc: media, last_rr: 5, delay_since_last_rr: 6 };
        writer.dlrr(sender, &[delay, delay]).unwrap();
        let len = writer.len();
        let packets = read(&buf[..len]);
        prop_assert_eq!(packets[0], Rtcp::Pli { sender_ssrc: sender, media_ssrc: media });
        let Rtcp::Fir(fir) = packets[1] else { panic!("{packets:?}") };
        prop_assert_eq!(fir.entries().collect::<Vec<_>>(), [entry]);
        let Rtcp::Remb(remb) = packets[2] else { panic!("{packets:?}") };
        // 18 bits of mantissa: rounded down by less than 1 in 2^17.
        prop_assert!(remb.bitrate <= bitrate && bitrate - remb.bitrate <= bitrate >> 17);
        prop_assert_eq!(remb.ssrcs().collect::<Vec<_>>(), ssrcs);
        let Rtcp::Xr(reference) = packets[3] else { panic!("{packets:?}") };
        prop_assert_eq!(reference.blocks().collect::<Vec<_>>(), [XrBlock::ReceiverReferenceTime(ntp)]);
        let Rtcp::Xr(delays) = packets[4] else { panic!("{packets:?}") };
        let Some(XrBlock::Dlrr(block)) = delays.blocks().next() else { panic!("{packets:?}") };
        prop_assert_eq!(block.iter().collect::<Vec<_>>(), [delay, delay]);
    }

    #[test]
    fn transport_feedback_covers_every_arrival_in_as_many_packets_as_it_takes(
        steps in proptest::collection::vec(prop_oneof![
            2 => Just(None),
            5 => (0i64..300).prop_map(Some),
            1 => (-400i64..40_000).prop_map(Some),
        ], 1..600),
        base: u16, room in 40usize..1200, start in -10_000i64..10_000_000,
    ) {
        let mut now = start;
        let arrivals: Vec<Option<i64>> =
            steps.into_iter().map(|step| step.map(|step| { now += step; now })).collect();
        let mut buf = vec![0; room];
        let mut seen = Vec::new();
        // The caller ends at the last arrival: losses after it are the next feedback's.
        let all = arrivals.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        while seen.len() < all {
            let from = seen.len();
            if arrivals[from..all.min(from + 1024)].iter().all(Option::is_none) { break; }
            let mut writer = Writer::new(&mut buf);
            let covered = writer.transport_feedback(1, 2, 9, base.wrapping_add(from as u16), &arrivals[from..all]).unwrap();
            let len = writer.len();
            prop_assert!(covered > 0 && len % 4 == 0);
            let Rtcp::TransportFeedback(feedback) = read(&buf[..len])[0] else { panic!() };
            prop_assert_eq!((feedback.sender_ssrc, feedback.media_ssrc, feedback.feedback_count), (1, 2, 9));
            prop_assert_eq!(usize::from(feedback.packet_count), covered);
            for (place, (sequence, arrival)) in feedback.arrivals().enumerate() {
                prop_assert_eq!(sequence, base.wrapping_add((from + place) as u16));
                seen.push(arrival);
            }
        }
        prop_assert_eq!(&seen[..], &arrivals[..seen.len()]);
    }

    #[test]
    fn a_packet_that_does_not_fit_leaves_those_before_it_whole(room in 0usize..120) {
        let mut buf = vec![0; room];
        let mut writer = Writer::new(&mut buf);
        let mut fitted = 0;
        for result in [
            writer.receiver_report(1, &[]),
            writer.cname(1, b"parvis"),
            writer.nack(1, 2, [1, 40, 80]),
            writer.transport_feedback(1, 2, 0, 0, &[Some(1)]).map(drop),
            writer.pli(1, 2),
        ] {
            fitted += usize::from(result.is_ok());
        }
        let len = writer.len();
        prop_assert_eq!(read(&buf[..len]).len(), fitted);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), head in 200u8..208, count in 0u8..32) {
        let mut bytes = bytes;
        if let [first, second, high, low, ..] = &mut bytes[..] {
            (*first, *second, *high, *low) = (0x80 | count, head, 0, *low % 50);
        }
        walk(&bytes);
    }
}

/// Reads everything that can be read.
fn walk(bytes: &[u8]) -> usize {
    rtcp::packets(bytes)
        .map(|packet| match packet {
            Err(_) => 0,
            Ok(Rtcp::SenderReport(report)) => report.blocks.iter().count(),
            Ok(Rtcp::ReceiverReport(report)) => report.blocks.iter().count(),
            Ok(Rtcp::Sdes(sdes)) => sdes.cnames().count(),
            Ok(Rtcp::Bye(bye)) => bye.ssrcs().count(),
            Ok(Rtcp::Nack(nack)) => nack.sequences().count(),
            Ok(Rtcp::Fir(fir)) => fir.entries().count(),
            Ok(Rtcp::Remb(remb)) => remb.ssrcs().count(),
            Ok(Rtcp::TransportFeedback(feedback)) => feedback.arrivals().count(),
            Ok(Rtcp::Xr(xr)) => xr.blocks().count(),
            Ok(Rtcp::Pli { .. } | Rtcp::Unknown { .. }) => 1,
        })
        .sum()
}

#[test]
fn transport_feedback_of_a_foreign_sender_is_read() {
    // Put together by hand from the draft's figures: base 0x1234, 9 packets, reference 2 (128 ms), count 5;
    // a run of 3 small deltas, then a two-bit vector: lost, large, small, lost, small, lost (and one unused).
    let body = [
        0x8f,
        205,
        0,
        7,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        0x12,
        0x34,
        0,
        9,
        0,
        0,
        2,
        5, // head
        0x20,
        0x03,
        0b1100_1001,
        0b0001_0000, // chunks
        4,
        8,
        12,
        0xff,
        0xfc,
        1,
        2,
        0, // deltas: 1 ms, 2 ms, 3 ms, −1 ms, 0.25 ms, 0.5 ms; one of padding
    ];
    let Rtcp::TransportFeedback(feedback) = read(&body)[0] else { panic!() };
    let arrivals: Vec<_> =
        feedback.arrivals().map(|(_, arrival)| arrival.map(|arrival| arrival - 512)).collect();
    assert_eq!(
        arrivals,
        [Some(4), Some(12), Some(24), None, Some(20), Some(21), None, Some(23), None],
        "{feedback:?}"
    );
    assert_eq!(feedback.packets().last().map(|(sequence, _)| sequence), Some(0x1234 + 8));
}

#[test]
fn cut_feedback_and_wrong_lengths_are_refused() {
    let mut buf = [0; 200];
    let mut writer = Writer::new(&mut buf);
    writer.transport_feedback(1, 2, 0, 7, &[Some(1), None, Some(9), Some(90_000 / 250)]).unwrap();
    let len = writer.len();
    for cut in 1..len {
        assert!(rtcp::packets(&buf[..cut]).any(|packet| packet.is_err()), "cut at {cut}");
    }
    // The header may say more or less than there is: an error, never a panic.
    for words in 0..=255 {
        buf[3] = words;
        walk(&buf);
    }
    let too_many = [ReportBlock::default(); 32];
    assert!(Writer::new(&mut [0; 2000]).receiver_report(1, &too_many).is_err());
}
