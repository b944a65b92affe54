//! The system calls that can be refused, and with what: what their manual pages name and a machine can give.

use rustix::io::Errno;

/// A system call.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    number: libc::c_long,
    errnos: &'static [Errno],
}

macro_rules! calls {
    ($($(#[$attribute:meta])* $name:ident $number:ident: $($errno:ident)*;)*) => {
        /// All of them.
        pub(crate) const CALLS: &[Call] = &[$(
            $(#[$attribute])*
            Call { name: stringify!($name), number: libc::$number, errnos: &[$(Errno::$errno),*] },
        )*];
    };
}

calls! {
    mmap SYS_mmap: NOMEM AGAIN NFILE PERM;
    munmap SYS_munmap: NOMEM;
    mremap SYS_mremap: NOMEM AGAIN;
    mprotect SYS_mprotect: NOMEM ACCESS;
    madvise SYS_madvise: NOMEM AGAIN;
    mincore SYS_mincore: NOMEM AGAIN;
    memfd_create SYS_memfd_create: NOMEM MFILE NFILE ACCESS;
    ftruncate SYS_ftruncate: INTR FBIG IO PERM NOMEM;
    fallocate SYS_fallocate: INTR NOSPC IO FBIG PERM;
    fcntl SYS_fcntl: ;
    openat SYS_openat: NOMEM MFILE NFILE INTR ACCESS PERM NOSPC DQUOT IO;
    #[cfg(target_arch = "x86_64")]
    open SYS_open: NOMEM MFILE NFILE INTR ACCESS PERM NOSPC DQUOT IO;
    read SYS_read: INTR IO NOMEM;
    readv SYS_readv: INTR IO;
    pread64 SYS_pread64: INTR IO;
    write SYS_write: INTR IO NOSPC DQUOT FBIG;
    writev SYS_writev: INTR IO NOSPC DQUOT FBIG;
    close SYS_close: INTR IO NOSPC DQUOT;
    fsync SYS_fsync: IO NOSPC DQUOT;
    mkdirat SYS_mkdirat: NOSPC DQUOT ACCESS NOMEM IO;
    #[cfg(target_arch = "x86_64")]
    mkdir SYS_mkdir: NOSPC DQUOT ACCESS NOMEM IO;
    #[cfg(target_arch = "x86_64")]
    rename SYS_rename: NOSPC DQUOT ACCESS NOMEM IO;
    renameat SYS_renameat: NOSPC DQUOT ACCESS NOMEM IO;
    readlinkat SYS_readlinkat: ACCESS NOMEM IO;
    #[cfg(target_arch = "x86_64")]
    readlink SYS_readlink: ACCESS NOMEM IO;
    getdents64 SYS_getdents64: NOMEM IO;
    newfstatat SYS_newfstatat: NOMEM ACCESS;
    statx SYS_statx: NOMEM ACCESS;
    dup SYS_dup: MFILE;
    dup3 SYS_dup3: MFILE INTR;
    #[cfg(target_arch = "x86_64")]
    dup2 SYS_dup2: MFILE INTR;
    pipe2 SYS_pipe2: MFILE NFILE;
    socket SYS_socket: NOMEM MFILE NFILE ACCESS;
    socketpair SYS_socketpair: NOMEM MFILE NFILE;
    bind SYS_bind: NOMEM ACCESS ADDRINUSE;
    connect SYS_connect: AGAIN INTR ACCESS PERM NOMEM;
    accept4 SYS_accept4: NOMEM MFILE NFILE INTR AGAIN NOBUFS CONNABORTED PERM NOSYS;
    sendmsg SYS_sendmsg: NOMEM INTR NOBUFS AGAIN TOOMANYREFS;
    sendto SYS_sendto: NOMEM INTR NOBUFS;
    recvmsg SYS_recvmsg: NOMEM INTR AGAIN;
    recvfrom SYS_recvfrom: NOMEM INTR AGAIN;
    getsockopt SYS_getsockopt: ;
    setsockopt SYS_setsockopt: NOMEM;
    #[cfg(target_arch = "x86_64")]
    poll SYS_poll: NOMEM INTR;
    ppoll SYS_ppoll: NOMEM INTR;
    epoll_create1 SYS_epoll_create1: NOMEM MFILE NFILE;
    epoll_ctl SYS_epoll_ctl: NOMEM NOSPC;
    #[cfg(target_arch = "x86_64")]
    epoll_wait SYS_epoll_wait: INTR;
    epoll_pwait SYS_epoll_pwait: INTR;
    epoll_pwait2 SYS_epoll_pwait2: INTR;
    eventfd2 SYS_eventfd2: NOMEM MFILE NFILE;
    signalfd4 SYS_signalfd4: NOMEM MFILE NFILE;
    timerfd_create SYS_timerfd_create: NOMEM MFILE NFILE;
    futex SYS_futex: ;
    futex_waitv SYS_futex_waitv: INTR AGAIN NOMEM;
    userfaultfd SYS_userfaultfd: NOMEM MFILE NFILE PERM;
    ioctl SYS_ioctl: ;
    pidfd_open SYS_pidfd_open: NOMEM MFILE NFILE PERM;
    pidfd_send_signal SYS_pidfd_send_signal: PERM;
    kill SYS_kill: PERM;
    clone SYS_clone: AGAIN NOMEM;
    clone3 SYS_clone3: AGAIN NOMEM;
    #[cfg(target_arch = "x86_64")]
    fork SYS_fork: AGAIN NOMEM;
    #[cfg(target_arch = "x86_64")]
    vfork SYS_vfork: AGAIN NOMEM;
    execve SYS_execve: NOMEM MFILE NFILE ACCESS AGAIN IO;
    unshare SYS_unshare: NOMEM PERM;
    close_range SYS_close_range: NOMEM MFILE;
    getrandom SYS_getrandom: INTR;
    prlimit64 SYS_prlimit64: PERM;
    wait4 SYS_wait4: INTR;
    waitid SYS_waitid: INTR;
}

/// Numbers of the calls that the filter hands to the listener.
pub(crate) fn numbers() -> Vec<u32> {
    CALLS.iter().map(|call| call.number as u32).collect()
}

/// The call of that number.
pub(crate) fn of(number: libc::c_int) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number == libc::c_long::from(number))
}

/// `MADV_COLLAPSE`, which libc does not name for every system.
const COLLAPSE: libc::c_int = 25;

/// Commands of `ioctl` on a userfaultfd.
const UFFD: u64 = 0xAA;

impl Call {
    /// With what this one may be refused; nothing when it is not to be counted.
    pub(crate) fn errnos(&self, arguments: &[u64; 6], who: &str, thread: i32) -> &'static [Errno] {
        let [first, second, third, fourth, ..] = *arguments;
        let (second32, third32) = (second as libc::c_int, third as libc::c_int);
        match self.name {
            // The runtime's alternative signal stack, of which it says itself that it ends the process without one.
            "mmap" if is_signal_stack(third, fourth) => &[],
            "mprotect" if who != super::scene::MAIN && third32 == libc::PROT_NONE => &[],
            "openat" if third32 & libc::O_CREAT == 0 => READING,
            "open" if second32 & libc::O_CREAT == 0 => READING,
            "fcntl" => match second32 {
                libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => &[Errno::MFILE],
                libc::F_SETLEASE => &[Errno::AGAIN, Errno::ACCESS, Errno::NOMEM],
                _ => &[],
            },
            "futex" => match second32 & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME) {
                libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => &[Errno::INTR, Errno::AGAIN],
                _ => &[],
            },
            "sendmsg" => match (third32 & libc::MSG_DONTWAIT != 0, has_descriptors(thread, second)) {
                (true, true) => &[Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN, Errno::TOOMANYREFS],
                (true, false) => &[Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN],
                (false, true) => &[Errno::NOMEM, Errno::NOBUFS, Errno::INTR, Errno::TOOMANYREFS],
                (false, false) => &[Errno::NOMEM, Errno::NOBUFS, Errno::INTR],
            },
            "recvmsg" if third32 & libc::MSG_DONTWAIT == 0 => &[Errno::NOMEM, Errno::INTR],
            "recvmsg" => &[Errno::NOMEM, Errno::AGAIN],
            // The runtime's, which hears how the exec of a child went, and does not expect to be refused.
            "recvfrom" if third == 8 => &[],
            // A filter that came with the machine, which those meet who start a cluster there.
            "ppoll" if LAUNCHERS.contains(&who) => &[Errno::NOMEM, Errno::INTR, Errno::NOSYS, Errno::PERM],
            // Looking at a limit, which the C library is asked for.
            "prlimit64" if third == 0 => &[Errno::NOSYS, Errno::PERM],
            "epoll_ctl" if second32 != libc::EPOLL_CTL_ADD => &[],
            // SO_PEERPIDFD makes a descriptor.
            "getsockopt" if third32 == 77 => &[Errno::NOMEM, Errno::MFILE, Errno::NFILE],
            "ioctl" if second >> 8 & 0xff == UFFD => match second & 0xff {
                0x00 => &[Errno::NOMEM, Errno::AGAIN, Errno::PERM], // register
                0x06 => &[Errno::AGAIN, Errno::NOMEM],              // write-protect
                0x3f => &[Errno::PERM],                             // api
                _ => &[],
            },
            // A descriptor for the other side of a terminal.
            "ioctl" if second as libc::Ioctl == libc::TIOCGPTPEER => {
                &[Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::IO]
            }
            // One mapping of the process (`PROCMAP_QUERY`).
            "ioctl" if second & 0xffff == u64::from(b'f') << 8 | 17 => &[Errno::NOMEM],
            "ioctl" => &[],
            // No huge page, or none now, no room for it in the control group, or none for memory of this kind.
            "madvise" if third32 == COLLAPSE => &[Errno::NOMEM, Errno::AGAIN, Errno::BUSY, Errno::INVAL],
            // Only what is on a disk has no room there, or fails so late.
            "read" | "readv" | "write" | "writev" | "close" => match target(thread, first) {
                Target::Disk => self.errnos,
                _ if self.name == "close" => &[],
                // A page for what is written.
                Target::Pipe if self.name == "write" => &[Errno::INTR, Errno::NOMEM],
                // In the background of a session that has ended.
                Target::Terminal if self.name == "read" => &[Errno::INTR, Errno::IO],
                Target::Proc if self.name == "read" => &[Errno::INTR, Errno::NOMEM],
                _ => &[Errno::INTR],
            },
            _ => self.errnos,
        }
    }
}

