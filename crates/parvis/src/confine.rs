// SPDX-License-Identifier: EUPL-1.2
//! What the server gives up by itself, where no service manager took it from it before (systemd/parvis.service goes further).
//!
//! In two steps: before the first thread it gives up files, since landlock holds only the thread that asks and those that it
//! starts; once all is bound and read, and before the first stranger is served, all threads give up calls that a server has no use
//! for. Workers that it starts inherit both, and give up far more themselves. What the kernel can't do is in the log.

use std::path::{Path, PathBuf};

use nix::libc;
use parvis_confine::{
    Access as _, AccessFs, Besides, Confinement, Failure, Rules, RulesetStatus, SeccompAction,
    SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule,
};

use crate::serve::Settings;

/// Where programs of others put what they need for a while: GStreamer's registry of plugins, fonts' caches.
const SCRATCH: &[&str] = &["/tmp", "/var/tmp", "/dev"];
/// Families of sockets that a server needs: netlink lists the machine's addresses.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
/// `clone`'s flags for new namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// What nobody in the server may do, whatever a stranger made of it: look into other processes, make namespaces, mount, change
/// the clock or the machine, load code into the kernel, or become somebody else.
const FORBIDDEN: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_memfd_secret,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// What the first step came to.
#[derive(Debug)]
pub(crate) struct Files {
    held: bool,
    no_new_privileges: bool,
    missing: Vec<String>,
}

/// Gives up writing anywhere but where a server of this configuration writes. Called while there is one thread, with the data
/// directory made.
pub(crate) fn files(settings: &Settings) -> Files {
    files_but(&writable(settings))
}

fn files_but(writable: &[PathBuf]) -> Files {
    let mut missing = Vec::new();
    let no_new_privileges = parvis_confine::no_new_privileges(&mut missing);
    let held = parvis_confine::landlock(restrict(writable), &mut missing);
    Files { held, no_new_privileges, missing }
}

/// Gives up calls, in all threads.
pub(crate) fn calls(files: Files) -> Confinement {
    let Files { held: landlock, no_new_privileges, mut missing } = files;
    let seccomp = parvis_confine::seccomp(filter_calls(), &mut missing);
    Confinement { seccomp, landlock, no_new_privileges, missing }
}

/// Whether all of it holds.
pub(crate) fn is_complete(held: &Confinement) -> bool {
    held.seccomp && held.landlock && held.no_new_privileges
}

/// Writes down what holds and what does not.
pub(crate) fn log(held: &Confinement) {
    let Confinement { seccomp, landlock, no_new_privileges, missing } = held;
    tracing::info!(seccomp, landlock, no_new_privileges, missing = missing.join("; "), "confined");
}

/// Where the server and its workers write.
fn writable(settings: &Settings) -> Vec<PathBuf> {
    let config = &settings.config;
    let mut places = vec![config.data.directory.clone(), config.recordings_directory(&settings.base)];
    // A database's file has companions beside it.
    let database = config.database.url.strip_prefix("sqlite:").map(|path| path.trim_start_matches("//"));
    places.extend(database.and_then(|path| Path::new(path).parent()).map(Path::to_owned));
    // Signed checkpoints are written to their end.
    let checkpoints = settings.audit.as_ref().and_then(|audit| audit.checkpoint_file.parent());
    places.extend(checkpoints.map(Path::to_owned));
    let named = [&config.audit.key_file, &config.audit.checkpoint_file].into_iter();
    let named = named.filter(|file| !file.as_os_str().is_empty()).map(|file| settings.base.join(file));
    places.extend(named.filter_map(|file| Some(file.parent()?.to_owned())));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    places.extend(cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"))));
    places.extend(SCRATCH.iter().map(PathBuf::from));
    places
}

fn restrict(writable: &[PathBuf]) -> Result<RulesetStatus, Failure> {
    let all = AccessFs::from_all(parvis_confine::NEWEST);
    let read = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::Execute;
    let mut places = vec![(Path::new("/"), read)];
    places.extend(writable.iter().filter(|path| path.exists()).map(|path| (path.as_path(), all)));
    parvis_confine::restrict_files(&places, Besides::Nothing)
}

fn filter_calls() -> Result<(), Failure> {
    // Callers of clone3 fall back to clone, whose flags a filter can see.
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let clone3 = [(libc::SYS_clone3, Vec::new())].into();
    parvis_confine::apply_everywhere(&parvis_confine::filter(clone3, SeccompAction::Allow, unknown)?)?;
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    parvis_confine::apply_everywhere(&parvis_confine::filter(forbidden()?, SeccompAction::Allow, denied)?)
}

fn forbidden() -> Result<Rules, Failure> {
    let mut rules: Rules = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let namespaces = NAMESPACES.into_iter().map(|flag| {
        let flag = u64::from(flag.unsigned_abs());
        let set = SeccompCmpOp::MaskedEq(flag);
        SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Dword, set, flag)?])
    });
    rules.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    let other = FAMILIES.into_iter().map(|family| {
        let family = u64::from(family.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
    });
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(other.collect::<Result<_, _>>()?)?]);
    Ok(rules)
}

