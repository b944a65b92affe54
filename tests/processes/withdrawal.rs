//! Taking segments back from importers that run, do not run, or hide.

use rsm::{Capabilities, Cluster, Code, Feature};
use rsm_stories::{NodeProcess, cluster, kill_grandchild, refused_as, story, wait_for};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

/// An exporter with a published segment and an importer that has it mapped.
fn pair() -> (Cluster, NodeProcess, NodeProcess) {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 8192");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.ok("store i 0 1");
    assert_eq!(exporter.ok("read e 0"), "1");
    (cluster, exporter, importer)
}

story!(unpublish_cuts_willing_importers_off);
fn unpublish_cuts_willing_importers_off() {
    let (_cluster, mut exporter, mut importer) = pair();
    exporter.ok("unpublish e");
    // Nothing faults, nothing arrives, everybody is told.
    importer.ok("store i 0 2");
    importer.ok("load i 0");
    assert_eq!(exporter.ok("read e 0"), "1");
    importer.fails("put i 0 3", Code::ConnAborted);
    importer.fails("get i 0", Code::ConnAborted);
    importer.fails("span i 0 3", Code::ConnAborted);
    importer.fails("post i", Code::ConnAborted);
    importer.fails("waitimport i forever", Code::ConnAborted);
    importer.ok("mode i explicit");
    importer.ok("put i 0 4");
    importer.fails("map i", Code::ConnAborted);
    assert_eq!(exporter.ok("read e 0"), "1");
    exporter.ok("write e 8 77");
    assert_ne!(importer.ok("load i 8"), "77", "an old mapping shows nothing new (D-84)");
    exporter.fails("unpublish e", Code::SegNotPublished);
    importer.fails("connect j 1 0x400000 rw", Code::SegNotPublished);
}

story!(destroy_cuts_importers_off);
fn destroy_cuts_importers_off() {
    let (_cluster, mut exporter, mut importer) = pair();
    exporter.ok("destroy e");
    importer.ok("store i 0 2");
    importer.fails("put i 0 3", Code::ConnAborted);
    importer.fails("span i 0 3", Code::ConnAborted);
    exporter.ok("export f 8192");
    exporter.ok("publish f 0x400000");
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("put j 0 5");
    assert_eq!(exporter.ok("read f 0"), "5");
}

story!(a_sleeping_importer_is_woken_with_what_is_pending_first);
fn a_sleeping_importer_is_woken_with_what_is_pending_first() {
    let (_cluster, mut exporter, mut importer) = pair();
    importer.ok("go w waitimport i forever");
    importer.until("asleep w", "ok true");
    exporter.ok("unpublish e");
    assert!(refused_as(&importer.ok("join w"), Code::ConnAborted));
    // Pending signals come first (D-90).
    exporter.ok("publish e 0x400001");
    importer.ok("connect j 1 0x400001 rw");
    exporter.ok("postall e");
    exporter.ok("unpublish e");
    importer.ok("waitimport j 0");
    importer.fails("waitimport j forever", Code::ConnAborted);
}

story!(the_memory_moves_away_from_a_stopped_importer);
fn the_memory_moves_away_from_a_stopped_importer() {
    let (_cluster, mut exporter, mut importer) = pair();
    importer.ok("mode i explicit");
    importer.ok("go s storm i 8");
    importer.ok("load i 8");
    importer.stop();
    exporter.ok("unpublish e");
    assert_eq!(exporter.ok("read e 0"), "1", "the contents came along");
    let stood = exporter.ok("read e 8");
    exporter.ok("write e 16 77");
    importer.signal(Signal::CONT);
    // The storm goes on into the old memory until its process has looked; none of it arrives.
    assert_ne!(importer.ok("load i 16"), "77", "an old mapping shows nothing new (D-84)");
    importer.ok("halt");
    importer.ok("join s");
    assert_eq!(exporter.ok("read e 8"), stood);
    importer.ok("mode i implicit");
    importer.fails("put i 0 9", Code::ConnAborted);
    assert_eq!(exporter.ok("read e 0"), "1");
    exporter.fails("unpublish e", Code::SegNotPublished);
    // The moved memory is the segment's from now on.
    exporter.ok("publish e 0x400000");
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("put j 0 5");
    assert_eq!(exporter.ok("read e 0"), "5");
    exporter.ok("unpublish e");
}

