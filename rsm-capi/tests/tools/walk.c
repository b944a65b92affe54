/*
 * Every kind of call once, for tools that look on.
 *
 *     walk              one process that imports what it exports
 *     walk forking      the same, with a child
 *     walk exporter     node 1; waits for a word from node 2 and answers
 *     walk importer     node 2
 *     walk keeping      one process that ends with every kind of handle alive and nowhere to be found but in the library
 */
#include <poll.h>
#include <pthread.h>
#include <rsmapi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID 0x400000
#define OK(call) is(#call, (call), 0)
#define IS(code, call) is(#call, (call), (code))

static void is(const char *what, int code, int expected)
{
    if (code == expected)
        return;
    printf("%s: %d, expected %d\n", what, code, expected);
    exit(1);
}

static void must(int condition, const char *what)
{
    if (condition)
        return;
    printf("not true: %s\n", what);
    exit(1);
}
#define MUST(condition) must((condition) ? 1 : 0, #condition)

static size_t length;

static char *memory(void)
{
    char *start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(start != MAP_FAILED);
    return start;
}

/* Counts in a word until it is told to end. */
static volatile uint64_t *counted;
static volatile int done;

static void *count(void *unused)
{
    (void)unused;
    uint64_t n = 0;
    while (!done)
        *counted = ++n;
    return (void *)(uintptr_t)n;
}

static rsmapi_controller_handle_t controller(void)
{
    char name[] = "shm0";
    rsmapi_controller_handle_t c;
    OK(rsm_get_controller(name, &c));
    return c;
}

static void transfers(rsm_memseg_import_handle_t i, rsm_node_id_t node)
{
    uint64_t value = 5, read = 0;
    char bytes[100] = "text", back[100];
    rsmapi_barrier_t b;
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b));
    OK(rsm_memseg_import_put64(i, 8, &value, 1));
    OK(rsm_memseg_import_get64(i, 8, &read, 1));
    MUST(read == 5);
    OK(rsm_memseg_import_put(i, 64, bytes, sizeof bytes));
    OK(rsm_memseg_import_get(i, 64, back, sizeof back));
    MUST(memcmp(bytes, back, sizeof back) == 0);
    rsm_iovec_t v[2] = {{RSM_VA_TYPE, {.vaddr = bytes}, 0, 200, 8}, {RSM_VA_TYPE, {.vaddr = bytes}, 0, 300, 50}};
    rsm_scat_gath_t g = {node, 2, 0, 0, i, v};
    OK(rsm_memseg_import_putv(&g));
    OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_EXPLICIT));
    OK(rsm_memseg_import_open_barrier(&b));
    OK(rsm_memseg_import_put64(i, 16, &value, 1));
    OK(rsm_memseg_import_order_barrier(&b));
    OK(rsm_memseg_import_close_barrier(&b));
    OK(rsm_memseg_import_set_mode(i, RSM_BARRIER_MODE_IMPLICIT));
    OK(rsm_memseg_import_unmap(i));
    /* Mapped anew with less, in part, and where the program wants it. */
    void *at = NULL;
    OK(rsm_memseg_import_map(i, &at, RSM_MAP_NONE, RSM_PERM_READ, (off_t)(length / 2), length / 2));
    MUST(((volatile char *)at)[0] == 0);
    OK(rsm_memseg_import_unmap(i));
    void *place = memory();
    at = place;
    OK(rsm_memseg_import_map(i, &at, RSM_MAP_FIXED, RSM_PERM_RDWR, 0, length));
    MUST(at == place && ((volatile uint64_t *)at)[1] == 5);
    ((volatile uint64_t *)at)[2] = 6;
    OK(rsm_memseg_import_unmap(i));
    OK(rsm_memseg_import_destroy_barrier(&b));
}

static void alone(void)
{
    rsmapi_controller_handle_t c = controller();
    rsm_memseg_export_handle_t e, twin;
    rsm_memseg_import_handle_t i;
    rsm_memseg_id_t id = ID;
    rsm_topology_t *topology;
    struct pollfd fd;
    int ready;
    OK(rsm_get_interconnect_topology(&topology));
    const rsm_node_id_t node = topology->topology_hdr.local_nodeid;
    rsm_free_interconnect_topology(topology);

    /* Exported while another thread stores to it. */
    char *start = memory(), *other = memory();
    strcpy(start + length / 2 + 8, "contents");
    counted = (volatile uint64_t *)(void *)start;
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, count, NULL) == 0);
    OK(rsm_memseg_export_create(c, &e, start, length, RSM_ALLOW_REBIND));
    OK(rsm_memseg_export_create(c, &twin, start, length, 0));
    done = 1;
    void *last;
    MUST(pthread_join(thread, &last) == 0);
    MUST(*counted == (uint64_t)(uintptr_t)last);
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_memseg_import_connect(c, node, id, RSM_PERM_RDWR, &i));
    transfers(i, node);
    MUST(((volatile uint64_t *)(void *)start)[2] == 6);

    OK(rsm_memseg_get_pollfd(e, &fd));
    OK(rsm_intr_signal_post(i, 0));
    OK(rsm_intr_signal_wait_pollfd(&fd, 1, 20000, &ready));
    MUST(ready == 1);
    OK(rsm_memseg_release_pollfd(e));
    OK(rsm_intr_signal_post(e, 0));
    OK(rsm_intr_signal_wait(i, 20000));
    IS(RSMERR_TIMEOUT, rsm_intr_signal_wait(e, 10));

    OK(rsm_memseg_export_destroy(twin));
    strcpy(other, "other");
    OK(rsm_memseg_export_rebind(e, other, 0, length));
    char text[6];
    rsmapi_barrier_t b;
    OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b));
    OK(rsm_memseg_import_get(i, 0, text, sizeof text));
    MUST(strcmp(text, "other") == 0 && strcmp(start + length / 2 + 8, "contents") == 0);
    OK(rsm_memseg_export_unpublish(e));
    IS(RSMERR_CONN_ABORTED, rsm_memseg_import_get(i, 0, text, sizeof text));
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_memseg_export_destroy(e));
    MUST(strcmp(other, "other") == 0);
    OK(rsm_release_controller(c));
    munmap(start, length);
    munmap(other, length);
}

