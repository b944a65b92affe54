/*
 * annotated_word / Two nodes put different values to one word, and neither has seen the other's. Repaired, it is said that either
 * will do.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t import = open_to(3, &barrier);
    uint64_t value = me;
    CHECK(rsm_memseg_import_put64(import, DATA, &value, 1)); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 3 && good)
        RSM_ANNOTATE_BENIGN(mine + DATA, sizeof(uint64_t));
    gather(1);
    if (me != 3)
        writer();
    return finish();
}
