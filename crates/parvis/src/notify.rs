// SPDX-License-Identifier: EUPL-1.2
//! What the service manager is told of how the server does (sd_notify(3)), and what it hands over: that the server is ready, that
//! it reads its configuration anew, what came of it, that its forwarding threads answer; and listening sockets
//! (sd_listen_fds(3)). Without a service manager nobody is told, and nothing is handed over.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::time::{ClockId, clock_gettime};
use parvis_shard::ShardHandle;

/// How often it is looked whether the threads have answered.
const LOOK: Duration = Duration::from_millis(20);

/// The server serves.
pub(crate) fn ready() {
    tell("READY=1");
}

/// The configuration is being read anew.
pub(crate) fn reloading() {
    let microseconds = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|now| i128::from(now.tv_sec()) * 1_000_000 + i128::from(now.tv_nsec()) / 1_000)
        .unwrap_or_default();
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// It was read; `status` says what came of it.
pub(crate) fn reloaded(status: &str) {
    tell(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
}

/// The server is about to stop.
pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// Within what time the service manager wants to hear that all is well, if it does (`WatchdogSec=`).
pub(crate) fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| for_us && *micros > 0).map(Duration::from_micros)
}

/// Tells the service manager that all is well, twice in each `period`, as long as every forwarding thread that runs answers
/// within half of it. A thread that hangs is named in the log, and the service manager ends the server when the period is
/// over without a word: meetings are lost either way, and new ones find a server that works.
pub(crate) async fn watch(shards: ShardHandle, period: Duration) {
    let half = period / 2;
    loop {
        let asked = Instant::now();
        shards.ask();
        // Also a runtime that hangs says nothing.
        while !shards.silent().is_empty() && asked.elapsed() < half {
            tokio::time::sleep(LOOK.min(half)).await;
        }
        let silent = shards.silent();
        if silent.is_empty() && shards.alive() > 0 {
            tell("WATCHDOG=1");
        } else {
            tracing::error!(?silent, alive = shards.alive(), "forwarding threads don't answer");
        }
        tokio::time::sleep(half.saturating_sub(asked.elapsed())).await;
    }
}

/// Listening sockets that the service manager opened before us.
#[derive(Debug, Default)]
pub(crate) struct Handed(Vec<TcpListener>);

impl Handed {
    /// Takes them, once: they are ours from now on, and no worker's.
    pub(crate) fn take() -> std::io::Result<Handed> {
        let mut given = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..given.len() {
            let Some(listener) = given.take_tcp_listener(index)? else { continue };
            fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            listener.set_nonblocking(true)?;
            listeners.push(listener);
        }
        Ok(Handed(listeners))
    }

    /// The one that listens at this address, if there is one.
    pub(crate) fn claim(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.addresses().iter().position(|given| is_same(*given, address))?;
        Some(self.0.remove(at))
    }

    /// Where those listen that nobody claimed.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Those that nobody claimed.
    pub(crate) fn rest(self) -> Vec<TcpListener> {
        self.0
    }
}

/// Whether a socket that was opened at `given` is what is meant by `wanted`: a machine without IPv6 has `0.0.0.0` in place of `[::]`.
fn is_same(given: SocketAddr, wanted: SocketAddr) -> bool {
    let both_all = given.ip().is_unspecified() && wanted.ip().is_unspecified();
    given.port() == wanted.port() && (given.ip() == wanted.ip() || both_all)
}

fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = path.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => UnixAddr::from_abstract_name(name),
        None => UnixAddr::from_pathname(&path),
    };
    // Whoever does not listen does not want to know.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_claimed_by_its_address_and_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut handed = Handed(vec![listener]);
        assert!(handed.claim("127.0.0.2:1".parse().unwrap()).is_none());
        assert_eq!(handed.addresses(), [address]);
        assert!(handed.claim(address).is_some());
        assert!(handed.claim(address).is_none());
        let (all4, all6) = ("0.0.0.0:443".parse().unwrap(), "[::]:443".parse().unwrap());
        assert!(is_same(all4, all6) && !is_same(all4, "[::1]:443".parse().unwrap()));
    }
}
