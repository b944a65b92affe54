//! The changes that people make, and what they may expect.

use super::super::group::{Limit, Limits};
use super::program::{NOBODY, Scene, Witness};
use super::{Change, Expected, Needs, RIGHT, Row};
use rsm::{Code, Controller, Error, Result};
use rsm_shm::memory::page_size;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

type Outcome = rustix::io::Result<()>;

/// Every row but those of refused system calls.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    [DESCRIPTORS, NAMESPACES, PROC, USERS, LIMITS, GROUPS, SIGNALS, RELATIVES].into_iter().flatten()
}

const fn row(name: &'static str, needs: Needs, act: fn(&mut Scene) -> Outcome, cells: [Expected; 4]) -> Row {
    Row { name, needs, change: Change::Act(act), cells }
}

const ALL_RIGHT: [Expected; 4] = [RIGHT; 4];

fn done(rc: impl Into<i64>) -> Outcome {
    if rc.into() < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

// Descriptors.

pub(super) const DESCRIPTORS: &[Row] = &[
    row("closefrom(3)", Needs::Nothing, close_from, ALL_RIGHT),
    row("each descriptor is another file", Needs::Nothing, replace_by_file, ALL_RIGHT),
    row("each descriptor is another socket", Needs::Nothing, replace_by_socket, ALL_RIGHT),
    row("no standard streams", Needs::Nothing, close_streams, ALL_RIGHT),
    row("no descriptor at all", Needs::Nothing, close_all, ALL_RIGHT),
    row("threads with tables of their own", Needs::Nothing, tables_apart, ALL_RIGHT),
];

fn close_from(_: &mut Scene) -> Outcome {
    // SAFETY: closes what the program has no use for.
    done(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) })
}

fn close_streams(scene: &mut Scene) -> Outcome {
    scene.closed = true;
    // SAFETY: as above.
    done(unsafe { libc::syscall(libc::SYS_close_range, 0, 2, 0) })
}

fn close_all(scene: &mut Scene) -> Outcome {
    close_from(scene)?;
    close_streams(scene)
}

fn tables_apart(scene: &mut Scene) -> Outcome {
    scene.apart = true;
    Ok(())
}

fn replace_by_file(scene: &mut Scene) -> Outcome {
    let file = rustix::fs::memfd_create("witness", MemfdFlags::CLOEXEC)?;
    rustix::io::write(&file, b"mine")?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    watch(scene, file, None)
}

