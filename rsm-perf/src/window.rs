//! Counts what a process loads and stores of another host's memory, as the processor does it.
//!
//! Nothing of an operation is taken for granted: while it is counted, all rights to the pages through which the other host is
//! reached are taken away. Each instruction that loads or stores there is stopped by the kernel, which says which of the two it
//! was; the pages are given back for that one instruction, which is executed by itself, and taken again. An access is an
//! instruction, whatever its width; one that repeats itself counts once.
//!
//! That takes a processor that executes single instructions for its own process: x86-64. Elsewhere nothing is counted.
#![allow(unsafe_code)] // page rights, and handlers of signals

use std::io;

/// Loads and stores, by instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// Instructions that loaded.
    pub loads: u64,
    /// Instructions that stored.
    pub stores: u64,
}

/// A mapping of memory of the other host, or of its seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    start: usize,
    length: usize,
    writable: bool,
    object: String,
}

/// The mappings of segments and seals that this process has now.
///
/// # Errors
/// What the system says.
pub fn mappings() -> io::Result<Vec<Mapping>> {
    Ok(std::fs::read_to_string("/proc/self/maps")?.lines().filter_map(mapping).collect())
}

/// Those that were not there `before`: what connecting has mapped.
///
/// # Errors
/// As [`mappings`].
pub fn since(before: &[Mapping]) -> io::Result<Vec<Mapping>> {
    Ok(mappings()?.into_iter().filter(|mapping| !before.contains(mapping)).collect())
}

/// A line of `/proc/PID/maps`, where it is one of these.
fn mapping(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let (rights, _, device, inode, name) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let known = ["/memfd:rsm-segment", "/memfd:rsm-peer-ours"].contains(&name);
    let writable = rights.starts_with("rw");
    known.then(|| Mapping { start, length: end - start, writable, object: format!("{device}:{inode}") })
}

#[cfg(target_arch = "x86_64")]
pub use trap::{Watch, count, is_counting, watch};

#[cfg(not(target_arch = "x86_64"))]
pub use elsewhere::{Watch, count, is_counting, watch};

/// Where single instructions are the kernel's to execute.
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    use super::{Accesses, Mapping};

    /// Whether something is being counted: nothing is.
    pub fn is_counting() -> bool {
        false
    }

    /// Would have accesses counted.
    #[derive(Debug)]
    #[must_use]
    pub struct Watch;

    /// Would have accesses to these counted.
    pub fn watch(_: &[Mapping]) -> Watch {
        Watch
    }

    /// Does something; what it loads and stores is not known.
    pub fn count<R>(work: impl FnOnce() -> R) -> (R, Option<Accesses>) {
        (work(), None)
    }
}

#[cfg(target_arch = "x86_64")]
mod trap {
    use super::{Accesses, Mapping};
    use libc::{c_int, c_void, siginfo_t};
    use std::mem::MaybeUninit;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

    /// Mappings that can be watched at a time.
    const MOST: usize = 16;
    /// The bit of a page fault's code that tells a store from a load.
    const STORED: i64 = 2;
    /// The flag with which a processor executes one instruction.
    const TRAP: i64 = 0x100;

    /// A mapping that is watched; without length there is none. Handlers of the same thread read what it has stored: all are
    /// relaxed.
    struct Watched {
        start: AtomicPtr<c_void>,
        length: AtomicUsize,
        writable: AtomicBool,
    }

    static WATCHED: [Watched; MOST] = [const {
        Watched {
            start: AtomicPtr::new(std::ptr::null_mut()),
            length: AtomicUsize::new(0),
            writable: AtomicBool::new(false),
        }
    }; MOST];
    static COUNTING: AtomicBool = AtomicBool::new(false);
    static LOADS: AtomicU64 = AtomicU64::new(0);
    static STORES: AtomicU64 = AtomicU64::new(0);
    /// Where the instruction is that has its pages.
    static EXECUTED: AtomicUsize = AtomicUsize::new(0);

    /// Whether something is being counted.
    pub fn is_counting() -> bool {
        COUNTING.load(Relaxed)
    }

    /// Has accesses to these counted until this is dropped, which is to be before they are unmapped.
    #[derive(Debug)]
    #[must_use]
    pub struct Watch(Vec<usize>);

