/*
 * threads / Two threads of a node put to one place, each with a span that is closed behind the lock. Repaired,
 * before it is given back.
 */
#include "race.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void put(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    pthread_mutex_lock(&mutex);
    PUT(to, DATA, BYTES); /* SITE */
    if (good)
        CLOSE(barrier);
    pthread_mutex_unlock(&mutex);
    if (!good)
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
    put();
    pthread_join(other, NULL);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
