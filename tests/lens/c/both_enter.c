/*
 * sharing / both enter. Each node says that it wants to enter, and does unless the other has said so.
 *
 * The store is under way while the load is answered: each node looks before the other's word has come. No model forbids it,
 * nor does a processor with a store buffer. The load has to wait for the close.
 */
#include "litmus.h"

enum { READY = ROOM, WANTS = ROOM + 64, ENTERED = ROOM + 128 };

static void play(void)
{
    rsmapi_barrier_t barrier;
    const rsm_node_id_t other = 3 - me;
    const rsm_memseg_import_handle_t door = import_from(other, RSM_BARRIER_SEGMENT, &barrier);

    for (uint64_t n = 1; n <= rounds; n++) {
        tell(other, READY, n);
        await(READY, n);
        if (me == 2)
            spend(1);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        CHECK(rsm_memseg_import_put64(door, WANTS, &n, 1));
        if (good)
            CHECK(rsm_memseg_import_close_barrier(&barrier));
        const int entered = look(WANTS) < n;
        if (!good)
            CHECK(rsm_memseg_import_close_barrier(&barrier));
        tell(other, ENTERED, 2 * n + entered);
        await(ENTERED, 2 * n);
        if (entered && look(ENTERED) == 2 * n + 1)
            fail("both nodes are inside, in round %llu", (unsigned long long)n);
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 300);
    play();
    return finish();
}
