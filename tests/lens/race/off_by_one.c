/*
 * extent / A neighbour puts one element more than its share. Repaired, its share.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    const int count = good ? 8 : 9;
    for (int i = 0; i < count; i++)
        CHECK(rsm_memseg_import_put(to, DATA + 8 * i, block, 8)); /* SITE */
    CLOSE(barrier);
}

static void owner(void)
{
    for (int i = 8; i < 16; i++)
        *(double *)(void *)(mine + DATA + 8 * i) = i; /* SITE */
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
