// SPDX-License-Identifier: EUPL-1.2
//! Sender and receiver over a small simulated link, in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parvis_rtp::rtcp::{self, Rtcp, Writer};
use proptest::prelude::*;

use super::*;

const PACKET_BYTES: usize = 1200;
/// One way, without the queue.
const DELAY: Duration = Duration::from_millis(20);

/// A bottleneck with a queue, and the two ends.
struct Sim {
    now: Instant,
    sender: Sender,
    receiver: Receiver,
    /// Bits per second.
    link: u64,
    /// What the queue holds, as time.
    queue: Duration,
    /// Random loss in 1/1000.
    loss_permille: u64,
    /// The same of feedback.
    feedback_loss_permille: u64,
    /// What the application has to send, in bits per second.
    application: u64,
    /// What it sends of sound, whatever the estimate is.
    sound: u64,
    /// Whether it sends pictures, on whose stream padding can go.
    pictures: bool,
    link_free_at: Instant,
    in_flight: VecDeque<(Instant, u16)>,
    feedback: VecDeque<(Instant, Vec<u8>)>,
    media_budget_bits: u64,
    /// The rates that were tried, in bits per second.
    tried: Vec<u64>,
    /// Padding still to send: until when, at how many bits per second, and its budget.
    probe: Option<(Instant, u64, u64)>,
    random: u64,
    sent_bits: u64,
    longest_queue: Duration,
}

impl Sim {
    fn new(link: u64, application: u64) -> Sim {
        let now = Instant::now();
        Sim {
            now,
            sender: Sender::new(SenderConfig::default(), now),
            receiver: Receiver::new(),
            link,
            queue: Duration::from_millis(300),
            loss_permille: 0,
            feedback_loss_permille: 0,
            application,
            sound: 0,
            pictures: true,
            link_free_at: now,
            in_flight: VecDeque::new(),
            feedback: VecDeque::new(),
            media_budget_bits: 0,
            tried: Vec::new(),
            probe: None,
            random: 0x2545_f491_4f6c_dd1d,
            sent_bits: 0,
            longest_queue: Duration::ZERO,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(1);
            self.step();
        }
    }

    /// As [`Sim::run`]; the mean and the range of the estimate, sampled every 100 ms.
    fn watch(&mut self, time: Duration) -> (u64, u64, u64) {
        let mut samples = Vec::new();
        for _ in 0..time.as_millis() / 100 {
            self.run(Duration::from_millis(100));
            samples.push(self.sender.estimate());
        }
        let mean = samples.iter().sum::<u64>() / samples.len() as u64;
        (mean, *samples.iter().min().unwrap(), *samples.iter().max().unwrap())
    }

