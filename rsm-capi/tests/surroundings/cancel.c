/* Threads that are cancelled while they call the library. Each story prints a line and returns, or exits with 1. */
#include "surroundings.h"
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

static rsmapi_controller_handle_t controller;
static rsm_memseg_export_handle_t exported;
static rsm_memseg_import_handle_t imported;
static int cleaned, nothing_comes = 1;

static void *memory(void)
{
    void *m = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(m != MAP_FAILED);
    return m;
}

static int state_of(int thread)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *f = fopen(path, "r");
    MUST(f != NULL);
    MUST(fgets(text, sizeof text, f) != NULL);
    fclose(f);
    return strrchr(text, ')')[2];
}

static volatile int sleeper;

/* Waits until the thread that said its number sleeps. */
static void until_asleep(void)
{
    while (sleeper == 0 || state_of(sleeper) != 'S')
        sched_yield();
}

static void clean(void *unused)
{
    (void)unused;
    cleaned++;
    /* The library is usable while a thread is unwound: another wait, that ends by itself. */
    if (nothing_comes)
        MUST(rsm_intr_signal_wait(exported, 1) == RSMERR_TIMEOUT);
}

static void *wait_for_ever(void *handle)
{
    pthread_cleanup_push(clean, NULL);
    sleeper = (int)syscall(SYS_gettid);
    MUST(rsm_intr_signal_wait(handle, -1) == RSM_SUCCESS);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *poll_for_ever(void *handle)
{
    struct pollfd fd;
    int ready;
    pthread_cleanup_push(clean, NULL);
    MUST(rsm_memseg_get_pollfd(handle, &fd) == 0);
    sleeper = (int)syscall(SYS_gettid);
    MUST(rsm_intr_signal_wait_pollfd(&fd, 1, -1, &ready) == RSM_SUCCESS);
    pthread_cleanup_pop(0);
    return NULL;
}

/* Waits until it is given a signal, and says so. */
static void *wait_once(void *handle)
{
    return rsm_intr_signal_wait(handle, 20000) == RSM_SUCCESS ? handle : NULL;
}

static void cancel_sleeper(void *(*body)(void *), void *handle)
{
    pthread_t thread;
    void *result;
    sleeper = 0;
    cleaned = 0;
    MUST(pthread_create(&thread, NULL, body, handle) == 0);
    until_asleep();
    MUST(pthread_cancel(thread) == 0);
    MUST(pthread_join(thread, &result) == 0);
    MUST(result == PTHREAD_CANCELED);
    MUST(cleaned == 1);
}

/* Every call that asks the agent or takes a lock, with a cancellation pending: none acts on it. */
static void *all_calls(void *unused)
{
    rsm_memseg_export_handle_t e;
    rsm_memseg_import_handle_t i;
    rsmapi_controller_handle_t c;
    rsmapi_barrier_t b;
    rsm_topology_t *t;
    rsm_memseg_id_t id = 0;
    struct pollfd fd;
    uint64_t word = 7;
    void *m = memory(), *p;
    (void)unused;
    pthread_cancel(pthread_self());
    MUST(rsm_get_controller("shm0", &c) == 0);
    MUST(rsm_get_interconnect_topology(&t) == 0);
    MUST(rsm_memseg_export_create(c, &e, m, 65536, RSM_ALLOW_REBIND) == 0);
    MUST(rsm_memseg_export_publish(e, &id, NULL, 0) == 0);
    MUST(rsm_memseg_export_republish(e, NULL, 0) == 0);
    MUST(rsm_memseg_import_connect(c, t->topology_hdr.local_nodeid, id, RSM_PERM_RDWR, &i) == 0);
    MUST(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b) == 0);
    MUST(rsm_memseg_import_put64(i, 0, &word, 1) == 0);
    MUST(rsm_memseg_import_map(i, &p, RSM_MAP_NONE, RSM_PERM_RDWR, 0, 65536) == RSMERR_SEG_ALREADY_MAPPED);
    MUST(rsm_memseg_get_pollfd(e, &fd) == 0);
    MUST(rsm_intr_signal_post(i, 0) == 0);
    MUST(rsm_intr_signal_wait(e, 0) == 0); /* pending: taken without a sleep */
    MUST(rsm_memseg_release_pollfd(e) == 0);
    MUST(rsm_memseg_import_destroy_barrier(&b) == 0);
    MUST(rsm_memseg_import_unmap(i) == 0);
    MUST(rsm_memseg_import_disconnect(i) == 0);
    MUST(rsm_memseg_export_unpublish(e) == 0);
    MUST(rsm_memseg_export_rebind(e, memory(), 0, 65536) == 0);
    MUST(rsm_memseg_export_destroy(e) == 0);
    rsm_free_interconnect_topology(t);
    MUST(rsm_release_controller(c) == 0);
    cleaned = 1;
    pthread_testcancel();
    MUST(!"reached");
    return NULL;
}

