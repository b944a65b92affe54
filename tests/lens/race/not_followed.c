/*
 * order / Data is put behind the word that says that it is there. Repaired, before it, with an order barrier.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    uint64_t one = 1;
    if (!good)
        CHECK(rsm_memseg_import_put64(to, FLAG, &one, 1));
    ORDER(barrier);
    PUT(to, DATA, BYTES); /* SITE */
    ORDER(barrier);
    if (good)
        CHECK(rsm_memseg_import_put64(to, FLAG, &one, 1));
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