fn replace_by_socket(scene: &mut Scene) -> Outcome {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let (mine, other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Something that a reader would take.
    rustix::io::write(&other, b"mine")?;
    watch(scene, mine, Some(other))
}

fn watch(scene: &mut Scene, file: OwnedFd, other: Option<OwnedFd>) -> Outcome {
    let mut numbers = scene.of_library();
    numbers.retain(|number| *number != file.as_raw_fd() && other.as_ref().is_none_or(|fd| *number != fd.as_raw_fd()));
    let witness = Witness::put(file, other, &numbers)?;
    scene.checks.push(Box::new(move || witness.check()));
    Ok(())
}

// Namespaces.

/// A process with threads cannot enter another user namespace.
const THREADS: Expected = Some(&[("change", libc::EINVAL, "")]);
const OTHER_NETWORK: Expected = Some(&[("open", Code::CtlrNotPresent as i32, "in this network namespace")]);

pub(super) const NAMESPACES: &[Row] = &[
    row("unshare user", Needs::UserNamespaces, |_| unshare(libc::CLONE_NEWUSER), [NO_USER, THREADS, RIGHT, THREADS]),
    row("unshare user, as root there", Needs::UserNamespaces, |_| user_namespace(0), [RIGHT, None, RIGHT, None]),
    // Root as well has another number there.
    row("unshare user, as another there", Needs::UserNamespaces, |_| user_namespace(4711), [RIGHT, None, RIGHT, None]),
    row("unshare user, twice", Needs::UserNamespaces, nested_user_namespace, [RIGHT, None, RIGHT, None]),
    row("unshare pid", Needs::Root, |_| unshare(libc::CLONE_NEWPID), [NO_THREADS, RIGHT, NO_THREADS, RIGHT]),
    row("first process of a PID namespace", Needs::Root, first_process, [RIGHT, None, RIGHT, None]),
    row("unshare net", Needs::Root, |_| unshare(libc::CLONE_NEWNET), [OTHER_NETWORK, RIGHT, RIGHT, RIGHT]),
    row("unshare ipc", Needs::Root, |_| unshare(libc::CLONE_NEWIPC), ALL_RIGHT),
    row("unshare mount", Needs::Root, |_| unshare(libc::CLONE_NEWNS), ALL_RIGHT),
    row("unshare uts", Needs::Root, |_| unshare(libc::CLONE_NEWUTS), ALL_RIGHT),
    row("unshare cgroup", Needs::Root, |_| unshare(libc::CLONE_NEWCGROUP), ALL_RIGHT),
    row("unshare time", Needs::ThreadsAfterTime(true), |_| unshare(CLONE_NEWTIME), ALL_RIGHT),
    row(
        "unshare time, and have no threads",
        Needs::ThreadsAfterTime(false),
        |_| unshare(CLONE_NEWTIME),
        [NO_THREADS, RIGHT, NO_THREADS, RIGHT],
    ),
    row("unshare fs", Needs::Nothing, |_| unshare(libc::CLONE_FS), ALL_RIGHT),
    row("unshare files", Needs::Nothing, |_| unshare(libc::CLONE_FILES), ALL_RIGHT),
];

const CLONE_NEWTIME: i32 = 0x80;
/// Without a map all users look alike.
const NO_USER: Expected = Some(&[("open", Code::PermDenied as i32, "has no number")]);
/// The library needs threads.
const NO_THREADS: Expected = Some(&[(
    "open",
    Code::InsufficientResources as i32,
    "after unshare(CLONE_NEWPID), with older kernels also of CLONE_NEWTIME, only children can start threads",
)]);

/// Whether this kernel starts threads of a thread that has asked for another time namespace for its children. For root.
pub(super) fn threads_after_time() -> bool {
    let starts = || unshare(CLONE_NEWTIME).is_ok() && std::thread::Builder::new().spawn(|| ()).is_ok();
    std::thread::spawn(starts).join().expect("no panic")
}

fn unshare(what: i32) -> Outcome {
    // SAFETY: plain flags.
    done(unsafe { libc::unshare(what) })
}

/// In it this user is `number`.
fn user_namespace(number: u32) -> Outcome {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(libc::CLONE_NEWUSER)?;
    let write = |file: &str, text: String| std::fs::write(format!("/proc/self/{file}"), text).map_err(|_| Errno::PERM);
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{number} {uid} 1"))?;
    write("gid_map", format!("{number} {gid} 1"))
}

fn nested_user_namespace(_: &mut Scene) -> Outcome {
    user_namespace(4711)?;
    user_namespace(4712)
}

/// Goes on as a child that is number 1 of its namespace.
fn first_process(_: &mut Scene) -> Outcome {
    unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS)?;
    // SAFETY: one thread; the parent does nothing but wait.
    let child = unsafe { libc::fork() };
    if child != 0 {
        let mut status = 0;
        // SAFETY: reaps the child, and ends as it did.
        unsafe {
            libc::waitpid(child, &raw mut status, 0);
            libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 });
        }
    }
    private_mounts()?;
    mount_at_proc(c"proc", None)
}

// /proc.

/// The caller's memory cannot be looked at.
const NO_MAPS: &str = "cannot read /proc/self/maps";
/// Nothing more can be adopted, nor given back; all else is right.
const MEMBER_AFTER: Expected = Some(&[
    ("adopt-again", Code::CtlrNotPresent as i32, NO_MAPS),
    ("destroy-adopted", Code::CtlrNotPresent as i32, NO_MAPS),
]);
const MEMBER_BEFORE: Expected =
    Some(&[("adopt", Code::CtlrNotPresent as i32, NO_MAPS), ("adopt-again", Code::CtlrNotPresent as i32, NO_MAPS)]);
