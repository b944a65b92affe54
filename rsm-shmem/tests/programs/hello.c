/* As in the manual: everybody greets the next one. */
#include <shmem.h>
#include <stdio.h>

static int greeted_by = -1;

int main(void) {
    shmem_init();
    int me = shmem_my_pe(), n = shmem_n_pes();
    shmem_int_p(&greeted_by, me, (me + 1) % n);
    shmem_barrier_all();
    printf("PE %d of %d was greeted by PE %d\n", me, n, greeted_by);
    shmem_finalize();
    return 0;
}
