// SPDX-License-Identifier: EUPL-1.2
//! What a thread has used, and on which core it runs.

use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, gettid};

use crate::Error;

/// What a thread has used up to some moment.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Processor time, from its own clock.
    pub time: Duration,
    /// The kernel's own count of ticks, in user space and in the kernel: only their ratio is of use.
    pub ticks: (u64, u64),
}

/// The thread's id, by which others measure it.
pub fn this_thread() -> i32 {
    gettid().as_raw()
}

/// The thread of ours that bears this name.
pub fn thread_named(name: &str) -> Result<i32, Error> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        let comm = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if comm.trim_end() == name {
            return Ok(task.file_name().to_string_lossy().parse()?);
        }
    }
    Err(format!("there is no thread {name}").into())
}

/// What a thread of this process has used so far.
pub fn used(thread: i32) -> Result<Used, Error> {
    // The kernel's MAKE_THREAD_CPUCLOCK: the id's complement, the bit for a thread, CPUCLOCK_SCHED.
    let clock = ClockId::from_raw((!thread << 3) | 4 | 2);
    let time = Duration::from(clock_gettime(clock)?);
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"))?;
    // Behind the name, which may hold anything: state is field 3, utime 14, stime 15.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let tick = |field: usize| fields.get(field - 3).and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Used { time, ticks: (tick(14), tick(15)) })
}

/// Keeps this thread on the core number `place` of those that the process may use, counted anew from the first.
pub fn pin(place: usize) -> Result<(), Error> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let cores: Vec<usize> =
        (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    let mut only = CpuSet::new();
    only.set(*cores.get(place % cores.len().max(1)).ok_or("no core")?)?;
    Ok(sched_setaffinity(this, &only)?)
}
