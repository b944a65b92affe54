/* A program after which another one begins at once, on the same nodes. PE 1 takes so many milliseconds to end. */
#include <shmem.h>
#include <stdlib.h>
#include <unistd.h>

static long word;

int main(int argc, char **argv) {
    shmem_init();
    int me = shmem_my_pe(), count = shmem_n_pes();
    shmem_long_p(&word, me + 1, (me + 1) % count);
    shmem_barrier_all();
    if (word != (me + count - 1) % count + 1) return 3;
    shmem_finalize();
    if (argc > 1 && me == 1) usleep((useconds_t)atoi(argv[1]) * 1000);
    return 0;
}
