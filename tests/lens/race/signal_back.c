/*
 * signal / The exporter signals its importers before it has filled what they get. Repaired, behind that.
 */
#include "race.h"

static void reader(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t from = open_to(2, &barrier);

    await_signal(from);
    GET(from, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

static void owner(void)
{
    if (good)
        memset(mine + DATA, 1, BYTES);
    CHECK(rsm_intr_signal_post(exported, 0));
    if (!good)
        memset(mine + DATA, 1, BYTES); /* SITE */
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
