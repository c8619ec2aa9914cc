// SPDX-License-Identifier: EUPL-1.2
//! A call as two people have it: both join by the public name, each sends sound and a picture, and each decrypts and reads what
//! the other sent. A packet carries who sent it, its number and when; a packet of anybody else is none.
//!
//! The clients are those of the load generator, which speak no TLS: what they say is carried through it here.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clap::Parser;
use parvis_load::{Report, Scenario};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::Line;
use super::reach::Way;
use crate::serve::Settings;

/// How long it may take in all.
const LONGEST: Duration = Duration::from_secs(60);
/// Why it is not held.
pub(super) const NO_ROOM: &str = "rooms.auto_create is false: a room would have to be made first";
/// Of what was sent, so much may be missing on a network that works.
const LOST: f64 = 0.02;

/// The load generator's own command line, which has all defaults.
#[derive(Parser)]
struct Call {
    #[command(flatten)]
    scenario: Scenario,
}

/// Has it, and says how it went.
pub(super) async fn line(settings: &Settings, way: &Way) -> Line {
    let (what, tried) = ("call", format!("two people in a room of {}, for two seconds", way.host));
    let remedy = "see the lines above; UDP to media.udp_ports has to be open, and behind a NAT also from inside to its public \
                  address";
    if !settings.config.rooms.auto_create {
        return Line::skipped(what, NO_ROOM);
    }
    match timeout(LONGEST, hold(settings, way)).await {
        Err(_) => Line::bad(what, tried, format!("no end in {} s", LONGEST.as_secs()), remedy),
        Ok(Err(problem)) => Line::bad(what, tried, problem, remedy),
        Ok(Ok(report)) => judge(what, tried, &report),
    }
}

fn judge(what: &'static str, tried: String, report: &Report) -> Line {
    let (packets, delay) = (&report.window.packets, &report.window.delay);
    let due = packets.expected.unwrap_or(packets.published).max(1);
    let share = packets.received as f64 / due as f64;
    let encryption: Vec<&str> = report.encryption.keys().map(String::as_str).collect();
    let seen = format!(
        "{} of {due} packets came ({} of sound, {} of pictures), {} were read, after {:.1} ms; joined in {:.0} ms; {}",
        packets.received,
        packets.audio,
        packets.video,
        delay.samples,
        delay.p50_ms,
        report.joining.media_median * 1_000.0,
        encryption.join(", "),
    );
    let remedy = "see the log of the server, and its metrics parvis_forwarder_…";
    match delay.samples > 0 && packets.audio > 0 && packets.video > 0 {
        false => Line::bad(what, tried, seen, remedy),
        true if share < 1.0 - LOST => {
            Line::poor(what, tried, seen, "see where packets are lost: the machine may be too slow")
        }
        true => Line::good(what, tried, seen),
    }
}

async fn hold(settings: &Settings, way: &Way) -> Result<Report, String> {
    let config = &settings.config;
    let (key, secret) =
        config.first_key(&settings.base).map_err(|(key, problem)| format!("{key}: {problem}"))?;
    let bridge = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| error.to_string())?;
    let server = bridge.local_addr().map_err(|error| error.to_string())?;
    let carrying = tokio::spawn(carry(bridge, way.clone()));
    let local = match config.media.addresses.is_empty() {
        true => parvis_shard::local_addresses().unwrap_or_default(),
        false => config.media.addresses.clone(),
    };
    let from = source(&local, settings.dev);
    let words = [
        "call",
        "--talkers",
        "2",
        "--seconds",
        "2",
        "--settle",
        "0.5",
        "--video-bitrate",
        "300000",
        "--join-timeout",
        "20",
    ];
    let words = words.map(str::to_owned).into_iter().chain([
        format!("--server=ws://{server}"),
        format!("--key={key}"),
        format!("--secret={secret}"),
        format!("--address={from}"),
    ]);
    let call = Call::try_parse_from(words).map_err(|error| error.to_string())?;
    let held = tokio::task::spawn_blocking(move || parvis_load::run(&call.scenario, &mut |_| ())).await;
    carrying.abort();
    held.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// From which address media is sent: one that the server's own media comes to.
fn source(local: &[IpAddr], dev: bool) -> Ipv4Addr {
    let all = || {
        local.iter().filter_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    };
    let outer = all().find(|address| dev == address.is_loopback());
    outer.or_else(|| all().next()).unwrap_or(Ipv4Addr::LOCALHOST)
}

/// Carries each connection through to the server.
async fn carry(bridge: TcpListener, way: Way) {
    while let Ok((mut client, _)) = bridge.accept().await {
        let way = way.clone();
        tokio::spawn(async move {
            if let Ok(mut server) = way.connect().await {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_sent_from_where_the_servers_is() {
        let local: Vec<IpAddr> =
            ["127.0.0.1", "10.0.0.5", "2001:db8::1"].iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!(source(&local, false), Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(source(&local, true), Ipv4Addr::LOCALHOST);
        assert_eq!(source(&[], false), Ipv4Addr::LOCALHOST);
    }
}
