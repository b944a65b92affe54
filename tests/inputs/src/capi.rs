//! The C functions with any arguments that C allows: handles that are stale, of another kind or garbage, lengths and
//! offsets of every size, NULL wherever the reference has an answer to it, lists that are longer than they may be.
//!
//! Pointers that are not NULL point to what the header says; the rest is the library's to refuse. Every answer is a
//! number that there is, nothing beyond what was asked for is touched, and afterwards the memory is the program's again.
#![allow(unsafe_code)] // C functions

mod extension;

// Where they are: they have no other names in Rust than those of C.
use rsm_capi as _;

use crate::script::Script;
use rsm_shm::memory::page_size;
use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::sync::OnceLock;

unsafe extern "C" {
    fn rsm_get_controller(name: *const c_char, controller: *mut u64) -> c_int;
    fn rsm_get_controller_attr(controller: u64, attributes: *mut c_void) -> c_int;
    fn rsm_release_controller(controller: u64) -> c_int;
    fn rsm_get_interconnect_topology(topology: *mut *mut c_void) -> c_int;
    fn rsm_free_interconnect_topology(topology: *mut c_void);
    fn rsm_get_segmentid_range(application: *const c_char, base: *mut u32, length: *mut u32) -> c_int;
    fn rsm_memseg_export_create(ctl: u64, seg: *mut u64, start: *mut c_void, length: usize, flags: c_uint) -> c_int;
    fn rsm_memseg_export_destroy(segment: u64) -> c_int;
    fn rsm_memseg_export_rebind(segment: u64, start: *mut c_void, offset: i64, length: usize) -> c_int;
    fn rsm_memseg_export_publish(segment: u64, id: *mut u32, list: *const c_void, length: c_uint) -> c_int;
    fn rsm_memseg_export_unpublish(segment: u64) -> c_int;
    fn rsm_memseg_export_republish(segment: u64, list: *const c_void, length: c_uint) -> c_int;
    fn rsm_memseg_import_connect(ctl: u64, node: u32, id: u32, permission: u32, import: *mut u64) -> c_int;
    fn rsm_memseg_import_disconnect(import: u64) -> c_int;
    fn rsm_memseg_import_get8(import: u64, offset: i64, data: *mut c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_get16(import: u64, offset: i64, data: *mut c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_get32(import: u64, offset: i64, data: *mut c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_get64(import: u64, offset: i64, data: *mut c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_get(import: u64, offset: i64, data: *mut c_void, length: usize) -> c_int;
    fn rsm_memseg_import_getv(list: *mut c_void) -> c_int;
    fn rsm_memseg_import_put8(import: u64, offset: i64, data: *const c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_put16(import: u64, offset: i64, data: *const c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_put32(import: u64, offset: i64, data: *const c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_put64(import: u64, offset: i64, data: *const c_void, count: c_ulong) -> c_int;
    fn rsm_memseg_import_put(import: u64, offset: i64, data: *const c_void, length: usize) -> c_int;
    fn rsm_memseg_import_putv(list: *mut c_void) -> c_int;
    fn rsm_memseg_import_map(
        import: u64,
        address: *mut *mut c_void,
        attr: c_uint,
        permission: u32,
        offset: i64,
        length: usize,
    ) -> c_int;
    fn rsm_memseg_import_unmap(import: u64) -> c_int;
    fn rsm_memseg_import_init_barrier(import: u64, kind: c_uint, barrier: *mut c_void) -> c_int;
    fn rsm_memseg_import_open_barrier(barrier: *mut c_void) -> c_int;
    fn rsm_memseg_import_order_barrier(barrier: *mut c_void) -> c_int;
    fn rsm_memseg_import_close_barrier(barrier: *mut c_void) -> c_int;
    fn rsm_memseg_import_destroy_barrier(barrier: *mut c_void) -> c_int;
    fn rsm_memseg_import_get_mode(import: u64, mode: *mut c_uint) -> c_int;
    fn rsm_memseg_import_set_mode(import: u64, mode: c_uint) -> c_int;
    fn rsm_intr_signal_post(segment: u64, flags: c_uint) -> c_int;
    fn rsm_intr_signal_wait(segment: u64, milliseconds: c_int) -> c_int;
    fn rsm_intr_signal_wait_pollfd(fds: *mut libc::pollfd, n: c_ulong, milliseconds: c_int, ready: *mut c_int)
    -> c_int;
    fn rsm_memseg_get_pollfd(segment: u64, fd: *mut libc::pollfd) -> c_int;
    fn rsm_memseg_release_pollfd(segment: u64) -> c_int;
    fn rsm_create_localmemory_handle(ctl: u64, handle: *mut u64, start: *mut c_void, length: usize) -> c_int;
    fn rsm_free_localmemory_handle(ctl: u64, handle: u64) -> c_int;
}

/// Pages that may be exported, and as many behind them that nobody may touch.
const PAGES: usize = 16;
const GUARD: u8 = 0xa5;
const STEPS: usize = 64;

/// Local memory: as much as the largest transfer, and as much again that must stay what it is.
fn local_length() -> usize {
    PAGES * page_size()
}

/// `rsm_iovec_t` and `rsm_scat_gath_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Piece {
    kind: c_int,
    local: u64,
    local_offset: usize,
    remote_offset: usize,
    length: usize,
}

#[repr(C)]
struct List {
    node: u32,
    count: c_ulong,
    residual: c_ulong,
    flags: c_uint,
    remote: u64,
    pieces: *mut Piece,
}

/// Memory that is exported, always the same.
fn arena() -> usize {
    static ARENA: OnceLock<usize> = OnceLock::new();
    *ARENA.get_or_init(|| {
        let (closed, open) = (libc::PROT_NONE, libc::PROT_READ | libc::PROT_WRITE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: fresh memory at addresses the kernel chooses, the first half opened.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), 2 * local_length(), closed, flags, -1, 0);
            assert!(start != libc::MAP_FAILED && libc::mprotect(start, local_length(), open) == 0);
            start.expose_provenance()
        }
    })
}

fn pointer(address: usize) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(address)
}

/// What the program has, all kinds of handles among each other.
struct Program {
    handles: Vec<u64>,
    local: Vec<u8>,
    barriers: Box<[[u64; 3]; 3]>,
    mapped: *mut c_void,
}

fn check(code: c_int) -> bool {
    assert!(code == 0 || rsm_core::Code::from_number(code).is_some(), "{code} is no answer");
    assert_ne!(code, rsm_core::Code::InternalError.number(), "a mistake inside");
    code == 0
}

/// Calls as the input says.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut program = Program {
        handles: vec![0],
        local: vec![GUARD; 2 * local_length()],
        barriers: Box::default(),
        mapped: std::ptr::null_mut(),
    };
    // SAFETY: as the header says: C strings and room for a handle.
    unsafe {
        for name in [c"shm0".as_ptr(), std::ptr::null()] {
            let mut handle = 0;
            assert!(check(rsm_get_controller(name, &raw mut handle)));
            program.handles.push(handle);
        }
    }
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        // SAFETY: see `Program::step`.
        let _ = unsafe { program.step(&mut script) };
        assert!(program.local[local_length() + 1..].iter().all(|b| *b == GUARD), "written beyond what was asked for");
    }
    program.end();
}

