//! Locks, conditions, semaphores and barriers of the C library, and those of C++ that are not made of them.
//!
//! Who has a lock comes behind everybody who had it. As with atomics, more is ordered than has to be: a reader of a lock for
//! readers and writers comes behind other readers. So a race may stay unseen, and none is told that is none.

use crate::engine::{acquire, release};
use crate::thread::next;
use libc::{c_int, c_void, timespec};

/// An object of the C library, by its address alone.
type Object = *mut c_void;

/// Functions after which their first argument is held, if they return one of these.
macro_rules! takes {
    ($($name:ident $text:literal ($($argument:ident: $type:ty),*) $held:pat,)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C-unwind" fn $name(object: Object, $($argument: $type),*) -> c_int {
            type Real = unsafe extern "C-unwind" fn(Object, $($type),*) -> c_int;
            let said = next!($text, Real, object, $($argument),*);
            if matches!(said, $held) {
                acquire(object.addr());
            }
            said
        }
    )*};
}

/// Functions before which it was.
macro_rules! gives {
    ($($name:ident $text:literal)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C-unwind" fn $name(object: Object) -> c_int {
            type Real = unsafe extern "C-unwind" fn(Object) -> c_int;
            release(object.addr());
            next!($text, Real, object)
        }
    )*};
}

/// Functions that give back their second argument while they wait for the first.
macro_rules! waits {
    ($($name:ident $text:literal ($($argument:ident: $type:ty),*))*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C-unwind" fn $name(condition: Object, lock: Object, $($argument: $type),*) -> c_int {
            type Real = unsafe extern "C-unwind" fn(Object, Object, $($type),*) -> c_int;
            release(lock.addr());
            let said = next!($text, Real, condition, lock, $($argument),*);
            acquire(lock.addr());
            said
        }
    )*};
}

// A robust lock whose owner died is held as well.
takes! {
    pthread_mutex_lock c"pthread_mutex_lock" () 0 | libc::EOWNERDEAD,
    pthread_mutex_trylock c"pthread_mutex_trylock" () 0 | libc::EOWNERDEAD,
    pthread_mutex_timedlock c"pthread_mutex_timedlock" (until: *const timespec) 0 | libc::EOWNERDEAD,
    pthread_mutex_clocklock c"pthread_mutex_clocklock" (clock: c_int, until: *const timespec) 0 | libc::EOWNERDEAD,
    pthread_rwlock_rdlock c"pthread_rwlock_rdlock" () 0,
    pthread_rwlock_wrlock c"pthread_rwlock_wrlock" () 0,
    pthread_rwlock_tryrdlock c"pthread_rwlock_tryrdlock" () 0,
    pthread_rwlock_trywrlock c"pthread_rwlock_trywrlock" () 0,
    pthread_rwlock_timedrdlock c"pthread_rwlock_timedrdlock" (until: *const timespec) 0,
    pthread_rwlock_timedwrlock c"pthread_rwlock_timedwrlock" (until: *const timespec) 0,
    pthread_spin_lock c"pthread_spin_lock" () 0,
    pthread_spin_trylock c"pthread_spin_trylock" () 0,
    mtx_lock c"mtx_lock" () 0,
    mtx_trylock c"mtx_trylock" () 0,
    mtx_timedlock c"mtx_timedlock" (until: *const timespec) 0,
    sem_wait c"sem_wait" () 0,
    sem_trywait c"sem_trywait" () 0,
    sem_timedwait c"sem_timedwait" (until: *const timespec) 0,
}

gives! {
    pthread_mutex_unlock c"pthread_mutex_unlock"
    pthread_rwlock_unlock c"pthread_rwlock_unlock"
    pthread_spin_unlock c"pthread_spin_unlock"
    mtx_unlock c"mtx_unlock"
    sem_post c"sem_post"
}

waits! {
    pthread_cond_wait c"pthread_cond_wait" ()
    pthread_cond_timedwait c"pthread_cond_timedwait" (until: *const timespec)
    pthread_cond_clockwait c"pthread_cond_clockwait" (clock: c_int, until: *const timespec)
    cnd_wait c"cnd_wait" ()
    cnd_timedwait c"cnd_timedwait" (until: *const timespec)
}

/// Everybody comes behind everybody.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pthread_barrier_wait(object: Object) -> c_int {
    type Real = unsafe extern "C-unwind" fn(Object) -> c_int;
    release(object.addr());
    let said = next!(c"pthread_barrier_wait", Real, object);
    acquire(object.addr());
    said
}
