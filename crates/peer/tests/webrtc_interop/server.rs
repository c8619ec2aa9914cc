// SPDX-License-Identifier: EUPL-1.2
//! A [`Peer`] on a thread with real loopback sockets: what the shard does, for one peer and without its speed.

use parvis_dtls::{Certificate, Config, Context};
use parvis_peer::framing::{Deframer, frame};
use parvis_peer::sctp::SctpLimits;
use parvis_peer::sdp::SessionConfig;
use parvis_peer::{LocalCandidate, Path, Peer, PeerConfig, PeerEvent, PeerLimits, Protocol, Received};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc as events, oneshot};

/// What the server's thread tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    Event(PeerEvent),
    /// Decrypted.
    Rtp(Vec<u8>),
    Rtcp(Vec<u8>),
}

type Call = Box<dyn FnOnce(&mut Peer, Instant) + Send>;

enum Command {
    Call(Call),
    /// Protects and sends a packet.
    Rtp(Vec<u8>),
}

pub struct Server {
    commands: mpsc::Sender<Command>,
    seen: events::UnboundedReceiver<Seen>,
    backlog: Vec<Seen>,
}

impl Server {
    pub fn start() -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let (udp_address, tcp_address) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let certificate = Certificate::generate().unwrap();
        let config = PeerConfig {
            local_candidates: Arc::new([
                LocalCandidate { protocol: Protocol::Udp, address: udp_address },
                LocalCandidate { protocol: Protocol::Tcp, address: tcp_address },
            ]),
            dtls: Arc::new(Context::new(&certificate, Config::default()).unwrap()),
            sdp: Arc::new(SessionConfig::default()),
            sctp: SctpLimits::default(),
            limits: PeerLimits::default(),
            ufrag_tag: None,
        };
        let (commands, inbox) = mpsc::channel();
        let (outbox, seen) = events::unbounded_channel();
        std::thread::spawn(move || {
            let peer = Peer::new(Arc::new(config), [5; 32], Instant::now());
            let sockets = Sockets { udp, udp_address, tcp, tcp_address, streams: HashMap::new() };
            Worker { peer, sockets, outbox }.run(&inbox);
        });
        Server { commands, seen, backlog: Vec::new() }
    }

    /// Runs something on the peer's thread.
    pub async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Peer, Instant) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = oneshot::channel();
        let call = move |peer: &mut Peer, now| {
            let _ = answer.send(f(peer, now));
        };
        self.commands.send(Command::Call(Box::new(call))).unwrap();
        answered.await.unwrap()
    }

    pub fn send_rtp(&self, packet: Vec<u8>) {
        self.commands.send(Command::Rtp(packet)).unwrap();
    }

    /// Waits until something was seen that `pick` wants. What it doesn't want is kept for later.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Seen) -> Option<T>) -> T {
        for at in 0..self.backlog.len() {
            if let Some(picked) = pick(&self.backlog[at]) {
                self.backlog.remove(at);
                return picked;
            }
        }
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let next = tokio::time::timeout_at(deadline, self.seen.recv()).await;
            let Ok(Some(seen)) = next else {
                panic!("the server did not see {what}; it saw {:?}", self.backlog)
            };
            if let Some(picked) = pick(&seen) {
                return picked;
            }
            self.backlog.push(seen);
        }
    }

    pub async fn wait_event<T>(&mut self, what: &str, mut pick: impl FnMut(&PeerEvent) -> Option<T>) -> T {
        self.wait(what, |seen| if let Seen::Event(event) = seen { pick(event) } else { None }).await
    }
}

struct Worker {
    peer: Peer,
    sockets: Sockets,
    outbox: events::UnboundedSender<Seen>,
}

impl Worker {
    /// Until the test drops its end.
    fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(Command::Call(f)) => f(&mut self.peer, Instant::now()),
                    Ok(Command::Rtp(packet)) => self.send_rtp(&packet),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
                self.drain();
            }
            let now = Instant::now();
            if self.peer.poll_timeout().is_some_and(|at| at <= now) {
                self.peer.handle_timeout(now);
            }
            for (path, mut datagram) in self.sockets.receive() {
                match self.peer.handle_datagram(Instant::now(), path, &mut datagram) {
                    Received::Rtp { len } => self.tell(Seen::Rtp(datagram[..len].to_vec())),
                    Received::Rtcp { len } => self.tell(Seen::Rtcp(datagram[..len].to_vec())),
                    Received::Handled | Received::Dropped(_) => {}
                }
                self.drain();
            }
            self.drain();
        }
    }

    /// Tells what happened, and sends data channel messages back as they came.
    fn drain(&mut self) {
        while let Some(event) = self.peer.poll_event() {
            if let PeerEvent::ChannelMessage { channel, text, payload } = &event {
                let now = Instant::now();
                let sent = match std::str::from_utf8(payload) {
                    Ok(words) if *text => self.peer.send_text(now, *channel, words),
                    _ => self.peer.send(now, *channel, payload),
                };
                sent.unwrap();
            }
            self.tell(Seen::Event(event));
        }
        while let Some((path, datagram)) = self.peer.poll_transmit() {
            self.sockets.send(path, &datagram);
        }
    }

    fn send_rtp(&mut self, packet: &[u8]) {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len() + 32, 0);
        let len = self.peer.protect_rtp(&mut buffer, packet.len()).expect("there are keys");
        self.sockets.send(self.peer.send_path().expect("there is a path"), &buffer[..len]);
    }

    fn tell(&self, seen: Seen) {
        let _ = self.outbox.send(seen);
    }
}

struct Sockets {
    udp: UdpSocket,
    udp_address: SocketAddr,
    tcp: TcpListener,
    tcp_address: SocketAddr,
    streams: HashMap<SocketAddr, (TcpStream, Deframer)>,
}

impl Sockets {
    fn receive(&mut self) -> Vec<(Path, Vec<u8>)> {
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        // Waits a millisecond for the first one.
        while let Ok((len, remote)) = self.udp.recv_from(&mut buffer) {
            received.push((
                Path { protocol: Protocol::Udp, local: self.udp_address, remote },
                buffer[..len].to_vec(),
            ));
            if received.len() == 16 {
                break;
            }
        }
        if let Ok((stream, remote)) = self.tcp.accept() {
            stream.set_nonblocking(true).unwrap();
            stream.set_nodelay(true).unwrap();
            self.streams.insert(remote, (stream, Deframer::new(4096)));
        }
        for (&remote, (stream, deframer)) in &mut self.streams {
            let path = Path { protocol: Protocol::Tcp, local: self.tcp_address, remote };
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                deframer.feed(&buffer[..len], |frame| received.push((path, frame.to_vec()))).unwrap();
            }
        }
        received
    }

    fn send(&mut self, path: Path, datagram: &[u8]) {
        match path.protocol {
            Protocol::Udp => {
                let _ = self.udp.send_to(datagram, path.remote);
            }
            Protocol::Tcp => {
                let Some((stream, _)) = self.streams.get_mut(&path.remote) else { return };
                let mut wire = Vec::new();
                frame(datagram, &mut wire).unwrap();
                let mut rest = &wire[..];
                while !rest.is_empty() {
                    match stream.write(rest) {
                        Ok(len) => rest = &rest[len..],
                        Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                        Err(_) => return,
                    }
                }
            }
        }
    }
}
