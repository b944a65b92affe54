// The header in C++, and what is different there.
#include <shmem.h>

extern "C" int in_cxx();

static long word;

int in_cxx() {
    word = 0;
    shmem_long_p(&word, 8, shmem_my_pe());
    shmem_quiet();
    std::complex<double> (*none)(std::complex<double>) = nullptr;
    if (none || shmem_team_sync(SHMEM_TEAM_WORLD) != 0) return 1;
    return shmem_sync(SHMEM_TEAM_WORLD) == 0 && word == 8 ? 0 : 1;
}
