//! Moving memory under threads that use it: what is lost (nothing), what it takes, and what is refused.
#![allow(unsafe_code)]

mod kernels;
mod kin;
mod pieces;
mod sleepers;

use rsm_core::Code;
use rsm_shm::memory::adopt::{CHUNK, Protection, Within, adopt, give_back, move_to};
use rsm_shm::memory::inspect::{self, Identity, Kind};
use rsm_shm::memory::memfd::{self, Sealing};
use rsm_shm::memory::page_size;
use rsm_shm::memory::uffd::{self, Mode};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

const MIB: usize = 1 << 20;

/// Forks, timings and peaks of memory are of the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn object(length: usize) -> OwnedFd {
    let object = memfd::create("rsm-segment", length as u64).unwrap();
    memfd::seal(&object, Sealing::Size).unwrap();
    object
}

/// Memory of the test, unmapped when dropped.
struct Range {
    start: *mut u8,
    length: usize,
}

// SAFETY: what is shared is the address; tests say who uses which bytes.
unsafe impl Sync for Range {}

impl Range {
    fn map(length: usize, flags: libc::c_int, fd: libc::c_int) -> Range {
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the addresses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, rw, flags, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Range { start: start.cast(), length }
    }

    fn anonymous(length: usize) -> Range {
        Range::map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped and aligned while self lives; atomics may be shared with anybody.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length / 8) }
    }

    fn fill(&self) {
        for (i, word) in self.words().iter().enumerate() {
            word.store(pattern(i), Relaxed);
        }
    }

    fn check(&self) {
        let wrong = self.words().iter().enumerate().find(|(i, w)| w.load(Relaxed) != pattern(*i));
        assert!(wrong.is_none(), "contents changed at {:?}", wrong.map(|(i, _)| i * 8));
    }

    fn adopt(&self, object: &OwnedFd) -> Result<Protection, Code> {
        // SAFETY: the memory is the test's and used through atomics.
        unsafe { adopt(self.start, self.length, object.as_fd()) }.map_err(|e| e.code())
    }

    fn give_back(&self) -> Result<Protection, Code> {
        // SAFETY: as above.
        unsafe { give_back(self.start, self.length, self.object(), Within::Process) }.map_err(|e| e.code())
    }

    fn move_to(&self, object: &OwnedFd) -> Result<Protection, Code> {
        // SAFETY: as above.
        unsafe { move_to(self.start, self.length, self.object(), object.as_fd()) }.map_err(|e| e.code())
    }

    /// What its first page maps.
    fn object(&self) -> Identity {
        let first = &inspect::pieces(self.start as usize, page_size()).unwrap()[0];
        (first.device, first.inode)
    }

    fn kinds(&self) -> Vec<Kind> {
        inspect::pieces(self.start as usize, self.length).unwrap().iter().map(|p| p.kind).collect()
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: the test's own mapping.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

fn pattern(i: usize) -> u64 {
    (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

/// Says it when it goes, so that who waits for it stops where a test fails, too.
pub(crate) struct Told<'a>(pub(crate) &'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Threads with all signals blocked that count in words of their own, spread over the range.
struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
    start: usize,
    words: usize,
}

impl Writers {
    const COUNT: usize = 2;

    fn start(range: &Range) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let (start, words) = (range.start as usize, range.length / 8);
        let threads = (0..Writers::COUNT).map(|me| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                block_signals();
                // SAFETY: the range outlives the writers, which `stop` joins.
                let words = unsafe { std::slice::from_raw_parts(start as *const AtomicU64, words) };
                let (mut count, mut x) = (0u64, 88_172_645_463_325_252u64 + me as u64);
                while !stop.load(Relaxed) {
                    for _ in 0..64 {
                        x ^= x << 13;
                        x ^= x >> 7;
                        x ^= x << 17;
                        let word = &words[x as usize % (words.len() / Writers::COUNT) * Writers::COUNT + me];
                        word.store(word.load(Relaxed) + 1, Relaxed);
                        count += 1;
                    }
                }
                count
            })
        });
        Writers { threads: threads.collect(), stop, start, words }
    }

    /// Stores made, and stores missing (or, if negative, doubled).
    fn stop(mut self) -> (u64, i64) {
        self.stop.store(true, Relaxed);
        // SAFETY: as above.
        let words = unsafe { std::slice::from_raw_parts(self.start as *const AtomicU64, self.words) };
        let (mut made, mut missing) = (0, 0i64);
        for (me, thread) in std::mem::take(&mut self.threads).into_iter().enumerate() {
            let count = thread.join().unwrap();
            let found: u64 = words.iter().skip(me).step_by(Writers::COUNT).map(|w| w.load(Relaxed)).sum();
            made += count;
            missing += count as i64 - found as i64;
        }
        (made, missing)
    }
}

