// SPDX-License-Identifier: EUPL-1.2
//! `recvmmsg` and `sendmmsg` with a control message of its own for each message, which `nix` does not have.
//! All of the crate's unsafe code is here, and in `tun`. Public for the measurement of the bare path only, and no promise.

use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// Messages received in one call.
pub const RECEIVE_BATCH: usize = 32;
/// One receive buffer: a train of datagrams has at most 65,535 bytes.
pub const RECEIVE_BUFFER_BYTES: usize = 1 << 16;
/// Messages sent in one call.
pub const SEND_BATCH: usize = 64;
/// Pieces sent in one call; `UIO_MAXIOV` allows 1,024 in one message.
pub const SEND_PIECES: usize = 1_024;

/// Room for one control message of an `int`: CMSG_SPACE(4) is 24 bytes on 64 bits, and more than one may come.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// A ring of receive buffers that one thread owns. The pointers in its headers are to its own boxes, which stay where they
/// are as long as it lives.
pub struct ReceiveRing {
    buffers: Box<[u8]>,
    received: [Received; RECEIVE_BATCH],
    names: Box<[libc::sockaddr_storage]>,
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[Control]>,
    iovecs: Box<[libc::iovec]>,
}

/// What one message of a batch is.
#[derive(Clone, Copy)]
pub struct Received {
    /// Who sent it; `None` for an address family that we do not speak.
    pub from: Option<SocketAddr>,
    /// How many bytes came.
    pub len: usize,
    /// The size of each datagram in it, the last perhaps shorter; `None` when it is a single one.
    pub segment: Option<usize>,
    /// Whether bytes are missing.
    pub truncated: bool,
}

impl Default for ReceiveRing {
    fn default() -> Self {
        Self::new()
    }
}

impl ReceiveRing {
    /// An empty ring.
    pub fn new() -> Self {
        let nothing = Received { from: None, len: 0, segment: None, truncated: false };
        // SAFETY: plain C structs, for which zero bytes are a valid value.
        let (name, header, iovec): (libc::sockaddr_storage, libc::mmsghdr, libc::iovec) =
            unsafe { (zeroed(), zeroed(), zeroed()) };
        let mut ring = ReceiveRing {
            buffers: vec![0; RECEIVE_BATCH * RECEIVE_BUFFER_BYTES].into(),
            received: [nothing; RECEIVE_BATCH],
            names: vec![name; RECEIVE_BATCH].into(),
            headers: vec![header; RECEIVE_BATCH].into(),
            controls: vec![Control([0; 64]); RECEIVE_BATCH].into(),
            iovecs: vec![iovec; RECEIVE_BATCH].into(),
        };
        ring.point();
        ring
    }

    /// Points each header to its name, its buffer and its control area.
    fn point(&mut self) {
        let ReceiveRing { buffers, names, headers, controls, iovecs, .. } = self;
        let buffers = buffers.chunks_exact_mut(RECEIVE_BUFFER_BYTES);
        for ((((buffer, name), header), iovec), control) in
            buffers.zip(&mut *names).zip(&mut *headers).zip(&mut *iovecs).zip(&mut *controls)
        {
            *iovec = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_iov = &raw mut *iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            make_ready(header);
        }
    }

    /// Receives what waits, without blocking; says how many messages.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> nix::Result<usize> {
        let ReceiveRing { received, names, headers, .. } = self;
        // SAFETY: every header points to a name, a buffer and a control area of the stated sizes in boxes of this ring, each
        // used by one header only, and all of them outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                RECEIVE_BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = Errno::result(count)? as usize;
        for ((received, header), name) in received.iter_mut().zip(&mut *headers).zip(&*names).take(count) {
            *received = Received {
                from: read_address(name),
                len: (header.msg_len as usize).min(RECEIVE_BUFFER_BYTES),
                segment: read_segment(&header.msg_hdr),
                truncated: header.msg_hdr.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
            };
            make_ready(header);
        }
        Ok(count)
    }

    /// The message at `index` of the last batch.
    pub fn message(&mut self, index: usize) -> (Received, &mut [u8]) {
        let received = self.received[index];
        let start = index * RECEIVE_BUFFER_BYTES;
        (received, &mut self.buffers[start..start + received.len])
    }
}

/// Says what the kernel may write, as it stands before each call. Only headers that a call has filled need it again.
fn make_ready(header: &mut libc::mmsghdr) {
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_hdr.msg_controllen = size_of::<Control>() as _;
    header.msg_hdr.msg_flags = 0;
}

/// The datagram size that `UDP_GRO` tells of.
fn read_segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has written msg_control and msg_controllen; the CMSG macros stay within them, and the payload
    // of UDP_GRO is an int, read without regard to alignment.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = control.as_ref() {
            if found.cmsg_level == libc::SOL_UDP && found.cmsg_type == libc::UDP_GRO {
                let size = libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned();
                return usize::try_from(size).ok().filter(|size| *size > 0);
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
    None
}

/// One message to send: one datagram, or a train of datagrams of one size (the last may be shorter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// To whom.
    pub to: SocketAddr,
    /// How many pieces it takes from the list.
    pub pieces: usize,
    /// The size of each datagram; `None` for a single one.
    pub segment: Option<u16>,
}

/// Memory for one `sendmmsg`, used again and again. Pointers in it are only read during the call that wrote them.
pub struct SendBatch {
    names: Box<[libc::sockaddr_storage]>,
    headers: Box<[libc::mmsghdr]>,
    controls: Box<[Control]>,
    iovecs: Box<[libc::iovec]>,
}

