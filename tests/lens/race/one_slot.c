/*
 * reuse / Two records are sent at once, through one slot. Repaired, through two.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    for (uint64_t n = 1; n <= 2; n++) {
        PUT(to, DATA + (good ? BYTES * (n - 1) : 0), BYTES); /* SITE */
        CLOSE(barrier);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        tell(2, FLAG, n);
        if (n == 1)
            await(FLAG, 1);
    }
    CLOSE(barrier);
}

static void reader(void)
{
    await(FLAG, 1);
    tell(1, FLAG, 1);
    sink = mine[DATA]; /* SITE */
    await(FLAG, 2);
    if (good)
        sink = mine[DATA + BYTES];
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