story!(an_importer_that_cannot_be_cut_off_has_not_let_go);
/// Its word is what counts where another export's importers reach the memory rightly.
fn an_importer_that_cannot_be_cut_off_has_not_let_go() {
    let (cluster, mut exporter, mut importer) = pair();
    let mut other = NodeProcess::start(&cluster, 2);
    exporter.ok("adopt a 8192");
    exporter.ok("adoptagain b a");
    exporter.ok("publish a 0x400010");
    exporter.ok("publish b 0x400011");
    importer.ok("connect i 1 0x400010 rw");
    importer.ok("map i");
    importer.ok("put i 0 1");
    other.ok("connect o 1 0x400011 rw");
    // Memory of its own in the place of shared memory is more than it may have.
    let limit = |current| Rlimit { current, maximum: None };
    let pid = Pid::from_raw(importer.pid());
    let before = prlimit(pid, Resource::Data, limit(Some(4096))).expect("its limit");
    exporter.fails("unpublish a", Code::InsufficientResources);
    importer.ok("load i 0");
    importer.fails("put i 0 2", Code::ConnAborted);
    prlimit(pid, Resource::Data, before).expect("its limit");
    exporter.until("unpublish a", "ok");
    exporter.ok("write a 8 77");
    assert_ne!(importer.ok("load i 8"), "77", "an old mapping shows nothing new (D-84)");
    other.ok("put o 16 5");
    assert_eq!(exporter.ok("read a 16"), "5");
}

story!(the_memory_moves_away_from_a_stopped_reader);
fn the_memory_moves_away_from_a_stopped_reader() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 r");
    importer.ok("map i");
    importer.stop();
    exporter.ok("unpublish e");
    exporter.ok("write e 0 77");
    importer.signal(Signal::CONT);
    assert_ne!(importer.ok("load i 0"), "77");
    importer.fails("get i 0", Code::ConnAborted);
}

story!(a_forked_child_that_only_stores_is_found);
fn a_forked_child_that_only_stores_is_found() {
    let (_cluster, mut exporter, mut importer) = pair();
    let child = importer.ok("forkstore i 16").parse().expect("a process id");
    exporter.ok("unpublish e");
    // The parent let go, the child did not: the kernel told, and the memory moved away from it.
    let stood = exporter.ok("read e 16");
    importer.fails("put i 0 3", Code::ConnAborted);
    for _ in 0..100 {
        assert_eq!(exporter.ok("read e 16"), stood);
    }
    exporter.ok("publish e 0x400000");
    kill_grandchild(child);
    exporter.ok("unpublish e");
    assert_eq!(exporter.ok("read e 16"), stood);
}

story!(no_store_gets_through_after_unpublish);
fn no_store_gets_through_after_unpublish() {
    for _ in 0..30 {
        let (_cluster, mut exporter, mut importer) = pair();
        importer.ok("mode i explicit");
        importer.tell("go s storm i 8");
        importer.heard();
        exporter.until("read e 8", "ok"); // the storm may or may not have begun: both are fine
        exporter.ok("unpublish e");
        let stood = exporter.ok("read e 8");
        for _ in 0..20 {
            assert_eq!(exporter.ok("read e 8"), stood);
        }
        importer.ok("halt");
        importer.ok("join s");
    }
}

