// What orders threads, in C++: its threads and locks are the C library's, some of them called in a library of its own.
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <pthread.h>
#include <semaphore.h>
#include <thread>
#include "recorder.h"

static char memory[64];
static std::mutex mutex;
static std::condition_variable ready;
static std::atomic<int> flag;
static pthread_rwlock_t readers = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static bool is_ready;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void nothing()
{
    std::puts("once");
}

int main()
{
    watch(memory, sizeof memory);
    sem_init(&semaphore, 0, 0);
    name_sync(0, mutex.native_handle());
    name_sync(1, &flag);
    name_sync(2, &readers);
    name_sync(3, &semaphore);
    name_sync(4, &once);
    std::thread other([] {
        std::lock_guard<std::mutex> guard(mutex); // acquire 0
        is_ready = true;
        ready.notify_one();
    }); // release 0
    name_sync(5, reinterpret_cast<void *>(other.native_handle()));
    other.join(); // release 5, acquire 5
    {
        std::unique_lock<std::mutex> guard(mutex); // acquire 0
        ready.wait_for(guard, std::chrono::milliseconds(1), [] { return !is_ready; }); // release 0, acquire 0
    } // release 0
    flag.store(1); // release 1
    flag.load();   // acquire 1
    pthread_rwlock_rdlock(&readers); // acquire 2
    pthread_rwlock_unlock(&readers); // release 2
    sem_post(&semaphore); // release 3
    sem_wait(&semaphore); // acquire 3
    pthread_once(&once, nothing); // release 4, acquire 4
    try {
        throw 1;
    } catch (int) {
        std::puts("caught");
    }
}
