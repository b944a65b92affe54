//! What raises interrupts in a client: an event descriptor for each vector.

use crate::map;
use crate::raise;
use crate::wire::{ERROR, MSIX, SET_EVENTFD, SET_NONE, SET_TRIGGER};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::OwnedFd;

/// What `fstatfs` says of event descriptors and their like.
const ANONYMOUS: u64 = 0x0904_1934;

/// A request to set them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// `MSIX`, `ERROR`.
    pub(crate) index: u32,
    pub(crate) flags: u32,
    pub(crate) start: u32,
    pub(crate) count: u32,
}

/// The descriptors of one function.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    vectors: [Option<OwnedFd>; map::VECTORS as usize],
    error: [Option<OwnedFd>; 1],
}

/// How many interrupts of a kind there are.
pub(crate) fn count(index: u32) -> u32 {
    match index {
        MSIX => map::VECTORS,
        ERROR => 1,
        _ => 0,
    }
}

impl Interrupts {
    /// Carries out a request; which of them the client asks to be raised at once. Fails without a change.
    pub(crate) fn set(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> Result<Range<usize>, Errno> {
        let Request { index, flags, start, count } = request;
        let end = start.checked_add(count).filter(|end| *end <= self::count(index)).ok_or(Errno::INVAL)?;
        let (range, at_once) = (start as usize..end as usize, start as usize..start as usize);
        let slots = if index == ERROR { &mut self.error[..] } else { &mut self.vectors[..] };
        if flags == SET_TRIGGER | SET_NONE && descriptors.is_empty() {
            if count != 0 {
                return Ok(range);
            }
            // None of a kind is none from its first on; of kinds that the function has not there are none already.
            if start != 0 {
                return Err(Errno::INVAL);
            }
            if self::count(index) != 0 {
                slots.fill_with(|| None);
            }
            return Ok(at_once);
        }
        let (given, wanted) = (descriptors.len(), range.len());
        if flags != SET_TRIGGER | SET_EVENTFD || wanted == 0 || given != 0 && given != wanted {
            return Err(Errno::INVAL);
        }
        descriptors.iter().try_for_each(prepare)?;
        let mut descriptors = descriptors.into_iter();
        // Without descriptors the vectors raise nothing from here on.
        slots[range].fill_with(|| descriptors.next());
        Ok(at_once)
    }

    /// Raises a vector; whether there was what to raise.
    pub(crate) fn raise(&self, vector: usize) -> bool {
        self.vectors.get(vector).is_some_and(|slot| raise(slot.as_ref()))
    }

    /// Raises the interrupt that tells of an error of the device.
    pub(crate) fn raise_error(&self) -> bool {
        raise(self.error[0].as_ref())
    }
}

/// Makes sure that nobody waits who raises it: it is no pipe or socket, and not one that waits.
fn prepare(descriptor: &OwnedFd) -> Result<(), Errno> {
    if rustix::fs::fstatfs(descriptor)?.f_type as u64 != ANONYMOUS {
        return Err(Errno::INVAL);
    }
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK)
}

