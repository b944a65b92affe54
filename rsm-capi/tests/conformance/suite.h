/*
 * The conformance suite: what its files share.
 *
 * An assertion is a function that returns when the assertion holds. It registers itself with ASSERTION(), runs in a
 * process of its own, and is given a context: which controller, and whether the peer is a process of the same node or
 * of another one. Three parts help it:
 *
 *   checks (main.c)   OK, EXPECT, CHECK, skip; the first that does not hold ends the process
 *   peers (peer.c)    other processes, which do what they are asked to, one message at a time
 *   scenes (scene.c)  an export E, an import I of it and a barrier B; E is the peer's where there are two nodes
 */
#ifndef SUITE_H
#define SUITE_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <rsmapi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* Where an assertion applies. */
enum context {
    ONCE = 1,     /* no controller is concerned, or it makes no difference which */
    LOOPBACK = 2, /* the controller loopback */
    SHM0 = 4,     /* the controller shm0 of a cluster of one node */
    NODES = 8,    /* shm0, and the peer is a process of another node */
};
#define LOCAL (LOOPBACK | SHM0)      /* everything happens on one node */
#define ALL (LOOPBACK | SHM0 | NODES)

/* The context of this run. */
extern enum context context;

/* Defines assertion `number`, in words, with the contexts it applies to. */
#define ASSERTION(number, contexts, words)                                                                             \
    static void assertion_##number(void);                                                                              \
    __attribute__((constructor)) static void enter_##number(void)                                                      \
    {                                                                                                                  \
        enter(number, contexts, words, assertion_##number);                                                            \
    }                                                                                                                  \
    static void assertion_##number(void)

void enter(int number, int contexts, const char *words, void (*run)(void));

/* Checks. */
#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, "%s", #condition))
#define EXPECT(code, call) expect(__FILE__, __LINE__, #call, (code), (call))
#define OK(call) EXPECT(RSM_SUCCESS, call)
#define SAME(left, right, length) CHECK(memcmp((left), (right), (length)) == 0)
#define FILLED(memory, byte, length) CHECK(is_filled((memory), (byte), (length)))

/* Waits for something that others bring about; the deadline is the assertion's. */
#define EVENTUALLY(milliseconds, condition)                                                                            \
    do {                                                                                                               \
        const int64_t deadline_ = now_ms() + (milliseconds);                                                           \
        while (!(condition)) {                                                                                         \
            if (now_ms() > deadline_)                                                                                  \
                fail(__FILE__, __LINE__, "not within %d ms: %s", (int)(milliseconds), #condition);                     \
            breathe();                                                                                                 \
        }                                                                                                              \
    } while (0)

__attribute__((noreturn, format(printf, 3, 4))) void fail(const char *file, int line, const char *format, ...);
__attribute__((noreturn, format(printf, 1, 2))) void skip(const char *format, ...);
void expect(const char *file, int line, const char *call, int expected, int code);
bool is_filled(const volatile void *memory, unsigned char byte, size_t length);
int64_t now_ms(void);
void breathe(void); /* a millisecond for others, between two looks */
int turns(int all); /* so many with RSM_TESTS=all; otherwise a fifth */

/* Memory. Sizes in pages. */
#define P page_size()
size_t page_size(void);
unsigned char *pages(size_t count);      /* private, anonymous, zero */
void fill(void *memory, uint32_t seed, size_t length); /* a pattern that no other seed gives */
bool is_pattern(const void *memory, uint32_t seed, size_t length);

/* Processes and threads. */
unsigned deadline_seconds(void);         /* for the whole of one run; the runner has a longer one */
pid_t fork_child(void);                  /* fork; the child has a deadline and ends with its parent */
void join_child(pid_t child);            /* it must end with exit code 0 */
void drop_to_nobody(void);               /* from root to an unprivileged user; does nothing for others */
void drop_but_for_group(void);           /* the same, and the group of root stays as a supplementary one */
int through_a_lens(void);                /* stores and signals are late */
int signals_are_late(void);              /* that, or between two hosts */
void need_root(void);                    /* skips for others than root */
extern pid_t orphan;                     /* killed when a check fails */
pid_t thread_id(void);
void until_asleep(pid_t thread);         /* a thread of this process sleeps in the kernel, or has */
void *start(void *(*body)(void *), void *argument, pthread_t *thread);

#define NOBODY 65534

/* The controller of this context, and the node this process belongs to. */
const char *controller_name(void);
rsmapi_controller_handle_t open_controller(void);
rsm_node_id_t local_node(void);

/* A list that lets one node in. */
#define ENTRY(node, permission)                                                                                        \
    (rsmapi_access_entry_t[])                                                                                          \
    {                                                                                                                  \
        { (node), (permission) }                                                                                       \
    }

/* Peers: another process, of this node or (in NODES) of another. */
enum act {
    NODE,       /* -> its node */
    DROP,       /* to the unprivileged user; a: it stays in the group of root */
    CREATE,     /* a pages, flags b: memory and an export */
    PUBLISH,    /* id a, access list -> id */
    UNPUBLISH,
    REPUBLISH,  /* access list */
    REBIND,     /* to new memory, every byte a */
    DESTROY,
    READ,       /* length bytes from offset a of the memory of the export -> data */
    READ_OLD,   /* the same of the memory before the rebind */
    WRITE,      /* data, to offset a */
    POST,       /* flags a: on the export */
    WAIT,       /* timeout a: on the export */
    CONNECT,    /* node a, id b, permission c: an import, with a barrier */
    DISCONNECT,
    PUT,        /* data, to offset a of the import */
    GET,        /* length bytes from offset a of the import -> data */
    MAP,        /* the whole import, read and write */
    STORE,      /* byte b to every byte of the mapping, b pages of it in a */
    LOADS,      /* every byte of a pages of the mapping is b */
    WAIT_IMPORT, /* timeout a */
    POST_IMPORT, /* flags a */
    FORK_AND_END, /* leaves a child behind, which holds what it inherited; -> the child */
    EXEC,       /* becomes another program, which lives on */
    END,        /* without taking anything back */
};

struct message {
    enum act act;
    int code; /* of the answer */
    uint64_t a, b, c;
    uint32_t list_length;
    rsmapi_access_entry_t list[2];
    size_t length;
    unsigned char data[1024];
};

struct peer {
    pid_t process;
    int channel;
};

/* Starts one. In NODES, before this process has used the library: its environment is another. */
struct peer *start_peer(void);
int ask(struct peer *peer, enum act act, uint64_t a, uint64_t b, uint64_t c);
struct message ask_message(struct peer *peer, struct message message);
void tell(struct peer *peer, enum act act, uint64_t a, uint64_t b, uint64_t c); /* the answer comes later */
struct message hear(struct peer *peer);
void kill_peer(struct peer *peer);
void await_end(struct peer *peer);       /* it ends by itself */
void end_peers(void);
void serve_as_idle_program(void);

/* Scenes. */
#define ID 0x400000
#define PAGES 4
#define SZ ((size_t)PAGES * P)

struct scene {
    rsmapi_controller_handle_t controller;
    struct peer *peer;         /* who exports, or NULL: this process */
    rsm_node_id_t node;        /* where E is */
    rsm_memseg_id_t id;
    unsigned char *memory;     /* of E, if E is this process's */
    rsm_memseg_export_handle_t e;
    rsm_memseg_import_handle_t i;
    rsmapi_barrier_t b;
};

void begin(struct scene *scene);                          /* controller, and the peer in NODES */
void begin_far(struct scene *scene);                      /* the same, with a peer in every context */
void export_to(struct scene *scene, unsigned flags, rsmapi_access_entry_t *list, unsigned length);
void import(struct scene *scene, rsm_permission_t permission); /* I and B */
void stage(struct scene *scene);                          /* begin, E to everybody, I with read and write */
void explicit_mode(struct scene *scene);
void *map_all(struct scene *scene);                       /* I, read and write */

int e_publish(struct scene *scene, rsm_memseg_id_t id, rsmapi_access_entry_t *list, unsigned length);
int e_unpublish(struct scene *scene);
int e_republish(struct scene *scene, rsmapi_access_entry_t *list, unsigned length);
int e_destroy(struct scene *scene);
int e_rebind(struct scene *scene, unsigned char byte);    /* to new memory, every byte the same */
int e_post(struct scene *scene, unsigned flags);
int e_wait(struct scene *scene, int timeout);
void arrive(struct scene *scene); /* waits for what was put in explicit mode, and stored to mappings */
void e_read(struct scene *scene, size_t offset, void *to, size_t length);
void e_read_old(struct scene *scene, size_t offset, void *to, size_t length);
void e_write(struct scene *scene, size_t offset, const void *from, size_t length);
bool e_filled(struct scene *scene, unsigned char byte);
void e_fill(struct scene *scene, unsigned char byte);

#endif
