/* What the parts of the suite share. Each part is called by every PE, and begins and ends with a barrier. */
#ifndef SUITE_H
#define SUITE_H

#include <shmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types.h" /* RMA_TYPES(X) and so on, from the table: X(name, type) for each type */

extern int me, n;

#define CHECK(what)                                                                               \
    do {                                                                                          \
        if (!(what)) {                                                                            \
            fprintf(stderr, "PE %d of %d: %s:%d: %s\n", me, n, __FILE__, __LINE__, #what);        \
            exit(3);                                                                              \
        }                                                                                         \
    } while (0)

/* The next and the previous PE, of a ring. */
static inline int next_pe(void) { return (me + 1) % n; }
static inline int previous_pe(void) { return (me + n - 1) % n; }

void set_up(void);
void memory(void);
void transfers(void);
void atomics(void);
void old_atomics(void);
void signals(void);
void waits(void);
void collectives(void);
void active_sets(void);
void teams(void);
void contexts(void);
void locks(void);
void threads(void);
void generics(void);
void caches(void);
void corners(void);

#endif
