/*
 * signal / The data is looked at before the signal is waited for. Repaired, behind that.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    CHECK(rsm_intr_signal_post(to, 0));
}

static void owner(void)
{
    if (good)
        await_signal(exported);
    sink = mine[DATA]; /* SITE */
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
