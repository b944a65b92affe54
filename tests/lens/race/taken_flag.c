/*
 * atomics / The owner takes a flag with an exchange; it stands behind the data. Repaired, an order barrier stands
 * between.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    uint64_t one = 1;
    PUT(to, DATA, BYTES); /* SITE */
    if (good)
        ORDER(barrier);
    CHECK(rsm_memseg_import_put64(to, FLAG, &one, 1));
    CLOSE(barrier);
}

static void owner(void)
{
    uint64_t *const flag = (uint64_t *)(void *)(mine + FLAG);
    while (__atomic_exchange_n(flag, 0, __ATOMIC_ACQUIRE) == 0)
        spend(10);
    sink = mine[DATA]; /* SITE */
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
