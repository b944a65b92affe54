/*
 * extent / Two puts overlap by a word. Repaired, they meet.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    if (me == 1)
        PUT(to, DATA, good ? BYTES : BYTES + 8); /* SITE */
    else
        PUT(to, DATA + BYTES, BYTES); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
