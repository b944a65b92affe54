//! Bodies of tests on nodes of their own, under the harness that everybody uses.

use rsm::lens::{Faults, Lens, Model};
use rsm::{AccessList, Code, Controller, Permission, SegmentId};
use rsm_run::{on_nodes, seeds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

/// Longer than anything takes on the busiest machine.
const LONG: Duration = Duration::from_secs(100);
const ID: SegmentId = SegmentId::new(0x40_0000);

/// What a test that has to fail says.
fn failure(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it fails");
    *panic.downcast::<String>().expect("a panic with a text")
}

/// Sends the number of a node around a ring, and back; who has gone round may leave.
fn ring(shm: &Controller) -> rsm::Result<()> {
    let (me, count) = (shm.node().id(), shm.node().node_count());
    let inbox = shm.export(65536)?;
    inbox.publish(ID, &AccessList::everyone())?;
    let right = shm.connect_within(me % count + 1, ID, Permission::ReadWrite, LONG)?;
    right.put_u64(0, me.into())?;
    right.signal()?;
    inbox.wait(Some(LONG))?;
    let left = (me + count - 2) % count + 1;
    assert_eq!(inbox.memory().read_volatile_u64(0)?, u64::from(left));
    right.signal()?;
    inbox.wait(Some(LONG))
}

#[test]
fn several_numbers_of_nodes() {
    on_nodes!([1, 2, 3], timeout = LONG, |node| -> rsm::Result<()> {
        assert_eq!(node.controller("shm0")?.node().node_count(), node.count());
        ring(&node.controller("shm0")?)
    });
}

#[test]
fn what_is_around_is_there_on_each_node() {
    let greeting = String::from("hello");
    on_nodes!(2, |node| assert_eq!(format!("{greeting} {}", node.id()).len(), 7));
    // The second place of the same test, with what the first one left of it.
    on_nodes!(1, move |_| assert_eq!(greeting, "hello"));
}

#[test]
#[should_panic(expected = "left the ring")]
fn a_panic_of_a_node_is_one_of_the_test() {
    on_nodes!(2, timeout = LONG, |node| assert!(node.id() != 2, "node {} left the ring", node.id()));
}

#[test]
#[should_panic(expected = "exit code 3")]
fn an_exit_code_of_a_node_fails_the_test() {
    on_nodes!(1, |_| std::process::exit(3));
}

#[test]
fn a_failing_node_is_named_with_its_panic_and_what_was_written() {
    let told = failure(|| {
        on_nodes!(3, timeout = LONG, grace = 0.1, |node| {
            println!("I am node {}", node.id());
            assert!(node.id() != 2, "so it goes\nwith node {}", node.id());
            // Until it is ended.
            std::thread::park_timeout(LONG);
        });
    });
    assert!(told.starts_with("on 3 nodes: node 2 ended with exit code 101 after "), "{told}");
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[1].starts_with("  panicked at ") && lines[1].contains("on_nodes.rs:"), "{told}");
    assert_eq!(
        lines[2..6],
        ["  so it goes", "  with node 2", "node 2 wrote to its standard output:", "  | I am node 2"]
    );
    for node in [1, 3] {
        assert!(
            told.contains(&format!("node {node} was killed by signal 15 (SIGTERM), after it had been asked to")),
            "{told}"
        );
        assert!(told.contains(&format!("\n  | I am node {node}")), "{told}");
    }
    assert!(!told.contains("running 1 test"), "what the harness says is not the node's: {told}");
}

#[test]
fn errors_fail_a_node_as_panics_do() {
    let told = failure(|| {
        on_nodes!(1, |node| -> rsm::Result<()> { node.controller("shm9").map(drop) });
    });
    assert!(
        told.contains("ended with exit code 1")
            && told.contains("\n  Error: ")
            && told.contains("RSMERR_CTLR_NOT_PRESENT"),
        "{told}"
    );
}

#[test]
fn a_node_that_waits_when_the_time_is_up_says_what_for() {
    // As little time as it takes both nodes to come so far.
    let told = (0..8).map(|doubled| f64::from(1 << doubled)).find_map(|seconds| {
        let tried = catch_unwind(AssertUnwindSafe(|| {
            on_nodes!(2, timeout = seconds, grace = 0.1, |node| -> rsm::Result<()> {
                let inbox = node.controller("shm0")?.export(65536)?;
                inbox.publish(ID, &AccessList::everyone())?;
                if node.id() == 1 { Ok(()) } else { inbox.wait(None) }
            });
        }));
        // On a node of a later try, which passes over this one, it is none.
        let told = *tried.err()?.downcast::<String>().expect("a panic with a text");
        let up = format!("on 2 nodes: timed out after {seconds:.1} s; still running: node ");
        assert!(told.starts_with(&up), "{told}");
        (told.starts_with(&format!("{up}2\n")) && told.contains("  node 2 waits for ")).then_some(told)
    });
    let told = told.expect("it waits within two minutes");
    assert!(told.contains("  node 2 waits for a signal to its segment 0x400000"), "{told}");
}

#[test]
fn async_bodies() {
    on_nodes!(2, async |node| {
        let answer = async { node.id() * 2 }.await;
        assert_eq!(answer / 2, node.id());
    });
    on_nodes!(2, timeout = LONG, async |node| -> rsm::Result<()> {
        let shm = node.controller("shm0")?;
        async { ring(&shm) }.await?;
        Ok(())
    });
    assert!(failure(|| on_nodes!(1, async |_| panic!("in a future"))).contains("in a future"));
}