    fn step(&mut self) {
        while self.in_flight.front().is_some_and(|(at, _)| *at <= self.now) {
            let (at, sequence) = self.in_flight.pop_front().unwrap();
            self.receiver.on_packet(at, sequence);
        }
        let mut buf = [0; 1200];
        while let Some(len) = self.receiver.write_feedback(self.now, 1, 2, &mut buf) {
            if self.dice() >= self.feedback_loss_permille {
                self.feedback.push_back((self.now + DELAY, buf[..len].to_vec()));
            }
        }
        while self.feedback.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.feedback.pop_front().unwrap();
            for packet in rtcp::packets(&bytes) {
                let Ok(Rtcp::TransportFeedback(feedback)) = packet else { panic!("{packet:?}") };
                self.sender.on_feedback(self.now, &feedback, &mut Vec::new());
            }
        }
        if self.sender.poll_timeout().is_some_and(|at| at <= self.now) {
            self.sender.handle_timeout(self.now);
        }
        if let Some(probe) = self.sender.wants_probe(self.now, || self.pictures) {
            self.tried.push(probe.bitrate);
            self.probe = Some((self.now + probe.duration, probe.bitrate, PACKET_BYTES as u64 * 8));
        }
        self.send();
    }

    fn send(&mut self) {
        let packet_bits = PACKET_BYTES as u64 * 8;
        self.media_budget_bits += self.application.min(self.sender.estimate()).max(self.sound) / 1000;
        while self.media_budget_bits >= packet_bits {
            self.media_budget_bits -= packet_bits;
            self.send_one(SentKind::Media);
        }
        if let Some((until, bitrate, budget)) = &mut self.probe {
            *budget += *bitrate / 1000;
            let packets = *budget / packet_bits;
            *budget %= packet_bits;
            if *until < self.now {
                self.probe = None;
            }
            (0..packets).for_each(|_| self.send_one(SentKind::Probe));
        }
    }

    /// From 0 to 999; xorshift64*.
    fn dice(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 1000
    }

    fn send_one(&mut self, kind: SentKind) {
        let sequence = self.sender.on_sent(self.now, PACKET_BYTES, kind, None);
        self.sent_bits += PACKET_BYTES as u64 * 8;
        let waiting = self.link_free_at.saturating_duration_since(self.now);
        self.longest_queue = self.longest_queue.max(waiting);
        if self.dice() < self.loss_permille || waiting > self.queue || self.link == 0 {
            return;
        }
        let serialised = Duration::from_secs_f64(PACKET_BYTES as f64 * 8.0 / self.link as f64);
        self.link_free_at = self.link_free_at.max(self.now) + serialised;
        self.in_flight.push_back((self.link_free_at + DELAY, sequence));
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn on_a_fast_link_a_subscriber_reaches_its_rate_within_five_seconds_though_it_sends_little() {
    // Less is sent than is wanted, as when only the lowest layer fits yet.
    let mut sim = Sim::new(1_000_000_000, 150_000);
    sim.sender.set_wanted(3_000_000);
    sim.run(seconds(5));
    assert!(sim.sender.estimate() >= 2_500_000, "{}", sim.sender.estimate());
    assert!(sim.sender.estimate() <= 3_400_000, "more than wanted was not tried: {}", sim.sender.estimate());
    assert!(sim.sender.stats().probes <= 5, "{:?}", sim.sender.stats());
}

#[test]
fn the_estimate_settles_below_the_link_and_keeps_its_queue_short() {
    for link in [500_000, 1_000_000, 3_000_000] {
        let mut sim = Sim::new(link, 10_000_000);
        sim.run(seconds(15));
        sim.longest_queue = Duration::ZERO;
        let (mean, min, max) = sim.watch(seconds(30));
        assert!(mean <= link && mean >= link * 65 / 100, "{link}: {mean} from {min} to {max}");
        assert!(max <= link * 140 / 100, "{link}: {mean} from {min} to {max}");
        assert!(sim.longest_queue < Duration::from_millis(300), "{link}: {:?}", sim.longest_queue);
    }
}

#[test]
fn the_estimate_follows_a_link_that_halves_and_doubles() {
    let mut sim = Sim::new(2_000_000, 10_000_000);
    sim.run(seconds(20));
    sim.link = 1_000_000;
    sim.run(seconds(4));
    let (mean, ..) = sim.watch(seconds(10));
    assert!((600_000..=1_050_000).contains(&mean), "after it halved: {mean}");
    sim.link = 2_000_000;
    sim.run(seconds(15));
    let (mean, ..) = sim.watch(seconds(10));
    assert!((1_300_000..=2_050_000).contains(&mean), "after it doubled: {mean}");
}

#[test]
fn ten_percent_of_random_loss_does_not_collapse_the_estimate() {
    for loss_permille in [20, 50, 100, 120] {
        let mut sim = Sim::new(3_000_000, 10_000_000);
        sim.loss_permille = loss_permille;
        sim.run(seconds(40));
        let (mean, min, _) = sim.watch(seconds(60));
        assert!(mean >= 1_000_000 && min >= 300_000, "{loss_permille}: {mean}, at least {min}");
        let loss = sim.sender.loss();
        let really = loss_permille as f32 / 1000.0;
        assert!((loss - really).abs() < 0.06, "{loss_permille}: {loss}");
    }
}

#[test]
fn what_lost_feedback_would_have_told_counts_as_the_rest_does() {
    let mut sim = Sim::new(50_000_000, 1_000_000);
    sim.sender.set_wanted(0);
    sim.run(seconds(20));
    sim.feedback_loss_permille = 300;
    let rates: Vec<u64> = (0..20)
        .map(|_| {
            sim.run(seconds(1));
            sim.sender.acknowledged_rate()
        })
        .collect();
    let mean = rates.iter().sum::<u64>() / 20;
    assert!((900_000..1_100_000).contains(&mean), "{mean} of 1,000,000 that arrive: {rates:?}");
}

#[test]
fn on_a_fast_path_that_loses_a_quarter_both_ways_more_is_found_out() {
    let mut sim = Sim::new(1_000_000_000, 150_000);
    (sim.loss_permille, sim.feedback_loss_permille) = (250, 250);
    sim.sender.set_wanted(3_000_000);
    sim.run(seconds(20));
    assert!(sim.sender.estimate() >= 2_000_000, "{} {:?}", sim.sender.estimate(), sim.sender.stats());
}

#[test]
fn a_limit_that_a_moment_of_losses_left_is_tried_away_though_a_few_go_on() {
    let mut sim = Sim::new(2_000_000, 5_000_000);
    sim.loss_permille = 600;
    sim.run(seconds(3));
    let low = sim.sender.estimate();
    assert!(low < 400_000, "{low}");
    // So few that the rate need not fall, and too many for its limit to grow by itself.
    sim.loss_permille = 50;
    sim.run(seconds(15));
    assert!(sim.sender.estimate() > 1_200_000, "{} of 2 Mbit/s", sim.sender.estimate());
}

#[test]
fn a_policer_that_drops_without_delay_is_noticed_by_its_losses() {
    let mut sim = Sim::new(1_000_000, 10_000_000);
    sim.queue = Duration::from_millis(10);
    sim.run(seconds(30));
    let (mean, ..) = sim.watch(seconds(20));
    assert!((400_000..=1_150_000).contains(&mean), "{mean}");
}

#[test]
fn idling_neither_raises_nor_lowers_the_estimate() {
    let mut sim = Sim::new(2_000_000, 10_000_000);
    sim.run(seconds(20));
    let before = sim.sender.estimate();
    // Nothing more is wanted, so nothing is tried; first a trickle of audio, then nothing at all.
    sim.sender.set_wanted(0);
    for application in [40_000, 0] {
        sim.application = application;
        sim.run(seconds(60));
        let after = sim.sender.estimate();
        assert!(after <= before * 11 / 10 && after >= before * 9 / 10, "{application}: {before} {after}");
    }
    // And it is still true.
    sim.application = 10_000_000;
    sim.run(seconds(2));
    let (mean, ..) = sim.watch(seconds(10));
    assert!(mean >= 1_000_000, "{mean}");
}

#[test]
fn what_was_not_tried_is_not_believed() {
    let mut sim = Sim::new(100_000_000, 200_000);
    sim.sender.set_wanted(0);
    sim.run(seconds(60));
    let estimate = sim.sender.estimate();
    assert!(estimate <= 200_000 * 3 / 2 + 60_000, "{estimate}, though only 200 kbit/s were sent");
    assert_eq!(sim.sender.stats().probes, 0);
}

#[test]
fn a_dead_path_lowers_the_estimate_and_a_revived_one_raises_it() {
    let mut sim = Sim::new(2_000_000, 10_000_000);
    sim.run(seconds(15));
    let link = std::mem::take(&mut sim.link);
    sim.run(seconds(15));
    assert_eq!(sim.sender.estimate(), SenderConfig::default().floor);
    sim.link = link;
    sim.link_free_at = sim.now;
    sim.run(seconds(20));
    assert!(sim.sender.estimate() >= 1_000_000, "{}", sim.sender.estimate());
}

#[test]
fn round_trip_and_acknowledged_rate_are_measured() {
    let mut sim = Sim::new(50_000_000, 250_000);
    sim.sender.set_wanted(0);
    sim.run(seconds(10));
    let round_trip = sim.sender.round_trip().unwrap();
    assert!(round_trip >= 2 * DELAY && round_trip < 2 * DELAY + Duration::from_millis(40), "{round_trip:?}");
    let rate = sim.sender.acknowledged_rate();
    assert!((220_000..280_000).contains(&rate), "{rate}");
    sim.sender.on_receiver_report(sim.now, 0, Some(Duration::from_millis(300)));
    let reported = sim.sender.round_trip().unwrap();
    assert!(reported > round_trip, "{reported:?}");
    sim.sender.on_receiver_report(sim.now, 0, Some(Duration::from_secs(3600)));
    assert_eq!(sim.sender.round_trip(), Some(reported), "an hour is no round trip");
}

#[test]
fn without_transport_feedback_the_receiver_reports_losses_count() {
    let now = Instant::now();
    let mut sender = Sender::new(SenderConfig { start: 1_000_000, ..SenderConfig::default() }, now);
    for second in 0..5 {
        sender.on_receiver_report(now + seconds(second), 64, None);
    }
    assert!(sender.estimate() < 800_000, "{}", sender.estimate());
    assert!(sender.loss() > 0.1);
}

/// Row 21: whatever a client claims, the estimate stays below the configured maximum, and what was never sent
/// counts for nothing.
#[test]
fn row_21_lying_feedback_does_not_exceed_the_configured_maximum() {
    let start = Instant::now();
    let config = SenderConfig { start: 300_000, floor: 100_000, cap: 2_000_000 };
    let mut sender = Sender::new(config, start);
    let mut buf = [0; 1200];
    for turn in 0..3000u32 {
        let now = start + Duration::from_millis(u64::from(turn) * 20);
        let sequence = sender.on_sent(now, 250, SentKind::Media, None);
        if let Some(probe) = sender.wants_probe(now, || true) {
            assert!(probe.bitrate <= config.cap * 11 / 10);
            for _ in 0..probe.packets * 4 {
                sender.on_sent(now, PACKET_BYTES, SentKind::Probe, None);
            }
        }
        // "All arrived at the same instant, and a thousand more."
        let mut writer = Writer::new(&mut buf);
        let arrivals = [Some(i64::from(turn) * 8); 1000];
        writer.transport_feedback(1, 2, turn as u8, sequence.wrapping_sub(20), &arrivals).unwrap();
        let len = writer.len();
        let Some(Ok(Rtcp::TransportFeedback(feedback))) = rtcp::packets(&buf[..len]).next() else { panic!() };
        sender.on_feedback(now, &feedback, &mut Vec::new());
        assert!(sender.estimate() <= config.cap);
    }
    assert!(sender.stats().unknown_packets > 2_000_000, "{:?}", sender.stats());
    assert!(sender.stats().arrived_packets <= 3000 + sender.stats().probes * 20, "{:?}", sender.stats());
}

#[test]
fn above_the_maximum_nothing_is_saved_up() {
    let mut sim = Sim::new(100_000_000, 10_000_000);
    sim.sender = Sender::new(SenderConfig { cap: 500_000, ..SenderConfig::default() }, sim.now);
    sim.run(seconds(20));
    assert_eq!(sim.sender.estimate(), 500_000);
    sim.link = 0;
    sim.run(Duration::from_millis(2200));
    assert!(sim.sender.estimate() <= 400_000, "the first step down shows: {}", sim.sender.estimate());
}

/// Row 21 again: a peer's clock that leaps with every report breaks nothing and proves nothing.
#[test]
fn row_21_a_leaping_clock_is_begun_anew() {
    let start = Instant::now();
    let mut sender = Sender::new(SenderConfig::default(), start);
    let mut buf = [0; 100];
    for turn in 0..20_000u32 {
        let now = start + Duration::from_millis(turn.into());
        let sequence = sender.on_sent(now, PACKET_BYTES, SentKind::Media, None);
        let mut writer = Writer::new(&mut buf);
        let leap = i64::from(turn) * ((1 << 31) - 1);
        writer.transport_feedback(1, 2, turn as u8, sequence, &[Some(leap)]).unwrap();
        let len = writer.len();
        let Some(Ok(Rtcp::TransportFeedback(feedback))) = rtcp::packets(&buf[..len]).next() else { panic!() };
        sender.on_feedback(now, &feedback, &mut Vec::new());
    }
    let estimate = sender.estimate();
    assert!((100_000..=20_000_000).contains(&estimate), "{estimate}");
}

#[test]
fn feedback_for_what_was_never_sent_changes_nothing() {
    let start = Instant::now();
    let mut sender = Sender::new(SenderConfig::default(), start);
    let mut buf = [0; 1200];
    let mut writer = Writer::new(&mut buf);
    writer.transport_feedback(1, 2, 0, 500, &[Some(0), None, Some(4)]).unwrap();
    let len = writer.len();
    let Some(Ok(Rtcp::TransportFeedback(feedback))) = rtcp::packets(&buf[..len]).next() else { panic!() };
    sender.on_feedback(start, &feedback, &mut Vec::new());
    assert_eq!((sender.stats().unknown_packets, sender.estimate(), sender.round_trip()), (3, 300_000, None));
}

/// Everything that a receiver reports, by sequence number in order of reporting.
fn reported(receiver: &mut Receiver, now: Instant, room: usize) -> Vec<(u16, Option<i64>)> {
    let mut buf = vec![0; room];
    let mut all = Vec::new();
    while let Some(len) = receiver.write_feedback(now, 1, 2, &mut buf) {
        for packet in rtcp::packets(&buf[..len]) {
            let Ok(Rtcp::TransportFeedback(feedback)) = packet else { panic!("{packet:?}") };
            all.extend(feedback.arrivals());
        }
    }
    all
}

#[test]
fn reports_tell_losses_reordering_and_wraps() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut receiver = Receiver::new();
    assert_eq!(receiver.poll_timeout(), None);
    for (millis, sequence) in [(0, 65_534), (1, 65_535), (3, 1), (5, 4), (6, 3)] {
        receiver.on_packet(at(millis), sequence);
    }
    assert_eq!(receiver.poll_timeout(), Some(at(50)));
    assert!(reported(&mut receiver, at(49), 1200).is_empty(), "not yet");
    let ticks = |millis: i64| Some(millis * 4);
    let expected = [
        (65_534, ticks(0)),
        (65_535, ticks(1)),
        (0, None),
        (1, ticks(3)),
        (2, None),
        (3, ticks(6)),
        (4, ticks(5)),
    ];
    assert_eq!(reported(&mut receiver, at(50), 1200), expected);
    assert_eq!(receiver.poll_timeout(), None, "nothing new");
    // A late packet is reported with those after it; a duplicate is not.
    receiver.on_packet(at(60), 1);
    assert_eq!(receiver.poll_timeout(), None, "duplicate");
    receiver.on_packet(at(70), 2);
    assert_eq!(receiver.poll_timeout(), Some(at(150)), "quiet streams are reported on every 100 ms");
    assert_eq!(reported(&mut receiver, at(150), 1200), [(2, ticks(70)), (3, ticks(6)), (4, ticks(5))]);
}

