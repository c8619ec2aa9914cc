// SPDX-License-Identifier: EUPL-1.2
//! One WebSocket: what comes goes to the room, or to whoever it is for, and what is said there goes out, within deadlines
//! and bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use parvis_signal::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::ConnectionLimits;
use crate::metrics::Metrics;
use crate::rooms::{Attached, Input};

/// Close codes (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const POLICY: u16 = 1008;
const TOO_BIG: u16 = 1009;

/// How long a client may take to say that it has read our Close frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes read at a time. The library's 128 KiB stay with every socket, most of which are idle; a larger message grows it.
const READ_BYTES: usize = 4096;

/// A socket whose messages have no more than `max` bytes.
pub(crate) fn bounded(upgrade: WebSocketUpgrade, max: usize) -> WebSocketUpgrade {
    upgrade.read_buffer_size(READ_BYTES).max_message_size(max).max_frame_size(max)
}

/// The room's end of a socket's queue.
pub(crate) struct Outgoing {
    queue: mpsc::Sender<Out>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// The socket's end.
pub(crate) struct Outbound {
    queue: mpsc::Receiver<Out>,
    bytes: Arc<AtomicUsize>,
}

enum Out {
    Frame(Frame),
    Close { code: u16, reason: String },
}

/// The queue of one socket, bounded in messages and in bytes.
pub(crate) fn queue(limits: &ConnectionLimits) -> (Outgoing, Outbound) {
    let (sender, receiver) = mpsc::channel(limits.write_queue.max(1));
    let bytes = Arc::<AtomicUsize>::default();
    let outgoing = Outgoing { queue: sender, bytes: Arc::clone(&bytes), max_bytes: limits.write_queue_bytes };
    (outgoing, Outbound { queue: receiver, bytes })
}

impl Outgoing {
    /// Queues a message; `false` when the reader is too slow, or gone.
    pub(crate) fn send(&self, frame: Frame) -> bool {
        let size = size_of_frame(&frame);
        if self.bytes.load(Ordering::Relaxed) + size > self.max_bytes {
            return false;
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.queue.try_send(Out::Frame(frame)).is_ok()
    }

    /// Asks for an orderly end after what waits.
    pub(crate) fn close(self, code: u16, reason: String) {
        // When it can't be queued, the end of the queue closes the socket too.
        let _ = self.queue.try_send(Out::Close { code, reason });
    }
}

fn size_of_frame(frame: &Frame) -> usize {
    match frame {
        Frame::Binary(bytes) => bytes.len(),
        Frame::Text(text) => text.len(),
    }
}

/// Who hears what comes. Dropping it tells that nothing comes any more.
pub(crate) trait Receiver: Send + Sync {
    /// Hands over a message, and waits while it can't be taken; `false` when nobody wants to hear more.
    fn receive(&self, frame: Frame) -> impl Future<Output = bool> + Send;
}

impl Receiver for Attached {
    async fn receive(&self, frame: Frame) -> bool {
        self.send(Input::Message(self.id(), frame)).await
    }
}

/// Serves a socket until either side ends it.
pub(crate) async fn serve(
    socket: WebSocket,
    receiver: impl Receiver,
    outbound: Outbound,
    limits: ConnectionLimits,
    metrics: Metrics,
    ping: Option<Duration>,
) {
    metrics.sockets.inc();
    let (sink, mut stream) = socket.split();
    let mut writer = Writer { sink, limit: limits.write, ping };
    let close = {
        let write = write(&mut writer, outbound);
        let read = read(&mut stream, &receiver, &limits);
        tokio::select! {
            closed = write => closed,
            closed = read => closed,
        }
    };
    // Whoever hears the client need not wait for the farewell.
    drop(receiver);
    if let Some(close) = close {
        metrics.sockets_closed.with_label_values(&[close.cause]).inc();
        writer.close(close.code, close.reason).await;
    }
    farewell(stream).await;
    metrics.sockets.dec();
}

/// Reads to the end what nobody hears any more. It is reading that answers a client's own Close frame, and what was left unread
/// would reset the connection and take ours away with it: either way the client would think that its line broke.
async fn farewell(mut stream: SplitStream<WebSocket>) {
    let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = stream.next().await {} }).await;
}

