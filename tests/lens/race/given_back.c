/*
 * reuse / The owner clears a buffer as soon as it has told the reader of it. Repaired, when the reader has said that
 * it is done.
 */
#include "race.h"

static void owner(void)
{
    memset(mine + DATA, 1, BYTES);
    tell(2, FLAG, 1);
    if (good)
        await(FLAG, 1);
    memset(mine + DATA, 0, BYTES); /* SITE */
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    await(FLAG, 1);
    const rsm_memseg_import_handle_t from = open_to(1, &barrier);
    GET(from, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(1, FLAG, 1);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        owner();
    else
        reader();
    return finish();
}