story!(waiting_threads_do_not_stop_others);
fn waiting_threads_do_not_stop_others() {
    let (cluster, mut exporter, importer) = pair();
    exporter.ok("go wait waitexport e forever");
    exporter.ok("go late connect l 2 0x400009 rw 25000");
    exporter.until("asleep wait", "ok true");
    exporter.until("asleep late", "ok true");
    importer.stop();
    exporter.ok("go taking unpublish e");
    // With threads in wait, connect_within and unpublish, a fourth goes about its business.
    exporter.ok("export f 4096");
    exporter.ok("publish f 0x400005");
    let mut other = NodeProcess::start(&cluster, 2);
    other.ok("connect k 1 0x400005 rw");
    other.ok("put k 0 5");
    assert_eq!(exporter.ok("read f 0"), "5");
    other.ok("export x 4096");
    other.ok("publish x 0x400009");
    assert!(exporter.ok("join late").starts_with("ok"));
    assert_eq!(exporter.ok("join taking"), "ok");
    importer.signal(Signal::CONT);
}

story!(a_reused_id_does_not_revive_old_imports);
fn a_reused_id_does_not_revive_old_imports() {
    let (_cluster, mut exporter, mut importer) = pair();
    exporter.ok("unpublish e");
    exporter.ok("publish e 0x400000");
    importer.fails("put i 0 3", Code::ConnAborted);
    importer.fails("post i", Code::ConnAborted);
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("put j 0 3");
    importer.ok("post j");
    exporter.ok("waitexport e 0");
    exporter.fails("waitexport e 0", Code::Timeout);
    importer.fails("put i 0 3", Code::ConnAborted);
}

story!(an_importer_with_a_lease_does_not_hold_the_agent_up);
fn an_importer_with_a_lease_does_not_hold_the_agent_up() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 r");
    importer.ok("map i");
    if importer.ok("holdlease i") != "true" {
        println!("skipped: /proc/self/map_files needs a privilege");
        return;
    }
    let began = std::time::Instant::now();
    exporter.ok("unpublish e");
    exporter.ok("export f 4096");
    exporter.ok("publish f 0x400001");
    importer.ok("connect j 1 0x400001 rw");
    // The kernel would have let a plain open wait for 45 seconds.
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

story!(adopted_memory_moves_away_in_place);
fn adopted_memory_moves_away_in_place() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("adopt e 65536");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.ok("store i 0 1");
    importer.stop();
    exporter.ok("unpublish e");
    assert_eq!(exporter.ok("read e 0"), "1");
    importer.signal(Signal::CONT);
    importer.ok("store i 0 2");
    assert_eq!(exporter.ok("read e 0"), "1");
    exporter.ok("publish e 0x400001");
    importer.ok("connect j 1 0x400001 rw");
    importer.ok("put j 0 3");
    assert_eq!(exporter.ok("read e 0"), "3");
    exporter.ok("destroy e");
}

story!(a_page_that_the_program_changed_keeps_nobody_in_reach);
fn a_page_that_the_program_changed_keeps_nobody_in_reach() {
    for change in ["close", "replace", "takeaway"] {
        let cluster = cluster(2);
        let mut exporter = NodeProcess::start(&cluster, 1);
        let mut importer = NodeProcess::start(&cluster, 2);
        exporter.ok("adopt e 65536");
        exporter.ok("publish e 0x400000");
        importer.ok("connect i 1 0x400000 rw");
        importer.ok("map i");
        importer.ok("store i 0 1");
        importer.stop();
        exporter.ok(&format!("{change} e 32768"));
        exporter.ok("unpublish e");
        exporter.ok("write e 8 77");
        importer.signal(Signal::CONT);
        importer.ok("store i 0 2");
        assert_eq!(exporter.ok("read e 0"), "1", "{change}: the importer reaches the rest of the range");
        assert_ne!(importer.ok("load i 8"), "77", "{change}: the importer sees the rest of the range");
        exporter.ok("destroy e");
    }
}

