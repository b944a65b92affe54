//! Functions of the C library by which a process may tell others something beside the RSMAPI, and what stands in their place.
//!
//! Each tells first, and then goes on in the C library as if the program had called there: with all its arguments, and nothing of
//! this on the stack.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::{AtomicUsize, fence};

/// What a call of a function may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    /// Something, always.
    Ever,
    /// If the descriptor that is this argument is neither standard output nor standard error.
    To(usize),
    /// Likewise, of a stream.
    ToStream(usize),
    /// Something; from now on at any time if this descriptor is one of those two, which may come to be of anything else by that.
    Anew(usize),
    /// Likewise, of a stream.
    AnewStream(usize),
    /// Something, unless what `fcntl` is to do, the second argument, is about this process alone.
    Control,
    /// Something, unless the system call of this number, the first argument, tells none but threads of the process.
    Number,
    /// From now on at any time, by memory that it is given.
    Memory,
    /// The same, if its arguments, those of `mmap`, ask for memory that others may have too, to write there.
    Mapped,
    /// From now on at any time, if it brings in code, whose calls are not led here: that of the path that is this argument.
    Code(usize),
}

/// A function.
pub(super) struct Call {
    /// Its name, with a zero.
    pub(super) name: &'static [u8],
    pub(super) tells: Tells,
    /// Where it is; 0 before that is known.
    pub(super) real: &'static AtomicUsize,
    /// What stands in its place.
    pub(super) wrap: usize,
}

/// Words that `calls` passes on, which are the arguments of a call.
pub(super) struct Arguments(*const usize);

impl Arguments {
    /// One of the first six.
    pub(super) fn get(&self, number: usize) -> usize {
        let at = if cfg!(target_arch = "x86_64") { 5 - number.min(5) } else { number.min(5) };
        // SAFETY: made by `calls` of at least six words, for as long as `told` runs.
        unsafe { self.0.add(at).read() }
    }
}

extern "C" fn told(call: usize, arguments: *const usize) {
    // Pairs with the Release of `Module::lead`: the jump here was by what that stored, and what is called next is loaded after this.
    fence(Acquire);
    if let Some(call) = CALLS.get(call) {
        super::told(call.tells, &Arguments(arguments));
    }
}

macro_rules! calls {
    (@one $number:expr; $name:ident) => {{
        static REAL: AtomicUsize = AtomicUsize::new(0);
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        extern "C" fn wrap() {
            std::arch::naked_asm!(
                // Seven words and the return address: the stack is aligned. How many vectors are passed is in al.
                "push rax",
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "mov rsi, rsp",
                "sub rsp, 128",
                "movaps [rsp], xmm0",
                "movaps [rsp + 16], xmm1",
                "movaps [rsp + 32], xmm2",
                "movaps [rsp + 48], xmm3",
                "movaps [rsp + 64], xmm4",
                "movaps [rsp + 80], xmm5",
                "movaps [rsp + 96], xmm6",
                "movaps [rsp + 112], xmm7",
                "mov edi, {number}",
                "call {told}",
                "movaps xmm0, [rsp]",
                "movaps xmm1, [rsp + 16]",
                "movaps xmm2, [rsp + 32]",
                "movaps xmm3, [rsp + 48]",
                "movaps xmm4, [rsp + 64]",
                "movaps xmm5, [rsp + 80]",
                "movaps xmm6, [rsp + 96]",
                "movaps xmm7, [rsp + 112]",
                "add rsp, 128",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "pop rax",
                "jmp qword ptr [rip + {real}]",
                number = const $number,
                told = sym told,
                real = sym REAL,
            )
        }
        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        extern "C" fn wrap() {
            std::arch::naked_asm!(
                "stp x29, x30, [sp, #-224]!",
                "stp x0, x1, [sp, #16]",
                "stp x2, x3, [sp, #32]",
                "stp x4, x5, [sp, #48]",
                "stp x6, x7, [sp, #64]",
                "str x8, [sp, #80]",
                "stp q0, q1, [sp, #96]",
                "stp q2, q3, [sp, #128]",
                "stp q4, q5, [sp, #160]",
                "stp q6, q7, [sp, #192]",
                "mov w0, #{number}",
                "add x1, sp, #16",
                "bl {told}",
                "ldp x0, x1, [sp, #16]",
                "ldp x2, x3, [sp, #32]",
                "ldp x4, x5, [sp, #48]",
                "ldp x6, x7, [sp, #64]",
                "ldr x8, [sp, #80]",
                "ldp q0, q1, [sp, #96]",
                "ldp q2, q3, [sp, #128]",
                "ldp q4, q5, [sp, #160]",
                "ldp q6, q7, [sp, #192]",
                "ldp x29, x30, [sp], #224",
                "adrp x16, {real}",
                "ldr x16, [x16, :lo12:{real}]",
                "br x16",
                number = const $number,
                told = sym told,
                real = sym REAL,
            )
        }
        (&REAL, wrap as extern "C" fn() as usize)
    }};
    ($($tells:expr => $($name:ident)*;)*) => {
        /// Their numbers.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number { $($($name,)*)* }

        /// All of them.
        pub(super) static CALLS: LazyCalls = LazyCalls;

        /// See [`CALLS`]: addresses of functions are no constants.
        pub(super) struct LazyCalls;

        impl LazyCalls {
            fn all() -> &'static [Call] {
                static ALL: std::sync::OnceLock<Vec<Call>> = std::sync::OnceLock::new();
                ALL.get_or_init(|| vec![$($({
                    let (real, wrap) = calls!(@one Number::$name as usize; $name);
                    Call { name: concat!(stringify!($name), "\0").as_bytes(), tells: $tells, real, wrap }
                },)*)*])
            }

            pub(super) fn get(&self, number: usize) -> Option<&'static Call> {
                Self::all().get(number)
            }

            pub(super) fn iter(&self) -> impl Iterator<Item = &'static Call> {
                Self::all().iter()
            }
        }
    };
}