#[test]
fn a_report_that_outgrows_its_buffer_is_split() {
    let start = Instant::now();
    let mut receiver = Receiver::new();
    for sequence in 0..400u16 {
        receiver.on_packet(start + Duration::from_micros(u64::from(sequence) * 100), sequence);
    }
    let all = reported(&mut receiver, start + Duration::from_millis(60), 120);
    assert_eq!(all.len(), 400);
    assert!(
        all.iter().enumerate().all(|(place, (sequence, at))| usize::from(*sequence) == place && at.is_some())
    );
    receiver.on_packet(start + Duration::from_millis(70), 400);
    assert_eq!(receiver.poll_timeout(), Some(start + Duration::from_millis(110)), "busy: every 50 ms");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever numbers a peer uses, memory stays bounded and each report tells only what arrived.
    #[test]
    fn any_order_of_numbers_is_reported_truly_and_in_bounded_memory(
        steps in proptest::collection::vec((prop_oneof![8 => 0u16..4, 2 => any::<u16>()], 0u64..30), 1..400), start_sequence: u16,
    ) {
        let start = Instant::now();
        let mut receiver = Receiver::new();
        let mut arrived = std::collections::BTreeMap::<u16, Vec<i64>>::new();
        let (mut sequence, mut millis, mut first_millis) = (start_sequence, 0, None);
        for (step, pause) in steps {
            sequence = sequence.wrapping_add(step);
            millis += pause;
            let now = start + Duration::from_millis(millis);
            receiver.on_packet(now, sequence);
            // The receiver's clock starts with its first packet.
            let first = *first_millis.get_or_insert(millis);
            arrived.entry(sequence).or_default().push((millis - first) as i64 * 4);
            for (sequence, at) in reported(&mut receiver, now, 300) {
                if let Some(at) = at {
                    prop_assert!(arrived.get(&sequence).is_some_and(|times| times.contains(&at)), "{sequence} at {at}");
                }
            }
        }
    }

    /// The same packets and times give the same estimate.
    #[test]
    fn the_estimate_depends_on_nothing_but_its_inputs(link in 300_000u64..5_000_000, loss in 0u64..100) {
        let run = || {
            let mut sim = Sim::new(link, 5_000_000);
            sim.loss_permille = loss;
            sim.run(seconds(3));
            (sim.sender.estimate(), sim.sender.stats())
        };
        prop_assert_eq!(run(), run());
    }
}

