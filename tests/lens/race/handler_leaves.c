/*
 * handlers / A handler leaves by siglongjmp, mostly while an access is being told. What comes after that is told as ever: node 2 puts
 * where node 1 has put, once a word has told it so; that comes before the end of node 1's span. Repaired, behind it.
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

/* Touches memory of the segment that nobody else does. */
__attribute__((noinline)) static void touch(unsigned long many)
{
    char *const own = mine + SEGMENT - 4096;
    for (unsigned long i = 0; i < many; i++)
        own[i % 64] = (char)i;
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

static void first(void)
{
    rsmapi_barrier_t barrier;
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    PUT(to, DATA, BYTES); /* SITE */
    if (good)
        CLOSE(barrier);
    tell(2, FLAG, 1);
    if (!good)
        CLOSE(barrier);
}

static void second(void)
{
    rsmapi_barrier_t barrier;
    const volatile uint64_t *const flag = (uint64_t *)(void *)(mine + FLAG);
    be_interrupted();
    const rsm_memseg_import_handle_t to = open_to(3, &barrier);
    while (*flag == 0)
        spend(10);
    PUT(to, DATA, BYTES); /* SITE */
    CLOSE(barrier);
}

int main(int argc, char **argv)
{
    ready(argc, argv, 3);
    if (me == 1)
        first();
    else if (me == 2)
        second();
    return finish();
}
