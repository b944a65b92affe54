/* The probes of OpenSHMEM: PE 0 works on PE 1, which waits for it. */
#include <shmem.h>
#include <stdlib.h>

static long data[64], word;
static char bytes[64];
static int other;

#define PROBE(name, body)                                                                                              \
    __attribute__((noinline)) void probe_##name(long rounds) {                                                         \
        for (long round = 0; round < rounds; round++) {                                                                \
            body;                                                                                                      \
            __asm__ volatile("" ::: "memory");                                                                         \
        }                                                                                                              \
    }

PROBE(empty, )
PROBE(long_g, word = shmem_long_g(&data[3], other))
PROBE(long_p, shmem_long_p(&data[3], word, other))
PROBE(long_get, shmem_long_get(&word, &data[3], 1, other))
PROBE(long_put, shmem_long_put(&data[3], &word, 1, other))
PROBE(getmem_8, shmem_getmem(&word, &data[3], 8, other))
PROBE(putmem_8, shmem_putmem(&data[3], &word, 8, other))
PROBE(getmem_64, shmem_getmem(bytes, &data[8], 64, other))
PROBE(putmem_64, shmem_putmem(&data[8], bytes, 64, other))
PROBE(long_atomic_add, shmem_long_atomic_add(&data[3], 1, other))
PROBE(long_atomic_fetch, word = shmem_long_atomic_fetch(&data[3], other))
PROBE(quiet_of_nothing, shmem_quiet())
PROBE(long_p_and_quiet, shmem_long_p(&data[3], word, other); shmem_quiet())

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 1;
    shmem_init();
    other = shmem_n_pes() - 1;
    shmem_barrier_all();
    if (shmem_my_pe() == 0) {
        probe_empty(n);
        /* The first put of a span is dearer than the others. */
        shmem_long_p(&data[3], 1, other);
        probe_long_g(n), probe_long_p(n), probe_long_get(n), probe_long_put(n), probe_getmem_8(n), probe_putmem_8(n);
        probe_getmem_64(n), probe_putmem_64(n), probe_long_atomic_add(n), probe_long_atomic_fetch(n);
        probe_long_p_and_quiet(n), probe_quiet_of_nothing(n);
    }
    shmem_barrier_all();
    shmem_finalize();
    return 0;
}
