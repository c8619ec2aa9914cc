// SPDX-License-Identifier: EUPL-1.2
//! A TUN device: a network interface whose other end is a program. The server has no use for one; the router that
//! measurements put between network namespaces has, and unsafe code stands in this crate.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::libc;

/// Makes the TUN device `name` in the network namespace of the calling thread, or takes it over where it exists. Each
/// read gives one IP packet and each write sends one, without a header before it; neither waits. The device is gone
/// with the file, unless it had been made to stay.
///
/// # Errors
///
/// A name that is empty, too long or not for a file, a missing `/dev/net/tun`, or the missing right
/// (CAP_NET_ADMIN).
pub fn open_tun(name: &str) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: a plain C struct, for which zero bytes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the kernel reads a C string.
    let room = request.ifr_name.len() - 1;
    if name.is_empty() || name.len() > room || name.bytes().any(|byte| matches!(byte, 0 | b'/' | b' ')) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is no name for an interface"),
        ));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives through the call; the descriptor is open.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    Errno::result(result)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_interface_can_have_is_refused() {
        for name in ["", "a/b", "a b", "sixteen-letters-"] {
            match open_tun(name) {
                Err(error) => assert!(
                    error.kind() == io::ErrorKind::InvalidInput
                        || !std::path::Path::new("/dev/net/tun").exists(),
                    "{name:?}: {error}"
                ),
                Ok(_) => panic!("{name:?} was taken"),
            }
        }
    }
}
