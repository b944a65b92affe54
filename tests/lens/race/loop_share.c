/*
 * extent / Two nodes share the elements of a loop, and both take the one in the middle. Repaired, each takes its
 * half.
 */
#include "race.h"

static void worker(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    const int first = me == 1 ? 0 : 8, last = me == 1 ? (good ? 8 : 9) : 16;
    for (int i = first; i < last; i++)
        CHECK(rsm_memseg_import_put(to, DATA + 24 * i, block, 24)); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        worker();
    return finish();
}