story!(shared_memory_moves_away_from_an_export_that_goes);
fn shared_memory_moves_away_from_an_export_that_goes() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("adopt e 4096");
    exporter.ok("adoptagain f e");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.ok("store i 0 1");
    assert_eq!(exporter.ok("read f 0"), "1");
    importer.ok("go s storm i 8");
    importer.stop();
    exporter.ok("destroy e");
    let stood = exporter.ok("read f 8");
    importer.signal(Signal::CONT);
    importer.ok("halt");
    importer.ok("join s");
    assert_eq!((exporter.ok("read f 8"), exporter.ok("read f 0")), (stood, "1".to_owned()));
    exporter.ok("publish f 0x400001");
    importer.ok("connect j 1 0x400001 rw");
    importer.ok("put j 0 5");
    assert_eq!(exporter.ok("read f 0"), "5");
}

story!(strict_programs_get_the_original_silence);
fn strict_programs_get_the_original_silence() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut environment = cluster.environment(2).expect("a node");
    environment.push(("RSM_STRICT", "1".to_owned()));
    let mut importer = NodeProcess::with(environment);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("go w waitimport i 300");
    importer.until("asleep w", "ok true");
    exporter.ok("postall e");
    importer.ok("join w");
    exporter.ok("postall e");
    exporter.ok("unpublish e");
    importer.ok("waitimport i 0");
    importer.fails("waitimport i 0", Code::Timeout);
    importer.fails("waitimport i 50", Code::Timeout);
    importer.fails("put i 0 1", Code::ConnAborted); // only the waits are silent
}

/// How an exporter comes to its memory.
const KINDS: [&str; 2] = ["export", "adopt"];

story!(who_answers_and_keeps_a_mapping_keeps_the_old_memory);
fn who_answers_and_keeps_a_mapping_keeps_the_old_memory() {
    for kind in KINDS {
        for take_back in ["unpublish e", "destroy e"] {
            let cluster = cluster(2);
            let mut exporter = NodeProcess::start(&cluster, 1);
            let mut importer = NodeProcess::start(&cluster, 2);
            exporter.ok(&format!("{kind} e 8192"));
            exporter.ok("publish e 0x400000");
            importer.ok("connect i 1 0x400000 rw");
            importer.ok("map i");
            importer.ok("keep i");
            importer.ok("keepstore 0 1");
            assert_eq!(exporter.ok("read e 0"), "1");
            exporter.ok(take_back);
            importer.fails("put i 0 2", Code::ConnAborted);
            importer.ok("keepstore 0 2");
            if take_back == "destroy e" {
                continue; // the memory went with it, and the mapping leads to what nobody looks at
            }
            assert_eq!(exporter.ok("read e 0"), "1", "{kind}: the kept mapping reaches the memory");
            exporter.ok("write e 8 77");
            assert_ne!(importer.ok("keepload 8"), "77", "{kind}: the kept mapping shows what is written later (D-84)");
        }
    }
}

story!(a_grant_in_a_socket_leads_to_the_old_memory);
fn a_grant_in_a_socket_leads_to_the_old_memory() {
    let (_cluster, mut exporter, mut importer) = pair();
    if importer.ok("send i") != "true" {
        println!("skipped: /proc/self/map_files needs a privilege");
        return;
    }
    importer.ok("unmap i");
    importer.ok("disconnect i");
    exporter.ok("unpublish e");
    importer.ok("receive");
    importer.ok("keepstore 0 2");
    assert_eq!(exporter.ok("read e 0"), "1");
    exporter.ok("write e 8 77");
    assert_ne!(importer.ok("keepload 8"), "77");
}

story!(the_exporter_stores_all_the_while_and_loses_nothing);
fn the_exporter_stores_all_the_while_and_loses_nothing() {
    if !Capabilities::probe().has(Feature::WriteProtectionOfShared) {
        println!("skipped: stores to shared memory cannot be held back here (wp-shared of `rsm-ctl doctor`)");
        return;
    }
    for kind in KINDS {
        let cluster = cluster(2);
        let mut exporter = NodeProcess::start(&cluster, 1);
        let mut importer = NodeProcess::start(&cluster, 2);
        exporter.ok(&format!("{kind} e 1048576"));
        exporter.ok("go s ownstorm e");
        for _ in 0..3 {
            exporter.ok("publish e 0x400000");
            importer.ok("connect i 1 0x400000 rw");
            importer.stop();
            exporter.ok("unpublish e");
            importer.signal(Signal::CONT);
            importer.ok("disconnect i");
        }
        exporter.ok("halt");
        assert_eq!(exporter.ok("join s"), "ok 0", "{kind}: stores were lost (D-85)");
    }
}