/// Sound is there first: its feedback must not use up the first steps, which only pictures can carry.
#[test]
fn what_nothing_can_carry_is_not_tried_and_counts_as_no_failure() {
    let start = Instant::now();
    let mut sender = Sender::new(SenderConfig::default(), start);
    let mut buf = [0; 100];
    for turn in 0..200u32 {
        let now = start + Duration::from_millis(u64::from(turn) * 20);
        let sequence = sender.on_sent(now, 100, SentKind::Media, None);
        let mut writer = Writer::new(&mut buf);
        writer.transport_feedback(1, 2, turn as u8, sequence, &[Some(i64::from(turn) * 80)]).unwrap();
        let len = writer.len();
        let Some(Ok(Rtcp::TransportFeedback(feedback))) = rtcp::packets(&buf[..len]).next() else { panic!() };
        sender.on_feedback(now, &feedback, &mut Vec::new());
        assert_eq!(sender.wants_probe(now, || false), None);
    }
    assert_eq!(sender.stats().probes, 0);
    let probe = sender.wants_probe(start + seconds(4), || true).unwrap();
    assert_eq!(probe.bitrate, 900_000, "three times the start");
}

/// Three times the start, then six times; after a cluster that proved less than that, six times are out of reach.
#[test]
fn six_times_the_start_is_tried_where_three_times_arrived() {
    let tried = |link: u64| {
        let mut sim = Sim::new(link, 5_000_000);
        sim.run(seconds(2));
        sim.tried
    };
    let free = tried(20_000_000);
    assert_eq!(free[..2], [900_000, 1_800_000], "{free:?}");
    let narrow = tried(500_000);
    assert!(narrow[0] == 900_000 && !narrow.contains(&1_800_000), "{narrow:?}");
}

