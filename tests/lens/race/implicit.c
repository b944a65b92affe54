/*
 * mode / A put in explicit mode is taken for done when it returns, as one in implicit mode is. Repaired, it is in
 * implicit mode.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = good ? lobby[2] : open_to(2, &barrier);
    PUT(to, DATA, BYTES); /* SITE */
    tell(2, FLAG, 1);
    if (!good)
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
