//! What orders threads: locks and the like, and whatever else they may tell each other something by.
//!
//! Each call is told before it is made, and then goes on in the C library as if it had not come here: with all its arguments,
//! and nothing of this on the stack. What a thread learns by it, it learns with the next thing that it tells of.

use crate::engine::{LEARNS_A, TELLS_A, THREADS, does};

// As librsm has them.
const BOTH: u32 = TELLS_A | LEARNS_A;
const TELLS_B: u32 = 4;
const LEARNS_B: u32 = 8;
/// The object is whatever threads tell each other anything by.
const ANYTHING: u32 = 16;
/// Another thread may do something in between.
const INTERRUPTS: u32 = 64;
/// It is not known what comes of it.
const UNKNOWN: u32 = 32;

/// Functions that tell what a thread does with the objects that are their first arguments, where that is to be told. What is
/// declared of them is not what they take: nobody calls them from Rust.
#[cfg(target_arch = "x86_64")]
macro_rules! objects {
    ($what:expr; $($name:ident)*) => {$(
        const _: () = {
            #[unsafe(export_name = concat!("__wrap_", stringify!($name)))]
            #[unsafe(naked)]
            extern "C" fn wrap() {
                std::arch::naked_asm!(
                    concat!(".weak __real_", stringify!($name)),
                    "mov r11, [rip + {threads}]",
                    "cmp dword ptr [r11], 0",
                    "jne 3f",
                    "2:",
                    concat!("jmp qword ptr [rip + __real_", stringify!($name), "@GOTPCREL]"),
                    "3:",
                    // Seven words and the return address: the stack is aligned. How many vectors are passed is in al.
                    "push rax",
                    "push rdi",
                    "push rsi",
                    "push rdx",
                    "push rcx",
                    "push r8",
                    "push r9",
                    "sub rsp, 128",
                    "movaps [rsp], xmm0",
                    "movaps [rsp + 16], xmm1",
                    "movaps [rsp + 32], xmm2",
                    "movaps [rsp + 48], xmm3",
                    "movaps [rsp + 64], xmm4",
                    "movaps [rsp + 80], xmm5",
                    "movaps [rsp + 96], xmm6",
                    "movaps [rsp + 112], xmm7",
                    "mov rdx, rsi",
                    "mov rsi, rdi",
                    "mov edi, {what}",
                    "call {does}",
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
                    "jmp 2b",
                    threads = sym THREADS,
                    what = const $what,
                    does = sym does,
                )
            }
        };
    )*};
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! objects {
    ($what:expr; $($name:ident)*) => {$(
        const _: () = {
            #[unsafe(export_name = concat!("__wrap_", stringify!($name)))]
            #[unsafe(naked)]
            extern "C" fn wrap() {
                std::arch::naked_asm!(
                    concat!(".weak __real_", stringify!($name)),
                    "adrp x16, {threads}",
                    "ldr x16, [x16, :lo12:{threads}]",
                    "ldr w16, [x16]",
                    "cbnz w16, 3f",
                    "2:",
                    concat!("adrp x16, :got:__real_", stringify!($name)),
                    concat!("ldr x16, [x16, :got_lo12:__real_", stringify!($name), "]"),
                    "br x16",
                    "3:",
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
                    "mov x2, x1",
                    "mov x1, x0",
                    "mov w0, #{what}",
                    "bl {does}",
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
                    "b 2b",
                    threads = sym THREADS,
                    what = const $what,
                    does = sym does,
                )
            }
        };
    )*};
}

// They give a lock back, or let others go on.
objects! { TELLS_A;
    pthread_mutex_unlock pthread_rwlock_unlock pthread_spin_unlock sem_post pthread_cond_signal
    pthread_cond_broadcast
}

// They take one; a few that fail learn what they need not.
objects! { LEARNS_A;
    pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock pthread_mutex_clocklock pthread_rwlock_rdlock
    pthread_rwlock_tryrdlock pthread_rwlock_timedrdlock pthread_rwlock_clockrdlock pthread_rwlock_wrlock
    pthread_rwlock_trywrlock pthread_rwlock_timedwrlock pthread_rwlock_clockwrlock pthread_spin_lock
    pthread_spin_trylock sem_wait sem_trywait sem_timedwait sem_clockwait
}

// They do both.
objects! { BOTH;
    pthread_barrier_wait
}

// They give the second object back, wait for the first, and take the second again.
objects! { LEARNS_A | TELLS_B | LEARNS_B;
    pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait
}

// Locks of C11.
objects! { BOTH | ANYTHING;
    mtx_lock mtx_trylock mtx_timedlock mtx_unlock cnd_signal cnd_broadcast cnd_wait cnd_timedwait call_once
}

// The system by itself, also for locks that a program makes of it.
objects! { BOTH | ANYTHING;
    syscall
}

// Pipes, sockets and their like.
objects! { BOTH | ANYTHING;
    read readv write writev send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg accept accept4 connect
    shutdown close poll ppoll select pselect epoll_wait epoll_pwait epoll_pwait2 epoll_ctl eventfd_read eventfd_write
    splice tee vmsplice sendfile sendfile64 timerfd_settime __read_chk __recv_chk __recvfrom_chk __poll_chk
    __ppoll_chk
}

// Files, and locks of them.
objects! { BOTH | ANYTHING;
    pread pread64 preadv preadv64 pwrite pwrite64 pwritev pwritev64 fcntl fcntl64 flock lockf lockf64 __pread_chk
    __pread64_chk
}

// Streams, which may be pipes.
objects! { BOTH | ANYTHING;
    fread fwrite fgets fgetc getc getline getdelim fputs fputc putc fprintf vfprintf fscanf __isoc99_fscanf
    __isoc23_fscanf fflush fclose flockfile ftrylockfile funlockfile __fread_chk __fgets_chk __fprintf_chk
    __vfprintf_chk
}

// What has another thread do something in between.
objects! { BOTH | ANYTHING | INTERRUPTS;
    kill raise tgkill sigqueue pthread_kill pthread_sigqueue pthread_cancel
}

// Signals that are waited for, and ends of processes.
objects! { BOTH | ANYTHING;
    sigwait sigwaitinfo sigtimedwait sigsuspend pause wait waitpid waitid
}

// Queues and semaphores of the system.
objects! { BOTH | ANYTHING;
    mq_send mq_timedsend mq_receive mq_timedreceive msgsnd msgrcv semop semtimedop aio_error aio_return aio_suspend
}

// They bring in code, or threads, of which nothing is known.
objects! { UNKNOWN;
    dlopen dlmopen dlsym dlvsym thrd_create timer_create mq_notify getaddrinfo_a clone
}
