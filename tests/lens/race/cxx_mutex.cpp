/*
 * threads of C++ / Two threads of a node store to one place, one of which takes no mutex. Repaired, both do.
 */
#include "race.h"

#include <mutex>
#include <thread>

static std::mutex mutex;

static void store(bool takes, char value)
{
    std::unique_lock lock(mutex, std::defer_lock);
    if (takes)
        lock.lock();
    mine[DATA] = value; /* SITE */
}

static void owner()
{
    std::thread other(store, true, 1);
    store(good, 2);
    other.join();
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        owner();
    return finish();
}
