/* PEs that want different things of the heap. */
#include <shmem.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    shmem_init();
    const int me = shmem_my_pe(), last = me == shmem_n_pes() - 1;
    char *first = shmem_malloc(64), *second = shmem_malloc(64);
    if (!strcmp(argv[1], "sizes")) shmem_malloc(last ? 64 : 1024);
    else if (!strcmp(argv[1], "alignments")) last ? shmem_malloc(64) : shmem_align(256, 64);
    else if (!strcmp(argv[1], "blocks")) shmem_free(last ? first : second);
    else if (!strcmp(argv[1], "resizes")) shmem_realloc(first, last ? 128 : 16);
    else if (!strcmp(argv[1], "calls")) {
        if (last) shmem_free(first);
        else shmem_malloc(64);
    } else return 2;
    shmem_barrier_all();
    return 0;
}
