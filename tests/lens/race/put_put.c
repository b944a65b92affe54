/*
 * put, put / Two nodes put to the same place of a third one. Repaired, each has a place of its own.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    PUT(to, DATA + (good ? BYTES * me : 0), BYTES); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
