// SPDX-License-Identifier: EUPL-1.2
//! Two associations over a link that loses, doubles and reorders packets, in virtual time and from a seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use parvis_peer::sctp::{Association, SctpConfig, SctpEvent};
use parvis_peer::{ChannelId, ChannelSpec, SendError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const CLIENT: usize = 0;
const SERVER: usize = 1;

#[derive(Clone, Copy, Default)]
struct Weather {
    loss_percent: u32,
    dup_percent: u32,
    reorder_percent: u32,
}

struct Link {
    ends: [Association; 2],
    start: Instant,
    now: Instant,
    weather: Weather,
    rng: ChaCha20Rng,
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    count: u64,
    /// Everything that was put on the wire, as a running hash.
    trace: u64,
    events: [Vec<SctpEvent>; 2],
    /// Ends that don't poll their events.
    deaf: [bool; 2],
}

impl Link {
    fn new(seed: u8, weather: Weather) -> Self {
        Link::with(seed, weather, [true, false])
    }

    fn with(seed: u8, weather: Weather, initiate: [bool; 2]) -> Self {
        let now = Instant::now();
        let config = |end: usize| SctpConfig {
            dtls_client: end == CLIENT,
            initiate: initiate[end],
            ..Default::default()
        };
        Link {
            ends: [CLIENT, SERVER]
                .map(|end| Association::new(config(end), [seed ^ (end as u8 * 0x80); 32], now)),
            start: now,
            now,
            weather,
            rng: ChaCha20Rng::from_seed([seed; 32]),
            flying: BTreeMap::new(),
            count: 0,
            trace: 0,
            events: [vec![], vec![]],
            deaf: [false; 2],
        }
    }

    /// Polls both ends dry; their packets start to fly.
    fn pump(&mut self) {
        for end in [CLIENT, SERVER] {
            while let Some(packet) = self.ends[end].poll_transmit(self.now) {
                assert!(packet.len() <= 1180, "a packet of {} bytes", packet.len());
                for byte in &packet {
                    self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
                }
                let mut chance = |percent| self.rng.random_range(0..100) < percent;
                let copies = usize::from(!chance(self.weather.loss_percent))
                    + usize::from(chance(self.weather.dup_percent));
                for _ in 0..copies {
                    let late = if chance(self.weather.reorder_percent) { 15 } else { 0 };
                    let at = self.now + Duration::from_millis(20 + late);
                    self.count += 1;
                    self.flying.insert((at, self.count), (1 - end, packet.clone()));
                }
            }
            while !self.deaf[end]
                && let Some(event) = self.ends[end].poll_event()
            {
                self.events[end].push(event);
            }
        }
    }

    /// Lets the next thing happen; false when nothing ever will.
    fn step(&mut self) -> bool {
        self.pump();
        let packet = self.flying.first_key_value().map(|((at, _), _)| *at);
        let timer = self.ends.iter().filter_map(Association::poll_timeout).min();
        let Some(next) = packet.into_iter().chain(timer).min() else { return false };
        assert!(timer.is_none_or(|at| at > self.now), "a timer that never goes away");
        self.now = next;
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, packet) = entry.remove();
            self.ends[to].handle_packet(self.now, &packet);
        }
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.pump();
        true
    }

    fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Link) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(
                self.step() && self.now < end,
                "not done after {:?}: {:?}",
                self.now - self.start,
                self.ends[0].stats()
            );
        }
    }

    /// Lets time pass, whether anything happens or not.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.pump();
            let packet = self.flying.first_key_value().map(|((at, _), _)| *at);
            let timer = self.ends.iter().filter_map(Association::poll_timeout).min();
            if packet.into_iter().chain(timer).min().is_none_or(|next| next > end) {
                self.now = end;
                return;
            }
            self.step();
        }
    }

    /// Opens a channel from an end and waits until both have it.
    fn open(&mut self, end: usize, spec: ChannelSpec) -> ChannelId {
        let id = self.ends[end].open(spec.clone()).unwrap();
        let open = SctpEvent::Open(id, spec);
        self.run(Duration::from_secs(60), |link| link.events.iter().all(|events| events.contains(&open)));
        for events in &mut self.events {
            events.clear();
        }
        id
    }

    fn payloads(&self, end: usize) -> Vec<&[u8]> {
        self.events[end]
            .iter()
            .filter_map(|event| {
                if let SctpEvent::Message { payload, .. } = event { Some(&payload[..]) } else { None }
            })
            .collect()
    }
}

