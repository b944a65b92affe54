//! What libstdc++ does by itself that orders threads: words of its own that it counts in, and what it does once.
//!
//! Locks and the like it has the C library do, in calls that are led here as those of the program are ([`crate::led`]). What it keeps
//! of its own, and two threads may tell each other anything by, is: guards of variables that are made when they are first come to;
//! counts of who uses an exception, of whom the last one destroys it; and a few words that a program may set and ask for. Of those that
//! are hardly ever set nothing is told, but that it is not known any more what orders threads.

use crate::call::objects;
use crate::engine::{self, LEARNS_A, TELLS_A};
use crate::led::Led;
use crate::module;
use crate::object::{BOTH, UNKNOWN};
use crate::real::{address_of, real};
use libc::{c_int, c_void};

/// Whether libstdc++ was linked in here: then it makes calls of its own functions that nobody leads anywhere. These are functions that no
/// header has, so that they are nowhere else.
pub(crate) fn is_linked_in() -> bool {
    let all = [real!("__cxa_end_catch"), real!("__cxa_guard_release"), real!("_ZNSt8ios_base6xallocEv")];
    all.into_iter().any(|address| address != 0 && module::has(address))
}

/// Waits until a variable is made, or says that this thread is to make it.
#[unsafe(no_mangle)]
extern "C-unwind" fn __wrap___cxa_guard_acquire(guard: *mut c_void) -> c_int {
    type Real = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;
    // SAFETY: of this type, as the C++ ABI has it.
    let real: Real = unsafe { std::mem::transmute(real!("__cxa_guard_acquire")) };
    // SAFETY: the program's call.
    let is_to_make = unsafe { real(guard) };
    // Not before: it may have waited by calls that are led here too, and have learned by them what was told until then.
    if engine::tells_threads() {
        engine::does(LEARNS_A, guard.addr(), 0);
    }
    is_to_make
}

/// Coming to one. Variables that are made in libstdc++ and in the program may be the same. Who finds one made there does not call at all:
/// that learns nothing, of what nobody can ask for who made it.
pub(crate) static COME: &[Led] = &[Led::new(
    "__cxa_guard_acquire\0",
    __wrap___cxa_guard_acquire as *const (),
    address_of!("__real___cxa_guard_acquire"),
)];

// It is made, or was given up.
objects! { MADE = TELLS_A;
    __cxa_guard_release __cxa_guard_abort
}

// Somebody may use an exception no more: whoever is last destroys it. So it is with the texts of some.
objects! { DROP = BOTH, of 16;
    __cxa_end_catch _ZNSt15__exception_ptr13exception_ptr10_M_releaseEv _ZNSt15__exception_ptr13exception_ptrD1Ev
    _ZNSt15__exception_ptr13exception_ptrD2Ev _ZNSt15__exception_ptr13exception_ptraSERKS0_
    _ZNSt13__future_base12_Result_baseD0Ev _ZNSt13__future_base12_Result_baseD1Ev
    _ZNSt13__future_base12_Result_baseD2Ev _ZNSt16nested_exceptionD0Ev _ZNSt16nested_exceptionD1Ev
    _ZNSt16nested_exceptionD2Ev _ZNSt11logic_errorD0Ev _ZNSt11logic_errorD1Ev _ZNSt11logic_errorD2Ev
    _ZNSt11logic_erroraSERKS_ _ZNSt11logic_erroraSEOS_ _ZNSt13runtime_errorD0Ev _ZNSt13runtime_errorD1Ev
    _ZNSt13runtime_errorD2Ev _ZNSt13runtime_erroraSERKS_ _ZNSt13runtime_erroraSEOS_
}

// Atomic accesses, as the headers of some processors have them.
objects! { UPDATE = BOTH;
    _ZN9__gnu_cxx18__exchange_and_addEPVii _ZN9__gnu_cxx12__atomic_addEPVii
}

// The next number, which says who came first: `std::ios_base::xalloc`.
objects! { COUNT = BOTH, of 20;
    _ZNSt8ios_base6xallocEv
}

// What any thread may find at any time: `std::set_new_handler`, `set_terminate`, `set_unexpected`, `pmr::set_default_resource`,
// `chrono::reload_tzdb`; and what is told when the thread ends: `set_value_at_thread_exit` and its like.
objects! { SET = UNKNOWN;
    _ZSt15set_new_handlerPFvvE _ZSt13set_terminatePFvvE _ZSt14set_unexpectedPFvvE
    _ZNSt3pmr20set_default_resourceEPNS_15memory_resourceE _ZNSt6chrono11reload_tzdbEv
    _ZNSt13__future_base13_State_baseV211_Make_ready6_M_setEv
}

type Facet = unsafe extern "C-unwind" fn(*mut c_void, *const c_void, *const c_void);

/// A facet of the program's, which whoever uses it last destroys. It is used by streams, anywhere: so nothing is known from now on,
/// also if there are no threads yet.
fn has_facet(real: usize, locale: *mut c_void, a: *const c_void, b: *const c_void) {
    engine::does(UNKNOWN, 0, 0);
    // SAFETY: of this type, as its name says.
    let real: Facet = unsafe { std::mem::transmute(real) };
    // SAFETY: the program's call.
    unsafe { real(locale, a, b) };
}

/// `std::locale::_Impl::_M_install_facet`, of `locale(const locale&, Facet*)`.
#[unsafe(no_mangle)]
extern "C-unwind" fn __wrap__ZNSt6locale5_Impl16_M_install_facetEPKNS_2idEPKNS_5facetE(
    locale: *mut c_void,
    id: *const c_void,
    facet: *const c_void,
) {
    has_facet(real!("_ZNSt6locale5_Impl16_M_install_facetEPKNS_2idEPKNS_5facetE"), locale, id, facet);
}

/// `std::locale::_Impl::_M_replace_facet`, of `locale::combine`.
#[unsafe(no_mangle)]
extern "C-unwind" fn __wrap__ZNSt6locale5_Impl16_M_replace_facetEPKS0_PKNS_2idE(
    locale: *mut c_void,
    other: *const c_void,
    id: *const c_void,
) {
    has_facet(real!("_ZNSt6locale5_Impl16_M_replace_facetEPKS0_PKNS_2idE"), locale, other, id);
}
