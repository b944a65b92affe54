/*
 * reuse / A slot is acknowledged before it was read, and filled again. Repaired, behind that.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = way_to(2, &barrier);
    for (uint64_t n = 1; n <= 2; n++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        PUT(to, DATA, BYTES); /* SITE */
        CLOSE(barrier);
        tell(2, FLAG, n);
        await(FLAG, n);
    }
}

static void reader(void)
{
    for (uint64_t n = 1; n <= 2; n++) {
        await(FLAG, n);
        if (!good)
            tell(1, FLAG, n);
        sink = mine[DATA]; /* SITE */
        if (good)
            tell(1, FLAG, n);
    }
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    else
        reader();
    return finish();
}
