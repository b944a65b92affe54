/*
 * What the litmus programs share and none of them is about: a segment of each node's own, the way to the others,
 * deadlines, and an end at which nobody leaves while another still needs it.
 *
 *     rsm-ctl run -n 2 -- ./message bad|good [ROUNDS]
 *
 * A program ends with 1 and a sentence when its bug shows, or when it has waited for 10 s; with 2 when it is started in
 * a wrong way; with 3 when a call fails that has no reason to. What is told and asked here is told and asked in implicit
 * mode: each such transfer is a span of its own and has arrived when the call returns. It says nothing of other spans.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#pragma GCC diagnostic ignored "-Wunused-function" /* no program needs all of it */

#include <rsmapi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEGMENT_ID 0x400000
#ifndef SEGMENT
#define SEGMENT 65536 /* bytes; a multiple of any page size */
#endif
#define ROOM 4096     /* where a program's own part of a segment begins; before it, a word for each node */
#define PATIENCE 10000 /* milliseconds */

static const char *name;
static int good;
static uint64_t rounds;
static rsm_node_id_t me, nodes;
static char *mine; /* the segment of this node, which it exports */
static rsm_memseg_export_handle_t exported;
static rsmapi_controller_handle_t controller;
static rsm_memseg_import_handle_t lobby[64]; /* the other nodes' segments, in implicit mode */
static void (*meanwhile)(void); /* what a program wants done now and then while it waits */

static uint64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Does something else for a while. */
static void spend(unsigned microseconds)
{
    struct timespec pause = {0, 1000L * microseconds};
    nanosleep(&pause, NULL);
}

/* The bug shows, or somebody did not come. */
__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s: ", name);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    exit(1);
}

/* A call succeeds, or the program has no point. */
static void check(int error, const char *call)
{
    if (error == RSM_SUCCESS)
        return;
    /* The other node has ended, and has the word. */
    if (error == RSMERR_CONN_ABORTED)
        spend(500000);
    fprintf(stderr, "%s: node %u: %s: error %d\n", name, (unsigned)me, call, error);
    exit(3);
}
#define CHECK(call) check((call), #call)

/* A word of this node's segment, as it is now. */
static uint64_t look(size_t offset)
{
    return __atomic_load_n((uint64_t *)(void *)(mine + offset), __ATOMIC_ACQUIRE);
}

/* Waits until a word of this node's segment is another than it was. */
static uint64_t await_change(size_t offset, uint64_t from)
{
    const uint64_t deadline = milliseconds() + PATIENCE;
    for (unsigned looks = 1;; looks++) {
        const uint64_t now = look(offset);
        if (now != from)
            return now;
        if (looks % 1000 != 0)
            continue;
        if (meanwhile)
            meanwhile();
        if (milliseconds() > deadline)
            fail("node %u has waited for %d ms at offset %zu, where %llu stands", (unsigned)me, PATIENCE, offset,
                 (unsigned long long)now);
        spend(10);
    }
}

/* Waits until it has come to a value, or beyond. */
static void await(size_t offset, uint64_t value)
{
    for (uint64_t now = look(offset); now < value;)
        now = await_change(offset, now);
}

/* Takes a signal. */
static void await_signal(void *segment)
{
    int error;
    do
        error = rsm_intr_signal_wait(segment, PATIENCE);
    while (error == RSMERR_INTERRUPTED);
    if (error == RSMERR_TIMEOUT)
        fail("node %u has waited %d ms for a signal", (unsigned)me, PATIENCE);
    check(error, "rsm_intr_signal_wait");
}

/* Connects to the segment of a node, waiting until it is there. */
static rsm_memseg_import_handle_t connect_to(rsm_node_id_t node)
{
    const uint64_t deadline = milliseconds() + PATIENCE;
    rsm_memseg_import_handle_t import;
    for (;;) {
        int error = rsm_memseg_import_connect(controller, node, SEGMENT_ID, RSM_PERM_RDWR, &import);
        if (error == RSM_SUCCESS)
            return import;
        if (error != RSMERR_SEG_NOT_PUBLISHED && error != RSMERR_REMOTE_NODE_UNREACHABLE && error != RSMERR_INTERRUPTED)
            check(error, "rsm_memseg_import_connect");
        if (milliseconds() > deadline)
            fail("node %u publishes nothing", (unsigned)node);
        if (meanwhile)
            meanwhile();
        spend(500);
    }
}

