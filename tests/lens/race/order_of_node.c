/*
 * order / Data goes through one import, and the word behind it through another one; the order barrier is of type SEGMENT. Repaired,
 * it is of type NODE.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t of_data, barrier;
    const rsm_memseg_import_handle_t data = open_to(2, &of_data);
    const rsm_memseg_import_handle_t flags = way_of(2, good ? RSM_BARRIER_NODE : RSM_BARRIER_SEGMENT, &barrier);
    uint64_t one = 1;

    CHECK(rsm_memseg_import_open_barrier(&barrier));
    PUT(data, DATA, BYTES); /* SITE */
    ORDER(barrier);
    CHECK(rsm_memseg_import_put64(flags, FLAG, &one, 1));
    CLOSE(barrier);
    CLOSE(of_data);
}

static void owner(void)
{
    await(FLAG, 1);
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
