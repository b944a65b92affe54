//! Signal handlers that run while the library waits (D-77).

use rsm::Code;
use rsm::observe::Observer;
use rsm_stories::{NodeProcess, cluster, environment_of, refused_as, story, wait_for};
use rustix::process::Signal;
use std::time::{Duration, Instant};

story!(a_handler_interrupts_waits);
fn a_handler_interrupts_waits() {
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    node.ok("handler");
    node.ok("export e 4096");
    node.ok("publish e 0x400000");
    node.ok("watch e");
    for command in [
        "waitexport e forever",
        "waitexport e 60000",
        "waitwhile e forever",
        "waitwhile e 60000",
        "event e forever",
        "connect i 2 0x400000 rw 60000",
    ] {
        node.ok(&format!("go t {command}"));
        assert!(refused_as(&interrupted_answer(&mut node), Code::Interrupted), "{command}");
    }
}

story!(a_handler_interrupts_a_stuck_request_and_leaks_nothing);
fn a_handler_interrupts_a_stuck_request_and_leaks_nothing() {
    let mut host = NodeProcess::with(Vec::new());
    let words = host.ok("host 2");
    let environments: Vec<_> = words.split(' ').map(environment_of).collect();
    let name = environments[0][0].1.rsplit(':').next().expect("an address").to_owned();
    let mut exporter = NodeProcess::with(environments[0].clone());
    let mut node = NodeProcess::with(environments[1].clone());
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    node.ok("handler");
    node.ok("export own 4096");
    let observer = Observer::attach(Some(&name)).expect("the hosted cluster");
    for command in ["export x 4096", "connect x 1 0x400000 rw", "publish own 0x400007"] {
        host.stop();
        node.ok(&format!("go t {command}"));
        assert!(refused_as(&interrupted_answer(&mut node), Code::Interrupted), "{command}");
        host.signal(Signal::CONT);
        // The next request is answered with its own answer, and nothing of the interrupted one is left.
        node.fails("connect y 1 0x400099 rw", Code::SegNotPublished);
        assert_eq!(observer.segments().len(), 2, "{command}");
        assert_eq!(observer.connections().len(), 0, "{command}");
    }
    node.ok("publish own 0x400007");
    node.ok("connect x 1 0x400000 rw");
    node.ok("put x 0 3");
    assert_eq!(exporter.ok("read e 0"), "3");
    host.kill();
}

story!(nothing_but_a_handler_interrupts);
fn nothing_but_a_handler_interrupts() {
    let mut host = NodeProcess::with(Vec::new());
    let words = host.ok("host 1");
    let mut node = NodeProcess::with(environment_of(&words));
    node.ok("export own 4096");
    host.stop();
    node.ok("go t export x 4096");
    node.ok("go w waitexport own 60000");
    node.until("asleep t", "ok true");
    node.until("asleep w", "ok true");
    // Longer than a request that a handler interrupted goes on for.
    let enough = Instant::now() + Duration::from_millis(200);
    while Instant::now() < enough {
        // A child of another thread ends; signals that nobody handles come; the process is stopped.
        assert_eq!(node.ok("system"), "3");
        for signal in [Signal::WINCH, Signal::URG, Signal::CHILD, Signal::CONT] {
            node.signal(signal);
        }
        node.stop();
        node.signal(Signal::CONT);
    }
    host.signal(Signal::CONT);
    assert_eq!(node.ok("join t"), "ok", "the request is answered");
    assert_eq!(node.ok("running w"), "true");
    node.ok("publish own 0x400000");
    node.ok("connect i 1 0x400000 rw");
    node.ok("post i");
    assert_eq!(node.ok("join w"), "ok", "the signal is taken");
    host.kill();
}

story!(after_an_interrupted_publish_everything_is_as_before);
/// The lost request may have been carried out, and somebody may have connected before it is undone.
fn after_an_interrupted_publish_everything_is_as_before() {
    for (stops, commands) in [
        (true, &["publish e 0x400007", "unpublish e"][..]),
        (true, &["publish e 0x400008", "unpublish e"]),
        (false, &["publish e 0x400007", "unpublish e"]),
        (true, &["!7 unpublish e", "publish e 0x400007"]),
        (true, &["!7 republish e", "destroy e"]),
    ] {
        let mut host = NodeProcess::with(Vec::new());
        let words = host.ok("host 2");
        let environments: Vec<_> = words.split(' ').map(environment_of).collect();
        let mut exporter = NodeProcess::with(environments[0].clone());
        let mut importer = NodeProcess::with(environments[1].clone());
        exporter.ok("export e 4096");
        exporter.ok("handler");
        importer.ok("go c connect i 1 0x400007 rw 25000");
        importer.until("asleep c", "ok true");
        host.stop();
        exporter.ok("go t publish e 0x400007");
        assert!(refused_as(&interrupted_answer(&mut exporter), Code::Interrupted));
        host.signal(Signal::CONT);
        assert!(
            importer.ok("join c").starts_with("ok"),
            "the agent published it, and nobody has said yet that it was not to"
        );
        importer.ok("map i");
        importer.ok("store i 0 1");
        if stops {
            importer.stop();
        }
        for command in commands {
            match command.strip_prefix("!7 ") {
                Some(command) => drop(exporter.fails(command, Code::SegNotPublished)),
                None => drop(exporter.ok(command)),
            }
        }
        importer.signal(Signal::CONT);
        importer.fails("put i 0 3", Code::ConnAborted);
        importer.ok("store i 0 4");
        if *commands.last().expect("commands") != "destroy e" {
            assert_eq!(exporter.ok("read e 0"), "1", "{commands:?}");
        }
        host.kill();
    }
}

