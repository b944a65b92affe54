/*
 * put, load / Bytes are put one by one with put8 and read as a block. Repaired, the reader waits for the signal
 * behind the close.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    for (int i = 0; i < 3; i++)
        CHECK(rsm_memseg_import_put8(to, DATA + 8 * i, (uint8_t *)block, 7)); /* SITE */
    CLOSE(barrier);
    CHECK(rsm_intr_signal_post(to, 0));
}

static void owner(void)
{
    char copy[24];

    if (good)
        await_signal(exported);
    memcpy(copy, mine + DATA, sizeof copy); /* SITE */
    sink = copy[3];
    if (!good)
        await_signal(exported);
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
