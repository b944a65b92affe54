//! What orders threads: locks and the like, and whatever else they may tell each other something by.

use crate::call::objects;
use crate::engine::{LEARNS_A, TELLS_A};

// As librsm has them.
pub(crate) const BOTH: u32 = TELLS_A | LEARNS_A;
const TELLS_B: u32 = 4;
const LEARNS_B: u32 = 8;
/// The object is whatever threads tell each other anything by.
const ANYTHING: u32 = 16;
/// Another thread may do something in between.
const INTERRUPTS: u32 = 64;
/// It is not known what comes of it.
pub(crate) const UNKNOWN: u32 = 32;

// They give a lock back, or let others go on.
objects! { GIVE = TELLS_A;
    pthread_mutex_unlock pthread_rwlock_unlock pthread_spin_unlock sem_post pthread_cond_signal
    pthread_cond_broadcast
}

// They take one; a few that fail learn what they need not.
objects! { TAKE = LEARNS_A;
    pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock pthread_mutex_clocklock pthread_rwlock_rdlock
    pthread_rwlock_tryrdlock pthread_rwlock_timedrdlock pthread_rwlock_clockrdlock pthread_rwlock_wrlock
    pthread_rwlock_trywrlock pthread_rwlock_timedwrlock pthread_rwlock_clockwrlock pthread_spin_lock
    pthread_spin_trylock sem_wait sem_trywait sem_timedwait sem_clockwait
}

// They do both.
objects! { DO_BOTH = BOTH;
    pthread_barrier_wait
}

// They give the second object back, wait for the first, and take the second again.
objects! { WAIT = LEARNS_A | TELLS_B | LEARNS_B;
    pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait
}

// Locks of C11.
objects! { OF_C11 = BOTH | ANYTHING;
    mtx_lock mtx_trylock mtx_timedlock mtx_unlock cnd_signal cnd_broadcast cnd_wait cnd_timedwait call_once
}

// The system by itself, also for locks that a program makes of it.
objects! { OF_THE_SYSTEM = BOTH | ANYTHING;
    syscall
}

// Pipes, sockets and their like.
objects! { OF_DESCRIPTORS = BOTH | ANYTHING;
    read readv write writev send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg accept accept4 connect
    shutdown close poll ppoll select pselect epoll_wait epoll_pwait epoll_pwait2 epoll_ctl eventfd_read eventfd_write
    splice tee vmsplice sendfile sendfile64 timerfd_settime __read_chk __recv_chk __recvfrom_chk __poll_chk
    __ppoll_chk
}

// Files, and locks of them.
objects! { OF_FILES = BOTH | ANYTHING;
    pread pread64 preadv preadv64 pwrite pwrite64 pwritev pwritev64 fcntl fcntl64 flock lockf lockf64 __pread_chk
    __pread64_chk
}

// Streams, which may be pipes.
objects! { OF_STREAMS = BOTH | ANYTHING;
    fread fwrite fgets fgetc getc getline getdelim fputs fputc putc fprintf vfprintf fscanf __isoc99_fscanf
    __isoc23_fscanf fflush fclose flockfile ftrylockfile funlockfile __fread_chk __fgets_chk __fprintf_chk
    __vfprintf_chk fgetwc getwc fgetws fputwc putwc fputws
}

// What has another thread do something in between.
objects! { INTERRUPT = BOTH | ANYTHING | INTERRUPTS;
    kill raise tgkill sigqueue pthread_kill pthread_sigqueue pthread_cancel
}

// Signals that are waited for, and ends of processes.
objects! { OF_SIGNALS = BOTH | ANYTHING;
    sigwait sigwaitinfo sigtimedwait sigsuspend pause wait waitpid waitid
}

// Queues and semaphores of the system.
objects! { OF_QUEUES = BOTH | ANYTHING;
    mq_send mq_timedsend mq_receive mq_timedreceive msgsnd msgrcv semop semtimedop aio_error aio_return aio_suspend
}

// They bring in code, or threads, of which nothing is known.
objects! { BRING_IN = UNKNOWN;
    dlopen dlmopen dlsym dlvsym thrd_create timer_create mq_notify getaddrinfo_a clone
}
