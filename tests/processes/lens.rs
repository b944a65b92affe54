//! What becomes of stores that a lens has made late, when processes end, die, fork, and execute.

use rsm::Cluster;
use rsm::lens::{Lens, Strength};
use rsm_core::lens::draw::{Draws, scale};
use rsm_stories::{NodeProcess, story};

const LINES: u64 = 32;

/// A cluster whose first span of stores from node 2 to node 1 is among the longest, another one for each `number`.
fn late(number: usize) -> (Cluster, NodeProcess, NodeProcess) {
    let first = |seed| Draws::of_import([seed, 2, 1, 0x40_0000, 1], 0).number();
    let seed = (0..).filter(|&seed| scale(first(seed)) == 40_000_000).nth(number).expect("one in a hundred");
    let cluster = Cluster::builder(2).lens(Lens::chaos(seed).strength(Strength::Storm)).start().expect("a cluster");
    let (mut exporter, mut importer) = (NodeProcess::start(&cluster, 1), NodeProcess::start(&cluster, 2));
    exporter.ok("export e 65536");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("mode i explicit");
    (cluster, exporter, importer)
}

fn put_lines(importer: &mut NodeProcess, value: u64) {
    for line in 0..LINES {
        importer.ok(&format!("put i {} {value}", line * 64));
    }
}

fn arrived(exporter: &mut NodeProcess, value: u64) -> u64 {
    (0..LINES).filter(|line| exporter.ok(&format!("read e {}", line * 64)) == value.to_string()).count() as u64
}

story!(an_end_delivers_what_is_on_its_way_and_a_kill_loses_it);
fn an_end_delivers_what_is_on_its_way_and_a_kill_loses_it() {
    let mut lost = false;
    for number in 0..20 {
        let (_cluster, mut exporter, mut importer) = late(number);
        put_lines(&mut importer, 7);
        importer.tell("exit 0");
        importer.reap();
        assert_eq!(arrived(&mut exporter, 7), LINES, "an end by exit(3) lost a store");
        let (_cluster, mut exporter, mut importer) = late(number);
        put_lines(&mut importer, 7);
        importer.kill();
        lost |= arrived(&mut exporter, 7) < LINES;
        if lost {
            return;
        }
    }
    panic!("no store was on its way when its process was killed");
}

story!(a_forked_child_has_no_part_in_what_its_parent_has_posted);
fn a_forked_child_has_no_part_in_what_its_parent_has_posted() {
    for number in 0..3 {
        let (_cluster, mut exporter, mut importer) = late(number);
        put_lines(&mut importer, 7);
        // It neither delivers what the parent posted nor waits for it, and what it posts itself arrives.
        assert_eq!(importer.ok("forkcall span i 8 5"), "ok");
        assert_eq!(exporter.ok("read e 8"), "5");
        assert_eq!(importer.ok("forkcall get i 8"), "ok 5");
        importer.ok("span i 16 6");
        assert_eq!((arrived(&mut exporter, 7), exporter.ok("read e 8")), (LINES, "5".to_owned()));
        // Likewise what it stores to a mapping that it has inherited, which then is its own.
        importer.ok("map i");
        importer.ok("mapspan i 24 9");
        assert_eq!(importer.ok("forkcall mapspan i 32 1"), "ok");
        assert_eq!((exporter.ok("read e 24"), exporter.ok("read e 32")), ("9".to_owned(), "1".to_owned()));
        importer.ok("mapspan i 40 1");
        assert_eq!(exporter.ok("read e 40"), "1");
    }
}

story!(a_signal_comes_after_a_span_that_was_closed);
fn a_signal_comes_after_a_span_that_was_closed() {
    let (_cluster, mut exporter, mut importer) = late(0);
    for round in 1..50 {
        importer.ok(&format!("span i 0 {round}"));
        importer.ok("post i");
        exporter.ok("waitexport e 20000");
        assert_eq!(exporter.ok("read e 0"), round.to_string());
    }
}

story!(a_stopped_process_holds_up_no_withdrawal);
fn a_stopped_process_holds_up_no_withdrawal() {
    let (_cluster, mut exporter, mut importer) = late(1);
    put_lines(&mut importer, 7);
    importer.stop();
    exporter.ok("unpublish e");
    let before = arrived(&mut exporter, 7);
    importer.signal(rustix::process::Signal::CONT);
    importer.fails("span i 0 8", rsm::Code::ConnAborted);
    assert_eq!(arrived(&mut exporter, 7), before, "a store came after the segment was taken back");
    importer.end();
    assert_eq!(arrived(&mut exporter, 7), before, "a store came after the segment was taken back");
}
