//! Machines that lack something: a filter refuses system calls, as an older kernel or a container would.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;

use super::Ctl;

/// A system call that is refused, for this argument only if one is given, and the error it gets.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) call: libc::c_long,
    pub(crate) argument: Option<(u32, u32)>,
    pub(crate) errno: i32,
}

impl Ctl {
    /// Refuses these system calls to it and all that it starts.
    pub(crate) fn refusing(mut self, refusals: &[Refusal]) -> Ctl {
        let program = filter(refusals);
        let install = move || {
            let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
            // SAFETY: two system calls in the forked child, which read `filter` and the program it points to.
            let done = unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                    && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
            };
            if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: the closure makes system calls only; what it reads was allocated before the fork.
        unsafe { self.command.pre_exec(install) };
        self
    }

    /// Lets it hear what whoever runs the tests ignores, as a shell's background jobs and nohup(1) do.
    pub(super) fn hearing(mut self) -> Ctl {
        let hear = || {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP] {
                // SAFETY: a system call with numbers, in the forked child.
                if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        };
        // SAFETY: the closure makes system calls only.
        unsafe { self.command.pre_exec(hear) };
        self
    }

    /// Makes it the parent of what its descendants leave, running or not.
    pub(crate) fn adopting(mut self) -> Ctl {
        let adopt = || Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?);
        // SAFETY: the closure makes a system call only.
        unsafe { self.command.pre_exec(adopt) };
        self
    }

    /// Takes a capability from it and all that it starts, even where they are root's.
    pub(crate) fn without_capability(mut self, number: libc::c_ulong) -> Ctl {
        let drop = move || {
            // SAFETY: a system call with numbers.
            match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: the closure makes a system call only.
        unsafe { self.command.pre_exec(drop) };
        self
    }
}

fn filter(refusals: &[Refusal]) -> Vec<libc::sock_filter> {
    let mut program = Vec::new();
    let load = |offset: u32| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
    let jump_unless = |value: u32, over: u8| libc::sock_filter { code: 0x15, jt: 0, jf: over, k: value };
    let give = |answer: u32| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: answer };
    for refusal in refusals {
        let error = libc::SECCOMP_RET_ERRNO | refusal.errno as u32;
        program.push(load(0));
        match refusal.argument {
            None => program.extend([jump_unless(refusal.call as u32, 1), give(error)]),
            Some((number, value)) => program.extend([
                jump_unless(refusal.call as u32, 3),
                load(16 + 8 * number),
                jump_unless(value, 1),
                give(error),
            ]),
        }
    }
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program
}