fn raise(descriptor: Option<&OwnedFd>) -> bool {
    let Some(descriptor) = descriptor else { return false };
    // Its client has the same flags, and can change them at any moment: one that is full would be waited for then, with the
    // bridge locked.
    if let Some(raised) = raise::raise(descriptor) {
        return raised.is_ok();
    }
    // Where there is no other way, it is as unlikely as it can be.
    if prepare(descriptor).is_err() {
        return false;
    }
    // One whose count is full already has been raised.
    matches!(rustix::io::write(descriptor, &1u64.to_ne_bytes()), Ok(_) | Err(Errno::AGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::EventfdFlags;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    const SET: u32 = SET_TRIGGER | SET_EVENTFD;
    const NONE: u32 = SET_TRIGGER | SET_NONE;

    fn events(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| rustix::event::eventfd(0, EventfdFlags::CLOEXEC).unwrap()).collect()
    }

    fn request(index: u32, flags: u32, start: u32, count: u32) -> Request {
        Request { index, flags, start, count }
    }

    #[test]
    fn only_what_was_set_is_raised() {
        let mut interrupts = Interrupts::default();
        let mine = events(2);
        let given: Vec<OwnedFd> = mine.iter().map(|event| event.try_clone().unwrap()).collect();
        interrupts.set(request(MSIX, SET, 3, 2), given).unwrap();
        let raised: Vec<usize> = (0..20).filter(|vector| interrupts.raise(*vector)).collect();
        assert_eq!(raised, [3, 4]);
        let mut count = [0; 8];
        rustix::io::read(&mine[0], &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1);
        // Full, and nobody waits.
        rustix::io::write(&mine[0], &(u64::MAX - 1).to_ne_bytes()).unwrap();
        assert!(interrupts.raise(3));
        interrupts.set(request(MSIX, SET, 3, 1), Vec::new()).unwrap();
        assert!(!interrupts.raise(3) && interrupts.raise(4));
        assert_eq!(interrupts.set(request(MSIX, NONE, 3, 2), Vec::new()), Ok(3..5), "raised by request");
        interrupts.set(request(MSIX, NONE, 0, 0), Vec::new()).unwrap();
        assert!(!interrupts.raise(4) && !interrupts.raise_error());
        interrupts.set(request(ERROR, SET, 0, 1), events(1)).unwrap();
        assert!(interrupts.raise_error());
    }

    /// Its client has the same descriptor: full, and marked as one that is waited for, again and again.
    #[test]
    fn nobody_waits_for_a_client_that_wants_it() {
        let mut interrupts = Interrupts::default();
        let mine = events(1);
        rustix::io::write(&mine[0], &(u64::MAX - 1).to_ne_bytes()).unwrap();
        interrupts.set(request(MSIX, SET, 0, 1), vec![mine[0].try_clone().unwrap()]).unwrap();
        let over = AtomicBool::new(false);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Relaxed, here and below: it only ends.
                while !over.load(Relaxed) {
                    rustix::fs::fcntl_setfl(&mine[0], OFlags::empty()).unwrap();
                }
            });
            let interrupts = &interrupts;
            scope.spawn(move || {
                let all = (0..50_000).all(|_| interrupts.raise(0));
                tell.send(all).unwrap();
            });
            let outcome = told.recv_timeout(std::time::Duration::from_secs(60));
            over.store(true, Relaxed);
            if outcome.is_err() {
                // Whoever waits is let go.
                rustix::io::read(&mine[0], &mut [0; 8]).unwrap();
                rustix::fs::fcntl_setfl(&mine[0], OFlags::NONBLOCK).unwrap();
            }
            assert_eq!(outcome, Ok(true), "it was waited for");
        });
    }

    #[test]
    fn what_is_no_vector_and_no_event_descriptor_is_refused() {
        let mut interrupts = Interrupts::default();
        let refused = [
            (request(MSIX, SET, map::VECTORS, 1), 1),
            (request(MSIX, SET, u32::MAX, 2), 2),
            (request(MSIX, SET, 0, u32::MAX), 0),
            (request(MSIX, SET, 0, 2), 1),
            (request(MSIX, SET, 0, 1), 2),
            (request(MSIX, SET, 0, 0), 0),
            (request(MSIX, SET | 2, 0, 1), 1),
            (request(MSIX, SET_EVENTFD, 0, 1), 1),
            (request(MSIX, NONE, 1, 0), 0),
            (request(0, SET, 0, 1), 1),
            (request(77, NONE, 0, 1), 0),
        ];
        for (request, given) in refused {
            assert_eq!(interrupts.set(request, events(given)), Err(Errno::INVAL), "{request:?}");
        }
        let (_reader, writer) = std::io::pipe().unwrap();
        assert_eq!(interrupts.set(request(MSIX, SET, 0, 1), vec![writer.into()]), Err(Errno::INVAL));
        assert!((0..8).all(|vector| !interrupts.raise(vector)));
        assert!(interrupts.set(request(0, NONE, 0, 0), Vec::new()).is_ok(), "there are none already");
    }
}
