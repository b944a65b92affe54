// The header in C++, and what is different there: a program that ends with 0 on each PE.
#include <shmem.h>

static long word, words[64];
static std::complex<double> given, taken;
static int sum;

static bool is_right() {
    const int me = shmem_my_pe(), pes = shmem_n_pes(), next = (me + 1) % pes, before = (me + pes - 1) % pes;
    if (pes > 64) return false;
    // No generic names: each has its type's.
    shmem_long_p(&word, 8 + me, next);
    shmem_barrier_all();
    if (word != 8 + before || shmem_long_g(&word, next) != 8 + me) return false;
    given = {1.0 + me, -2.0};
    shmem_barrier_all();
    shmem_complexd_sum_reduce(SHMEM_TEAM_WORLD, &taken, &given, 1);
    if (taken != std::complex<double>(pes * (pes + 1) / 2.0, -2.0 * pes)) return false;
    shmem_int_atomic_add(&sum, me + 1, 0);
    if (shmem_long_fcollect(SHMEM_TEAM_WORLD, words, &word, 1) != 0) return false;
    for (int pe = 0; pe < pes; pe++)
        if (words[pe] != 8 + (pe + pes - 1) % pes) return false;
    long *const block = static_cast<long *>(shmem_malloc(sizeof(long)));
    if (!block) return false;
    shmem_long_p(block, me, next);
    shmem_barrier_all();
    const bool came = *block == before && (me != 0 || sum == pes * (pes + 1) / 2);
    shmem_free(block);
    // Of a team, and of what is no active set.
    return came && shmem_team_sync(SHMEM_TEAM_WORLD) == 0 && shmem_sync(SHMEM_TEAM_WORLD) == 0;
}

int main() {
    shmem_init();
    if (!is_right()) shmem_global_exit(9);
    shmem_finalize();
}
