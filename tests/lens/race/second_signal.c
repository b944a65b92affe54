/*
 * signal / Two records are sent with a signal each; the second is read behind the first signal. Repaired, behind the
 * second.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = way_to(2, &barrier);

    for (int n = 0; n < 2; n++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        PUT(to, DATA + BYTES * n, BYTES); /* SITE */
        CLOSE(barrier);
        CHECK(rsm_intr_signal_post(to, 0));
        if (n == 0)
            await(FLAG, 1);
    }
}

static void owner(void)
{
    await_signal(exported);
    tell(1, FLAG, 1);
    sink = mine[DATA];
    if (good)
        await_signal(exported);
    sink = mine[DATA + BYTES]; /* SITE */
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
