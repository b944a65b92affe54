/*
 * local access / The owner compares with memcmp what another node puts. Repaired, it waits.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner(void)
{
    if (good)
        await(FLAG, 1);
    sink = memcmp(mine + DATA, block, BYTES) == 0; /* SITE */
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
