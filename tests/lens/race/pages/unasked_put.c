/*
 * put, store / A node puts where the owner stores, both when they have come as far. Repaired, when the owner has said that it has.
 */
#include "aside.h"

enum { ROUNDS = 100 };

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = way_to(2, &barrier);
    for (int n = 1; n <= ROUNDS; n++) {
        if (good)
            await(FLAG, n);
        memset(block, n, sizeof block);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        PUT(to, DATA, BYTES); /* SITE */
        CLOSE(barrier);
        if (!good)
            await(FLAG, n);
        CHECK(rsm_intr_signal_post(to, 0));
    }
}

static void owner(void)
{
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        memset(mine + DATA + BYTES / 2, (int)n + ROUNDS, BYTES);
        CHECK(rsm_memseg_import_put64(lobby[1], FLAG, &n, 1)); /* SITE */
        CHECK(rsm_intr_signal_wait(exported, PATIENCE)); /* SITE */
    }
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    else
        owner();
    return finish();
}