/// An agent cannot serve.
const AGENT_BEFORE: Expected =
    Some(&[("open", Code::CtlrNotPresent as i32, "memory cannot be shared by /proc/thread-self/fd: ")]);
/// Nor can one that has lost it. What it cannot make sure of it does not say.
const AGENT_AFTER: Expected = Some(&[
    ("connect-own", Code::CtlrNotPresent as i32, "memory cannot be shared by /proc/thread-self/fd: "),
    ("adopt-again", Code::CtlrNotPresent as i32, NO_MAPS),
    ("unpublish", Code::CtlrNotPresent as i32, NO_MAPS),
    ("destroy-adopted", Code::CtlrNotPresent as i32, NO_MAPS),
]);
/// The agent's thread has the old one, and asks the kernel: the children that mount the other have a copy of the import.
const CHILDREN_AFTER: Expected = Some(&[
    ("adopt-again", Code::CtlrNotPresent as i32, NO_MAPS),
    ("unpublish", Code::CtlrNotPresent as i32, NO_MAPS),
    ("destroy-adopted", Code::CtlrNotPresent as i32, NO_MAPS),
]);

pub(super) const PROC: &[Row] = &[
    row("chroot", Needs::Root, change_root, [MEMBER_BEFORE, MEMBER_AFTER, AGENT_BEFORE, AGENT_AFTER]),
    row("no /proc", Needs::Mounts, cover_proc, [MEMBER_BEFORE, MEMBER_AFTER, AGENT_BEFORE, MEMBER_AFTER]),
    row("a false /proc", Needs::Mounts, false_proc, [MEMBER_BEFORE, MEMBER_AFTER, AGENT_BEFORE, MEMBER_AFTER]),
    row("/proc of others", Needs::Mounts, foreign_proc, [MEMBER_BEFORE, MEMBER_AFTER, AGENT_BEFORE, CHILDREN_AFTER]),
    row("hidepid", Needs::Mounts, hide_pids, ALL_RIGHT),
];

fn change_root(_: &mut Scene) -> Outcome {
    // A directory that has no /proc.
    rustix::process::chroot(std::env::temp_dir())?;
    rustix::process::chdir("/")
}

/// A mount namespace of its own.
fn private_mounts() -> Outcome {
    unshare(libc::CLONE_NEWNS)?;
    // SAFETY: C strings, and nothing where nothing is needed.
    done(unsafe {
        libc::mount(
            c"none".as_ptr(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_PRIVATE | libc::MS_REC,
            std::ptr::null(),
        )
    })
}

/// Mounts a file system at /proc.
fn mount_at_proc(kind: &CStr, options: Option<&CStr>) -> Outcome {
    let options = options.map_or(std::ptr::null(), |options| options.as_ptr().cast());
    // SAFETY: C strings.
    done(unsafe { libc::mount(kind.as_ptr(), c"/proc".as_ptr(), kind.as_ptr(), 0, options) })
}

fn cover_proc(_: &mut Scene) -> Outcome {
    private_mounts()?;
    mount_at_proc(c"tmpfs", None)
}

/// Files that look like those of a process, and lie.
fn false_proc(scene: &mut Scene) -> Outcome {
    cover_proc(scene)?;
    for directory in ["self", "thread-self", "thread-self/fd"] {
        std::fs::create_dir(format!("/proc/{directory}")).map_err(|_| Errno::IO)?;
    }
    let write = |file: &str, text: &str| std::fs::write(format!("/proc/{file}"), text).map_err(|_| Errno::IO);
    for number in 0..64 {
        write(&format!("thread-self/fd/{number}"), "nothing")?;
    }
    write("self/maps", "0-7fffffffffff rw-p 00000000 00:00 0 [heap]\n")?;
    write("self/uid_map", "0 0 4294967295\n")?;
    write("thread-self/status", "Name:\tx\nUmask:\t0777\n")?;
    write("meminfo", "MemAvailable: 4 kB\n")
}

/// The process file system of a PID namespace that this process is not in.
fn foreign_proc(_: &mut Scene) -> Outcome {
    private_mounts()?;
    // SAFETY: two children that make system calls only.
    unsafe {
        let (mut ready, mut byte) = ([0; 2], 0u8);
        done(libc::pipe2(ready.as_mut_ptr(), libc::O_CLOEXEC))?;
        if libc::fork() == 0 {
            libc::unshare(libc::CLONE_NEWPID);
            if libc::fork() == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                let none = std::ptr::null();
                let mounted = libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, none);
                byte = u8::from(mounted == 0);
                libc::write(ready[1], (&raw const byte).cast(), 1);
                libc::close(1);
                libc::close(2);
                libc::alarm(30);
                libc::pause();
            } else {
                libc::close(1);
                libc::close(2);
                // As long as the program.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(30);
                libc::pause();
            }
            libc::_exit(0);
        }
        libc::read(ready[0], (&raw mut byte).cast(), 1);
        libc::close(ready[0]);
        libc::close(ready[1]);
        if byte == 1 { Ok(()) } else { Err(Errno::PERM) }
    }
}

