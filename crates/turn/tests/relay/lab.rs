// SPDX-License-Identifier: EUPL-1.2
//! A server, its sockets as numbers, and clients that write and read messages.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use parvis_peer::stun::{ERROR_CODE, Message, USERNAME, Writer, read_xor_address};
use parvis_turn::{
    Client, Clock, Credentials, Family, Issuer, Outcome, Peers, REALM, RelayId, Server, Transport, TurnConfig,
};

pub const ALLOCATE: u16 = 0x0003;
pub const REFRESH: u16 = 0x0004;
pub const CREATE_PERMISSION: u16 = 0x0008;
pub const CHANNEL_BIND: u16 = 0x0009;
pub const CONNECT: u16 = 0x000a;
pub const SUCCESS: u16 = 0x0100;
pub const LIFETIME: u16 = 0x000d;
pub const PEER: u16 = 0x0012;
pub const DATA: u16 = 0x0013;
pub const RELAYED: u16 = 0x0016;
pub const FAMILY: u16 = 0x0017;
pub const EVEN_PORT: u16 = 0x0018;
pub const TRANSPORT: u16 = 0x0019;
pub const TOKEN: u16 = 0x0022;
pub const OVER_UDP: (u16, &[u8]) = (TRANSPORT, &[17, 0, 0, 0]);

/// A media address as clients know it, and as it is bound behind the network's edge.
pub const MEDIA: &str = "203.0.113.7:7882";
pub const MEDIA_BOUND: &str = "10.0.0.5:7882";
pub const MEDIA_V6: &str = "[2001:db8::7]:7882";

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub struct Lab {
    pub server: Server,
    pub issuer: Issuer,
    pub now: Instant,
    /// Sockets that are open.
    pub sockets: Vec<(RelayId, SocketAddr)>,
    /// Whether another is to be had.
    pub socket_left: bool,
    next: u8,
}

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Silence,
    Success(Vec<u8>),
    Error(u16),
}

impl Lab {
    pub fn new() -> Lab {
        Lab::with(TurnConfig::default())
    }

    pub fn with(config: TurnConfig) -> Lab {
        let now = Instant::now();
        let issuer = Issuer::new([7; 32], Clock::new(now, 1_800_000_000));
        let v6 = address(MEDIA_V6);
        let peers = Peers::new([(address(MEDIA), address(MEDIA_BOUND)), (v6, v6)]);
        let server = Server::new(config, issuer.clone(), peers, [9; 32]);
        Lab { server, issuer, now, sockets: Vec::new(), socket_left: true, next: 0 }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        self.server.handle_timeout(self.now);
        self.close();
    }

    /// A participant who was let into a meeting, at an address and port of its own.
    pub fn participant(&mut self, sid: &str, remote: &str, transport: Transport) -> User {
        self.server.admit(sid);
        let credentials = self.issuer.issue(self.now, sid, Duration::from_secs(3_600));
        User::new(credentials, client(remote, transport))
    }

    /// Sends bytes of a client's, and does what comes of it. `None` when nothing is sent back.
    pub fn deliver(&mut self, client: Client, bytes: &[u8]) -> Option<Vec<u8>> {
        let answer = match self.server.handle_client(self.now, client, bytes) {
            Outcome::Nothing => None,
            Outcome::Reply(answer) => Some(answer),
            Outcome::Open { relay, family } => {
                let ip = if family == Family::V4 { "203.0.113.7" } else { "[2001:db8::7]" };
                let bound = self.socket_left.then(|| address(&format!("{ip}:{}", 50_000 + relay.0)));
                self.sockets.extend(bound.map(|bound| (relay, bound)));
                let (to, answer) = self.server.opened(self.now, relay, bound).unwrap();
                assert_eq!(to, client);
                Some(answer)
            }
            Outcome::Relay { .. } => panic!("something was relayed"),
        };
        self.close();
        answer
    }

