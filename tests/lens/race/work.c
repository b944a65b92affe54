/*
 * Programs that do something with memory of no segment, while there are segments below and above it, and how many milliseconds they
 * take; behind that what came of it. Run by told.rs. With -DOPENSHMEM as one of OpenSHMEM, whose segments are all its variables and
 * the symmetric heap.
 */
#define _GNU_SOURCE
#ifdef OPENSHMEM
#include <shmem.h>
#else
#include <rsmapi.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "timed.h"

enum { SEGMENT = 1 << 20 };

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *some(size_t bytes)
{
    void *const start = malloc(bytes);
    if (start == NULL)
        fail("no memory");
    return start;
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Words of a language that nobody speaks, some of them often. */
static char *text_of(size_t words, size_t *length)
{
    char *const text = some(words * 12 + 1), *at = text;
    uint64_t state = 88172645463325252;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = next(&state) % (1 + next(&state) % 5000);
        do
            *at++ = (char)('a' + word % 26);
        while ((word /= 26) > 0);
        *at++ = i % 9 == 8 ? '\n' : ' ';
    }
    *at = 0;
    *length = (size_t)(at - text);
    return text;
}

static int compare(const void *a, const void *b)
{
    const char *one = *(char *const *)a, *other = *(char *const *)b;
    while (*one != 0 && *one == *other)
        one++, other++;
    return (unsigned char)*one - (unsigned char)*other;
}

/* Sorts lines, each in memory of its own. */
static uint64_t sort_lines(void)
{
    size_t length, lines = 0;
    char *const text = text_of(200000, &length), *end;
    char **const all = some(length / 9 * sizeof *all);
    for (char *line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        all[lines] = some((size_t)(end - line) + 1);
        memcpy(all[lines], line, (size_t)(end - line));
        all[lines++][end - line] = 0;
    }
    qsort(all, lines, sizeof *all, compare);
    uint64_t sum = 0;
    for (size_t i = 0; i < lines; i++) {
        sum = sum * 31 + (unsigned char)all[i][i % 3 < strlen(all[i]) ? i % 3 : 0];
        free(all[i]);
    }
    free(all);
    free(text);
    return sum;
}

struct word {
    struct word *next;
    uint32_t hash, count;
    char letters[16];
};

/* Counts words in a table of lists. */
static uint64_t count_words(void)
{
    enum { SLOTS = 1 << 11 };
    size_t length;
    char *const text = text_of(400000, &length);
    struct word **const table = some(SLOTS * sizeof *table);
    memset(table, 0, SLOTS * sizeof *table);
    for (const char *at = text; *at != 0; at++) {
        const char *const from = at;
        uint32_t hash = 2166136261;
        for (; *at > ' '; at++)
            hash = (hash ^ (unsigned char)*at) * 16777619;
        struct word **place = &table[hash % SLOTS];
        for (; *place != NULL; place = &(*place)->next)
            if ((*place)->hash == hash && strncmp((*place)->letters, from, (size_t)(at - from)) == 0)
                break;
        if (*place == NULL) {
            *place = some(sizeof **place);
            **place = (struct word){.hash = hash};
            memcpy((*place)->letters, from, (size_t)(at - from));
        }
        (*place)->count++;
    }
    uint64_t sum = 0;
    for (size_t slot = 0; slot < SLOTS; slot++)
        for (struct word *word = table[slot], *after; word != NULL; word = after) {
            after = word->next;
            sum += (uint64_t)word->hash * word->count;
            free(word);
        }
    free(table);
    free(text);
    return sum;
}

/* Multiplies two matrices. */
static uint64_t multiply(void)
{
    enum { N = 256 };
    double *const a = some(N * N * sizeof *a), *const b = some(N * N * sizeof *b), *const c = some(N * N * sizeof *c);
    for (size_t i = 0; i < N * N; i++) {
        a[i] = (double)(i % 17);
        b[i] = (double)(i % 13);
        c[i] = 0;
    }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            const double factor = a[i * N + k];
            for (size_t j = 0; j < N; j++)
                c[i * N + j] += factor * b[k * N + j];
        }
    double sum = 0;
    for (size_t i = 0; i < N * N; i++)
        sum += c[i];
    free(a);
    free(b);
    free(c);
    return (uint64_t)sum;
}

