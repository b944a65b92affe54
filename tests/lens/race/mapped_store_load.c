/*
 * store through a mapping, load / A word says that something was stored through a mapping, before its span is
 * closed. Repaired, behind that.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    char *const map = mapped(to);

    map[DATA] = 1; /* SITE */
    if (good)
        CLOSE(barrier);
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
