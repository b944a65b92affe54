//! What a process does to itself that Rust cannot vouch for: fork, signal dispositions and masks, the steps between fork
//! and exec. Everything it offers is safe to call.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Highest signal number of the kernel, whose masks are 8 bytes long (except on MIPS, which is not supported).
const KERNEL_SIGNALS: libc::c_int = 64;

/// Who goes on after [`fork`].
pub(crate) enum Forked {
    /// The caller; it has this child now.
    Parent(Pid),
    /// The copy.
    Child,
}

/// Makes a copy of this process.
///
/// Refused when other threads run: the copy would have only the calling one, and whatever lock another thread held at
/// this instant (the allocator's, for one) would stay locked in it for ever.
pub(crate) fn fork() -> io::Result<Forked> {
    if std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return Err(io::Error::other("other threads run already"));
    }
    // SAFETY: fork itself touches no memory of ours. What makes it dangerous, locks held by threads that the copy does
    // not have, is excluded: nothing in this program has started a thread yet, which the lines above check.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(Pid::from_raw(pid).expect("fork answers a positive id in the parent"))),
    }
}

/// Closes every descriptor but the standard ones and `kept`: what a process that goes into the background inherited from
/// whoever started it would otherwise stay open for as long as it lives.
pub(crate) fn close_all_but(kept: impl AsFd) {
    let kept = kept.as_fd().as_raw_fd().cast_unsigned();
    for (first, last) in [(3, kept.saturating_sub(1)), (kept.max(2) + 1, libc::c_uint::MAX)] {
        if first <= last {
            // SAFETY: the only caller has just been forked and owns no descriptor but the standard ones and `kept`: no
            // value of this program that will use or close another one exists. No memory is touched.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

/// Makes exactly these signals blocked in the calling thread and in threads it starts from now on.
pub(crate) fn block_only(signals: &[Signal]) -> io::Result<()> {
    let set = set_of(signals);
    // SAFETY: `set` is an initialised set that outlives the call; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// A descriptor from which these signals are read; the caller has blocked them.
pub(crate) fn signal_descriptor(signals: &[Signal]) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    // SAFETY: `set` is an initialised set that outlives the call; -1 asks for a new descriptor.
    match unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: signalfd has just made this descriptor for us; nothing else owns it.
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
    }
}

/// Whether whoever started this process had it ignore the signal (`nohup`, a shell's background job).
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only writes the present one to `action`, which has room for it.
    let answer = unsafe { libc::sigaction(signal.as_raw(), std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a valid sigaction, so `action` is initialised whatever the call did.
    let action = unsafe { action.assume_init() };
    answer == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Gives a signal its default action. With SIGCHLD ignored, as some parents leave it, the kernel would throw away how
/// children ended.
pub fn use_default_action(signal: Signal) {
    // SAFETY: SIG_DFL installs no handler, so no code of ours can be run at a wrong moment by this.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_DFL) };
}

/// Lets a blocked signal that waits do what it does; one that does not wait makes no difference. Returns, where it
/// stops the process, when somebody continues it.
pub(crate) fn let_through(signal: Signal) {
    let set = set_of(&[signal]);
    for how in [libc::SIG_UNBLOCK, libc::SIG_BLOCK] {
        // SAFETY: `set` is an initialised set that outlives the call; the old mask is not asked for. The kernel delivers
        // what waits before the first call returns.
        unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) };
    }
}

/// Has a signal ignored.
pub fn ignore(signal: Signal) {
    // SAFETY: SIG_IGN installs no handler, so no code of ours can be run at a wrong moment by this.
    unsafe { libc::signal(signal.as_raw(), libc::SIG_IGN) };
}

/// Has the program that `command` starts begin life as a node: a session of its own, default signal dispositions, an
/// empty mask, the user's own descriptor limit, its directory and CPUs if it has some, and SIGKILL when `warden` goes.
/// What fails on the way is told apart by [`failed_before_exec`].
pub(crate) fn begin_as_node(
    command: &mut Command,
    warden: Pid,
    descriptors: Option<Rlimit>,
    directory: Option<CString>,
    cpus: Option<CpuSet>,
) {
    let prepare = move || {
        // A session and process group of its own: the terminal's signals reach only the front.
        rustix::process::setsid()?;
        all_signals_default();
        if let Some(descriptors) = descriptors {
            rustix::process::setrlimit(Resource::Nofile, descriptors)?;
        }
        if let Some(directory) = &directory {
            rustix::process::chdir(directory.as_c_str())?;
        }
        if let Some(cpus) = &cpus {
            sched_setaffinity(None, cpus)?;
        }
        end_with(warden)
    };
    let become_node = move || prepare().map_err(mark);
    // SAFETY: the closure runs in the forked child of a process with threads, so it may only make async-signal-safe
    // calls. It makes system calls through rustix and libc::syscall (no locks, no allocation) and sigemptyset and
    // pthread_sigmask, which POSIX lists as safe there; errors are built from numbers, without allocation.
    unsafe { command.pre_exec(become_node) };
}

/// Added to the errno of what fails in a child before it is the program: all that comes back to its parent is a number,
/// and that of exec is the program's fault.
const BEFORE_EXEC: i32 = 1 << 16;

fn mark(error: io::Error) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EINVAL) | BEFORE_EXEC)
}