/* Compresses: what was there before becomes a length and a distance. */
static uint64_t compress(void)
{
    enum { SLOTS = 1 << 14, LEAST = 4, MOST = 255 };
    size_t length, out = 0;
    char *const text = text_of(400000, &length);
    unsigned char *const packed = some(length * 2 + 1);
    uint32_t *const last = some(SLOTS * sizeof *last);
    memset(last, 0, SLOTS * sizeof *last);
    for (size_t at = 0; at < length;) {
        size_t same = 0, before = 0;
        if (at + LEAST <= length) {
            uint32_t four;
            memcpy(&four, text + at, sizeof four);
            uint32_t *const slot = &last[four * 2654435761u >> 18];
            before = *slot;
            *slot = (uint32_t)at;
            if (before < at && at - before < 65536)
                while (at + same < length && same < MOST && text[before + same] == text[at + same])
                    same++;
        }
        if (same >= LEAST) {
            packed[out++] = (unsigned char)same;
            packed[out++] = (unsigned char)(at - before);
            packed[out++] = (unsigned char)((at - before) >> 8);
            at += same;
        } else {
            packed[out++] = 0;
            packed[out++] = (unsigned char)text[at++];
        }
    }
    uint64_t sum = out;
    for (size_t i = 0; i < out; i++)
        sum = sum * 31 + packed[i];
    free(last);
    free(packed);
    free(text);
    return sum;
}

/* Whose places are on the stack. */
static uint64_t place_queens(int size, int row, uint32_t *columns)
{
    uint64_t ways = 0;
    if (row == size)
        return 1;
    for (int column = 0; column < size; column++) {
        int free = 1;
        for (int above = 0; above < row && free; above++) {
            const int other = (int)columns[above];
            free = other != column && other - column != row - above && column - other != row - above;
        }
        if (free) {
            columns[row] = (uint32_t)column;
            ways += place_queens(size, row + 1, columns);
        }
    }
    return ways;
}

static uint64_t queens(void)
{
    uint32_t columns[9];
    return place_queens(9, 0, columns);
}

static void measure(const char *name, uint64_t (*work)(void))
{
    double best = 1e18;
    uint64_t result = 0;
    for (int turn = 0; turn < 5; turn++) {
        const double from = now();
        result = work();
        const double took = now() - from;
        best = took < best ? took : best;
    }
    printf("%s = %llu %.4f\n", name, (unsigned long long)result, best / 1e6);
}

static void measure_all(void)
{
    stay();
    measure("sorts lines", sort_lines);
    measure("counts words", count_words);
    measure("multiplies matrices", multiply);
    measure("compresses", compress);
    measure("places queens", queens);
}

#ifdef OPENSHMEM

int main(void)
{
    shmem_init();
    if (shmem_malloc(SEGMENT) == NULL)
        fail("no memory on the symmetric heap");
    measure_all();
    shmem_finalize();
    return 0;
}

#else

static void check(int error, const char *call)
{
    if (error != RSM_SUCCESS)
        fail(call);
}

#define CHECK(call) check((call), #call)

/* The heap comes behind it. */
static _Alignas(1 << 16) char low[SEGMENT];

int main(void)
{
    rsmapi_controller_handle_t controller;
    rsm_memseg_export_handle_t exported[2];
    rsm_memseg_id_t id = 0x400000;
    rsmapi_access_entry_t of_this[] = {{.ae_node = 1, .ae_permission = RSM_ACCESS_TRUSTED}};
    void *const high = mmap(NULL, SEGMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (high == MAP_FAILED)
        fail("no memory");
    void *const segments[2] = {low, high};
    CHECK(rsm_get_controller("shm0", &controller));
    for (int i = 0; i < 2; i++, id++) {
        CHECK(rsm_memseg_export_create(controller, &exported[i], segments[i], SEGMENT, 0));
        CHECK(rsm_memseg_export_publish(exported[i], &id, of_this, 1));
    }
    measure_all();
    for (int i = 0; i < 2; i++)
        CHECK(rsm_memseg_export_destroy(exported[i]));
    CHECK(rsm_release_controller(controller));
    return 0;
}

#endif
