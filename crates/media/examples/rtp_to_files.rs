// SPDX-License-Identifier: EUPL-1.2
//! Captures plain RTP that comes to UDP ports of this machine, to see what the worker makes of an encoder's packets:
//!
//! `cargo run -p parvis-media --example rtp_to_files -- DIR vp8:5004 opus:5006`
//!
//! It ends when nothing has come for three seconds. The payload type is 96.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "an example")]

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parvis_jobs::{
    Codec, Origin, Profile, Protection, Quota, Source, SrtpKey, Start, StopReason, ToServer, ToWorker,
    UnixMicros,
};
use parvis_media::capture::{Capture, Settings};
use parvis_rtp::srtp::{Limits, MasterKey, SrtpContext};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().expect("a directory");
    std::fs::create_dir_all(&directory).unwrap();
    let now = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        UnixMicros(u64::try_from(now.as_micros()).unwrap())
    };
    let start = Start {
        job: "EG_example".to_owned(),
        directory: directory.clone(),
        protection: Protection::None,
        quota: Quota::default(),
        room: "example".to_owned(),
        room_id: "RM_example".to_owned(),
        tenant: String::new(),
        started_at: now(),
        restart: 0,
        capture: true,
        live: None,
    };
    let mut capture = Capture::start(&start, Path::new(&directory), "example", Settings::default(), now())
        .expect("it starts");
    let key: Vec<u8> = (0..28).collect();
    let master = MasterKey::new(parvis_rtp::srtp::Profile::Aead128Gcm, &key[..16], &key[16..]).unwrap();
    let mut sockets = Vec::new();
    for argument in arguments {
        let (name, port) = argument.split_once(':').expect("codec:port");
        let codec =
            Codec::ALL.into_iter().find(|codec| codec.mime().to_lowercase().ends_with(&format!("/{name}")));
        let socket = UdpSocket::bind(("127.0.0.1", port.parse().unwrap())).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let srtp = SrtpContext::new(parvis_rtp::srtp::Profile::Aead128Gcm, &master, Limits::SEND).unwrap();
        sockets.push((codec.expect("a codec"), socket, srtp, false));
    }
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_secs(3) {
        for (codec, socket, srtp, known) in &mut sockets {
            let mut buf = [0; 4096];
            let Ok(len) = socket.recv(&mut buf) else { continue };
            if len < 12 || (200..=207).contains(&buf[1]) {
                continue;
            }
            last = Instant::now();
            if !*known {
                *known = true;
                let ssrc = u32::from_be_bytes([buf[8], buf[9], buf[10], buf[11]]);
                let source = Source {
                    track: format!("TR_{codec:?}"),
                    name: String::new(),
                    participant: "PA_example".to_owned(),
                    kind: codec.kind(),
                    origin: Origin::Unknown,
                    codec: *codec,
                    clock_rate: codec.clock_rate(),
                    channels: 2,
                    payload_type: 96,
                    red_payload_type: None,
                    ssrc,
                    rtx: None,
                    profile: Profile::Aead128Gcm,
                    key: SrtpKey::new(key.clone()),
                    muted: false,
                    at: now(),
                };
                capture.message(now(), ToWorker::Source(Box::new(source)));
            }
            let len = srtp.protect_rtp(&mut buf, len).unwrap();
            capture.datagram(now(), &mut buf[..len]);
        }
        capture.tick(now());
        for message in capture.outgoing().filter(|message| !matches!(message, ToServer::Progress { .. })) {
            println!("{message:?}");
        }
    }
    capture.stop(now(), StopReason::Requested);
    for message in capture.outgoing() {
        println!("{message:?}");
    }
}