/// Where a test fails meanwhile, the range is still there when they have stopped.
impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn block_signals() {
    // SAFETY: fills and reads a set of our own.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(5));
}

/// Runs `story` in a child, as another user if asked, with a minute to do it; its panic is ours.
fn in_child(uid: Option<u32>, story: impl FnOnce()) {
    // SAFETY: the tests that fork hold `alone`, so that no other test's thread holds a lock; the child only exits.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: plain system calls.
        unsafe {
            libc::alarm(120);
            if let Some(uid) = uid {
                assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
                assert_eq!(libc::setresgid(uid, uid, uid), 0);
                assert_eq!(libc::setresuid(uid, uid, uid), 0);
            }
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(story));
        // SAFETY: ends the child without running the test's own exit.
        unsafe { libc::_exit(if done.is_ok() { 0 } else { 101 }) };
    }
    assert_eq!(reap(child), 0, "the child's story failed");
}

/// Exit code, or 256 + signal.
fn reap(child: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 256 + libc::WTERMSIG(status) }
}

fn root() -> bool {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() == 0 }
}

/// How this process can hold stores back.
fn mode() -> Result<Mode, rustix::io::Errno> {
    uffd::probe().map(|(mode, _)| mode)
}

fn protected() -> bool {
    let can = mode().is_ok();
    if !can {
        println!("skipped: this process may not hold stores back (userfaultfd)");
    }
    can
}

/// Whether all is to be played.
fn plays_all() -> bool {
    std::env::var("RSM_TESTS").is_ok_and(|which| which == "all")
}

/// So many rounds where all is to be played, otherwise a quarter.
fn rounds(all: usize) -> usize {
    if plays_all() { all } else { all.div_ceil(4) }
}

/// There, to another object, and back, again and again, while threads store.
fn no_store_is_lost(length: usize, rounds: usize) {
    let range = Range::anonymous(length);
    let writers = Writers::start(&range);
    let mut unprotected = 0;
    let mut note = |p: Result<Protection, Code>| unprotected += usize::from(p.unwrap() == Protection::None);
    for _ in 0..rounds {
        let (one, other) = (object(length), object(length));
        pause();
        note(range.adopt(&one));
        pause();
        note(range.move_to(&other));
        pause();
        note(range.give_back());
    }
    let (made, missing) = writers.stop();
    println!("{rounds} rounds of {} KiB, {:?}: {made} stores, {missing} lost", length / 1024, mode());
    assert_eq!(unprotected, 0, "the kernel refused to hold stores back");
    assert!(made > 0);
    assert_eq!(missing, 0);
}

#[test]
fn no_store_of_other_threads_is_lost() {
    let _alone = alone();
    if !protected() {
        return;
    }
    no_store_is_lost(16 * page_size(), rounds(100));
    no_store_is_lost(2 * CHUNK + 3 * page_size(), rounds(20));
}

#[test]
fn no_store_is_lost_without_privileges() {
    let _alone = alone();
    if !root() {
        println!("skipped: the other tests run without privileges already");
        return;
    }
    in_child(Some(65534), || {
        if protected() {
            assert!(
                std::fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd").unwrap().trim() != "0"
                    || mode() == Ok(Mode::UserOnly)
                    || std::fs::File::open("/dev/userfaultfd").is_ok()
            );
            no_store_is_lost(16 * page_size(), rounds(100));
            no_store_is_lost(2 * CHUNK, rounds(10));
        }
    });
}

