/*
 * threads of C++ / A thread stores behind the value that it promises. Repaired, before it.
 */
#include "race.h"

#include <future>
#include <thread>

static std::promise<int> promise;

static void thread()
{
    if (good)
        mine[DATA] = 1;
    promise.set_value(1);
    if (!good)
        mine[DATA] = 1; /* SITE */
}

static void owner()
{
    std::future<int> future = promise.get_future();
    std::thread other(thread);
    future.get();
    mine[DATA] = 2; /* SITE */
    other.join();
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        owner();
    return finish();
}
