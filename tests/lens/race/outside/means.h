/*
 * Nodes 1 and 2 put to the same bytes of node 3, one after the other: the first has put, and then tells the second, by a means
 * that is not of the RSMAPI. The program is right. It is told which means.
 *
 *     rsm-ctl run --race -n 3 -- ./means MEANS
 */
#include "../race.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* A name that this run alone knows. */
static const char *aside(void)
{
    const char *const path = getenv("LITMUS_ASIDE");
    if (path == NULL)
        fail("LITMUS_ASIDE names no file");
    return path;
}

#define NEEDS(what)                                                     \
    do                                                                  \
        if (!(what))                                                    \
            fail("node %u: %s: %s", (unsigned)me, #what, strerror(errno)); \
    while (0)

/* Waits until something is so. */
#define UNTIL(what)                                                                      \
    for (const uint64_t deadline = milliseconds() + PATIENCE; !(what); spend(200))       \
        if (milliseconds() > deadline)                                                   \
    fail("node %u has waited for %s", (unsigned)me, #what)
