// SPDX-License-Identifier: EUPL-1.2
//! Reliable messages for readers of every pace.

use std::time::Duration;

use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_request::Message as Request;
use parvis_sfu::{Command, DATA_OVERHEAD_BYTES, DataChannel, Event, PeerId};
use parvis_signal::{ConnectionId, RoomConfig};

use crate::lab::*;

const CHUNK: usize = 15_000;

/// A reader that takes what it is handed when the test says so.
fn take(lab: &mut Lab, reader: ConnectionId, bytes: u64) {
    let peer = lab.primary(reader);
    lab.event(Event::DataTaken { peer, bytes });
}

fn send(lab: &mut Lab, sender: ConnectionId, sequence: u32) {
    lab.data(sender, DataChannel::Reliable, &message(&"x".repeat(CHUNK), sequence));
}

/// Whether a sender is held, by the forwarder's last word of it.
fn held(lab: &Lab, peer: PeerId) -> bool {
    let words = lab.forwarder.commands.iter().rev();
    let mut words = words.filter_map(|command| match command {
        Command::HoldData { peer: of, held } if *of == peer => Some(*held),
        _ => None,
    });
    words.next().unwrap_or(false)
}

#[test]
fn fifty_megabytes_reach_a_slow_reader_whole_in_order_and_in_bounded_memory() {
    for params in [dual(), single()] {
        let mut lab = Lab::new();
        let config = RoomConfig::default();
        let (ada, bob) = (lab.join_by("ada", params.clone()), lab.join_by("bob", params));
        let sender = lab.publisher(ada);
        let cost = (CHUNK + DATA_OVERHEAD_BYTES) as u64;
        let (total, mut sent) = (50_000_000 / CHUNK as u32, 0);
        let mut read: Vec<u32> = Vec::new();
        let mut most = 0;
        while (read.len() as u32) < total {
            // The client sends until it is held; then ten more are under way.
            while sent < total && !held(&lab, sender) {
                sent += 1;
                send(&mut lab, ada, sent);
            }
            most = most.max(sent as usize - read.len());
            let handed: Vec<u32> = lab.received(bob).iter().map(|(_, packet)| packet.sequence).collect();
            assert!(handed.len() * CHUNK <= config.data_window_bytes + CHUNK, "the channel would overflow");
            assert!(!handed.is_empty(), "it stands still");
            read.extend(&handed);
            let hold = held(&lab, sender);
            lab.clear();
            if hold {
                // Clearing took the last word away, too.
                lab.forwarder.commands.push(Command::HoldData { peer: sender, held: true });
            }
            take(&mut lab, bob, handed.len() as u64 * (cost + 100));
            lab.pass(Duration::from_millis(1500));
            lab.send(ada, Request::Ping(0));
            lab.send(bob, Request::Ping(0));
        }
        assert_eq!(read, (1..=total).collect::<Vec<u32>>(), "every chunk once and in order");
        assert!(most * CHUNK < config.replay_bytes, "{most} chunks waited");
        assert!(lab.room.stats().senders_held > 10);
        assert_eq!(lab.client(bob).closed, None);
        assert_eq!(lab.room.stats().slow_readers, 0);
    }
}

#[test]
fn a_reader_that_takes_nothing_starts_over_and_the_others_go_on() {
    let mut lab = Lab::new();
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    let sender = lab.publisher(ada);
    let mut sequence = 0;
    while !held(&lab, sender) {
        sequence += 1;
        send(&mut lab, ada, sequence);
        // Carol reads all.
        take(&mut lab, carol, (CHUNK + 200) as u64);
    }
    lab.pass(Duration::from_millis(9_900));
    assert!(held(&lab, sender) && lab.client(bob).closed.is_none());
    lab.pass(Duration::from_millis(200));
    assert_eq!(lab.client(bob).leave().unwrap().action(), Action::Reconnect);
    assert!(!held(&lab, sender));
    assert_eq!((lab.client(ada).closed.clone(), lab.client(carol).closed.clone()), (None, None));
    assert_eq!(lab.received(carol).len(), sequence as usize);
    assert_eq!(lab.room.stats().slow_readers, 1);
}

