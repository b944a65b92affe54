/*
 * What the programs of this suite share. Each is one race and its repair, a page long, and runs once:
 *
 *     rsm-ctl run --race -n 2 -- ./put_load bad|good
 *
 * The lines of the two accesses that nothing orders end with SITE. What begins and ends a program, and what is told and
 * awaited, is that of the litmus programs.
 */
#include "litmus.h"

#pragma GCC diagnostic ignored "-Wunused-variable"

#include <pthread.h>
#include <rsm/annotate.h>

enum { DATA = ROOM, FLAG = ROOM + 8192, GATE = ROOM + 16384, BYTES = 64 };

static char block[2 * BYTES];
static volatile char sink; /* no segment's memory: what is read goes somewhere */

/* Imports of the other nodes' segments, for accesses of a program's own: connecting orders, so it is done before. */
static rsm_memseg_import_handle_t ways[64][3];
static unsigned used[64];

/* Goes on when every node has come as far. The words by which they know are used once: who is late finds none that says how
 * far others have come since. */
static void gather(unsigned time)
{
    for (rsm_node_id_t node = 1; node <= nodes; node++)
        if (node != me)
            tell(node, GATE + 512 * time + 8 * me, 1);
    for (rsm_node_id_t node = 1; node <= nodes; node++)
        if (node != me)
            await(GATE + 512 * time + 8 * node, 1);
}

/* Begins: all nodes come from here at the same time. */
static void ready(int argc, char **argv, rsm_node_id_t wanted)
{
    start(argc, argv, wanted, 1);
    for (rsm_node_id_t node = 1; node <= nodes; node++)
        for (int i = 0; node != me && i < 3; i++) {
            ways[node][i] = connect_to(node);
            CHECK(rsm_memseg_import_set_mode(ways[node][i], RSM_BARRIER_MODE_EXPLICIT));
        }
    gather(0);
}

/* One of them that nobody has taken, with a barrier. */
static rsm_memseg_import_handle_t way_of(rsm_node_id_t node, rsm_barrier_type_t type, rsmapi_barrier_t *barrier)
{
    const rsm_memseg_import_handle_t import = ways[node][__atomic_fetch_add(&used[node], 1, __ATOMIC_RELAXED)];
    memset(barrier, 0, sizeof *barrier);
    CHECK(rsm_memseg_import_init_barrier(import, type, barrier));
    return import;
}

static rsm_memseg_import_handle_t way_to(rsm_node_id_t node, rsmapi_barrier_t *barrier)
{
    return way_of(node, RSM_BARRIER_SEGMENT, barrier);
}

/* The same, with a span that is open. */
static rsm_memseg_import_handle_t open_to(rsm_node_id_t node, rsmapi_barrier_t *barrier)
{
    const rsm_memseg_import_handle_t import = way_to(node, barrier);
    CHECK(rsm_memseg_import_open_barrier(barrier));
    return import;
}

/* All of a node's segment, mapped; for accesses within the span of its import. */
static char *mapped(rsm_memseg_import_handle_t import)
{
    void *map;
    CHECK(rsm_memseg_import_map(import, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT));
    return (char *)map;
}

#define PUT(import, offset, bytes) CHECK(rsm_memseg_import_put(import, offset, block, bytes))
#define GET(import, offset, bytes) CHECK(rsm_memseg_import_get(import, offset, block, bytes))
#define ORDER(barrier) CHECK(rsm_memseg_import_order_barrier(&(barrier)))
#define CLOSE(barrier) CHECK(rsm_memseg_import_close_barrier(&(barrier)))