story!(a_rebind_reaches_a_stopped_importer);
fn a_rebind_reaches_a_stopped_importer() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("adopt e 8192");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.ok("store i 0 1");
    importer.ok("go s storm i 16");
    importer.stop();
    exporter.ok("rebind e");
    exporter.ok("write e 8 5");
    importer.signal(Signal::CONT);
    // Its mapping is of the segment, which has the new range's contents and goes on.
    assert_eq!((importer.ok("load i 8"), importer.ok("load i 0")), ("5".to_owned(), "0".to_owned()));
    // The storming thread goes on there, as soon as it has a processor.
    wait_for("the storm to arrive", || exporter.ok("read e 16") != "0");
    importer.ok("halt");
    importer.ok("join s");
    importer.ok("store i 0 6");
    assert_eq!(exporter.ok("read e 0"), "6");
    importer.ok("put i 0 7");
    assert_eq!(exporter.ok("read e 0"), "7");
    exporter.ok("unpublish e");
    importer.fails("put i 0 8", Code::ConnAborted);
}

/// Two exports of one range, an importer of each, and the second one's node.
fn twins() -> (Cluster, NodeProcess, NodeProcess, NodeProcess) {
    let cluster = cluster(3);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut first = NodeProcess::start(&cluster, 2);
    let mut second = NodeProcess::start(&cluster, 3);
    exporter.ok("adopt e 4096");
    exporter.ok("adoptagain f e");
    exporter.ok("publish e 0x400000");
    exporter.ok("publish f 0x400001");
    first.ok("connect i 1 0x400000 rw");
    first.ok("map i");
    second.ok("connect j 1 0x400001 rw");
    second.ok("map j");
    (cluster, exporter, first, second)
}

/// Takes one of two exports of a range back. Where an importer that runs has not got round to its look in time, it is
/// asked again, as a program would.
fn taken_back(exporter: &mut NodeProcess, verb: &str) {
    exporter.until(verb, "ok");
}

story!(equal_ranges_keep_each_other_working);
fn equal_ranges_keep_each_other_working() {
    let (_cluster, mut exporter, mut first, mut second) = twins();
    second.ok("go s storm j 8");
    taken_back(&mut exporter, "unpublish e");
    first.fails("put i 0 1", Code::ConnAborted);
    second.ok("put j 0 2");
    assert_eq!((exporter.ok("read e 0"), exporter.ok("read f 0")), ("2".to_owned(), "2".to_owned()));
    // With an importer that is stopped it cannot be taken back while the other's importers are there: that is said.
    exporter.ok("publish e 0x400000");
    first.ok("connect k 1 0x400000 rw");
    first.ok("map k");
    first.stop();
    exporter.fails("unpublish e", Code::InsufficientResources);
    second.ok("put j 0 3");
    assert_eq!(exporter.ok("read e 0"), "3");
    // When the other's are gone, it can. Until then it is not published, and may be reached.
    second.ok("halt");
    second.ok("join s");
    second.ok("unmap j");
    second.ok("disconnect j");
    exporter.ok("destroy f");
    exporter.ok("unpublish e");
    exporter.fails("unpublish e", Code::SegNotPublished);
    exporter.ok("write e 0 4");
    first.signal(Signal::CONT);
    first.ok("store k 0 5");
    first.fails("put k 0 5", Code::ConnAborted);
    assert_eq!(exporter.ok("read e 0"), "4");
}

