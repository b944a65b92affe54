/*
 * threads of C++ / Threads write to the same places one after the other, each time handed over by something else of the standard
 * library that orders them. Repaired, also the last time.
 */
#include "race.h"

#include <atomic>
#include <barrier>
#include <condition_variable>
#include <ext/stdio_filebuf.h>
#include <future>
#include <iostream>
#include <latch>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <unistd.h>

static constexpr std::chrono::milliseconds moment(1);

static pthread_barrier_t ready_for_next;
static std::mutex mutex;
static std::recursive_mutex recursive_mutex;
static std::timed_mutex timed_mutex;
static std::shared_mutex shared_mutex;
static std::condition_variable condition;
static std::condition_variable_any any_condition;
static std::counting_semaphore<> semaphore(0), apart(0);
static std::latch latch(2);
static std::barrier<> barrier(2);
static std::atomic<int> word;
static std::atomic_flag flag;
static std::once_flag once, once_left;
static std::shared_ptr<int> shared;
static std::atomic<std::shared_ptr<int>> atomic_shared;
static std::stop_source source;
static std::exception_ptr held[2];
static int turn, ends[2], number; /* `turn` is kept by what is meant */

struct Broken {
};

/* Whose last user writes where all of them have written. */
struct Last {
    ~Last()
    {
        mine[DATA + 64 * 60] = mine[DATA + 64 * 61] = 3;
    }
};

/* Of each thing: what tells, and what waits for it. */
static void none(bool)
{
}

template <class Mutex> static void by(Mutex &lock, bool gives)
{
    for (bool done = false; !done; spend(10)) {
        const std::lock_guard guard(lock);
        turn |= gives;
        done = turn;
    }
}

static void by_mutex(bool gives)
{
    by(mutex, gives);
}

static void by_recursive_mutex(bool gives)
{
    for (bool done = false; !done; spend(10)) {
        const std::lock_guard guard(recursive_mutex), again(recursive_mutex);
        turn |= gives;
        done = turn;
    }
}

static void by_timed_mutex(bool gives)
{
    for (bool done = false; !done; spend(10)) {
        const std::unique_lock lock(timed_mutex, moment);
        if (lock) {
            turn |= gives;
            done = turn;
        }
    }
}

static void by_shared_mutex(bool gives)
{
    if (gives)
        return by(shared_mutex, true);
    for (bool done = false; !done; spend(10)) {
        const std::shared_lock lock(shared_mutex);
        done = turn;
    }
}

template <class Condition> static void by_conditions(Condition &which, bool gives)
{
    std::unique_lock lock(mutex);
    if (gives) {
        turn = 1;
        which.notify_all();
    }
    which.wait(lock, [] { return turn; });
}

static void by_condition(bool gives)
{
    by_conditions(condition, gives);
}

static void by_any_condition(bool gives)
{
    by_conditions(any_condition, gives);
}

static void by_condition_until(bool gives)
{
    std::unique_lock lock(mutex);
    if (gives) {
        turn = 1;
        condition.notify_one();
    }
    while (!condition.wait_for(lock, moment, [] { return turn; }))
        ;
}

/* The end of a thread, and of all that it has of its own. */
static void by_exit(bool gives)
{
    if (gives)
        return std::thread([] {
                   std::unique_lock lock(mutex);
                   turn = 1;
                   std::notify_all_at_thread_exit(condition, std::move(lock));
               }).detach();
    by_condition(false);
}

static std::promise<int> promise, broken, late;

static void by_promise(bool gives)
{
    if (gives)
        promise.set_value(1);
    else
        promise.get_future().get();
}

static void by_future_until(bool gives)
{
    if (gives)
        return late.set_value(1);
    std::shared_future<int> future = late.get_future().share();
    while (future.wait_for(moment) != std::future_status::ready)
        ;
}

static void by_exception(bool gives)
{
    if (gives)
        return broken.set_exception(std::make_exception_ptr(Broken()));
    try {
        broken.get_future().get();
        fail("it was kept");
    } catch (const Broken &) {
    }
}

static std::packaged_task<int(int)> task([](int value) { return value; });

static void by_task(bool gives)
{
    if (gives)
        task(1);
    else
        task.get_future().get();
}

static void by_async(bool gives)
{
    if (gives)
        semaphore.release();
    else
        std::async(std::launch::async, [] { semaphore.acquire(); }).get();
}

static void by_jthread(bool gives)
{
    if (gives)
        return semaphore.release();
    std::jthread waiter([](std::stop_token) { semaphore.acquire(); });
}

/* What is done once comes before everybody's return. */
static void by_once(bool gives)
{
    std::call_once(once, [] { mine[DATA + 64 * 63] = 1; });
    if (!gives)
        mine[DATA + 64 * 63] = 2;
    gives ? semaphore.release() : semaphore.acquire();
}

/* And where it is left, before who does it then. */
static void by_once_left(bool gives)
{
    for (bool done = false; !done; spend(10))
        try {
            std::call_once(once_left, [gives] {
                turn |= gives;
                if (gives || !turn)
                    throw Broken();
            });
            done = true;
        } catch (const Broken &) {
            done = gives;
        }
}

static int made(bool by_this)
{
    if (!by_this)
        throw Broken();
    spend(2000); /* that the other one may wait for it */
    return 1;
}