impl Program {
    fn handle(&self, script: &mut Script<'_>) -> u64 {
        script.among(&self.handles)
    }

    /// A place and a length in the arena, mostly good ones. What lies beyond the arena may not be touched by anybody.
    fn range(script: &mut Script<'_>) -> (*mut c_void, usize) {
        let start = arena() + script.below(PAGES) * page_size();
        let start = [start, start, start, 0, start + 8, usize::MAX - page_size() + 1][script.below(6)];
        let lengths = [1, 1, 2, 4, 16, 20].map(|pages| pages * page_size() as u64);
        let odd = [0, 1, 100, u64::MAX, u64::MAX - 4095, 1 << 60, 1 << 47];
        let length = if script.below(4) == 3 { odd[script.below(7)] } else { lengths[script.below(6)] };
        (pointer(start), length as usize)
    }

    fn offset(script: &mut Script<'_>) -> i64 {
        script.among(&[0, 8, 1, 4, 4096, 8192, 65536, 65528, u64::MAX, 1 << 63, i64::MAX as u64]) as i64
    }

    fn length(script: &mut Script<'_>) -> u64 {
        script.among(&[0, 1, 2, 8, 16, 512, 4096, 65536, u64::MAX, 1 << 61, 1 << 62, 1 << 63, (1 << 63) + 1])
    }