story!(an_export_is_not_destroyed_under_an_importer_that_reaches_another);
fn an_export_is_not_destroyed_under_an_importer_that_reaches_another() {
    let (_cluster, mut exporter, mut first, mut second) = twins();
    exporter.ok("write e 0 3");
    first.stop();
    // Said, and why; the other export goes on.
    let told = exporter.fails("destroy e", Code::InsufficientResources);
    assert!(told.contains("published segment"), "{told}");
    second.ok("put j 8 2");
    assert_eq!(exporter.ok("read f 8"), "2");
    // Taken back, it is moved away from whoever is left.
    exporter.ok("unpublish f");
    exporter.ok("write f 0 4");
    first.signal(Signal::CONT);
    first.ok("store i 0 5");
    first.fails("put i 0 5", Code::ConnAborted);
    assert_eq!(exporter.ok("read f 0"), "4");
    exporter.ok("publish f 0x400000");
    second.ok("connect k 1 0x400000 rw");
    second.ok("put k 0 6");
    assert_eq!(exporter.ok("read f 0"), "6");
    exporter.ok("destroy f");
}

story!(equal_ranges_are_moved_away_from_a_liar_in_the_end);
fn equal_ranges_are_moved_away_from_a_liar_in_the_end() {
    // What is believed while the other export has importers is seen through when that is taken back.
    for end in ["unpublish f", "destroy f"] {
        for disconnects in [false, true] {
            let (_cluster, mut exporter, mut first, mut second) = twins();
            first.ok("keep i");
            taken_back(&mut exporter, "unpublish e");
            first.fails("put i 0 1", Code::ConnAborted);
            if disconnects {
                second.ok("unmap j");
                second.ok("disconnect j");
            }
            taken_back(&mut exporter, end);
            exporter.ok("write e 0 4");
            first.ok("keepstore 0 5");
            assert_eq!(exporter.ok("read e 0"), "4", "{end}");
            exporter.ok("publish e 0x400000");
            second.ok("connect k 1 0x400000 rw");
            second.ok("put k 0 6");
            assert_eq!(exporter.ok("read e 0"), "6");
        }
    }
}

story!(a_move_whose_memory_does_not_arrive_is_begun_again);
fn a_move_whose_memory_does_not_arrive_is_begun_again() {
    for again in ["unpublish e", "publish e 0x400000"] {
        let (_cluster, mut exporter, mut importer) = pair();
        importer.stop();
        // Room for what it has open already, and for nothing that the agent sends.
        exporter.ok("nofile 4");
        exporter.fails("unpublish e", Code::InsufficientResources);
        exporter.ok("nofile 64");
        exporter.ok(again);
        exporter.ok("write e 0 4");
        importer.signal(Signal::CONT);
        importer.ok("store i 0 5");
        importer.fails("put i 0 5", Code::ConnAborted);
        assert_eq!(exporter.ok("read e 0"), "4", "{again}");
    }
}

story!(taking_back_takes_its_time);
/// Says how long unpublish takes; nothing depends on it.
fn taking_back_takes_its_time() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    for (length, stopped, bound, rounds) in
        [(1u64 << 20, false, 1, 21), (1 << 20, true, 150, 5), (64 << 20, true, 400, 3)]
    {
        exporter.ok(&format!("export e {length}"));
        let mut times: Vec<_> = (0..rounds)
            .map(|_| {
                exporter.ok("publish e 0x400000");
                importer.ok("connect i 1 0x400000 rw");
                if stopped {
                    importer.stop();
                }
                let began = std::time::Instant::now();
                exporter.ok("unpublish e");
                let took = began.elapsed();
                importer.signal(Signal::CONT);
                importer.ok("disconnect i");
                took
            })
            .collect();
        times.sort_unstable();
        let what = if stopped { "a stopped" } else { "a willing" };
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "unpublish of {} MiB from {what} importer: median {:.2} ms, longest {:.2} ms (aim {bound} ms)",
            length >> 20,
            median.as_secs_f64() * 1e3,
            longest.as_secs_f64() * 1e3
        );
        exporter.ok("destroy e");
    }
}
