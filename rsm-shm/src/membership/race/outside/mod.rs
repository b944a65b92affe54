//! What this process tells others beside the RSMAPI: by files, pipes, sockets, signals, or memory that is no segment's.
//!
//! A program may order what it does with segments by such means, and is right. So calls of the C library by which it may tell
//! somebody something are led here, in a cluster that is looked at and while the program runs: in each module that is loaded the
//! addresses of these functions are changed (`race/slots`). Before such a call is made all other processes are said to know what
//! this one has done ([`rsm_race::outside`]): who of them is told, and when, cannot be seen. That loses races, and makes none.
//!
//! Where a program is linked statically, or what it calls is not known everywhere, and from when it has memory in common with others,
//! or has more code loaded, it counts as telling at any time. What it prints to standard output and standard error tells nobody anything,
//! unless it makes these be something else.
#![allow(unsafe_code)]

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod calls;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod slots;

use super::{Racing, abi, name_in, seen, threads};
use crate::membership::fork;
use crate::private_table::is_of_library;
use rsm_race::process::Process;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Most clusters that one process is told to be looked at in; in more it counts as telling at any time.
const MOST: usize = 16;
/// Where the process has joined.
type Joined = [AtomicPtr<Racing>; MOST];
static JOINED: Joined = [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST];
/// Of these, where what it tells outside counts.
static COUNTING: Joined = [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST];

/// The process has joined a cluster in which races are looked for; with `counts`, what it tells outside counts from now on.
pub(in crate::membership) fn joins(racing: &'static Racing, counts: bool) {
    let new = std::ptr::from_ref(racing).cast_mut();
    // AcqRel: pairs with the Acquire of `with`.
    let free = |at: &AtomicPtr<Racing>| at.compare_exchange(std::ptr::null_mut(), new, AcqRel, Relaxed).is_ok();
    let has_place = JOINED.iter().any(free) && (!counts || COUNTING.iter().any(free));
    if (!has_place || (counts && !begin()))
        && let Some(process) = racing.process()
    {
        process.leaks();
    }
}

/// The membership has ended. What the process has done in it anybody may know from now on: it does nothing more there.
pub(super) fn leaves(racing: &Racing) {
    let old = std::ptr::from_ref(racing).cast_mut();
    let is_counted = COUNTING.iter().any(|at| at.load(Relaxed) == old);
    if is_counted && let Some(process) = unlooked(racing) {
        process.tells_outside();
    }
    for at in JOINED.iter().chain(&COUNTING) {
        // Release: pairs with the AcqRel of `joins`, of who takes the place.
        let _ = at.compare_exchange(old, std::ptr::null_mut(), Release, Relaxed);
    }
}

/// The process, or the thread of it that this is; nothing is compared for that, no lock taken and no memory asked for, as a signal
/// handler may do what tells.
fn unlooked(racing: &Racing) -> Option<Process<'_>> {
    // A forked child that has not joined by itself has done nothing; what its parent had was told when it was forked.
    let id = name_in(&racing.id).filter(|&id| id != 0)?;
    let process = Process::with_id(racing.table(), threads::current(racing, id));
    abi::learn_of_reads(process);
    Some(process)
}

