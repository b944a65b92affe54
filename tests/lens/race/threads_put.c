/*
 * threads / Two threads of a node put to one place. Repaired, one behind the other has ended.
 */
#include "race.h"

static void put(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

static void *thread(void *unused)
{
    (void)unused;
    put();
    return NULL;
}

static void writer(void)
{
    pthread_t other;
    check(pthread_create(&other, NULL, thread, NULL), "pthread_create");
    if (good)
        pthread_join(other, NULL);
    put();
    if (!good)
        pthread_join(other, NULL);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
