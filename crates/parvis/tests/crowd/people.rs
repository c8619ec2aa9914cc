// SPDX-License-Identifier: EUPL-1.2
//! Very many people in one room, of whom ten speak.

use clap::Parser;
use parvis_load::Scenario;

use crate::common::{ANY_PORTS, until};
use crate::hall::{Hall, KEY, SECRET};

const SPEAKERS: usize = 10;
/// What a build without optimisation serves beside the load on two cores. `cargo xtask bench crowd` does it with a thousand.
const LISTENERS: usize = 200;
const ALL: usize = SPEAKERS + LISTENERS;
/// Whom clients are told of one by one, at most.
const ROSTER: usize = 50;
/// Two shards, each with so many connections of one room before the next ones go elsewhere. Everyone has two, one in use or both.
const PART: usize = 100;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    scenario: Scenario,
}

#[test]
fn in_a_room_of_hundreds_everyone_hears_all_ten_speakers() {
    let configuration = format!(
        "[http]\nmax_connections_per_address = 4000\njoins_per_address = {{ burst = 4000, per_second = 1000 }}\n\
         [media]\naddresses = [\"127.0.0.1\"]\npin = false\nshards = 2\nmax_room_peers_per_shard = {PART}\n\
         [rooms]\nmax_participants = {ALL}\nmax_roster = {ROSTER}\n"
    );
    let hall = Hall::open("people", "", &configuration, &ANY_PORTS);
    let (url, pid) = (format!("ws://{}", hall.server.address), hall.server.pid().to_string());
    let target = ["load", "--key", KEY, "--secret", SECRET, "--server", &url, "--pid", &pid];
    // One speaks at a time, the others are silent as Opus is: a packet each 400 ms, from which their streams are known.
    let crowd = format!(
        "--talkers {SPEAKERS} --speaking 1 --subscribers {LISTENERS} --video-bitrate 0 --join-rate 40 --settle 2 --seconds 4 \
         --open-every 10"
    );
    let line = Line::parse_from(target.into_iter().chain(crowd.split_whitespace()));
    let peers = |shard| hall.figure(&format!("parvis_forwarder_peers{{shard=\"{shard}\"}}"));
    let mut parts = [0; 2];
    let report = parvis_load::run(&line.scenario, &mut |_| {
        parts = [0, 1].map(|shard: usize| parts[shard].max(peers(shard)));
    })
    .unwrap();
    eprintln!("{}", report.table());
    assert_eq!(report.clients, ALL);
    let connections = report.encryption.values().sum::<usize>();
    assert_eq!(connections, 2 * SPEAKERS + LISTENERS, "a speaker has two connections");
    assert_eq!(parts, [ALL as u64; 2], "half of the room is on each shard");

    let window = &report.window;
    let streams = SPEAKERS * (SPEAKERS - 1 + LISTENERS);
    assert_eq!(window.subscriber_tracks, streams, "everyone receives every speaker but himself");
    let packets = window.packets;
    let expected = packets.expected.unwrap();
    // Packets that left in the window and came after it, or the other way round: two of each stream.
    assert!(packets.received + 2 * streams as u64 >= expected, "{expected} {packets:?}");
    assert_eq!((packets.lost, packets.missing), (0, 0), "{packets:?}");

    // Each packet crosses once to the other part, however many hear it there.
    let carried = || hall.figure("parvis_forwarder_trunk_packets_out_total");
    let published = report.totals.published;
    until("the trunk has counted", || carried() >= published * 9 / 10);
    assert!(carried() <= published, "{} packets were carried, {published} published", carried());

    // All of the first, then of those on stage: each comes, connects, publishes. All of all would be 210 of 210.
    let most = (2 * ROSTER * ROSTER + 4 * SPEAKERS * ALL) as u64;
    assert!(report.told <= most, "{} messages about others, {most} are enough", report.told);
    assert_eq!(hall.figure("parvis_participants"), ALL as u64);
    hall.log_is_short();
}