    /// Has accesses to these counted, as far as something [is](count).
    ///
    /// # Panics
    /// With more than 16 mappings at a time.
    pub fn watch(mappings: &[Mapping]) -> Watch {
        let mut slots = Vec::new();
        for mapping in mappings {
            let slot = WATCHED.iter().position(|watched| watched.length.load(Relaxed) == 0).expect("few are watched");
            let watched = &WATCHED[slot];
            watched.start.store(std::ptr::with_exposed_provenance_mut(mapping.start), Relaxed);
            watched.writable.store(mapping.writable, Relaxed);
            watched.length.store(mapping.length, Relaxed);
            if is_counting() {
                watched.protect(true);
            }
            slots.push(slot);
        }
        Watch(slots)
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            for &slot in &self.0 {
                WATCHED[slot].protect(false);
                WATCHED[slot].length.store(0, Relaxed);
            }
        }
    }

    impl Watched {
        /// Takes the rights to it, or gives them back.
        fn protect(&self, taken: bool) {
            let rights = match (taken, self.writable.load(Relaxed)) {
                (true, _) => libc::PROT_NONE,
                (false, false) => libc::PROT_READ,
                (false, true) => libc::PROT_READ | libc::PROT_WRITE,
            };
            let length = self.length.load(Relaxed);
            if length > 0 {
                // SAFETY: a mapping of this process, with no more rights than it was mapped with; who watches it keeps it mapped.
                // It may be called by a handler: it is a system call.
                unsafe { libc::mprotect(self.start.load(Relaxed), length, rights) };
            }
        }

        fn has(&self, place: usize) -> bool {
            place.wrapping_sub(self.start.load(Relaxed).addr()) < self.length.load(Relaxed)
        }
    }

    fn protect_all(taken: bool) {
        WATCHED.iter().for_each(|watched| watched.protect(taken));
    }

    /// Does something, and counts what this thread loads and stores of what is [watched](watch).
    ///
    /// # Panics
    /// Where the system takes no handlers.
    pub fn count<R>(work: impl FnOnce() -> R) -> (R, Option<Accesses>) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _handlers = [Handler::set(libc::SIGSEGV, refused), Handler::set(libc::SIGTRAP, executed)];
        for count in [&LOADS, &STORES] {
            count.store(0, Relaxed);
        }
        COUNTING.store(true, Relaxed);
        protect_all(true);
        let result = work();
        protect_all(false);
        COUNTING.store(false, Relaxed);
        (result, Some(Accesses { loads: LOADS.load(Relaxed), stores: STORES.load(Relaxed) }))
    }

    type Deed = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

    /// A handler, until this is dropped.
    struct Handler {
        signal: c_int,
        before: libc::sigaction,
    }

    impl Handler {
        fn set(signal: c_int, deed: Deed) -> Handler {
            let mut before = MaybeUninit::uninit();
            // SAFETY: all of it is plain data; the function has the signature that SA_SIGINFO asks for.
            let done = unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = deed as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigaction(signal, &raw const action, before.as_mut_ptr())
            };
            assert_eq!(done, 0, "a handler of signal {signal}");
            // SAFETY: written by the call, which has succeeded.
            Handler { signal, before: unsafe { before.assume_init() } }
        }
    }

    impl Drop for Handler {
        fn drop(&mut self) {
            // SAFETY: what was there before.
            unsafe { libc::sigaction(self.signal, &raw const self.before, std::ptr::null_mut()) };
        }
    }

    /// An instruction was stopped: one that is counted is executed by itself.
    extern "C" fn refused(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel's own, for as long as the handler runs.
        let (place, context) = unsafe { ((*info).si_addr().addr(), &mut *context.cast::<libc::ucontext_t>()) };
        let registers = &mut context.uc_mcontext.gregs;
        if !WATCHED.iter().any(|watched| watched.has(place)) {
            // A fault of this program, which dies of it when the instruction is executed again.
            // SAFETY: the kernel's own action, by a system call.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            return;
        }
        let stored = registers[libc::REG_ERR as usize] & STORED != 0;
        (if stored { &STORES } else { &LOADS }).fetch_add(1, Relaxed);
        protect_all(false);
        if copied_whole(registers) {
            protect_all(true);
            return;
        }
        EXECUTED.store(registers[libc::REG_RIP as usize] as usize, Relaxed);
        registers[libc::REG_EFL as usize] |= TRAP;
    }

    /// Does what `rep movsb` would, which the processor would stop at after each byte. `false`: it is another instruction, or one of
    /// memory that overlaps.
    fn copied_whole(registers: &mut [i64; 23]) -> bool {
        const REP_MOVSB: [u8; 2] = [0xf3, 0xa4];
        const DOWNWARDS: i64 = 0x400;
        let [at, from, to, count] = [libc::REG_RIP, libc::REG_RSI, libc::REG_RDI, libc::REG_RCX].map(|at| at as usize);
        let place = |register: usize| std::ptr::with_exposed_provenance_mut::<u8>(registers[register] as usize);
        let (source, target, length) = (place(from), place(to), registers[count] as usize);
        // SAFETY: the instruction that the processor has just fetched.
        let is_it = unsafe { place(at).cast::<[u8; 2]>().read_unaligned() } == REP_MOVSB;
        let apart = source.addr().abs_diff(target.addr()) >= length;
        if !is_it || !apart || registers[libc::REG_EFL as usize] & DOWNWARDS != 0 {
            return false;
        }
        // SAFETY: what the program was about to do; the rights to it are back.
        unsafe { target.copy_from_nonoverlapping(source, length) };
        registers[from] += length as i64;
        registers[to] += length as i64;
        (registers[at], registers[count]) = (registers[at] + REP_MOVSB.len() as i64, 0);
        true
    }

    /// It was executed.
    extern "C" fn executed(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: as above.
        let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
        let registers = &mut context.uc_mcontext.gregs;
        // One that repeats itself is stopped after each time.
        if registers[libc::REG_RIP as usize] as usize != EXECUTED.load(Relaxed) {
            registers[libc::REG_EFL as usize] &= !TRAP;
            protect_all(true);
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    use std::sync::Mutex;

    const PAGE: usize = 4096;
    /// Mappings of other tests are not to be taken for those of this one.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Two pages like those of a segment.
    fn pages() -> (*mut u64, Vec<Mapping>) {
        let before = mappings().unwrap();
        let memory = memfd_create("rsm-segment", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&memory, 2 * PAGE as u64).unwrap();
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping of its own.
        let start = unsafe { mmap(std::ptr::null_mut(), 2 * PAGE, rights, MapFlags::SHARED, memory, 0) }.unwrap();
        (start.cast(), since(&before).unwrap())
    }

    #[test]
    fn each_access_is_counted_and_nothing_else() {
        let _alone = ALONE.lock();
        let (start, mapped) = pages();
        let watched = watch(&mapped);
        let mut beside = [0u64; 8];
        let (sum, accesses) = count(|| {
            // SAFETY: inside of the two pages, aligned.
            unsafe {
                start.write_volatile(3);
                start.add(PAGE / 8).write_volatile(4);
                (&raw mut beside[1]).write_volatile(5);
                start.read_volatile() + start.add(PAGE / 8).read_volatile() + start.add(9).read_volatile()
            }
        });
        assert_eq!((sum, accesses), (7, Some(Accesses { loads: 3, stores: 2 })));
        drop(watched);
        // What is not watched is not counted, nor is anything afterwards.
        // SAFETY: as above.
        let (_, accesses) = count(|| unsafe { start.write_volatile(1) });
        assert_eq!(accesses, Some(Accesses::default()));
        // SAFETY: nobody uses them later.
        unsafe { munmap(start.cast(), 2 * PAGE) }.unwrap();
    }

    #[test]
    fn an_instruction_that_repeats_itself_is_one() {
        let _alone = ALONE.lock();
        let (start, mapped) = pages();
        let watched = watch(&mapped);
        let (_, accesses) = count(|| {
            // SAFETY: all of the two pages.
            unsafe {
                std::arch::asm!("rep stosb", inout("rcx") 2 * PAGE => _, inout("rdi") start => _, in("al") 7u8);
            }
        });
        assert_eq!(accesses, Some(Accesses { loads: 0, stores: 1 }));
        // SAFETY: as above.
        assert_eq!(unsafe { start.add(2 * PAGE / 8 - 1).read() }, 0x0707_0707_0707_0707);
        drop(watched);
        // SAFETY: nobody uses them later.
        unsafe { munmap(start.cast(), 2 * PAGE) }.unwrap();
    }

    #[test]
    fn a_copy_by_one_instruction_is_made_and_is_one() {
        let _alone = ALONE.lock();
        let (start, mapped) = pages();
        let watched = watch(&mapped);
        let there = start.cast::<u8>();
        let copy = |from: *const u8, to: *mut u8, length: usize| {
            let (mut source, mut target, mut left) = (from, to, length);
            // SAFETY: as much is there, on either side.
            unsafe {
                std::arch::asm!("rep movsb", inout("rcx") left, inout("rdi") target, inout("rsi") source);
            }
            (source.addr() - from.addr(), target.addr() - to.addr(), left)
        };
        let (near, mut back) = ((0..=255).cycle().take(5000).collect::<Vec<u8>>(), vec![0u8; 5000]);
        let (ends, accesses) = count(|| {
            let put = copy(near.as_ptr(), there.wrapping_add(3), 5000);
            (put, copy(there.wrapping_add(3), back.as_mut_ptr(), 5000))
        });
        assert_eq!(accesses, Some(Accesses { loads: 1, stores: 1 }));
        assert_eq!((ends, near == back), (((5000, 5000, 0), (5000, 5000, 0)), true));
        // What overlaps is made by the processor: the first byte again and again.
        let (_, accesses) = count(|| copy(there.wrapping_add(3), there.wrapping_add(4), 100));
        // SAFETY: inside of the pages.
        assert_eq!((accesses.map(|a| a.loads + a.stores), unsafe { there.add(103).read() }), (Some(1), 0));
        drop(watched);
        // SAFETY: nobody uses them later.
        unsafe { munmap(start.cast(), 2 * PAGE) }.unwrap();
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "7f00-8f00 rw-s 00000000 00:01 7 /memfd:other (deleted)", "7f00-8f00 rw-p 00000000 00:00 0"] {
            assert_eq!(mapping(line), None, "{line}");
        }
        let line = "1000-3000 r--s 00000000 00:01 77 /memfd:rsm-peer-ours (deleted)";
        let expected = Mapping { start: 0x1000, length: 0x2000, writable: false, object: "00:01:77".into() };
        assert_eq!(mapping(line), Some(expected));
    }
}
