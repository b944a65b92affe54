/*
 * barrier / The next step begins to put while a node may still read what the last one put. Repaired, they meet
 * between.
 */
#include "race.h"

static void steps(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = way_to(3 - me, &barrier);
    for (unsigned step = 0; step < 2; step++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        PUT(to, DATA, BYTES); /* SITE */
        CLOSE(barrier);
        gather(1 + 2 * step);
        sink = mine[DATA]; /* SITE */
        if (good)
            gather(2 + 2 * step);
    }
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    steps();
    return finish();
}
