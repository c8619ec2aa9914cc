// SPDX-License-Identifier: EUPL-1.2
//! One UDP socket: its options, and sending with segmentation offload or without.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use parvis_sfu::Outbox;

use crate::mmsg::{Message, SendBatch, set_option};
use crate::stats::{ShardStats, add};
use crate::train::Trains;
use crate::{ShardConfig, ShardError};

/// Trains refused in a row before a socket goes without for a while: one bad destination alone doesn't get there, as
/// every train that leaves starts the count anew.
const GSO_STRIKES: u32 = 16;
/// How long a socket goes without.
const GSO_PAUSE: Duration = Duration::from_secs(60);

/// One bound socket.
pub(crate) struct UdpPort {
    pub(crate) socket: UdpSocket,
    pub(crate) local: SocketAddr,
    gso: Gso,
}

/// Whether a socket's trains leave whole.
enum Gso {
    Never,
    On { strikes: u32 },
    PausedUntil(Instant),
}

impl UdpPort {
    pub(crate) fn bind(ip: IpAddr, port: u16, config: &ShardConfig) -> Result<Self, ShardError> {
        let address = SocketAddr::new(ip, port);
        let bind = |source| ShardError::Bind { protocol: "UDP", address, source };
        let socket = UdpSocket::bind(address).map_err(bind)?;
        socket.set_nonblocking(true).map_err(bind)?;
        let local = socket.local_addr().map_err(bind)?;
        enlarge_buffers(&socket, config.socket_buffer_bytes);
        ignore_path_mtu(&socket, ip);
        if config.gro {
            // Kernels before 5.0 refuse; then each datagram comes alone.
            let _ = set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1);
        }
        // A size of 0 changes nothing and tells whether the kernel knows the option (4.18).
        let known = set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok();
        let gso = if config.gso && known { Gso::On { strikes: 0 } } else { Gso::Never };
        Ok(UdpPort { socket, local, gso })
    }

    /// Sends what of the outbox leaves from this socket. What the socket has no room for is dropped: media that waits is
    /// worth nothing, and everything else is repeated by its own protocol.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        outbox: &Outbox,
        trains: &mut Trains,
        batch: &mut SendBatch,
        stats: &ShardStats,
    ) {
        if let Gso::PausedUntil(end) = self.gso
            && end <= now
        {
            self.gso = Gso::On { strikes: 0 };
        }
        let gso = matches!(self.gso, Gso::On { .. });
        let total = trains.plan(outbox, self.local, gso);
        let (mut message, mut piece) = (0, 0);
        while message < trains.messages().len() {
            add(&stats.udp_send_calls, 1);
            let waiting = &trains.messages()[message..];
            match batch.send(self.socket.as_fd(), waiting, trains.pieces(outbox, piece)) {
                Ok(sent) => {
                    for done in &waiting[..sent] {
                        self.count(done, trains.pieces(outbox, piece), stats);
                        piece += done.pieces;
                    }
                    message += sent.max(1);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => {
                    add(&stats.udp_dropped_full, (total - piece) as u64);
                    return;
                }
                Err(_) => {
                    let refused = waiting[0];
                    if refused.segment.is_some() {
                        self.strike(now);
                        add(&stats.gso_fallbacks, 1);
                        self.send_singly(refused, trains.pieces(outbox, piece), batch, stats);
                    } else {
                        add(&stats.udp_send_errors, 1);
                    }
                    piece += refused.pieces;
                    message += 1;
                }
            }
        }
    }

    /// Sends a train's datagrams one by one.
    fn send_singly<'a>(
        &mut self,
        train: Message,
        pieces: impl Iterator<Item = &'a [u8]> + Clone,
        batch: &mut SendBatch,
        stats: &ShardStats,
    ) {
        let single = Message { to: train.to, pieces: 1, segment: None };
        for piece in pieces.take(train.pieces) {
            let pieces = std::iter::once(piece);
            match batch.send(self.socket.as_fd(), &[single], pieces.clone()) {
                Ok(_) => self.count(&single, pieces, stats),
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => add(&stats.udp_dropped_full, 1),
                Err(_) => add(&stats.udp_send_errors, 1),
            }
        }
    }

    fn strike(&mut self, now: Instant) {
        if let Gso::On { strikes } = &mut self.gso {
            *strikes += 1;
            if *strikes >= GSO_STRIKES {
                self.gso = Gso::PausedUntil(now + GSO_PAUSE);
            }
        }
    }

    fn count<'a>(&mut self, sent: &Message, pieces: impl Iterator<Item = &'a [u8]>, stats: &ShardStats) {
        let bytes: usize = pieces.take(sent.pieces).map(<[u8]>::len).sum();
        add(&stats.udp_packets_out, sent.pieces as u64);
        add(&stats.udp_bytes_out, bytes as u64);
        if sent.segment.is_some() {
            add(&stats.udp_packets_out_gso, sent.pieces as u64);
            if let Gso::On { strikes } = &mut self.gso {
                *strikes = 0;
            }
        }
    }
}

fn enlarge_buffers(socket: &UdpSocket, bytes: usize) {
    // Beyond net.core.rmem_max only with CAP_NET_ADMIN; what is granted is enough to run, so no error.
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
    }
    if setsockopt(socket, sockopt::SndBufForce, &bytes).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &bytes);
    }
}