/* The same for a program's own use: in explicit mode, with a barrier for its spans. */
static rsm_memseg_import_handle_t import_from(rsm_node_id_t node, rsm_barrier_type_t type, rsmapi_barrier_t *barrier)
{
    const rsm_memseg_import_handle_t import = connect_to(node);
    memset(barrier, 0, sizeof *barrier);
    CHECK(rsm_memseg_import_init_barrier(import, type, barrier));
    CHECK(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
    return import;
}

/* Stores a word in another node's segment. When this returns it is there; a link that had an error is tried again. */
static int try_tell(rsm_node_id_t node, off_t offset, uint64_t value)
{
    int error;
    do
        error = rsm_memseg_import_put64(lobby[node], offset, &value, 1);
    while (error == RSMERR_BARRIER_FAILURE);
    return error;
}

static void tell(rsm_node_id_t node, off_t offset, uint64_t value)
{
    check(try_tell(node, offset, value), "rsm_memseg_import_put64");
}

/* Loads a word of another node's segment. */
static uint64_t ask(rsm_node_id_t node, off_t offset)
{
    uint64_t value;
    int error;
    do
        error = rsm_memseg_import_get64(lobby[node], offset, &value, 1);
    while (error == RSMERR_BARRIER_FAILURE);
    check(error, "rsm_memseg_import_get64");
    return value;
}

/* Whether a node has processes. */
static int is_there(rsm_node_id_t node)
{
    rsm_topology_t *topology;
    int there = 0;
    CHECK(rsm_get_interconnect_topology(&topology));
    const rsm_connections_t *const shm0 = topology->connections[0];
    for (int i = 0; i < shm0->hdr.remote_cntlr_count; i++)
        if (shm0->remote_cntlr[i].remote_nodeid == node)
            there = shm0->remote_cntlr[i].connection_state == RSM_CONNECTION_ACTIVE;
    rsm_free_interconnect_topology(topology);
    return there;
}

/* Publishes the segment of this node, for everybody. */
static int publish(void)
{
    rsm_memseg_id_t id = SEGMENT_ID;
    rsmapi_access_entry_t access[64];
    for (rsm_node_id_t node = 1; node <= nodes; node++) {
        access[node - 1].ae_node = node;
        access[node - 1].ae_permission = RSM_ACCESS_TRUSTED;
    }
    return rsm_memseg_export_publish(exported, &id, access, nodes);
}

/* Joins, exports a segment to everybody, and finds out who this is. */
static void begin(int argc, char **argv, rsm_node_id_t wanted, uint64_t usual_rounds)
{
    rsm_topology_t *topology;

    name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    good = argc > 1 && strcmp(argv[1], "good") == 0;
    rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : usual_rounds;
    if (argc < 2 || argc > 3 || rounds == 0 || (!good && strcmp(argv[1], "bad") != 0)) {
        fprintf(stderr, "usage: rsm-ctl run -n %u -- %s bad|good [ROUNDS]\n", (unsigned)wanted, argv[0]);
        exit(2);
    }
    CHECK(rsm_get_controller((char *)"shm0", &controller));
    CHECK(rsm_get_interconnect_topology(&topology));
    me = topology->topology_hdr.local_nodeid;
    nodes = (rsm_node_id_t)topology->connections[0]->hdr.remote_cntlr_count;
    rsm_free_interconnect_topology(topology);
    if (nodes != wanted) {
        fprintf(stderr, "%s is for %u nodes: rsm-ctl run -n %u -- %s bad|good [ROUNDS]\n", name, (unsigned)wanted,
                (unsigned)wanted, argv[0]);
        exit(2);
    }
    mine = (char *)aligned_alloc(SEGMENT, SEGMENT);
    if (mine == NULL)
        fail("no memory");
    memset(mine, 0, SEGMENT);
    CHECK(rsm_memseg_export_create(controller, &exported, mine, SEGMENT, 0));
    check(publish(), "rsm_memseg_export_publish");
}

/* A way to another node's segment, for what is told and asked. */
static void visit(rsm_node_id_t node)
{
    static rsmapi_barrier_t barriers[64]; /* implicit mode takes the one that was made last */
    lobby[node] = connect_to(node);
    memset(&barriers[node], 0, sizeof barriers[node]);
    CHECK(rsm_memseg_import_init_barrier(lobby[node], RSM_BARRIER_NODE, &barriers[node]));
}

/* Goes on when every node has come as far. At the end some may have gone on, and ended: they were told all the same. */
static void meet(void)
{
    static uint64_t times;
    times++;
    for (rsm_node_id_t node = 1; node <= nodes; node++)
        if (node != me)
            (void)try_tell(node, 8 * me, times);
    for (rsm_node_id_t node = 1; node <= nodes; node++)
        if (node != me)
            await(8 * node, times);
}

/* Begins, and connects to everybody. */
static void start(int argc, char **argv, rsm_node_id_t wanted, uint64_t usual_rounds)
{
    begin(argc, argv, wanted, usual_rounds);
    for (rsm_node_id_t node = 1; node <= nodes; node++)
        if (node != me)
            visit(node);
}

/* Ends, when nobody needs this node any more. */
static int finish(void)
{
    meet();
    return 0;
}

/* A record of some lines, all words of which are its number; and whether it is that, and no other. */
#define WORDS 32
static void fill(uint64_t record[WORDS], uint64_t number)
{
    for (int i = 0; i < WORDS; i++)
        record[i] = number; /* SITE */
}

static void expect(size_t offset, uint64_t number)
{
    uint64_t record[WORDS];
    memcpy(record, mine + offset, sizeof record); /* SITE */
    for (int i = 0; i < WORDS; i++)
        if (record[i] != number)
            fail("record %llu is torn: word %d is of record %llu", (unsigned long long)number, i,
                 (unsigned long long)record[i]);
}
