//! What is told before the program begins.

use crate::led::Led;
use crate::{cxx, engine, object, thread};

/// The C library calls what is listed in this section before `main`.
#[used]
// SAFETY: the section holds addresses of C functions, which are called once, in the first thread.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = begin;

extern "C" fn begin() {
    engine::sees();
    // What libstdc++ orders is not known where it is a part of this: then of this module nothing is told of threads.
    if !cxx::is_linked_in() {
        engine::leads(all());
    }
}

/// All that libstdc++ may call, also of its own.
fn all() -> impl Iterator<Item = &'static [Led]> {
    [
        thread::THREADS,
        object::GIVE,
        object::TAKE,
        object::DO_BOTH,
        object::WAIT,
        object::OF_C11,
        object::OF_THE_SYSTEM,
        object::OF_DESCRIPTORS,
        object::OF_FILES,
        object::OF_STREAMS,
        object::INTERRUPT,
        object::OF_SIGNALS,
        object::OF_QUEUES,
        object::BRING_IN,
        cxx::COME,
        cxx::MADE,
        cxx::DROP,
        cxx::UPDATE,
        cxx::COUNT,
        cxx::SET,
    ]
    .into_iter()
}
