//! `perf` measures, says what on, and says what is wrong. How long things take is nobody's business here.

use rustix::process::Signal;
use serde_json::Value;

use crate::rig::{Running, ctl, eventually, unique};
use crate::schema::Schema;

/// As short as it goes: every operation has its fewest rounds.
const SHORT: &[&str] = &["perf", "--time", "1ms"];

fn json(words: &[&str]) -> Value {
    let finished = ctl(SHORT).words(words).words(&["--json"]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let value = serde_json::from_str(finished.text()).unwrap_or_else(|e| panic!("{e}: {}", finished.text()));
    Schema::of("perf").check(&value);
    value
}

/// What the nodes of a test's cluster run: a process that joins and stays.
#[test]
#[ignore = "a node's program, not a test"]
fn stay() {
    let _joined = rsm::Controller::open("shm0").unwrap();
    loop {
        std::thread::park();
    }
}

/// A cluster of two nodes that have joined.
fn cluster(name: &str) -> Running {
    let program = std::env::current_exe().unwrap();
    let words =
        ["run", "-n", "2", "--name", name, "--", program.to_str().unwrap(), "--ignored", "--exact", "perf::stay"];
    let running = ctl(&words).start();
    eventually("both nodes to join", || {
        let finished = ctl(&["nodes", "--cluster", name, "--json"]).finish();
        let value: Value = serde_json::from_str(finished.text()).ok()?;
        value["nodes"].as_array()?.iter().all(|node| node["joined"] == true).then_some(())
    });
    running
}

#[test]
fn every_operation_is_measured_and_its_json_is_as_its_schema_says() {
    let value = json(&["--sizes", "64,4K"]);
    let list = ctl(&["perf", "--list"]).finish();
    let names: Vec<&str> = list.text().lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(names.len() >= 15, "{names:?}");
    let rows = value["perf"].as_array().unwrap();
    for name in names {
        let of: Vec<&Value> = rows.iter().filter(|row| row["op"] == name).collect();
        assert!(!of.is_empty(), "{name} was not measured");
        for row in of {
            let times = &row["nanoseconds"];
            let number = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("{row}"));
            assert!(number(&times["min"]) <= number(&times["median"]), "{row}");
            assert!(number(&times["median"]) <= number(&times["p99"]), "{row}");
            assert!(number(&row["ratio"]) > 0.0 && number(&row["round_trip"]) > 0.0, "{row}");
            assert!(row["iterations"].as_u64().unwrap() > 0 && row["limit"].as_str().unwrap().starts_with("raw-"));
        }
    }
    assert_eq!(rows.iter().filter(|row| row["op"] == "put").count(), 2);
}

