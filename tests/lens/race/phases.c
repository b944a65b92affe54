/*
 * barrier / Each node puts to the other one and reads its own, with no barrier between. Repaired, with one.
 */
#include "race.h"

static void exchange(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3 - me, &barrier);
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    if (good)
        gather(1);
    sink = mine[DATA]; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    exchange();
    return finish();
}