fn hide_pids(_: &mut Scene) -> Outcome {
    private_mounts()?;
    // SAFETY: a C string.
    done(unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) })?;
    mount_at_proc(c"proc", Some(c"hidepid=2"))
}

// Users.

/// The agent's objects belong to the user that it was.
const OLD_USER: Expected = Some(&[("connect-own", Code::PermDenied as i32, "it belongs to another user")]);

pub(super) const USERS: &[Row] = &[
    row("setuid", Needs::Root, |_| become_nobody(), [RIGHT, RIGHT, RIGHT, OLD_USER]),
    row("seteuid", Needs::Root, |_| become_effectively_nobody(), [RIGHT, RIGHT, RIGHT, OLD_USER]),
    Row {
        name: "set-user-id",
        needs: Needs::RaisedRights,
        change: Change::SetUserId,
        cells: [Some(&[("open", Code::CtlrNotPresent as i32, "RSM_CLUSTER is not believed")]), None, RIGHT, None],
    },
    row("no new privileges", Needs::Nothing, |_| no_new_privileges(), ALL_RIGHT),
    row("not dumpable", Needs::Nothing, |_| not_dumpable(), ALL_RIGHT),
];

fn become_nobody() -> Outcome {
    // SAFETY: plain calls; the groups go first, while they may.
    unsafe {
        done(libc::setgroups(0, std::ptr::null()))?;
        done(libc::setresgid(NOBODY, NOBODY, NOBODY))?;
        done(libc::setresuid(NOBODY, NOBODY, NOBODY))
    }
}

fn become_effectively_nobody() -> Outcome {
    // SAFETY: as above.
    unsafe {
        done(libc::setegid(NOBODY))?;
        done(libc::seteuid(NOBODY))
    }
}

