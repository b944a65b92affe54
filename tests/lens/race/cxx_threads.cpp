/*
 * threads of C++ / Two threads of a node put to one place. Repaired, one behind the other has ended.
 */
#include "race.h"

#include <thread>

static void put()
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

static void writer()
{
    std::thread other(put);
    if (good)
        other.join();
    put();
    if (!good)
        other.join();
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
