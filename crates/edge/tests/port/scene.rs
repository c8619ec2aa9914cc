// SPDX-License-Identifier: EUPL-1.2
//! A participants' plane behind the port, a door for ICE, a relay, and clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use parvis_api::{Api, ApiConfig, ByteStream, Forwarders, Front, Keys, Metrics, Relays};
use parvis_edge::{
    Certificate, CryptoProfile, Edge, EdgeConfig, EdgeStats, IceDoor, Plain, Relay, RelayConfig, Tls,
};
use parvis_peer::stun::{ERROR_CODE, Message, USERNAME, Writer, read_xor_address};
use parvis_sfu::{Command, ForwarderId, RoomId};
use parvis_turn::{Clock, Credentials, Issuer, REALM, TurnConfig};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
pub const NAME: &str = "meet.example";

#[derive(Debug, Default)]
struct Nobody;

impl Forwarders for Nobody {
    fn new_room(&self) -> Option<RoomId> {
        None
    }
    fn home(&self, room: RoomId) -> ForwarderId {
        ForwarderId(room.0)
    }
    fn open_part(&self, _: RoomId) -> Option<ForwarderId> {
        None
    }
    fn room_ended(&self, _: RoomId) {}
    fn command(&self, _: ForwarderId, command: Command) -> Result<(), Box<Command>> {
        Err(Box::new(command))
    }
    fn is_healthy(&self) -> bool {
        true
    }
}

/// Takes connections for shards below 4 and keeps them.
#[derive(Debug, Default)]
pub struct Door {
    pub taken: Mutex<Vec<(usize, std::net::TcpStream)>>,
}

impl IceDoor for Door {
    fn adopt(&self, shard: usize, stream: std::net::TcpStream) -> bool {
        if shard < 4 {
            self.taken.lock().unwrap().push((shard, stream));
        }
        shard < 4
    }
}

pub struct Scene {
    pub address: SocketAddr,
    pub tls: Tls,
    pub stats: Arc<EdgeStats>,
    pub metrics: Metrics,
    pub door: Arc<Door>,
    pub relay: Relay,
    pub issuer: Issuer,
    /// Says back what comes, as a media socket of ours.
    pub media: SocketAddr,
    pub root: CertificateDer<'static>,
    api: Api,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.api.stop();
    }
}

/// A certificate for [`NAME`] and localhost, and its key, in PEM.
pub fn pair() -> (String, String, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec![NAME.to_owned(), "turn.example".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().clone())
}

pub fn edge_config() -> EdgeConfig {
    EdgeConfig {
        handshake: Duration::from_secs(5),
        plain: Plain::Redirect,
        proxy_protocol_from: Vec::new(),
        turn_names: vec!["turn.example".to_owned()],
    }
}

impl Scene {
    pub async fn new() -> Scene {
        Scene::with(edge_config(), CryptoProfile::Modern, TurnConfig::default()).await
    }

