/*
 * order / A word behind the data in one span says that it is there. Repaired, an order barrier stands between.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    const uint64_t one = 1;
    PUT(to, DATA, BYTES); /* SITE */
    if (good)
        ORDER(barrier);
    CHECK(rsm_memseg_import_put64(to, FLAG, (uint64_t *)&one, 1));
    CLOSE(barrier);
}

static void owner(void)
{
    await(FLAG, 1);
    sink = mine[DATA]; /* SITE */
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
