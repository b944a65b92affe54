/*
 * extent / Two puts of four bytes overlap by two. Repaired, they are in the same word and do not.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    PUT(to, DATA + (me == 2) * (good ? 4 : 2), 4); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
