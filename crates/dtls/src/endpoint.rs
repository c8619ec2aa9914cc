// SPDX-License-Identifier: EUPL-1.2
//! An endpoint on BoringSSL.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::Arc,
    time::Instant,
};

use boring::ssl::{ErrorCode, Ssl, SslStream};

use crate::{Connected, Endpoint, Error, Event, Limits, Role, SrtpProfile, context::fingerprint_failed, ffi};

/// Datagrams that wait to be fetched; what comes on top is dropped, as any network may. One call produces at most
/// one flight (two or three datagrams) or one record.
const MAX_OUTGOING_DATAGRAMS: usize = 64;

/// The label of RFC 5764 section 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";

pub(crate) struct BoringEndpoint {
    stream: SslStream<Wire>,
    role: Role,
    phase: Phase,
    limits: Limits,
    refused_ciphers: Arc<[String]>,
    received_bytes: usize,
    received_datagrams: usize,
    /// When the endpoint was made; BoringSSL's clock counts from here.
    start: Instant,
    timer: Option<Instant>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshake,
    Connected,
    Closed,
}

impl BoringEndpoint {
    pub(crate) fn new(
        ssl: Ssl,
        role: Role,
        limits: Limits,
        refused_ciphers: Arc<[String]>,
        now: Instant,
    ) -> Result<Self, Error> {
        let stream = SslStream::new(ssl, Wire::default())
            .map_err(|error| Error::Setup { step: "making an endpoint", reason: error.to_string() })?;
        let mut endpoint = BoringEndpoint {
            stream,
            role,
            phase: Phase::Handshake,
            limits,
            refused_ciphers,
            received_bytes: 0,
            received_datagrams: 0,
            start: now,
            timer: None,
            events: VecDeque::new(),
        };
        endpoint.advance(now, 0)?;
        Ok(endpoint)
    }

    fn handshake_deadline(&self) -> Instant {
        self.start + self.limits.handshake_time
    }

    /// Drives BoringSSL as far as the datagram at hand (of `len` bytes) leads, then reads its timers.
    fn advance(&mut self, now: Instant, len: usize) -> Result<(), Error> {
        ffi::set_clock(self.start, now);
        if self.phase == Phase::Handshake {
            self.handshake()?;
        }
        if self.phase == Phase::Connected {
            self.read(len)?;
        }
        self.read_timer(now);
        Ok(())
    }

    fn handshake(&mut self) -> Result<(), Error> {
        let step = match self.role {
            Role::Server => self.stream.accept(),
            Role::Client => self.stream.connect(),
        };
        match step {
            Ok(()) => self.finish(),
            Err(error) if error.code() == ErrorCode::WANT_READ => Ok(()),
            Err(_) if fingerprint_failed(self.stream.ssl()) => Err(self.fail(Error::Fingerprint)),
            Err(error) => Err(self.fail(Error::Handshake(reason(&error)))),
        }
    }

    fn finish(&mut self) -> Result<(), Error> {
        let ssl = self.stream.ssl();
        let profile = ssl
            .selected_srtp_profile()
            .and_then(|profile| SrtpProfile::from_id(u16::try_from(profile.id().as_raw()).ok()?));
        let Some(srtp_profile) = profile else { return Err(self.fail(Error::NoSrtpProfile)) };
        let cipher = ssl.current_cipher().and_then(|cipher| cipher.standard_name()).unwrap_or("").to_owned();
        if self.refused_ciphers.iter().any(|refused| cipher.contains(refused)) {
            return Err(self.fail(Error::Cipher(cipher)));
        }
        let mut keying_material = vec![0; srtp_profile.keying_len()];
        if let Err(error) = ssl.export_keying_material(&mut keying_material, EXPORTER_LABEL, None) {
            return Err(self.fail(Error::Handshake(error.to_string())));
        }
        let connected = Connected {
            srtp_profile,
            keying_material,
            version: ssl.version_str().to_owned(),
            cipher,
            group: ssl.curve().unwrap_or(0),
        };
        self.phase = Phase::Connected;
        self.events.push_back(Event::Connected(Box::new(connected)));
        Ok(())
    }

