/*
 * get, put / A node puts to a third one where another one gets. Repaired, the reader has read before.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    if (good)
        await(FLAG, 1);
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    CHECK(rsm_memseg_import_put32(to, DATA + 8, (uint32_t[3]){1, 2, 3}, 3)); /* SITE */
    CLOSE(barrier);
}

static void reader(void)
{
    uint64_t words[4];
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t from = open_to(3, &barrier);
    CHECK(rsm_memseg_import_get64(from, DATA, words, 4)); /* SITE */
    CLOSE(barrier);
    tell(1, FLAG, 1);
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
