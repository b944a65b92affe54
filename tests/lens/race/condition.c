/*
 * threads / A thread lets another one read by a condition variable, before it was told itself that there is something.
 * Repaired, behind that.
 */
#include "race.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int has_come;

static void *thread(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    while (!has_come)
        pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
    sink = mine[DATA]; /* SITE */
    return NULL;
}

static void let_go(void)
{
    pthread_mutex_lock(&mutex);
    has_come = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
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
    check(pthread_create(&other, NULL, thread, NULL), "pthread_create");
    if (!good)
        let_go();
    await(FLAG, 1);
    if (good)
        let_go();
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
