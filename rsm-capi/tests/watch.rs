//! A C program whose transfers and signals an observer watches.

mod library;
mod program;

use program::Program;
use rsm::lens::event::{Event, Kind};
use rsm::observe::{Activity, Observer, Tracer};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Does its round of everything for each line it reads, and answers with one. It imports what it exports.
const PROGRAM: &str = r#"
#include <rsmapi.h>
#include <stdio.h>
#include <stdlib.h>
#define OK(call) do { int rc = (call); if (rc != 0) { printf("%s: %d\n", #call, rc); return 1; } } while (0)
int main(void) {
    rsmapi_controller_handle_t c; rsm_memseg_export_handle_t e; rsm_memseg_import_handle_t i;
    rsm_memseg_id_t id = 0; rsmapi_barrier_t b; char line[16]; uint64_t words[4] = {1, 2, 3, 4};
    rsm_node_id_t node = (rsm_node_id_t)atoi(getenv("RSM_NODE_ID"));
    char *memory = aligned_alloc(65536, 65536);
    setvbuf(stdout, NULL, _IOLBF, 0);
    OK(rsm_get_controller("shm0", &c));
    OK(rsm_memseg_export_create(c, &e, memory, 65536, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_memseg_import_connect(c, node, id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b));
    while (fgets(line, sizeof line, stdin)) {
        rsm_iovec_t v[2] = {{RSM_VA_TYPE, {.vaddr = (char *)words}, 0, 0, 8},
                            {RSM_VA_TYPE, {.vaddr = (char *)words}, 0, 64, 16}};
        rsm_scat_gath_t g = {node, 2, 0, RSM_IMPLICIT_SIGPOST, i, v};
        OK(rsm_memseg_import_put64(i, 0, words, 4));
        OK(rsm_memseg_import_get64(i, 0, words, 4));
        OK(rsm_memseg_import_put(i, 100, words, 3));
        OK(rsm_memseg_import_putv(&g));
        OK(rsm_intr_signal_post(i, 0));
        OK(rsm_intr_signal_wait(e, 0));
        puts("done");
    }
    return 0;
}
"#;

/// Makes a span for each line it reads, and answers with one.
const SPANS: &str = r#"
#include <rsmapi.h>
#include <stdio.h>
#include <stdlib.h>
#define OK(call) do { int rc = (call); if (rc != 0) { printf("%s: %d\n", #call, rc); return 1; } } while (0)
int main(void) {
    rsmapi_controller_handle_t c; rsm_memseg_export_handle_t e; rsm_memseg_import_handle_t i;
    rsm_memseg_id_t id = 0; rsmapi_barrier_t b; char line[16]; uint64_t word = 1;
    rsm_node_id_t node = (rsm_node_id_t)atoi(getenv("RSM_NODE_ID"));
    char *memory = aligned_alloc(65536, 65536);
    setvbuf(stdout, NULL, _IOLBF, 0);
    OK(rsm_get_controller("shm0", &c));
    OK(rsm_memseg_export_create(c, &e, memory, 65536, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_memseg_import_connect(c, node, id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b));
    while (fgets(line, sizeof line, stdin)) {
        OK(rsm_memseg_import_open_barrier(&b));
        OK(rsm_memseg_import_put64(i, 0, &word, 1));
        OK(rsm_memseg_import_order_barrier(&b));
        OK(rsm_memseg_import_put64(i, 8, &word, 1));
        OK(rsm_memseg_import_close_barrier(&b));
        if (rsm_memseg_import_close_barrier(&b) != RSMERR_BARRIER_NOT_OPENED
            || rsm_memseg_import_order_barrier(&b) != RSMERR_BARRIER_NOT_OPENED) {
            puts("not told");
            return 1;
        }
        puts("done");
    }
    return 0;
}
"#;

#[test]
fn spans_of_a_c_program_are_noted_for_who_comes_later() {
    let built = Program::build("spans", SPANS);
    let cluster = rsm::Cluster::new(2).expect("a cluster");
    let mut program = built.command(&cluster, 2);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut round = || {
        writeln!(input, "go").expect("it reads");
        assert_eq!(output.next().expect("it answers").expect("text"), "done");
    };
    round();
    let mut tracer = Tracer::begin(Observer::attach(Some(cluster.name())).expect("our cluster")).expect("the only one");
    let kinds = |tracer: &mut Tracer| -> Vec<Kind> {
        let noted = tracer.noted().expect("the cluster runs");
        noted.iter().flat_map(|noted| &noted.read.slots).filter_map(|slot| Event::of(*slot)).map(|e| e.kind).collect()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while kinds(&mut tracer).is_empty() {
        assert!(Instant::now() < deadline, "it does not begin");
        round();
    }
    // What it began plainly, and the close that tells its barrier.
    round();
    kinds(&mut tracer);
    for _ in 0..2 {
        round();
        // A close of what is not open is one too, if to be refused.
        assert_eq!(kinds(&mut tracer), [Kind::Put, Kind::Order, Kind::Put, Kind::Close, Kind::Close]);
    }
    drop(tracer);
    // Plain again, or not yet: nothing is told otherwise than it is.
    (0..200).for_each(|_| round());
    drop(input);
    assert!(child.wait().expect("our child").success());
}

/// One round, as its comment in `PROGRAM` would say: 32 bytes each way, 3, and a vector of 8 and 16 with its signal.
const ROUND: Activity = Activity { puts: 4, gets: 1, put_bytes: 32 + 3 + 24, got_bytes: 32, posts: 2, waits: 1 };

#[test]
fn what_a_c_program_does_is_tallied_while_somebody_watches() {
    let built = Program::build("watch", PROGRAM);
    let cluster = rsm::Cluster::new(2).expect("a cluster");
    let mut program = built.command(&cluster, 2);
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut round = || {
        writeln!(input, "go").expect("it reads");
        assert_eq!(output.next().expect("it answers").expect("text"), "done");
    };
    round();
    let observer = Observer::attach(Some(cluster.name())).expect("our cluster");
    let look = || observer.activity().expect("the cluster runs")[0].activity;
    let deadline = Instant::now() + Duration::from_secs(30);
    // It may begin anywhere in a round, for its thread that looks works beside it.
    while look() == Activity::default() {
        assert!(Instant::now() < deadline, "it does not begin");
        round();
    }
    round();
    let before = look();
    round();
    round();
    assert_eq!(look().since(before), ROUND.and(ROUND));
    drop(input);
    assert!(child.wait().expect("our child").success());
}
