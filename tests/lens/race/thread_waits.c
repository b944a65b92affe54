/*
 * threads / A thread waits for the signal that says there is something, and another one reads it. Repaired, when that thread
 * has ended.
 */
#include "race.h"

static void *thread(void *unused)
{
    (void)unused;
    await_signal(exported);
    return NULL;
}

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    CHECK(rsm_intr_signal_post(to, 0));
}

static void owner(void)
{
    pthread_t other;
    check(pthread_create(&other, NULL, thread, NULL), "pthread_create");
    if (good)
        pthread_join(other, NULL);
    sink = mine[DATA]; /* SITE */
    if (!good)
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