    /// What a client's message sends to media: from which socket, where, what.
    pub fn relay(&mut self, client: Client, bytes: &[u8]) -> Option<(RelayId, SocketAddr, Vec<u8>)> {
        match self.server.handle_client(self.now, client, bytes) {
            Outcome::Relay { relay, to, payload } => Some((relay, to, payload.to_vec())),
            Outcome::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self) {
        while let Some(relay) = self.server.poll_closed() {
            self.sockets.retain(|(open, _)| *open != relay);
        }
    }

    pub fn transaction(&mut self) -> [u8; 12] {
        self.next = self.next.wrapping_add(1);
        [self.next; 12]
    }
}

pub fn client(remote: &str, transport: Transport) -> Client {
    Client { transport, local: address("203.0.113.7:3478"), remote: address(remote) }
}

/// A client's side of RFC 8489 section 9.2.
pub struct User {
    pub client: Client,
    pub credentials: Credentials,
    pub nonce: Vec<u8>,
}

impl User {
    pub fn new(credentials: Credentials, client: Client) -> User {
        User { client, credentials, nonce: Vec::new() }
    }

    fn key(&self) -> hmac::Key {
        let Credentials { username, password } = &self.credentials;
        let key = Md5::digest(format!("{username}:{REALM}:{password}"));
        hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key)
    }

    /// A request with credentials, its addresses written as they are.
    pub fn write(
        &self,
        lab: &mut Lab,
        method: u16,
        attributes: &[(u16, &[u8])],
        peers: &[SocketAddr],
    ) -> Vec<u8> {
        let mut writer = Writer::new(method, &lab.transaction());
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
        for peer in peers {
            writer.xor_address(PEER, *peer);
        }
        writer.attribute(USERNAME, self.credentials.username.as_bytes());
        writer.attribute(0x0014, REALM.as_bytes());
        writer.attribute(0x0015, &self.nonce);
        writer.finish(Some(&self.key()))
    }

    /// Asks as a client does: with a nonce from the challenge, which is asked for as often as it takes.
    pub fn ask(
        &mut self,
        lab: &mut Lab,
        method: u16,
        attributes: &[(u16, &[u8])],
        peers: &[SocketAddr],
    ) -> Answer {
        for _ in 0..6 {
            let request = self.write(lab, method, attributes, peers);
            let Some(answer) = lab.deliver(self.client, &request) else { continue };
            let message = Message::parse(&answer).expect("a message");
            assert_eq!(message.transaction(), &request[8..20], "the answer to another request");
            let Some(code) = error_code(&message) else {
                assert!(message.is_authentic(&self.key()), "a success proves itself");
                assert_eq!(message.kind(), method | SUCCESS);
                return Answer::Success(answer);
            };
            let renewed = message.attribute(0x0015).map(<[u8]>::to_vec);
            if code != 438 {
                assert!(
                    code == 401 || message.is_authentic(&self.key()),
                    "a refusal after proof proves itself"
                );
                return Answer::Error(code);
            }
            self.nonce = renewed.expect("a challenge has a nonce");
        }
        Answer::Silence
    }

    /// An allocation, by its socket and the address that the client is told.
    pub fn allocate(&mut self, lab: &mut Lab) -> (RelayId, SocketAddr) {
        let Answer::Success(answer) = self.ask(lab, ALLOCATE, &[OVER_UDP], &[]) else {
            panic!("no allocation")
        };
        let message = Message::parse(&answer).unwrap();
        let told = read_xor_address(message.attribute(RELAYED).unwrap(), message.transaction()).unwrap();
        let (relay, bound) = *lab.sockets.last().unwrap();
        assert_eq!(told, bound);
        (relay, told)
    }

    /// A Send indication.
    pub fn indication(&self, peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new(0x0016, &[5; 12]);
        writer.xor_address(PEER, peer);
        writer.attribute(DATA, payload);
        writer.finish_bare()
    }
}

pub fn error_code(message: &Message<'_>) -> Option<u16> {
    let value = message.attribute(ERROR_CODE)?;
    Some(u16::from(value[2]) * 100 + u16::from(value[3]))
}

/// A channel message.
pub fn channel(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
