/*
 * store, store / Two nodes store through mappings to the same place of a third one. Repaired, each has its own.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    char *const map = mapped(to);

    map[DATA + (good ? me : 0)] = 1; /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
