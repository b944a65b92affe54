//! Transfers of local memory that is named by its address: for bindings to other languages, whose memory no Rust slice
//! may stand for, because others may change it meanwhile, or because it lies in a segment itself.
#![allow(unsafe_code)]

use crate::import::Stopped;
use crate::{Code, Error, Import, Result};
use rsm_shm::memory::carry::{Elements, Raw};

impl Import {
    /// [`put`](Self::put) of `length` bytes from `from` on, which may be changed meanwhile and may lie in a segment.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Safety
    /// The bytes must be readable until this returns.
    pub unsafe fn put_raw(&self, offset: u64, from: *const u8, length: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        self.connection().carry_raw(offset, unsafe { Raw::<true>::new(from.cast_mut(), length) })
    }

    /// [`get`](Self::get) of `length` bytes to `to` and on, which may be changed meanwhile and may lie in a segment.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Safety
    /// The bytes must be writable until this returns, and no Rust reference may lead to them.
    pub unsafe fn get_raw(&self, offset: u64, to: *mut u8, length: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        self.connection().carry_raw(offset, unsafe { Raw::<false>::new(to, length) })
    }

    /// [`put_vectored`](Self::put_vectored) of such bytes: offset, address and length of each part.
    ///
    /// # Errors
    /// As [`put_vectored`](Self::put_vectored).
    ///
    /// # Safety
    /// As [`put_raw`](Self::put_raw), for each part.
    pub unsafe fn put_raw_vectored(&self, parts: &[(u64, *const u8, usize)]) -> Result<(), Stopped> {
        for (completed, &(offset, from, length)) in parts.iter().enumerate() {
            // SAFETY: the caller's promise.
            let moved = unsafe { Raw::<true>::new(from.cast_mut(), length) };
            let carried = self.connection().carry_raw_untold(offset, moved);
            carried.map_err(|error| self.stopped(completed, error))?;
        }
        Ok(())
    }

    /// [`get_vectored`](Self::get_vectored) to such bytes: offset, address and length of each part.
    ///
    /// # Errors
    /// As [`get_vectored`](Self::get_vectored).
    ///
    /// # Safety
    /// As [`get_raw`](Self::get_raw), for each part.
    pub unsafe fn get_raw_vectored(&self, parts: &[(u64, *mut u8, usize)]) -> Result<(), Stopped> {
        for (completed, &(offset, to, length)) in parts.iter().enumerate() {
            // SAFETY: the caller's promise.
            let moved = unsafe { Raw::<false>::new(to, length) };
            let carried = self.connection().carry_raw_untold(offset, moved);
            carried.map_err(|error| self.stopped(completed, error))?;
        }
        Ok(())
    }

    /// Stores `count` words of `width` bytes (1, 2, 4 or 8) from `from` on, in ascending order, each with one access of its
    /// width.
    ///
    /// # Errors
    /// As [`put_u64s`](Self::put_u64s); BAD_MEM_ALIGNMENT also when `from` is no multiple of the width, BAD_LENGTH for
    /// another width.
    ///
    /// # Safety
    /// As [`put_raw`](Self::put_raw), for `count` times `width` bytes.
    pub unsafe fn put_raw_words(&self, offset: u64, from: *const u8, count: usize, width: usize) -> Result<()> {
        // SAFETY: the caller's promise; an implementation of the put direction stores nothing to local memory.
        unsafe { self.raw_words::<true>(offset, from.cast_mut(), count, width) }
    }

