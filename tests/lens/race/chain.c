/*
 * transitive / Word is passed on by a node that has not waited for it. Repaired, it has.
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

static void messenger(void)
{
    if (good)
        await(FLAG, 1);
    tell(3, FLAG, 1);
}

static void owner(void)
{
    await(FLAG, 1);
    sink = mine[DATA]; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        writer();
    else if (me == 2)
        messenger();
    else
        owner();
    return finish();
}
