/* A profiling tool in the program: it stands before two functions and calls the library by the other names. */
#include <shmem.h>
#include <stdio.h>

static int puts_seen, barriers_seen;
static long word;

void shmem_long_p(long *dest, long value, int pe) {
    puts_seen++;
    pshmem_long_p(dest, value, pe);
}

void shmem_barrier_all(void) {
    barriers_seen++;
    pshmem_barrier_all();
}

int main(void) {
    shmem_init();
    shmem_long_p(&word, 3, shmem_my_pe());
    shmem_barrier_all();
    if (puts_seen != 1 || barriers_seen != 1 || word != 3) return 1;
    shmem_finalize();
    printf("seen\n");
    return 0;
}
