/*
 * local, handlers / A handler leaves by siglongjmp, mostly while it is being told that a source of a putv is written to, with what it
 * holds already. Then it is changed, before the end of the span. Repaired, behind it.
 */
#include "race.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

enum { LEAVES = 50 };

static sigjmp_buf back;
static volatile sig_atomic_t inside, times;

static void leave(int number)
{
    (void)number;
    if (inside)
        siglongjmp(back, 1);
}

/* Not where it is changed: whoever wrote there would be named. */
__attribute__((noinline)) static void touch(unsigned long many)
{
    for (unsigned long i = 0; i < many; i++)
        block[BYTES / 2 + i % (BYTES / 2)] = 7;
}

static void be_interrupted(void)
{
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = leave;
    sigaction(SIGALRM, &action, NULL);
    /* What is found out once has been, so that nothing is left half done but what is told. */
    touch(100);
    setitimer(ITIMER_REAL, &often, NULL);
    if (sigsetjmp(back, 1) != 0)
        times = times + 1;
    if (times < LEAVES) {
        inside = 1;
        touch(1ul << 40);
    }
    inside = 0;
    setitimer(ITIMER_REAL, &never, NULL);
}

static void writer(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(2, &barrier);
    rsm_iovec_t entry;
    rsm_scat_gath_t request;
    memset(&entry, 0, sizeof entry);
    memset(&request, 0, sizeof request);
    entry.io_type = RSM_VA_TYPE;
    entry.local.vaddr = block;
    entry.remote_offset = DATA;
    entry.transfer_length = BYTES;
    request.io_request_count = 1;
    request.remote_handle = to;
    request.iovec = &entry;

    memset(block, 7, sizeof block);
    CHECK(rsm_memseg_import_putv(&request)); /* SITE */
    be_interrupted();
    if (!good)
        block[3] = 1; /* SITE */
    CLOSE(barrier);
    if (good)
        block[3] = 1;
}

int main(int argc, char **argv)
{
    ready(argc, argv, 2);
    if (me == 1)
        writer();
    return finish();
}