/// Sends without regard to path MTU discovery: our datagrams are small already, and a forged ICMP "too big" must not
/// break a call or our trains.
fn ignore_path_mtu(socket: &UdpSocket, ip: IpAddr) {
    let (level, option, value) = match ip {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    };
    let _ = set_option(socket.as_fd(), level, option, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmsg::ReceiveRing;
    use parvis_peer::{Path, Protocol};

    fn port(config: &ShardConfig) -> UdpPort {
        UdpPort::bind("127.0.0.1".parse().unwrap(), 0, config).unwrap()
    }

    fn send(from: &mut UdpPort, to: &UdpPort, sizes: &[usize], now: Instant, stats: &ShardStats) {
        let path = Path { protocol: Protocol::Udp, local: from.local, remote: to.local };
        let mut outbox = Outbox::default();
        for (number, size) in sizes.iter().enumerate() {
            outbox.push(path, &vec![number as u8; *size]);
        }
        let (mut trains, mut batch) = (Trains::default(), SendBatch::new());
        trains.group(&outbox);
        from.send(now, &outbox, &mut trains, &mut batch, stats);
    }

    /// Everything that waits at a socket, datagram by datagram, and how many messages they came in.
    fn receive(at: &UdpPort) -> (Vec<(u8, usize)>, usize) {
        let mut ring = ReceiveRing::new();
        let (mut datagrams, mut messages) = (Vec::new(), 0);
        while let Ok(count) = ring.receive(at.socket.as_fd()) {
            messages += count;
            for index in 0..count {
                let (received, bytes) = ring.message(index);
                let size = received.segment.unwrap_or(bytes.len()).max(1);
                datagrams.extend(bytes.chunks(size).map(|datagram| (datagram[0], datagram.len())));
            }
        }
        (datagrams, messages)
    }

    const SIZES: [usize; 5] = [1_200, 1_200, 1_200, 1_200, 500];
    const ARRIVED: [(u8, usize); 5] = [(0, 1_200), (1, 1_200), (2, 1_200), (3, 1_200), (4, 500)];

    #[test]
    fn a_train_sent_whole_is_received_whole_and_taken_apart() {
        let (stats, config) = (ShardStats::default(), ShardConfig::default());
        let (mut from, to) = (port(&config), port(&config));
        send(&mut from, &to, &SIZES, Instant::now(), &stats);
        let (datagrams, messages) = receive(&to);
        assert_eq!(datagrams, ARRIVED);
        assert!(messages == 1 || stats.snapshot().udp_packets_out_gso == 0, "{messages} messages");
    }

    #[test]
    fn a_receiver_without_gro_gets_the_train_apart() {
        let (stats, config) = (ShardStats::default(), ShardConfig::default());
        let (mut from, to) = (port(&config), port(&ShardConfig { gro: false, ..config.clone() }));
        send(&mut from, &to, &SIZES, Instant::now(), &stats);
        assert_eq!(receive(&to), (ARRIVED.to_vec(), 5));
    }

    #[test]
    fn a_train_that_the_kernel_refuses_goes_out_one_by_one_and_soon_none_is_tried() {
        let (stats, config) = (ShardStats::default(), ShardConfig::default());
        let (mut from, to) = (port(&config), port(&config));
        // A socket that sends no checksums has no segmentation offload: EINVAL (udp_send_skb in Linux).
        set_option(from.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        let now = Instant::now();
        for _ in 0..GSO_STRIKES + 3 {
            send(&mut from, &to, &SIZES, now, &stats);
            assert_eq!(receive(&to).0, ARRIVED);
        }
        let counted = stats.snapshot();
        assert_eq!(counted.gso_fallbacks, u64::from(GSO_STRIKES), "then it stopped trying");
        assert_eq!((counted.udp_send_errors, counted.udp_packets_out_gso), (0, 0));

        // After the pause it tries again, and stays with it when it works.
        set_option(from.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 0).unwrap();
        send(&mut from, &to, &SIZES, now + GSO_PAUSE, &stats);
        assert_eq!(receive(&to).0, ARRIVED);
        assert_eq!(stats.snapshot().udp_packets_out_gso, 5);
    }

    #[test]
    fn one_destination_that_cannot_be_reached_does_not_stop_the_others() {
        let (stats, config) = (ShardStats::default(), ShardConfig::default());
        let (mut from, to) = (port(&config), port(&config));
        let mut outbox = Outbox::default();
        let path = |remote| Path { protocol: Protocol::Udp, local: from.local, remote };
        // Broadcast without SO_BROADCAST: EACCES.
        outbox.push(path("255.255.255.255:9".parse().unwrap()), b"nowhere");
        outbox.push(path(to.local), b"somewhere");
        let (mut trains, mut batch) = (Trains::default(), SendBatch::new());
        trains.group(&outbox);
        from.send(Instant::now(), &outbox, &mut trains, &mut batch, &stats);
        assert_eq!(receive(&to).0, [(b's', 9)]);
        assert_eq!(stats.snapshot().udp_send_errors, 1);
    }
}
