/*
 * put, store / The owner of a segment stores where something is put. Repaired, it does so first, and says so.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    if (good)
        await(FLAG, 1);
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

static void owner(void)
{
    mine[DATA + BYTES - 1] = 1; /* SITE */
    tell(1, FLAG, 1);
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
