// SPDX-License-Identifier: EUPL-1.2
//! Tells the service manager how the server does (sd_notify(3)): that it is ready, that it reads its configuration anew,
//! and what came of it. Without a service manager nobody is told.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

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

fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = path.as_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    // Whoever does not listen does not want to know.
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}
