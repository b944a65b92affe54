/*
 * What the programs of this folder share. They are built as any other program, so their own stores are told by nobody: what
 * `rsm-ctl run --race=pages` has to find, and where it has to be silent.
 */
#include "../race.h"

#include <fcntl.h>
#include <unistd.h>

/* A place for words that the RSMAPI knows nothing of: what is ordered by them alone is ordered by nothing. */
static const char *aside(void)
{
    const char *const path = getenv("LITMUS_ASIDE");
    if (path == NULL)
        fail("LITMUS_ASIDE names no file");
    return path;
}

static void say_aside(void)
{
    const int file = open(aside(), O_CREAT | O_WRONLY, 0600);
    if (file < 0)
        fail("%s cannot be made", aside());
    close(file);
}

static void await_aside(void)
{
    const uint64_t deadline = milliseconds() + PATIENCE;
    while (access(aside(), F_OK) != 0) {
        if (milliseconds() > deadline)
            fail("node %u has waited for %s", (unsigned)me, aside());
        spend(500);
    }
}

/* A call that tells nobody anything, and takes nothing. */
static void call(void)
{
    const int error = rsm_intr_signal_wait(exported, 0);
    if (error != RSMERR_TIMEOUT)
        check(error, "rsm_intr_signal_wait");
}