    /// Reads the records of one datagram. No plaintext is longer than the datagram that it came in.
    fn read(&mut self, len: usize) -> Result<(), Error> {
        let mut buffer = vec![0; len.max(1)];
        loop {
            match self.stream.ssl_read(&mut buffer) {
                Ok(read) => self.events.push_back(Event::Data(buffer[..read].to_vec())),
                Err(error) if error.code() == ErrorCode::WANT_READ => return Ok(()),
                Err(error) if error.code() == ErrorCode::ZERO_RETURN => {
                    self.phase = Phase::Closed;
                    self.events.push_back(Event::Closed);
                    return Ok(());
                }
                Err(error) => return Err(self.fail(Error::Broken(reason(&error)))),
            }
        }
    }

    fn read_timer(&mut self, now: Instant) {
        self.timer = match self.phase {
            Phase::Closed => None,
            _ => ffi::time_left(self.stream.ssl()).map(|left| now + left),
        };
    }

    fn fail(&mut self, error: Error) -> Error {
        self.phase = Phase::Closed;
        self.timer = None;
        error
    }
}

impl Endpoint for BoringEndpoint {
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error> {
        match self.phase {
            Phase::Closed => return Err(Error::Closed),
            Phase::Handshake => {
                self.received_bytes += datagram.len();
                self.received_datagrams += 1;
                let Limits { handshake_bytes, handshake_datagrams, handshake_time } = self.limits;
                if self.received_bytes > handshake_bytes {
                    return Err(self.fail(Error::HandshakeSize { limit: handshake_bytes, unit: "bytes" }));
                }
                if self.received_datagrams > handshake_datagrams {
                    let error = Error::HandshakeSize { limit: handshake_datagrams, unit: "datagrams" };
                    return Err(self.fail(error));
                }
                if now >= self.handshake_deadline() {
                    return Err(self.fail(Error::HandshakeTime { limit: handshake_time }));
                }
            }
            Phase::Connected => {}
        }
        self.stream.get_mut().offer(datagram);
        self.advance(now, datagram.len())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.phase == Phase::Closed {
            return Ok(());
        }
        if self.phase == Phase::Handshake && now >= self.handshake_deadline() {
            return Err(self.fail(Error::HandshakeTime { limit: self.limits.handshake_time }));
        }
        ffi::set_clock(self.start, now);
        if let Err(stack) = ffi::handle_timeout(self.stream.ssl_mut()) {
            let error = match self.phase {
                Phase::Handshake => Error::Handshake(stack.to_string()),
                _ => Error::Broken(stack.to_string()),
            };
            return Err(self.fail(error));
        }
        self.read_timer(now);
        Ok(())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Handshake => {
                Some(self.timer.map_or(self.handshake_deadline(), |at| at.min(self.handshake_deadline())))
            }
            _ => self.timer,
        }
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().outgoing.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Error> {
        match self.phase {
            Phase::Handshake => return Err(Error::NotConnected),
            Phase::Closed => return Err(Error::Closed),
            Phase::Connected => {}
        }
        ffi::set_clock(self.start, now);
        let written = self.stream.ssl_write(data);
        self.read_timer(now);
        written.map(|_| ()).map_err(|error| self.fail(Error::Broken(reason(&error))))
    }

    fn close(&mut self, now: Instant) {
        if self.phase == Phase::Connected {
            ffi::set_clock(self.start, now);
            // Best effort: the alert is in the queue, or the peer finds out by consent.
            let _ = self.stream.shutdown();
        }
        self.phase = Phase::Closed;
        self.timer = None;
    }
}

/// BoringSSL's own words, with the data that it attached.
fn reason(error: &boring::ssl::Error) -> String {
    let Some(stack) = error.ssl_error() else { return error.to_string() };
    let mut reasons = Vec::new();
    for entry in stack.errors() {
        let reason = entry.reason().unwrap_or("unknown reason");
        match entry.data() {
            Some(data) => reasons.push(format!("{reason} ({data})")),
            None => reasons.push(reason.to_owned()),
        }
    }
    if reasons.is_empty() { error.to_string() } else { reasons.join(", ") }
}

/// What BoringSSL takes for its socket: one datagram in, any number out.
#[derive(Debug, Default)]
struct Wire {
    incoming: Vec<u8>,
    waiting: bool,
    outgoing: VecDeque<Vec<u8>>,
}

impl Wire {
    fn offer(&mut self, datagram: &[u8]) {
        self.incoming.clear();
        self.incoming.extend_from_slice(datagram);
        self.waiting = true;
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.waiting {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.waiting = false;
        let len = self.incoming.len().min(buffer.len());
        buffer[..len].copy_from_slice(&self.incoming[..len]);
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.outgoing.len() < MAX_OUTGOING_DATAGRAMS {
            self.outgoing.push_back(datagram.to_vec());
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
