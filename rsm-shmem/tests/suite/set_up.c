/* Set-up, queries, memory management. */
#include "suite.h"
#include <stdint.h>

static int variable;
int other_variable = 5;

void set_up(void) {
    int level = -1, major = 0, minor = 0;
    char name[SHMEM_MAX_NAME_LEN];
    shmem_init(); /* again: nothing */
    shmem_query_thread(&level);
    CHECK(level == SHMEM_THREAD_MULTIPLE);
    CHECK(shmem_init_thread(99, &level) != 0);
    CHECK(me >= 0 && me < n && me == _my_pe() && n == _num_pes());
    start_pes(0);
    shmem_info_get_version(&major, &minor);
    CHECK(major == SHMEM_MAJOR_VERSION && minor == SHMEM_MINOR_VERSION && major == 1 && minor == 5);
    shmem_info_get_name(name);
    CHECK(!strcmp(name, SHMEM_VENDOR_STRING));
    shmem_pcontrol(1);
    CHECK(shmem_pe_accessible(0) && shmem_pe_accessible(n - 1) && !shmem_pe_accessible(n) && !shmem_pe_accessible(-1));
    int local = 0;
    int *heap = shmem_malloc(sizeof *heap);
    for (int pe = 0; pe < n; pe++) {
        CHECK(shmem_addr_accessible(&variable, pe) && shmem_addr_accessible(heap, pe));
        CHECK(!shmem_addr_accessible(&local, pe) && !shmem_ptr(&local, pe) && !shmem_ptr(NULL, pe));
    }
    CHECK(!shmem_addr_accessible(heap, n) && !shmem_ptr(heap, -1) && !shmem_ptr(heap, n));
    CHECK(shmem_ptr(heap, me) == heap && shmem_ptr(&variable, me) == &variable);
    /* By way of the pointer it is the other PE's. */
    *(int *)shmem_ptr(&variable, next_pe()) = me + 50;
    *(int *)shmem_ptr(heap, next_pe()) = me + 60;
    shmem_barrier_all();
    CHECK(variable == previous_pe() + 50 && *heap == previous_pe() + 60);
    CHECK(other_variable == 5);
    shmem_free(heap);
}

static void *same(void *p) { /* the same offset on each PE */
    static ptrdiff_t offset, first;
    static void *base;
    if (!base) base = shmem_malloc(16);
    offset = (char *)p - (char *)base;
    shmem_barrier_all();
    first = shmem_long_g((long *)(void *)&offset, 0);
    CHECK(first == offset);
    shmem_barrier_all();
    return p;
}

void memory(void) {
    CHECK(!shmem_malloc(0) && !shmem_calloc(0, 8) && !shmem_calloc(8, 0));
    CHECK(!shmem_malloc((size_t)1 << 40) && !shmem_malloc(SIZE_MAX) && !shmem_calloc(SIZE_MAX, SIZE_MAX));
    char *a = same(shmem_malloc(1000)), *b = same(shmem_align(4096, 10)), *c = same(shmem_calloc(100, 4));
    CHECK(a && b && c && (uintptr_t)a % 16 == 0 && (uintptr_t)b % 4096 == 0);
    for (int i = 0; i < 400; i++) CHECK(c[i] == 0);
    memset(a, 1, 1000), memset(b, 2, 10), memset(c, 3, 400);
    a = same(shmem_realloc(a, 3000));
    for (int i = 0; i < 1000; i++) CHECK(a[i] == 1);
    memset(a, 1, 3000);
    for (int i = 0; i < 10; i++) CHECK(b[i] == 2);
    for (int i = 0; i < 400; i++) CHECK(c[i] == 3);
    char *smaller = same(shmem_realloc(a, 10));
    CHECK(smaller == a);
    CHECK(!shmem_realloc(a, (size_t)1 << 40));
    CHECK(a[9] == 1);
    CHECK(!shmem_realloc(a, 0)); /* freed */
    long *d = same(shmem_malloc_with_hints(8, SHMEM_MALLOC_ATOMICS_REMOTE | SHMEM_MALLOC_SIGNAL_REMOTE));
    long *e = same(shmem_malloc_with_hints(8, 0));
    CHECK((uintptr_t)d % 64 == 0 && d != e);
    char *f = same(shmem_realloc(NULL, 77));
    shmem_free(NULL);
    shmem_free(f), shmem_free(d), shmem_free(e), shmem_free(c), shmem_free(b);
    /* What was given back is there again. */
    size_t large = (size_t)1 << 20;
    for (int i = 0; i < 10; i++) {
        void *p = same(shmem_malloc(large));
        CHECK(p);
        shmem_free(p);
    }
    /* The oldest names. */
    char *g = shmalloc(64), *h = shmemalign(128, 64);
    CHECK(g && h && (uintptr_t)h % 128 == 0);
    g = shrealloc(g, 128);
    CHECK(g);
    shfree(g), shfree(h);
    /* A 1 GiB alignment holds on every PE, since the heap begins at one. */
    CHECK((uintptr_t)same(shmem_align((size_t)1 << 20, 8)) % ((size_t)1 << 20) == 0);
}

void caches(void) {
    shmem_set_cache_inv();
    shmem_clear_cache_inv();
    shmem_set_cache_line_inv(&variable);
    shmem_clear_cache_line_inv(&variable);
    shmem_udcflush();
    shmem_udcflush_line(&variable);
}