// SAFETY: the pointers in it are written anew before each call that follows them; between calls they mean nothing.
unsafe impl Send for ReceiveRing {}
// SAFETY: as above.
unsafe impl Send for SendBatch {}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl SendBatch {
    /// Empty memory.
    pub fn new() -> Self {
        // SAFETY: plain C structs, for which zero bytes are a valid value.
        let (name, header, iovec): (libc::sockaddr_storage, libc::mmsghdr, libc::iovec) =
            unsafe { (zeroed(), zeroed(), zeroed()) };
        SendBatch {
            names: vec![name; SEND_BATCH].into(),
            headers: vec![header; SEND_BATCH].into(),
            controls: vec![Control([0; 64]); SEND_BATCH].into(),
            iovecs: vec![iovec; SEND_PIECES].into(),
        }
    }

    /// Sends the first messages whose pieces fit one call; says how many were taken by the kernel (at least one) or why
    /// the first was not.
    pub fn send<'a>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: &[Message],
        mut pieces: impl Iterator<Item = &'a [u8]>,
    ) -> nix::Result<usize> {
        let mut used = 0;
        let mut count = 0;
        for message in messages.iter().take(SEND_BATCH) {
            if used + message.pieces > SEND_PIECES {
                break;
            }
            let first = used;
            for piece in pieces.by_ref().take(message.pieces) {
                // Pieces that lie one after the other are one to the kernel.
                match self.iovecs[first..used].last_mut() {
                    Some(last)
                        if last.iov_base.cast::<u8>().wrapping_add(last.iov_len)
                            == piece.as_ptr().cast_mut() =>
                    {
                        last.iov_len += piece.len();
                    }
                    _ => {
                        self.iovecs[used] =
                            libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
                        used += 1;
                    }
                }
            }
            let name_len = write_address(message.to, &mut self.names[count]);
            let header = &mut self.headers[count].msg_hdr;
            header.msg_name = (&raw mut self.names[count]).cast();
            header.msg_namelen = name_len;
            header.msg_iov = &raw mut self.iovecs[first];
            header.msg_iovlen = (used - first) as _;
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
            if let Some(segment) = message.segment {
                header.msg_control = self.controls[count].0.as_mut_ptr().cast();
                header.msg_controllen = size_of::<Control>() as _;
                // SAFETY: msg_control points to 64 aligned bytes, more than CMSG_SPACE(2), so there is a first header and
                // its data lies within.
                unsafe {
                    let control = libc::CMSG_FIRSTHDR(header);
                    (*control).cmsg_level = libc::SOL_UDP;
                    (*control).cmsg_type = libc::UDP_SEGMENT;
                    (*control).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
                    libc::CMSG_DATA(control).cast::<u16>().write_unaligned(segment);
                    header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
                }
            }
            count += 1;
        }
        if count == 0 {
            return Err(Errno::EMSGSIZE);
        }
        // SAFETY: the first `count` headers point to names, pieces and control areas written above; the pieces are borrowed
        // for 'a, which outlives the call, and the kernel only reads them.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        Errno::result(sent).map(|sent| sent as usize)
    }
}

/// Sets an `int` option that `nix` has no name for.
pub fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> nix::Result<()> {
    // SAFETY: `value` lives through the call and its size is stated.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

/// How many datagrams a socket has lost since it was opened because nobody read them in time: the kernel's own count, a train
/// that it had joined as one. `None` where it has none (Linux before 4.12). Asked for rather than told with each message, so
/// that no packet costs more for it.
pub fn overflowed(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut figures = [0_u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut length = size_of_val(&figures) as libc::socklen_t;
    // SAFETY: `figures` and `length` live through the call, which writes no more than the stated size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            figures.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let whole = Errno::result(result).is_ok() && length as usize == size_of_val(&figures);
    whole.then_some(figures[libc::SK_MEMINFO_DROPS as usize])
}

fn read_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is a sockaddr_in, and a sockaddr_storage has room and alignment for one.
            let v4 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for a sockaddr_in6.
            let v6 = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            // Flow label and zone are left out: a path is address and port.
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, 0).into())
        }
        _ => None,
    }
}

fn write_address(address: SocketAddr, storage: &mut libc::sockaddr_storage) -> libc::socklen_t {
    let length = match address {
        SocketAddr::V4(v4) => {
            let name = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage has room and alignment for a sockaddr_in.
            unsafe { (&raw mut *storage).cast::<libc::sockaddr_in>().write(name) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            let name = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: a sockaddr_storage has room and alignment for a sockaddr_in6.
            unsafe { (&raw mut *storage).cast::<libc::sockaddr_in6>().write(name) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    length as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        // SAFETY: plain C struct.
        let mut storage: libc::sockaddr_storage = unsafe { zeroed() };
        for text in ["192.0.2.7:7882", "[2001:db8::5]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            write_address(address, &mut storage);
            assert_eq!(read_address(&storage), Some(address));
        }
    }

    #[test]
    fn what_a_socket_had_no_room_for_is_counted_to_the_last_datagram() {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        to.set_nonblocking(true).unwrap();
        set_option(to.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 1 << 14).unwrap();
        assert_eq!(overflowed(to.as_fd()), Some(0));
        for _ in 0..500 {
            from.send_to(&[7; 1_000], to.local_addr().unwrap()).unwrap();
        }
        let (mut ring, mut came) = (ReceiveRing::new(), 0);
        while let Ok(count) = ring.receive(to.as_fd()) {
            came += count as u32;
        }
        let lost = overflowed(to.as_fd()).unwrap();
        assert!(came > 0 && lost > 0, "{came} came, {lost} are lost");
        assert_eq!(came + lost, 500);
    }
}
