// SPDX-License-Identifier: EUPL-1.2
//! How many processors nobody but the makers of films wants (proc(5), `/proc/stat`).

use std::time::{Duration, Instant};

/// What is measured over less says nothing.
const LEAST: Duration = Duration::from_millis(500);

/// Looks again and again.
#[derive(Debug)]
pub(super) struct Idle {
    cores: usize,
    before: Option<(Instant, Taken)>,
    found: usize,
}

/// What was taken of all processors since the machine started, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    /// By whoever does not yield.
    others: u64,
    all: u64,
}

impl Idle {
    pub(super) fn new() -> Idle {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Idle { cores, before: None, found: 1 }
    }

    /// So many, and one at least; one, too, until it is known.
    pub(super) fn cores(&mut self) -> usize {
        let now = Instant::now();
        let since = self.before.as_ref().map(|(since, _)| now.duration_since(*since));
        if since.is_some_and(|since| since < LEAST) {
            return self.found;
        }
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let Some(taken) = taken(&stat) else { return self.found };
        if let Some((_, before)) = self.before.replace((now, taken)) {
            self.found = free(self.cores, before, taken);
        }
        self.found
    }
}

/// How many of so many processors were left between two looks.
fn free(cores: usize, before: Taken, now: Taken) -> usize {
    let all = now.all.saturating_sub(before.all).max(1) as f64;
    let others = now.others.saturating_sub(before.others) as f64;
    let left = cores as f64 * (1.0 - others / all);
    (left.round().max(1.0) as usize).min(cores.max(1))
}

/// The first line counts for all processors: user, nice, system, idle, iowait, irq, softirq, steal. Whoever yields is "nice".
fn taken(stat: &str) -> Option<Taken> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
    let &[user, _nice, system, _idle, _iowait, irq, softirq, steal] = ticks.as_slice() else { return None };
    Some(Taken { others: user + system + irq + softirq + steal, all: ticks.iter().sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_is_not_ours_and_what_yields_is_nobodys() {
        let before = taken("cpu  100 50 20 1000 10 1 2 3 0 0\ncpu0 1 2 3").unwrap();
        assert_eq!(before, Taken { others: 126, all: 1186 });
        // In 400 ticks of four processors.
        let after = |others, nice, idle| {
            taken(&format!("cpu  {} {} 20 {} 10 1 2 3 0 0", 100 + others, 50 + nice, 1000 + idle)).unwrap()
        };
        assert_eq!(free(4, before, after(0, 0, 400)), 4);
        assert_eq!(free(4, before, after(0, 400, 0)), 4, "films give way, and so do not count");
        assert_eq!(free(4, before, after(210, 190, 0)), 2);
        assert_eq!(free(4, before, after(400, 0, 0)), 1, "one goes on, slowly");
        assert_eq!(free(4, before, before), 4);
        assert_eq!((taken(""), taken("cpu  1 2 3"), taken("intr 5")), (None, None, None));
        let mut idle = Idle::new();
        assert_eq!(idle.cores(), 1, "nothing is known yet");
    }
}
