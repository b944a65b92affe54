//! Faults of a lens, as a C program is told of them.

mod library;
mod program;

use program::Program;
use rsm::Code;
use rsm::lens::{Faults, Lens, Model};

/// Makes calls until each has failed as it should; says what is wrong otherwise. It imports what it exports.
const PROGRAM: &str = r#"
#include <rsmapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
enum { MANY = 5000, ENTRIES = 4, SIZE = 65536 };
#define FAIL(...) do { printf(__VA_ARGS__); printf(" (line %d)\n", __LINE__); return 1; } while (0)
#define OK(call) do { int rc = (call); if (rc != 0) FAIL("%s: %d", #call, rc); } while (0)
/* Calls until it fails, which it must with this error. */
#define FAILS(error, call) do { int n = 0, rc = 0; while (n++ < MANY && rc == 0) rc = (call); \
        if (rc != (error)) FAIL("%s: %d", #call, rc); } while (0)
/* Calls until it does not fail. */
#define DONE(error, call) do { int n = 0, rc; while (n++ < MANY && (rc = (call)) != 0) \
        if (rc != (error)) FAIL("%s: %d", #call, rc); } while (0)
static rsmapi_controller_handle_t c;
static rsm_node_id_t node;
static char *memory;
static int vector(rsm_memseg_import_handle_t i)
{
    unsigned stopped[ENTRIES] = {0};
    uint64_t words[ENTRIES];
    for (uint64_t n = 1; n < 800; n++) {
        rsm_iovec_t v[ENTRIES];
        for (int k = 0; k < ENTRIES; k++) {
            words[k] = n;
            v[k] = (rsm_iovec_t){RSM_VA_TYPE, {.vaddr = (char *)&words[k]}, 0, k * 64, 8};
        }
        rsm_scat_gath_t g = {node, ENTRIES, 99, 0, i, v};
        int rc = rsm_memseg_import_putv(&g);
        if (rc != 0 && rc != RSMERR_BARRIER_FAILURE)
            FAIL("putv: %d", rc);
        if ((rc == 0) != (g.io_residual_count == 0) || g.io_residual_count > ENTRIES)
            FAIL("putv: %d, residual %lu", rc, g.io_residual_count);
        unsigned long done = ENTRIES - g.io_residual_count;
        for (unsigned long k = 0; k < ENTRIES; k++) {
            uint64_t word;
            memcpy(&word, memory + k * 64, 8);
            if ((word == n) != (k < done))
                FAIL("entry %lu of %lu: %lu", k, done, (unsigned long)word);
        }
        if (rc != 0)
            stopped[done]++;
        rc = rsm_memseg_import_getv(&g);
        if (rc != 0 || g.io_residual_count != 0)
            FAIL("getv: %d", rc);
    }
    for (int k = 0; k < ENTRIES; k++)
        if (stopped[k] == 0)
            FAIL("never stopped before entry %d", k);
    return 0;
}
/* The memory that a vector is read from goes before the close: what was not read by then is told, and is not there. */
static int gone(rsm_memseg_import_handle_t i, rsmapi_barrier_t *b)
{
    int told = 0;
    OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
    for (uint64_t n = 1; n <= 200; n++) {
        uint64_t *words = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), there;
        rsm_iovec_t v = {RSM_VA_TYPE, {.vaddr = (char *)words}, 0, 0, 8};
        rsm_scat_gath_t g = {node, 1, 0, 0, i, &v};
        words[0] = n;
        OK(rsm_memseg_import_open_barrier(b));
        OK(rsm_memseg_import_putv(&g));
        if (n % 2 == 0) /* and nobody else gets the addresses meanwhile */
            mprotect(words, SIZE, PROT_NONE);
        int rc = rsm_memseg_import_close_barrier(b);
        memcpy(&there, memory, 8);
        if (rc != 0 && (rc != RSMERR_BARRIER_FAILURE || n % 2 != 0))
            FAIL("close: %d", rc);
        if ((rc == 0) != (there == n))
            FAIL("close: %d, and %lu is %lu", rc, (unsigned long)n, (unsigned long)there);
        told += rc != 0;
        munmap(words, SIZE);
    }
    if (told == 0)
        FAIL("never told");
    return 0;
}
int main(int count, char **words) {
    rsm_memseg_export_handle_t e, other; rsm_memseg_import_handle_t i, j; rsm_memseg_id_t id = 0;
    rsmapi_barrier_t b; void *place = NULL; uint64_t word = 1;
    const char *what = count > 1 ? words[1] : "";
    node = (rsm_node_id_t)atoi(getenv("RSM_NODE_ID"));
    memory = aligned_alloc(SIZE, SIZE);
    OK(rsm_get_controller("shm0", &c));
    DONE(RSMERR_INSUFFICIENT_MEM, rsm_memseg_export_create(c, &e, memory, SIZE, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    DONE(RSMERR_INSUFFICIENT_RESOURCES, rsm_memseg_import_connect(c, node, id, RSM_PERM_RDWR, &i));
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b));
    if (strcmp(what, "partial") == 0)
        return vector(i);
    if (strcmp(what, "gone") == 0)
        return gone(i, &b);
    if (strcmp(what, "refuse") == 0) {
        FAILS(RSMERR_INSUFFICIENT_RESOURCES, rsm_memseg_import_connect(c, node, id, RSM_PERM_RDWR, &j));
        FAILS(RSMERR_INSUFFICIENT_MEM, rsm_memseg_export_create(c, &other, aligned_alloc(SIZE, SIZE), SIZE, 0));
        OK(rsm_memseg_import_put64(i, 0, &word, 1)); /* maps, which is not refused */
        OK(rsm_memseg_import_unmap(i));
        int rc = 0;
        for (int n = 0; n < MANY && rc == 0; n++) {
            rc = rsm_memseg_import_map(i, &place, 0, RSM_PERM_RDWR, 0, SIZE);
            if (rc == 0)
                OK(rsm_memseg_import_unmap(i));
        }
        if (rc != RSMERR_MAP_FAILED)
            FAIL("map: %d", rc);
        return 0;
    }
    if (strcmp(what, "put") == 0) { /* a span of its own */
        FAILS(atoi(words[2]), rsm_memseg_import_put64(i, 0, &word, 1));
        return 0;
    }
    if (strcmp(what, "close") == 0) {
        int rc = 0;
        OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
        for (int n = 0; n < MANY && rc == 0; n++) {
            OK(rsm_memseg_import_open_barrier(&b));
            OK(rsm_memseg_import_put64(i, 0, &word, 1));
            rc = rsm_memseg_import_close_barrier(&b);
        }
        if (rc != atoi(words[2]))
            FAIL("close: %d", rc);
        return 0;
    }
    FAIL("what is %s?", what);
}
"#;

#[test]
fn c_programs_are_told_of_faults() {
    let program = Program::build("faults", PROGRAM);
    for (faults, what, code) in [
        ("partial", "partial", None),
        ("refuse", "refuse", None),
        ("error", "put", Some(Code::BarrierFailure)),
        ("error", "close", Some(Code::BarrierFailure)),
        ("abort", "put", Some(Code::ConnAborted)),
        ("abort", "close", Some(Code::ConnAborted)),
        ("revoke", "put", Some(Code::ConnAborted)),
        ("revoke", "close", Some(Code::ConnAborted)),
    ] {
        let words: Vec<String> =
            [what.to_owned()].into_iter().chain(code.map(|code| code.number().to_string())).collect();
        for model in [None, Some(Model::Pcie)] {
            let lens = Lens { model, ..Lens::clear(7) }.faults(Faults::parse(faults).expect("names"));
            let cluster = rsm::Cluster::builder(1).lens(lens).start().expect("a cluster");
            let output = program.command(&cluster, 1).args(&words).output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{faults}, {words:?}, {model:?}: {said} {}", output.status);
            let injected: u64 = cluster.faults().iter().map(|(.., injected)| injected.count).sum();
            assert!(injected > 0);
        }
    }
}

#[test]
fn a_source_that_is_gone_is_told() {
    let program = Program::build("sources", PROGRAM);
    for model in [Model::Pcie, Model::Sci] {
        let cluster = rsm::Cluster::builder(1).lens(Lens::chaos(7).model(model)).start().expect("a cluster");
        let output = program.command(&cluster, 1).arg("gone").output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{model:?}: {said} {}", output.status);
    }
}
