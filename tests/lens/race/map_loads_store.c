/*
 * load, store through a mapping / One node stores through a mapping what another one loads through its own.
 * Repaired, that waits.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    char *const map = mapped(to);

    *(double *)(void *)(map + DATA) = 1; /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    char *const map = mapped(to);

    if (good)
        await(FLAG, 1);
    sink = (char)*(double *)(void *)(map + DATA); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        writer();
    else if (me == 2)
        reader();
    return finish();
}
