/* What the stories share. */
#define _GNU_SOURCE
#include <errno.h>
#include <rsmapi.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(so)                                                                            \
    do {                                                                                    \
        if (!(so)) {                                                                        \
            printf("%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #so, errno);       \
            fflush(stdout);                                                                 \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

/* The node that this process is of. */
static inline rsm_node_id_t node(void)
{
    const char *text = getenv("RSM_NODE_ID");
    return text ? (rsm_node_id_t)atoi(text) : 1;
}

void cancelled_threads(void);
void cancelled_transfers(void);
void changed_descriptors(void);
void stopped_parent(void);
