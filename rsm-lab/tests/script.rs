//! Scripts that disturb a cluster, on nodes that share this process.

use rsm::steer::Steering;
use rsm::{AccessList, Cluster, Code, Export, Permission, SegmentId};
use rsm_lab::{Event, RunError, Script};
use std::ops::ControlFlow::{Break, Continue};
use std::time::{Duration, Instant};

const ID: SegmentId = SegmentId::new(0x40_0001);
const SOON: Option<Duration> = Some(Duration::from_secs(30));

fn published(cluster: &Cluster, node: u32) -> Export {
    let export = cluster.node(node).unwrap().controller("shm0").unwrap().export(65536).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    export
}

/// Runs a script; the actions with their lines and outcomes, and how it ended.
fn run(text: &str, steering: &Steering, limit: Option<Duration>) -> (Vec<String>, Result<(), RunError>) {
    let mut said = Vec::new();
    let ended = Script::parse(text).unwrap().run(steering, limit, |event| {
        said.push(without_time(event));
        Continue(())
    });
    (said, ended)
}

fn without_time(event: &Event) -> String {
    let line = event.to_string();
    line.split_once("s line ").unwrap_or_else(|| panic!("{line}")).1.to_owned()
}

#[track_caller]
fn stops(text: &str, steering: &Steering, limit: Option<Duration>, code: Code, told: &str) {
    let error = run(text, steering, limit).1.expect_err(text);
    assert_eq!((error.error.code(), &*error.to_string()), (code, told), "{text}");
}

#[test]
fn lines_end_as_every_editor_ends_them() {
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    let text = "# a comment\n\nlink down 1 2\nrepeat 2 times\n  say now # and then\nend\nlink up 1 2";
    let (said, ended) = run(text, &steering, SOON);
    assert_eq!((said.len(), ended), (4, Ok(())));
    for other in [text.replace('\n', "\r\n"), format!("\u{feff}{text}\r\n")] {
        assert_eq!(run(&other, &steering, SOON), (said.clone(), Ok(())), "{other:?}");
    }
    let error = Script::parse("link down 1 2\r\nlink dawn 1 2\r\n").unwrap_err();
    assert!(!error.excerpt().contains('\r') && error.to_string().starts_with("2:"), "{error}\n{}", error.excerpt());
}

#[test]
fn statements_follow_one_another_and_wait_for_the_cluster() {
    let cluster = Cluster::new(3).unwrap();
    let steering = cluster.steering().unwrap();
    let text = "
        say let us begin: now, # or never
        at 20ms link down 1 2
        when link 1 2 is down and node 2 has not joined then link up 1 2
        when node 2 has published 0x400001 then link down 3 2 one-way through shm0
        when node 3 has joined and node 1 has joined
        after 10ms segment revoke 2 4194305
        when node 2 has not published 0x400001 then link error 1 2
        when all nodes have joined and link 3 2 one-way is not up and link 2 3 one-way is active then say done";
    let began = Instant::now();
    let script = Script::parse(text).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (said, ended) = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            script.run(&steering, SOON, move |event| {
                tell.send(without_time(event)).unwrap();
                Continue(())
            })
        });
        let mut said: Vec<String> = told.iter().take(3).collect();
        let export = published(&cluster, 2);
        cluster.node(3).unwrap();
        cluster.node(1).unwrap();
        said.extend(told.iter());
        drop(export);
        (said, running.join().unwrap())
    });
    assert_eq!(ended, Ok(()));
    assert_eq!(
        said,
        [
            "2: let us begin: now,",
            "3: link down 1 2: 0 imports aborted",
            "4: link up 1 2",
            "5: link down 3 2 one-way through shm0: 0 imports aborted",
            "7: segment revoke 2 0x400001: 0 imports aborted",
            "8: link error 1 2",
            "9: done",
        ]
    );
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn every_goes_on_beside_what_follows() {
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    let count = |said: &[String], what: &str| said.iter().filter(|line| line.ends_with(what)).count();
    let text = "
        every 1ms until link 1 2 is down say often
        every 2ms link error 1 2 5 times
        when link 1 2 is down then say down";
    let mut said = Vec::new();
    let ended = Script::parse(text).unwrap().run(&steering, SOON, |event| {
        said.push(without_time(event));
        if count(&said, "often") == 3 {
            steering.link_down(&rsm::steer::Links::between(1, 2)).unwrap();
        }
        Continue(())
    });
    assert_eq!(ended, Ok(()));
    assert_eq!([count(&said, "link error 1 2"), count(&said, "often"), count(&said, "down")], [5, 3, 1]);
    // What has no limit ends with `stop`.
    let (said, ended) =
        run("every 1ms say often\nrepeat 3 times\nafter 5ms say pass\nend\nstop\nsay no", &steering, SOON);
    assert_eq!(ended, Ok(()));
    assert_eq!((count(&said, "pass"), count(&said, "no")), (3, 0), "{said:?}");
    assert!(count(&said, "often") >= 3, "{said:?}");
    // Nested, with times that count from the pass.
    let text = "
        repeat 2 times
            at 5ms say outer
            repeat 2 times
                after 1ms say inner
            end
        end
        repeat for 30ms
            after 10ms say timed
        end
        repeat until link 1 2 is up
            after 1ms try link up 1 2
        end";
    let (said, ended) = run(text, &steering, SOON);
    assert_eq!(ended, Ok(()));
    assert_eq!((count(&said, "outer"), count(&said, "inner"), count(&said, "link up 1 2")), (2, 4, 1), "{said:?}");
    assert!(count(&said, "timed") <= 3, "{said:?}");
}