#[test]
fn the_table_has_a_row_for_each_size_and_says_what_on() {
    let finished = ctl(SHORT).words(&["--op", "put,get", "--op", "put64", "--sizes", "128,1K,1M"]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let rows = finished.text().lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(rows, 3 + 3 + 1, "{}", finished.text());
    for word in ["private cluster", "CPU", "load", "t_typical[usec]", "ratio", "# put64: "] {
        assert!(finished.text().contains(word), "{word}: {}", finished.text());
    }
}

#[test]
fn what_makes_numbers_doubtful_is_said() {
    let finished = ctl(SHORT).words(&["--op", "put64", "--no-pin"]).finish();
    assert_eq!(finished.code(), 0);
    let said = |text: &str| finished.stderr.contains(text);
    assert!(said("warning: the parties are not pinned") || said("warning: one processor only"), "{}", finished.stderr);
    assert!(finished.text().contains("not pinned"), "{}", finished.text());
}

#[test]
fn wrong_words_are_refused_with_what_is_allowed() {
    for (words, said) in [
        (&["--op", "fly"][..], "there are: store, put64"),
        (&["--sizes", "7"], "multiple of 8"),
        (&["--sizes", "1T"], "unknown unit"),
        (&["--sizes", "64,,128"], "multiple of 8"),
        (&["--time", "0"], "longer than nothing"),
        (&["--time", "soon"], "unknown unit"),
        (&["--cpus", "0"], "two numbers"),
        (&["--cpus", "0,4000"], "may not be used"),
        (&["--cpus", "0,0", "--no-pin"], "cannot be used with"),
        (&["--nodes", "0,1"], "two node ids"),
        (&["--nodes", "1,64"], "two node ids"),
        (&["--controller", "ntb0", "--nodes", "2,2"], "two --nodes"),
        (&["--controller", "ntb0", "--op", "fetch-add"], "no atomics"),
        (&["--controller", "ntb0", "--profile", "sci"], "cannot be used with"),
        (&["extra"], "unexpected argument"),
    ] {
        let finished = ctl(&["perf"]).words(words).finish();
        assert_eq!((finished.code(), finished.text()), (2, ""), "{words:?}");
        assert!(finished.stderr.contains(said), "{words:?}: {}", finished.stderr);
    }
}

#[test]
fn what_cannot_be_measured_is_one_sentence() {
    let name = unique("perf-two");
    let inside = rsm::Cluster::builder(2).name(&name).start().unwrap();
    for (words, said) in [
        (&["--cluster", "no-such-cluster"][..], "no-such-cluster"),
        (&["--cluster", &name, "--nodes", "1,3"], "node 3"),
        (&["--also", "/no/such/program"], "/no/such/program"),
        (&["--also", "/bin/true"], "ended early"),
    ] {
        let finished = ctl(SHORT).words(words).finish();
        let line = finished.stderr.lines().last().unwrap_or_default();
        assert_eq!(finished.code(), 1, "{words:?}: {}", finished.stderr);
        assert!(line.starts_with("rsm-ctl: ") && line.contains(said), "{words:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
    drop(inside);
}

#[test]
fn between_nodes_of_a_running_cluster_until_it_ends() {
    let name = unique("perf");
    let running = cluster(&name);
    let value = json(&["--cluster", &name, "--op", "put64,latency,connect", "--sizes", "64"]);
    let rows = value["perf"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows[2]["op"] == "connect" && rows[2]["bytes"].as_u64() > Some(64), "segments come in whole pages");

    // An hour of one operation; the cluster ends while it is under way.
    let mut perf = ctl(&["perf", "--cluster", &name, "--op", "put64,latency", "--time", "1h"]).start();
    while !perf.line().starts_with("# program") {}
    running.signal(Signal::TERM);
    let finished = perf.finish();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    let line = finished.stderr.lines().last().unwrap_or_default();
    assert!(line.contains(&name) && line.contains("has ended"), "{}", finished.stderr);
    running.finish();
}

/// What one operation brings over a bridge.
fn crossing(row: &Value, whose: &str, what: &str) -> f64 {
    row["crossing"][whose][what].as_f64().unwrap_or_else(|| panic!("{row}"))
}

#[test]
fn over_a_bridge_loads_stores_and_doorbells_are_told() {
    let value = json(&["--controller", "ntb0", "--op", "put64-implicit,put,signal", "--sizes", "64"]);
    let rows = value["perf"].as_array().unwrap();
    let of = |row: usize, what: &str| crossing(&rows[row], "processes", what);
    let names: Vec<&str> = rows.iter().map(|row| row["op"].as_str().unwrap()).collect();
    assert_eq!(names, ["put64-implicit", "put", "signal"]);
    // Counted, where that can be: a word and one seal; so many bytes in words or wider, and nothing loaded; nothing.
    if cfg!(target_arch = "x86_64") {
        let processes = |row| (of(row, "loads"), of(row, "stores"));
        assert_eq!((processes(0), processes(2)), ((1.0, 1.0), (0.0, 0.0)));
        let (loads, stores) = processes(1);
        assert!(loads == 0.0 && (1.0..=8.0).contains(&stores), "{}", rows[1]);
    } else {
        assert!(rows.iter().all(|row| row["crossing"]["processes"].is_null()), "{value}");
    }
    // Signals are the agents' work: one there and one back, each by a lane, which is loaded again, and a doorbell.
    for what in ["stores", "loads", "doorbells"] {
        assert!(crossing(&rows[2], "agents", what) >= 2.0, "{what}: {}", rows[2]);
    }

    let finished = ctl(SHORT).words(&["--controller", "ntb0", "--op", "put64-implicit"]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let lines: Vec<&str> = finished.text().lines().collect();
    assert!(lines[0].contains("node 1 imports from node 2 through ntb0"), "{}", finished.text());
    let (columns, row) = (lines[lines.len() - 3], lines[lines.len() - 1]);
    assert!(columns.ends_with("loads     stores  doorbells") && columns.len() == row.len(), "{}", finished.text());

    // On one host nothing crosses.
    let value = json(&["--op", "put64"]);
    assert!(value["perf"][0].get("crossing").is_none(), "{value}");
}

#[test]
fn between_two_hosts_that_run() {
    let (bridge, names) = (format!("local:{}", unique("perf-bridge")), ["perf-one", "perf-two"].map(unique));
    let start = |name: &str, nodes: [u32; 2]| {
        rsm::Cluster::builder(4).name(name).here(nodes).bridge("ntb0", &bridge).start().unwrap()
    };
    let [one, two] = [start(&names[0], [1, 3]), start(&names[1], [2, 4])];
    [&one, &two].iter().for_each(|cluster| cluster.await_bridge(std::time::Duration::from_secs(60)).unwrap());
    let measured = |nodes: &str, controller: &str| {
        let words = ["--cluster", &names[0], "--nodes", nodes, "--controller", controller, "--op", "put64"];
        json(&words)["perf"][0].clone()
    };
    for nodes in ["1,2", "2,1"] {
        assert!(measured(nodes, "ntb0")["crossing"].is_object(), "{nodes}");
    }
    for (nodes, controller) in [("2,4", "ntb0"), ("1,3", "shm0")] {
        assert!(measured(nodes, controller).get("crossing").is_none(), "{nodes} {controller}");
    }
    let finished = ctl(SHORT).words(&["--cluster", &names[0], "--controller", "ntb7", "--op", "put64"]).finish();
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("no controller ntb7; it has: "), "{}", finished.stderr);
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let finished = ctl(SHORT).words(&["--op", "put64"]).stdout(writer).finish();
    assert_eq!(finished.code(), 141, "{}", finished.stderr);
}
