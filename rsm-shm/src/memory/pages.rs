//! Control pages of agents that are each other's peers (`rsm_core::peer`), as mapped words.
#![allow(unsafe_code)]

use super::fence;
use super::memfd::{self, Sealing};
use super::region::Region;
use crate::guest::Guest;
use rsm_core::access::Permission;
use rsm_core::peer::control::{self, OURS_WORDS, THEIRS_WORDS};
use rsm_core::peer::{Far, Near, UNANSWERED};
use rsm_core::sync::{AtomicU64, Ordering::Relaxed, acquire};
use rsm_core::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

const WORD: usize = size_of::<AtomicU64>();

/// Words in mapped memory, which others may write.
#[derive(Debug)]
struct Words(Region);

impl Words {
    fn map(fd: impl AsFd, words: usize, permission: Permission) -> Result<Words> {
        Ok(Words(Region::map(fd, 0, words * WORD, permission)?))
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped and aligned to a page for as long as `self`. Atomics of 8 bytes: whatever somebody else stores is a
        // word. Of a mapping for reading they are only loaded, relaxed (`FarPages`).
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() / WORD) }
    }
}

/// The own control pages, and the objects that they are in.
#[derive(Debug)]
pub struct NearPages {
    ours: Words,
    theirs: Words,
    objects: [OwnedFd; 2],
}

impl NearPages {
    /// Makes pages of zeroes.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub fn create() -> Result<NearPages> {
        let piece = |name: &str, words: usize| -> Result<(Words, OwnedFd)> {
            let object = memfd::create(name, (words * WORD) as u64)?;
            memfd::seal(&object, Sealing::Size)?;
            let words = Words::map(&object, words, Permission::ReadWrite)?;
            // A forked child of an embedding process must not be able to speak for the agent.
            words.0.dont_fork()?;
            Ok((words, object))
        };
        let (ours, first) = piece("rsm-peer-ours", OURS_WORDS)?;
        let (theirs, second) = piece("rsm-peer-theirs", THEIRS_WORDS)?;
        Ok(NearPages { ours, theirs, objects: [first, second] })
    }

    /// The words.
    pub fn near(&self) -> Near<'_> {
        Near { ours: self.ours.words(), theirs: self.theirs.words() }
    }

    /// Descriptors for the peer: of what it may read, opened for reading, and of what it may write.
    ///
    /// # Errors
    /// As `memfd::reopen`.
    pub fn hand_out(&self) -> Result<[OwnedFd; 2]> {
        let reopen = |at: usize, permission| memfd::reopen(&self.objects[at], permission);
        Ok([reopen(0, Permission::Read)?, reopen(1, Permission::ReadWrite)?])
    }
}

/// The peer's control pages, where both agents are on one machine.
#[derive(Debug)]
pub struct FarPages {
    ours: Words,
    theirs: Words,
}

impl FarPages {
    /// Maps what a peer handed out.
    ///
    /// # Errors
    /// INTERNAL_ERROR when it is no such memory; INSUFFICIENT_MEM.
    pub fn open(ours: impl AsFd, theirs: impl AsFd) -> Result<FarPages> {
        let open = |fd: &dyn AsFd, words: usize, permission| {
            let (fd, length) = (fd.as_fd(), (words * WORD) as u64);
            let there = memfd::length(fd)?;
            if there != length {
                let text = format!("the other agent sent control pages of {there} bytes, not {length}");
                return Err(Error::with(Code::InternalError, text));
            }
            memfd::check_solid(fd, length)?;
            let words = Words::map(fd, words, permission)?;
            words.0.dont_fork()?;
            Ok(words)
        };
        Ok(FarPages {
            ours: open(&ours, OURS_WORDS, Permission::Read)?,
            theirs: open(&theirs, THEIRS_WORDS, Permission::ReadWrite)?,
        })
    }
}

impl Far for FarPages {
    fn store(&self, at: usize, word: u64) {
        // Relaxed: ordered by the fences that a bridge needs in any case.
        self.theirs.words()[at - OURS_WORDS].store(word, Relaxed);
    }
    fn fence(&self) {
        fence::full();
    }
    fn load(&self, at: usize) -> u64 {
        // Acquire: through a window, loads are in order.
        acquire(if at < OURS_WORDS { &self.ours.words()[at] } else { &self.theirs.words()[at - OURS_WORDS] })
    }
}

/// The seals of another host, for an importer of this one.
#[derive(Debug)]
pub struct SealPages {
    words: Words,
    /// Through a device, where loads may not be in order.
    device: bool,
    /// Readable while the link may have changed and the agent has not answered.
    sentinel: Option<Guest>,
}

impl SealPages {
    /// Maps what an agent handed out, from an offset; of a device nothing can be checked.
    ///
    /// # Errors
    /// INTERNAL_ERROR when it is no such memory; INSUFFICIENT_MEM.
    pub fn open(fd: impl AsFd, offset: u64, device: bool) -> Result<SealPages> {
        let length = OURS_WORDS * WORD;
        if !device {
            memfd::check_solid(&fd, offset.saturating_add(length as u64))?;
        }
        Ok(SealPages { words: Words(Region::map(fd, offset, length, Permission::Read)?), device, sentinel: None })
    }

