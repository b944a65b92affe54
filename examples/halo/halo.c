/*
 * halo: a ring of nodes that smooth a field together. docs/second-program.md explains it; halo.rs and halo.py are the same.
 *
 *     cc -o halo halo.c $(pkg-config --cflags --libs rsm)
 *     rsm-ctl run -n 4 -- ./halo
 */
#define _POSIX_C_SOURCE 200809L

#include <rsmapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CELLS 32 /* of each node */
#define STEPS 50
#define MOST_NODES 63
/* One segment for each side, so that each has signals of its own. */
#define FROM_LEFT 0x400000
#define FROM_RIGHT 0x400001
#define PATIENCE 20000 /* milliseconds */

static void check(int error, const char *call)
{
    if (error == RSM_SUCCESS)
        return;
    fprintf(stderr, "halo: %s: error %d\n", call, error);
    exit(1);
}
#define CHECK(call) check((call), #call)

/* Where neighbours put: two values, for even and odd steps. */
struct inbox {
    volatile double *values;
    rsm_memseg_export_handle_t segment;
};

/* Where we put. */
struct outbox {
    rsm_memseg_import_handle_t segment;
    rsmapi_barrier_t barrier;
};

static struct inbox inbox(rsmapi_controller_handle_t shm, rsm_memseg_id_t id)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct inbox in;
    void *memory;

    if (posix_memalign(&memory, page, page) != 0)
        exit(1);
    in.values = memset(memory, 0, page);
    CHECK(rsm_memseg_export_create(shm, &in.segment, memory, page, 0));
    CHECK(rsm_memseg_export_publish(in.segment, &id, NULL, 0));
    return in;
}

static void outbox(rsmapi_controller_handle_t shm, rsm_node_id_t node, rsm_memseg_id_t id, struct outbox *out)
{
    const struct timespec moment = {0, 10 * 1000 * 1000};
    int error = RSMERR_SEG_NOT_PUBLISHED;

    /* The neighbour may not be there yet. */
    for (int time = 0; time < PATIENCE && error == RSMERR_SEG_NOT_PUBLISHED; time += 10) {
        error = rsm_memseg_import_connect(shm, node, id, RSM_PERM_RDWR, &out->segment);
        if (error == RSMERR_SEG_NOT_PUBLISHED)
            nanosleep(&moment, NULL);
    }
    check(error, "rsm_memseg_import_connect");
    CHECK(rsm_memseg_import_set_mode(out->segment, RSM_BARRIER_MODE_EXPLICIT));
    CHECK(rsm_memseg_import_init_barrier(out->segment, RSM_BARRIER_NODE, &out->barrier));
}

/* Puts a value, sees that it has arrived, and says so. */
static void send_value(struct outbox *out, int slot, double value)
{
    CHECK(rsm_memseg_import_open_barrier(&out->barrier));
    CHECK(rsm_memseg_import_put(out->segment, slot * (off_t)sizeof value, &value, sizeof value));
    CHECK(rsm_memseg_import_close_barrier(&out->barrier));
    CHECK(rsm_intr_signal_post(out->segment, 0));
}

/* What was put before a signal is visible to whoever takes the signal. */
static double receive(struct inbox *in, int slot)
{
    CHECK(rsm_intr_signal_wait(in->segment, PATIENCE));
    return in->values[slot];
}

static double start(int cell)
{
    return cell * cell % 17;
}

static void step(double left, double *cells, int count, double right)
{
    for (int cell = 0; cell < count; cell++) {
        double old = cells[cell];
        cells[cell] = (left + 2 * old + (cell + 1 < count ? cells[cell + 1] : right)) / 4;
        left = old;
    }
}

int main(void)
{
    static double all[MOST_NODES * CELLS], cells[CELLS];
    static struct outbox to_left, to_right;
    rsmapi_controller_handle_t shm;
    rsm_topology_t *topology;
    double sum = 0;

    CHECK(rsm_get_controller("shm0", &shm));
    CHECK(rsm_get_interconnect_topology(&topology));
    const int me = (int)topology->topology_hdr.local_nodeid;
    const int nodes = topology->connections[0]->hdr.remote_cntlr_count; /* shm0 reaches every node, this one included */
    rsm_free_interconnect_topology(topology);
    const int left = (me + nodes - 2) % nodes + 1, right = me % nodes + 1;

    /* Our leftmost value is what the left neighbour has from its right. */
    struct inbox from_left = inbox(shm, FROM_LEFT), from_right = inbox(shm, FROM_RIGHT);
    outbox(shm, (rsm_node_id_t)left, FROM_RIGHT, &to_left);
    outbox(shm, (rsm_node_id_t)right, FROM_LEFT, &to_right);

    const int first = (me - 1) * CELLS;
    for (int cell = 0; cell < CELLS; cell++)
        cells[cell] = start(first + cell);
    for (int number = 0; number < STEPS; number++) {
        send_value(&to_left, number % 2, cells[0]);
        send_value(&to_right, number % 2, cells[CELLS - 1]);
        double halo = receive(&from_left, number % 2);
        step(halo, cells, CELLS, receive(&from_right, number % 2));
    }

    /* What the field is in the end, computed without anybody else. */
    for (int cell = 0; cell < nodes * CELLS; cell++)
        all[cell] = start(cell);
    for (int number = 0; number < STEPS; number++)
        step(all[nodes * CELLS - 1], all, nodes * CELLS, all[0]);
    if (memcmp(cells, all + first, sizeof cells) != 0) {
        fprintf(stderr, "halo: node %d: not what one node alone computes\n", me);
        return 1;
    }

    /* How to end: the signals that the last receive took were the last that anybody sends us, and their puts had arrived
     * before. So nobody needs this memory any more. */
    for (int cell = 0; cell < CELLS; cell++)
        sum += cells[cell];
    printf("node %d: %d cells after %d steps, sum %.6f\n", me, CELLS, STEPS, sum);
    return 0;
}
