/*
 * order / The order barrier is that of another import of the same segment. Repaired, all goes through one.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t of_data, of_flags;
    const rsm_memseg_import_handle_t data = open_to(2, &of_data);
    const rsm_memseg_import_handle_t flags = open_to(2, &of_flags);
    uint64_t one = 1;
    PUT(data, DATA, BYTES); /* SITE */
    ORDER(*(good ? &of_data : &of_flags));
    CHECK(rsm_memseg_import_put64(good ? data : flags, FLAG, &one, 1));
    CLOSE(of_flags);
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
