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
        let semaphore = unsafe { range.start.add(page * PAGE) }.expose_provenance();
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
    let last = range.length / PAGE - 1;
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
    let length = CHUNK + 3 * PAGE;
    all_wake(&Range::anonymous(length), "private memory");
    all_wake(&Range::map(length, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1), "shared memory");
    let file = scratch("sleepers", length);
    all_wake(&Range::map(length, libc::MAP_PRIVATE, file.as_raw_fd()), "a file's private memory");
}

/// Those that had been handed on to memory which is not to be theirs sleep where they did.
#[test]
fn who_sleeps_where_a_move_fails_is_woken() {
    let _alone = alone();
    let length = 2 * CHUNK + 4 * PAGE;
    let small = object(length - 2 * PAGE);
    let range = Range::anonymous(length);
    let sleepers = [Sleeper::start(&range, 0), Sleeper::start(&range, length / PAGE - 1)];
    assert_eq!(range.adopt(&small), Err(Code::InsufficientMem));
    for sleeper in sleepers {
        sleeper.post("adoption failed");
    }
}

#[test]
fn posts_while_memory_moves_are_not_lost() {
    let _alone = alone();
    if !protected() {
        return;
    }
    let range = Range::anonymous(64 * PAGE);
    for _ in 0..50 {
        let (one, other) = (object(range.length), object(range.length));
        let [first, second, third] = [5, 6, 7].map(|page| Sleeper::start(&range, page));
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                range.adopt(&one).unwrap();
                stop.store(true, SeqCst);
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
