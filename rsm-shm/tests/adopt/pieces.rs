//! Ranges that the program changed parts of, and memory that can do more than be read and written.

use super::*;
use rsm_shm::memory::inspect::Piece;
use std::mem::ManuallyDrop;

/// A word of the memory that starts at an address, which is mapped readable and writable.
fn word(start: *mut u8) -> &'static AtomicU64 {
    // SAFETY: mapped by the test, and aligned.
    unsafe { &*start.cast() }
}

fn protect(start: *mut u8, pages: usize, protection: libc::c_int) {
    // SAFETY: memory of the test's.
    assert_eq!(unsafe { libc::mprotect(start.cast(), pages * PAGE, protection) }, 0);
}

fn piece_at(start: *mut u8) -> Piece {
    inspect::pieces(start as usize, PAGE).unwrap().remove(0)
}

/// Sixteen pages that an object has, parts of which the program has changed since: page 2 can only be read, page 4 not
/// even that, page 6 is other memory, page 8 is not mapped, page 10 lies elsewhere, pages 12 and 13 have changed places.
///
/// Never unmapped: what is not mapped may be anybody's by then.
struct Changed {
    range: ManuallyDrop<Range>,
    object: OwnedFd,
    identity: Identity,
    elsewhere: *mut u8,
}

impl Changed {
    fn new() -> Changed {
        let range = Range::anonymous(16 * PAGE);
        range.fill();
        let object = object(range.length);
        range.adopt(&object).unwrap();
        let (rw, fixed) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_FIXED);
        // SAFETY: rearranges memory of the test's.
        let elsewhere = unsafe {
            // Before there is a hole in the range that it might be put into.
            let to = ManuallyDrop::new(Range::anonymous(PAGE)).start;
            let at = |page: usize| range.start.add(page * PAGE);
            let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed;
            assert_ne!(libc::mmap(at(6).cast(), PAGE, rw, private, -1, 0), libc::MAP_FAILED);
            word(at(6)).store(66, Relaxed);
            libc::munmap(at(8).cast(), PAGE);
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            assert_ne!(libc::mremap(at(10).cast(), PAGE, PAGE, flags, to), libc::MAP_FAILED);
            let file = object.as_raw_fd();
            for (page, offset) in [(12, 13), (13, 12)] {
                let offset = (offset * PAGE) as libc::off_t;
                let mapped = libc::mmap(at(page).cast(), PAGE, rw, libc::MAP_SHARED | fixed, file, offset);
                assert_ne!(mapped, libc::MAP_FAILED);
            }
            protect(at(2), 1, libc::PROT_READ);
            protect(at(4), 1, libc::PROT_NONE);
            to
        };
        let identity = inspect::identity(&object).unwrap();
        Changed { range: ManuallyDrop::new(range), object, identity, elsewhere }
    }

    fn at(&self, page: usize) -> *mut u8 {
        // SAFETY: inside the range.
        unsafe { self.range.start.add(page * PAGE) }
    }

    /// What is the program's of the object's memory is there, with the protection it had, and nobody sees it.
    fn check(&self, kept: Kind) {
        assert_eq!(inspect::all_of(self.identity).unwrap(), [], "nothing maps the object");
        let kinds: Vec<_> = (0..16).map(|p| inspect::present(self.at(p) as usize, PAGE).unwrap()).collect();
        for (page, pieces) in kinds.iter().enumerate() {
            let expected = match page {
                6 | 12 | 13 => Kind::Anonymous,
                8 | 10 => continue, // anybody's
                _ => kept,
            };
            assert_eq!(pieces.first().map(|p| p.kind), Some(expected), "page {page}");
        }
        let (read_only, closed) = (piece_at(self.at(2)), piece_at(self.at(4)));
        assert_eq!((read_only.readable, read_only.writable), (true, false));
        assert_eq!((closed.readable, closed.writable), (false, false));
        protect(self.at(4), 1, libc::PROT_READ);
        protect(self.at(2), 1, libc::PROT_READ | libc::PROT_WRITE);
        let first = |page: usize| pattern(page * PAGE / 8);
        for page in [0, 1, 2, 3, 4, 5, 7, 9, 11, 14, 15] {
            assert_eq!(word(self.at(page)).load(Relaxed), first(page), "page {page}");
        }
        assert_eq!(word(self.at(6)).load(Relaxed), 66, "the program's own");
        assert_eq!([12, 13].map(|p| word(self.at(p)).load(Relaxed)), [first(13), first(12)], "as they lay");
        assert_eq!(word(self.elsewhere).load(Relaxed), first(10));
        // SAFETY: the test's own.
        unsafe { libc::munmap(self.elsewhere.cast(), PAGE) };
    }
}

