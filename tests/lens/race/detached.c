/*
 * threads / A thread that is detached may free the memory in which pthread_create has put its name.
 *
 * It may do so before pthread_create has returned, and gives the page back here. What a thread puts that comes later races with what
 * node 2 reads; by the first thread, before node 2 is told, it does not.
 */
#include "race.h"

#include <errno.h>
#include <semaphore.h>
#include <sys/mman.h>

enum { THREADS = 60 };

static sem_t done;

/* Where a thread's name stands is a page of its own, which goes with it. */
static void *page;

static void *vanish(void *nothing)
{
    pthread_detach(pthread_self());
    if (munmap(page, 4096) != 0)
        fail("munmap");
    sem_post(&done);
    return nothing;
}

static void await_done(void)
{
    while (sem_wait(&done) != 0 && errno == EINTR)
        ;
}

static void begin_many(void)
{
    for (int i = 0; i < THREADS; i++) {
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || pthread_create(page, NULL, vanish, NULL) != 0)
            fail("no thread");
        await_done();
    }
}

static rsmapi_barrier_t barrier;
static rsm_memseg_import_handle_t to;

static void *put(void *nothing)
{
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
    sem_post(&done);
    return nothing;
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1) {
        pthread_t thread;
        to = open_to(2, &barrier);
        sem_init(&done, 0, 0);
        begin_many();
        if (good) {
            put(NULL);
            await_done();
            tell(2, FLAG, 1);
        } else {
            if (pthread_create(&thread, NULL, put, NULL) != 0)
                fail("no thread");
            tell(2, FLAG, 1);
            pthread_join(thread, NULL);
        }
    } else {
        await(FLAG, 1);
        sink = mine[DATA]; /* SITE */
    }
    return finish();
}
