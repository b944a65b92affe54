//! Kernels that lack something.

use super::*;

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// From here on this thread's calls of one kind fail, those with certain values of one argument (the first is 0) or all.
pub(super) fn refuse(call: libc::c_long, argument: u32, values: &[u32], errno: libc::c_int) {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let half = 16 + argument * 8 + if cfg!(target_endian = "big") { 4 } else { 0 };
    let count = values.len() as u8;
    let mut filter = vec![step(LOAD, 0, 0, 0)];
    if values.is_empty() {
        filter.push(step(EQUAL, 0, 1, call as u32));
    } else {
        filter.extend([step(EQUAL, 0, count + 2, call as u32), step(LOAD, 0, 0, half)]);
        for (i, &value) in (0..count).zip(values) {
            let last = i + 1 == count;
            filter.push(step(EQUAL, count - 1 - i, u8::from(last), value));
        }
    }
    filter.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32));
    filter.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: installs a filter for this thread, which the kernel copies.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// As in a container whose filter of system calls knows no userfaultfd.
#[test]
fn where_stores_cannot_be_held_back_the_result_says_so() {
    let _alone = alone();
    in_child(root().then_some(65534), || {
        refuse(libc::SYS_userfaultfd, 0, &[], libc::EPERM);
        if std::fs::File::open("/dev/userfaultfd").is_ok() {
            println!("skipped: everybody may open /dev/userfaultfd");
            return;
        }
        assert!(mode().is_err());
        let range = Range::anonymous(CHUNK + 5 * page_size());
        range.fill();
        assert_eq!(range.adopt(&object(range.length)), Ok(Protection::None));
        range.check();
        assert_eq!(range.move_to(&object(range.length)), Ok(Protection::None));
        range.check();
        assert_eq!(range.give_back(), Ok(Protection::None));
        range.check();
        assert_eq!(range.kinds(), [Kind::Anonymous]);
    });
}

/// `UFFDIO_REGISTER` and `UFFDIO_WRITEPROTECT`.
const REGISTER: u32 = 0xC020_AA00;
const PROTECT: u32 = 0xC018_AA06;

/// What may pass is no reason to lose stores.
#[test]
fn where_stores_cannot_be_held_back_now_nothing_moves() {
    let _alone = alone();
    if !protected() {
        return;
    }
    for call in [REGISTER, PROTECT] {
        for (errno, code) in [
            (libc::ENOMEM, Code::InsufficientMem),
            (libc::EAGAIN, Code::InsufficientResources),
            (libc::EBADF, Code::InsufficientResources),
        ] {
            in_child(None, || {
                let (private, shared) = (Range::anonymous(4 * page_size()), Range::anonymous(4 * page_size()));
                let (one, other) = (object(private.length), object(shared.length));
                shared.adopt(&other).unwrap();
                let writers = [Writers::start(&private), Writers::start(&shared)];
                refuse(libc::SYS_ioctl, 1, &[call], errno);
                let done = [private.adopt(&one), shared.move_to(&one), shared.give_back()];
                let missing = writers.map(|writers| writers.stop().1);
                assert_eq!((done, missing), ([Err(code); 3], [0; 2]), "{call:#x}, {errno}");
                assert_eq!(private.kinds(), [Kind::Anonymous]);
                assert_eq!(shared.object(), inspect::identity(&other).unwrap());
            });
        }
        in_child(None, || {
            refuse(libc::SYS_ioctl, 1, &[call], libc::EINVAL);
            let range = Range::anonymous(4 * page_size());
            range.fill();
            assert_eq!(range.adopt(&object(range.length)), Ok(Protection::None), "{call:#x} is refused for good");
            range.check();
        });
    }
}

/// Without a descriptor for the device nobody knows whether it would have held back the kernel's own stores as well.
#[test]
fn the_lesser_way_is_not_taken_for_want_of_a_descriptor() {
    let _alone = alone();
    in_child(None, || {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        refuse(libc::SYS_userfaultfd, 0, &[flags.cast_unsigned()], libc::EPERM);
        refuse(libc::SYS_openat, 0, &[], libc::EMFILE);
        #[cfg(target_arch = "x86_64")]
        refuse(libc::SYS_open, 0, &[], libc::EMFILE);
        assert_eq!(mode(), Err(rustix::io::Errno::MFILE));
    });
}

/// Advice to make pages present came with Linux 5.14.
#[test]
fn pages_are_made_present_without_advice_for_it() {
    let _alone = alone();
    for also_reading in [true, false] {
        in_child(None, || {
            refuse(libc::SYS_madvise, 2, &[22, 23], libc::EINVAL);
            // SAFETY: of no bytes.
            assert_ne!(unsafe { libc::madvise(std::ptr::null_mut(), 0, 22) }, 0);
            if !also_reading {
                refuse(libc::SYS_process_vm_readv, 0, &[], libc::EPERM);
            }
            let range = Range::anonymous(CHUNK + 300 * page_size());
            range.fill();
            let (one, other) = (object(range.length), object(range.length));
            assert_eq!(range.adopt(&one), Ok(protection_here()));
            range.check();
            assert_eq!(range.move_to(&other), Ok(protection_here()));
            range.check();
            assert_eq!(range.give_back(), Ok(protection_here()));
            range.check();
            if also_reading {
                let file = scratch("short", 8 * page_size());
                let short = Range::map(8 * page_size(), libc::MAP_PRIVATE, file.as_raw_fd());
                file.set_len(2 * page_size() as u64).unwrap();
                assert_eq!(short.adopt(&object(8 * page_size())), Err(Code::BadAddr), "past the end of a file");
                assert_eq!(short.kinds(), [Kind::PrivateFile]);
            }
        });
    }
}

/// Without room for a copy the memory stays what it was, and is given back when there is room.
#[test]
fn memory_that_cannot_be_given_back_stays_whole() {
    let _alone = alone();
    for limit in [libc::RLIMIT_AS, libc::RLIMIT_DATA] {
        in_child(None, || {
            let range = Range::anonymous(4 * CHUNK);
            range.fill();
            let one = object(range.length);
            range.adopt(&one).unwrap();
            let set = |most| {
                // SAFETY: of this child, which ends soon; the hard limit stays.
                unsafe {
                    let mut limits = std::mem::zeroed();
                    libc::getrlimit(limit, &raw mut limits);
                    let before = limits.rlim_cur;
                    limits.rlim_cur = most;
                    assert_eq!(libc::setrlimit(limit, &raw const limits), 0);
                    before
                }
            };
            let before = set(1 << 20);
            assert_eq!(range.give_back(), Err(Code::InsufficientMem));
            set(before);
            range.check();
            assert_eq!(range.kinds(), [Kind::Object]);
            range.give_back().unwrap();
            range.check();
            assert_eq!(range.kinds(), [Kind::Anonymous]);
        });
    }
}
