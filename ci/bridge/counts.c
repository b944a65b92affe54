/*
 * What one operation brings over the bridge between two hosts, for whoever counts there: ci/bridge.sh runs it in its machines, and looks
 * at what the bridge noted (ci/bridge/counts.awk).
 *
 *     counts have      on node 1: has memory
 *     counts use       on the last node, of the other host: marks, puts with a verdict each, marks, and so on
 *
 * A mark is a store of one byte, of which there is no other, to the last byte of the memory.
 */
#define _GNU_SOURCE

#include <rsm_ext.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DATA_ID 0x400000
#define BYTES (2 << 20)
#define KEEPER 1
/* For the other host, in milliseconds: longer than the run may take. */
#define PATIENCE 100000

/* As in counts.awk. */
#define PUTS 1000
#define LONG (1 << 20)
#define IN_A_SPAN 64
#define POSTS 100
#define GET 4096

static rsmapi_controller_handle_t controller;

static void check(int error, const char *call)
{
    if (error == RSM_SUCCESS)
        return;
    char text[512];
    rsm_ext_last_error(error, text, sizeof text);
    printf("%s: %s\n", call, text);
    exit(1);
}
#define CHECK(call) check((call), #call)

static void *pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return memory;
}

static void have(void)
{
    rsm_memseg_export_handle_t export;
    rsm_memseg_id_t id = DATA_ID;
    volatile uint64_t *const words = pages(BYTES);
    CHECK(rsm_memseg_export_create(controller, &export, (void *)words, BYTES, 0));
    CHECK(rsm_memseg_export_publish(export, &id, NULL, 0));
    /* Each put came, and the last signal came behind the last of them. */
    while (words[1] != PUTS)
        CHECK(rsm_intr_signal_wait(export, PATIENCE));
    CHECK(rsm_intr_signal_post(export, 0));
}

static void use(void)
{
    rsm_memseg_import_handle_t import;
    rsmapi_barrier_t barrier;
    uint8_t mark = 1;
    CHECK(rsm_ext_import_connect(controller, KEEPER, DATA_ID, RSM_PERM_RDWR, PATIENCE, &import));
    CHECK(rsm_memseg_import_init_barrier(import, RSM_BARRIER_SEGMENT, &barrier));
#define MARK CHECK(rsm_memseg_import_put8(import, BYTES - 1, &mark, 1))
    MARK;
    for (uint64_t number = 1; number <= PUTS; number++)
        CHECK(rsm_memseg_import_put64(import, 0, &number, 1));
    MARK;
    void *const from = pages(LONG);
    memset(from, 0x5a, LONG);
    CHECK(rsm_memseg_import_put(import, LONG / 2, from, LONG));
    MARK;
    CHECK(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
    CHECK(rsm_memseg_import_open_barrier(&barrier));
    for (uint64_t number = 1; number <= IN_A_SPAN; number++)
        CHECK(rsm_memseg_import_put64(import, 16, &number, 1));
    CHECK(rsm_memseg_import_close_barrier(&barrier));
    CHECK(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_IMPLICIT));
    MARK;
    for (int number = 1; number <= POSTS; number++)
        CHECK(rsm_intr_signal_post(import, 0));
    MARK;
    CHECK(rsm_memseg_import_get(import, 0, from, GET));
    MARK;
    const uint64_t puts = PUTS;
    CHECK(rsm_memseg_import_put64(import, 8, (uint64_t *)&puts, 1));
    CHECK(rsm_intr_signal_post(import, 0));
    CHECK(rsm_intr_signal_wait(import, PATIENCE));
    CHECK(rsm_memseg_import_disconnect(import));
}

int main(int count, char **words)
{
    char shm0[] = "shm0";
    rsm_node_id_t node;
    unsigned int nodes;
    setvbuf(stdout, NULL, _IOLBF, 0);
    CHECK(rsm_get_controller(shm0, &controller));
    CHECK(rsm_ext_node(controller, &node, &nodes));
    if (count == 2 && strcmp(words[1], "have") == 0) {
        if (node == KEEPER)
            have();
    } else if (count == 2 && strcmp(words[1], "use") == 0) {
        if (node == nodes)
            use();
    } else {
        fprintf(stderr, "usage: counts have|use\n");
        return 2;
    }
    return 0;
}