    /// Local memory, or NULL.
    fn data(&mut self, script: &mut Script<'_>) -> *mut c_void {
        match script.below(8) {
            7 => std::ptr::null_mut(),
            6 => self.local.as_mut_ptr().wrapping_add(1).cast(),
            _ => self.local.as_mut_ptr().cast(),
        }
    }

    /// One call. Transfers never move more than a segment holds, which is at most [`local_length`]; data that starts a byte
    /// later is refused, or one byte shorter.
    ///
    /// # Safety
    /// Single-threaded: handles are not released while another call uses them.
    unsafe fn step(&mut self, script: &mut Script<'_>) -> bool {
        let handle = self.handle(script);
        let null = std::ptr::null_mut::<c_void>();
        // SAFETY: for all calls: pointers are NULL or lead to what the header asks for, see above and at each call.
        unsafe {
            // New calls come after those that there are, of which seeds are made.
            check(match script.below(36 + extension::CALLS) {
                0 => {
                    let names = [c"shm0", c"loopback", c"", c"no such thing", c"SHM", c"\xff"];
                    let mut made = 0;
                    let room = if script.below(8) == 0 { std::ptr::null_mut() } else { &raw mut made };
                    let code = rsm_get_controller(names[script.below(6)].as_ptr(), room);
                    self.handles.extend((made != 0).then_some(made));
                    code
                }
                1 => {
                    let mut attributes = [0u64; 8];
                    rsm_get_controller_attr(
                        handle,
                        if script.below(8) == 0 { null } else { attributes.as_mut_ptr().cast() },
                    )
                }
                2 => rsm_release_controller(handle),
                3 => {
                    let mut topology = std::ptr::null_mut();
                    let code = rsm_get_interconnect_topology(&raw mut topology);
                    rsm_free_interconnect_topology(topology);
                    code
                }
                4 => {
                    let (mut base, mut length) = (0, 0);
                    let name = [std::ptr::null(), c"app".as_ptr(), c"".as_ptr()][script.below(3)];
                    rsm_get_segmentid_range(name, &raw mut base, &raw mut length)
                }
                5..=7 => {
                    let (start, length) = Self::range(script);
                    let mut made = 0;
                    let room = if script.below(16) == 0 { std::ptr::null_mut() } else { &raw mut made };
                    let code = rsm_memseg_export_create(handle, room, start, length, script.byte().into());
                    self.handles.extend((made != 0).then_some(made));
                    code
                }
                8 => rsm_memseg_export_destroy(handle),
                9 => {
                    let (start, length) = Self::range(script);
                    rsm_memseg_export_rebind(handle, start, Self::offset(script), length)
                }
                10..=12 => {
                    let mut id = script.among(&[0, 0x40_0000, 0x40_0001, 1, 0x7fff_ffff, u64::MAX]) as u32;
                    let (list, length) = Self::access(script);
                    let room = if script.below(16) == 0 { std::ptr::null_mut() } else { &raw mut id };
                    let list = if length > 0 && script.below(16) == 0 { null } else { list.as_ptr().cast_mut().cast() };
                    rsm_memseg_export_publish(handle, room, list, length)
                }
                13 => rsm_memseg_export_unpublish(handle),
                14 => {
                    let (list, length) = Self::access(script);
                    rsm_memseg_export_republish(handle, list.as_ptr().cast(), length)
                }
                15..=17 => {
                    let id = script.among(&[0x40_0000, 0x40_0001, 0, u64::MAX]) as u32;
                    let permission = script.among(&[0o600, 0o400, 0o200, 0, 0o777, u64::MAX]) as u32;
                    let mut made = 0;
                    let room = if script.below(16) == 0 { std::ptr::null_mut() } else { &raw mut made };
                    let node = script.among(&[1, 1, 1, 0, 2, u64::MAX]) as u32;
                    let code = rsm_memseg_import_connect(handle, node, id, permission, room);
                    self.handles.extend((made != 0).then_some(made));
                    code
                }
                18 => rsm_memseg_import_disconnect(handle),
                19..=22 => {
                    let (offset, count, data) = (Self::offset(script), Self::length(script), self.data(script));
                    match script.below(10) {
                        0 => rsm_memseg_import_get8(handle, offset, data, count),
                        1 => rsm_memseg_import_get16(handle, offset, data, count),
                        2 => rsm_memseg_import_get32(handle, offset, data, count),
                        3 => rsm_memseg_import_get64(handle, offset, data, count),
                        4 => rsm_memseg_import_put8(handle, offset, data, count),
                        5 => rsm_memseg_import_put16(handle, offset, data, count),
                        6 => rsm_memseg_import_put32(handle, offset, data, count),
                        7 => rsm_memseg_import_put64(handle, offset, data, count),
                        8 => rsm_memseg_import_get(handle, offset, data, count as usize),
                        _ => rsm_memseg_import_put(handle, offset, data, count as usize),
                    }
                }
                23 | 24 => self.scatter(script, handle),
                25 => {
                    let room = if script.below(8) == 0 { std::ptr::null_mut() } else { &raw mut self.mapped };
                    let permission = script.among(&[0o600, 0o400, 0o200, 0, 0o777]) as u32;
                    let (offset, length) = (Self::offset(script), Self::length(script) as usize);
                    rsm_memseg_import_map(handle, room, c_uint::from(script.byte() % 4), permission, offset, length)
                }
                26 => rsm_memseg_import_unmap(handle),
                27..=29 => {
                    let at = script.below(4);
                    let barrier = if at == 3 { null } else { self.barriers[at].as_mut_ptr().cast() };
                    match script.below(8) {
                        0 | 1 => rsm_memseg_import_init_barrier(handle, script.byte().into(), barrier),
                        2 | 3 => rsm_memseg_import_open_barrier(barrier),
                        4 => rsm_memseg_import_order_barrier(barrier),
                        5 => rsm_memseg_import_close_barrier(barrier),
                        6 => rsm_memseg_import_destroy_barrier(barrier),
                        _ => {
                            // Storage that was never initialised.
                            if at < 3 {
                                self.barriers[at] = [script.word(), script.word(), script.word()];
                            }
                            0
                        }
                    }
                }
                30 => {
                    let mut mode = 0;
                    let room = if script.below(8) == 0 { std::ptr::null_mut() } else { &raw mut mode };
                    let code = rsm_memseg_import_get_mode(handle, room);
                    check(code);
                    rsm_memseg_import_set_mode(handle, script.byte().into())
                }
                31 => rsm_intr_signal_post(handle, script.byte().into()),
                32 => rsm_intr_signal_wait(handle, 0),
                33 => {
                    let mut fds = [libc::pollfd { fd: -1, events: 0, revents: 0 }; 2];
                    let mut ready = 0;
                    let code = rsm_memseg_get_pollfd(handle, &raw mut fds[0]);
                    check(code);
                    let room = if script.below(4) == 0 { std::ptr::null_mut() } else { &raw mut ready };
                    let many = [0, 1, 2][script.below(3)];
                    check(rsm_intr_signal_wait_pollfd(fds.as_mut_ptr(), many, 0, room));
                    code
                }
                34 => rsm_memseg_release_pollfd(handle),
                call @ 36.. => self.extension(script, call - 36, handle),
                _ => {
                    let start = self.local.as_mut_ptr().addr().next_multiple_of(page_size());
                    let mut made = 0;
                    let length = [0, page_size(), 2 * page_size(), local_length() - page_size()][script.below(4)];
                    let place = pointer([start, start + 1, 0][script.below(3)]);
                    let room = if script.below(8) == 0 { std::ptr::null_mut() } else { &raw mut made };
                    let code = rsm_create_localmemory_handle(handle, room, place, length);
                    self.handles.extend((made != 0).then_some(made));
                    if script.below(8) == 0 { rsm_free_localmemory_handle(self.handle(script), made) } else { code }
                }
            })
        }
    }

