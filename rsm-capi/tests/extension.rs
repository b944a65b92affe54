//! `rsm_ext.h`, from C and from C++.

mod library;
mod program;

use program::Program;
use rsm::Cluster;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// What the programs begin with.
const HEAD: &str = r#"
#include <rsm_ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#define FAIL(...) do { printf("%d: ", __LINE__); printf(__VA_ARGS__); puts(""); exit(1); } while (0)
#define CHECK(so) do { if (!(so)) FAIL("not %s", #so); } while (0)
#define OK(call) IS(0, call)
#define IS(code, call) do { int rc_ = (call); if (rc_ != (code)) FAIL("%s: %d", #call, rc_); } while (0)
#define ID 0x400000
static char text[200];
static rsmapi_controller_handle_t c;
/* Whether the sentence of an error has these words, and its length is told. */
__attribute__((unused)) static void says(int error, const char *words) {
    size_t length = rsm_ext_last_error(error, text, sizeof text);
    if (strstr(text, words) == NULL) FAIL("%d says: %s", error, text);
    CHECK(length == strlen(text));
}
__attribute__((unused)) static char *pages(size_t length) {
    void *memory = NULL;
    CHECK(posix_memalign(&memory, 65536, length) == 0);
    return (char *)memory;
}
"#;

/// The exporter: node 1. It watches who comes and goes.
const EXPORTER: &str = r#"
static rsm_ext_importer_event_t next(rsm_memseg_export_handle_t e, int fd) {
    rsm_ext_importer_event_t event;
    int rc;
    while ((rc = rsm_ext_export_next_importer(e, &event)) == RSMERR_TIMEOUT) {
        struct pollfd p = {fd, POLLIN, 0};
        CHECK(poll(&p, 1, 100000) == 1);
    }
    OK(rc);
    return event;
}
int main(void) {
    rsm_memseg_export_handle_t e;
    rsm_memseg_id_t id = ID;
    rsm_node_id_t node;
    unsigned int nodes;
    int fd = -1, again = -1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    OK(rsm_get_controller((char *)"shm0", &c));
    OK(rsm_ext_node(c, &node, &nodes));
    CHECK(node == 1 && nodes == 2);
    OK(rsm_memseg_export_create(c, &e, pages(131072), 131072, 0));
    OK(rsm_ext_export_watch(e, &fd));
    OK(rsm_ext_export_watch(e, &again));
    CHECK(fd >= 0 && fd == again);
    rsm_ext_importer_event_t event;
    IS(RSMERR_TIMEOUT, rsm_ext_export_next_importer(e, &event));
    IS(RSMERR_BAD_ADDR, rsm_ext_export_watch(e, NULL));
    IS(RSMERR_BAD_ADDR, rsm_ext_export_next_importer(e, NULL));
    IS(RSMERR_BAD_SEG_HNDL, rsm_ext_export_watch(NULL, &fd));
    IS(RSMERR_BAD_SEG_HNDL, rsm_ext_export_next_importer((rsm_memseg_export_handle_t)c, &event));
    /* The importer waits for this. */
    puts("publishes");
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    event = next(e, fd);
    CHECK(event.left == 0 && event.node == 2 && event.pid != 0 && event.connection != 0);
    const rsm_ext_importer_event_t first = event;
    /* It leaves when it has this, and comes again. */
    OK(rsm_intr_signal_post(e, 0));
    /* Which of the two is told first depends on when somebody looked. */
    rsm_ext_importer_event_t left = next(e, fd), come = next(e, fd);
    if (left.left == 0) {
        event = left;
        left = come;
        come = event;
    }
    CHECK(left.left == 1 && left.why == RSM_EXT_DISCONNECTED && left.connection == first.connection);
    CHECK(come.left == 0 && come.pid == first.pid && come.connection != first.connection);
    puts("watches");
    event = next(e, fd);
    CHECK(event.left == 1 && event.why == RSM_EXT_IMPORTER_ENDED && event.connection == come.connection);
    pid_t child = fork();
    if (child == 0) {
        IS(RSMERR_NOT_CREATOR, rsm_ext_export_next_importer(e, &event));
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    OK(rsm_memseg_export_destroy(e));
    IS(RSMERR_BAD_SEG_HNDL, rsm_ext_export_next_importer(e, &event));
    return 0;
}
"#;

/// The importer: node 2. It comes early, and is killed in the end.
const IMPORTER: &str = r#"
int main(void) {
    rsm_memseg_import_handle_t i;
    rsm_node_id_t node;
    unsigned int nodes;
    size_t size = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    OK(rsm_get_controller((char *)"shm0", &c));
    OK(rsm_ext_node(c, &node, NULL));
    OK(rsm_ext_node(c, NULL, &nodes));
    CHECK(node == 2 && nodes == 2);
    IS(RSMERR_TIMEOUT, rsm_ext_import_connect(c, 1, ID, RSM_PERM_RDWR, 0, &i));
    says(RSMERR_TIMEOUT, "node 1");
    IS(RSMERR_TIMEOUT, rsm_ext_import_connect(c, 1, ID, RSM_PERM_RDWR, 20, &i));
    says(RSMERR_TIMEOUT, "waited 20ms");
    IS(RSMERR_REMOTE_NODE_UNREACHABLE, rsm_ext_import_connect(c, 9, ID, RSM_PERM_RDWR, -1, &i));
    says(RSMERR_REMOTE_NODE_UNREACHABLE, "node 9");
    puts("waits");
    OK(rsm_ext_import_connect(c, 1, ID, RSM_PERM_RDWR, -1, &i));
    OK(rsm_ext_import_size(i, &size));
    CHECK(size == 131072);
    IS(RSMERR_BAD_ADDR, rsm_ext_import_size(i, NULL));
    OK(rsm_intr_signal_wait(i, 100000));
    OK(rsm_memseg_import_disconnect(i));
    IS(RSMERR_BAD_SEG_HNDL, rsm_ext_import_size(i, &size));
    OK(rsm_ext_import_connect(c, 1, ID, RSM_PERM_READ, 0, &i));
    uint64_t word = 1;
    IS(RSMERR_PERM_DENIED, rsm_memseg_import_put64(i, 0, &word, 1));
    says(RSMERR_PERM_DENIED, "permission");
    puts("connected");
    pause();
    return 0;
}
"#;

/// Alone: errors in words.
const WORDS: &str = r#"
int main(void) {
    rsm_memseg_import_handle_t i;
    CHECK(strcmp(rsm_ext_strerror(0), "success") == 0);
    CHECK(strcmp(rsm_ext_strerror(RSMERR_SEG_NOT_PUBLISHED), "segment is not published") == 0);
    CHECK(strcmp(rsm_ext_strerror(RSMERR_TIMEOUT), "timed out") == 0);
    CHECK(strcmp(rsm_ext_strerror(50), "not an error of the RSMAPI") == 0);
    CHECK(strcmp(rsm_ext_strerror(-1), "not an error of the RSMAPI") == 0);
    CHECK(rsm_ext_strerror(7) == rsm_ext_strerror(7));
    for (int error = -2; error < 200; error++) CHECK(strlen(rsm_ext_strerror(error)) > 6);
    /* Before any error, and where there is no room. */
    says(RSMERR_TIMEOUT, "timed out");
    CHECK(rsm_ext_last_error(RSMERR_TIMEOUT, NULL, 0) == 9);
    CHECK(rsm_ext_last_error(RSMERR_TIMEOUT, text, 6) == 9 && strcmp(text, "timed") == 0);
    CHECK(rsm_ext_last_error(RSMERR_TIMEOUT, text, 1) == 9 && text[0] == 0);
    text[0] = 'x';
    CHECK(rsm_ext_last_error(RSMERR_TIMEOUT, text, 0) == 9 && text[0] == 'x');
    IS(RSMERR_CTLR_NOT_PRESENT, rsm_get_controller((char *)"shm7", &c));
    says(RSMERR_CTLR_NOT_PRESENT, "shm7");
    OK(rsm_get_controller((char *)"shm0", &c));
    IS(RSMERR_SEG_NOT_PUBLISHED, rsm_memseg_import_connect(c, 1, ID, RSM_PERM_RDWR, &i));
    says(RSMERR_SEG_NOT_PUBLISHED, "0x400000");
    /* What is asked for is what a call returned: another number has its meaning. */
    says(RSMERR_TIMEOUT, "timed out");
    says(RSMERR_SEG_NOT_PUBLISHED, "0x400000");
    IS(RSMERR_BAD_SEG_HNDL, rsm_memseg_import_connect(c, 1, ID, RSM_PERM_RDWR, NULL));
    says(RSMERR_SEG_NOT_PUBLISHED, "segment is not published");
    IS(RSMERR_BAD_CTLR_HNDL, rsm_ext_node(NULL, NULL, NULL));
    IS(RSMERR_BAD_CTLR_HNDL, rsm_ext_import_connect(NULL, 1, ID, RSM_PERM_RDWR, 0, &i));
    IS(RSMERR_BAD_SEG_HNDL, rsm_ext_import_connect(c, 1, ID, RSM_PERM_RDWR, 0, NULL));
    IS(RSMERR_BAD_CTLR_HNDL, rsm_ext_common_connect(NULL, ID, 65536, NULL, 0, RSM_PERM_RDWR, &i));
    IS(RSMERR_BAD_CTLR_HNDL, rsm_ext_common_connect(NULL, ID, 65536, NULL, 1, RSM_PERM_RDWR, &i));
    IS(RSMERR_BAD_SEG_HNDL, rsm_ext_common_connect(c, ID, 65536, NULL, 0, RSM_PERM_RDWR, NULL));
    IS(RSMERR_BAD_ACL, rsm_ext_common_connect(c, ID, 65536, NULL, 1, RSM_PERM_RDWR, &i));
    IS(RSMERR_PERM_DENIED, rsm_ext_common_connect(c, ID, 65536, NULL, 0, 8, &i));
    IS(RSMERR_BAD_LENGTH, rsm_ext_common_connect(c, ID, 0, NULL, 0, RSM_PERM_RDWR, &i));
    IS(RSMERR_BAD_MEM_ALIGNMENT, rsm_ext_common_connect(c, ID, 65537, NULL, 0, RSM_PERM_RDWR, &i));
    IS(RSMERR_RESERVED_SEGID, rsm_ext_common_connect(c, 0, 65536, NULL, 0, RSM_PERM_RDWR, &i));
    says(RSMERR_RESERVED_SEGID, "not 0");
    IS(RSMERR_RESERVED_SEGID, rsm_ext_common_connect(c, 7, 65536, NULL, 0, RSM_PERM_RDWR, &i));
    rsmapi_access_entry_t nobody[] = {{77, RSM_PERM_RDWR}};
    IS(RSMERR_BAD_ACL, rsm_ext_common_connect(c, ID, 65536, nobody, 1, RSM_PERM_RDWR, &i));
    IS(RSMERR_BAD_ARGS_ERRORS, rsm_ext_end_run(256));
    says(RSMERR_BAD_ARGS_ERRORS, "0 to 255");
    IS(RSMERR_BAD_ARGS_ERRORS, rsm_ext_end_run(-1));
    IS(RSMERR_CTLR_NOT_PRESENT, rsm_ext_end_run(3));
    says(RSMERR_CTLR_NOT_PRESENT, "RSM_RUN is not set");
    setenv("RSM_RUN", "elsewhere", 1);
    IS(RSMERR_CTLR_NOT_PRESENT, rsm_ext_end_run(3));
    says(RSMERR_CTLR_NOT_PRESENT, "elsewhere");
    setenv("RSM_RUN", "rsm-run-1/0123", 1);
    IS(RSMERR_CTLR_NOT_PRESENT, rsm_ext_end_run(3));
    says(RSMERR_CTLR_NOT_PRESENT, "has gone");
    puts("done");
    return 0;
}
"#;

/// One of two nodes that share what neither owns; the first argument says which comes first.
const COMMON: &str = r#"
int main(void) {
    rsm_memseg_import_handle_t i, other;
    rsm_node_id_t node;
    uint64_t word = 0;
    size_t size = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    OK(rsm_get_controller((char *)"shm0", &c));
    OK(rsm_ext_node(c, &node, NULL));
    if (node == 2) {
        /* Waits until somebody has made it. */
        puts("waits");
        OK(rsm_ext_import_connect(c, RSM_EXT_CLUSTER_NODE, ID, RSM_PERM_RDWR, -1, &i));
        OK(rsm_ext_import_size(i, &size));
        CHECK(size == 65536);
        OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
        do OK(rsm_memseg_import_get64(i, 8, &word, 1)); while (word != 41);
        word++;
        OK(rsm_memseg_import_put64(i, 16, &word, 1));
        puts("done");
        return 0;
    }
    rsmapi_access_entry_t second[] = {{1, RSM_PERM_RDWR}, {2, RSM_PERM_RDWR}};
    OK(rsm_ext_common_connect(c, ID, 65536, second, 2, RSM_PERM_RDWR, &i));
    /* It is there by now, whatever is said of rights. */
    OK(rsm_ext_common_connect(c, ID, 65536, NULL, 0, RSM_PERM_READ, &other));
    OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
    OK(rsm_memseg_import_set_mode(other, RSM_BARRIER_MODE_EXPLICIT));
    IS(RSMERR_PERM_DENIED, rsm_memseg_import_put64(other, 0, &word, 1));
    OK(rsm_memseg_import_disconnect(other));
    IS(RSMERR_BAD_LENGTH, rsm_ext_common_connect(c, ID, 131072, NULL, 0, RSM_PERM_READ, &other));
    says(RSMERR_BAD_LENGTH, "65536 bytes, not 131072");
    /* Nobody signals. */
    IS(RSMERR_CONN_ABORTED, rsm_intr_signal_post(i, 0));
    IS(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(i, -1));
    word = 41;
    OK(rsm_memseg_import_put64(i, 8, &word, 1));
    do OK(rsm_memseg_import_get64(i, 16, &word, 1)); while (word != 42);
    volatile uint64_t *mapped = NULL;
    OK(rsm_memseg_import_unmap(i));
    OK(rsm_memseg_import_map(i, (void **)&mapped, RSM_MAP_NONE, RSM_PERM_RDWR, 0, 65536));
    CHECK(mapped[1] == 41 && mapped[2] == 42);
    OK(rsm_memseg_import_unmap(i));
    OK(rsm_memseg_import_disconnect(i));
    puts("done");
    return 0;
}
"#;

/// Waits for a program, and kills it when its time is over.
fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("our child").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("our child");
            panic!("not ended within {PATIENCE:?}: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("our child")
}

/// A program whose lines can be waited for.
struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        use std::io::{BufRead, BufReader};
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = std::sync::mpsc::channel();
        // Ends with the pipe.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Running { child, lines }
    }

    #[track_caller]
    fn says(&self, line: &str) {
        assert_eq!(self.lines.recv_timeout(PATIENCE).as_deref(), Ok(line));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn errors_are_told_in_words() {
    let built = Program::build("extension-words", &[HEAD, WORDS].concat());
    let cluster = Cluster::new(1).expect("a cluster");
    let child = built.command(&cluster, 1).stdout(Stdio::piped()).spawn().expect("it runs");
    let output = finish(child);
    assert!(output.status.success() && output.stdout == b"done\n", "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn nodes_share_what_neither_owns() {
    let built = Program::build("extension-common", &[HEAD, COMMON].concat());
    let cluster = Cluster::new(2).expect("a cluster");
    let second = Running::start(built.command(&cluster, 2));
    second.says("waits");
    let first = Running::start(built.command(&cluster, 1));
    second.says("done");
    first.says("done");
}

#[test]
fn importers_come_early_and_are_watched() {
    let exporter = Program::build("extension-exporter", &[HEAD, EXPORTER].concat());
    let importer = Program::build("extension-importer", &[HEAD, IMPORTER].concat());
    let cluster = Cluster::new(2).expect("a cluster");
    let second = Running::start(importer.command(&cluster, 2));
    second.says("waits");
    let mut first = Running::start(exporter.command(&cluster, 1));
    first.says("publishes");
    second.says("connected");
    first.says("watches");
    drop(second);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = first.child.try_wait().expect("our child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{:?}", first.lines.iter().collect::<Vec<_>>());
}
