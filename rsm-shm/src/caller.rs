//! Who calls: the return addresses of the calling thread, as modules and offsets in them that outlive the process.
//!
//! The addresses are found with the unwinder that the standard library brings along, and the modules with the loader's
//! list. It takes microseconds, and is asked for only where somebody counts calls.
#![allow(unsafe_code)]

#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
use std::arch::asm;
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Deepest stack that is looked at.
const DEEPEST: usize = 64;

/// Opaque to us.
#[repr(C)]
struct UnwindContext(c_void);

const NO_REASON: c_int = 0;
const NORMAL_STOP: c_int = 4;

unsafe extern "C" {
    // Of the unwinder that every Rust program is linked with; declared as its ABI has it.
    fn _Unwind_Backtrace(
        trace: extern "C" fn(context: *mut UnwindContext, into: *mut c_void) -> c_int,
        into: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut UnwindContext) -> usize;
    fn _Unwind_GetCFA(context: *mut UnwindContext) -> usize;
}

/// The return addresses of a thread, from the inside out.
#[derive(Debug)]
pub(crate) struct Stack {
    addresses: [usize; DEEPEST],
    /// Where on the stack each stands; 0 where that is not known.
    slots: [usize; DEEPEST],
    depth: usize,
    most: usize,
}

impl Stack {
    /// Those of the calling thread, without that of this function.
    #[inline(never)]
    pub(crate) fn here() -> Stack {
        Stack::some(DEEPEST)
    }

    /// So many of them at most, of which the first is in this function, or in that which it was made part of.
    #[inline(always)]
    pub(crate) fn some(most: usize) -> Stack {
        extern "C" fn note(context: *mut UnwindContext, into: *mut c_void) -> c_int {
            // SAFETY: the stack below, which only the unwinder's thread, the caller's, knows.
            let stack = unsafe { &mut *into.cast::<Stack>() };
            // SAFETY: the unwinder's context, for as long as this runs.
            let address = unsafe { _Unwind_GetIP(context) };
            if address == 0 || stack.depth == stack.most {
                return NORMAL_STOP;
            }
            stack.addresses[stack.depth] = address;
            // SAFETY: as above.
            stack.slots[stack.depth] = slot(unsafe { _Unwind_GetCFA(context) }, address);
            stack.depth += 1;
            NO_REASON
        }
        let mut stack = Stack { addresses: [0; DEEPEST], slots: [0; DEEPEST], depth: 0, most: most.min(DEEPEST) };
        // SAFETY: the function keeps to what the unwinder asks of it and does not unwind; the stack outlives the call.
        unsafe { _Unwind_Backtrace(note, (&raw mut stack).cast()) };
        stack
    }

    /// The addresses, without the first one, each with where it stands on the stack: 0 where that is not known.
    pub(crate) fn with_slots(&self) -> impl Iterator<Item = (usize, usize)> {
        let all = self.addresses[..self.depth].iter().copied().zip(self.slots);
        all.skip(1)
    }

    /// The addresses; the first is in [`here`](Self::here).
    pub(crate) fn addresses(&self) -> &[usize] {
        self.addresses[..self.depth].get(1..).unwrap_or_default()
    }
}

/// Where a return address stands, if it is where a call of x86 puts it: below where the stack pointer is after the return.
fn slot(after: usize, address: usize) -> usize {
    if cfg!(target_arch = "x86_64") {
        let slot = after.wrapping_sub(size_of::<usize>());
        // SAFETY: part of the stack of this thread, as the unwinder says, which has just read there what it says.
        if unsafe { stack_word(slot) } == address {
            return slot;
        }
    }
    0
}

/// A word of this thread's stack.
///
/// # Safety
/// It is one, below the frame of somebody who has not returned.
pub(crate) unsafe fn stack_word(at: usize) -> usize {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let word: usize;
        // Not by a load of Rust's: AddressSanitizer has those of words between variables reported, and a return address is one.
        // SAFETY: the caller's promise.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov {}, [{}]", out(reg) word, in(reg) at, options(readonly, nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("ldr {}, [{}]", out(reg) word, in(reg) at, options(readonly, nostack, preserves_flags));
        }
        word
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    // SAFETY: the caller's promise; volatile, as no variable of this program is meant.
    unsafe {
        std::ptr::with_exposed_provenance::<usize>(at).read_volatile()
    }
}

