/* A record and a flag: with `good` there is a fence between, with `bad` there is none. */
#include <shmem.h>
#include <stdio.h>
#include <string.h>

enum { RECORD = 32, ROUNDS = 300 };
static long record[RECORD], flag, taken;

int main(int argc, char **argv) {
    int good = argc > 1 && !strcmp(argv[1], "good");
    shmem_init();
    if (shmem_my_pe() == 0) {
        for (long round = 1; round <= ROUNDS; round++) {
            long out[RECORD];
            for (int i = 0; i < RECORD; i++) out[i] = round;
            shmem_long_put(record, out, RECORD, 1);
            if (good) shmem_fence();
            shmem_long_p(&flag, round, 1);
            shmem_quiet();
            shmem_long_wait_until(&taken, SHMEM_CMP_EQ, round);
        }
    } else if (shmem_my_pe() == 1) {
        for (long round = 1; round <= ROUNDS; round++) {
            shmem_long_wait_until(&flag, SHMEM_CMP_GE, round);
            for (int i = 0; i < RECORD; i++)
                if (record[i] != round) {
                    fprintf(stderr, "record %ld is old: %ld\n", round, record[i]);
                    shmem_global_exit(9);
                }
            shmem_long_p(&taken, round, 0);
            shmem_quiet();
        }
    }
    shmem_finalize();
    return 0;
}