#[test]
fn what_is_left_of_a_changed_range_moves_away() {
    let _alone = alone();
    let changed = Changed::new();
    let other = object(changed.range.length);
    // SAFETY: memory of the test's.
    unsafe { move_to(changed.range.start, changed.range.length, changed.identity, other.as_fd()) }.unwrap();
    changed.check(Kind::Object);
    let moved = Range::map(changed.range.length, libc::MAP_SHARED, other.as_raw_fd());
    moved.words()[1].store(5, Relaxed);
    assert_eq!(changed.range.words()[1].load(Relaxed), 5, "it is the new object's");
}

#[test]
fn what_is_left_of_a_changed_range_is_given_back() {
    let _alone = alone();
    let changed = Changed::new();
    // SAFETY: memory of the test's.
    unsafe { give_back(changed.range.start, changed.range.length, changed.identity, Within::Process) }.unwrap();
    changed.check(Kind::Anonymous);
    let mut first = [0; 8];
    rustix::io::pread(&changed.object, &mut first, 0).unwrap();
    assert_eq!(u64::from_ne_bytes(first), pattern(0), "no page is freed that may be mapped twice");
}

/// The object goes on being a segment's, whatever else of the process maps it.
#[test]
fn only_the_range_is_given_back_when_asked_so() {
    let _alone = alone();
    let changed = Changed::new();
    // SAFETY: memory of the test's.
    unsafe { give_back(changed.range.start, changed.range.length, changed.identity, Within::Range) }.unwrap();
    let left: Vec<_> = inspect::all_of(changed.identity).unwrap().iter().map(|p| p.start).collect();
    assert_eq!(left, [changed.elsewhere as usize]);
}

/// A function that returns 42, as the processor has it.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[0xb8, 42, 0, 0, 0, 0xc3];
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[test]
fn memory_that_can_be_run_stays_so() {
    let _alone = alone();
    let range = Range::anonymous(6 * PAGE);
    range.fill();
    // SAFETY: inside the range.
    let code = unsafe { range.start.add(2 * PAGE) };
    // SAFETY: as above; the code is position-independent and touches nothing.
    unsafe { std::ptr::copy_nonoverlapping(CODE.as_ptr(), code, CODE.len()) };
    protect(code, 2, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    let run = |when: &str| {
        // SAFETY: the code is that of a function without arguments, and the page can be run, or the test fails here.
        let run: extern "C" fn() -> i32 = unsafe { std::mem::transmute(code) };
        assert!(piece_at(code).executable && !piece_at(range.start).executable, "{when}");
        assert_eq!(run(), 42, "{when}");
    };
    run("before");
    range.adopt(&object(range.length)).unwrap();
    run("adopted");
    range.move_to(&object(range.length)).unwrap();
    run("moved");
    range.give_back().unwrap();
    run("given back");
}

/// Where the system does not let shared memory be run, such a range is refused, before anything of it has changed.
#[test]
fn memory_that_can_be_run_is_refused_where_segments_cannot() {
    const PR_SET_MDWE: libc::c_int = 65;
    let _alone = alone();
    in_child(None, || {
        let range = Range::anonymous(6 * PAGE);
        range.fill();
        // SAFETY: memory of the test's.
        let last = unsafe { range.start.add(5 * PAGE) };
        protect(last, 1, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
        // SAFETY: for this child only: no memory becomes executable from here on (Linux 6.3).
        if unsafe { libc::prctl(PR_SET_MDWE, 1, 0, 0, 0) } != 0 {
            println!("skipped: this kernel does not forbid it");
            return;
        }
        assert_eq!(range.adopt(&object(range.length)), Err(Code::PermDenied));
        range.check();
        assert!(range.kinds().iter().all(|&k| k == Kind::Anonymous) && piece_at(last).executable);
    });
}
