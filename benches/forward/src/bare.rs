// SPDX-License-Identifier: EUPL-1.2
//! The bare path: receive, decrypt, rewrite the header, encrypt for each subscriber, send. No rooms, no layers, no
//! estimate, no pacer, no log: what remains if a forwarder did nothing that makes it one.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use parvis_rtp::srtp::{Limits, MasterKey, Profile, SrtpContext};
use parvis_rtp::{Extension, ExtensionMap};
use parvis_shard::mmsg::{Message, ReceiveRing, SendBatch};

use crate::real::{Options, Outcome};
use crate::source::Source;
use crate::{Error, FRAME_PACKETS, PACKET_BYTES, cpu};

const SSRC: u32 = 1000;
/// Where the value of the transport-wide number stands: fixed header, head of the extension, its id.
const TRANSPORT_SEQUENCE_AT: usize = 12 + 4 + 1;
const TAG_BYTES: usize = 16;
const SLOT_BYTES: usize = PACKET_BYTES + TAG_BYTES;

/// Runs the load through the bare loop.
pub fn run(options: &Options) -> Result<Outcome, Error> {
    cpu::pin(1)?;
    let now = Instant::now();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bind = || -> Result<UdpSocket, Error> {
        let socket = UdpSocket::bind(loopback)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let server = bind()?;
    let address = server.local_addr()?;
    let publisher = bind()?;
    let sinks = (0..options.subscribers).map(|_| bind()).collect::<Result<Vec<_>, _>>()?;
    let to = sinks.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>()?;
    let (stop, thread) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI32::new(0)));
    let forwarder = std::thread::Builder::new().name("bare".to_owned()).spawn({
        let (stop, thread, gso) = (stop.clone(), thread.clone(), options.gso);
        move || forward(&server, &to, gso, &stop, &thread)
    })?;
    let mut map = ExtensionMap::default();
    map.insert(3, Extension::TransportSequence);
    let mut source = Source::bare(SSRC, map);
    let mut outbound = context(0, Limits::SEND)?;
    let (mut ring, mut batch) = (ReceiveRing::new(), SendBatch::new());
    let (mut next_frame, mut frames, mut received) = (now, 0_u64, 0_u64);
    let measured_from = now + options.warm_up;
    let end = measured_from + options.duration;
    let mut start = None;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        if start.is_none() && now >= measured_from {
            start = Some((cpu::used(thread.load(Ordering::Acquire))?, now, frames, received));
        }
        while next_frame <= now {
            next_frame += options.frame_interval();
            frames += 1;
            let mut packets = [[0; SLOT_BYTES]; FRAME_PACKETS];
            let mut at = 0;
            source.frame(false, |packet, len| {
                if let Ok(len) = outbound.protect_rtp(packet, len) {
                    packets[at][..len].copy_from_slice(&packet[..len]);
                }
                at += 1;
            })?;
            let messages = [Message { to: address, pieces: 1, segment: None }; FRAME_PACKETS];
            batch.send(publisher.as_fd(), &messages, packets.iter().map(|packet| &packet[..]))?;
        }
        for sink in &sinks {
            received += ring.receive(sink.as_fd()).unwrap_or(0) as u64;
        }
        std::thread::sleep(options.sweep_pause(next_frame));
    }
    let now = Instant::now();
    let (used, began, frames_before, received_before) = start.ok_or("nothing was measured")?;
    let after = cpu::used(thread.load(Ordering::Acquire))?;
    stop.store(true, Ordering::Release);
    forwarder.join().map_err(|_| "the bare loop panicked")??;
    let expected = (frames - frames_before) * (FRAME_PACKETS * options.subscribers) as u64;
    Ok(Outcome::new((used, after), now - began, received - received_before, expected))
}

