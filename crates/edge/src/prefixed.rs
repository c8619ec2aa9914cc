// SPDX-License-Identifier: EUPL-1.2
//! A byte stream whose first bytes were read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives `prefix`, then what the stream has.
pub(crate) struct Prefixed<S> {
    prefix: Vec<u8>,
    given: usize,
    stream: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(prefix: Vec<u8>, stream: S) -> Self {
        Prefixed { prefix, given: 0, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given < self.prefix.len() {
            let count = (self.prefix.len() - self.given).min(buffer.remaining());
            buffer.put_slice(&self.prefix[self.given..self.given + count]);
            self.given += count;
            return Poll::Ready(Ok(()));
        }
        self.prefix = Vec::new();
        self.given = 0;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_read_comes_first_and_nothing_twice() {
        let (mut far, near) = tokio::io::duplex(64);
        far.write_all(b" and the rest").await.unwrap();
        drop(far);
        let mut prefixed = Prefixed::new(b"what was read".to_vec(), near);
        let mut all = String::new();
        let mut piece = [0; 5];
        loop {
            let count = prefixed.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            all.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        assert_eq!(all, "what was read and the rest");
    }
}
