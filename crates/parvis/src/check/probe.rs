// SPDX-License-Identifier: EUPL-1.2
//! One thing that is tried at one port, from here or by a peer from outside ([`super::peer`]): small, bounded, and of no use against
//! anybody who is no Parvis.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::hmac;
use parvis_peer::stun;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long each may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// When a datagram is sent again.
const AGAIN: Duration = Duration::from_millis(500);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 512;
/// PRIORITY and ICE-CONTROLLING (RFC 8445 section 16.1). Nothing is nominated, so no media comes this way.
const PRIORITY: u16 = 0x0024;
const ICE_CONTROLLING: u16 = 0x802a;
/// That of a host candidate of the first component.
const HOST_PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;
/// An allocation without credentials (RFC 8656): a relay that lives refuses it with 401.
pub(super) const ALLOCATE: [u8; 28] =
    [0, 3, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0x19, 0, 4, 17, 0, 0, 0];
/// The type of the answer that refuses it.
pub(super) const ALLOCATE_REFUSED: [u8; 2] = [0x01, 0x13];

/// What is tried.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Probe {
    /// Whether a connection is taken.
    Tcp { port: u16 },
    /// Whether media's port answers a check of ICE for a session that there is.
    Media { port: u16, tcp: bool, username: String, password: String },
    /// Whether a relay refuses who has no credentials.
    Relay { port: u16 },
}

impl fmt::Debug for Probe {
    /// A password gets into no log.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Tcp { port } => write!(formatter, "{port}/tcp"),
            Probe::Media { port, tcp: true, .. } => write!(formatter, "{port}/tcp (media)"),
            Probe::Media { port, tcp: false, .. } => write!(formatter, "{port}/udp (media)"),
            Probe::Relay { port } => write!(formatter, "{port}/udp (relay)"),
        }
    }
}

impl Probe {
    /// Tries it there; what was seen, and whether that is as it should be.
    pub(super) async fn at(&self, address: IpAddr) -> Result<String, String> {
        let tried = async {
            match self {
                Probe::Tcp { port } => {
                    TcpStream::connect((address, *port)).await?;
                    Ok("it is open".to_owned())
                }
                Probe::Media { port, tcp, username, password } => {
                    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
                    let check = Check { transaction: rand::random(), username, key };
                    let at = SocketAddr::new(address, *port);
                    if *tcp { check.by_tcp(at).await } else { check.by_udp(at).await }
                }
                Probe::Relay { port } => {
                    let answer = exchange(SocketAddr::new(address, *port), &ALLOCATE, |_| true).await?;
                    match answer.starts_with(&ALLOCATE_REFUSED) {
                        true => Ok("it refuses strangers, as it must".to_owned()),
                        false => Err(io::Error::other("an answer that no relay gives")),
                    }
                }
            }
        };
        match timeout(PATIENCE, tried).await {
            Err(_) => Err(format!("no answer in {} s", PATIENCE.as_secs())),
            Ok(tried) => tried.map_err(|error: io::Error| error.to_string()),
        }
    }
}

/// A check that does not nominate (RFC 8445 section 7.2.2).
struct Check<'a> {
    transaction: [u8; 12],
    username: &'a str,
    key: hmac::Key,
}

impl Check<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut check = stun::Writer::new(stun::BINDING_REQUEST, &self.transaction);
        check.attribute(stun::USERNAME, self.username.as_bytes());
        check.attribute(PRIORITY, &HOST_PRIORITY.to_be_bytes());
        check.attribute(ICE_CONTROLLING, &[7; 8]);
        check.finish(Some(&self.key))
    }

    /// From where the other saw it come, if this is its own answer to it and nobody else's.
    fn answered(&self, answer: &[u8]) -> Option<SocketAddr> {
        let message = stun::Message::parse(answer)?;
        let fits = message.kind() == stun::BINDING_SUCCESS
            && *message.transaction() == self.transaction
            && message.is_authentic(&self.key);
        let mapped = message.attribute(stun::XOR_MAPPED_ADDRESS)?;
        fits.then(|| stun::read_xor_address(mapped, message.transaction())).flatten()
    }

    async fn by_udp(&self, at: SocketAddr) -> io::Result<String> {
        let answer = exchange(at, &self.bytes(), |answer| self.answered(answer).is_some()).await?;
        self.said(&answer)
    }

    async fn by_tcp(&self, at: SocketAddr) -> io::Result<String> {
        let check = self.bytes();
        let mut stream = TcpStream::connect(at).await?;
        // RFC 4571: each message has its length before it.
        let length = u16::try_from(check.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes()[..], &check].concat()).await?;
        let length = usize::from(stream.read_u16().await?);
        if length > MAX_ANSWER_BYTES {
            return Err(io::Error::other("an answer that media does not give"));
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        self.said(&answer)
    }

    fn said(&self, answer: &[u8]) -> io::Result<String> {
        match self.answered(answer) {
            Some(seen) => Ok(format!("it answers, to {seen}")),
            None => Err(io::Error::other("an answer that media does not give")),
        }
    }
}

