/*
 * words / The owner stores plainly to a word that another node stores atomically through a mapping. Repaired, to
 * another word.
 */
#include "race.h"

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    char *const map = mapped(to);

    __atomic_store_n((uint32_t *)(void *)(map + DATA), 1, __ATOMIC_RELEASE); /* SITE */
    CLOSE(barrier);
}

static void owner(void)
{
    *(int *)(void *)(mine + DATA + (good ? 4 : 0)) = 2; /* SITE */
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