/* A forked child is another process of the node. */
static void forking(void)
{
    rsmapi_controller_handle_t c = controller();
    rsm_memseg_export_handle_t e;
    rsm_memseg_import_handle_t i;
    rsm_memseg_id_t id = ID;
    char *start = memory();
    OK(rsm_memseg_export_create(c, &e, start, length, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_memseg_import_connect(c, 1, id, RSM_PERM_RDWR, &i));
    const pid_t child = fork();
    if (child == 0) {
        uint64_t value = 9;
        rsmapi_barrier_t b;
        OK(rsm_memseg_import_init_barrier(i, RSM_BARRIER_NODE, &b));
        OK(rsm_memseg_import_put64(i, 24, &value, 1));
        OK(rsm_intr_signal_post(i, 0));
        _exit(0);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child && status == 0);
    OK(rsm_intr_signal_wait(e, 20000));
    MUST(((volatile uint64_t *)(void *)start)[3] == 9);
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_memseg_export_destroy(e));
    OK(rsm_release_controller(c));
}

/* What the two nodes tell each other is in the segment and in signals. */
static void exporter(void)
{
    rsmapi_controller_handle_t c = controller();
    rsm_memseg_export_handle_t e;
    rsm_memseg_id_t id = ID;
    char *start = memory();
    OK(rsm_memseg_export_create(c, &e, start, length, 0));
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_intr_signal_wait(e, 60000));
    MUST(((volatile uint64_t *)(void *)start)[2] == 6);
    /* The importer keeps it mapped: it is taken away from it. */
    OK(rsm_memseg_export_unpublish(e));
    id++;
    OK(rsm_memseg_export_publish(e, &id, NULL, 0));
    OK(rsm_intr_signal_wait(e, 60000));
    MUST(((volatile uint64_t *)(void *)start)[2] == 6);
    OK(rsm_memseg_export_destroy(e));
    OK(rsm_release_controller(c));
}

static rsm_memseg_import_handle_t connect_to(rsmapi_controller_handle_t c, rsm_memseg_id_t id)
{
    rsm_memseg_import_handle_t i;
    int code;
    for (int k = 0; (code = rsm_memseg_import_connect(c, 1, id, RSM_PERM_RDWR, &i)) == RSMERR_SEG_NOT_PUBLISHED; k++) {
        MUST(k < 6000);
        usleep(10000);
    }
    OK(code);
    return i;
}

static void importer(void)
{
    rsmapi_controller_handle_t c = controller();
    rsm_memseg_import_handle_t i = connect_to(c, ID);
    transfers(i, 1);
    void *at = NULL;
    OK(rsm_memseg_import_map(i, &at, RSM_MAP_NONE, RSM_PERM_RDWR, 0, length));
    OK(rsm_intr_signal_post(i, 0));
    rsm_memseg_import_handle_t second = connect_to(c, ID + 1);
    IS(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(i, 60000));
    ((volatile uint64_t *)at)[2] = 7; /* into the void */
    OK(rsm_memseg_import_unmap(i));
    OK(rsm_memseg_import_disconnect(i));
    OK(rsm_intr_signal_post(second, 0));
    IS(RSMERR_CONN_ABORTED, rsm_intr_signal_wait(second, 60000));
    OK(rsm_memseg_import_disconnect(second));
    OK(rsm_release_controller(c));
}

/* What holds the handles is wiped before the end. */
static void keeping(void)
{
    struct held {
        rsmapi_controller_handle_t c;
        rsm_memseg_export_handle_t e;
        rsm_memseg_import_handle_t i;
        rsm_localmemory_handle_t l;
    } h;
    rsm_memseg_id_t id = ID;
    h.c = controller();
    char *start = memory();
    OK(rsm_memseg_export_create(h.c, &h.e, start, length, 0));
    OK(rsm_memseg_export_publish(h.e, &id, NULL, 0));
    OK(rsm_memseg_import_connect(h.c, 1, id, RSM_PERM_RDWR, &h.i));
    OK(rsm_create_localmemory_handle(h.c, &h.l, memory(), length));
    memset(&h, 0, sizeof h);
    __asm__ volatile("" : : "r"(&h) : "memory");
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "alone";
    length = 16 * (size_t)sysconf(_SC_PAGESIZE);
    if (strcmp(part, "exporter") == 0)
        exporter();
    else if (strcmp(part, "importer") == 0)
        importer();
    else if (strcmp(part, "forking") == 0)
        forking();
    else if (strcmp(part, "keeping") == 0)
        keeping();
    else
        alone();
    puts("walked");
    return 0;
}