/// What is sent whatever the estimate says counts where nothing can carry a probe.
#[test]
fn sound_beyond_the_estimate_is_believed_where_no_picture_can_carry_a_probe() {
    let sounding = |pictures: bool, link: u64| {
        let mut sim = Sim::new(link, 0);
        (sim.sound, sim.pictures) = (1_000_000, pictures);
        sim.run(seconds(3));
        (sim.sender.estimate(), sim.sender.stats().probes)
    };
    let (estimate, probes) = sounding(false, 20_000_000);
    assert!(estimate >= 950_000 && probes == 0, "{estimate} after {probes} probes");
    let (estimate, probes) = sounding(true, 20_000_000);
    assert!(estimate >= 1_500_000 && probes > 1, "{estimate} after {probes} probes");
    let (estimate, _) = sounding(false, 600_000);
    assert!(estimate < 600_000, "{estimate}: the path carries no more");
}

/// A path with a little sound and much to show, up to where the first cluster begins.
fn at_the_first_try() -> Sim {
    let mut sim = Sim::new(5_000_000, 4_000_000);
    sim.sound = 650_000;
    while sim.tried.is_empty() {
        sim.run(Duration::from_millis(1));
    }
    sim
}

#[test]
fn sound_beyond_the_estimate_is_no_reason_to_try_seldom() {
    let mut sim = at_the_first_try();
    // The first cluster gets lost on the way: the path may not carry it.
    sim.loss_permille = 1000;
    sim.run(Duration::from_millis(100));
    sim.loss_permille = 0;
    sim.run(seconds(4));
    assert_eq!(sim.tried.len(), 1, "{:?}", sim.tried);
    sim.run(seconds(3));
    assert!(sim.tried.len() > 1, "{:?}", sim.tried);
    assert!(sim.sender.estimate() > 1_000_000, "{} after {:?}", sim.sender.estimate(), sim.tried);
}

