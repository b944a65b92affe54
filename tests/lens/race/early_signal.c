/*
 * signal / A signal is posted before the span is closed. Repaired, behind that.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    if (!good)
        CHECK(rsm_intr_signal_post(to, 0));
    CLOSE(barrier);
    if (good)
        CHECK(rsm_intr_signal_post(to, 0));
}

static void owner(void)
{
    await_signal(exported);
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