/// Runs signal handlers in thread t until its call ends, and gives what the call answered. A handler that runs just
/// before the thread falls asleep, or while the agent answers, interrupts nothing.
fn interrupted_answer(node: &mut NodeProcess) -> String {
    wait_for("the call to end", || {
        node.ok("poke t");
        node.ok("running t") == "false"
    });
    node.ok("join t")
}

story!(a_later_withdrawal_does_not_answer_for_an_interrupted_one);
fn a_later_withdrawal_does_not_answer_for_an_interrupted_one() {
    // The wait lasts 100 ms; a machine that is busy for longer lets it end before the handler runs.
    assert!((0..20).any(|_| asks_again_after_a_later_withdrawal()), "no unpublish was interrupted");
}

fn asks_again_after_a_later_withdrawal() -> bool {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("handler");
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.stop();
    exporter.ok("go t unpublish e");
    if !refused_as(&interrupted_answer(&mut exporter), Code::Interrupted) {
        return false;
    }
    // To publish begins another withdrawal when that one is over, and cannot move the memory: there are no descriptors.
    exporter.ok("nofile 4");
    exporter.until_fails("publish e 0x400001", Code::InsufficientResources);
    exporter.ok("nofile 64");
    exporter.ok("unpublish e");
    exporter.ok("write e 0 4");
    importer.signal(Signal::CONT);
    importer.ok("store i 0 5");
    importer.fails("put i 0 5", Code::ConnAborted);
    assert_eq!(exporter.ok("read e 0"), "4", "an importer reaches the memory");
    true
}

story!(a_handler_interrupts_unpublish_which_goes_on);
fn a_handler_interrupts_unpublish_which_goes_on() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("handler");
    exporter.ok("export e 4096");
    let mut interrupted = 0;
    // The wait lasts 100 ms; a machine that is busy for longer lets it end before the handler runs.
    for _ in 0..20 {
        exporter.ok("publish e 0x400000");
        importer.ok("connect i 1 0x400000 rw");
        importer.stop();
        exporter.ok("go t unpublish e");
        let answer = interrupted_answer(&mut exporter);
        importer.signal(Signal::CONT);
        if refused_as(&answer, Code::Interrupted) {
            interrupted += 1;
            // Asked again it waits for the end of what is under way; the importer runs now.
            let end = exporter.ask("unpublish e");
            assert!(end.starts_with("ok"), "{end}");
        } else {
            assert!(answer.starts_with("ok"), "{answer}");
        }
        importer.fails("put i 0 1", Code::ConnAborted);
        importer.ok("disconnect i");
        if interrupted == 3 {
            break;
        }
    }
    assert!(interrupted > 0, "no unpublish was interrupted");
    exporter.fails("unpublish e", Code::SegNotPublished);
    // What an interrupted unpublish left unknown does not spill over to the next one.
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.stop();
    exporter.ok("go t unpublish e");
    interrupted_answer(&mut exporter);
    importer.signal(Signal::CONT);
    exporter.until("publish e 0x400000", "ok");
    importer.ok("connect k 1 0x400000 rw");
    exporter.ok("unpublish e");
    importer.fails("put k 0 1", Code::ConnAborted);
    exporter.fails("unpublish e", Code::SegNotPublished);
}

story!(handlers_do_not_disturb_requests_that_are_answered);
fn handlers_do_not_disturb_requests_that_are_answered() {
    // On a busy machine the agent may not get round to answer within the 50 ms that an interrupted request waits.
    let mut last = String::new();
    for _ in 0..20 {
        last = cycles_among_handlers();
        if !refused_as(&last, Code::Interrupted) {
            break;
        }
    }
    assert_eq!(last, "ok");
}

/// What becomes of requests that are answered at once while handlers run.
fn cycles_among_handlers() -> String {
    let cluster = cluster(1);
    let mut node = NodeProcess::start(&cluster, 1);
    node.ok("handler");
    node.ok("export e 4096");
    node.ok("publish e 0x400000");
    node.ok("go t cycles 300");
    wait_for("the cycles to end", || {
        node.ok("poke t");
        node.ok("running t") == "false"
    });
    node.ok("join t")
}
