/*
 * volatile / A volatile store through a mapping says that data is there, in the same span. Repaired, in a later one.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    char *const map = mapped(to);

    memset(map + DATA, 1, BYTES); /* SITE */
    if (good) {
        CLOSE(barrier);
        CHECK(rsm_memseg_import_open_barrier(&barrier));
    }
    *(volatile uint32_t *)(void *)(map + FLAG) = 1;
    CLOSE(barrier);
}

static void owner(void)
{
    const volatile uint32_t *const flag = (uint32_t *)(void *)(mine + FLAG);
    while (*flag == 0)
        spend(10);
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
