/*
 * extent / A block is put over the word by which the owner polls. Repaired, beside it.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, good ? FLAG + 8 : FLAG, BYTES); /* SITE */
    CLOSE(barrier);
}

static void owner(void)
{
    for (int n = 0; n < 3; n++)
        sink = (char)__atomic_load_n((uint64_t *)(void *)(mine + FLAG), __ATOMIC_ACQUIRE); /* SITE */
}

int main(int argc, char **argv)
{
    start(argc, argv, 2, 1);
    if (me == 1)
        writer();
    else
        owner();
    return finish();
}
