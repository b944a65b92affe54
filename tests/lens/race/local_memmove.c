/*
 * local access / The owner of a segment changes it with memmove, while a node gets it. Repaired, it waits.
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
    static char other[BYTES];
    if (good)
        await(FLAG, 1);
    memmove(mine + DATA + 4, other, 16); /* SITE */
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