void cancelled_threads(void)
{
    pthread_t thread;
    void *result;
    rsm_memseg_id_t id = 0x400000;
    rsmapi_barrier_t barrier;
    MUST(rsm_get_controller("shm0", &controller) == 0);
    MUST(rsm_memseg_export_create(controller, &exported, memory(), 65536, 0) == 0);
    MUST(rsm_memseg_export_publish(exported, &id, NULL, 0) == 0);
    MUST(rsm_memseg_import_connect(controller, node(), id, RSM_PERM_RDWR, &imported) == 0);
    MUST(rsm_memseg_import_init_barrier(imported, RSM_BARRIER_NODE, &barrier) == 0);

    MUST(pthread_create(&thread, NULL, all_calls, NULL) == 0);
    MUST(pthread_join(thread, &result) == 0);
    MUST(result == PTHREAD_CANCELED && cleaned == 1);
    puts("requests do not act on it");

    for (int i = 0; i < 20; i++) {
        cancel_sleeper(wait_for_ever, exported);
        cancel_sleeper(poll_for_ever, exported);
    }
    /* Every descriptor's holder was counted: as many releases as there were requests. */
    for (int i = 0; i < 20; i++)
        MUST(rsm_memseg_release_pollfd(exported) == 0);
    puts("waits that sleep do");

    /* What is posted afterwards finds who waits, and nobody takes a signal for the dead. */
    MUST(rsm_intr_signal_post(imported, 0) == 0);
    MUST(rsm_intr_signal_wait(exported, 0) == 0);
    MUST(rsm_intr_signal_wait(exported, 0) == RSMERR_TIMEOUT);
    puts("signals are for the living");

    /* Cancelled at the very moment of the post: the signal is taken by one of the two, and never by none. */
    nothing_comes = 0;
    for (int i = 0; i < 200; i++) {
        pthread_t other;
        sleeper = 0;
        MUST(pthread_create(&thread, NULL, wait_for_ever, exported) == 0);
        until_asleep();
        MUST(pthread_create(&other, NULL, wait_once, exported) == 0);
        MUST(rsm_intr_signal_post(imported, 0) == 0);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED)
            MUST(rsm_intr_signal_post(imported, 0) == 0);
        MUST(pthread_join(other, &result) == 0);
        MUST(result == exported);
    }
    puts("a wake is handed on");
    MUST(rsm_memseg_import_disconnect(imported) == 0);
    MUST(rsm_memseg_export_destroy(exported) == 0);
}

/* Transfers that take so long that the library sleeps in them, with a cancellation pending. */
static void *slow_transfers(void *unused)
{
    rsmapi_barrier_t barrier;
    void *m = memory();
    (void)unused;
    MUST(rsm_memseg_import_init_barrier(imported, RSM_BARRIER_NODE, &barrier) == 0);
    pthread_cancel(pthread_self());
    MUST(rsm_memseg_import_put(imported, 0, m, 65536) == 0);
    MUST(rsm_memseg_import_get(imported, 0, m, 65536) == 0);
    MUST(rsm_memseg_import_set_mode(imported, RSM_BARRIER_MODE_EXPLICIT) == 0);
    MUST(rsm_memseg_import_open_barrier(&barrier) == 0);
    MUST(rsm_memseg_import_put(imported, 0, m, 65536) == 0);
    MUST(rsm_memseg_import_order_barrier(&barrier) == 0);
    MUST(rsm_memseg_import_put(imported, 0, m, 65536) == 0);
    MUST(rsm_memseg_import_close_barrier(&barrier) == 0);
    cleaned = 1;
    pthread_testcancel();
    MUST(!"reached");
    return NULL;
}

void cancelled_transfers(void)
{
    pthread_t thread;
    void *result;
    rsm_memseg_id_t id = 0x400000;
    MUST(rsm_get_controller("shm0", &controller) == 0);
    MUST(rsm_memseg_export_create(controller, &exported, memory(), 65536, 0) == 0);
    MUST(rsm_memseg_export_publish(exported, &id, NULL, 0) == 0);
    MUST(rsm_memseg_import_connect(controller, node(), id, RSM_PERM_RDWR, &imported) == 0);
    MUST(pthread_create(&thread, NULL, slow_transfers, NULL) == 0);
    MUST(pthread_join(thread, &result) == 0);
    MUST(result == PTHREAD_CANCELED && cleaned == 1);
}
