// SPDX-License-Identifier: EUPL-1.2
//! A file on its way out, whole or a part of it (RFC 9110 section 14).

use std::io::SeekFrom;
use std::path::Path;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use nix::fcntl::OFlag;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// Bytes read at once, for each of those who fetch.
const CHUNK_BYTES: usize = 64 << 10;

/// What is asked for of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first byte to the last, both in it.
    Bytes(u64, u64),
    /// None that there is.
    Beyond,
}

/// Answers with a file, under a name of visible ASCII characters. `None`: it is not there, or no file.
pub(super) async fn send(path: &Path, name: &str, headers: &HeaderMap) -> Option<Response> {
    // A link in its place is not followed.
    let mut file =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).await.ok()?;
    let metadata = file.metadata().await.ok().filter(|metadata| metadata.is_file())?;
    let size = metadata.len();
    let part = part(headers.get(RANGE), size);
    let (status, first, length) = match part {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Bytes(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    file.seek(SeekFrom::Start(first)).await.ok()?;
    let mut response = Body::from_stream(chunks(file, length)).into_response();
    *response.status_mut() = status;
    let range = match part {
        Part::Whole => None,
        Part::Bytes(first, last) => Some(format!("bytes {first}-{last}/{size}")),
        Part::Beyond => Some(format!("bytes */{size}")),
    };
    let text = |text: String| HeaderValue::from_str(&text).ok();
    for (header, value) in [
        (CONTENT_LENGTH, text(length.to_string())),
        (CONTENT_RANGE, range.and_then(text)),
        (ACCEPT_RANGES, Some(HeaderValue::from_static("bytes"))),
        (CONTENT_TYPE, Some(HeaderValue::from_static("application/octet-stream"))),
        (CONTENT_DISPOSITION, text(format!("attachment; filename=\"{name}\""))),
        (CACHE_CONTROL, Some(HeaderValue::from_static("no-store"))),
        (X_CONTENT_TYPE_OPTIONS, Some(HeaderValue::from_static("nosniff"))),
        (CONTENT_SECURITY_POLICY, Some(HeaderValue::from_static("default-src 'none'; sandbox"))),
    ] {
        if let Some(value) = value {
            response.headers_mut().insert(header, value);
        }
    }
    Some(response)
}

/// A part of a file, piece by piece.
fn chunks(file: File, length: u64) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold((file, length), |(mut file, left)| async move {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        if size == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; size];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            // It became shorter meanwhile: the connection ends early, so that nobody takes it for whole.
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(read);
        Ok(Some((Bytes::from(chunk), (file, left - read as u64))))
    })
}

/// What a `Range` asks for. One that can't be read, or asks for several parts, asks for nothing (section 14.2).
fn part(range: Option<&HeaderValue>, size: u64) -> Part {
    let read = || {
        let (first, last) = range?.to_str().ok()?.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        Some(match (first.trim().is_empty(), last.trim().is_empty()) {
            (true, true) => return None,
            (true, false) => match number(last)? {
                0 => Part::Beyond,
                _ if size == 0 => Part::Beyond,
                suffix => Part::Bytes(size.saturating_sub(suffix), size - 1),
            },
            (false, open) => {
                let first = number(first)?;
                let last = if open { u64::MAX } else { number(last)? };
                if last < first {
                    return None;
                }
                if first >= size { Part::Beyond } else { Part::Bytes(first, last.min(size - 1)) }
            }
        })
    };
    read().unwrap_or(Part::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_and_nonsense_is_none() {
        let asked = |range: &'static str| part(Some(&HeaderValue::from_static(range)), 100);
        assert_eq!(asked("bytes=0-9"), Part::Bytes(0, 9));
        assert_eq!(asked("bytes=90-"), Part::Bytes(90, 99));
        assert_eq!(asked("bytes=90-500"), Part::Bytes(90, 99));
        assert_eq!(asked("bytes=-10"), Part::Bytes(90, 99));
        assert_eq!(asked("bytes=-500"), Part::Bytes(0, 99));
        assert_eq!(asked("bytes=100-"), Part::Beyond);
        assert_eq!(asked("bytes=-0"), Part::Beyond);
        for nonsense in ["bytes=9-0", "bytes=a-b", "bytes=0-9,20-29", "items=0-9", "bytes=-", "bytes=5"] {
            assert_eq!(asked(nonsense), Part::Whole, "{nonsense}");
        }
        assert_eq!(part(Some(&HeaderValue::from_static("bytes=0-")), 0), Part::Beyond);
        assert_eq!(part(None, 100), Part::Whole);
    }
}
