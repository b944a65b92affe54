/* Two programs, whose variables are as many bytes and lie at different places. */
#include <shmem.h>

#ifdef SECOND
long before[] = {1, 2, 3, 4};
#endif
long word = 1;

int main(void) {
    shmem_init();
    if (shmem_my_pe() == 0) shmem_long_p(&word, 7, 1);
    shmem_barrier_all();
    shmem_finalize();
    return 0;
}