/// What the tests above would find if stores were not held back.
#[test]
fn without_protection_stores_are_lost() {
    let _alone = alone();
    let length = 16 * MIB;
    for round in 1..=50 {
        let range = Range::anonymous(length);
        let writers = Writers::start(&range);
        let object = object(length);
        let copy = Range::map(length, libc::MAP_SHARED, object.as_raw_fd());
        pause();
        let (rw, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
        // SAFETY: copies and replaces memory of the test's.
        unsafe {
            std::ptr::copy_nonoverlapping(range.start, copy.start, length);
            assert_ne!(libc::mmap(range.start.cast(), length, rw, flags, object.as_raw_fd(), 0), libc::MAP_FAILED);
        }
        pause();
        let (made, missing) = writers.stop();
        if missing > 0 {
            println!("control, round {round}: {made} stores, {missing} lost");
            return;
        }
    }
    panic!("the control lost nothing in 50 rounds: it says nothing about the tests");
}

#[test]
fn signal_handlers_that_store_to_the_range_do_not_stop_the_move() {
    static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
    extern "C" fn count(_: libc::c_int) {
        // SAFETY: set before the handler is, to a word that outlives it.
        unsafe { (*WORD.load(SeqCst)).fetch_add(1, SeqCst) };
    }
    let _alone = alone();
    let range = Range::anonymous(4 * MIB);
    WORD.store(std::ptr::from_ref(&range.words()[77]).cast_mut(), SeqCst);
    let handler: extern "C" fn(libc::c_int) = count;
    // SAFETY: the handler does one atomic addition.
    let before = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    // SAFETY: names this thread.
    let me = unsafe { libc::pthread_self() };
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Relaxed) {
                // SAFETY: the scope's thread lives until this one is joined.
                unsafe { libc::pthread_kill(me, libc::SIGUSR1) };
                std::thread::yield_now();
            }
        });
        let _told = Told(&stop);
        for _ in 0..20 {
            range.adopt(&object(range.length)).unwrap();
            range.give_back().unwrap();
        }
    });
    // SAFETY: as it was.
    unsafe { libc::signal(libc::SIGUSR1, before) };
    assert!(range.words()[77].load(SeqCst) > 0);
}

#[test]
fn children_forked_meanwhile_live_and_take_nothing_away() {
    let _alone = alone();
    if !protected() {
        return;
    }
    let range = Range::anonymous(24 * MIB);
    // The first half counts, the second belongs to the children.
    let counted = Range { start: range.start, length: 12 * MIB };
    let writers = Writers::start(&counted);
    let stop = AtomicBool::new(false);
    let forked = std::thread::scope(|s| {
        let forker = s.spawn(|| {
            let mut forked = 0;
            while !stop.load(Relaxed) {
                // SAFETY: the child stores to memory and ends, without a lock.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: plain system calls.
                    unsafe { libc::alarm(20) };
                    for page in range.words()[range.length / 16..].chunks(page_size() / 8) {
                        page[0].store(7, Relaxed);
                    }
                    // SAFETY: as above.
                    unsafe { libc::_exit(42) };
                }
                assert_eq!(reap(child), 42, "a child was held back or killed");
                forked += 1;
            }
            forked
        });
        let told = Told(&stop);
        for _ in 0..rounds(10) {
            let (one, other) = (object(range.length), object(range.length));
            assert_eq!(range.adopt(&one), Ok(Protection::WriteProtected));
            assert_eq!(range.move_to(&other), Ok(Protection::WriteProtected));
            assert_eq!(range.give_back(), Ok(Protection::WriteProtected));
        }
        drop(told);
        forker.join().unwrap()
    });
    let (made, missing) = writers.stop();
    println!("{forked} forks: {made} stores, {missing} lost");
    assert!(forked > 0);
    assert_eq!(missing, 0);
    std::mem::forget(counted);
}

/// Reads a pipe into the range, byte after byte in order, while it moves. Returns how often the kernel said EFAULT.
fn read_into(range: &Range) -> usize {
    let mut ends = [0; 2];
    // SAFETY: makes two descriptors, owned below.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: just made.
    let [from, to] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let stop = AtomicBool::new(false);
    let faults = std::thread::scope(|s| {
        let feeder = s.spawn(move || {
            let mut to = std::fs::File::from(to);
            let bytes: Vec<u8> = (0..range_bytes()).map(byte).collect();
            std::io::Write::write_all(&mut to, &bytes).unwrap();
        });
        let reader = s.spawn(|| {
            let _told = Told(&stop);
            let (mut at, mut faults) = (0, 0);
            while at < range_bytes() {
                let left = (range_bytes() - at).min(1000);
                // SAFETY: inside the range; nobody else uses these bytes.
                let n = unsafe { libc::read(from.as_raw_fd(), range.start.add(at).cast(), left) };
                if n < 0 {
                    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
                    faults += 1;
                } else {
                    assert!(n > 0);
                    at += n as usize;
                }
            }
            faults
        });
        while !stop.load(Relaxed) {
            range.adopt(&object(range.length)).unwrap();
            range.give_back().unwrap();
        }
        feeder.join().unwrap();
        reader.join().unwrap()
    });
    for at in 0..range_bytes() {
        // SAFETY: inside the range, and nobody stores any more.
        assert_eq!(unsafe { range.start.add(at).read_volatile() }, byte(at), "byte {at}");
    }
    faults
}

