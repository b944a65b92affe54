/* PE 0 puts, says so, and completes when it is told to go on. */
#include <shmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long word;

int main(int argc, char **argv) {
    char line[16];
    if (argc < 2) return 2;
    shmem_init();
    if (shmem_my_pe() == 0) {
        shmem_long_p(&word, 7, 1);
        printf("put\n");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) return 3;
        if (!strcmp(argv[1], "quiet")) shmem_quiet();
        if (!strcmp(argv[1], "barrier")) shmem_barrier_all();
        if (!strcmp(argv[1], "get")) printf("%ld\n", shmem_long_g(&word, 1));
        printf("went on\n");
    } else {
        shmem_long_wait_until(&word, SHMEM_CMP_EQ, 7);
        shmem_barrier_all();
    }
    shmem_finalize();
    return 0;
}