/// One thing that was tried from inside, and how it was refused; `None` when it was not.
pub(crate) type Attempt = (&'static str, Option<String>);

/// Confines this process as a server is whose data lies in `directory`, tries what must fail then, in a thread that was there before too,
/// and what must not.
pub(crate) fn attempts(directory: &Path) -> (Confinement, Vec<Attempt>) {
    let files = files_but(&[directory.to_owned(), PathBuf::from("/dev")]);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let before = std::thread::spawn(move || {
        let _ = gone.recv();
        refused("make a namespace in a thread that was there before", unshare())
    });
    let held = calls(files);
    let _ = go.send(());
    let mut attempts: Vec<Attempt> = before.join().into_iter().collect();
    attempts.push(refused("make a namespace", unshare()));
    attempts.push(refused("read another process's memory", peek()));
    attempts.push(refused("join a namespace", join_namespace()));
    attempts.push(refused("make a socket of another family", other_family()));
    attempts.push(refused(
        "write a file beside its directory",
        std::fs::write(directory.with_extension("escape"), b""),
    ));
    let must_not = |what, result: std::io::Result<()>| match result {
        Ok(()) => (what, Some("it works, as it must".to_owned())),
        Err(_) => (what, None),
    };
    let own = directory.join("confine-check");
    attempts.push(must_not(
        "keep from writing to its own directory",
        std::fs::write(&own, b"mine").and_then(|()| std::fs::remove_file(&own)),
    ));
    attempts.push(must_not("keep from UDP", std::net::UdpSocket::bind("127.0.0.1:0").map(drop)));
    attempts.push(must_not("keep from starting a thread", {
        std::thread::Builder::new().spawn(|| {}).map(drop)
    }));
    let worker = std::process::Command::new("/bin/true").status();
    attempts.push(must_not("keep from starting a worker", worker.map(drop)));
    (held, attempts)
}

fn refused<T>(what: &'static str, result: Result<T, impl ToString>) -> Attempt {
    (what, result.err().map(|error| error.to_string()))
}

fn unshare() -> nix::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
}

fn join_namespace() -> std::io::Result<()> {
    let own = std::fs::File::open("/proc/self/ns/uts")?;
    Ok(nix::sched::setns(own, nix::sched::CloneFlags::CLONE_NEWUTS)?)
}

/// Of its own memory, which needs no right to another's.
fn peek() -> nix::Result<usize> {
    let (secret, mut seen) = ([7_u8; 4], [0_u8; 4]);
    let remote = nix::sys::uio::RemoteIoVec { base: secret.as_ptr() as usize, len: secret.len() };
    let mut local = [std::io::IoSliceMut::new(&mut seen)];
    nix::sys::uio::process_vm_readv(nix::unistd::getpid(), &mut local, &[remote])
}

fn other_family() -> nix::Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    socket(AddressFamily::Vsock, SockType::Stream, SockFlag::empty(), None)
}

#[cfg(test)]
mod tests {
    use parvis_confine::{ALLOWED, REFUSED, answer};

    use super::*;

    #[test]
    fn a_server_starts_threads_and_programs_and_speaks_ip_and_reaches_for_nothing_else() {
        let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let program = parvis_confine::filter(forbidden().unwrap(), SeccompAction::Allow, denied).unwrap();
        let flag = |flag: libc::c_int| u64::from(flag.unsigned_abs());
        for (call, argument, expected) in [
            (libc::SYS_read, 0, ALLOWED),
            (libc::SYS_execve, 0, ALLOWED),
            (libc::SYS_kill, 0, ALLOWED),
            (libc::SYS_clone, flag(libc::CLONE_THREAD), ALLOWED),
            (libc::SYS_clone, flag(libc::SIGCHLD), ALLOWED),
            (libc::SYS_clone, flag(libc::CLONE_NEWUSER | libc::SIGCHLD), REFUSED),
            (libc::SYS_clone, flag(libc::CLONE_NEWNET), REFUSED),
            (libc::SYS_socket, flag(libc::AF_INET6), ALLOWED),
            (libc::SYS_socket, flag(libc::AF_UNIX), ALLOWED),
            (libc::SYS_socket, flag(libc::AF_PACKET), REFUSED),
            (libc::SYS_socket, flag(libc::AF_VSOCK), REFUSED),
            (libc::SYS_ptrace, 0, REFUSED),
            (libc::SYS_bpf, 0, REFUSED),
            (libc::SYS_mount, 0, REFUSED),
        ] {
            assert_eq!(
                answer(&program, call, [argument, 0]),
                Some(expected),
                "call {call} with {argument:#x}"
            );
        }
    }
}
