/* The probes of the C interface: what a caller's loop pays, calls and arguments included. */
#include <rsmapi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static rsm_memseg_import_handle_t import;
static rsmapi_barrier_t barrier;
static char bytes[4096];
static uint64_t words[4];
static int failed;

static rsm_iovec_t parts[8];
static rsm_scat_gath_t vector = {0, 8, 0, 0, 0, parts};

#define PROBE(name, body)                                                                                              \
    __attribute__((noinline)) void probe_##name(long rounds) {                                                         \
        for (long round = 0; round < rounds; round++) {                                                                \
            body;                                                                                                      \
            __asm__ volatile("" ::: "memory");                                                                         \
        }                                                                                                              \
    }

PROBE(empty, )
#define TRANSFERS(mode)                                                                                                \
    PROBE(put8_##mode, failed |= rsm_memseg_import_put8(import, 64, (uint8_t *)words, 1))                              \
    PROBE(put16_##mode, failed |= rsm_memseg_import_put16(import, 64, (uint16_t *)words, 1))                           \
    PROBE(put32_##mode, failed |= rsm_memseg_import_put32(import, 64, (uint32_t *)words, 1))                           \
    PROBE(put64_##mode, failed |= rsm_memseg_import_put64(import, 64, words, 1))                                       \
    PROBE(get8_##mode, failed |= rsm_memseg_import_get8(import, 64, (uint8_t *)words, 1))                              \
    PROBE(get64_##mode, failed |= rsm_memseg_import_get64(import, 64, words, 1))                                       \
    PROBE(put_64b_##mode, failed |= rsm_memseg_import_put(import, 64, bytes, 64))                                      \
    PROBE(put_1k_##mode, failed |= rsm_memseg_import_put(import, 64, bytes, 1024))                                     \
    PROBE(get_64b_##mode, failed |= rsm_memseg_import_get(import, 64, bytes, 64))                                      \
    PROBE(get_1k_##mode, failed |= rsm_memseg_import_get(import, 64, bytes, 1024))                                     \
    PROBE(vector_put_##mode, failed |= rsm_memseg_import_putv(&vector))

TRANSFERS(explicit)
TRANSFERS(implicit)
PROBE(span, failed |= rsm_memseg_import_open_barrier(&barrier); failed |= rsm_memseg_import_close_barrier(&barrier))
PROBE(span_put64, failed |= rsm_memseg_import_open_barrier(&barrier);
      failed |= rsm_memseg_import_put64(import, 64, words, 1); failed |= rsm_memseg_import_close_barrier(&barrier))
PROBE(order, failed |= rsm_memseg_import_order_barrier(&barrier))
PROBE(post, failed |= rsm_intr_signal_post(import, 0))
PROBE(wait, failed |= rsm_intr_signal_wait(import, 10000))

#define CALL_TRANSFERS(mode)                                                                                           \
    probe_put8_##mode(n), probe_put16_##mode(n), probe_put32_##mode(n), probe_put64_##mode(n), probe_get8_##mode(n),   \
        probe_get64_##mode(n), probe_put_64b_##mode(n), probe_put_1k_##mode(n), probe_get_64b_##mode(n),               \
        probe_get_1k_##mode(n), probe_vector_put_##mode(n)

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        int rc = (call);                                                                                               \
        if (rc != 0) {                                                                                                 \
            fprintf(stderr, "%s: %d\n", #call, rc);                                                                    \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 1;
    rsmapi_controller_handle_t controller;
    OK(rsm_get_controller("shm0", &controller));
    OK(rsm_memseg_import_connect(controller, 1, 0x400000, RSM_PERM_RDWR, &import));
    OK(rsm_memseg_import_init_barrier(import, RSM_BARRIER_NODE, &barrier));
    /* Asks for signals to take: see `rust.rs`. */
    words[0] = 1;
    OK(rsm_memseg_import_put64(import, 8, words, 1));
    while (words[0] != 2)
        OK(rsm_memseg_import_get64(import, 8, words, 1));
    vector.remote_handle = import;
    for (int i = 0; i < 8; i++)
        parts[i] = (rsm_iovec_t){RSM_VA_TYPE, {.vaddr = bytes}, 0, 64, 64};
    probe_empty(n);
    CALL_TRANSFERS(implicit);
    OK(rsm_memseg_import_set_mode(import, RSM_BARRIER_MODE_EXPLICIT));
    CALL_TRANSFERS(explicit);
    probe_span(n), probe_span_put64(n);
    OK(rsm_memseg_import_open_barrier(&barrier));
    probe_order(n);
    OK(rsm_memseg_import_close_barrier(&barrier));
    probe_post(n), probe_wait(n);
    return failed != 0;
}