    /// An access list: 66 entries, of which any number may be claimed; more are refused before they are looked at.
    fn access(script: &mut Script<'_>) -> (Vec<[u32; 2]>, c_uint) {
        let entry = [script.below(4) as u32, [0o666, 0o400, 0o777, u32::MAX][script.below(4)]];
        let length = script.among(&[0, 1, 2, 64, 65, 66, u64::MAX, 1 << 31]) as c_uint;
        (vec![entry; 66], length)
    }

    /// # Safety
    /// As [`step`](Self::step). Pieces lie in local memory or are refused.
    unsafe fn scatter(&mut self, script: &mut Script<'_>, remote: u64) -> c_int {
        let start = self.local.as_mut_ptr().expose_provenance() as u64;
        let mut pieces = [Piece::default(); 17];
        let many = script.below(4);
        for piece in pieces.iter_mut().take(many) {
            let by_handle = script.below(2) == 0;
            let local = if by_handle { self.handle(script) } else { [start, start, 0][script.below(3)] };
            let length = [0, 8, 100, page_size(), local_length() / 2, local_length(), usize::MAX][script.below(7)];
            // By address a piece must lie in memory, unless it is refused for its length.
            let odd = [0, 8, page_size(), usize::MAX, usize::MAX - 7];
            let local_offset = if by_handle { odd[script.below(5)] } else { odd[script.below(2)] };
            let length = if !by_handle && length == local_length() { local_length() - 8 } else { length };
            let kind = script.among(&[1 + u64::from(!by_handle), 3]) as c_int;
            // A handle's word is no address.
            let kind = if by_handle && kind == 2 { 1 } else { kind };
            *piece = Piece { kind, local, local_offset, remote_offset: Self::offset(script) as usize, length };
        }
        let count = script.among(&[0, 1, 2, 3, 16, 17, 1 << 63]).min(1 << 63);
        let flags = script.byte().into();
        let pieces = if script.below(8) == 0 { std::ptr::null_mut() } else { pieces.as_mut_ptr() };
        let mut list = List { node: 0, count, residual: 0, flags, remote, pieces };
        let list = if script.below(16) == 0 { std::ptr::null_mut() } else { (&raw mut list).cast() };
        // SAFETY: a list of 17 pieces; counts above 16 are refused.
        unsafe { if script.below(2) == 0 { rsm_memseg_import_getv(list) } else { rsm_memseg_import_putv(list) } }
    }