/// The program says something of this process, wherever it has joined.
pub(super) fn say(what: impl Fn(Process<'static>)) {
    with(&JOINED, |racing| {
        // As in `unlooked`, of a child.
        if name_in(&racing.id).is_some_and(|id| id != 0)
            && let Some(process) = racing.process()
        {
            what(process);
        }
    });
}

fn with(joined: &Joined, what: impl Fn(&'static Racing)) {
    let here = 0u8;
    // What the library does is nothing of the program's.
    if is_of_library() || seen::is_within(seen::frame_of(&here)) || fork::is_unannounced() {
        return;
    }
    seen::untold(|| {
        // Acquire: pairs with the AcqRel of `joins`. SAFETY: null, or what stays for ever.
        joined.iter().filter_map(|joined| unsafe { joined.load(Acquire).as_ref() }).for_each(what);
    });
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use told::{begin, told};

/// Elsewhere nothing is led here.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn begin() -> bool {
    false
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod told {
    use super::calls::{Arguments, Tells};
    use super::{COUNTING, Process, seen, slots, unlooked, with};
    use crate::membership::fork;
    use crate::memory::maps;
    use std::sync::Once;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    fn tell(what: impl Fn(Process<'static>)) {
        with(&COUNTING, |racing| {
            if let Some(process) = unlooked(racing) {
                what(process);
            }
        });
    }

    /// Slots are to be looked at once more: while they were led here a thread may have been about to call a function for the first
    /// time, and the loader have filled in what it had found before.
    static ONCE_MORE: AtomicBool = AtomicBool::new(false);

    /// Lets calls be led here. `false`: not all can be, or the process has memory in common with others already.
    pub(super) fn begin() -> bool {
        extern "C" fn ends() {
            tell(Process::tells_outside);
        }
        static ONCE: Once = Once::new();
        // SAFETY: a function of this library, which stays loaded; what it tells it tells at any time.
        ONCE.call_once(|| _ = unsafe { libc::atexit(ends) });
        let all = slots::lead_here();
        // Relaxed: whoever finds it set looks, and needs nothing of this.
        ONCE_MORE.store(true, Relaxed);
        all && !maps::shares_with_others()
    }

    /// Streams and descriptors that tell nobody anything.
    fn is_printed(descriptor: i32) -> bool {
        matches!(descriptor, libc::STDOUT_FILENO | libc::STDERR_FILENO)
    }

    /// A system call that tells no other process anything. A futex that processes have in common is in memory that they have.
    fn is_for_threads(number: i64) -> bool {
        const CALLS: [i64; 5] =
            [libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_gettid, libc::SYS_getrandom, libc::SYS_membarrier];
        CALLS.contains(&number)
    }

    /// What `fcntl` does with a descriptor, and not with what that is of.
    fn is_for_itself(what: i32) -> bool {
        use libc::{F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_GETOWN, F_SETFD, F_SETFL, F_SETOWN};
        const GET_SIGNAL: i32 = 11;
        const SET_SIGNAL: i32 = 10;
        const OWN: [i32; 10] =
            [F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWN, F_SETOWN, GET_SIGNAL, SET_SIGNAL];
        OWN.contains(&what)
    }

    /// A function is about to be called.
    pub(super) fn told(tells: Tells, arguments: &Arguments) {
        // SAFETY: the calling thread's own.
        let errno = unsafe { &mut *libc::__errno_location() };
        let before = *errno;
        // No signal handler may call one of these: then the loader may be asked.
        let is_by_no_handler = matches!(tells, Tells::ToStream(_) | Tells::AnewStream(_) | Tells::Memory);
        // Relaxed: one thread finds it set, and needs nothing of who set it.
        if is_by_no_handler
            && ONCE_MORE.load(Relaxed)
            && !fork::is_unannounced()
            && ONCE_MORE.swap(false, Relaxed)
            && !seen::untold(slots::lead_here)
        {
            tell(Process::leaks);
        }
        match tells {
            Tells::Ever => tell(Process::tells_outside),
            Tells::Control if is_for_itself(arguments.get(1) as i32) => {}
            Tells::Number if is_for_threads(arguments.get(0) as i64) => {}
            Tells::Anew(number) if is_printed(arguments.get(number) as i32) => tell(Process::leaks),
            Tells::AnewStream(number) if is_printed(descriptor_of(arguments.get(number))) => tell(Process::leaks),
            Tells::To(number) if is_printed(arguments.get(number) as i32) => {}
            Tells::ToStream(number) if is_printed(descriptor_of(arguments.get(number))) => {}
            Tells::To(_)
            | Tells::ToStream(_)
            | Tells::Anew(_)
            | Tells::AnewStream(_)
            | Tells::Control
            | Tells::Number => {
                tell(Process::tells_outside);
            }
            Tells::Memory => tell(Process::leaks),
            Tells::Mapped => {
                let (flags, of) = (arguments.get(3) as i32, arguments.get(4) as i32);
                // What cannot be written there now may be made so later, unless its file was opened to be read alone.
                if flags & libc::MAP_SHARED != 0 && (flags & libc::MAP_ANONYMOUS != 0 || !is_to_be_read(of)) {
                    tell(Process::leaks);
                }
            }
            Tells::Code(path) => {
                let flags = arguments.get(path + 1) as i32;
                if arguments.get(path) != 0 && flags & libc::RTLD_NOLOAD == 0 {
                    tell(Process::leaks);
                }
            }
        }
        *errno = before;
    }

    /// Whether a descriptor is for reading alone.
    fn is_to_be_read(descriptor: i32) -> bool {
        // SAFETY: only asks.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
        flags >= 0 && flags & libc::O_ACCMODE == libc::O_RDONLY
    }

    /// That of a stream; -1 for all of them, or for one that has none.
    fn descriptor_of(stream: usize) -> i32 {
        if stream == 0 {
            return -1;
        }
        // SAFETY: the program is about to use this stream.
        unsafe { libc::fileno(std::ptr::with_exposed_provenance_mut(stream)) }
    }
}