/// How a socket ends when it is we who end it.
struct Close {
    code: u16,
    reason: String,
    cause: &'static str,
}

impl Close {
    fn new(code: u16, reason: &str, cause: &'static str) -> Option<Close> {
        Some(Close { code, reason: reason.to_owned(), cause })
    }
}

struct Writer {
    sink: SplitSink<WebSocket, Message>,
    limit: Duration,
    /// How often a client that says nothing by itself is asked whether it is there.
    ping: Option<Duration>,
}

impl Writer {
    async fn send(&mut self, message: Message) -> bool {
        matches!(timeout(self.limit, self.sink.send(message)).await, Ok(Ok(())))
    }

    async fn close(&mut self, code: u16, reason: String) {
        let frame = CloseFrame { code, reason: reason.into() };
        self.send(Message::Close(Some(frame))).await;
    }
}

/// Sends what the room says; `None` when the client is gone.
async fn write(writer: &mut Writer, mut outbound: Outbound) -> Option<Close> {
    loop {
        let ping = writer.ping;
        let out = tokio::select! {
            out = outbound.queue.recv() => out,
            () = async { tokio::time::sleep(ping.unwrap_or(Duration::MAX)).await }, if ping.is_some() => {
                if !writer.send(Message::Ping(Bytes::new())).await {
                    return None;
                }
                continue;
            }
        };
        let Some(out) = out else { break };
        let frame = match out {
            Out::Frame(frame) => frame,
            Out::Close { code, reason } => return Some(Close { code, reason, cause: "room" }),
        };
        let size = size_of_frame(&frame);
        let message = match frame {
            Frame::Binary(bytes) => Message::Binary(bytes),
            Frame::Text(text) => Message::Text(text.into()),
        };
        let sent = writer.send(message).await;
        outbound.bytes.fetch_sub(size, Ordering::Relaxed);
        if !sent {
            return None;
        }
    }
    // The room let go of us without a word: it is gone, or we were too slow for it.
    Close::new(GOING_AWAY, "connect anew", "let go")
}

/// Hands on what comes; `None` when the client ended it.
async fn read(
    stream: &mut SplitStream<WebSocket>,
    receiver: &impl Receiver,
    limits: &ConnectionLimits,
) -> Option<Close> {
    let mut deadline = Instant::now() + limits.first_message;
    loop {
        let message = match timeout_at(deadline, stream.next()).await {
            Err(_) => return Close::new(POLICY, "silent for too long", "silent"),
            Ok(None) => return None,
            Ok(Some(Err(error))) => return close_for(error),
            Ok(Some(Ok(message))) => message,
        };
        deadline = Instant::now() + limits.idle;
        let frame = match message {
            Message::Binary(bytes) => Frame::Binary(bytes),
            Message::Text(text) => Frame::Text(text.as_str().to_owned()),
            // Pings are answered below us.
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return None,
        };
        // Whoever can't keep up slows down those who send, by not reading.
        if !receiver.receive(frame).await {
            return Close::new(GOING_AWAY, "connect anew", "not heard");
        }
    }
}

fn close_for(error: axum::Error) -> Option<Close> {
    use tungstenite::Error;
    let inner = error.into_inner();
    match inner.downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => Close::new(TOO_BIG, "the message is too large", "too large"),
        Some(Error::Protocol(_) | Error::Utf8(_)) => {
            Close::new(PROTOCOL_ERROR, "not a WebSocket message", "malformed")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_slow_reader_is_bounded_in_number_and_in_bytes() {
        let limits = |write_queue, write_queue_bytes| ConnectionLimits {
            write_queue,
            write_queue_bytes,
            ..ConnectionLimits::default()
        };
        let frame = || Frame::Binary(vec![0; 1_000].into());
        let (outgoing, _end) = queue(&limits(10, 1 << 20));
        assert_eq!((0..100).take_while(|_| outgoing.send(frame())).count(), 10);
        let (outgoing, _end) = queue(&limits(1_000, 5_500));
        assert_eq!((0..100).take_while(|_| outgoing.send(frame())).count(), 5);
    }
}
