/*
 * signal / Two nodes put and post; one signal is waited for. Repaired, both are.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    PUT(to, DATA + BYTES * me, BYTES); /* SITE */
    CLOSE(barrier);
    CHECK(rsm_intr_signal_post(to, 0));
}

static void owner(void)
{
    await_signal(exported);
    if (good)
        await_signal(exported);
    sink = mine[DATA + BYTES]; /* SITE */
    sink = mine[DATA + 2 * BYTES]; /* SITE */
    if (!good)
        await_signal(exported);
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
