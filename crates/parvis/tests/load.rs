// SPDX-License-Identifier: EUPL-1.2
//! The load generator against a running server, and its figures against the server's own counters: whoever quotes the
//! one may trust the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::SocketAddr;

use clap::Parser;
use common::{ANY_PORTS, Directory, Server, get, until};
use parvis_load::{Report, Scenario};

/// Nobody is probed, as the rate to begin with is enough for all: what leaves the server is media alone.
const CONFIG: &str = "[metrics]
listen = \"127.0.0.1:0\"
[media]
shards = 1
addresses = [\"127.0.0.1\"]
start_bitrate = 20000000
[[keys]]
name = \"bench\"
secret = \"a-secret-of-this-test-and-no-other\"
";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    scenario: Scenario,
}

/// Puts a load on a server of its own, and reads both.
fn load(name: &str, arguments: &str) -> (Report, Server, SocketAddr, Directory) {
    let directory = Directory::new(name);
    let config = directory.write("parvis.toml", CONFIG);
    let data = directory.path("data");
    let own = ["--config", &config, "--data", &data];
    let server = Server::start("", "info", &[own.as_slice(), &ANY_PORTS].concat());
    let line = server.wait_for_log("metrics=");
    let metrics = line.split("metrics=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let (url, pid) = (format!("ws://{}", server.address), server.pid().to_string());
    let key = ["load", "--key", "bench", "--secret", "a-secret-of-this-test-and-no-other"];
    let target = ["--server", url.as_str(), "--pid", pid.as_str()];
    let scenario =
        Line::parse_from(key.into_iter().chain(target).chain(arguments.split_whitespace())).scenario;
    let report = parvis_load::run(&scenario, &mut |_| ()).unwrap();
    (report, server, metrics, directory)
}

fn counter(metrics: SocketAddr, name: &str) -> u64 {
    let (_, page) = get(metrics, "/metrics").unwrap();
    let line = page.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap_or("x 0");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// What the load says that it sent and got is what the server says that it got and sent.
fn agrees(report: &Report, metrics: SocketAddr) {
    let totals = report.totals;
    // A shard tells its counters once a second.
    until("the server has counted what the load sent and got", || {
        counter(metrics, "parvis_media_received_packets_total") == totals.published
            && counter(metrics, "parvis_media_sent_packets_total") == totals.arrived
    });
}

#[test]
fn what_the_load_counts_is_what_the_server_counts() {
    let arguments = "--rooms 2 --talkers 2 --subscribers 2 --video-bitrate 400000 --settle 1 --seconds 3";
    let (report, _server, metrics, _directory) = load("load-plain", arguments);
    agrees(&report, metrics);
    assert_eq!(report.clients, 8);
    assert_eq!(report.encryption.values().sum::<usize>(), 12, "a talker has two connections");
    let window = &report.window;
    // In each room two talkers hear and see one other, and two listeners hear and see two.
    assert_eq!(window.subscriber_tracks, 2 * (2 + 4) * 2);
    let packets = window.packets;
    let expected = packets.expected.unwrap();
    // A packet that leaves in the window and comes after it, or the other way round: less than a frame of each stream.
    assert!(expected.abs_diff(packets.received) <= 48, "{expected} {packets:?}");
    // Two packets in each of 30 frames, and 50 of sound: 110 a second of each publisher, to three others.
    assert!(expected.abs_diff(2 * 2 * 110 * 3 * 3) <= 2 * 2 * 110 * 3 / 4, "{expected} in 3 s");
    assert_eq!((packets.lost, packets.missing, packets.out_of_order), (0, 0, 0), "{packets:?}");
    assert_eq!(window.delay.samples, packets.received);
    assert!(window.server.unwrap().cpu_seconds > 0.0);
    // How late and how smooth it was is the server's only where the load itself was in time.
    if window.own.limit.is_none() {
        assert_eq!(window.pictures.freezes, 0, "{:?}", window.pictures);
        assert!(window.delay.p50_ms < 20.0, "{:?}", window.delay);
    }
}

#[test]
fn of_three_simulcast_layers_everyone_gets_whole_frames_of_the_highest() {
    let arguments = "--talkers 3 --layers 3 --video-bitrate 600000 --open-every 1 --settle 3 --seconds 2";
    let (report, _server, metrics, _directory) = load("load-layers", arguments);
    agrees(&report, metrics);
    let window = &report.window;
    assert_eq!(window.packets.by_layer[..2], [0, 0], "{:?}", window.packets);
    // 2,500 bytes a frame are three packets.
    let frames = window.packets.by_layer[2] / 3;
    assert!(frames.abs_diff(window.pictures.whole_frames) <= 6, "{frames} {:?}", window.pictures);
    assert!(frames.abs_diff(6 * 30 * 2) <= 6 * 30 / 2, "six streams of 30 a second, for 2 s: {frames}");
    assert_eq!((window.packets.lost, window.packets.missing), (0, 0), "{:?}", window.packets);
}
