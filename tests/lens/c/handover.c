/*
 * order / handing over. Nodes 1 and 2 write a word of node 3 in turns, and tell each other whose turn it is.
 *
 * What one node is told through one import says nothing of stores through another: node 1's may arrive when node 2 has
 * long written over it, or so node 2 thinks. The turn may be handed over when the close has said that the store is there.
 */
#include "litmus.h"

enum { LATEST = ROOM, TURN = ROOM };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t home = import_from(3, RSM_BARRIER_SEGMENT, &barrier);
    const rsm_node_id_t other = 3 - me;

    /* Node 1 writes the odd numbers, node 2 the even ones. */
    for (uint64_t n = me; n <= 2 * rounds; n += 2) {
        await(TURN, n - 1);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(home, LATEST, &n, 1)); /* SITE */
        if (good)
            CHECK(rsm_memseg_import_close_barrier(&barrier));
        tell(other, TURN, n);
        if (!good)
            CHECK(rsm_memseg_import_close_barrier(&barrier));
    }
}

static void owner(void)
{
    for (uint64_t last = 0; last < 2 * rounds;) {
        const uint64_t latest = await_change(LATEST, last);
        if (latest < last)
            fail("the word went from %llu back to %llu", (unsigned long long)last, (unsigned long long)latest);
        last = latest;
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 3, 300);
    if (me == 3)
        owner();
    else
        writer();
    return finish();
}
