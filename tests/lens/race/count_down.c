/*
 * atomics / Two nodes put and count themselves; the owner reads when both have. A span is closed behind the count.
 * Repaired, before.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier, of_count;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    const rsm_memseg_import_handle_t counting = open_to(3, &of_count);
    uint64_t *const count = (uint64_t *)(void *)(mapped(counting) + FLAG);
    PUT(to, DATA + BYTES * me, BYTES); /* SITE */
    if (good)
        CLOSE(barrier);
    __atomic_fetch_add(count, 1, __ATOMIC_ACQ_REL);
    CLOSE(of_count);
    if (!good)
        CLOSE(barrier);
}

static void owner(void)
{
    await(FLAG, 2);
    sink = mine[DATA + BYTES]; /* SITE */
    sink = mine[DATA + 2 * BYTES]; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    else
        owner();
    return finish();
}
