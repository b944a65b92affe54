/*
 * threads of C++ / A thread lets another one read by a condition variable, before it was told itself that there is something.
 * Repaired, behind that.
 */
#include "race.h"

#include <condition_variable>
#include <mutex>
#include <thread>

static std::mutex mutex;
static std::condition_variable condition;
static bool has_come;

static void thread()
{
    {
        std::unique_lock lock(mutex);
        condition.wait(lock, [] { return has_come; });
    }
    sink = mine[DATA]; /* SITE */
}

static void let_go()
{
    const std::lock_guard guard(mutex);
    has_come = true;
    condition.notify_one();
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
    if (!good)
        let_go();
    await(FLAG, 1);
    if (good)
        let_go();
    other.join();
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
