// SPDX-License-Identifier: EUPL-1.2
//! One client over a byte stream, with TLS or without.

use std::sync::Arc;
use std::time::Duration;

use parvis_api::{ByteStream, Place};
use parvis_turn::Client;
use parvis_turn::stream::Deframer;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;

/// The longest message: a packet of 1,500 bytes with what TURN adds to it.
pub(crate) const MAX_MESSAGE_BYTES: usize = 2_048;
/// What a browser sends in 50 ms at 2.5 Mbit/s.
const READ_BUFFER_BYTES: usize = 16 << 10;
/// What is gathered before it is written: one TLS record.
const WRITE_BUFFER_BYTES: usize = 16 << 10;
/// How long a client may take to read anything.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Beyond the time of an allocation: its client refreshes it, or it ends.
const GRACE: Duration = Duration::from_secs(30);

/// Serves until either side ends it.
pub(super) async fn serve(shared: &Arc<Shared>, stream: Box<dyn ByteStream>, client: Client, place: &Place) {
    let (sender, receiver) = mpsc::channel(shared.config.write_queue.max(1));
    shared.state().streams.insert(client, sender);
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        () = read(shared, reader, client, place) => {}
        () = write(writer, receiver) => {}
    }
    let mut state = shared.state();
    state.streams.remove(&client);
    state.server.disconnected(client);
    state.close_ended();
}

async fn read(
    shared: &Arc<Shared>,
    mut reader: ReadHalf<Box<dyn ByteStream>>,
    client: Client,
    place: &Place,
) {
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    let mut deframer = Deframer::new(MAX_MESSAGE_BYTES);
    // Whatever a client without an allocation sends, its time goes on.
    let mut to_allocate = Instant::now() + shared.config.first_allocation;
    loop {
        let mut deadline = to_allocate;
        if shared.state().server.has_allocation(client) {
            place.keep();
            deadline = Instant::now() + shared.config.turn.max_lifetime + GRACE;
            to_allocate = Instant::now() + shared.config.first_allocation;
        }
        let Ok(Ok(count @ 1..)) = timeout_at(deadline, reader.read(&mut buffer)).await else { return };
        let fed = deframer.feed(&buffer[..count], |message| shared.handle_client(client, message));
        if fed.is_err() {
            return;
        }
    }
}

async fn write(mut writer: WriteHalf<Box<dyn ByteStream>>, mut receiver: mpsc::Receiver<Vec<u8>>) {
    let mut buffer = Vec::with_capacity(WRITE_BUFFER_BYTES);
    while let Some(message) = receiver.recv().await {
        buffer.clear();
        buffer.extend_from_slice(&message);
        while buffer.len() < WRITE_BUFFER_BYTES {
            let Ok(message) = receiver.try_recv() else { break };
            buffer.extend_from_slice(&message);
        }
        let written = async {
            writer.write_all(&buffer).await?;
            writer.flush().await
        };
        if !matches!(timeout(WRITE_TIMEOUT, written).await, Ok(Ok(()))) {
            return;
        }
    }
}
