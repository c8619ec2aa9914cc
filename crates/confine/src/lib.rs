// SPDX-License-Identifier: EUPL-1.2
//! What a process gives up for good: system calls (seccomp), files (landlock), and privileges to gain.
//!
//! Who gives up what is said elsewhere: the media worker's lists are in `parvis-media`, the server's in `parvis`. Here is how
//! it is done, and how what the kernel could not take is put into words.
//!
//! **The one invariant: nothing fails silently.** What does not hold stands in [`Confinement::missing`], and whether the process
//! goes on without it is its own to decide.
//!
//! ```
//! use parvis_confine::{SeccompAction, answer, filter};
//!
//! // `chroot` is refused as a privilege that one has not (EPERM), all else is allowed.
//! let rules = [(libc::SYS_chroot, Vec::new())].into();
//! let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
//! let program = filter(rules, SeccompAction::Allow, refused)?;
//! assert_eq!(answer(&program, libc::SYS_chroot, [0, 0]), Some(parvis_confine::REFUSED));
//! assert_eq!(answer(&program, libc::SYS_read, [0, 0]), Some(parvis_confine::ALLOWED));
//! # use nix::libc;
//! # Ok::<(), parvis_confine::Failure>(())
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, Scope,
};
pub use landlock::{Access, AccessFs, BitFlags, RulesetStatus};
pub use parvis_jobs::Confinement;
pub use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule,
};
use seccompiler::{SeccompFilter, TargetArch};

/// Why something could not be given up.
pub type Failure = Box<dyn std::error::Error>;
/// System calls, and what has to hold of their arguments; nothing: in any case.
pub type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The newest landlock that is asked for; an older kernel does what it can.
pub const NEWEST: ABI = ABI::V6;
/// What [`answer`] gives for a call that goes through (`SECCOMP_RET_ALLOW`).
pub const ALLOWED: u32 = 0x7fff_0000;
/// What it gives for one that is refused with EPERM (`SECCOMP_RET_ERRNO`).
pub const REFUSED: u32 = 0x0005_0001;

/// Makes a filter of calls: `listed` for those that the rules name, `otherwise` for the rest.
pub fn filter(rules: Rules, otherwise: SeccompAction, listed: SeccompAction) -> Result<BpfProgram, Failure> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, listed, arch)?.try_into()?)
}

/// Puts a filter in force for this thread and those that it starts.
pub fn apply(program: &BpfProgram) -> Result<(), Failure> {
    seccompiler::apply_filter(program).map_err(in_words)
}

/// Puts a filter in force for all threads of this process.
pub fn apply_everywhere(program: &BpfProgram) -> Result<(), Failure> {
    seccompiler::apply_filter_all_threads(program).map_err(in_words)
}

fn in_words(error: seccompiler::Error) -> Failure {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => Box::new(error),
        other => other.to_string().into(),
    }
}

/// Gives up privileges that a program on the disk may bring (set-user-ID). Filters need it.
pub fn no_new_privileges(missing: &mut Vec<String>) -> bool {
    let _ = nix::sys::prctl::set_no_new_privs();
    let held = nix::sys::prctl::get_no_new_privs().unwrap_or(false);
    if !held {
        missing.push("no_new_privs: the kernel did not take it".to_owned());
    }
    held
}

/// What came of a landlock ruleset.
pub fn landlock(status: Result<RulesetStatus, Failure>, missing: &mut Vec<String>) -> bool {
    let (held, problem) = match status {
        Ok(RulesetStatus::FullyEnforced) => (true, None),
        Ok(RulesetStatus::PartiallyEnforced) => {
            (true, Some("the kernel knows an older one, which holds files and not all else".to_owned()))
        }
        Ok(RulesetStatus::NotEnforced) => (
            false,
            Some(
                "the kernel has none, or it is switched off; use Linux 5.13 or newer with lsm=landlock"
                    .to_owned(),
            ),
        ),
        Err(error) => (false, Some(error.to_string())),
    };
    missing.extend(problem.map(|problem| format!("landlock: {problem}")));
    held
}

/// What came of filters of calls.
pub fn seccomp(applied: Result<(), Failure>, missing: &mut Vec<String>) -> bool {
    let held = applied.is_ok();
    missing.extend(applied.err().map(|error| format!("seccomp: {error}")));
    held
}

/// What is held besides files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Besides {
    /// TCP by name of its port, and signals and abstract sockets of processes outside.
    Network,
    /// Nothing.
    Nothing,
}

/// Leaves this thread and those that it starts these places, each with what may be done below it, and no other file.
pub fn restrict_files(
    places: &[(&Path, BitFlags<AccessFs>)],
    besides: Besides,
) -> Result<RulesetStatus, Failure> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?;
    if besides == Besides::Network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?;
    }
    let mut ruleset = ruleset.create()?;
    for (path, access) in places {
        let access = if path.is_dir() { *access } else { *access & AccessFs::from_file(NEWEST) };
        ruleset = ruleset.add_rule(PathBeneath::new(PathFd::new(path)?, access))?;
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

/// What a filter answers to a call with these first two arguments: it is run as the kernel runs it (`linux/seccomp.h`,
/// `linux/bpf_common.h`). `None` for a program that ends nowhere or has instructions that filters of ours have not.
pub fn answer(program: &BpfProgram, call: i64, arguments: [u64; 2]) -> Option<u32> {
    let arch: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    let mut data = [&(call as u32).to_ne_bytes()[..], &arch.to_ne_bytes(), &[0; 8]].concat();
    data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
    data.resize(64, 0);
    let word = |at: u32| Some(u32::from_ne_bytes(*data.get(at as usize..)?.first_chunk()?));
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let step = program.get(at)?;
        let jump = |is_so: bool| usize::from(if is_so { step.jt } else { step.jf });
        at += 1;
        match step.code {
            0x20 => accumulator = word(step.k)?,
            0x54 => accumulator &= step.k,
            0x05 => at += step.k as usize,
            0x15 => at += jump(accumulator == step.k),
            0x25 => at += jump(accumulator > step.k),
            0x35 => at += jump(accumulator >= step.k),
            0x06 => return Some(step.k),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_is_said() {
        let mut missing = Vec::new();
        assert!(!landlock(Ok(RulesetStatus::NotEnforced), &mut missing));
        assert!(landlock(Ok(RulesetStatus::PartiallyEnforced), &mut missing));
        assert!(landlock(Ok(RulesetStatus::FullyEnforced), &mut missing));
        assert!(!seccomp(Err("no filter".into()), &mut missing));
        assert!(seccomp(Ok(()), &mut missing));
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(missing[0].contains("5.13") && missing[2] == "seccomp: no filter", "{missing:?}");
    }
}
