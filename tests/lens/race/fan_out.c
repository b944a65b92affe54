/*
 * close / Two nodes are told of what was put when one of the two spans is closed. Repaired, when both are.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t of_two, of_three;
    const rsm_memseg_import_handle_t two = open_to(2, &of_two);
    const rsm_memseg_import_handle_t three = open_to(3, &of_three);
    PUT(two, DATA, BYTES);
    PUT(three, DATA, BYTES); /* SITE */
    CLOSE(of_two);
    if (good)
        CLOSE(of_three);
    tell(2, FLAG, 1);
    tell(3, FLAG, 1);
    if (!good)
        CLOSE(of_three);
}

static void owner(void)
{
    await(FLAG, 1);
    sink = mine[DATA]; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        writer();
    else
        owner();
    return finish();
}
