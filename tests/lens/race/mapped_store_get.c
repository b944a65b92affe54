/*
 * store through a mapping, get / One node gets what another one stores through a mapping. Repaired, it waits for the
 * signal behind the close.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    char *const map = mapped(to);

    memset(map + DATA, 1, BYTES); /* SITE */
    CLOSE(barrier);
    CHECK(rsm_intr_signal_post(lobby[2], 0));
}

static void reader(void)
{
    rsmapi_barrier_t barrier;
    if (good)
        await_signal(exported);
    const rsm_memseg_import_handle_t from = open_to(3, &barrier);
    GET(from, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        writer();
    else if (me == 2)
        reader();
    return finish();
}
