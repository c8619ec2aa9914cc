// SPDX-License-Identifier: EUPL-1.2
//! What holds a worker back: it parses what strangers send, so it may do next to nothing.
//!
//! No network but the two sockets that it was given, and those only by `read` and `write`: it can neither make one nor send
//! to an address. No file outside the job's directory (landlock), no new program, no memory that is both written and
//! executed, no privileges to gain; memory, files and cores bounded. The list of system calls *allows*: what isn't on it
//! fails with EPERM.

use std::io;
use std::path::Path;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parvis_confine::{
    AccessFs, Besides, BitFlags, Failure, RulesetStatus, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompRule,
};
pub(crate) use parvis_confine::{Rules, apply, filter};
use parvis_jobs::Confinement;

use crate::hardware::Devices;

/// What a confined process may use.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Address space in bytes.
    pub memory_bytes: u64,
    /// Open files.
    pub files: u64,
}

impl Default for Bounds {
    /// 512 MiB; two files for each of 512 tracks, and some.
    fn default() -> Bounds {
        Bounds { memory_bytes: 512 * 1024 * 1024, files: 1100 }
    }
}

/// Confines this process, which has one thread, to `directory` for good. What the kernel can't do is said in the answer and
/// not passed over: whether the worker goes on without it is the caller's to decide ([`is_complete`]).
pub fn confine(directory: &Path, bounds: Bounds) -> Confinement {
    hold(bounds, &[(Resource::RLIMIT_NPROC, 0)], &[(directory, own())], &|| {
        apply(&filter(rules()?, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)?)
    })
}

/// Confines this process, which has one thread still, to composing: it reads `recording`, programs' libraries and fonts,
/// writes into the directories `films`, has threads, and reaches the devices of its encoder. No network, no new program, no other process.
/// GStreamer must be initialised before, since it starts a program of its own to look at its plugins. A worker that composes a
/// room while it is there is held in this way as well: `recording` and the films' directory are its job's then.
pub fn confine_composer(recording: &Path, films: &[&Path], devices: &Devices, bounds: Bounds) -> Confinement {
    // Landlock holds the thread that asks and those that it starts, and no others.
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        let missing = vec![format!("threads: there are {threads} already, which would stay free")];
        return Confinement { seccomp: false, landlock: false, no_new_privileges: false, missing };
    }
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let shared = SHARED.iter().map(Path::new).filter(|path| path.exists());
    let mut places: Vec<_> = shared.map(|path| (path, read)).collect();
    places.push((recording, read));
    places.extend(films.iter().map(|films| (*films, own())));
    let control = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
    places.extend(devices.devices.iter().map(|path| (path.as_path(), control)));
    places.extend(devices.read.iter().map(|path| (path.as_path(), read)));
    let bounds = match devices.unbounded_addresses {
        true => Bounds { memory_bytes: u64::MAX, ..bounds },
        false => bounds,
    };
    hold(bounds, &[], &places, &|| {
        // Callers of clone3 fall back to clone, whose flags a filter can see.
        let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
        apply(&filter([(libc::SYS_clone3, Vec::new())].into(), SeccompAction::Allow, unknown)?)?;
        let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        apply(&filter(forbidden()?, SeccompAction::Allow, denied)?)
    })
}

/// What a composer reads besides the recording, where it is there.
const SHARED: &[&str] = &[
    "/usr",
    "/lib",
    "/lib64",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/var/cache/fontconfig",
    "/sys/devices/system/cpu",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/dev/urandom",
];

type Calls<'a> = &'a dyn Fn() -> Result<(), Failure>;

fn hold(
    bounds: Bounds,
    more: &[(Resource, u64)],
    places: &[(&Path, BitFlags<AccessFs>)],
    calls: Calls<'_>,
) -> Confinement {
    hold_by(limit(bounds, more), &|| parvis_confine::restrict_files(places, Besides::Network), calls)
}

/// Takes away all that is not needed, once the process's limits are set: by landlock as `restrict` does it, and the calls.
pub(crate) fn hold_by(
    limits: nix::Result<()>,
    restrict: &dyn Fn() -> Result<RulesetStatus, Failure>,
    calls: Calls<'_>,
) -> Confinement {
    let mut missing = Vec::new();
    if let Err(error) = limits {
        missing.push(format!("limits: {error}"));
    }
    // Asked for now: later there is no call left to ask with.
    let no_new_privileges = parvis_confine::no_new_privileges(&mut missing);
    let landlock = parvis_confine::landlock(restrict(), &mut missing);
    let seccomp = parvis_confine::seccomp(calls(), &mut missing);
    Confinement { seccomp, landlock, no_new_privileges, missing }
}

/// Whether all of it holds.
pub fn is_complete(confinement: &Confinement) -> bool {
    confinement.seccomp && confinement.landlock && confinement.no_new_privileges
}

pub(crate) fn limit(bounds: Bounds, more: &[(Resource, u64)]) -> nix::Result<()> {
    let wanted = [
        (Resource::RLIMIT_AS, bounds.memory_bytes),
        (Resource::RLIMIT_NOFILE, bounds.files),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
    ];
    for (resource, value) in wanted.into_iter().chain(more.iter().copied()) {
        let (_, hard) = getrlimit(resource)?;
        let value = value.min(hard);
        setrlimit(resource, value, value)?;
    }
    Ok(())
}

/// What may be done in a directory of one's own.
fn own() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::WriteFile
        | AccessFs::ReadDir
        | AccessFs::RemoveFile
        | AccessFs::MakeReg
        | AccessFs::Truncate
}

