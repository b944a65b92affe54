/*
 * local access / The owner of a segment changes it by assigning a structure, while a node gets it. Repaired, it
 * waits.
 */
#include "race.h"

struct record {
    double values[4];
    char name[7];
};

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t from = open_to(2, &barrier);

    GET(from, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner(void)
{
    static _Alignas(8) char other[BYTES];
    if (good)
        await(FLAG, 1);
    *(struct record *)(void *)(mine + DATA) = *(struct record *)(void *)other; /* SITE */
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        reader();
    else
        owner();
    return finish();
}
