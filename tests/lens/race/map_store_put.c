/*
 * put, store through a mapping / One node puts where another one stores through a mapping. Repaired, beside it.
 */
#include "race.h"

static void putter(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    PUT(to, DATA + (good ? BYTES : 0), BYTES); /* SITE */
    CLOSE(barrier);
}

static void storer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    char *const map = mapped(to);

    memset(map + DATA, 2, 16); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        putter();
    else if (me == 2)
        storer();
    return finish();
}
