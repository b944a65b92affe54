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

enum { DATA = ROOM, FLAG = ROOM + 8192, BYTES = 64 };

static char block[2 * BYTES];
static volatile char sink; /* no segment's memory: what is read goes somewhere */

/* An import of a node's segment with a span that is open. */
static rsm_memseg_import_handle_t open_to(rsm_node_id_t node, rsmapi_barrier_t *barrier)
{
    const rsm_memseg_import_handle_t import = import_from(node, RSM_BARRIER_SEGMENT, barrier);
    CHECK(rsm_memseg_import_open_barrier(barrier));
    return import;
}

/* All of a node's segment, mapped; for accesses within the span of its import. */
static char *mapped(rsm_memseg_import_handle_t import)
{
    void *map;
    CHECK(rsm_memseg_import_map(import, &map, RSM_MAP_NONE, RSM_PERM_RDWR, 0, SEGMENT));
    return map;
}

#define PUT(import, offset, bytes) CHECK(rsm_memseg_import_put(import, offset, block, bytes))
#define GET(import, offset, bytes) CHECK(rsm_memseg_import_get(import, offset, block, bytes))
#define ORDER(barrier) CHECK(rsm_memseg_import_order_barrier(&(barrier)))
#define CLOSE(barrier) CHECK(rsm_memseg_import_close_barrier(&(barrier)))
