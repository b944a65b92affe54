/* A complex number is aligned as its halves are. */
#include <complex.h>
#include <shmem.h>

static struct {
    float before;
    float _Complex of[200];
} source, dest;

int main(void) {
    shmem_init();
    /* By an exchange, and by shares. */
    for (size_t count = 2; count <= 200; count += 198) {
        for (size_t i = 0; i < count; i++) source.of[i] = (float)i + 2 * I;
        shmem_complexf_sum_reduce(SHMEM_TEAM_WORLD, dest.of, source.of, count);
        for (size_t i = 0; i < count; i++)
            if (dest.of[i] != (float)shmem_n_pes() * source.of[i]) return 3;
    }
    shmem_finalize();
    return 0;
}
