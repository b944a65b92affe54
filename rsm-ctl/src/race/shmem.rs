//! Races of OpenSHMEM programs, in their words: PEs, symmetric variables, the functions of shmem.h.

use std::collections::HashMap;
use std::fs;

use object::elf::{PF_W, PT_GNU_RELRO, PT_INTERP, PT_LOAD};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, SymbolKind};
use rsm_run::races::{Race, Reason};

use crate::places::Caller;

/// Ids of the segments of a PE: the symmetric heap with the library's own words before it, and the program's variables
/// (rsm-shmem, `launch.rs`).
const HEAP: u32 = 0x5348_0001;
const VARIABLES: u32 = 0x5348_0002;
/// Bytes before the heap (`control.rs`).
const BEFORE_HEAP: u64 = if cfg!(target_arch = "aarch64") { 1 << 20 } else { 512 << 10 };

/// A variable of a program: where in its memory of variables it begins, its length, its name.
type Variable = (u64, u64, String);

/// What is known of the variables of programs, by path.
#[derive(Default)]
pub(super) struct Variables(HashMap<String, Vec<Variable>>);

/// Whether a race is one of PEs: by memory of theirs, and the functions that they called.
pub(super) fn is_one(race: &Race, callers: &[Caller; 2]) -> bool {
    let of_shmem = |caller: &Caller| caller.api.as_deref().is_some_and(|api| api.starts_with("shmem_"));
    [HEAP, VARIABLES].contains(&race.segment.1) && callers.iter().any(of_shmem)
}

/// A node as a PE.
pub(super) fn pe(node: u32) -> u32 {
    node.saturating_sub(1)
}

/// What was touched, and whose it is.
pub(super) fn memory(race: &Race, known: &mut Variables) -> String {
    let ((node, id), pe) = (race.segment, pe(race.segment.0));
    // Of this machine, on which the program ran.
    let page = rustix::param::page_size() as u64;
    let (offset, length) = (race.offset, race.length);
    if id == HEAP {
        let offset = offset.saturating_sub(BEFORE_HEAP);
        return format!("symmetric heap of PE {pe}, [{offset},+{length})");
    }
    let variable = race.modules.iter().find_map(|path| {
        let all = known.0.entry(path.clone()).or_insert_with(|| variables(path, page).unwrap_or_default());
        all.iter().find(|(start, bytes, _)| (*start..start + bytes).contains(&offset)).cloned()
    });
    match variable {
        Some((start, _, name)) => format!("{name} of PE {pe}, [{},+{length})", offset - start),
        None => format!("variables of PE {pe} (segment {id:#x} of node {node}), [{offset},+{length})"),
    }
}

/// Why nothing orders the accesses, and what would.
pub(super) fn why(race: &Race) -> String {
    let (one, other) = (pe(race.first.node), pe(race.second.node));
    match race.reason {
        Reason::Update => super::updates::INSTEAD.to_owned(),
        Reason::Source => format!("PE {one} has changed what it puts before that was completed"),
        Reason::Open => format!(
            "PE {one} has not completed it by anything that PE {other} was told: shmem_barrier_all between the two, or \
             shmem_quiet (shmem_fence, if it is told on the same PE) and then a flag for which PE {other} waits with \
             shmem_wait_until. shmem_sync_all completes nothing"
        ),
        Reason::Untold if race.first.writes => format!(
            "nothing told PE {other} that PE {one} had completed it: shmem_barrier_all between the two, or after shmem_quiet \
             a flag for which PE {other} waits with shmem_wait_until"
        ),
        Reason::Untold => format!(
            "PE {other} may write there before PE {one} has read it: shmem_barrier_all or shmem_sync_all between the two, or a \
             flag for which PE {other} waits with shmem_wait_until"
        ),
        Reason::Unseen => format!(
            "both store to a word, and PE {other} had not seen what PE {one} stored there: one of two values is lost. An \
             atomic operation, a lock, or an element for each PE keeps both"
        ),
    }
}

/// Where the memory of variables begins: in what is written of a program, [start, end), behind what is read-only once it is
/// loaded, of which the loader protects whole pages only. As rsm-shmem has it (`image.rs`).
fn beginning((start, end): (u64, u64), kept: Option<(u64, u64)>, page: u64) -> u64 {
    let start = start / page * page;
    match kept.filter(|kept| kept.0 < end && start < kept.1) {
        Some((_, kept)) => start.max(kept / page * page),
        None => start,
    }
}

