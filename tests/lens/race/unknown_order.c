/*
 * threads / The owner reads what it was told of by nobody. Repaired, it waits. It has threads of C11 besides, which hand
 * memory over by a word of which nobody is told: so they are not told apart.
 */
#include "race.h"

#include <threads.h>

static int turn;

__attribute__((no_sanitize("thread"), noinline)) static void give(void)
{
    __atomic_store_n(&turn, 1, __ATOMIC_RELEASE);
}

__attribute__((no_sanitize("thread"), noinline)) static int is_given(void)
{
    return __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
}

static int thread(void *unused)
{
    (void)unused;
    mine[DATA + BYTES] = 1;
    give();
    return 0;
}

static void *begun(void *unused)
{
    return unused;
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
    thrd_t other;
    pthread_t told;

    check(pthread_create(&told, NULL, begun, NULL), "pthread_create");
    pthread_join(told, NULL);
    check(thrd_create(&other, thread, NULL) != thrd_success, "thrd_create");
    while (!is_given())
        spend(10);
    mine[DATA + BYTES] = 2;
    thrd_join(other, NULL);
    if (good)
        await(FLAG, 1);
    sink = mine[DATA]; /* SITE */
    if (!good)
        await(FLAG, 1);
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