/* A variable is made, by who gives. */
static void by_static(bool gives)
{
    for (bool done = false; !done; spend(10))
        try {
            static int variable = made(gives);
            done = variable;
        } catch (const Broken &) {
        }
}

/* Who gives does not make it, but has been at it. */
static void by_static_left(bool gives)
{
    for (bool done = false; !done; spend(10))
        try {
            static int variable = (turn |= gives, made(turn && !gives));
            done = variable;
        } catch (const Broken &) {
            done = gives;
        }
}

static void by_word(bool gives)
{
    if (gives) {
        word.store(1, std::memory_order_release);
        word.notify_one();
    } else
        word.wait(0, std::memory_order_acquire);
}

static void by_flag(bool gives)
{
    if (gives)
        flag.test_and_set();
    while (!flag.test())
        spend(10);
}

static void by_semaphore(bool gives)
{
    gives ? semaphore.release() : semaphore.acquire();
}

static void by_semaphore_until(bool gives)
{
    if (gives)
        semaphore.release();
    else
        while (!semaphore.try_acquire_for(moment))
            ;
}

static void by_latch(bool)
{
    latch.arrive_and_wait();
}

static void by_barrier(bool)
{
    barrier.arrive_and_wait();
}

static void by_shared(bool gives)
{
    if (gives)
        std::atomic_store(&shared, std::make_shared<int>(1));
    while (!std::atomic_load(&shared))
        spend(10);
}

static void by_atomic_shared(bool gives)
{
    if (gives)
        atomic_shared = std::make_shared<int>(1);
    while (!atomic_shared.load())
        spend(10);
}

static void by_stop(bool gives)
{
    if (gives)
        source.request_stop();
    while (!source.get_token().stop_requested())
        spend(10);
}

/* A stream of a pipe. */
static void by_stream(bool gives)
{
    __gnu_cxx::stdio_filebuf<char> buffer(ends[gives], gives ? std::ios::out : std::ios::in);
    std::iostream stream(&buffer);
    if (gives)
        stream << 'x' << std::flush;
    else if (stream.get() != 'x')
        fail("another one was sent");
}

/* Numbers that are given in turn. */
static void by_number(bool gives)
{
    if (gives)
        (void)std::ios_base::xalloc();
    else
        for (int next; (next = std::ios_base::xalloc()) == number + 1; number = next)
            spend(10);
}

/* Who uses something last destroys it; then one lets the other one go on. */
static void by_last(bool gives)
{
    mine[DATA + 64 * (60 + gives)] = 1;
    if (gives)
        held[1] = nullptr;
    else
        try {
            std::rethrow_exception(std::move(held[0]));
        } catch (const Last &) {
        }
    by_semaphore(gives);
}

/* Memory of a segment, from a pool. */
static void by_pool(bool gives)
{
    static std::pmr::monotonic_buffer_resource room(mine + 32768, 16384, std::pmr::null_memory_resource());
    static std::pmr::synchronized_pool_resource pool(std::pmr::pool_options{4, 64}, &room);
    for (int i = 0; i < 100; i++) {
        char *const block = static_cast<char *>(pool.allocate(48));
        *block = 1;
        if (i < 99)
            pool.deallocate(block, 48);
        else if (gives)
            shared = std::shared_ptr<int>(reinterpret_cast<int *>(block), [](int *last) { pool.deallocate(last, 48); });
        else
            pool.deallocate(block, 48);
    }
    by_semaphore(gives);
    if (gives)
        apart.acquire();
    else {
        shared.reset();
        for (int i = 0; i < 8; i++)
            *static_cast<char *>(pool.allocate(48)) = 2;
        apart.release();
    }
}

static void (*const things[])(bool) = {
    by_mutex,     by_recursive_mutex, by_timed_mutex, by_shared_mutex, by_condition,   by_any_condition, by_condition_until,
    by_exit,      by_promise,         by_future_until, by_exception,   by_task,        by_async,         by_jthread,
    by_once,      by_once_left,       by_static,      by_static_left,  by_word,        by_flag,          by_semaphore,
    by_semaphore_until, by_latch,     by_barrier,     by_shared,       by_atomic_shared, by_stop,        by_stream,
    by_number,    by_last,            by_pool,        none,
};
enum { THINGS = sizeof things / sizeof things[0] };

static void thread()
{
    for (int i = 0; i < THINGS - good; i++) {
        /* Not before the other one is ready for it. */
        if (i > 0)
            pthread_barrier_wait(&ready_for_next);
        mine[DATA + 64 * i] = 1; /* SITE */
        things[i](true);
    }
}

static void owner()
{
    pthread_barrier_init(&ready_for_next, NULL, 2);
    check(pipe(ends), "pipe");
    held[0] = held[1] = std::make_exception_ptr(Last());
    std::thread other(thread);
    for (int i = 0; i < THINGS - good; i++) {
        if (i > 0) {
            turn = 0;
            shared.reset();
            number = std::ios_base::xalloc();
            pthread_barrier_wait(&ready_for_next);
        }
        things[i](false);
        mine[DATA + 64 * i] = 2; /* SITE */
    }
    other.join();
    mine[DATA] = 3;
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        owner();
    return finish();
}