fn range_bytes() -> usize {
    4 * MIB
}

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

#[test]
fn what_the_kernel_stores_is_not_lost_either() {
    let _alone = alone();
    if !protected() {
        return;
    }
    let faults = read_into(&Range::anonymous(range_bytes()));
    println!("read(2) as {:?}: {faults} EFAULT", mode());
    if mode() == Ok(Mode::Full) {
        assert_eq!(faults, 0, "system calls wait as user code does");
    }
    if root() {
        in_child(Some(65534), || {
            let faults = read_into(&Range::anonymous(range_bytes()));
            println!("read(2) as {:?}: {faults} EFAULT", mode());
        });
    }
}

fn there_and_back(range: &Range, from: Kind, protection: Option<Protection>) {
    range.fill();
    assert!(range.kinds().iter().all(|&k| k == from), "{from:?}: {:?}", range.kinds());
    let (one, other) = (object(range.length), object(range.length));
    let adopted = range.adopt(&one).unwrap();
    println!("{from:?}: {adopted:?}");
    if let (Some(expected), Ok(_)) = (protection, mode()) {
        assert_eq!(adopted, expected, "{from:?}");
    }
    assert_eq!(range.kinds(), [Kind::Object], "one mapping");
    range.check();
    let (device, inode) = inspect::identity(&one).unwrap();
    assert!(inspect::maps_object(range.start as usize, range.length, device, inode).unwrap());
    let seen = Range::map(range.length, libc::MAP_SHARED, one.as_raw_fd());
    seen.check();
    seen.words()[3].store(5, Relaxed);
    assert_eq!(range.words()[3].load(Relaxed), 5, "shared");
    seen.words()[3].store(pattern(3), Relaxed);
    range.move_to(&other).unwrap();
    assert!(!inspect::maps_object(range.start as usize, range.length, device, inode).unwrap());
    assert_eq!(range.kinds(), [Kind::Object], "one mapping");
    range.check();
    assert_eq!(seen.words()[3].load(Relaxed), 0, "the old object is nobody's memory");
    range.give_back().unwrap();
    assert_eq!(range.kinds(), [Kind::Anonymous], "one mapping");
    range.check();
}

#[test]
fn all_kinds_of_memory_are_adopted_and_given_back() {
    let _alone = alone();
    use Protection::WriteProtected;
    let length = CHUNK + 5 * page_size();
    there_and_back(&Range::anonymous(length), Kind::Anonymous, Some(WriteProtected));
    let shared = Range::map(length, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    there_and_back(&shared, Kind::SharedAnonymous, Some(WriteProtected));

    for length in [3 * page_size(), length] {
        let mut start = std::ptr::null_mut();
        // SAFETY: allocates; freed below.
        assert_eq!(unsafe { libc::posix_memalign(&raw mut start, page_size(), length) }, 0);
        let range = Range { start: start.cast(), length };
        there_and_back(&range, Kind::Anonymous, Some(WriteProtected));
        std::mem::forget(range);
        // SAFETY: allocated above.
        unsafe { libc::free(start) };
    }

    let file = scratch("private", length);
    let private = Range::map(length, libc::MAP_PRIVATE, file.as_raw_fd());
    there_and_back(&private, Kind::PrivateFile, None);

    // Parts of different kinds side by side.
    let mixed = Range::anonymous(12 * page_size());
    let (rw, fixed) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_FIXED);
    // SAFETY: replaces memory of the test's.
    unsafe {
        let at = |page: usize| mixed.start.add(page * page_size()).cast();
        libc::mmap(at(2), 3 * page_size(), rw, fixed | libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0);
        libc::mmap(at(8), 2 * page_size(), rw, fixed | libc::MAP_PRIVATE, file.as_raw_fd(), 0);
    }
    mixed.fill();
    mixed.adopt(&object(mixed.length)).unwrap();
    mixed.check();
    mixed.give_back().unwrap();
    assert_eq!(mixed.kinds(), [Kind::Anonymous]);
    mixed.check();
}

