/*
 * till: node 1 sends receipts to node 2, one after the other through one slot, and node 2 adds them up. It has a bug, which
 * docs/finding-bugs.md finds; with -DREPAIRED it has not.
 *
 *     cc -o till till.c $(pkg-config --cflags --libs rsm)
 *     rsm-ctl run -n 2 -- ./till
 */
#define _POSIX_C_SOURCE 200809L

#include <rsmapi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SLOT 0x400000 /* the segment of node 2, where receipts arrive */
#define ACK 0x400001  /* that of node 1, where node 2 says how many it has read */
#define RECEIPTS 2000
#define LAST (RECEIPTS + 1) /* as a number: there are no more */
#define LINES 30
#define PATIENCE 10000 /* milliseconds */

struct receipt {
    int64_t line[LINES];
    int64_t total;
};

/* What is in the segment of node 2. */
struct slot {
    struct receipt receipt;
    uint64_t number; /* of the receipt that is there; stored last */
};

static void check(int error, const char *call)
{
    if (error == RSM_SUCCESS)
        return;
    /* Otherwise the other node has ended, and has said why. */
    if (error != RSMERR_CONN_ABORTED)
        fprintf(stderr, "till: %s: error %d\n", call, error);
    exit(2);
}
#define CHECK(call) check((call), #call)

static void pause_for(long microseconds)
{
    const struct timespec time = {0, microseconds * 1000};
    nanosleep(&time, NULL);
}

/* Memory that the other node may store to. */
static void *exported(rsmapi_controller_handle_t shm, rsm_memseg_id_t id)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    rsm_memseg_export_handle_t segment;
    void *memory;

    if (posix_memalign(&memory, page, page) != 0)
        exit(2);
    memset(memory, 0, page);
    CHECK(rsm_memseg_export_create(shm, &segment, memory, page, 0));
    CHECK(rsm_memseg_export_publish(segment, &id, NULL, 0));
    return memory;
}

static rsm_memseg_import_handle_t imported(rsmapi_controller_handle_t shm, rsm_node_id_t node, rsm_memseg_id_t id)
{
    rsm_memseg_import_handle_t segment;
    int error = RSMERR_SEG_NOT_PUBLISHED;

    for (int time = 0; time < PATIENCE && error == RSMERR_SEG_NOT_PUBLISHED; time++) {
        error = rsm_memseg_import_connect(shm, node, id, RSM_PERM_RDWR, &segment);
        if (error == RSMERR_SEG_NOT_PUBLISHED)
            pause_for(1000);
    }
    check(error, "rsm_memseg_import_connect");
    return segment;
}

/* Waits until a word of this node's own memory is at least this. */
static void await(const uint64_t *word, uint64_t value)
{
    for (int time = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) < value; time++) {
        if (time > 100 * PATIENCE) {
            fprintf(stderr, "till: nothing comes any more\n");
            exit(2);
        }
        pause_for(10);
    }
}

static void send_receipts(rsmapi_controller_handle_t shm)
{
    const uint64_t *const read = exported(shm, ACK);
    const rsm_memseg_import_handle_t to = imported(shm, 2, SLOT);
    rsmapi_barrier_t barrier;
    uint64_t last = LAST;

    CHECK(rsm_memseg_import_init_barrier(to, RSM_BARRIER_SEGMENT, &barrier));
    CHECK(rsm_memseg_import_set_mode(to, RSM_BARRIER_MODE_EXPLICIT));
    for (uint64_t number = 1; number <= RECEIPTS; number++) {
        struct receipt receipt = {{0}, 0};

        for (int i = 0; i < LINES; i++)
            receipt.total += receipt.line[i] = (int64_t)(number * 31 + (uint64_t)i) % 100;
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put(to, offsetof(struct slot, receipt), &receipt, sizeof receipt));
#ifdef REPAIRED
        CHECK(rsm_memseg_import_order_barrier(&barrier));
#endif
        CHECK(rsm_memseg_import_put64(to, offsetof(struct slot, number), &number, 1));
        CHECK(rsm_memseg_import_close_barrier(&barrier));
        await(read, number);
    }
    /* Node 2 ends when it finds this, and may be gone when the call returns. */
    CHECK(rsm_memseg_import_set_mode(to, RSM_BARRIER_MODE_IMPLICIT));
    (void)rsm_memseg_import_put64(to, offsetof(struct slot, number), &last, 1);
}

static void add_up(rsmapi_controller_handle_t shm)
{
    const struct slot *const slot = exported(shm, SLOT);
    const rsm_memseg_import_handle_t from = imported(shm, 1, ACK);
    rsmapi_barrier_t barrier;
    int64_t sum = 0;

    CHECK(rsm_memseg_import_init_barrier(from, RSM_BARRIER_SEGMENT, &barrier));
    for (uint64_t number = 1; number <= RECEIPTS; number++) {
        struct receipt receipt;
        int64_t total = 0;

        await(&slot->number, number);
        memcpy(&receipt, &slot->receipt, sizeof receipt);
        for (int i = 0; i < LINES; i++)
            total += receipt.line[i];
        if (total != receipt.total) {
            fprintf(stderr, "till: receipt %llu: its lines are %lld together, its total is %lld\n",
                    (unsigned long long)number, (long long)total, (long long)receipt.total);
            exit(1);
        }
        sum += total;
        CHECK(rsm_memseg_import_put64(from, 0, &number, 1));
    }
    await(&slot->number, LAST);
    printf("%d receipts, %lld in all\n", RECEIPTS, (long long)sum);
}

int main(void)
{
    rsmapi_controller_handle_t shm;
    rsm_topology_t *topology;
    rsm_node_id_t node;

    CHECK(rsm_get_controller("shm0", &shm));
    CHECK(rsm_get_interconnect_topology(&topology));
    node = topology->topology_hdr.local_nodeid;
    rsm_free_interconnect_topology(topology);
    if (node == 1)
        send_receipts(shm);
    else
        add_up(shm);
    return 0;
}