/// What a composer must not: talk to anybody, become or start another program, look into another process, or reach for
/// parts of the kernel that codecs have no use for, or type into its terminal. The rest is allowed: libraries of others need more than a list of ours
/// would foresee, and what they can reach by it is bounded by landlock. Two sockets that know each other only may be made:
/// GStreamer wakes its threads by them.
pub(crate) fn forbidden() -> Result<Rules, Failure> {
    let mut rules: Rules = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    let no_thread = SeccompCmpOp::MaskedEq(thread);
    let process = SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, no_thread, 0)?])?;
    rules.insert(libc::SYS_clone, vec![process]);
    // An operator's shell reads what is put into the terminal that both have.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].into_iter().map(|request| {
        SeccompRule::new(vec![SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?])
    });
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
    Ok(rules)
}

const FORBIDDEN: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_connect,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_fsopen,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// What a capture needs: its files, its two sockets, memory, time, randomness, and an end.
fn rules() -> Result<Rules, Failure> {
    let mut rules: Rules = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    // Memory that is written is never executed.
    let no_exec = || {
        let executable = libc::PROT_EXEC.unsigned_abs().into();
        let unset = SeccompCmpOp::MaskedEq(executable);
        SeccompRule::new(vec![SeccompCondition::new(2, SeccompCmpArgLen::Dword, unset, 0)?])
    };
    rules.insert(libc::SYS_mmap, vec![no_exec()?]);
    rules.insert(libc::SYS_mprotect, vec![no_exec()?]);
    Ok(rules)
}

const CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_getdents64,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_fcntl,
    libc::SYS_ppoll,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_getpid,
    libc::SYS_gettid,
    // To end itself when it panics within a panic; a process without privileges of the same user could be hit, were the
    // number guessed: landlock's scope holds that.
    libc::SYS_tgkill,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The older forms, which glibc uses on this architecture.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "aarch64")]
    libc::SYS_renameat,
];

/// One thing that a confined process must not be able to do, and whether it was held from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub what: &'static str,
    /// How it failed; `None` when it did not.
    pub refused: Option<String>,
}

/// Tries what must fail in a process that was [confined](confine) to `directory`, and the one thing that must not. A
/// [composer](confine_composer) has `threads`.
pub fn attempts(directory: &Path, threads: bool) -> Vec<Attempt> {
    fn refused<T>(what: &'static str, result: io::Result<T>) -> Attempt {
        Attempt { what, refused: result.err().map(|error| error.to_string()) }
    }
    let inside = directory.join("confine-check");
    let own = std::fs::write(&inside, b"mine").and_then(|()| std::fs::remove_file(&inside));
    let own = match own {
        Ok(()) => Some("it works, as it must".to_owned()),
        Err(_) => None,
    };
    let thread = std::thread::Builder::new().spawn(|| {});
    let thread = match (threads, thread) {
        (false, thread) => refused("start a thread", thread),
        (true, Ok(_)) => {
            Attempt { what: "keep from starting a thread", refused: Some("it works, as it must".to_owned()) }
        }
        (true, Err(_)) => Attempt { what: "keep from starting a thread", refused: None },
    };
    vec![
        refused("read a file outside its directory", std::fs::read("/etc/passwd")),
        refused("read the list of its own open files", std::fs::read_dir("/proc/self/fd")),
        refused("write a file beside its directory", std::fs::write(directory.with_extension("escape"), b"")),
        refused("make a directory in its own", std::fs::create_dir(directory.join("below"))),
        refused("make a UDP socket", std::net::UdpSocket::bind("127.0.0.1:0")),
        refused("make a TCP connection", std::net::TcpStream::connect("127.0.0.1:1")),
        refused("make a Unix socket", std::os::unix::net::UnixDatagram::unbound()),
        refused("listen on a Unix socket", std::os::unix::net::UnixListener::bind(directory.join("socket"))),
        refused("start a program", std::process::Command::new("/bin/true").spawn()),
        thread,
        Attempt { what: "keep from writing to its own directory", refused: own },
    ]
}

#[cfg(test)]
mod tests {
    use parvis_confine::{ALLOWED, REFUSED, answer};

    use super::*;

    #[test]
    fn row_53_a_composer_has_threads_and_no_processes_and_types_into_no_terminal() {
        let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let program = filter(forbidden().unwrap(), SeccompAction::Allow, denied).unwrap();
        let thread = libc::CLONE_THREAD.unsigned_abs().into();
        for (call, arguments, expected) in [
            (libc::SYS_read, [0, 0], ALLOWED),
            (libc::SYS_socket, [1, 1], REFUSED),
            (libc::SYS_clone, [thread, 0], ALLOWED),
            (libc::SYS_clone, [17, 0], REFUSED),
            (libc::SYS_ioctl, [0, libc::TCGETS], ALLOWED),
            (libc::SYS_ioctl, [0, libc::TIOCSTI], REFUSED),
            // The kernel looks at 32 bits of it.
            (libc::SYS_ioctl, [0, libc::TIOCSTI | 1 << 40], REFUSED),
            (libc::SYS_ioctl, [0, libc::TIOCLINUX], REFUSED),
            (libc::SYS_rt_sigqueueinfo, [1, 9], REFUSED),
        ] {
            assert_eq!(answer(&program, call, arguments), Some(expected), "call {call} with {arguments:?}");
        }
    }
}