/// Who waits for the processes of a run.
const LAUNCHERS: [&str; 2] = ["front", "warden"];

/// What an open meets that makes no file.
const READING: &[Errno] =
    &[Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::INTR, Errno::ACCESS, Errno::PERM, Errno::IO];

/// A stack that the runtime makes for handlers on a new thread: unlike the thread's own it is usable at once.
fn is_signal_stack(protection: u64, flags: u64) -> bool {
    protection as libc::c_int == libc::PROT_READ | libc::PROT_WRITE && flags as libc::c_int & libc::MAP_STACK != 0
}

/// Whether a message that a thread sends brings descriptors along.
fn has_descriptors(thread: i32, message: u64) -> bool {
    use std::os::unix::fs::FileExt;
    // Behind the name, the vector and the pointer to the control messages: their length.
    let mut length = [0; 8];
    let memory = std::fs::File::open(format!("/proc/{thread}/mem"));
    memory.and_then(|memory| memory.read_exact_at(&mut length, message + 40)).is_ok() && length != [0; 8]
}

/// What a descriptor leads to.
enum Target {
    Disk,
    Proc,
    Pipe,
    /// Whose other side says EIO for its end only.
    Terminal,
    Other,
}

fn target(thread: i32, fd: u64) -> Target {
    let target = std::fs::read_link(format!("/proc/{thread}/fd/{fd}")).unwrap_or_default();
    let target = target.to_string_lossy();
    if target.starts_with("/proc/") {
        Target::Proc
    } else if target.starts_with("pipe:") {
        Target::Pipe
    } else if target.starts_with("/dev/pts/") {
        Target::Terminal
    } else if target.starts_with('/') && !target.starts_with("/dev/") && !target.starts_with("/memfd:") {
        Target::Disk
    } else {
        Target::Other
    }
}