/// The variables of a program on a machine with pages of so many bytes; `None` of what is none, such as a library.
fn variables(path: &str, page: u64) -> Option<Vec<Variable>> {
    let bytes = fs::read(path).ok()?;
    let file = ElfFile64::<Endianness>::parse(&*bytes).ok()?;
    let endian = file.endian();
    let headers = file.elf_program_headers();
    let of = |kind| headers.iter().filter(move |header| header.p_type(endian) == kind);
    let range = |header: &object::elf::ProgramHeader64<Endianness>| {
        let start = header.p_vaddr(endian);
        (start, start + header.p_memsz(endian))
    };
    // What the loader is asked for by name; a library that is a program, too, is no program here.
    of(PT_INTERP).next()?;
    // The last part that is written.
    let written = of(PT_LOAD).filter(|header| (header.p_flags(endian) & PF_W).0 != 0).map(range).next_back()?;
    let (start, end) = (beginning(written, of(PT_GNU_RELRO).map(range).next(), page), written.1);
    let variable = |symbol: object::read::elf::ElfSymbol64<'_, '_, Endianness>| {
        let is_variable = symbol.kind() == SymbolKind::Data && symbol.size() > 0;
        let offset = symbol.address().checked_sub(start).filter(|_| is_variable && symbol.address() < end)?;
        // Compilers number variables of functions: name.0.
        let name = symbol.name().ok()?;
        let name = name.rsplit_once('.').filter(|(_, number)| number.bytes().all(|b| b.is_ascii_digit()));
        let name = name.map_or(symbol.name().ok()?, |(name, _)| name);
        Some((offset, symbol.size(), name.to_owned()))
    };
    Some(file.symbols().filter_map(variable).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_run::races::Access;

    fn race(id: u32, offset: u64, reason: Reason) -> Race {
        let access = |node: u32| Access {
            node,
            pid: 100 + node,
            writes: true,
            is_word: true,
            through_import: true,
            frames: Vec::new(),
            between: None,
        };
        let (first, second) = (access(2), access(3));
        Race { segment: (1, id), offset, length: 8, first, second, reason, times: 1, modules: Vec::new() }
    }

    #[test]
    fn memory_is_named_as_a_pe_knows_it() {
        let mut known = Variables::default();
        let mut told = race(HEAP, BEFORE_HEAP + 64, Reason::Open);
        assert_eq!(memory(&told, &mut known), "symmetric heap of PE 0, [64,+8)");
        told = race(VARIABLES, 72, Reason::Open);
        assert_eq!(memory(&told, &mut known), "variables of PE 0 (segment 0x53480002 of node 1), [72,+8)");
        told.modules = vec!["/no/such/program".to_owned(), "/this/one".to_owned()];
        known.0.insert("/this/one".to_owned(), vec![(0, 8, "other".to_owned()), (64, 24, "sums".to_owned())]);
        assert_eq!(memory(&told, &mut known), "sums of PE 0, [8,+8)");
    }

    #[test]
    fn variables_begin_where_pages_of_this_size_do() {
        // A program that is linked for pages of 4 KiB: on larger ones the page of its first variable is not protected.
        let (written, kept) = ((0x3_1db0, 0x3_8100), Some((0x3_1db0, 0x3_3000)));
        assert_eq!(
            [4 << 10, 16 << 10, 64 << 10].map(|page| beginning(written, kept, page)),
            [0x3_3000, 0x3_0000, 0x3_0000]
        );
        // One that is linked for pages of 64 KiB, and one without such a part.
        let (written, kept) = ((0x1_fdb0, 0x2_8100), Some((0x1_fdb0, 0x2_0000)));
        assert_eq!([4 << 10, 16 << 10, 64 << 10].map(|page| beginning(written, kept, page)), [0x2_0000; 3]);
        assert_eq!([4 << 10, 64 << 10].map(|page| beginning(written, None, page)), [0x1_f000, 0x1_0000]);
    }

    #[test]
    fn what_would_order_them_is_said_in_the_words_of_the_standard() {
        for (reason, says) in [
            (Reason::Open, "PE 1 has not completed it by anything that PE 2 was told: shmem_barrier_all"),
            (Reason::Untold, "nothing told PE 2 that PE 1 had completed it: shmem_barrier_all"),
            (
                Reason::Unseen,
                "PE 2 had not seen what PE 1 stored there: one of two values is lost. An atomic operation",
            ),
        ] {
            assert!(why(&race(HEAP, 0, reason)).contains(says), "{reason:?}");
        }
        let mut read = race(HEAP, 0, Reason::Untold);
        read.first.writes = false;
        assert!(
            why(&read).contains("PE 2 may write there before PE 1 has read it: shmem_barrier_all or shmem_sync_all")
        );
    }

    #[test]
    fn only_what_shmem_touched_is_told_so() {
        let caller = |api: &str| Caller { api: Some(api.to_owned()), function: None, place: None, key: Vec::new() };
        let callers = |api: &str| [caller(api), caller("rsm_memseg_import_put")];
        assert!(is_one(&race(HEAP, 0, Reason::Open), &callers("shmem_long_put")));
        assert!(!is_one(&race(HEAP, 0, Reason::Open), &callers("rsm_memseg_import_put64")));
        assert!(!is_one(&race(0x40_0001, 0, Reason::Open), &callers("shmem_long_put")));
    }
}