    pub async fn with(config: EdgeConfig, profile: CryptoProfile, turn: TurnConfig) -> Scene {
        let (chain, key, root) = pair();
        let tls = Tls::new(profile).unwrap();
        let now = std::time::SystemTime::now();
        let places = ("chain", "key");
        tls.show(&Certificate::from_pem(chain.as_bytes(), key.as_bytes(), places, profile, now).unwrap());

        let echo = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let media = echo.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((count, from)) = echo.recv_from(&mut buffer).await {
                let _ = echo.send_to(&buffer[..count], from).await;
            }
        });
        let issuer = Issuer::new([7; 32], Clock::new(Instant::now(), 1_800_000_000));
        let relay = RelayConfig {
            udp: vec!["127.0.0.1:0".parse().unwrap()],
            media: vec![(media, media)],
            turn,
            first_allocation: Duration::from_secs(2),
            write_queue: 64,
        };
        let relay = Relay::start(relay, issuer.clone(), [9; 32]).await.unwrap();
        let (door, stats) = (Arc::<Door>::default(), Arc::<EdgeStats>::default());
        let ice: Arc<dyn IceDoor> = Arc::clone(&door) as Arc<dyn IceDoor>;
        let edge = Edge::new(config, Some(tls.clone()), Some(relay.clone()), Some(ice), Arc::clone(&stats));
        let front: Arc<dyn Front> = Arc::new(edge);
        let keys = vec![("main".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())];
        let keys = Keys::new(keys, Duration::from_secs(3_600), false).unwrap();
        let metrics = Metrics::new(Vec::new()).unwrap();
        let config = ApiConfig {
            front: Some(front),
            trusted_proxies: vec!["127.0.0.2".parse().unwrap()],
            ..ApiConfig::default()
        };
        let api = Api::new(config, keys, Arc::new(Nobody), metrics.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = api.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Scene { address, tls, stats, metrics, door, relay, issuer, media, root, api }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A TLS client that trusts the scene's certificate, by a provider of its own.
    pub fn client(&self, profile: CryptoProfile, alpn: &[&[u8]]) -> TlsConnector {
        self.client_of(profile.provider(), alpn)
    }

    pub fn client_of(&self, provider: rustls::crypto::CryptoProvider, alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    pub async fn within_tls(&self, name: &str, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        self.client(CryptoProfile::Modern, alpn).connect(name, self.connect().await).await.unwrap()
    }

    pub fn counted(&self, name: &str) -> u64 {
        self.stats.fields().find(|(found, ..)| *found == name).unwrap().2
    }

    /// A participant's credentials.
    pub fn participant(&self, sid: &str) -> Credentials {
        self.relay.admit(sid);
        self.issuer.issue(Instant::now(), sid, Duration::from_secs(3_600))
    }
}

/// One request, and all that comes back until the end.
pub async fn get(mut stream: impl ByteStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether the other side has closed, within so long.
pub async fn closes(stream: &mut TcpStream, within: Duration) -> bool {
    matches!(tokio::time::timeout(within, stream.read(&mut [0; 64])).await, Ok(Ok(0) | Err(_)))
}

/// Waits until a condition holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub const ALLOCATE: u16 = 0x0003;
pub const REFRESH: u16 = 0x0004;
pub const CREATE_PERMISSION: u16 = 0x0008;
pub const CHANNEL_BIND: u16 = 0x0009;

/// How a TURN client's messages travel.
pub enum Line {
    Stream(Box<dyn ByteStream>),
    Udp(UdpSocket),
}

/// A TURN client of a few lines.
pub struct Turn {
    pub line: Line,
    pub credentials: Credentials,
    nonce: Vec<u8>,
    next: u8,
}

impl Turn {
    pub fn over(stream: impl ByteStream + 'static, credentials: Credentials) -> Turn {
        Turn { line: Line::Stream(Box::new(stream)), credentials, nonce: Vec::new(), next: 0 }
    }

    pub async fn udp(scene: &Scene, credentials: Credentials) -> Turn {
        let relay = scene.relay.udp_addresses()[0];
        let socket = UdpSocket::bind(SocketAddr::new(relay.ip(), 0)).await.unwrap();
        socket.connect(relay).await.unwrap();
        Turn { line: Line::Udp(socket), credentials, nonce: Vec::new(), next: 0 }
    }

    pub async fn send(&mut self, message: &[u8]) {
        match &mut self.line {
            Line::Stream(stream) => {
                stream.write_all(message).await.unwrap();
                stream.flush().await.unwrap();
            }
            Line::Udp(socket) => drop(socket.send(message).await.unwrap()),
        }
    }

    /// The next message; `None` when none comes in time, or the line has ended.
    pub async fn receive(&mut self, within: Duration) -> Option<Vec<u8>> {
        let receive = async {
            match &mut self.line {
                Line::Udp(socket) => {
                    let mut buffer = vec![0; 2_048];
                    let count = socket.recv(&mut buffer).await.ok()?;
                    buffer.truncate(count);
                    Some(buffer)
                }
                Line::Stream(stream) => {
                    let mut message = vec![0; 4];
                    stream.read_exact(&mut message).await.ok()?;
                    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
                    let total = if message[0] < 0x40 { 20 + length } else { 4 + length.next_multiple_of(4) };
                    message.resize(total, 0);
                    stream.read_exact(&mut message[4..]).await.ok()?;
                    Some(message)
                }
            }
        };
        tokio::time::timeout(within, receive).await.ok().flatten()
    }

    /// The error's code, or the answer.
    pub async fn ask(
        &mut self,
        method: u16,
        attributes: &[(u16, &[u8])],
        peers: &[SocketAddr],
    ) -> Result<Vec<u8>, u16> {
        let Credentials { username, password } = self.credentials.clone();
        let key = Md5::digest(format!("{username}:{REALM}:{password}"));
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
        for _ in 0..8 {
            self.next += 1;
            let mut writer = Writer::new(method, &[self.next; 12]);
            for (kind, value) in attributes {
                writer.attribute(*kind, value);
            }
            for peer in peers {
                writer.xor_address(0x0012, *peer);
            }
            writer.attribute(USERNAME, username.as_bytes());
            writer.attribute(0x0014, REALM.as_bytes());
            writer.attribute(0x0015, &self.nonce);
            let request = writer.finish(Some(&key));
            self.send(&request).await;
            let wait = if matches!(self.line, Line::Udp(_)) { Duration::from_millis(500) } else { PATIENCE };
            let Some(answer) = self.receive(wait).await else { continue };
            let message = Message::parse(&answer).expect("a STUN message");
            let Some(code) = message.attribute(ERROR_CODE) else { return Ok(answer) };
            let code = u16::from(code[2]) * 100 + u16::from(code[3]);
            if code != 438 {
                return Err(code);
            }
            self.nonce = message.attribute(0x0015).unwrap().to_vec();
        }
        panic!("no answer");
    }

    pub async fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.ask(ALLOCATE, &[(0x0019, &[17, 0, 0, 0])], &[]).await?;
        let message = Message::parse(&answer).unwrap();
        Ok(read_xor_address(message.attribute(0x0016).unwrap(), message.transaction()).unwrap())
    }

    /// Sends through a channel and returns what comes back.
    pub async fn echo(&mut self, media: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
        self.ask(CHANNEL_BIND, &[(0x000c, &[0x40, 1, 0, 0])], &[media]).await.unwrap();
        self.send(&channel(payload)).await;
        let answer = self.receive(PATIENCE).await?;
        assert_eq!(answer[..2], [0x40, 1]);
        let length = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
        Some(answer[4..4 + length].to_vec())
    }
}

/// A message for channel 0x4001, padded.
pub fn channel(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0x40, 1];
    message.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    message.extend_from_slice(payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}
