/*
 * threads / A thread reads what another one of its node is told of. Repaired, it begins when that was told.
 */
#include "race.h"

static void *thread(void *unused)
{
    (void)unused;
    sink = mine[DATA]; /* SITE */
    return NULL;
}

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner(void)
{
    pthread_t other;
    if (good)
        await(FLAG, 1);
    check(pthread_create(&other, NULL, thread, NULL), "pthread_create");
    if (!good)
        await(FLAG, 1);
    pthread_join(other, NULL);
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