    /// Gives everything back, in an order that always works; the arena is ordinary memory again.
    fn end(mut self) {
        let handles = std::mem::take(&mut self.handles);
        // SAFETY: handles of any kind, stale ones included, are what these functions take.
        unsafe {
            for handle in handles.iter().copied() {
                while check(rsm_memseg_import_unmap(handle)) {}
                // One call for each time it was asked for; more are of no consequence.
                for _ in 0..STEPS {
                    check(rsm_memseg_release_pollfd(handle));
                }
                check(rsm_memseg_import_disconnect(handle));
            }
            for handle in handles.iter().copied() {
                check(rsm_memseg_export_destroy(handle));
                for controller in handles.iter().copied() {
                    check(rsm_free_localmemory_handle(controller, handle));
                }
            }
            for handle in handles.iter().copied() {
                while check(rsm_release_controller(handle)) {}
            }
        }
        let arena = pointer(arena()).cast::<u64>();
        for word in (0..local_length() / 8).step_by(64) {
            // SAFETY: inside the arena; this thread is alone with it.
            unsafe {
                arena.add(word).write_volatile(word as u64);
                assert_eq!(arena.add(word).read_volatile(), word as u64);
            }
        }
    }
}

/// What an offset is in C.
const _: () = assert!(size_of::<c_long>() == size_of::<i64>());
