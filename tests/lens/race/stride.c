/*
 * extent / Two nodes put every second element, both the even ones. Repaired, one of them the odd ones.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);

    for (int i = good && me == 2; i < 16; i += 2)
        CHECK(rsm_memseg_import_put16(to, DATA + 6 * i, (uint16_t[3]){1, 2, 3}, 3)); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me != 3)
        writer();
    return finish();
}