/// Sends a datagram again and again until an answer comes that fits.
async fn exchange(at: SocketAddr, request: &[u8], fits: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let any: IpAddr = if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Of others nothing is heard, and a port that is shut says so at once.
    socket.connect(at).await?;
    let mut answer = [0; MAX_ANSWER_BYTES];
    loop {
        socket.send(request).await?;
        if let Ok(received) = timeout(AGAIN, socket.recv(&mut answer)).await {
            let count = received?;
            if let Some(answer) = answer.get(..count).filter(|answer| fits(answer)) {
                return Ok(answer.to_vec());
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    pub(crate) fn media(port: u16, tcp: bool, password: &str) -> Probe {
        Probe::Media { port, tcp, username: "ours:theirs".to_owned(), password: password.to_owned() }
    }

    /// Media as a server has it: answers checks for one session.
    fn answer(request: &[u8], from: SocketAddr, password: &str) -> Option<Vec<u8>> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let message = stun::Message::parse(request)?;
        assert_eq!(message.username(), Some("ours:theirs"));
        message.is_authentic(&key).then(|| {
            let mut writer = stun::Writer::new(stun::BINDING_SUCCESS, message.transaction());
            writer.xor_address(stun::XOR_MAPPED_ADDRESS, from);
            writer.finish(Some(&key))
        })
    }

    #[tokio::test]
    async fn media_over_udp_is_believed_only_with_the_password_of_its_session() {
        let server = UdpSocket::bind((LOCAL, 0)).await.unwrap();
        let port = server.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut request = [0; 512];
            loop {
                let (count, from) = server.recv_from(&mut request).await.unwrap();
                // First what a stranger might send who saw the question, then the answer itself.
                let asked = stun::Message::parse(&request[..count]).unwrap();
                let mut forged = stun::Writer::new(stun::BINDING_SUCCESS, asked.transaction());
                forged.xor_address(stun::XOR_MAPPED_ADDRESS, "192.0.2.66:1".parse().unwrap());
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"guessed");
                server.send_to(&forged.finish(Some(&key)), from).await.unwrap();
                let answer = answer(&request[..count], from, "right").unwrap_or_default();
                server.send_to(&answer, from).await.unwrap();
            }
        });
        let seen = media(port, false, "right").at(LOCAL).await.unwrap();
        assert!(seen.starts_with("it answers, to 127.0.0.1:"), "{seen}");
        let wrong = timeout(Duration::from_millis(200), media(port, false, "wrong").at(LOCAL)).await;
        assert!(wrong.is_err(), "an answer that no password signs is none: {wrong:?}");
        serving.abort();
    }

    #[tokio::test]
    async fn media_over_tcp_is_told_from_anything_else_that_listens() {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, from) = listener.accept().await.unwrap();
                let mut request = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut request).await.unwrap();
                let answer = answer(&request, from, "right").unwrap_or_else(|| b"HTTP/1.1 400".to_vec());
                stream.write_u16(answer.len() as u16).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        assert!(media(port, true, "right").at(LOCAL).await.unwrap().starts_with("it answers, to"));
        let other = media(port, true, "wrong").at(LOCAL).await;
        assert_eq!(other, Err("an answer that media does not give".to_owned()));
        assert_eq!(Probe::Tcp { port }.at(LOCAL).await, Ok("it is open".to_owned()));
        serving.abort();
    }

    #[tokio::test]
    async fn a_relay_and_a_shut_port_are_told_apart() {
        let relay = UdpSocket::bind((LOCAL, 0)).await.unwrap();
        let port = relay.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let mut request = [0; 512];
            for answer in [[0x01, 0x13], [0x01, 0x03]] {
                let (count, from) = relay.recv_from(&mut request).await.unwrap();
                assert_eq!(request[..count], ALLOCATE);
                relay.send_to(&answer, from).await.unwrap();
            }
        });
        assert_eq!(Probe::Relay { port }.at(LOCAL).await, Ok("it refuses strangers, as it must".to_owned()));
        let open = Probe::Relay { port }.at(LOCAL).await;
        assert_eq!(open, Err("an answer that no relay gives".to_owned()), "it would serve anybody");
        serving.await.unwrap();
        let refused = Probe::Relay { port }.at(LOCAL).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = Probe::Tcp { port }.at(LOCAL).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }

    #[test]
    fn a_password_is_in_no_log() {
        let said = format!("{:?} {}", media(7_882, false, "hush"), media(7_881, true, "hush"));
        assert_eq!(said, "7882/udp (media) 7881/tcp (media)");
    }
}
