/*
 * barrier / The next step begins to put while a node may still read what the last one put. Repaired, they meet
 * between.
 */
#include "race.h"

static void steps(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = import_from(3 - me, RSM_BARRIER_SEGMENT, &barrier);
    for (int step = 0; step < 2; step++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        PUT(to, DATA, BYTES); /* SITE */
        CLOSE(barrier);
        meet();
        sink = mine[DATA]; /* SITE */
        if (good)
            meet();
    }
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 1);
    steps();
    return finish();
}
