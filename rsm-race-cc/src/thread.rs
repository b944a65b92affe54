//! Creating threads and waiting for them, and what is done once.

use crate::atomic::orders;
use crate::engine::{self, LEARNS_A, TELLS_A};
use crate::led::Led;
use crate::real::{address_of, real};
use libc::{c_int, c_void, clockid_t, pthread_attr_t, pthread_t, timespec};
use std::cell::Cell;

type Body = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Body, *mut c_void) -> c_int;

/// What a thread begins with.
struct Start {
    name: u32,
    body: usize,
    argument: usize,
}

/// What the thread goes on with: two words, which are returned in registers.
#[repr(C)]
struct Next {
    body: usize,
    argument: usize,
}

fn own() -> usize {
    // SAFETY: takes nothing.
    (unsafe { libc::pthread_self() }) as usize
}

/// The thread begins: what it goes on with.
extern "C" fn begin(start: *mut Start) -> Next {
    // SAFETY: made by `create` for this thread alone.
    let Start { name, body, argument } = *unsafe { Box::from_raw(start) };
    engine::begins(name, own());
    Next { body, argument }
}

/// What threads begin in. It is not there any more while they do what they are for, so that they end as ever.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn first(_start: *mut c_void) -> *mut c_void {
    std::arch::naked_asm!("sub rsp, 8", "call {begin}", "add rsp, 8", "mov rdi, rdx", "jmp rax", begin = sym begin)
}

/// See above.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn first(_start: *mut c_void) -> *mut c_void {
    std::arch::naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "bl {begin}",
        "ldp x29, x30, [sp], #16",
        "mov x16, x0",
        "mov x0, x1",
        "br x16",
        begin = sym begin,
    )
}

/// What the C library has called a thread, where it has just written that. If the thread has begun, that has told it, and this may be
/// nobody's memory any more; then it is whatever stands there, or nothing, and does not matter.
fn name_of(thread: *const pthread_t) -> Option<usize> {
    // A number, or with musl an address.
    const { assert!(size_of::<pthread_t>() == size_of::<usize>()) };
    let mut found = 0_usize;
    let bytes = size_of::<pthread_t>();
    let to = libc::iovec { iov_base: (&raw mut found).cast(), iov_len: bytes };
    let from = libc::iovec { iov_base: thread.cast_mut().cast(), iov_len: bytes };
    // SAFETY: the kernel writes to a variable of its own length, and reads what can be read.
    let moved = unsafe { libc::process_vm_readv(libc::getpid(), &raw const to, 1, &raw const from, 1, 0) };
    (moved == bytes as isize).then_some(found)
}

#[unsafe(no_mangle)]
extern "C" fn __wrap_pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    body: Body,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: of this type, as the C library has it.
    let real: Create = unsafe { std::mem::transmute(real!("pthread_create")) };
    let name = engine::creates();
    if name == 0 {
        // SAFETY: the program's call.
        return unsafe { real(thread, attributes, body, argument) };
    }
    let start = Box::into_raw(Box::new(Start { name, body: body as usize, argument: argument.addr() }));
    // SAFETY: the program's call, but for what the thread begins with, which is made for that.
    let error = unsafe { real(thread, attributes, first, start.cast()) };
    if error == 0 {
        if let Some(own) = name_of(thread) {
            engine::created(name, Some(own));
        }
    } else {
        // SAFETY: made above; there is no thread that has it.
        drop(unsafe { Box::from_raw(start) });
        engine::created(name, None);
    }
    error
}

/// Waits for a thread, and learns what it did if it has ended.
fn join(thread: pthread_t, wait: impl FnOnce() -> c_int) -> c_int {
    let is_told = engine::tells_threads();
    let name = if is_told { engine::named(thread as usize) } else { 0 };
    let error = wait();
    if is_told && error == 0 {
        engine::joined(name);
    }
    error
}

/// Functions that wait for a thread. A thread that is cancelled in one unwinds through it.
macro_rules! joins {
    ($($wrap:ident $name:literal ($($argument:ident: $type:ty),*))*) => {
        /// Those that have to do with threads themselves.
        pub(crate) static THREADS: &[Led] = &[
            Led::new("pthread_create\0", __wrap_pthread_create as *const (), address_of!("__real_pthread_create")),
            Led::new("pthread_once\0", __wrap_pthread_once as *const (), address_of!("__real_pthread_once")),
            $(Led::new(concat!($name, "\0"), $wrap as *const (), address_of!(concat!("__real_", $name)))),*
        ];
        $(
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $wrap(thread: pthread_t, result: *mut *mut c_void $(, $argument: $type)*) -> c_int {
            type Real = unsafe extern "C-unwind" fn(pthread_t, *mut *mut c_void $(, $type)*) -> c_int;
            // SAFETY: of this type, as the C library has it.
            let real: Real = unsafe { std::mem::transmute(real!($name)) };
            // SAFETY: the program's call.
            join(thread, || unsafe { real(thread, result $(, $argument)*) })
        }
        )*
    };
}

joins! {
    __wrap_pthread_join "pthread_join" ()
    __wrap_pthread_tryjoin_np "pthread_tryjoin_np" ()
    __wrap_pthread_timedjoin_np "pthread_timedjoin_np" (until: *const timespec)
    __wrap_pthread_clockjoin_np "pthread_clockjoin_np" (clock: clockid_t, until: *const timespec)
}

thread_local! {
    /// What this thread is doing once: the object, and the function.
    static ONCE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Tells that something was done once, or was left.
struct Done(usize);

impl Drop for Done {
    fn drop(&mut self) {
        orders(TELLS_A, self.0);
    }
}

extern "C-unwind" fn do_once() {
    let (control, body) = ONCE.get();
    let is_of_call_once = body == address_of!("__once_proxy")();
    // SAFETY: the program's function, of which `once` was given the address.
    let body: extern "C-unwind" fn() = unsafe { std::mem::transmute(body) };
    if is_of_call_once {
        // That of `std::call_once` may throw, and then somebody else does it, after this. Other functions do not, and of a thread that
        // is cancelled in one no frame has anything left to do. In that of `std::call_once` a thread must not be cancelled: it would be
        // unwound by force through this frame, which has something left to do, and that is not defined.
        let _done = Done(control);
        body();
    } else {
        body();
        orders(TELLS_A, control);
    }
}

#[unsafe(no_mangle)]
extern "C-unwind" fn __wrap_pthread_once(control: *mut c_void, body: extern "C-unwind" fn()) -> c_int {
    type Real = unsafe extern "C-unwind" fn(*mut c_void, extern "C-unwind" fn()) -> c_int;
    // SAFETY: of this type, as the C library has it.
    let real: Real = unsafe { std::mem::transmute(real!("pthread_once")) };
    let before = ONCE.replace((control.addr(), body as usize));
    // SAFETY: the program's call, but for the function, which calls that of the program.
    let error = unsafe { real(control, do_once) };
    ONCE.set(before);
    orders(LEARNS_A, control.addr());
    error
}