#[test]
fn who_writes_a_word_now_and_then_is_not_held_for_what_another_left_with_a_slow_reader() {
    let mut lab = Lab::new();
    let (ada, bob, carol) = (lab.join("ada"), lab.join("bob"), lab.join("carol"));
    let (flood, quiet) = (lab.publisher(ada), lab.publisher(carol));
    let mut sequence = 0;
    while !held(&lab, flood) {
        sequence += 1;
        send(&mut lab, ada, sequence);
        take(&mut lab, carol, (CHUNK + 200) as u64);
    }
    for word in 1..=20 {
        lab.data(carol, DataChannel::Reliable, &message("a word", word));
    }
    assert!(!held(&lab, quiet) && held(&lab, flood));
    assert_eq!(lab.received(ada).len(), 20, "those who read have them at once");
    let mut more = 0;
    while !held(&lab, quiet) {
        more += 1;
        send(&mut lab, carol, 20 + more);
        take(&mut lab, ada, (CHUNK + 200) as u64);
    }
    // A quarter of a mailbox is behind the half that was full.
    let quarter = RoomConfig::default().replay_bytes / 4 / CHUNK;
    assert!((quarter / 2..=quarter + 2).contains(&(more as usize)), "{more} of {quarter}");
    assert_eq!(lab.client(bob).closed, None, "nothing that waits is thrown away");
}

#[test]
fn a_reader_that_goes_on_reading_a_little_stays() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sender = lab.publisher(ada);
    for sequence in 1.. {
        if held(&lab, sender) {
            break;
        }
        send(&mut lab, ada, sequence);
    }
    // A little more than is asked of it; others add to what waits, so that it is behind all the time.
    let carol = lab.join("carol");
    for round in 1..=30 {
        take(&mut lab, bob, 70_000);
        lab.pass(Duration::from_secs(2));
        for sequence in 0..5 {
            send(&mut lab, carol, round * 5 + sequence);
        }
        for connection in [ada, bob, carol] {
            lab.send(connection, Request::Ping(0));
        }
        take(&mut lab, carol, 1_000_000);
        take(&mut lab, ada, 1_000_000);
        assert!(held(&lab, sender), "still behind in round {round}");
        assert_eq!(lab.client(bob).closed, None, "in round {round}");
    }
    lab.pass(Duration::from_secs(21));
    assert_eq!(lab.client(bob).leave().unwrap().action(), Action::Reconnect, "now it has stopped");
    assert!(!held(&lab, sender));
}

#[test]
fn a_reader_whose_network_is_gone_holds_nobody() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sender = lab.publisher(ada);
    let peer = lab.primary(bob);
    let mut sequence = 0;
    while !held(&lab, sender) {
        sequence += 1;
        send(&mut lab, ada, sequence);
    }
    lab.event(Event::PeerDisconnected { peer });
    assert!(!held(&lab, sender), "it may never come back");
    for _ in 0..400 {
        sequence += 1;
        send(&mut lab, ada, sequence);
    }
    assert!(!held(&lab, sender));
    assert_eq!(lab.client(bob).leave().unwrap().action(), Action::Reconnect, "what waits is bounded");
}

#[test]
fn a_sender_that_leaves_while_it_is_held_leaves_nothing_behind() {
    let mut lab = Lab::new();
    let (ada, bob) = (lab.join("ada"), lab.join("bob"));
    let sender = lab.publisher(ada);
    let mut sequence = 0;
    while !held(&lab, sender) {
        sequence += 1;
        send(&mut lab, ada, sequence);
    }
    lab.remove("ada").unwrap();
    let handed = lab.received(bob).len();
    for _ in 0..40 {
        take(&mut lab, bob, 200_000);
    }
    assert_eq!(lab.received(bob).len(), sequence as usize, "what it sent still arrives");
    assert!(handed < sequence as usize);
    lab.pass(Duration::from_secs(40));
    assert_eq!(lab.client(bob).closed, None);
}
