// SPDX-License-Identifier: EUPL-1.2
//! What holds a process that pushes: strangers are at the other end of its connection, and libraries of others read what they
//! say.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use nix::libc;
use parvis_jobs::{Confinement, PushProtocol, PushTarget};
use seccompiler::SeccompAction;

use crate::confine::{Bounds, apply, filter, forbidden, hold_by, limit};

/// What is read: libraries and plugins, certificates, how names are resolved, and the clock's zone.
const READ: &[&str] = &[
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ld.so.cache",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/run/systemd/resolve",
    "/proc/sys/net",
    "/proc/net",
    "/dev/urandom",
    "/dev/null",
];
/// Calls that a composer must not make, and whoever speaks with a target must.
const NETWORK: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
];
/// Where names are asked for when the answer is long.
const DNS: u16 = 53;
/// Open files.
const FILES: u64 = 256;

pub(super) fn confine(target: &PushTarget, memory_bytes: u64) -> Confinement {
    // Landlock holds the thread that asks and those that it starts, and no others.
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        let missing = vec![format!("threads: there are {threads} already, which would stay free")];
        return Confinement { seccomp: false, landlock: false, no_new_privileges: false, missing };
    }
    let bounds = Bounds { memory_bytes, files: FILES };
    hold_by(limit(bounds, &[]), &|| restrict(target), &calls)
}

fn restrict(target: &PushTarget) -> Result<RulesetStatus, Box<dyn std::error::Error>> {
    const NEWEST: ABI = ABI::V6;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in READ.iter().map(Path::new).filter(|path| path.exists()) {
        let access = if path.is_dir() { read } else { read & AccessFs::from_file(NEWEST) };
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
    }
    ruleset = ruleset.add_rule(NetPort::new(DNS, AccessNet::ConnectTcp))?;
    if target.protocol != PushProtocol::Srt {
        ruleset = ruleset.add_rule(NetPort::new(target.port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

fn calls() -> Result<(), Box<dyn std::error::Error>> {
    // Callers of clone3 fall back to clone, whose flags a filter can see.
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    apply(&filter([(libc::SYS_clone3, Vec::new())].into(), SeccompAction::Allow, unknown)?)?;
    let mut rules = forbidden()?;
    NETWORK.iter().for_each(|call| drop(rules.remove(call)));
    apply(&filter(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM.unsigned_abs()))?)
}