fn no_new_privileges() -> Outcome {
    // SAFETY: plain integers.
    done(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

fn not_dumpable() -> Outcome {
    // SAFETY: plain integers.
    done(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

// Limits.

const NO_DESCRIPTOR: &str = "limit of open descriptors is reached (see ulimit -n)";
const FULL: Expected = Some(&[("open", Code::InsufficientResources as i32, NO_DESCRIPTOR)]);
/// What was opened goes on; nothing more is.
const MEMBER_FULL: Expected = Some(&[
    ("connect-own", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("export-again", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("adopt-again", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("destroy-adopted", Code::InsufficientResources as i32, NO_DESCRIPTOR),
]);
const AGENT_FULL: Expected = Some(&[
    ("connect-own", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("export-again", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("adopt-again", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("unpublish", Code::InsufficientResources as i32, NO_DESCRIPTOR),
    ("destroy-adopted", Code::InsufficientResources as i32, NO_DESCRIPTOR),
]);
const NO_ROOM: Expected = Some(&[("open", Code::InsufficientMem as i32, "no address space")]);
const NO_STACK: Expected = Some(&[("open", Code::InsufficientResources as i32, "cannot start a thread")]);
const NO_FILE: Expected = Some(&[("open", Code::BadLength as i32, "(`ulimit -f`)")]);
const NO_FILE_AFTER: Expected = Some(&[
    ("export-again", Code::BadLength as i32, "(`ulimit -f`)"),
    ("adopt-again", Code::BadLength as i32, "(`ulimit -f`)"),
]);

pub(super) const LIMITS: &[Row] = &[
    row(
        "limit of descriptors",
        Needs::Nothing,
        |_| limit(libc::RLIMIT_NOFILE, 3),
        [FULL, MEMBER_FULL, FULL, AGENT_FULL],
    ),
    row(
        "limit of address space",
        Needs::Nothing,
        |scene| limit_to_used(scene, libc::RLIMIT_AS, "VmSize:"),
        [NO_ROOM, RIGHT, NO_STACK, RIGHT],
    ),
    row(
        "limit of data",
        Needs::Nothing,
        |scene| limit_to_used(scene, libc::RLIMIT_DATA, "VmData:"),
        [NO_STACK, RIGHT, NO_STACK, RIGHT],
    ),
    row("limit of locked memory", Needs::Nothing, |_| limit(libc::RLIMIT_MEMLOCK, 0), ALL_RIGHT),
    row("limit of file size", Needs::Nothing, |_| limit(libc::RLIMIT_FSIZE, 0), [RIGHT, RIGHT, NO_FILE, NO_FILE_AFTER]),
    row("limit of processes", Needs::Root, limit_processes, [NO_STACK, RIGHT, NO_STACK, OLD_USER]),
    row("limit of stack", Needs::Nothing, |_| limit(libc::RLIMIT_STACK, 64 << 10), ALL_RIGHT),
    row("limit of pending signals", Needs::Nothing, |_| limit(libc::RLIMIT_SIGPENDING, 0), ALL_RIGHT),
    row("limit of core size", Needs::Nothing, |_| limit(libc::RLIMIT_CORE, 0), ALL_RIGHT),
];

fn limit(what: libc::__rlimit_resource_t, most: u64) -> Outcome {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the kernel reads the structure.
    done(unsafe { libc::setrlimit(what, &raw const limit) })
}

/// To what is used, by a line of `/proc/self/status`, and room for small things: not for the stack of a thread, as long as
/// none is there. Afterwards each of them may take some, and without a few bytes a program ends.
fn limit_to_used(scene: &Scene, what: libc::__rlimit_resource_t, line: &str) -> Outcome {
    // A thread that was made a moment ago needs memory to begin, and a Rust program ends when it gets none.
    let begun = || {
        let threads = std::fs::read_dir("/proc/self/task").map_err(|_| Errno::IO)?.flatten();
        let states = threads.map(|thread| std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default());
        let busy = states.filter(|stat| !stat.contains(") S ")).count();
        Ok(busy <= 1)
    };
    while !begun()? {
        std::thread::yield_now();
    }
    let status = std::fs::read_to_string("/proc/self/status").map_err(|_| Errno::IO)?;
    let used = status.lines().find_map(|l| l.strip_prefix(line)?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let room = if scene.after { 16 << 10 } else { 224 };
    limit(what, (used.ok_or(Errno::IO)? + room) << 10)
}

fn limit_processes(_: &mut Scene) -> Outcome {
    become_nobody()?;
    limit(libc::RLIMIT_NPROC, 0)
}

// Control groups.

const MOST_MEMORY: usize = 160 << 20;
const MEMORY: Limits = Limits {
    controller: "memory",
    limits: &[
        Limit { unified: ("memory.max", "160M"), own: ("memory.limit_in_bytes", "160M"), optional: false },
        Limit { unified: ("memory.swap.max", "0"), own: ("memory.memsw.limit_in_bytes", "160M"), optional: true },
    ],
};
/// No process or thread more.
const PIDS: Limits = Limits {
    controller: "pids",
    limits: &[Limit { unified: ("pids.max", "1"), own: ("pids.max", "1"), optional: false }],
};
/// A tenth of a processor.
const CPU: Limits = Limits {
    controller: "cpu",
    limits: &[
        Limit { unified: ("cpu.max", "10000 100000"), own: ("cpu.cfs_period_us", "100000"), optional: false },
        Limit { unified: ("cpu.max", "10000 100000"), own: ("cpu.cfs_quota_us", "10000"), optional: false },
    ],
};

const fn group(
    name: &'static str,
    limits: &'static Limits,
    then: fn(&mut Scene) -> Outcome,
    cells: [Expected; 4],
) -> Row {
    Row { name, needs: Needs::Nothing, change: Change::Enter(limits, then), cells }
}

pub(super) const GROUPS: &[Row] = &[
    group("control group with little memory", &MEMORY, export_too_much, ALL_RIGHT),
    group("control group with no process more", &PIDS, |_| Ok(()), [NO_STACK, RIGHT, NO_STACK, RIGHT]),
    group("control group with a tenth of a processor", &CPU, |_| Ok(()), ALL_RIGHT),
];

/// What the group has no room for is refused, and nobody is killed for it.
fn export_too_much(scene: &mut Scene) -> Outcome {
    let refused = |what: &str, told: Result<()>| match told {
        Err(error) if error.code() == Code::InsufficientMem => Ok(()),
        told => Err(Error::with(Code::InternalError, format!("{what} of too much: {told:?}"))),
    };
    scene.checks.push(Box::new(move || {
        let controller = Controller::open("shm0")?;
        refused("export", controller.export(2 * MOST_MEMORY).map(drop))?;
        let (access, kind) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: fresh memory, for good, that nobody else knows.
        let adopted = unsafe {
            let fresh = rustix::mm::mmap_anonymous(std::ptr::null_mut(), 2 * MOST_MEMORY, access, kind);
            controller.adopt(fresh.expect("addresses").cast(), 2 * MOST_MEMORY)
        };
        refused("adopt", adopted.map(drop))
    }));
    Ok(())
}

// Signals.

pub(super) const SIGNALS: &[Row] = &[
    row("all signals are blocked", Needs::Nothing, |_| block_all(), ALL_RIGHT),
    row("all signals are ignored", Needs::Nothing, |_| ignore_all(), ALL_RIGHT),
    row("handlers run all the time", Needs::Nothing, |_| timer(), ALL_RIGHT),
];

fn block_all() -> Outcome {
    // SAFETY: plain calls on an initialised set.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        done(libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()))
    }
}

fn ignore_all() -> Outcome {
    for signal in (1..=31).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)) {
        // SAFETY: no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(())
}

/// How often a handler of this program has run.
pub(super) fn handled() -> u64 {
    HANDLED.load(Relaxed)
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

/// A profiler's timer: no call takes so long that it may be interrupted.
fn timer() -> Outcome {
    extern "C" fn count(_: libc::c_int) {
        HANDLED.fetch_add(1, Relaxed);
    }
    // SAFETY: a handler that counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        done(libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut()))?;
        let every = libc::timeval { tv_sec: 0, tv_usec: 1000 };
        let value = libc::itimerval { it_interval: every, it_value: every };
        done(libc::setitimer(libc::ITIMER_PROF, &raw const value, std::ptr::null_mut()))
    }
}

// Relatives.

pub(super) const RELATIVES: &[Row] = &[
    row("children by clone", Needs::Nothing, |scene| child_calls(scene, &|| clone(0)), ALL_RIGHT),
    row("children by _Fork", Needs::Nothing, |scene| child_calls(scene, &underscore_fork), ALL_RIGHT),
    row("children by vfork", Needs::Nothing, |scene| sharing_child_calls(scene, libc::CLONE_VFORK), ALL_RIGHT),
    row("children that share memory", Needs::Nothing, |scene| sharing_child_calls(scene, 0), ALL_RIGHT),
    row("children by fork", Needs::Nothing, |_| forked_child_calls(), ALL_RIGHT),
    row("fork in atexit", Needs::Nothing, |_| fork_at_exit(), ALL_RIGHT),
    row("fork in destructors of threads", Needs::Nothing, fork_in_destructors, ALL_RIGHT),
];

/// What a child says that calls the library: 0, or the number of its error.
fn call() -> i32 {
    let made = Controller::open("shm0").and_then(|controller| controller.export(page_size())?.destroy());
    made.err().map_or(0, |error| error.code().number())
}

fn clone(flags: i32) -> i32 {
    let none = 0usize;
    // SAFETY: without CLONE_VM a copy of this process, on its copy of the stack.
    i32::try_from(unsafe { libc::syscall(libc::SYS_clone, i64::from(flags | libc::SIGCHLD), none, none, none, none) })
        .unwrap_or(-1)
}

fn underscore_fork() -> i32 {
    unsafe extern "C" {
        fn _Fork() -> i32;
    }
    // SAFETY: as fork, without what libraries asked for.
    unsafe { _Fork() }
}

fn ended_with(child: i32, expected: i32) -> Outcome {
    let mut status = 0;
    // SAFETY: reaps the child.
    done(unsafe { libc::waitpid(child, &raw mut status, 0) })?;
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == expected { Ok(()) } else { Err(Errno::CHILD) }
}

/// A child that no hook ran for: a process of its own before the library is used, and refused afterwards.
fn child_calls(scene: &Scene, make: &dyn Fn() -> i32) -> Outcome {
    for _ in 0..3 {
        let child = make();
        if child == 0 {
            let said = call();
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe {
                libc::alarm(20);
                libc::_exit(said)
            };
        }
        ended_with(child, if scene.after { Code::CtlrNotPresent.number() } else { 0 })?;
    }
    Ok(())
}

/// A child that shares all of the parent's memory: it may not call, neither before the parent has nor afterwards.
fn sharing_child_calls(scene: &Scene, flags: i32) -> Outcome {
    extern "C" fn body(_: *mut libc::c_void) -> i32 {
        call()
    }
    if !scene.after && !can_compare() {
        return Ok(()); // a kernel without kcmp(2), or a filter: nobody can tell then
    }
    let mut stack = vec![0u128; 16 << 10];
    let top = stack.as_mut_ptr_range().end;
    let flags = flags | libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: a stack of its own, which outlives it; what it does is to be refused, and leaves nothing behind.
    let child = unsafe { libc::clone(body, top.cast(), flags, std::ptr::null_mut()) };
    ended_with(child, Code::CtlrNotPresent.number())
}

/// Whether processes can be asked if they share their memory.
fn can_compare() -> bool {
    const VM: i32 = 1;
    let own = std::process::id();
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, own, own, VM, 0, 0) == 0 }
}

fn forked_child_calls() -> Outcome {
    // SAFETY: the child makes calls that a forked child may make.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let said = call();
        // SAFETY: as above.
        unsafe { libc::_exit(said) };
    }
    ended_with(child, 0)
}

extern "C" fn fork_and_wait() {
    // SAFETY: a child that does nothing.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(0);
        }
        let mut status = 0;
        if libc::waitpid(child, &raw mut status, 0) != child || status != 0 {
            libc::_exit(90);
        }
    }
}

fn fork_at_exit() -> Outcome {
    // One before, as any program may.
    fork_and_wait();
    // SAFETY: a function of the right type.
    done(unsafe { libc::atexit(fork_and_wait) })
}

fn fork_in_destructors(scene: &mut Scene) -> Outcome {
    struct Forks;
    impl Drop for Forks {
        fn drop(&mut self) {
            fork_and_wait();
        }
    }
    thread_local! {
        static FORKS: Forks = const { Forks };
    }
    extern "C" fn destructor(_: *mut libc::c_void) {
        fork_and_wait();
    }
    let thread = || -> Result<()> {
        let body = || {
            FORKS.with(|_| ());
            fork_and_wait();
            // SAFETY: a key with a value, whose destructor runs at the end of this thread, after those of Rust.
            unsafe {
                let mut key = 0;
                libc::pthread_key_create(&raw mut key, Some(destructor));
                libc::pthread_setspecific(key, std::ptr::without_provenance(1));
            }
        };
        let failed = |_| Error::with(Code::InternalError, "a thread panicked");
        std::thread::spawn(body).join().map_err(failed)
    };
    scene.checks.push(Box::new(thread));
    FORKS.with(|_| ());
    Ok(())
}
