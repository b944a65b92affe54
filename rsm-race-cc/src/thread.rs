//! Threads that begin and end. These names stand before those of the C library, for the program and for the libraries that
//! it uses; C++ begins its threads in one.
//!
//! What a thread did before it begins another one comes before all that does, and what one did before what follows its join.
//! Threads of librsm itself are left alone.

use crate::engine;
use libc::{c_char, c_int, c_void, pthread_attr_t, pthread_key_t, pthread_t, timespec};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The next function of a name behind this library, which has it too.
pub(crate) struct Next(AtomicUsize, &'static std::ffi::CStr);

impl Next {
    pub(crate) const fn of(name: &'static std::ffi::CStr) -> Next {
        Next(AtomicUsize::new(0), name)
    }

    /// Its address; a program that has none ends here, as it would have without this library.
    pub(crate) fn address(&self) -> usize {
        // Relaxed: whoever looks finds the same.
        let known = self.0.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        // SAFETY: a name that ends with a zero.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.1.as_ptr()) }.addr();
        if found == 0 {
            // SAFETY: it does not return.
            unsafe { libc::abort() };
        }
        self.0.store(found, Ordering::Relaxed);
        found
    }
}

/// Calls the next function of this name, of the same type.
macro_rules! next {
    ($name:literal, $type:ty, $($argument:expr),* $(,)?) => {{
        static NEXT: $crate::thread::Next = $crate::thread::Next::of($name);
        // SAFETY: the C library's function of this name is of this type; the arguments are those of the program.
        unsafe { std::mem::transmute::<usize, $type>(NEXT.address())($($argument),*) }
    }};
}
pub(crate) use next;

type Body = extern "C-unwind" fn(*mut c_void) -> *mut c_void;
type BodyOfC = extern "C-unwind" fn(*mut c_void) -> c_int;

/// What a thread is to do.
struct Start<F> {
    body: F,
    argument: *mut c_void,
}

/// The address of the module that this is in, and so of a program; 0 if the loader does not know.
fn module_of(address: usize) -> usize {
    let mut found = libc::Dl_info {
        dli_fname: std::ptr::null::<c_char>(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null::<c_char>(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the address is only compared; what is found is written to `found`.
    unsafe { libc::dladdr(std::ptr::without_provenance(address), &raw mut found) };
    found.dli_fbase.addr()
}

/// Whether this is code of librsm, where that is a library of its own.
fn is_librsm(code: usize) -> bool {
    let librsm = engine::place();
    librsm != 0
        && module_of(librsm) == module_of(code)
        && module_of(librsm) != module_of(is_librsm as *const () as usize)
}

/// Where a thread ends, whichever way it does, its destructors are called.
fn end_key() -> pthread_key_t {
    static KEY: OnceLock<pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: a place for the key, and a function of this type.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(ends)) };
        if made != 0 {
            // SAFETY: it does not return.
            unsafe { libc::abort() };
        }
        key
    })
}

/// The sync that stands for the end of a thread.
fn end_of(thread: pthread_t) -> usize {
    thread as usize
}

extern "C" fn ends(_set: *mut c_void) {
    // SAFETY: takes nothing.
    engine::release(end_of(unsafe { libc::pthread_self() }));
}

/// In the new thread: what it was begun with is behind it, and its end will be told.
fn begins<F>(start: *mut c_void) -> Start<F> {
    let sync = start.addr();
    // SAFETY: made by `start` for this thread alone.
    let start = unsafe { Box::from_raw(start.cast::<Start<F>>()) };
    engine::acquire(sync);
    // SAFETY: any address but null has the destructor called.
    unsafe { libc::pthread_setspecific(end_key(), std::ptr::without_provenance(sync)) };
    *start
}

extern "C-unwind" fn run(start: *mut c_void) -> *mut c_void {
    let start = begins::<Body>(start);
    (start.body)(start.argument)
}

extern "C-unwind" fn run_of_c(start: *mut c_void) -> c_int {
    let start = begins::<BodyOfC>(start);
    (start.body)(start.argument)
}

/// Begins a thread by way of `with`, whose argument is what to do; takes that back if there is none.
fn start<F>(body: F, argument: *mut c_void, with: impl FnOnce(*mut c_void) -> c_int) -> c_int {
    let start = Box::into_raw(Box::new(Start { body, argument })).cast::<c_void>();
    engine::release(start.addr());
    let error = with(start);
    if error != 0 {
        // SAFETY: no thread was begun that has it.
        drop(unsafe { Box::from_raw(start.cast::<Start<F>>()) });
    }
    error
}

#[unsafe(no_mangle)]
pub extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    body: Body,
    argument: *mut c_void,
) -> c_int {
    type Real = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Body, *mut c_void) -> c_int;
    if is_librsm(body as usize) {
        return next!(c"pthread_create", Real, thread, attributes, body, argument);
    }
    start(body, argument, |start| next!(c"pthread_create", Real, thread, attributes, run, start))
}

#[unsafe(no_mangle)]
pub extern "C" fn thrd_create(thread: *mut pthread_t, body: BodyOfC, argument: *mut c_void) -> c_int {
    type Real = unsafe extern "C" fn(*mut pthread_t, BodyOfC, *mut c_void) -> c_int;
    start(body, argument, |start| next!(c"thrd_create", Real, thread, run_of_c, start))
}

/// Functions that return when a thread, their first argument, has ended, if they return 0.
macro_rules! joins {
    ($($name:ident $text:literal ($($argument:ident: $type:ty),*))*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C-unwind" fn $name(thread: pthread_t, $($argument: $type),*) -> c_int {
            type Real = unsafe extern "C-unwind" fn(pthread_t, $($type),*) -> c_int;
            let error = next!($text, Real, thread, $($argument),*);
            if error == 0 {
                engine::acquire(end_of(thread));
            }
            error
        }
    )*};
}

joins! {
    pthread_join c"pthread_join" (value: *mut *mut c_void)
    pthread_tryjoin_np c"pthread_tryjoin_np" (value: *mut *mut c_void)
    pthread_timedjoin_np c"pthread_timedjoin_np" (value: *mut *mut c_void, until: *const timespec)
    thrd_join c"thrd_join" (value: *mut c_int)
}