#[test]
fn system_v_memory_is_adopted_and_given_back() {
    let _alone = alone();
    let length = CHUNK + 5 * page_size();
    // SAFETY: makes a segment.
    let id = unsafe { libc::shmget(libc::IPC_PRIVATE, length, 0o600) };
    if id < 0 {
        println!("skipped: no System V memory: {}", std::io::Error::last_os_error());
        return;
    }
    // SAFETY: the segment of above, which goes with its attachment.
    let range = unsafe {
        let start = libc::shmat(id, std::ptr::null(), 0);
        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
        assert_ne!(start.addr(), usize::MAX, "{}", std::io::Error::last_os_error());
        Range { start: start.cast(), length }
    };
    there_and_back(&range, Kind::SysV, None);
}

/// A file in the directory for temporary files, without a name.
fn scratch(name: &str, length: usize) -> std::fs::File {
    let path = std::env::temp_dir().join(format!("rsm-adopt-{name}-{}", std::process::id()));
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(length as u64).unwrap();
    file
}

#[test]
fn what_cannot_be_exported_is_refused_and_left_alone() {
    let _alone = alone();
    let range = Range::anonymous(8 * page_size());
    range.fill();
    let object = object(8 * page_size());
    let code = |start: *mut u8, length: usize| {
        // SAFETY: refused, as the test shows, or memory of the test's.
        unsafe { adopt(start, length, object.as_fd()) }.map_err(|e| e.code())
    };
    assert_eq!(code(range.start, 0), Err(Code::BadLength));
    // SAFETY: inside the range.
    assert_eq!(code(unsafe { range.start.add(8) }, page_size()), Err(Code::BadMemAlignment));
    assert_eq!(code(range.start, page_size() + 1), Err(Code::BadMemAlignment));
    assert_eq!(code(range.start, !(page_size() - 1)), Err(Code::BadAddr));

    let hole = Range::anonymous(8 * page_size());
    // SAFETY: memory of the test's.
    unsafe { libc::munmap(hole.start.add(3 * page_size()).cast(), page_size()) };
    assert_eq!(code(hole.start, hole.length), Err(Code::BadAddr), "a hole");
    let guard = Range::anonymous(8 * page_size());
    // SAFETY: memory of the test's.
    unsafe { libc::mprotect(guard.start.add(3 * page_size()).cast(), page_size(), libc::PROT_READ) };
    assert_eq!(code(guard.start, guard.length), Err(Code::PermDenied), "read-only");
    // SAFETY: memory of the test's.
    unsafe { libc::mprotect(guard.start.add(3 * page_size()).cast(), page_size(), libc::PROT_NONE) };
    assert_eq!(code(guard.start, guard.length), Err(Code::PermDenied), "no access");
    // SAFETY: memory of the test's.
    unsafe { libc::munmap(guard.start.add(5 * page_size()).cast(), page_size()) };
    assert_eq!(code(guard.start, guard.length), Err(Code::BadAddr), "holes come first");

    let file = scratch("shared", 8 * page_size());
    let shared = Range::map(8 * page_size(), libc::MAP_SHARED, file.as_raw_fd());
    assert_eq!(code(shared.start, shared.length), Err(Code::BadAddr), "a regular file");
    let theirs = memfd::create("theirs", 8 * page_size() as u64).unwrap();
    let shared = Range::map(8 * page_size(), libc::MAP_SHARED, theirs.as_raw_fd());
    assert_eq!(code(shared.start, shared.length), Err(Code::BadAddr), "a file in tmpfs");
    file.set_len(2 * page_size() as u64).unwrap();
    let short = Range::map(8 * page_size(), libc::MAP_PRIVATE, file.as_raw_fd());
    assert_eq!(code(short.start, short.length), Err(Code::BadAddr), "past the end of a file");
    assert_eq!(short.kinds(), [Kind::PrivateFile]);

    // Frames of the functions that would do the work lie right below ours.
    let local = 0u8;
    let stack = ((&raw const local as usize & !(page_size() - 1)) - 2 * page_size()) as *mut u8;
    assert_eq!(code(stack, 3 * page_size()), Err(Code::BadAddr), "the stack under our feet");
    let theirs = inspect::identity(&object).unwrap();
    // SAFETY: memory of the test's, none of which is the object's.
    let given = unsafe { give_back(range.start, range.length, theirs, Within::Process) };
    assert_eq!(given.unwrap(), Protection::WriteProtected, "nothing to do");
    range.check();
    assert_eq!(range.kinds(), [Kind::Anonymous]);
    range.adopt(&object).unwrap();
    assert_eq!(code(range.start, range.length), Err(Code::BadAddr), "a segment already");
    range.check();
}

