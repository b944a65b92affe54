//! Into how large pieces memory that moves is cut.

/// Most bytes that are there twice at any moment, where pages are not larger.
pub const CHUNK: usize = 8 << 20;

/// Sizes in bytes, all of them multiples of the page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Most bytes that are there twice at any moment.
    pub(crate) chunk: usize,
    /// Most bytes whose stores wait at a time, some tens of microseconds.
    pub(crate) stretch: usize,
    /// The same where stores are not held back but lost: less, so that fewer are.
    pub(crate) bare_stretch: usize,
}

impl Geometry {
    /// For pages of a size: no page is ever cut, for the kernel moves whole ones whatever it is told.
    pub(crate) const fn of(page: usize) -> Geometry {
        Geometry {
            chunk: whole_pages(CHUNK, page),
            stretch: whole_pages(256 << 10, page),
            bare_stretch: whole_pages(32 << 10, page),
        }
    }

    /// Bytes from an address, a multiple of the page size, to where the next piece of `size` begins.
    pub(crate) const fn up_to(address: usize, size: usize) -> usize {
        size - address % size
    }
}

/// The most whole pages that have no more than `bytes`; one if there is none.
const fn whole_pages(bytes: usize, page: usize) -> usize {
    if bytes < page { page } else { bytes / page * page }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_is_cut() {
        for page in [4 << 10, 16 << 10, 64 << 10, 2 << 20, 32 << 20, 48 << 10] {
            let g = Geometry::of(page);
            for size in [g.chunk, g.stretch, g.bare_stretch] {
                assert!(size >= page && size.is_multiple_of(page), "{size} bytes, in pages of {page}");
                for pages in [0, 1, 2, 3, 7, 130] {
                    let start = 0x7f00_0000_0000_usize.next_multiple_of(page) + pages * page;
                    let next = Geometry::up_to(start, size);
                    assert!(next > 0 && next <= size && next.is_multiple_of(page), "{next} from {start:#x}");
                }
            }
            assert!(g.bare_stretch <= g.stretch && g.stretch <= g.chunk);
        }
        let small = Geometry { chunk: 8 << 20, stretch: 256 << 10, bare_stretch: 32 << 10 };
        assert_eq!(Geometry::of(4 << 10), small);
        assert_eq!(Geometry::of(16 << 10), small);
        assert_eq!(Geometry::of(64 << 10), Geometry { bare_stretch: 64 << 10, ..small });
    }
}