#[test]
fn a_cluster_that_we_held_up_ourselves_is_tried_again_at_once() {
    let mut sim = at_the_first_try();
    // Its last packets leave after we have slept.
    sim.run(Duration::from_millis(30));
    sim.now += Duration::from_millis(1_300);
    let (_, bitrate, budget) = sim.probe.unwrap();
    sim.probe = Some((sim.now + Duration::from_millis(20), bitrate, budget));
    sim.run(Duration::from_millis(500));
    assert_eq!(sim.tried[..3], [900_000, 900_000, 1_800_000]);
    assert!(sim.sender.estimate() > 800_000, "{} after {:?}", sim.sender.estimate(), sim.tried);
}

/// Until the estimate is at `goal` bits per second, in steps of 100 ms; at most a minute.
fn until_it_reaches(sim: &mut Sim, goal: u64) -> Duration {
    let begin = sim.now;
    while sim.sender.estimate() < goal && sim.now - begin < seconds(60) {
        sim.run(Duration::from_millis(100));
    }
    sim.now - begin
}

/// Thirty pictures of 1.6 Mbit/s each, on a path that carries a little more: 2^7 times the start lies between.
#[test]
fn on_a_path_of_fifty_megabits_forty_are_reached_within_seconds_whether_they_are_sent_or_not() {
    for application in [50_000_000, 1_000_000] {
        let mut sim = Sim::new(55_000_000, application);
        let took = until_it_reaches(&mut sim, 40_000_000);
        assert!(took <= seconds(8), "{took:?} with {application}: {:?}", sim.tried);
        assert!(sim.tried.iter().all(|tried| *tried <= 55_000_000), "{:?}", sim.tried);
    }
}

/// And once more after the path had been narrow for a time: what was learnt there is no lid.
#[test]
fn forty_megabits_are_reached_again_after_the_path_was_narrow() {
    let mut sim = Sim::new(55_000_000, 50_000_000);
    until_it_reaches(&mut sim, 40_000_000);
    sim.link = 2_000_000;
    sim.run(seconds(10));
    assert!(sim.sender.estimate() < 2_500_000, "{}", sim.sender.estimate());
    sim.link = 55_000_000;
    let took = until_it_reaches(&mut sim, 40_000_000);
    assert!(took <= seconds(15), "{took:?}: {:?}", sim.tried);
}
