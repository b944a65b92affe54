/*
 * load through a mapping, store / The owner stores where another node loads through a mapping. Repaired, it waits
 * until that has.
 */
#include "race.h"

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t from = open_to(2, &barrier);
    const char *const map = mapped(from);

    sink = map[DATA + 3]; /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner(void)
{
    if (good)
        await(FLAG, 1);
    memset(mine + DATA, 1, BYTES); /* SITE */
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
