/*
 * get, store / The owner of a segment stores where a node gets. Repaired, it waits until that has got it.
 */
#include "race.h"

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t from = open_to(2, &barrier);

    GET(from, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner(void)
{
    if (good)
        await(FLAG, 1);
    mine[DATA] = 1; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        reader();
    else
        owner();
    return finish();
}
