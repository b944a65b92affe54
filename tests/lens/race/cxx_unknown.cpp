/*
 * threads of C++ / The owner reads what it was told of by nobody. Repaired, it waits. Its threads hand memory over besides, by what any
 * thread may find at any time: so they are not told apart.
 */
#include "race.h"

#include <new>
#include <thread>

static void handler()
{
    throw std::bad_alloc();
}

static void thread()
{
    mine[DATA + BYTES] = 1;
    std::set_new_handler(handler);
}

static void writer()
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);

    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    tell(2, FLAG, 1);
}

static void owner()
{
    std::thread other(thread);
    while (std::get_new_handler() != handler)
        spend(10);
    mine[DATA + BYTES] = 2;
    other.join();
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