#[cfg(feature = "tokio")]
#[test]
fn async_bodies_run_in_a_runtime() {
    on_nodes!(2, timeout = LONG, async |node| -> rsm::Result<()> {
        let shm = node.controller("shm0")?;
        let inbox = shm.export(65536)?;
        inbox.publish(ID, &AccessList::everyone())?;
        let other = shm.connect_within(3 - node.id(), ID, Permission::ReadWrite, LONG)?;
        // Twice, so that nobody leaves before the other one has been told.
        for _ in 0..2 {
            other.signal()?;
            tokio::time::timeout(LONG, inbox.wait_async()).await.expect("in time")?;
        }
        Ok(())
    });
}

#[test]
fn lenses_by_seed() {
    seeds(0..3, |seed| {
        on_nodes!(
            2,
            chaos = seed,
            model = Model::Sci,
            faults = Faults::NONE,
            timeout = LONG,
            |node| -> rsm::Result<()> { ring(&node.controller("shm0")?) }
        );
    });
    let told = failure(|| on_nodes!(1, lens = Lens::chaos(7), |_| panic!("with a seed")));
    assert!(told.starts_with("on 1 node, seen through seed 7, model pcie: node 1 ended"), "{told}");
}

#[test]
fn who_is_killed_by_the_script_did_not_fail_and_comes_again() {
    let script = "when node 2 has published 0x400000 and node 1 has connected to 2 then node kill 2
                  node restart 2
                  when node 2 has published 0x400000 and node 1 has connected to 2 then node kill 1
                  node kill 2";
    on_nodes!(2, timeout = LONG, script = script, |node| -> rsm::Result<()> {
        let shm = node.controller("shm0")?;
        let inbox = shm.export(65536)?;
        if node.id() == 2 {
            inbox.publish(ID, &AccessList::everyone())?;
            return inbox.wait(Some(LONG));
        }
        let first = shm.connect_within(2, ID, Permission::ReadWrite, LONG)?;
        while first.put_u64(0, 1).is_ok() {
            std::thread::yield_now();
        }
        drop(first);
        let second = shm.connect_within(2, ID, Permission::ReadWrite, LONG)?;
        inbox.wait(Some(LONG))?;
        second.signal()
    });
}

#[test]
fn a_script_that_fails_fails_the_test() {
    let told = failure(|| on_nodes!(1, script = "after 1h node kill 1", |_| ()));
    assert!(told.contains("the run ended before its script: line 1: after 1h node kill 1"), "{told}");
    let told = failure(|| on_nodes!(1, script = "node hug 1", |_| ()));
    assert!(told.starts_with("on 1 node: script:1:6: expected \"kill\""), "{told}");
}

#[test]
fn controllers_and_codes() {
    on_nodes!(1, controllers = ["shm0", "shm1"], |node| {
        assert!(node.controller("shm1").is_ok());
        assert_eq!(node.controller("shm2").map(drop).unwrap_err().code(), Code::CtlrNotPresent);
    });
}

#[test]
fn what_makes_no_sense_is_refused() {
    for count in [-1, 0, 64] {
        assert_eq!(failure(|| on_nodes!(count, |_| ())), format!("a cluster has 1 to 63 nodes, not {count}"));
    }
}

#[test]
fn nodes_do_not_have_nodes() {
    // Said on the node, where it happens.
    assert!(failure(|| on_nodes!(1, |_| on_nodes!(1, |_| ()))).contains("on_nodes! inside of a body of on_nodes!"));
}

#[test]
#[ignore = "run by the test below"]
fn fails_on_its_node() {
    on_nodes!(1, |_| panic!("here is a node"));
}

#[test]
fn who_inherits_what_makes_a_node_is_none() {
    // One that took itself for a node would pass over what it is to try, and succeed.
    let nested = |variables: &[(&str, &str)]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "fails_on_its_node", "--ignored", "--nocapture"]).envs(variables.iter().copied());
        let said = command.output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.status.success() && text.contains("on 1 node: node 1 ended with exit code 101"), "{text}");
        assert!(text.contains("\n  here is a node"), "{text}");
    };
    // As left in a shell.
    let place = ("RSM_RUN_ON_NODES", "elsewhere.rs:1:1, visit 1, 1 nodes");
    nested(&[place]);
    nested(&[place, ("RSM_RUN_PARENT", "1")]);
    // As a child of a node has it.
    on_nodes!(1, timeout = LONG, |_| nested(&[]));
}

#[test]
fn a_test_that_does_not_come_here_again_is_found_out() {
    let told = failure(|| on_nodes!(1, name = "no_such_test", |_| ()));
    assert!(
        told.starts_with("node 1 ended well without having come here again: is \"no_such_test\" what the test"),
        "{told}"
    );
}

#[test]
#[ignore = "run by the test below"]
fn fails_with_seed_2() {
    seeds(0..5, |seed| assert_ne!(seed, 2));
}

#[test]
fn the_seed_that_fails_is_said_and_can_be_tried_alone() {
    let test = |seeds: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "fails_with_seed_2", "--ignored", "--nocapture"]).env("RSM_SEEDS", seeds);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (passes, said) = test("");
    assert!(!passes && said.contains("\nseed 2 fails; this one alone: RSM_SEEDS=2 in the environment"), "{said}");
    assert!(!test("2").0 && !test("0..3").0);
    assert!(test("3,4").0);
    let (passes, said) = test("two");
    assert!(!passes && said.contains("RSM_SEEDS=\"two\" is no list of seeds: write 7, 3,9 or 0..1000"), "{said}");
}
