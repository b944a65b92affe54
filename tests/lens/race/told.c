/*
 * Loops on memory of no segment, and how many nanoseconds each step of one takes. Run by told.rs, which builds it with PLACE from 0 to 48:
 * so many bytes behind a line of the processor's caches its code begins, as what a short loop takes may depend on that.
 */
#define _GNU_SOURCE
#include <rsmapi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "timed.h"

enum { WORDS = 1024, SEGMENT = 1 << 16, MANY = 16 * SEGMENT };

#define TEXT_OF(place) #place
#define SKIP(place) __asm__(".text\n.p2align 6\n.fill " TEXT_OF(place) ", 1, 0x90")
SKIP(PLACE);

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

#define LOOPS(where, a)                                                              \
    do {                                                                             \
        uint64_t *const b = (a) + WORDS;                                             \
        scatter(b);                                                                  \
        MEASURE(where ": a[i]++", change(a, WORDS));                                 \
        MEASURE(where ": a[i] = 3 * b[i]", scale(a, b, WORDS));                      \
        MEASURE(where ": a[i] = a[i-1]^b[i]", fold(a, b, WORDS));                    \
        MEASURE(where ": a sum of a[i]", result += sum(a, WORDS));                   \
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

/* Memory there, or anywhere if that is NULL; without any access to it, addresses alone. */
static void *mapped(void *at, size_t length, int access)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at == NULL ? 0 : MAP_FIXED);
    void *const start = mmap(at, length, access, flags, -1, 0);
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
    /* 4 GiB below a segment is a granule with the same number. */
    const size_t apart = (size_t)1 << 32;
    const int access = PROT_READ | PROT_WRITE;
    char *const all = (char *)(((uintptr_t)mapped(NULL, apart + MANY, PROT_NONE) + SEGMENT - 1) & -(uintptr_t)SEGMENT);
    uint64_t *const alike = mapped(all, SEGMENT, access);
    void *const low = mapped(all + MANY, SEGMENT, access);
    uint64_t *const between = mapped(all + 2 * MANY, SEGMENT, access);
    void *const segment = mapped(all + apart, SEGMENT, access);
    stay();
    CHECK(rsm_get_controller("shm0", &controller));
    CHECK(rsm_memseg_export_create(controller, &exported, segment, SEGMENT, 0));
    CHECK(rsm_memseg_export_publish(exported, &id, of_this, 1));
    id++;
    CHECK(rsm_memseg_export_create(controller, &other, low, SEGMENT, 0));
    CHECK(rsm_memseg_export_publish(other, &id, of_this, 1));
    static uint64_t below[2 * WORDS];
    uint64_t above[2 * WORDS] = {0};
    if ((char *)below > all || (char *)segment > (char *)above) {
        fprintf(stderr, "memory is not where it was wanted\n");
        return 2;
    }
    LOOPS("below all segments", below);
    LOOPS("between two", between);
    LOOPS("above all", above);
    MEASURE("a granule with one: a[i]++", change(alike, WORDS));
    MEASURE("between two: a sort, each", (scatter(between), sort(between, WORDS)));
    CHECK(rsm_memseg_export_destroy(other));
    CHECK(rsm_memseg_export_destroy(exported));
    CHECK(rsm_release_controller(controller));
    return 0;
}