    /// With what is readable from when the link may have gone until the agent has ended what it carried.
    pub(crate) fn watched_by(self, sentinel: Option<Guest>) -> SealPages {
        SealPages { sentinel, ..self }
    }

    /// Loads the word where the seal of a slot stands; all-ones for a slot that there is not, and where the link may have gone
    /// meanwhile: it may be back, and what was stored before lost.
    #[inline]
    pub fn load(&self, slot: u32) -> u64 {
        // Acquire: what is loaded next comes after, where this is ordinary memory; `fence_load` does the same for a device.
        let word = self.words.words().get(control::seal_at(slot)).map_or(UNANSWERED, acquire);
        if word != UNANSWERED && self.link_is_unanswered() { UNANSWERED } else { word }
    }

    /// Whether it is a device through which the other host is reached.
    #[inline]
    pub fn is_device(&self) -> bool {
        self.device
    }

    /// Orders what was loaded before what is loaded next.
    #[inline]
    pub fn fence_load(&self) {
        // Of ordinary memory the load itself does, which acquires.
        if self.device {
            fence::full();
        }
    }

    fn link_is_unanswered(&self) -> bool {
        let Some(sentinel) = &self.sentinel else { return false };
        // The load of the seal before the look. No partner: an interrupt that the stores met was on the way of that load.
        fence::full();
        let mut polled = [PollFd::new(sentinel, PollFlags::IN)];
        loop {
            match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) => return false,
                // A signal handler ran, which says nothing of the link.
                Err(Errno::INTR) => {}
                // One that the program has closed, or that cannot be asked, vouches for nothing.
                _ => return true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_one_writer() {
        let near = NearPages::create().unwrap();
        let [ours, theirs] = near.hand_out().unwrap();
        let far = FarPages::open(&ours, &theirs).unwrap();
        near.near().ours[7].store(9, Relaxed);
        far.store(control::theirs(5), 8);
        far.fence();
        near.near().ours[control::seal_at(3)].store(77, Relaxed);
        let seals = SealPages::open(&ours, 0, false).unwrap();
        assert_eq!((seals.load(3), seals.load(u32::MAX)), (77, UNANSWERED));
        assert_eq!((far.load(control::ours(7)), far.load(control::theirs(5))), (9, 8));
        assert_eq!(near.near().theirs[5].load(Relaxed), 8);
        // What it may only read cannot be mapped for more.
        assert!(Region::map(&ours, 0, OURS_WORDS * WORD, Permission::ReadWrite).is_err());
    }

    #[test]
    fn a_link_event_that_is_not_answered_is_no_answer() {
        let near = NearPages::create().unwrap();
        near.near().ours[control::seal_at(3)].store(77, Relaxed);
        let [ours, _] = near.hand_out().unwrap();
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let sentinel = Guest::new(event.try_clone().unwrap()).unwrap();
        let seals = SealPages::open(&ours, 0, false).unwrap().watched_by(Some(sentinel));
        assert_eq!(seals.load(3), 77);
        rustix::io::write(&event, &1u64.to_ne_bytes()).unwrap();
        assert_eq!(seals.load(3), UNANSWERED);
        rustix::io::read(&event, &mut [0; 8]).unwrap();
        assert_eq!(seals.load(3), 77);
    }

    #[test]
    fn a_sentinel_that_the_program_has_closed_vouches_for_nothing() {
        let near = NearPages::create().unwrap();
        near.near().ours[control::seal_at(3)].store(77, Relaxed);
        let [ours, _] = near.hand_out().unwrap();
        let event = || rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        let sentinel = Guest::new(event()).unwrap();
        let number = sentinel.number();
        let seals = SealPages::open(&ours, 0, false).unwrap().watched_by(Some(sentinel));
        assert_eq!(seals.load(3), 77);
        // As after closefrom(3) and another eventfd(2).
        // SAFETY: the number is open, and given to nobody else by this test; closed once the seals leave it alone.
        let mut taken: OwnedFd = unsafe { std::os::fd::FromRawFd::from_raw_fd(number) };
        rustix::io::dup2(event(), &mut taken).unwrap();
        assert_eq!(seals.load(3), UNANSWERED);
        drop(seals);
        assert!(rustix::io::fcntl_getfd(&taken).is_ok());
    }

    #[test]
    fn other_memory_is_refused() {
        let [ours, theirs] = NearPages::create().unwrap().hand_out().unwrap();
        let short = memfd::create("short", 4096).unwrap();
        let loose = memfd::create("loose", (OURS_WORDS * WORD) as u64).unwrap();
        for (one, other, text) in
            [(&short, &theirs, "4096 bytes"), (&ours, &short, "4096 bytes"), (&loose, &theirs, "shortened")]
        {
            let error = FarPages::open(one, other).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
