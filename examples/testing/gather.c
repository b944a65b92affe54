/*
 * gather: every node sends node 1 a number, and nobody leaves before all numbers are there.
 *
 *     rsm-ctl run -n 3 -- ./gather 3
 *
 * What an interconnect does to it, it survives: a put whose fate is not known is made again (RSMERR_BARRIER_FAILURE), a lost
 * connection as well (RSMERR_CONN_ABORTED), and a node that dies may come back. Its tests are in CMakeLists.txt.
 * gather.rs is the same in Rust, test_gather.py in Python.
 */
#define _POSIX_C_SOURCE 200809L

#include <rsmapi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BOARD 0x400000
#define MOST_NODES 63
#define PATIENCE 30000 /* milliseconds, for whatever others have to do */
#define AGAIN 100      /* milliseconds, before something is said once more */

/* What is on the board: for each node its number, and behind that whether it is about to leave. */
struct board {
    uint64_t numbers[MOST_NODES + 1];
    uint64_t leaving[MOST_NODES + 1];
};

static void fail(const char *call, int error)
{
    fprintf(stderr, "gather: %s: error %d\n", call, error);
    exit(1);
}

static rsm_node_id_t this_node(void)
{
    rsm_topology_t *topology;
    rsm_node_id_t node;
    int error = rsm_get_interconnect_topology(&topology);

    if (error != RSM_SUCCESS)
        fail("rsm_get_interconnect_topology", error);
    node = topology->topology_hdr.local_nodeid;
    rsm_free_interconnect_topology(topology);
    return node;
}

/* Whether all nodes but the first have a number there. */
static int complete(const uint64_t *slots, unsigned nodes)
{
    for (unsigned node = 2; node <= nodes; node++)
        if (__atomic_load_n(&slots[node], __ATOMIC_RELAXED) == 0)
            return 0;
    return 1;
}

static void gather(rsmapi_controller_handle_t controller, unsigned nodes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    rsm_memseg_export_handle_t segment;
    rsm_memseg_id_t id = BOARD;
    void *memory;
    int error;

    if (posix_memalign(&memory, page, page) != 0)
        fail("posix_memalign", 0);
    struct board *board = memset(memory, 0, page);
    if ((error = rsm_memseg_export_create(controller, &segment, board, page, 0)) != RSM_SUCCESS)
        fail("rsm_memseg_export_create", error);
    if ((error = rsm_memseg_export_publish(segment, &id, NULL, 0)) != RSM_SUCCESS)
        fail("rsm_memseg_export_publish", error);
    for (int time = 0; !complete(board->leaving, nodes); time += AGAIN) {
        if (time > PATIENCE)
            fail("too few numbers", 0);
        /* Again and again: who died and came back has not heard it. */
        if (complete(board->numbers, nodes) && (error = rsm_intr_signal_post(segment, 0)) != RSM_SUCCESS)
            fail("rsm_intr_signal_post", error);
        error = rsm_intr_signal_wait(segment, AGAIN);
        if (error != RSM_SUCCESS && error != RSMERR_TIMEOUT)
            fail("rsm_intr_signal_wait", error);
    }
    for (unsigned node = 2; node <= nodes; node++)
        printf("node %u sent %llu\n", node, (unsigned long long)board->numbers[node]);
}

/* Connects to the board as soon as it can be reached, and, if that is waited for, as soon as it is there. */
static int connect_board(rsmapi_controller_handle_t controller, int is_to_come, rsm_memseg_import_handle_t *segment)
{
    const struct timespec moment = {0, 10 * 1000 * 1000};
    int error = RSMERR_TIMEOUT;

    for (int time = 0; time < PATIENCE; time += 10) {
        error = rsm_memseg_import_connect(controller, 1, BOARD, RSM_PERM_RDWR, segment);
        if (error != RSMERR_REMOTE_NODE_UNREACHABLE && error != RSMERR_INTERRUPTED
            && !(error == RSMERR_SEG_NOT_PUBLISHED && is_to_come))
            break;
        nanosleep(&moment, NULL);
    }
    return error;
}

/* Puts a number, until it has arrived or the connection is lost. */
static int put(rsm_memseg_import_handle_t segment, size_t offset, uint64_t number)
{
    int error;

    do
        error = rsm_memseg_import_put64(segment, (off_t)offset, &number, 1);
    while (error == RSMERR_BARRIER_FAILURE);
    return error;
}

/* Sends node 1 a number, and leaves when it has all; again when the connection is lost. */
static void send_number(rsmapi_controller_handle_t controller, rsm_node_id_t node)
{
    const size_t slot = node * sizeof(uint64_t);
    int has_all = 0; /* node 1: it stays until it has seen that everybody is about to leave */
    int error;

    do {
        rsm_memseg_import_handle_t segment;
        rsmapi_barrier_t barrier;
        error = connect_board(controller, !has_all, &segment);
        if (error == RSMERR_SEG_NOT_PUBLISHED && has_all)
            return; /* It has left, so it has seen it: what is lost is only the answer. */
        if (error != RSM_SUCCESS)
            fail("rsm_memseg_import_connect", error);
        memset(&barrier, 0, sizeof barrier);
        error = rsm_memseg_import_init_barrier(segment, RSM_BARRIER_NODE, &barrier);
        if (error == RSM_SUCCESS)
            error = put(segment, offsetof(struct board, numbers) + slot, 10 * (uint64_t)node);
        if (error == RSM_SUCCESS)
            error = rsm_intr_signal_post(segment, 0);
        if (error == RSM_SUCCESS)
            error = rsm_intr_signal_wait(segment, PATIENCE);
        if (error == RSM_SUCCESS) {
            has_all = 1;
            error = put(segment, offsetof(struct board, leaving) + slot, 1);
        }
        if (error == RSM_SUCCESS)
            error = rsm_intr_signal_post(segment, 0);
        rsm_memseg_import_destroy_barrier(&barrier);
        rsm_memseg_import_disconnect(segment);
    } while (error == RSMERR_CONN_ABORTED);
    if (error != RSM_SUCCESS)
        fail("sending a number", error);
}

int main(int argc, char **argv)
{
    rsmapi_controller_handle_t controller;
    const unsigned nodes = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    int error;

    if (nodes < 1 || nodes > MOST_NODES) {
        fprintf(stderr, "usage: gather NODES    1 to %d\n", MOST_NODES);
        return 2;
    }
    if ((error = rsm_get_controller("shm0", &controller)) != RSM_SUCCESS)
        fail("rsm_get_controller", error);
    const rsm_node_id_t node = this_node();
    if (node == 1)
        gather(controller, nodes);
    else
        send_number(controller, node);
    return 0;
}