    /// Loads `count` words of `width` bytes to `to` and on, in ascending order, each with one access of its width.
    ///
    /// # Errors
    /// As [`put_raw_words`](Self::put_raw_words).
    ///
    /// # Safety
    /// As [`get_raw`](Self::get_raw), for `count` times `width` bytes.
    pub unsafe fn get_raw_words(&self, offset: u64, to: *mut u8, count: usize, width: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.raw_words::<false>(offset, to, count, width) }
    }

    /// # Safety
    /// As its callers', for the direction.
    unsafe fn raw_words<const PUT: bool>(&self, offset: u64, local: *mut u8, count: usize, width: usize) -> Result<()> {
        if matches!(width, 1 | 2 | 4 | 8) && !local.addr().is_multiple_of(width) {
            let text = format!("address {:#x} is no multiple of {width}", local.addr());
            return Err(Error::with(Code::BadMemAlignment, text));
        }
        let connection = self.connection();
        // SAFETY: the caller's promise; the address was looked at.
        unsafe {
            match width {
                1 => connection.carry_elements(offset, Elements::<u8, PUT>::new(local, count)),
                2 => connection.carry_elements(offset, Elements::<u16, PUT>::new(local.cast(), count)),
                4 => connection.carry_elements(offset, Elements::<u32, PUT>::new(local.cast(), count)),
                8 => connection.carry_elements(offset, Elements::<u64, PUT>::new(local.cast(), count)),
                _ => Err(Error::with(Code::BadLength, format!("words have 1, 2, 4 or 8 bytes, not {width}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{AccessList, Cluster, Code, Permission, SegmentId};

    #[test]
    fn local_memory_may_lie_in_the_segment() {
        let cluster = Cluster::new(2).unwrap();
        let export = cluster.node(1).unwrap().controller("shm0").unwrap().export(1 << 16).unwrap();
        let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
        let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
        let import = importer.connect(1, id, Permission::ReadWrite).unwrap();
        let map = import.map(0, 1 << 16, Permission::ReadWrite).unwrap();
        export.memory().write(0, b"a segment into itself").unwrap();
        // SAFETY: of the mapping, which is there until the end.
        unsafe {
            import.put_raw(3, map.as_ptr(), 21).unwrap();
            import.get_raw(3, map.as_ptr().add(100), 21).unwrap();
            import.put_raw_vectored(&[(200, map.as_ptr().add(3), 9), (300, map.as_ptr(), 1)]).unwrap();
            import.get_raw_vectored(&[(200, map.as_ptr().add(400), 9)]).unwrap();
            import.put_raw_words(1024, map.as_ptr().add(400), 1, 8).unwrap();
            import.get_raw_words(1024, map.as_ptr().add(1032), 2, 4).unwrap();
        }
        let read = |offset: u64, length: usize| {
            let mut bytes = vec![0; length];
            export.memory().read(offset, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(read(3, 21), b"a segment into itself");
        assert_eq!(read(100, 21), b"a segment into itself");
        assert_eq!((read(200, 9), read(300, 1), read(400, 9)), (b"a segment".into(), b"a".into(), b"a segment".into()));
        assert_eq!((read(1024, 8), read(1032, 8)), (b"a segmen".into(), b"a segmen".into()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cluster = Cluster::new(1).unwrap();
        let controller = cluster.node(1).unwrap().controller("shm0").unwrap();
        let export = controller.export(1 << 16).unwrap();
        let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
        let import = controller.connect(1, id, Permission::ReadWrite).unwrap();
        let mut words = [0u64; 4];
        let place = words.as_mut_ptr().cast::<u8>();
        // SAFETY: of the array, no reference to which is used meanwhile.
        unsafe {
            let code = |result: crate::Result<()>| result.unwrap_err().code();
            assert_eq!(code(import.put_raw(65530, place, 7)), Code::BadOffset);
            assert_eq!(code(import.put_raw_words(0, place.add(1), 1, 8)), Code::BadMemAlignment);
            assert_eq!(code(import.get_raw_words(4, place, 1, 8)), Code::BadMemAlignment);
            assert_eq!(code(import.get_raw_words(0, place, 1, 3)), Code::BadLength);
            let stopped = import.put_raw_vectored(&[(0, place, 8), (1 << 16, place, 1)]).unwrap_err();
            assert_eq!((stopped.completed, stopped.error.code()), (1, Code::BadOffset));
        }
    }
}
