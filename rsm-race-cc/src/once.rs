//! What is done once: who comes later comes behind it.

use crate::engine::{acquire, release};
use crate::thread::next;
use libc::{c_int, c_void};
use std::cell::Cell;

type Routine = extern "C-unwind" fn();
type Object = *mut c_void;

thread_local! {
    /// What the innermost call of this thread is to do, and of which object.
    static DOING: Cell<Option<(Routine, usize)>> = const { Cell::new(None) };
}

extern "C-unwind" fn routine() {
    if let Some((routine, object)) = DOING.get() {
        routine();
        release(object);
    }
}

fn once(object: Object, wanted: Routine, real: impl FnOnce() -> c_int) -> c_int {
    // A routine may come by here for another object.
    let before = DOING.replace(Some((wanted, object.addr())));
    let said = real();
    DOING.set(before);
    acquire(object.addr());
    said
}

#[unsafe(no_mangle)]
pub extern "C-unwind" fn pthread_once(object: Object, wanted: Routine) -> c_int {
    type Real = unsafe extern "C-unwind" fn(Object, Routine) -> c_int;
    once(object, wanted, || next!(c"pthread_once", Real, object, routine))
}

#[unsafe(no_mangle)]
pub extern "C-unwind" fn call_once(object: Object, wanted: Routine) {
    type Real = unsafe extern "C-unwind" fn(Object, Routine);
    once(object, wanted, || {
        next!(c"call_once", Real, object, routine);
        0
    });
}

/// Before a variable inside of a function of C++ is made: 0 if another thread has made it.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __cxa_guard_acquire(guard: Object) -> c_int {
    type Real = unsafe extern "C-unwind" fn(Object) -> c_int;
    let said = next!(c"__cxa_guard_acquire", Real, guard);
    acquire(guard.addr());
    said
}

/// It is made.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn __cxa_guard_release(guard: Object) {
    type Real = unsafe extern "C-unwind" fn(Object);
    release(guard.addr());
    next!(c"__cxa_guard_release", Real, guard);
}
