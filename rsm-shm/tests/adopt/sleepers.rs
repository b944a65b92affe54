//! Threads that sleep on process-shared semaphores in memory that moves.

use super::*;
use std::sync::mpsc;
use std::time::Duration;

/// A process-shared semaphore at the start of a page, and a thread that waits for it.
struct Sleeper {
    semaphore: usize,
    woken: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Sleeper {
    fn start(range: &Range, page: usize) -> Sleeper {
        // SAFETY: inside the range.
        let semaphore = unsafe { range.start.add(page * page_size()) }.expose_provenance();
        // SAFETY: memory of the test's that nobody else uses.
        assert_eq!(unsafe { libc::sem_init(std::ptr::with_exposed_provenance_mut(semaphore), 1, 0) }, 0);
        let ((tell, told), (wake, woken)) = (mpsc::channel(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            // SAFETY: no arguments.
            tell.send(unsafe { libc::gettid() }).unwrap();
            // SAFETY: the semaphore stays where it is until this thread has ended.
            while unsafe { libc::sem_wait(std::ptr::with_exposed_provenance_mut(semaphore)) } != 0 {}
            wake.send(()).unwrap();
        });
        let id: libc::pid_t = told.recv().unwrap();
        let asleep = || {
            let line = std::fs::read_to_string(format!("/proc/self/task/{id}/syscall")).unwrap_or_default();
            line.split(' ').next() == Some(&libc::SYS_futex.to_string())
        };
        while !asleep() {
            std::thread::yield_now();
        }
        Sleeper { semaphore, woken, thread }
    }

    fn post(self, when: &str) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::sem_post(std::ptr::with_exposed_provenance_mut(self.semaphore)) }, 0);
        assert_eq!(self.woken.recv_timeout(Duration::from_secs(20)), Ok(()), "{when}: posted, and not woken");
        self.thread.join().unwrap();
    }
}

fn all_wake(range: &Range, what: &str) {
    let last = range.length / page_size() - 1;
    let (one, other) = (object(range.length), object(range.length));
    type Step<'a> = (&'a str, &'a dyn Fn() -> Result<Protection, Code>);
    let steps: [Step<'_>; 3] = [
        ("adopted", &|| range.adopt(&one)),
        ("moved", &|| range.move_to(&other)),
        ("given back", &|| range.give_back()),
    ];
    for (when, step) in steps {
        let sleepers = [Sleeper::start(range, 0), Sleeper::start(range, 1), Sleeper::start(range, last)];
        step().unwrap();
        for sleeper in sleepers {
            sleeper.post(&format!("{what}, {when}"));
        }
    }
}

#[test]
fn who_sleeps_in_memory_that_moves_is_woken() {
    let _alone = alone();
    let length = CHUNK + 3 * page_size();
    all_wake(&Range::anonymous(length), "private memory");
    all_wake(&Range::map(length, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1), "shared memory");
    let file = scratch("sleepers", length);
    all_wake(&Range::map(length, libc::MAP_PRIVATE, file.as_raw_fd()), "a file's private memory");
}

/// Those that had been handed on to memory which is not to be theirs sleep where they did.
#[test]
fn who_sleeps_where_a_move_fails_is_woken() {
    let _alone = alone();
    let length = 2 * CHUNK + 4 * page_size();
    let small = object(length - 2 * page_size());
    let range = Range::anonymous(length);
    // In each chunk, for those that moved and come back differ from those that did not.
    let sleepers: Vec<_> = (0..8).map(|i| Sleeper::start(&range, i * (length / page_size() - 1) / 7)).collect();
    assert_eq!(range.adopt(&small), Err(Code::InsufficientMem));
    for sleeper in sleepers {
        sleeper.post("adoption failed");
    }
}

/// Opens files until none can be opened but so many.
fn leave_descriptors(count: usize) -> Vec<std::fs::File> {
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: of a child, which ends soon.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let mut files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - count);
    files
}

#[test]
fn who_sleeps_is_woken_where_descriptors_run_out() {
    let _alone = alone();
    for (count, back) in (1..6).flat_map(|count| [(count, true), (count, false)]) {
        in_child(None, || {
            let range = Range::anonymous(4 * page_size());
            let (one, other) = (object(range.length), object(range.length));
            range.adopt(&one).unwrap();
            let sleeper = Sleeper::start(&range, 1);
            let files = leave_descriptors(count);
            let moved = if back { range.give_back() } else { range.move_to(&other) };
            drop(files);
            assert!(matches!(moved, Ok(_) | Err(Code::InsufficientResources)), "{moved:?}");
            sleeper.post(&format!("{count} descriptors left, given back: {back}, {moved:?}"));
        });
    }
}

#[test]
fn where_nobody_can_look_for_sleepers_nothing_moves() {
    let _alone = alone();
    in_child(None, || {
        let range = Range::anonymous(4 * page_size());
        let (one, other) = (object(range.length), object(range.length));
        range.adopt(&one).unwrap();
        let sleeper = Sleeper::start(&range, 1);
        kernels::refuse(libc::SYS_getdents64, 0, &[], libc::ENOMEM);
        assert_eq!(range.give_back(), Err(Code::InsufficientMem));
        assert_eq!(range.move_to(&other), Err(Code::InsufficientMem));
        assert_eq!(range.object(), inspect::identity(&one).unwrap());
        sleeper.post("nothing moved");
    });
}

#[test]
fn posts_while_memory_moves_are_not_lost() {
    let _alone = alone();
    if !protected() {
        return;
    }
    let range = Range::anonymous(64 * page_size());
    for _ in 0..50 {
        let (one, other) = (object(range.length), object(range.length));
        let [first, second, third] = [5, 6, 7].map(|page| Sleeper::start(&range, page));
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let _told = Told(&stop);
                range.adopt(&one).unwrap();
            });
            first.post("meanwhile");
            while !stop.load(SeqCst) {
                std::thread::yield_now();
            }
        });
        second.post("after the adoption");
        range.move_to(&other).unwrap();
        third.post("after the move");
        range.give_back().unwrap();
    }
}
