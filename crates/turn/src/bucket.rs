// SPDX-License-Identifier: EUPL-1.2
//! How much may be relayed: a token bucket of bytes.

use std::time::Instant;

/// What may come at once, as a share of a second: a picture of 4 Mbit/s in one burst is an eighth of one.
const BURST_SECONDS: f64 = 0.25;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    bytes_per_second: f64,
    bytes: f64,
    filled: Option<Instant>,
}

impl Bucket {
    pub(crate) fn new(bits_per_second: u64) -> Bucket {
        let bytes_per_second = bits_per_second as f64 / 8.0;
        Bucket { bytes_per_second, bytes: bytes_per_second * BURST_SECONDS, filled: None }
    }

    /// Takes so many bytes, if they are there.
    pub(crate) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        if let Some(filled) = self.filled {
            let passed = now.saturating_duration_since(filled).as_secs_f64();
            let most = self.bytes_per_second * BURST_SECONDS;
            self.bytes = (self.bytes + passed * self.bytes_per_second).min(most);
        }
        self.filled = Some(now);
        let fits = self.bytes >= bytes as f64;
        if fits {
            self.bytes -= bytes as f64;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::new(80_000);
        let taken = |bucket: &mut Bucket, at| (0..1_000).filter(|_| bucket.take(at, 100)).count();
        assert_eq!(taken(&mut bucket, now), 25, "a quarter of 10,000 bytes");
        assert_eq!(taken(&mut bucket, now + Duration::from_millis(100)), 10);
        assert_eq!(taken(&mut bucket, now + Duration::from_secs(60)), 25, "and never more than the burst");
    }
}
