//! Threads of this process that sleep on a word of memory that moves.
//!
//! The kernel knows a sleeper on a futex of the shared kind (`sem_t` and mutexes with `pshared`) by the object that its
//! word is in, or, in private memory, as no sleeper of the shared kind of any object. Put another object under the same
//! address, and who wakes it by that address does not find it. So whoever moves memory looks for sleepers and wakes them
//! after the move: waking without a reason is what a futex may always do, and who sleeps looks at its word again.
//! Sleepers in private memory can be reached only before the move; they are handed on to the word in the new memory, and
//! woken there after it.
//!
//! Futexes of the private kind are known by their address and need none of this.
#![allow(unsafe_code)]

use crate::error::from_io;
use crate::{guest, private_table, procfs};
use rsm_core::{Code, Result};

/// `futex_wait(2)` (Linux 6.7), which has the same number everywhere.
const FUTEX_WAIT_2: i64 = 455;
/// `FUTEX2_PRIVATE`.
const PRIVATE_2: u64 = 128;
/// Most words that `futex_waitv` waits for.
const MOST: usize = 128;

/// The words in a range that threads of this process sleep on, by futexes of the shared kind. Those with priority
/// inheritance are not among them: they cannot be woken without being given the lock.
///
/// # Errors
/// INSUFFICIENT_MEM and the like: nobody knows now. Where the kernel never tells there are none.
pub(crate) fn within(start: usize, bytes: usize) -> Result<Vec<usize>> {
    match look(start, bytes) {
        // The process has no descriptors left for it; a thread with a table of its own has.
        Err(error) if error.code() == Code::InsufficientResources => private_table::aside(move || look(start, bytes)),
        other => other,
    }
}

fn look(start: usize, bytes: usize) -> Result<Vec<usize>> {
    let silent =
        |e: &std::io::Error| matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::EACCES | libc::EPERM));
    let failed = |e| from_io(&e, "cannot look for threads that sleep in memory that moves");
    let mut found = Vec::new();
    match procfs::obstacle() {
        None => {}
        // What is there tells of somebody else, or lies.
        Some(error) if matches!(error.code(), Code::CtlrNotPresent | Code::PermDenied) => return Ok(found),
        Some(error) => return Err(error),
    }
    let tasks = match std::fs::read_dir("/proc/self/task") {
        Err(e) if silent(&e) => return Ok(found),
        other => other.map_err(failed)?,
    };
    let me = rustix::thread::gettid().to_string();
    for task in tasks {
        let task = task.map_err(failed)?;
        if *task.file_name() == *me {
            continue;
        }
        match guest::read_text(&task.path().join("syscall")) {
            Ok(line) => found.extend(words_of(line.as_bytes())),
            // Ended meanwhile; or the kernel was built without it.
            Err(e) if silent(&e) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    found.retain(|&word| word >= start && word - start < bytes && word.is_multiple_of(4));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The words that a thread sleeps on, as its line says: `number argument argument ...`, or `running`.
fn words_of(line: &[u8]) -> Vec<usize> {
    let text = std::str::from_utf8(line).unwrap_or("");
    let mut fields = text.split_ascii_whitespace();
    let number: i64 = fields.next().and_then(|n| n.parse().ok()).unwrap_or(-1);
    let arguments: Vec<u64> = fields.filter_map(|a| u64::from_str_radix(a.strip_prefix("0x")?, 16).ok()).collect();
    let &[first, second, _, fourth, ..] = &arguments[..] else { return Vec::new() };
    if number == libc::SYS_futex {
        let command = second as libc::c_int & !libc::FUTEX_CLOCK_REALTIME;
        return if command == libc::FUTEX_WAIT || command == libc::FUTEX_WAIT_BITSET {
            vec![first as usize]
        } else {
            Vec::new()
        };
    }
    if number == FUTEX_WAIT_2 {
        return if fourth & PRIVATE_2 == 0 { vec![first as usize] } else { Vec::new() };
    }
    if number == libc::SYS_futex_waitv { waited_for(first as usize, second as usize) } else { Vec::new() }
}

/// One of the words that `futex_waitv` waits for.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Waited {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// The list that another thread waits with. It lies where that thread keeps it, and may be gone by now.
fn waited_for(list: usize, length: usize) -> Vec<usize> {
    let mut waited = [Waited::default(); MOST];
    let length = length.min(MOST);
    let bytes = length * size_of::<Waited>();
    let mine = libc::iovec { iov_base: waited.as_mut_ptr().cast(), iov_len: bytes };
    let theirs = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(list), iov_len: bytes };
    // SAFETY: the kernel checks that the list can be read, and writes at most as many bytes as `waited` has.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const mine, 1, &raw const theirs, 1, 0) };
    let known = usize::try_from(read).unwrap_or(0) / size_of::<Waited>();
    let shared = waited[..known].iter().filter(|w| u64::from(w.flags) & PRIVATE_2 == 0);
    shared.map(|w| w.address as usize).collect()
}

/// Makes those who sleep on a word of mapped memory sleep on another one; says whether there were any.
pub(crate) fn hand_on(word: usize, to: usize) -> bool {
    // SAFETY: the kernel checks both addresses; nothing is stored to either.
    let moved =
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_REQUEUE, 0, libc::c_long::from(i32::MAX), to) };
    moved > 0
}

/// Wakes everybody who sleeps on a word of mapped memory.
pub(crate) fn wake(word: usize) {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, libc::c_long::from(i32::MAX)) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn nobody_sleeps_is_not_said_where_nobody_could_look() {
        for call in [libc::SYS_statfs, libc::SYS_getdents64] {
            let looked = crate::refused::on_a_thread(call, Errno::NOMEM, || within(0, usize::MAX));
            assert_eq!(looked.unwrap_err().code(), Code::InsufficientMem);
        }
    }

    #[test]
    fn lines_become_words() {
        let futex = |operation: libc::c_int| {
            format!("{} 0x7f0000001008 {operation:#x} 0x0 0x0 0x0 0xffffffff 0x7ffe 0x7f01\n", libc::SYS_futex)
        };
        let word = [0x7f00_0000_1008];
        for operation in
            [libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET, libc::FUTEX_WAIT_BITSET | libc::FUTEX_CLOCK_REALTIME]
        {
            assert_eq!(words_of(futex(operation).as_bytes()), word);
            assert!(words_of(futex(operation | libc::FUTEX_PRIVATE_FLAG).as_bytes()).is_empty());
        }
        assert!(words_of(futex(libc::FUTEX_LOCK_PI).as_bytes()).is_empty());
        assert_eq!(words_of(b"455 0x7f0000001008 0x0 0xffffffff 0x2 0x0 0x0 0x1 0x1"), word);
        assert!(words_of(b"455 0x7f0000001008 0x0 0xffffffff 0x82 0x0 0x0 0x1 0x1").is_empty());
        assert!(words_of(b"running\n").is_empty());
        assert!(words_of(b"-1 0x7ffe 0x7f01\n").is_empty());
        assert!(words_of(b"").is_empty());
    }
}
