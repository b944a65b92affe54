//! Segments in huge pages, on both sides.
#![allow(unsafe_code)] // adopts memory that begins where a huge page does

use rsm::{Cluster, Code, Controller, Result};
use rsm_shm::capabilities::{Capabilities, Feature};
use rsm_shm::memory::huge::{ENV_HUGE_PAGES, huge_page_size};
use rsm_shm::memory::page_size;
use rsm_stories::node::Things;
use rsm_stories::{NodeProcess, cluster, story};
use rustix::process::Signal;
use std::sync::Arc;

rsm_stories::commands! {
    /// What nodes of these stories can do beyond the common commands.
    enum Command {
        /// Exports memory of the program's that begins where a huge page can.
        AdoptAligned "adoptaligned" { name: String, bytes: usize }
        /// How much of an export's memory is mapped in huge pages.
        HugeExport "hugeexport" { name: String }
        /// How much of a mapping is.
        HugeMap "hugemap" { name: String }
    }
}

pub(crate) fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    Some(match Command::read(words)? {
        Command::AdoptAligned { name, bytes } => adopt_aligned(things, name, bytes),
        Command::HugeExport { name } => Ok(huge_at(things.exports.lock().unwrap()[&name].memory().as_ptr())),
        Command::HugeMap { name } => Ok(huge_at(things.mappings.lock().unwrap()[&name].memory().as_ptr())),
    })
}

fn adopt_aligned(things: &Things, name: String, length: usize) -> Result<String> {
    let (size, room) = (huge_page_size(), vec![0u8; length + huge_page_size()].leak().as_mut_ptr());
    let start = room.wrapping_add(room.addr().wrapping_neg() % size);
    // SAFETY: leaked, and used through the export only.
    let export = unsafe { Controller::open("shm0")?.adopt(start, length) }?;
    things.exports.lock().unwrap().insert(name, Arc::new(export));
    Ok(String::new())
}

/// Bytes that this process maps in huge pages, in the mapping that has `address`, as the kernel says.
fn huge_at(address: *const u8) -> String {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("a list of mappings");
    let (mut inside, mut kib) = (false, 0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        if let Some((from, to)) = first.split_once('-') {
            let parse = |text| usize::from_str_radix(text, 16);
            let (Ok(from), Ok(to)) = (parse(from), parse(to)) else { continue };
            inside = (from..to).contains(&address.addr());
        } else if inside && matches!(first, "ShmemPmdMapped:" | "FilePmdMapped:") {
            kib += second.and_then(|n| n.parse::<usize>().ok()).expect("a number");
        }
    }
    (kib << 10).to_string()
}

/// An exporter that has made its segment with `command`, and an importer that maps it; `None` where there are no huge pages.
fn pair(wish: bool, command: &str) -> Option<(Cluster, NodeProcess, NodeProcess)> {
    if !Capabilities::probe().has(Feature::HugePages) {
        eprintln!("skipped: this kernel has no huge pages for shared memory");
        return None;
    }
    let cluster = cluster(2);
    let mut environment = cluster.environment(1).expect("node 1");
    if wish {
        environment.push((ENV_HUGE_PAGES, "1".to_owned()));
    }
    let mut exporter = NodeProcess::with(environment);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok(command);
    exporter.ok(&format!("write e {} 6", huge_page_size() + 8));
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    Some((cluster, exporter, importer))
}

/// Two huge pages and a page.
fn length() -> usize {
    2 * huge_page_size() + page_size()
}

/// What of [`length`] is in huge pages.
fn huge() -> String {
    (2 * huge_page_size()).to_string()
}

story!(huge_pages_are_mapped_on_both_sides);
fn huge_pages_are_mapped_on_both_sides() {
    let Some((_cluster, mut exporter, mut importer)) = pair(false, &format!("exporthuge e {}", length())) else {
        return;
    };
    assert_eq!((exporter.ok("hugeexport e"), importer.ok("hugemap i")), (huge(), huge()));
    let last = length() - 8;
    importer.ok(&format!("store i {last} 7"));
    assert_eq!(exporter.ok(&format!("read e {last}")), "7");
    assert_eq!(importer.ok(&format!("load i {}", huge_page_size() + 8)), "6");
    // A mapping with fewer rights, of its own.
    importer.ok("connect j 1 0x400000 r");
    importer.ok("map j");
    assert_eq!(importer.ok("hugemap j"), huge());
    exporter.ok("unpublish e");
    importer.ok("store i 0 8");
    assert_eq!((exporter.ok("read e 0"), exporter.ok("hugeexport e")), ("0".to_owned(), huge()));
    importer.fails("get j 0", Code::ConnAborted);
    exporter.ok("destroy e");
}

story!(huge_memory_moves_away_and_stays_huge);
fn huge_memory_moves_away_and_stays_huge() {
    let Some((_cluster, mut exporter, mut importer)) = pair(false, &format!("exporthuge e {}", length())) else {
        return;
    };
    importer.stop();
    exporter.ok("unpublish e");
    importer.signal(Signal::CONT);
    importer.ok("store i 0 8");
    assert_eq!(exporter.ok("read e 0"), "0");
    assert_eq!(exporter.ok(&format!("read e {}", huge_page_size() + 8)), "6", "the contents came along");
    assert_eq!(exporter.ok("hugeexport e"), huge());
    exporter.ok("publish e 0x400001");
    importer.ok("connect j 1 0x400001 rw");
    importer.ok("map j");
    assert_eq!(importer.ok("hugemap j"), huge());
}

story!(the_environment_asks_for_huge_pages);
fn the_environment_asks_for_huge_pages() {
    for command in ["export", "adoptaligned"] {
        let Some((_cluster, mut exporter, mut importer)) = pair(true, &format!("{command} e {}", length())) else {
            return;
        };
        assert_eq!((exporter.ok("hugeexport e"), importer.ok("hugemap i")), (huge(), huge()), "{command}");
        importer.ok("store i 0 9");
        assert_eq!(exporter.ok("read e 0"), "9");
        exporter.ok("destroy e");
        // Less than a huge page is no error here.
        exporter.ok("export f 4096");
    }
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_default();
    if setting.contains("[never]") || setting.contains("[advise]") {
        let unasked = pair(false, &format!("export e {}", length()));
        let (_cluster, mut exporter, _importer) = unasked.expect("there were huge pages before");
        assert_eq!(exporter.ok("hugeexport e"), "0");
    }
}

story!(huge_pages_need_a_segment_as_large_as_one);
fn huge_pages_need_a_segment_as_large_as_one() {
    let cluster = cluster(1);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let said = exporter.fails("exporthuge e 4096", Code::BadLength);
    assert!(said.contains("a huge page has"), "{said}");
    exporter.ok("export e 4096");
}
