/*
 * threads / Threads write to the same places one after the other, each time handed over by something else that orders them.
 * Repaired, also the last
 * time.
 */
#include "race.h"

#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t semaphore;
static mtx_t mtx;
static cnd_t cnd;
static int turn, ends[2], event, word;
static volatile int flag;
static pthread_t giver;

/* Of each thing: what tells, and what waits for it. `turn` is kept by the lock that is meant. */
static void none(int gives)
{
    (void)gives;
}

static void by_mutex(int gives)
{
    for (int done = 0; !done; spend(10)) {
        if (gives ? pthread_mutex_lock(&mutex) : pthread_mutex_trylock(&mutex))
            continue;
        turn |= gives;
        done = turn;
        pthread_mutex_unlock(&mutex);
    }
}

static void by_condition(int gives)
{
    pthread_mutex_lock(&mutex);
    if (gives) {
        turn = 1;
        pthread_cond_broadcast(&condition);
    }
    while (!turn)
        pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void by_rwlock(int gives)
{
    for (int done = 0; !done; spend(10)) {
        (gives ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(&rwlock);
        if (gives)
            turn = 1;
        done = turn;
        pthread_rwlock_unlock(&rwlock);
    }
}

static void by_spin(int gives)
{
    for (int done = 0; !done; spend(10)) {
        pthread_spin_lock(&spin);
        turn |= gives;
        done = turn;
        pthread_spin_unlock(&spin);
    }
}

static void by_barrier(int gives)
{
    (void)gives;
    pthread_barrier_wait(&barrier);
}

static void by_semaphore(int gives)
{
    if (gives)
        sem_post(&semaphore);
    else
        while (sem_wait(&semaphore) != 0)
            ;
}

static void give_last(void)
{
    mine[DATA + 64 * 63] = 1;
}

static void by_once(int gives)
{
    /* What is done once comes before everybody's return. */
    pthread_once(&once, give_last);
    if (!gives)
        mine[DATA + 64 * 63] = 2;
    by_semaphore(gives);
}

static void by_pipe(int gives)
{
    char byte = 1;
    if (gives)
        check(write(ends[1], &byte, 1) != 1, "write");
    else
        check(read(ends[0], &byte, 1) != 1, "read");
}

static void by_event(int gives)
{
    eventfd_t count;
    struct pollfd polled = {.fd = event, .events = POLLIN};
    if (gives)
        eventfd_write(event, 1);
    else {
        poll(&polled, 1, PATIENCE);
        eventfd_read(event, &count);
    }
}

static void by_atomic(int gives)
{
    if (gives)
        __atomic_store_n(&turn, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&turn, __ATOMIC_ACQUIRE))
        spend(10);
}

static void by_update(int gives)
{
    int none = 0;
    if (gives)
        __atomic_fetch_add(&turn, 1, __ATOMIC_ACQ_REL);
    while (__atomic_compare_exchange_n(&turn, &none, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        spend(10);
}

static void by_fence(int gives)
{
    if (gives) {
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_store_n(&turn, 1, __ATOMIC_RELAXED);
    }
    while (!__atomic_load_n(&turn, __ATOMIC_RELAXED))
        spend(10);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static void by_volatile(int gives)
{
    if (gives)
        flag = 1;
    while (!flag)
        spend(10);
}

/* The word says so by itself only to who was not asleep. */
static void by_futex(int gives)
{
    if (gives) {
        __atomic_store_n(&word, 1, __ATOMIC_RELAXED);
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    } else
        while (!__atomic_load_n(&word, __ATOMIC_RELAXED))
            syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void by_mtx(int gives)
{
    mtx_lock(&mtx);
    if (gives) {
        turn = 1;
        cnd_signal(&cnd);
    }
    while (!turn)
        cnd_wait(&cnd, &mtx);
    mtx_unlock(&mtx);
}

static void by_signal(int gives)
{
    sigset_t set;
    int number;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (gives)
        pthread_kill(giver, SIGUSR1);
    else
        sigwait(&set, &number);
}

/* One that is waited for tells what it was told as the last thing that it did. */
static void *waiter(void *unused)
{
    by_semaphore(0);
    return unused;
}

static void by_waiter(int gives)
{
    pthread_t third;
    if (gives)
        sem_post(&semaphore);
    else {
        check(pthread_create(&third, NULL, waiter, NULL), "pthread_create");
        pthread_join(third, NULL);
    }
}

static void *poller(void *unused)
{
    while (!flag)
        spend(10);
    return unused;
}

static void by_poller(int gives)
{
    pthread_t third;
    if (gives)
        flag = 1;
    else {
        check(pthread_create(&third, NULL, poller, NULL), "pthread_create");
        pthread_join(third, NULL);
    }
}

static void (*const things[])(int) = {
    by_mutex, by_condition, by_rwlock, by_spin,  by_barrier, by_semaphore, by_once,   by_pipe,   by_event, by_atomic,
    by_update, by_fence,    by_volatile, by_futex, by_mtx,   by_signal,    by_waiter, by_poller, none,
};
enum { THINGS = sizeof things / sizeof things[0] };

static void *thread(void *unused)
{
    (void)unused;
    for (int i = 0; i < THINGS - good; i++) {
        /* Not before the other one is ready for it. */
        if (i > 0)
            pthread_barrier_wait(&barrier);
        mine[DATA + 64 * i] = 1; /* SITE */
        things[i](1);
    }
    return NULL;
}

static void owner(void)
{
    pthread_t other;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
    pthread_barrier_init(&barrier, NULL, 2);
    sem_init(&semaphore, 0, 0);
    mtx_init(&mtx, mtx_plain);
    cnd_init(&cnd);
    check(pipe(ends), "pipe");
    event = eventfd(0, 0);
    giver = pthread_self();
    check(pthread_create(&other, NULL, thread, NULL), "pthread_create");
    for (int i = 0; i < THINGS - good; i++) {
        if (i > 0) {
            turn = flag = 0;
            pthread_barrier_wait(&barrier);
        }
        things[i](0);
        mine[DATA + 64 * i] = 2; /* SITE */
    }
    pthread_join(other, NULL);
    mine[DATA] = 3;
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        owner();
    return finish();
}