/// Fails in the middle, where the object ends too early, and where mappings run out.
#[test]
fn an_error_in_the_middle_leaves_the_range_as_it_was() {
    let _alone = alone();
    let length = 2 * CHUNK + 4 * page_size();
    let small = object(length - 2 * page_size());
    let private = Range::anonymous(length);
    private.fill();
    assert_eq!(private.adopt(&small), Err(Code::InsufficientMem));
    private.check();
    assert!(private.kinds().iter().all(|&k| k == Kind::Anonymous));
    assert_eq!(private.adopt(&object(length)), Ok(protection_here()), "and can be tried again");

    assert_eq!(private.move_to(&small), Err(Code::InsufficientMem));
    private.check();
    assert!(private.kinds().iter().all(|&k| k == Kind::Object));
    private.give_back().unwrap();
    private.check();

    let shared = Range::map(length, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    shared.fill();
    // SAFETY: memory of the test's, mapped a second time.
    let relative = unsafe { libc::mremap(shared.start.cast(), 0, length, libc::MREMAP_MAYMOVE) };
    let relative = Range { start: relative.cast(), length };
    assert_eq!(shared.adopt(&small), Err(Code::InsufficientMem));
    shared.check();
    assert!(shared.kinds().iter().all(|&k| k == Kind::SharedAnonymous));
    relative.words()[9].store(1, Relaxed);
    assert_eq!(shared.words()[9].load(Relaxed), 1, "still shared with its relatives");

    if protected() {
        let range = Range::anonymous(length);
        let writers = Writers::start(&range);
        for _ in 0..5 {
            assert_eq!(range.adopt(&small), Err(Code::InsufficientMem));
        }
        assert_eq!(writers.stop().1, 0, "no store is lost on the way back either");
    }
}

fn protection_here() -> Protection {
    if mode().is_ok() { Protection::WriteProtected } else { Protection::None }
}

/// A value in KiB of a file in /proc.
fn kib(file: &str, key: &str) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|l| l.split(':').next() == Some(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The most bytes that this process's private memory and some objects had in pages while `work` ran.
fn peak(objects: &[&OwnedFd], work: impl FnOnce()) -> usize {
    let used = || {
        let blocks = |o: &&OwnedFd| rustix::fs::fstat(o).unwrap().st_blocks as usize * 512;
        kib("/proc/self/status", "RssAnon") * 1024 + objects.iter().map(blocks).sum::<usize>()
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let watch = s.spawn(|| {
            let mut most = used();
            while !stop.load(Relaxed) {
                most = most.max(used());
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            most
        });
        let told = Told(&stop);
        work();
        drop(told);
        watch.join().unwrap()
    })
}

#[test]
fn no_more_memory_is_needed_than_a_chunk() {
    let _alone = alone();
    let available = kib("/proc/meminfo", "MemAvailable") * 1024;
    let length = if plays_all() && available > 3 << 30 { 1 << 30 } else { 256 * MIB };
    in_child(None, || {
        let range = Range::anonymous(length);
        range.fill();
        let clear = || std::fs::write("/proc/self/clear_refs", "5").is_ok();
        let resident = || (kib("/proc/self/status", "VmRSS") * 1024, kib("/proc/self/status", "VmHWM") * 1024);
        let (one, other) = (object(length), object(length));
        let step = |what: &str, work: &dyn Fn()| {
            let cleared = clear();
            let (before, _) = resident();
            let began = std::time::Instant::now();
            let used = peak(&[&one, &other], work);
            let took = began.elapsed();
            let (_, most) = resident();
            println!(
                "{what} of {} MiB: {took:?}, at most {} MiB in pages, resident {} MiB, at most {} MiB",
                length / MIB,
                used / MIB,
                before / MIB,
                most / MIB
            );
            assert!(used < length + 4 * CHUNK, "{what}: pages");
            assert!(!cleared || most < before + 4 * CHUNK, "{what}: resident memory");
        };
        step("adopt", &|| assert!(range.adopt(&one).is_ok()));
        step("move_to", &|| assert!(range.move_to(&other).is_ok()));
        step("give_back", &|| assert!(range.give_back().is_ok()));
        range.check();
    });
}