/// The loop that is measured.
fn forward(
    server: &UdpSocket,
    to: &[SocketAddr],
    gso: bool,
    stop: &AtomicBool,
    thread: &AtomicI32,
) -> Result<(), Error> {
    cpu::pin(0)?;
    thread.store(cpu::this_thread(), Ordering::Release);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(server, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    let mut inbound = context(0, Limits::RECEIVE)?;
    let mut outbound = (0..to.len())
        .map(|place| context(place as u8 + 1, Limits::SEND))
        .collect::<Result<Vec<_>, Error>>()?;
    let (mut ring, mut batch) = (ReceiveRing::new(), SendBatch::new());
    let most = parvis_shard::mmsg::RECEIVE_BATCH;
    // A subscriber's packets lie together, so that a train is one piece.
    let mut arena = vec![0_u8; to.len() * most * SLOT_BYTES];
    let mut messages = Vec::with_capacity(to.len() * most);
    let mut sequence = 0_u16;
    let mut ready = [EpollEvent::empty(); 4];
    while !stop.load(Ordering::Acquire) {
        epoll.wait(&mut ready, 100_u16)?;
        let count = ring.receive(server.as_fd()).unwrap_or(0);
        let mut taken = 0;
        for message in 0..count {
            let (_, bytes) = ring.message(message);
            let Ok(len) = inbound.unprotect_rtp(bytes) else { continue };
            for (place, context) in outbound.iter_mut().enumerate() {
                let at = (place * most + taken) * SLOT_BYTES;
                let slot = &mut arena[at..at + SLOT_BYTES];
                slot[..len].copy_from_slice(&bytes[..len]);
                slot[2..4].copy_from_slice(&sequence.to_be_bytes());
                let timestamp = u32::from_be_bytes([slot[4], slot[5], slot[6], slot[7]]).wrapping_add(77_777);
                slot[4..8].copy_from_slice(&timestamp.to_be_bytes());
                slot[8..12].copy_from_slice(&(place as u32).to_be_bytes());
                slot[TRANSPORT_SEQUENCE_AT..TRANSPORT_SEQUENCE_AT + 2]
                    .copy_from_slice(&sequence.to_be_bytes());
                context.protect_rtp(slot, len)?;
            }
            sequence = sequence.wrapping_add(1);
            taken += 1;
        }
        if taken == 0 {
            continue;
        }
        messages.clear();
        let train = gso && taken > 1;
        for &to in to {
            let message = Message { to, pieces: 1, segment: train.then_some(SLOT_BYTES as u16) };
            messages.extend(std::iter::repeat_n(message, if train { 1 } else { taken }));
        }
        let bytes = if train { taken * SLOT_BYTES } else { SLOT_BYTES };
        let pieces: Vec<&[u8]> = arena
            .chunks_exact(most * SLOT_BYTES)
            .flat_map(|subscriber| subscriber[..taken * SLOT_BYTES].chunks_exact(bytes))
            .collect();
        let mut sent = 0;
        while sent < messages.len() {
            match batch.send(server.as_fd(), &messages[sent..], pieces[sent..].iter().copied()) {
                Ok(count) => sent += count.max(1),
                Err(_) => sent += 1,
            }
        }
    }
    Ok(())
}

fn context(seed: u8, limits: Limits) -> Result<SrtpContext, Error> {
    let profile = Profile::Aead128Gcm;
    let key = MasterKey::new(profile, &[seed; 16], &[seed; 12])?;
    Ok(SrtpContext::new(profile, &key, limits)?)
}

impl Options {
    /// Between two frames.
    pub(crate) fn frame_interval(&self) -> Duration {
        Duration::from_secs(1) / self.frames_per_second
    }

    /// How long the load sleeps: receivers are looked at now and then, so that no wake-up is charged to the sender.
    pub(crate) fn sweep_pause(&self, next_frame: Instant) -> Duration {
        const SWEEP: Duration = Duration::from_millis(2);
        next_frame.saturating_duration_since(Instant::now()).min(SWEEP)
    }
}