/// Why a child could not prepare itself, if that is what an error of starting a node says.
pub(crate) fn failed_before_exec(error: &io::Error) -> Option<io::Error> {
    let errno = error.raw_os_error().filter(|errno| errno & BEFORE_EXEC != 0)?;
    Some(io::Error::from_raw_os_error(errno & !BEFORE_EXEC))
}

/// Has the program that `command` starts be killed when this process goes, and begin with the signals this one ignores
/// for itself.
pub fn begin_as_dependant(command: &mut Command) {
    let parent = rustix::process::getpid();
    let begin = move || {
        use_default_action(Signal::XFSZ);
        end_with(parent)
    };
    // SAFETY: as in `begin_as_node`: a few system calls, no locks, no allocation.
    unsafe { command.pre_exec(begin) };
}

/// Ties the calling process to the thread that forked it.
pub(crate) fn end_with(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have gone before the line above took effect; then nobody will send that signal any more.
    if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// exec resets handlers but keeps what is ignored and blocked; this resets those.
fn all_signals_default() {
    // A `struct sigaction` as the kernel has it is at most this long, and with every byte 0 it means SIG_DFL.
    let default = [0_u64; 8];
    for signal in 1..=KERNEL_SIGNALS {
        // SAFETY: the kernel reads its struct from `default` and writes nothing back. SIG_DFL installs no handler. By
        // system call, because libc refuses to touch the signals it keeps for itself, and those may be ignored too;
        // that libc's own handlers for them go as well is right for a process that is about to become another program.
        // Numbers that cannot be changed are refused.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    let none = set_of(&[]);
    // SAFETY: `none` is an initialised set that outlives the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
}

fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set it is given room for, which is what makes it valid for the lines after.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: `set` is initialised and exclusively ours; a `Signal` is a number the kernel knows.
        unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fork_is_refused_beside_other_threads() {
        // The test harness itself runs this on a thread beside its main one.
        assert!(fork().is_err());
    }

    #[test]
    fn a_fresh_signal_descriptor_has_nothing_to_read() {
        let descriptor = signal_descriptor(&[Signal::USR1]).unwrap();
        let mut record = [0_u8; 128];
        assert_eq!(rustix::io::read(&descriptor, &mut record), Err(rustix::io::Errno::AGAIN));
    }

    #[test]
    fn what_fails_before_exec_is_not_the_programs_fault() {
        let none = Rlimit { current: None, maximum: None };
        let start = |program: &str, directory: &std::ffi::CStr, limit: Rlimit| {
            let mut command = Command::new(program);
            let (me, directory) = (rustix::process::getpid(), Some(directory.to_owned()));
            begin_as_node(&mut command, me, Some(limit), directory, None);
            command.spawn().map(|mut child| child.wait()).unwrap_err()
        };
        let limit = rsm::run::rlimit::limit(Resource::Nofile).unwrap();
        let missing = start("/no/such/program", c"/", limit);
        assert_eq!((missing.raw_os_error(), failed_before_exec(&missing).is_none()), (Some(libc::ENOENT), true));
        let told = |error: io::Error| failed_before_exec(&error).and_then(|error| error.raw_os_error());
        assert_eq!(told(start("/bin/true", c"/no/such/directory", limit)), Some(libc::ENOENT));
        // Nobody may have so many.
        assert_eq!(told(start("/bin/true", c"/", none)), Some(libc::EPERM));
    }

    #[test]
    fn default_actions_are_not_ignored() {
        use_default_action(Signal::USR2);
        assert!(!is_ignored(Signal::USR2));
        // Rust's own start-up ignores SIGPIPE.
        assert!(is_ignored(Signal::PIPE));
    }
}
