// SPDX-License-Identifier: EUPL-1.2
//! What a relayed packet costs: `cargo run --release -p parvis-edge --example relay_rate`.
//!
//! One client sends 1,200-byte packets through an allocation to a socket that sends each back, as many at once as a window
//! has. Printed are round trips a second (each is two relayed packets) and the process's CPU time for one relayed packet,
//! the client's and the echo's own system calls included.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, run by hand")]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use parvis_api::Relays;
use parvis_edge::{Relay, RelayConfig};
use parvis_peer::stun::{Message, USERNAME, Writer};
use parvis_turn::{Clock, Credentials, Issuer, REALM, TurnConfig};

const PACKET_BYTES: usize = 1_200;
const WINDOW: usize = 32;
const SECONDS: u64 = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let media = echo.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((count, from)) = echo.recv_from(&mut buffer) {
            let _ = echo.send_to(&buffer[..count], from);
        }
    });
    let issuer = Issuer::new([7; 32], Clock::new(Instant::now(), 1_800_000_000));
    let turn = TurnConfig { max_bitrate_per_user: 1 << 40, max_bitrate: 1 << 40, ..TurnConfig::default() };
    let config = RelayConfig {
        udp: vec!["127.0.0.1:0".parse().unwrap()],
        media: vec![(media, media)],
        turn,
        first_allocation: Duration::from_secs(10),
        write_queue: 256,
    };
    let relay = runtime.block_on(Relay::start(config, issuer.clone(), [9; 32])).unwrap();
    relay.admit("PA_ada");
    let credentials = issuer.issue(Instant::now(), "PA_ada", Duration::from_secs(3_600));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(relay.udp_addresses()[0]).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut nonce = Vec::new();
    ask(&client, &credentials, &mut nonce, 0x0003, &[(0x0019, &[17, 0, 0, 0])], None);
    ask(&client, &credentials, &mut nonce, 0x0009, &[(0x000c, &[0x40, 1, 0, 0])], Some(media));

    let mut packet = vec![0x40, 1];
    packet.extend_from_slice(&(PACKET_BYTES as u16).to_be_bytes());
    packet.resize(4 + PACKET_BYTES, 7);
    let (mut trips, mut buffer, start, cpu) = (0_u64, [0; 2_048], Instant::now(), cpu());
    for _ in 0..WINDOW {
        client.send(&packet).unwrap();
    }
    while start.elapsed() < Duration::from_secs(SECONDS) {
        // One that was lost makes room for another.
        trips += u64::from(client.recv(&mut buffer).is_ok());
        client.send(&packet).unwrap();
    }
    let (passed, used) = (start.elapsed().as_secs_f64(), self::cpu() - cpu);
    println!("round trips a second   {:.0}", trips as f64 / passed);
    println!("relayed packets/s      {:.0}", 2.0 * trips as f64 / passed);
    println!("CPU for one of them    {:.1} us", used.as_secs_f64() * 1e6 / (2.0 * trips as f64));
}

fn ask(
    client: &UdpSocket,
    credentials: &Credentials,
    nonce: &mut Vec<u8>,
    method: u16,
    attributes: &[(u16, &[u8])],
    peer: Option<SocketAddr>,
) {
    let Credentials { username, password } = credentials;
    let key = Md5::digest(format!("{username}:{REALM}:{password}"));
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    for number in 0..8 {
        let mut writer = Writer::new(method, &[number; 12]);
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        if let Some(peer) = peer {
            writer.xor_address(0x0012, peer);
        }
        writer.attribute(USERNAME, username.as_bytes());
        writer.attribute(0x0014, REALM.as_bytes());
        writer.attribute(0x0015, nonce);
        client.send(&writer.finish(Some(&key))).unwrap();
        let mut buffer = [0; 2_048];
        let Ok(count) = client.recv(&mut buffer) else { continue };
        let answer = Message::parse(&buffer[..count]).unwrap();
        match answer.attribute(0x0015) {
            Some(fresh) => *nonce = fresh.to_vec(),
            None => return,
        }
    }
}

/// The process's CPU time so far, of all its threads.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
