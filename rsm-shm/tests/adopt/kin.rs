//! What forked children of the process find, and when pages are freed.

use super::*;

/// A child that shares what the process maps, made by the C library or past it. It says whether the range holds the
/// pattern when it is asked.
struct Child {
    pid: libc::pid_t,
    ask: std::fs::File,
    answer: std::fs::File,
}

impl Child {
    fn fork(range: &Range, raw: bool) -> Child {
        let [(ours, theirs), (back, forth)] = std::array::from_fn(|_| {
            let mut ends = [0; 2];
            // SAFETY: makes two descriptors, owned below.
            assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
            // SAFETY: just made.
            let [from, to] = ends.map(|fd| unsafe { std::fs::File::from_raw_fd(fd) });
            (from, to)
        });
        // SAFETY: (both) the child makes plain system calls and reads memory.
        let pid = unsafe {
            if raw { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t } else { libc::fork() }
        };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: plain system calls on descriptors of ours.
            unsafe {
                libc::alarm(60);
                let mut byte = 0u8;
                libc::close(theirs.as_raw_fd());
                while libc::read(ours.as_raw_fd(), (&raw mut byte).cast(), 1) == 1 {
                    byte = u8::from(range.words().iter().enumerate().all(|(i, w)| w.load(Relaxed) == pattern(i)));
                    libc::write(forth.as_raw_fd(), (&raw const byte).cast(), 1);
                }
                libc::_exit(0);
            }
        }
        drop((ours, forth));
        Child { pid, ask: theirs, answer: back }
    }

    fn holds_the_pattern(&mut self) -> bool {
        let mut byte = [2];
        std::io::Write::write_all(&mut self.ask, &[0]).unwrap();
        std::io::Read::read_exact(&mut self.answer, &mut byte).unwrap();
        byte == [1]
    }

    fn end(self) {
        drop(self.ask);
        assert_eq!(reap(self.pid), 0);
    }
}

#[test]
fn forked_children_keep_what_the_memory_held() {
    let _alone = alone();
    for raw in [false, true] {
        for back in [false, true] {
            let range = Range::anonymous(2 * CHUNK + 3 * page_size());
            range.fill();
            let (one, other) = (object(range.length), object(range.length));
            range.adopt(&one).unwrap();
            let mut child = Child::fork(&range, raw);
            assert!(child.holds_the_pattern());
            if back { range.give_back() } else { range.move_to(&other) }.unwrap();
            range.check();
            range.words()[0].store(0, Relaxed);
            assert!(child.holds_the_pattern(), "made by clone itself: {raw}, given back: {back}");
            child.end();
        }
    }
}

/// They are what `no_more_memory_is_needed_than_a_chunk` rests on.
#[test]
fn pages_are_freed_again_when_the_children_have_ended() {
    let _alone = alone();
    let range = Range::anonymous(8 * page_size());
    range.fill();
    let one = object(range.length);
    range.adopt(&one).unwrap();
    let blocks = || rustix::fs::fstat(&one).unwrap().st_blocks;
    assert!(blocks() > 0);
    Child::fork(&range, false).end();
    range.give_back().unwrap();
    assert!(blocks() == 0 || !pages_are_told(), "nobody can have a right to the pages");
}

fn pages_are_told() -> bool {
    let told = std::fs::File::open("/proc/self/pagemap").is_ok();
    if !told {
        println!("skipped: this process may not look at its pages");
    }
    told
}

/// The page that tells of children must be there before the memory that they might share.
#[test]
fn a_lack_of_memory_at_first_is_not_for_good() {
    let _alone = alone();
    for (errno, may_lock) in [(libc::ENOMEM, true), (libc::EAGAIN, false), (libc::EPERM, false)] {
        in_child(None, || {
            let range = Range::anonymous(8 * page_size());
            range.fill();
            let (one, other) = (object(range.length), object(range.length));
            let refused = || {
                kernels::refuse(libc::SYS_mlock, 0, &[], errno);
                let locked = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_LOCKED;
                kernels::refuse(libc::SYS_mmap, 3, &[locked.cast_unsigned()], errno);
                range.adopt(&one)
            };
            let first = std::thread::scope(|scope| scope.spawn(refused).join().unwrap());
            assert_eq!(first.is_err(), may_lock, "{first:?}");
            if first.is_ok() {
                range.give_back().unwrap();
            }
            range.check();
            assert_eq!(range.kinds(), [Kind::Anonymous]);
            range.adopt(&other).unwrap();
            range.give_back().unwrap();
            range.check();
            let freed = rustix::fs::fstat(&other).unwrap().st_blocks == 0;
            assert!(freed == may_lock || !pages_are_told(), "pages were freed: {freed}");
        });
    }
}
