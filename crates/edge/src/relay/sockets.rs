// SPDX-License-Identifier: EUPL-1.2
//! Reading datagrams: from clients, and from media.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use parvis_turn::{Client, RelayId, Transport};
use tokio::net::UdpSocket;

use super::Shared;
use crate::relay::stream::MAX_MESSAGE_BYTES;

/// Datagrams read before another task may run.
const READS_PER_TURN: usize = 32;

/// Serves clients at one address.
pub(super) async fn serve_clients(shared: Arc<Shared>, local: SocketAddr, socket: Arc<UdpSocket>) {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    while socket.readable().await.is_ok() {
        for _ in 0..READS_PER_TURN {
            match socket.try_recv_from(&mut buffer) {
                Ok((count, remote)) => {
                    let client = Client { transport: Transport::Udp, local, remote };
                    shared.handle_client(client, &buffer[..count]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // One that the system kept for us from an earlier send: it is gone by asking.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Serves one allocation's socket until its owner closes it.
pub(super) async fn serve_media(shared: Weak<Shared>, relay: RelayId, socket: Arc<UdpSocket>) {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    while socket.readable().await.is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        for _ in 0..READS_PER_TURN {
            match socket.try_recv_from(&mut buffer) {
                Ok((count, from)) => shared.handle_relay(relay, from, &buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}