#[test]
fn what_goes_wrong_is_told_with_its_line() {
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    // Before anything is done.
    let (said, ended) = run("say one\nwhen node 3 has joined then say three", &steering, None);
    assert_eq!(said, [""; 0]);
    let told = "line 2: when node 3 has joined then say three: there is no node 3: nodes are 1 to 2";
    assert_eq!(ended.unwrap_err().to_string(), told);
    for (text, told) in [
        ("repeat 1 times\nlink up 1 7\nend", "line 2: link up 1 7: there is no node 7: nodes are 1 to 2"),
        ("random until node 9 has left", "line 1: random until node 9 has left: there is no node 9: nodes are 1 to 2"),
    ] {
        stops(text, &steering, None, Code::RemoteNodeUnreachable, told);
    }
    let told = "line 1: when link 1 2 through x is up: there is no controller \"x\"; there are: loopback, shm0";
    stops("when link 1 2 through x is up", &steering, None, Code::CtlrNotPresent, told);
    // While it is done.
    let told = "line 2: node stop 2: no process of node 2 has joined the cluster";
    stops("say x\nnode stop 2\nsay y", &steering, None, Code::RemoteNodeUnreachable, told);
    let told = "line 1: every 1ms segment revoke 1 5: node 1 publishes no segment 0x5, nor any other";
    stops("every 1ms segment revoke 1 5\nafter 1h", &steering, None, Code::SegNotPublished, told);
    let told = "line 1: when node 1 has joined within 20ms: it did not come to that within 20ms";
    stops("when node 1 has joined within 20ms", &steering, None, Code::Timeout, told);
    let limit = Some(Duration::from_millis(30));
    let (_, ended) = run("after 1h", &steering, limit);
    let error = ended.unwrap_err();
    assert!(error.over_limit, "{error}");
    assert_eq!(error.to_string(), "line 1: after 1h: the script has not ended within 30ms");
    // Nor does it go on where nothing sleeps.
    let (_, ended) = run("repeat 1000000000 times\n say on\nend", &steering, limit);
    let error = ended.expect_err("it was limited");
    assert!(error.over_limit, "{error}");
    // Passed over.
    let (said, ended) = run("try node stop 2\nsay y", &steering, None);
    assert_eq!(said, ["1: node stop 2: failed: no process of node 2 has joined the cluster", "2: y"]);
    assert_eq!(ended, Ok(()));
    // Who listens may have heard enough.
    let mut heard = 0;
    let ended = Script::parse("every 1ms say x").unwrap().run(&steering, SOON, |_| {
        heard += 1;
        if heard == 3 { Break(()) } else { Continue(()) }
    });
    assert_eq!((heard, ended.unwrap_err().error.code()), (3, Code::Interrupted));
}

#[test]
fn the_end_of_the_cluster_is_the_end() {
    for (text, told) in [
        ("say x\nwhen node 1 has joined", Some(2)),
        ("say x\nafter 1h", Some(2)),
        ("say x\nevery 1h 2 times say y", Some(2)),
        ("say x\nrepeat 1000000 times\nafter 1h\nend", Some(3)),
        // What has no limit has no other end.
        ("say x\nevery 1h say y", None),
        ("say x\nrepeat\nafter 1h\nend", None),
        ("say x\nrandom every 1h", None),
    ] {
        let cluster = Cluster::new(1).unwrap();
        let steering = cluster.steering().unwrap();
        let mut cluster = Some(cluster);
        let ended = Script::parse(text).unwrap().run(&steering, SOON, |_| {
            drop(cluster.take());
            Continue(())
        });
        match told {
            None => assert_eq!(ended, Ok(()), "{text}"),
            Some(line) => {
                let error = ended.expect_err(text);
                assert_eq!((error.line, error.error.code()), (line, Code::CtlrNotPresent), "{text}");
                assert!(error.to_string().ends_with("has ended"), "{error}");
            }
        }
    }
}

