//! What programs in C do to the process that the library lives in: cancel threads, close and replace descriptors, load and
//! unload the library. The stories are C programs (`tests/surroundings`), each run as a node of a cluster and as a
//! private one. What programs in any language do is in `tests/processes/surroundings` of the crate `rsm`.

mod library;

use rsm::lens::{Lens, Profile};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes this long unless it hangs; wide, for machines with other work.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Builds a program of these sources, with the library beside it.
fn program(name: &str, sources: &[&str], linked: bool) -> (Scratch, PathBuf) {
    let scratch = Scratch(std::env::temp_dir().join(format!("rsm-{name}-{}", std::process::id())));
    std::fs::create_dir(&scratch.0).expect("a directory");
    std::fs::copy(library::library(), scratch.0.join("librsm.so.2")).expect("the library");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cc = Command::new("cc");
    cc.current_dir(here.join("tests/surroundings")).args([
        "-std=gnu11",
        "-O1",
        "-g",
        "-pthread",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]);
    cc.arg("-I").arg(here.join("include")).arg("-o").arg(scratch.0.join(name)).args(sources);
    if linked {
        cc.arg("-L").arg(&scratch.0).arg("-l:librsm.so.2");
    } else {
        cc.arg("-ldl");
    }
    assert!(cc.status().expect("cc runs").success());
    let path = scratch.0.join(name);
    (scratch, path)
}

/// Runs a program as a node of a cluster, and without one; it says that it came to its end.
fn run(program: &Path, scratch: &Scratch, argument: &str) {
    run_in(&rsm::Cluster::new(2).expect("a cluster"), program, scratch, argument);
}

/// Likewise, in this cluster.
fn run_in(cluster: &rsm::Cluster, program: &Path, scratch: &Scratch, argument: &str) {
    for environment in [cluster.environment(2).expect("node 2"), Vec::new()] {
        let mut command = Command::new(program);
        command.arg(argument).env("LD_LIBRARY_PATH", &scratch.0).envs(environment);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Output { status, stdout, stderr } = end(child.expect("it runs"));
        let (said, complained) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success() && said.ends_with("end\n"), "{argument}: {status}\n{said}{complained}");
    }
}

fn end(mut child: std::process::Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("our child").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            let output = child.wait_with_output().expect("our child");
            panic!("it hangs after {}", String::from_utf8_lossy(&output.stdout));
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    child.wait_with_output().expect("our child")
}

const LINKED: &[&str] = &["main.c", "cancel.c", "descriptors.c", "stopped.c"];

#[test]
fn requests_do_not_act_on_cancellation_and_waits_that_sleep_do() {
    let (scratch, program) = program("cancel", LINKED, true);
    run(&program, &scratch, "cancel");
}

/// Through a lens transfers sleep, and are no cancellation points for that.
#[test]
fn transfers_that_sleep_do_not_act_on_cancellation() {
    let (scratch, program) = program("slow", LINKED, true);
    let slow = Lens::clear(1).profile(Profile::Sci);
    for lens in [slow, Lens::chaos(1), Lens::chaos(2)] {
        let cluster = rsm::Cluster::builder(2).lens(lens).start().expect("a cluster");
        run_in(&cluster, &program, &scratch, "slow");
    }
}

#[test]
fn poll_descriptors_may_be_closed_and_replaced() {
    let (scratch, program) = program("descriptors", LINKED, true);
    run(&program, &scratch, "descriptors");
}

#[test]
fn a_child_maps_while_its_agent_is_stopped() {
    let (scratch, program) = program("stopped", LINKED, true);
    run(&program, &scratch, "stopped");
}

#[test]
fn the_library_may_be_let_go_of() {
    let (scratch, program) = program("loaded", &["loaded.c"], false);
    let library = scratch.0.join("librsm.so.2");
    run(&program, &scratch, library.to_str().expect("text"));
}
