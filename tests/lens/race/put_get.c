/*
 * put, get / One node gets what another one puts, at a third. Repaired, it waits until that has been put.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    if (good)
        await(FLAG, 1);
    const rsm_memseg_import_handle_t from = open_to(3, &barrier);
    GET(from, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        writer();
    else if (me == 2)
        reader();
    return finish();
}
