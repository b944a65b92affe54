/*
 * reuse / The owner of a slot clears it when it has read it, and the next record is put there without its word. Repaired, with it.
 */
#include "aside.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = way_to(2, &barrier);
    memset(block, 7, sizeof block);
    for (int n = 1; n <= 2; n++) {
        CHECK(rsm_memseg_import_open_barrier(&barrier));
        PUT(to, DATA, BYTES); /* SITE */
        CLOSE(barrier);
        CHECK(rsm_intr_signal_post(to, 0));
        if (n == 1 && good)
            await(FLAG, 1);
        else if (n == 1)
            await_aside();
    }
}

static void owner(void)
{
    CHECK(rsm_intr_signal_wait(exported, PATIENCE)); /* SITE */
    memset(mine + DATA, 0, BYTES);
    CHECK(rsm_memseg_import_get64(lobby[1], FLAG, (uint64_t *)(void *)block, 1)); /* SITE */
    if (good)
        tell(1, FLAG, 1);
    else
        say_aside();
    CHECK(rsm_intr_signal_wait(exported, PATIENCE));
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