#[test]
fn chance_is_the_seeds_and_leaves_links_as_they_were() {
    let text = "random seed 7 60 times every 1ms: link, segment";
    let disturbed = || {
        let cluster = Cluster::builder(3).controllers(["shm0", "shm1"]).start().unwrap();
        let export = published(&cluster, 1);
        let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
        let steering = cluster.steering().unwrap();
        let (said, ended) = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(text, &steering, SOON));
            // Something goes on meanwhile, which the sequence does not depend on.
            while !running.is_finished() {
                if let Ok(import) = importer.connect(1, ID, Permission::ReadWrite) {
                    let _ = import.put_u64(0, 1);
                }
                let _ = export.publish(ID, &AccessList::everyone());
            }
            running.join().unwrap()
        });
        assert_eq!(ended, Ok(()));
        assert!(steering.observer().links().iter().all(|link| link.state != "down"));
        // Without what came of it, which is the cluster's.
        let drawn: Vec<String> =
            said.iter().map(|line| line.split(": ").nth(1).unwrap_or_default().replace(" 0x400001", "")).collect();
        drawn
    };
    let (one, two) = (disturbed(), disturbed());
    assert_eq!(one, two);
    assert!(one.len() >= 60 && one.iter().any(|action| action.starts_with("link down")), "{one:?}");
    // Without a seed it says which one it took.
    let cluster = Cluster::new(2).unwrap();
    let (said, ended) = run("random 3 times every 1ms: link", &cluster.steering().unwrap(), SOON);
    assert_eq!(ended, Ok(()));
    let seed = said[0].strip_prefix("1: random seed ").unwrap();
    let text = format!("random seed {seed} 3 times every 1ms: link");
    let (again, _) = run(&text, &cluster.steering().unwrap(), SOON);
    assert_eq!(said[1..], again[..]);
}

#[test]
fn nodes_start_again_where_somebody_starts_them() {
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    let text = "say x\nrepeat 2 times\n  try node restart 2\nend\nnode restart 1";
    let told = "line 3: try node restart 2: only the script of a run can start a node again: rsm-ctl run --script FILE";
    stops(text, &steering, None, Code::PermDenied, told);
    assert!(run(text, &steering, None).0.is_empty(), "nothing is done before that is known");
    let script = Script::parse(text).unwrap();
    assert!(script.restarts() && !Script::parse("node kill 1").unwrap().restarts());

    let (mut started, mut said) = (Vec::new(), Vec::new());
    let restart = |node: u32| {
        started.push(node);
        if node == 1 { Ok(1) } else { Err(rsm::Error::with(Code::RemoteNodeUnreachable, "it does not want to")) }
    };
    let ended = script.run_with_restarts(&steering, SOON, restart, |event| {
        said.push(without_time(event));
        Continue(())
    });
    assert_eq!((ended, started), (Ok(()), vec![2, 2, 1]));
    let failed = "3: node restart 2: failed: it does not want to";
    assert_eq!(said, ["1: x", failed, failed, "5: node restart 1: 1 process"]);
    assert_eq!(script.run_with_restarts(&steering, SOON, |_| Ok(0), |_| Break(())).unwrap_err().line, 1);
    let unknown = Script::parse("node restart 3").unwrap();
    let error = unknown.run_with_restarts(&steering, SOON, |_| Ok(0), |_| Continue(())).unwrap_err();
    assert_eq!(error.error.code(), Code::RemoteNodeUnreachable);
}

#[test]
fn what_needs_no_node_can_be_done_before_there_is_one() {
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    let text = "# late\nlink down 1 2\nsay so\nwhen link 1 2 is down then link up 1 2\nlink error 1 2";
    let (first, rest) = Script::parse(text).unwrap().split();
    let said = |script: &Script| {
        let mut said = Vec::new();
        script
            .run(&steering, SOON, |event| {
                said.push(without_time(event));
                Continue(())
            })
            .unwrap();
        said
    };
    assert_eq!(said(&first), ["2: link down 1 2: 0 imports aborted", "3: so"]);
    assert_eq!(said(&rest), ["4: link up 1 2", "5: link error 1 2"]);
    let (first, rest) = Script::parse("node kill 1\nlink down 1 2").unwrap().split();
    assert!(said(&first).is_empty());
    assert!(rest.check(&steering).is_ok(), "whether a node is there is not asked");
    let beyond = Script::parse("say x\nnode restart 3").unwrap();
    assert_eq!(beyond.check(&steering).unwrap_err().line, 2);
}