/// A part of a module that the loader has mapped.
#[derive(Debug)]
struct Part {
    start: usize,
    end: usize,
    module: usize,
}

/// The modules of the process, as they were when an address was last not found.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    parts: Vec<Part>,
    /// Where each is loaded, and its path.
    modules: Vec<(usize, Vec<u8>)>,
}

impl Modules {
    /// The path of the module that an address is in, and where in it, as its symbols count.
    pub(crate) fn find(&mut self, address: usize) -> Option<(&[u8], u64)> {
        let is_in = |part: &Part| (part.start..part.end).contains(&address);
        if !self.parts.iter().any(is_in) {
            *self = Modules::now();
        }
        let module = self.parts.iter().find(|part| is_in(part))?.module;
        let (bias, path) = &self.modules[module];
        Some((path, address.wrapping_sub(*bias) as u64))
    }

    /// Whether an address lies in one.
    pub(crate) fn have(&self, address: usize) -> bool {
        self.parts.iter().any(|part| (part.start..part.end).contains(&address))
    }

    /// Where each part of each lies: what its symbols' addresses are more by, start, end, and path.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, usize, usize, &[u8])> {
        self.parts.iter().map(|part| {
            let (bias, path) = &self.modules[part.module];
            (*bias, part.start, part.end, &path[..])
        })
    }

    /// What the loader says now.
    pub(crate) fn now() -> Modules {
        unsafe extern "C" fn note(info: *mut libc::dl_phdr_info, _size: usize, into: *mut c_void) -> c_int {
            // SAFETY: the loader's, for as long as this runs.
            let info = unsafe { &*info };
            // SAFETY: the modules below; the loader calls on this thread.
            let modules = unsafe { &mut *into.cast::<Modules>() };
            let name = match info.dlpi_name.is_null() {
                true => c"",
                // SAFETY: a string of the loader's.
                false => unsafe { CStr::from_ptr(info.dlpi_name) },
            };
            let bias = info.dlpi_addr as usize;
            let module = modules.modules.len();
            modules.modules.push((bias, name.to_bytes().to_vec()));
            if !info.dlpi_phdr.is_null() {
                // SAFETY: the loader's table, with so many entries.
                let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
                modules.parts.extend(headers.iter().filter(|h| h.p_type == libc::PT_LOAD).map(|header| {
                    let start = bias.wrapping_add(header.p_vaddr as usize);
                    Part { start, end: start.wrapping_add(header.p_memsz as usize), module }
                }));
            }
            0
        }
        let mut modules = Modules::default();
        // SAFETY: the function has the right signature and does not unwind; the modules outlive the call.
        unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut modules).cast()) };
        // The loader has no name for the executable, and others may be meant from a directory that has changed since.
        if let Some((_, path)) = modules.modules.first_mut().filter(|(_, path)| path.is_empty())
            && let Ok(executable) = std::fs::read_link("/proc/self/exe")
        {
            *path = executable.into_os_string().into_vec();
        }
        for (_, path) in &mut modules.modules {
            if let Ok(whole) = std::fs::canonicalize(OsStr::from_bytes(path)) {
                *path = whole.into_os_string().into_vec();
            }
        }
        modules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_found_in_this_program() {
        #[inline(never)]
        fn called() -> Stack {
            // Not as the last thing that it does, or it is not there any more.
            std::hint::black_box(Stack::here())
        }
        let (one, other) = (called(), called());
        let mut modules = Modules::default();
        let of_call = |stack: &Stack| *stack.addresses().get(1).expect("somebody called");
        assert_eq!(one.addresses()[0], other.addresses()[0], "both came back to the same place in `called`");
        assert_ne!(of_call(&one), of_call(&other), "which was called from two");
        let (path, offset) = modules.find(of_call(&one)).expect("it is in a module");
        let executable = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(OsStr::from_bytes(path), executable.as_os_str());
        assert!(offset > 0 && offset < std::fs::metadata(executable).unwrap().len() * 2);
        assert_eq!(modules.find(1), None);
    }
}
