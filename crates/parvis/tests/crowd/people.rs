// SPDX-License-Identifier: EUPL-1.2
//! Very many people in one room, of whom ten speak.

use clap::Parser;
use parvis_load::Scenario;

use crate::common::ANY_PORTS;
use crate::hall::{Hall, KEY, SECRET};

const SPEAKERS: usize = 10;
/// What a build without optimisation serves beside the load on two cores, and more than the roster tells one by one.
/// `docs/measurements/README.md` has the command for a thousand.
const LISTENERS: usize = 200;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    scenario: Scenario,
}

#[test]
fn in_a_room_of_hundreds_everyone_hears_all_ten_speakers() {
    let configuration = "[http]\nmax_connections_per_address = 4000\n\
                         joins_per_address = { burst = 4000, per_second = 1000 }\n\
                         [media]\naddresses = [\"127.0.0.1\"]\npin = false\n[rooms]\nmax_participants = 1000\n";
    let hall = Hall::open("people", "", configuration, &ANY_PORTS);
    let (url, pid) = (format!("ws://{}", hall.server.address), hall.server.pid().to_string());
    let target = ["load", "--key", KEY, "--secret", SECRET, "--server", &url, "--pid", &pid];
    // One speaks at a time, the others are silent as Opus is: a packet each 400 ms, from which their streams are known.
    let crowd = format!(
        "--talkers {SPEAKERS} --speaking 1 --subscribers {LISTENERS} --video-bitrate 0 --join-rate 40 --settle 2 --seconds 4 \
         --open-every 10"
    );
    let line = Line::parse_from(target.into_iter().chain(crowd.split_whitespace()));
    let report = parvis_load::run(&line.scenario, &mut |_| ()).unwrap();
    eprintln!("{}", report.table());
    assert_eq!(report.clients, SPEAKERS + LISTENERS);
    let connections = report.encryption.values().sum::<usize>();
    assert_eq!(connections, 2 * SPEAKERS + LISTENERS, "a speaker has two connections");
    let window = &report.window;
    let streams = SPEAKERS * (SPEAKERS - 1 + LISTENERS);
    assert_eq!(window.subscriber_tracks, streams, "everyone receives every speaker but himself");
    let packets = window.packets;
    let expected = packets.expected.unwrap();
    // Packets that left in the window and came after it, or the other way round: two of each stream.
    assert!(packets.received + 2 * streams as u64 >= expected, "{expected} {packets:?}");
    assert_eq!((packets.lost, packets.missing), (0, 0), "{packets:?}");
    assert_eq!(hall.figure("parvis_participants"), (SPEAKERS + LISTENERS) as u64);
    hall.log_is_short();
}
