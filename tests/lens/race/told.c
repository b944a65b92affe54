/*
 * Loops on memory of no segment, and how many nanoseconds each step of one takes. Run by told.rs.
 */
#define _GNU_SOURCE
#include <rsmapi.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

enum { WORDS = 1024, SEGMENT = 1 << 16 };

static uint64_t a[WORDS], b[WORDS];
volatile uint64_t result;

#define LOOP __attribute__((noinline)) static

/* Loads and stores. */
LOOP void change(uint64_t *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] += 1;
}

LOOP void scale(uint64_t *restrict to, const uint64_t *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i] * 3;
}

LOOP void fold(uint64_t *to, const uint64_t *from, size_t count)
{
    for (size_t i = 1; i < count; i++)
        to[i] = to[i - 1] ^ from[i];
}

/* Loads. */
LOOP uint64_t sum(const uint64_t *from, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++)
        all += from[i];
    return all;
}

/* Something that programs do. */
LOOP void sort(uint64_t *to, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < count; i++) {
            const uint64_t one = to[i];
            size_t at = i;
            for (; at >= gap && to[at - gap] > one; at -= gap)
                to[at] = to[at - gap];
            to[at] = one;
        }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

#define MEASURE(name, work)                                              \
    do {                                                                 \
        double best = 1e18;                                              \
        for (int turn = 0; turn < 7; turn++) {                           \
            const double from = now();                                   \
            for (int times = 0; times < 500; times++)                    \
                work;                                                    \
            const double took = now() - from;                            \
            best = took < best ? took : best;                            \
        }                                                                \
        printf(name " %.4f\n", best / 500 / WORDS);                      \
    } while (0)

static void scatter(uint64_t *to)
{
    uint64_t x = 88172645463325252;
    for (int i = 0; i < WORDS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        to[i] = x;
    }
}

static void stay(void)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
        }
    sched_setaffinity(0, sizeof one, &one);
}

static void *mapped(size_t length)
{
    void *const start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return start;
}

static void check(int error, const char *call)
{
    if (error != RSM_SUCCESS) {
        fprintf(stderr, "%s: %d\n", call, error);
        exit(1);
    }
}

#define CHECK(call) check((call), #call)

int main(void)
{
    rsmapi_controller_handle_t controller;
    rsm_memseg_export_handle_t exported, other;
    rsm_memseg_id_t id = 0x400000;
    rsmapi_access_entry_t of_this[] = {{.ae_node = 1, .ae_permission = RSM_ACCESS_TRUSTED}};
    void *const segment = mapped(SEGMENT);
    stay();
    CHECK(rsm_get_controller("shm0", &controller));
    CHECK(rsm_memseg_export_create(controller, &exported, segment, SEGMENT, 0));
    CHECK(rsm_memseg_export_publish(exported, &id, of_this, 1));
    scatter(b);
    MEASURE("loads and stores: a[i]++", change(a, WORDS));
    MEASURE("loads and stores: a[i] = 3 * b[i]", scale(a, b, WORDS));
    MEASURE("loads and stores: a[i] = a[i-1]^b[i]", fold(a, b, WORDS));
    MEASURE("loads: sum of a[i]", result += sum(a, WORDS));
    MEASURE("a sort of 1024 words, each", (scatter(a), sort(a, WORDS)));
    uint64_t on_stack[WORDS] = {0};
    MEASURE("above all segments: a[i]++", change(on_stack, WORDS));
    /* Where they are mapped, each below the one before. */
    uint64_t *const between = mapped(16 * SEGMENT);
    void *const second = mapped(16 * SEGMENT);
    id++;
    CHECK(rsm_memseg_export_create(controller, &other, second, 16 * SEGMENT, 0));
    CHECK(rsm_memseg_export_publish(other, &id, of_this, 1));
    if ((char *)between > (char *)segment || (char *)between < (char *)second) {
        fprintf(stderr, "what was mapped last is not below\n");
        return 2;
    }
    MEASURE("between two segments: a[i]++", change(between, WORDS));
    CHECK(rsm_memseg_export_destroy(other));
    CHECK(rsm_memseg_export_destroy(exported));
    CHECK(rsm_release_controller(controller));
    return 0;
}