fn reliable() -> ChannelSpec {
    ChannelSpec { label: "_reliable".into(), ordered: true, max_retransmits: None }
}

fn lossy() -> ChannelSpec {
    ChannelSpec { label: "_lossy".into(), ordered: false, max_retransmits: Some(0) }
}

/// A message whose bytes tell its number and their places.
fn message(number: u32, bytes: usize) -> Vec<u8> {
    let mut payload: Vec<u8> = (0..bytes).map(|at| (at as u32).wrapping_mul(number + 7) as u8).collect();
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

fn number_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

#[test]
fn two_megabytes_arrive_whole_and_in_order_at_ten_percent_loss() {
    for seed in 0..4 {
        let mut link = Link::new(seed, Weather { loss_percent: 10, dup_percent: 5, reorder_percent: 20 });
        let id = link.open(CLIENT, reliable());
        let messages: Vec<_> = (0..200).map(|number| message(number, 10_000)).collect();
        let mut next = 0;
        link.run(Duration::from_secs(300), |link| {
            while next < messages.len() && link.ends[CLIENT].send(id, &messages[next]).is_ok() {
                next += 1;
            }
            link.payloads(SERVER).len() == 200
        });
        assert_eq!(link.payloads(SERVER), messages);
        assert!(link.ends[CLIENT].stats().retransmissions > 50, "the link lost nothing");
        let took = link.now - link.start;
        assert!(took < Duration::from_secs(60), "it took {took:?}");
    }
}

#[test]
fn both_directions_and_several_channels_flow_at_once() {
    let mut link = Link::new(9, Weather { loss_percent: 5, dup_percent: 5, reorder_percent: 20 });
    let first = link.open(CLIENT, reliable());
    let second = link.open(SERVER, ChannelSpec { label: "back".into(), ..reliable() });
    assert_eq!((first, second), (ChannelId(0), ChannelId(1)));
    for number in 0..20 {
        for (end, id) in [(CLIENT, first), (SERVER, second), (SERVER, first)] {
            link.ends[end].send(id, &message(number, 20_000)).unwrap();
        }
    }
    link.run(Duration::from_secs(120), |link| {
        link.events[SERVER].len() == 20 && link.events[CLIENT].len() == 40
    });
    let of = |channel: ChannelId| -> Vec<Vec<u8>> {
        link.events[CLIENT]
            .iter()
            .filter_map(|event| match event {
                SctpEvent::Message { channel: from, payload, .. } if *from == channel => {
                    Some(payload.to_vec())
                }
                _ => None,
            })
            .collect()
    };
    let expected: Vec<_> = (0..20).map(|number| message(number, 20_000)).collect();
    assert_eq!(of(first), expected);
    assert_eq!(of(second), expected);
}

#[test]
fn a_lossy_channel_loses_some_and_never_blocks() {
    let mut link = Link::new(3, Weather { loss_percent: 10, ..Default::default() });
    let id = link.open(SERVER, lossy());
    for number in 0..500 {
        link.ends[SERVER].send(id, &message(number, 900)).unwrap();
        link.run_for(Duration::from_millis(20));
    }
    link.run_for(Duration::from_secs(2));
    let arrived = link.payloads(CLIENT);
    assert!((400..490).contains(&arrived.len()), "{} of 500 arrived", arrived.len());
    for payload in &arrived {
        assert_eq!(*payload, message(number_of(payload), 900));
    }
    assert_eq!(link.ends[SERVER].stats().retransmissions, 0);
    // An acknowledgement may be lost as well: then something that arrived counts as given up.
    assert!(link.ends[SERVER].stats().abandoned_messages >= 500 - arrived.len() as u64);
    assert_eq!(link.ends[SERVER].buffered_bytes(id), 0);
}

#[test]
fn a_lossy_message_arrives_before_the_lost_one_ahead_of_it_is_given_up() {
    let mut link = Link::new(3, Weather::default());
    let id = link.open(SERVER, lossy());
    link.weather.loss_percent = 100;
    link.ends[SERVER].send(id, b"lost").unwrap();
    link.pump();
    link.weather.loss_percent = 0;
    let before = link.now;
    link.ends[SERVER].send(id, b"kept").unwrap();
    link.run(Duration::from_secs(5), |link| !link.events[CLIENT].is_empty());
    assert_eq!(link.payloads(CLIENT), [b"kept"]);
    assert_eq!(link.now - before, Duration::from_millis(20));
}

#[test]
fn an_ordered_lossy_channel_skips_what_was_lost_and_keeps_the_order() {
    let mut link = Link::new(5, Weather { loss_percent: 10, reorder_percent: 10, ..Default::default() });
    let id = link.open(CLIENT, ChannelSpec { label: "o".into(), ordered: true, max_retransmits: Some(0) });
    // Some of three fragments, so that messages are given up as a whole.
    let size = |number| if number % 3 == 0 { 3000 } else { 40 };
    for number in 0..300 {
        link.ends[CLIENT].send(id, &message(number, size(number))).unwrap();
        link.run_for(Duration::from_millis(30));
    }
    link.run_for(Duration::from_secs(5));
    let arrived: Vec<u32> = link.payloads(SERVER).iter().map(|payload| number_of(payload)).collect();
    assert!((200..290).contains(&arrived.len()), "{} of 300 arrived", arrived.len());
    assert!(arrived.is_sorted(), "{arrived:?}");
    for payload in link.payloads(SERVER) {
        assert_eq!(payload, message(number_of(payload), size(number_of(payload))));
    }
}

#[test]
fn texts_binaries_and_empty_messages_keep_their_kind() {
    let mut link = Link::new(1, Weather::default());
    let id = link.open(CLIENT, reliable());
    link.ends[CLIENT].send_text(id, "grüß Gott").unwrap();
    link.ends[CLIENT].send_text(id, "").unwrap();
    link.ends[CLIENT].send(id, &[]).unwrap();
    link.ends[CLIENT].send(id, &[0]).unwrap();
    link.run(Duration::from_secs(5), |link| link.events[SERVER].len() == 4);
    let got =
        |text, payload: &[u8]| SctpEvent::Message { channel: id, text, payload: payload.to_vec().into() };
    assert_eq!(
        link.events[SERVER],
        [got(true, "grüß Gott".as_bytes()), got(true, b""), got(false, b""), got(false, &[0])]
    );
}

#[test]
fn both_ends_may_send_init_and_meet() {
    for seed in 0..20 {
        let weather = Weather { loss_percent: 20, dup_percent: 20, reorder_percent: 30 };
        let mut link = Link::with(seed, weather, [true, true]);
        let id = link.open(SERVER, reliable());
        link.ends[CLIENT].send(id, b"met").unwrap();
        link.run(Duration::from_secs(60), |link| !link.events[SERVER].is_empty());
        assert_eq!(link.payloads(SERVER), [b"met"]);
    }
}

#[test]
fn a_full_channel_says_so_and_says_when_it_has_drained_below_a_quarter() {
    for (spec, limit) in [(reliable(), 1024 * 1024), (lossy(), 64 * 1024)] {
        let mut link = Link::new(1, Weather::default());
        let id = link.open(CLIENT, spec);
        let mut taken = 0;
        let refused = loop {
            match link.ends[CLIENT].send(id, &message(taken as u32, 1000)) {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, SendError::Full);
        assert_eq!(taken, limit / 1064);
        assert_eq!(link.ends[CLIENT].buffered_bytes(id), limit / 1064 * 1064);
        assert_eq!(link.ends[CLIENT].stats().full_buffers, 1);
        let mut held = limit;
        link.run(Duration::from_secs(60), |link| {
            let writable = link.events[CLIENT].contains(&SctpEvent::Writable(id));
            if !writable {
                held = link.ends[CLIENT].buffered_bytes(id);
            }
            writable
        });
        assert!(link.ends[CLIENT].buffered_bytes(id) < limit / 4 && held >= limit / 4);
        link.run(Duration::from_secs(60), |link| link.ends[CLIENT].buffered_bytes(id) == 0);
        assert_eq!(link.events[CLIENT], [SctpEvent::Writable(id)], "told once");
        assert_eq!(link.payloads(SERVER).len(), taken);
    }
}

#[test]
fn row_25_a_message_above_either_sides_limit_is_refused_before_it_is_queued() {
    let mut link = Link::new(1, Weather::default());
    let id = link.open(CLIENT, reliable());
    let huge = vec![7; 65_537];
    assert_eq!(link.ends[CLIENT].send(id, &huge), Err(SendError::TooLarge { bytes: 65_537, limit: 65_536 }));
    link.ends[CLIENT].send(id, &huge[..65_536]).unwrap();
    link.run(Duration::from_secs(5), |link| link.payloads(SERVER).len() == 1);
    assert_eq!(link.payloads(SERVER), [&huge[..65_536]]);
    link.ends[CLIENT].set_remote_max_message_size(1000);
    assert_eq!(
        link.ends[CLIENT].send(id, &huge[..1001]),
        Err(SendError::TooLarge { bytes: 1001, limit: 1000 })
    );
    assert_eq!(link.ends[CLIENT].send(ChannelId(9), b"x"), Err(SendError::NotOpen));
}

#[test]
fn row_25_the_65th_channel_is_refused_and_the_others_go_on() {
    let mut link = Link::new(1, Weather::default());
    let first = link.open(CLIENT, reliable());
    for number in 1..64 {
        link.ends[CLIENT].open(ChannelSpec { label: number.to_string(), ..reliable() }).unwrap();
    }
    let error = link.ends[CLIENT].open(reliable()).unwrap_err();
    assert!(error.to_string().contains("64"), "{error}");
    // The server opens one of its own meanwhile: each end refuses what is its 65th.
    link.ends[SERVER].open(reliable()).unwrap();
    link.run_for(Duration::from_secs(5));
    assert_eq!(link.ends.each_ref().map(|end| end.stats().refused_channels), [1, 1]);
    link.events = [vec![], vec![]];
    link.ends[CLIENT].send(first, b"still here").unwrap();
    link.run(Duration::from_secs(5), |link| !link.events[SERVER].is_empty());
    assert_eq!(link.payloads(SERVER), [b"still here"]);
}

#[test]
fn row_25_a_receiver_that_does_not_read_keeps_memory_flat_on_both_sides() {
    let mut link = Link::new(1, Weather::default());
    let id = link.open(CLIENT, reliable());
    link.deaf[SERVER] = true;
    for number in 0..5000 {
        // 10 kB every 0.8 ms: 100 Mbit/s.
        let _ = link.ends[CLIENT].send(id, &message(number, 10_000));
        if number % 25 == 0 {
            link.run_for(Duration::from_millis(20));
        }
        assert!(
            link.ends[SERVER].held_bytes() <= 1024 * 1024,
            "{} bytes held",
            link.ends[SERVER].held_bytes()
        );
        assert!(link.ends[CLIENT].buffered_bytes(id) <= 1024 * 1024);
    }
    assert!(link.ends[CLIENT].stats().full_buffers > 4000);
    // It reads again: all that was taken arrives, whole and in order.
    link.deaf[SERVER] = false;
    link.run(Duration::from_secs(60), |link| link.ends[CLIENT].buffered_bytes(id) == 0);
    link.run_for(Duration::from_millis(100));
    let arrived = link.payloads(SERVER);
    assert_eq!(arrived.len() as u64, 5000 - link.ends[CLIENT].stats().full_buffers);
    assert!(arrived.iter().map(|payload| number_of(payload)).is_sorted());
}

#[test]
fn a_held_channel_keeps_its_messages_the_others_go_on_and_nothing_is_lost() {
    let weather = Weather { loss_percent: 3, dup_percent: 3, reorder_percent: 10 };
    let mut link = Link::new(21, weather);
    let (held, other) = (link.open(CLIENT, reliable()), link.open(CLIENT, reliable()));
    link.ends[SERVER].hold(held);
    for number in 0..20 {
        link.ends[CLIENT].send(held, &message(number, 1000)).unwrap();
        link.ends[CLIENT].send(other, &message(1000 + number, 1000)).unwrap();
    }
    link.run_for(Duration::from_secs(20));
    let numbers = |link: &Link| link.payloads(SERVER).into_iter().map(number_of).collect::<Vec<u32>>();
    assert_eq!(numbers(&link), (1000..1020).collect::<Vec<u32>>());

    // Far more than the window: the sender stops, and what is kept is bounded.
    let mut sent = 20;
    link.run(Duration::from_secs(200), |link| {
        while sent < 4000 && link.ends[CLIENT].send(held, &message(sent, 1000)).is_ok() {
            sent += 1;
        }
        assert!(link.ends[SERVER].held_bytes() <= 1024 * 1024);
        link.now - link.start > Duration::from_secs(120)
    });
    assert!(sent < 3000, "{sent} messages went into two buffers of a megabyte");
    link.ends[SERVER].release(held);
    link.run(Duration::from_secs(400), |link| {
        while sent < 4000 && link.ends[CLIENT].send(held, &message(sent, 1000)).is_ok() {
            sent += 1;
        }
        link.events[SERVER].len() >= 4000 + 20
    });
    let of_held: Vec<u32> = numbers(&link).split_off(20);
    assert_eq!(of_held, (0..4000).collect::<Vec<u32>>(), "each once and in order");
    assert_eq!(link.ends[SERVER].held_bytes(), 0);
}

#[test]
fn a_held_channel_that_closes_gives_out_what_it_holds_first() {
    let mut link = Link::new(22, Weather::default());
    let channel = link.open(CLIENT, reliable());
    link.ends[SERVER].hold(channel);
    for number in 0..5 {
        link.ends[CLIENT].send(channel, &message(number, 100)).unwrap();
    }
    link.ends[CLIENT].close(channel);
    link.run_for(Duration::from_secs(5));
    let kinds: Vec<bool> =
        link.events[SERVER].iter().map(|event| matches!(event, SctpEvent::Closed(_))).collect();
    assert_eq!(kinds, [false, false, false, false, false, true], "five messages, and then the end");
    assert_eq!(link.payloads(SERVER).into_iter().map(number_of).collect::<Vec<u32>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn closing_a_channel_sends_what_it_holds_closes_both_ends_and_frees_the_id() {
    for seed in 0..10 {
        let mut link = Link::new(seed, Weather { loss_percent: 10, dup_percent: 10, reorder_percent: 20 });
        let id = link.open(CLIENT, reliable());
        for number in 0..10 {
            link.ends[CLIENT].send(id, &message(number, 5000)).unwrap();
        }
        link.ends[CLIENT].close(id);
        assert_eq!(link.ends[CLIENT].send(id, b"late"), Err(SendError::NotOpen));
        let closed = SctpEvent::Closed(id);
        link.run(Duration::from_secs(60), |link| link.events.iter().all(|events| events.contains(&closed)));
        assert_eq!(link.payloads(SERVER).len(), 10);
        assert_eq!(link.events[SERVER].last(), Some(&closed));
        link.run_for(Duration::from_secs(5));
        // The stream's order starts anew, with the same id.
        let again = link.open(CLIENT, ChannelSpec { label: "again".into(), ..reliable() });
        assert_eq!(again, id);
        link.ends[SERVER].send(again, b"welcome back").unwrap();
        link.ends[CLIENT].send(again, b"here I am").unwrap();
        link.run(Duration::from_secs(10), |link| link.events.iter().all(|events| !events.is_empty()));
        assert_eq!(
            (link.payloads(CLIENT), link.payloads(SERVER)),
            (vec![&b"welcome back"[..]], vec![&b"here I am"[..]])
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let run = |seed: u8| {
        let mut link =
            Link::with(seed, Weather { loss_percent: 10, dup_percent: 5, reorder_percent: 20 }, [true, true]);
        let first = link.open(CLIENT, reliable());
        let second = link.open(SERVER, lossy());
        let third =
            link.open(CLIENT, ChannelSpec { label: "o".into(), ordered: true, max_retransmits: Some(1) });
        for number in 0..100 {
            let _ = link.ends[CLIENT].send(first, &message(number, 3000));
            let _ = link.ends[SERVER].send(second, &message(number, 800));
            let _ = link.ends[CLIENT].send(third, &message(number, 2000));
            link.run_for(Duration::from_millis(10));
        }
        link.run_for(Duration::from_secs(10));
        (link.trace, link.events.clone(), link.now - link.start)
    };
    let (first, second) = (run(1), run(1));
    assert!(first.1[SERVER].len() > 100);
    assert_eq!(first, second);
    assert_ne!(run(2).0, first.0);
}