calls! {
    // What is written to descriptors: files, pipes, sockets and their like.
    Tells::To(0) => write writev pwrite pwrite64 pwritev pwritev64 pwritev2 pwritev64v2 send sendto sendmsg sendmmsg shutdown
        lseek lseek64 ioctl tcsetattr setsockopt listen ftruncate ftruncate64 fallocate fallocate64 posix_fallocate
        posix_fallocate64 fchmod fchown futimens futimes fsetxattr fremovexattr sendfile sendfile64 eventfd_write
        timerfd_settime flock lockf lockf64 dprintf vdprintf __dprintf_chk __vdprintf_chk connect accept accept4 bind;
    Tells::Control => fcntl fcntl64;
    Tells::Anew(0) => close;
    Tells::Anew(1) => dup2 dup3;
    Tells::To(1) => tee;
    Tells::To(2) => splice copy_file_range;
    Tells::Ever => vmsplice close_range closefrom aio_write aio_write64 lio_listio lio_listio64 process_vm_writev;
    // Streams, which may be any of these.
    Tells::ToStream(0) => fprintf vfprintf __fprintf_chk __vfprintf_chk fwprintf vfwprintf __fwprintf_chk
        __vfwprintf_chk __overflow __woverflow fflush fflush_unlocked pclose fseek fseeko fseeko64 fsetpos fsetpos64 rewind;
    Tells::ToStream(1) => fputs fputc putc _IO_putc fputs_unlocked fputc_unlocked putc_unlocked fputws
        fputws_unlocked fputwc fputwc_unlocked putwc putwc_unlocked putw;
    Tells::ToStream(3) => fwrite fwrite_unlocked;
    Tells::AnewStream(0) => fclose;
    Tells::AnewStream(2) => freopen freopen64;
    // What there is by name. Opening may make it, take the only place, or let somebody go on who opens the other end.
    Tells::Ever => open open64 openat openat64 creat creat64 __open_2 __open64_2 __openat_2 __openat64_2 fopen fopen64 fdopen
        mkdir mkdirat rmdir unlink unlinkat remove rename renameat renameat2 link linkat symlink symlinkat
        mkfifo mkfifoat mknod mknodat truncate truncate64 chmod fchmodat chown lchown utime utimes utimensat setxattr
        lsetxattr removexattr lremovexattr mkstemp mkostemp mkdtemp mkstemp64 mkostemp64 tmpfile tmpfile64 shm_open shm_unlink;
    // Other processes, and signals to them.
    Tells::Ever => fork vfork clone posix_spawn posix_spawnp system popen execve execv execvp execvpe execl execle execlp
        fexecve execveat _exit _Exit quick_exit kill killpg tgkill sigqueue pidfd_send_signal ptrace;
    // Queues and semaphores of the system, and whatever else is asked of it by number.
    Tells::Ever => mq_send mq_timedsend mq_receive mq_timedreceive mq_open mq_close mq_unlink mq_notify mq_setattr msgget
        msgsnd msgrcv msgctl semget semop semtimedop semctl shmget shmctl sem_unlink;
    Tells::Number => syscall;
    Tells::Memory => shmat sem_open;
    Tells::Mapped => mmap mmap64;
    Tells::Code(0) => dlopen;
    Tells::Code(1) => dlmopen;
}
